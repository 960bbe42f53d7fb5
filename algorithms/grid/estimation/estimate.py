"""
What a scan of an estimator found: voltages, powers and flows, each with its standard uncertainty.

Where it stands: `least_squares.Estimator.estimate` returns it; plug-ins publish of it what is asked for. Nothing is
computed before it is asked for, and nothing twice: uncertainties of voltages belong to the gain and are shared by all
scans that have it.

Rules:

- SI, P and Q positive from the node into the equipment (CIM), RMS.
- Uncertainties are standard ones (1 sigma) of the values beside them, from the covariance of the state.
- Where `converged` is false the voltages are those of the last step, for a look at what went wrong, and nothing else.
- What is dead or absent is 0, with an uncertainty of 0; `observable` says what the readings determine.
"""

import math
from functools import cached_property

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Floats, Integers, Truths
from algorithms.grid.estimation.beforehand import Scan
from algorithms.grid.estimation.flow import Flow
from algorithms.grid.estimation.gain import Gain
from algorithms.grid.estimation.iteration import HIGHEST, LOWEST, Iteration
from algorithms.grid.estimation.measurement import Measurement
from algorithms.grid.estimation.patch import Patch
from algorithms.grid.estimation.tangent import loadings_at
from algorithms.grid.points import EARTH
from algorithms.grid.solution import without_return

NO_CURRENT = 1e-4
"""Share of the largest current of a load that is none where it would have to return through a reference [1]."""
SURE = 5.0
"""What is more of its own standard uncertainties is no matter of chance [1]."""
UNKNOWN = 0.02
"""A voltage less sure than this, relative to nominal, because of what nothing is known of, is not observable [1]."""


class Estimate:
    """
    The state of a network at one scan.

    Attributes
    ----------
    model : NetworkModel
    measurements : tuple of Measurement
    gain : Gain
    patch : Patch or None
    scan : Scan
    inputs : numpy.ndarray
        Emfs of the sources and currents of the elements, before turning, shape (n_inputs,) [V, A].
    along : numpy.ndarray
        How far the state is from what was expected, along each direction of gain and patch, shape (r + k,) [1].
    residuals : numpy.ndarray
        Reading less what follows from the state, 0 where missing, shape (e,).
    turn : float
        By how much the readings' angles are ahead of the model's [rad].
    iterations : int
    returning : str
        Why the current of loads has no way back, where readings say so; empty otherwise.
    converged : bool
        Whether voltages stand still, at values a network at work can have, and currents have a way back.
    change : float
        Largest change of a voltage in the last iteration, relative to nominal [1].
    """

    def __init__(  # noqa: PLR0917 - what a scan comes from
        self, model: NetworkModel, measurements: tuple[Measurement, ...], gain: Gain, patch: Patch | None, scan: Scan,
        turn: float, found: Iteration,
    ) -> None:  # fmt: skip
        self.model, self.measurements, self.gain, self.patch, self.scan = model, measurements, gain, patch, scan
        self.inputs, self.along, self.residuals, self._powers = found.inputs, found.along, found.residuals, found.powers
        self.turn, self.iterations, self.change = turn, found.steps, found.change
        self._range, self._stands_still = (found.lowest, found.highest), found.converged
        self._response = gain.tangent.response
        sound = found.converged and found.lowest > LOWEST and found.highest < HIGHEST
        self.returning = self._without_return() if sound and self._response.references else ""
        self.converged = sound and not self.returning

    def _without_return(self) -> str:
        """
        Tell which reference current would have to return through, by more than what readings are unsure of.

        Readings of phases that balance exactly do so within their uncertainty only.
        """
        returning = np.abs(self._response.returns @ self.inputs)
        largest = float(np.abs(self.inputs[len(self._response.emfs) :]).max(initial=0.0))
        if not (returning > NO_CURRENT * largest).any():
            return ""
        loadings = self.loadings(self._response.returns)
        sigma = np.sqrt(self.variance(loadings.real) + self.variance(loadings.imag))
        beyond = returning > SURE * sigma + NO_CURRENT * largest
        if not beyond.any():
            return ""
        worst = int(np.argmax(np.where(beyond, returning, 0.0)))
        return without_return(float(returning[worst]), self._response.references[worst])

    @property
    def reason(self) -> str:
        """Why it did not converge; empty where it did."""
        if self.converged:
            return ""
        if self.returning:
            return self.returning
        if self._stands_still:
            return (
                f"voltages of {self._range[0]:.3g} to {self._range[1]:.3g} of nominal would follow: readings or "
                "forecasts do not fit this network, look for a wrong unit, a wrong phase or a wrong tap"
            )
        return (
            f"voltages still change by {self.change:.2g} of nominal after {self.iterations} iterations: readings ask "
            "for more power than the network can carry, look for a wrong unit or a wrong phase"
        )

    @cached_property
    def _at_points(self) -> Complexes:
        """Voltages of points to earth before turning, with a 0 for earth at the end, shape (k + 1,) [V]."""
        found = np.zeros(self._response.points.count + 1, dtype=complex)
        found[:-1] = self._response.voltages(self.inputs)
        return found

    @cached_property
    def voltages(self) -> Complexes:
        """Voltages of nodes to earth, shape (n_nodes, 4) [V]."""
        found: Complexes = self._at_points[self._response.points.at_node]
        return found * np.exp(1j * self.turn) if self.turn else found

    @property
    def energised(self) -> Truths:
        """Whether a conductor is there and fed, shape (n_nodes, 4)."""
        return self._response.points.energised

    @cached_property
    def phase_voltages(self) -> Complexes:
        """Voltages from phase to neutral, or to earth where there is no neutral, shape (n_nodes, 3) [V]."""
        points = self._response.points
        if self.turn or (points.at_node[:, 3] != EARTH).any():
            return self.voltages[:, :3] - np.where(self.energised[:, :3], self.voltages[:, 3:], 0.0)
        found: Complexes = self._at_points[points.at_node[:, :3]]
        return found

    @property
    def u_magnitude(self) -> Floats:
        """Standard uncertainty of the magnitudes of `phase_voltages`, shape (n_nodes, 3) [V]."""
        return (self.patch or self.gain).u_magnitude

    @property
    def u_angle(self) -> Floats:
        """Standard uncertainty of the angles of `phase_voltages` to the reference, shape (n_nodes, 3) [rad]."""
        return (self.patch or self.gain).u_angle

    @cached_property
    def observable(self) -> Truths:
        """Whether readings and forecasts determine a voltage, a neutral with its phases, shape (n_nodes, 4)."""
        nominal = self.model.nodes.nominal_voltage[:, np.newaxis]
        found = self.energised.copy()
        found[:, :3] &= (self.u_magnitude <= UNKNOWN * nominal) & self.converged
        found[:, 3] &= (found[:, :3] | ~self.energised[:, :3]).all(axis=1)
        return found

    @cached_property
    def power(self) -> Complexes:
        """What loads, then generators, draw, shape (n_loads + n_generators, 3) [VA]."""
        return self._spread(self._powers)

    @cached_property
    def u_power(self) -> Complexes:
        """Standard uncertainties of P as real and of Q as imaginary part of `power` [W, var]."""
        count = len(self._response.elements)
        sigma = np.sqrt(self.variance_of_state)[len(self.scan.start) - 2 * count :]
        return self._spread(sigma[:count] + 1j * sigma[count:])

    def _spread(self, values: Complexes) -> Complexes:
        elements = self._response.elements
        spread = np.zeros((len(self.model.loads) + len(self.model.generators), 3), dtype=complex)
        spread[elements.row, elements.column] = values
        return spread

    @cached_property
    def variance_of_state(self) -> Floats:
        """Variances of the state (`tangent`), shape (n,)."""
        gain = self.gain
        before = gain.u_state**2 - np.einsum("ij,ij,j->i", gain.right, gain.right, 1.0 - gain.shrink)
        if self.patch is None:
            return np.asarray(np.maximum(before, 0.0))
        patch, directions = self.patch, len(gain.strength)
        told = np.zeros((len(self.scan.start), directions + len(patch.widened)))
        told[:, :directions] = gain.right
        told[patch.widened, directions + np.arange(len(patch.widened))] = patch.added
        towards = told @ patch.across
        before[patch.widened] += patch.added**2
        before -= np.einsum("ij,jk,ik->i", towards, patch.middle, towards)
        return np.asarray(np.maximum(before, 0.0))

    @cached_property
    def objective(self) -> float:
        """Weighted sum of squared residuals J [1]."""
        with np.errstate(all="ignore"):
            weighted = self.residuals / self.scan.u_readings
            found = float(self.along @ self.along + weighted @ weighted)
        return found if math.isfinite(found) else math.inf

    @cached_property
    def degrees_of_freedom(self) -> int:
        """Equations with a reading, less what nothing was known of beforehand: what J is compared with."""
        free = self._free
        present = len(self.residuals) - len(self.scan.missing)
        if not free.any():
            return present
        share = 1.0 - self.variance_of_state[free] / np.maximum(self.scan.u_state[free] ** 2, 1e-300)
        return max(present - int(np.count_nonzero(share > 0.5)), 0)

    @property
    def _free(self) -> Truths:
        """Entries of the state of which nothing was known: magnitudes of sources, and powers without any forecast."""
        free = np.zeros(len(self.scan.start), dtype=bool)
        sources = self.gain.tangent.emf.shape[1]
        free[2:sources:6] = True
        free[sources:] = ~self.scan.known
        return free

    def flow(self, equipment: str, end: int = 0) -> Flow:
        """
        Give what flows into equipment.

        Parameters
        ----------
        equipment : str
            Id of a branch, transformer, source, load or generator, or of a node for all that is drawn there.
        end : int
            0 at `from_node` of a branch or transformer, 1 at `to_node`.

        Raises
        ------
        KeyError
            When there is none of this id.
        """
        probe = self.gain.tangent.observation.probes.at(equipment, end)
        count = len(probe.phases)
        seen, of_seen = probe.seen @ self.inputs, self.loadings(probe.seen)
        across, carried = seen[:count], seen[count:]
        of_across, of_carried = of_seen[:count], of_seen[count:]
        powers = across * carried.conj()
        of_powers = of_across * carried.conj()[:, np.newaxis] + across[:, np.newaxis] * of_carried.conj()
        size = np.abs(carried)
        unit = np.where(size > 0, carried, 1.0) / np.where(size > 0, size, 1.0)
        loadings = of_powers.real, of_powers.imag, (unit.conj()[:, np.newaxis] * of_carried).real
        u_p, u_q, u_current = (np.sqrt(self.variance(each)) for each in loadings)
        total = [float(np.sqrt(self.variance(each.sum(axis=0)[np.newaxis])[0])) for each in loadings[:2]]
        return Flow(
            phases=probe.phases,
            p=powers.real, u_p=u_p, q=powers.imag, u_q=u_q,
            current=size, u_current=u_current, angle=np.angle(carried * np.exp(1j * self.turn)),
            u_total=(total[0], total[1]),
        )  # fmt: skip

    def line_voltages(self, rows: Integers) -> tuple[Complexes, Floats, Floats]:
        """
        Give voltages AB, BC, CA.

        Parameters
        ----------
        rows : numpy.ndarray
            Of nodes, shape (k,).

        Returns
        -------
        tuple of numpy.ndarray
            The voltages, and the standard uncertainties of their magnitudes and angles, shape (k, 3) [V, V, rad].
        """
        seen = self.gain.tangent.observation.probes.between_phases(rows)
        across = seen @ self.inputs
        size = np.maximum(np.abs(across), 1e-9)
        along = self.loadings(seen) * (across.conj() / size)[:, np.newaxis]
        u, u_across = (np.sqrt(self.variance(np.ascontiguousarray(part))) for part in (along.real, along.imag))
        turned = across * np.exp(1j * self.turn)
        return turned.reshape(-1, 3), u.reshape(-1, 3), (u_across / size).reshape(-1, 3)

    def loadings(self, seen: Complexes) -> Complexes:
        """
        Give how linear combinations of voltages and currents change with the state.

        Loads keep their powers, not their currents: that is judged by what they draw now, not when the gain was made.

        Parameters
        ----------
        seen : numpy.ndarray
            What each answers to inputs, as of `Response.seen`, shape (q, n_inputs).

        Returns
        -------
        numpy.ndarray
            Shape (q, n).
        """
        return loadings_at(self.gain.tangent, seen, *self._drawing)

    @cached_property
    def _drawing(self) -> tuple[Complexes, Complexes]:
        """Give 1 / U* and I of the elements."""
        drawn = self.inputs[len(self._response.emfs) :]
        across: Complexes = np.asarray(self._response.elements.incidence @ self._at_points[:-1], dtype=complex)
        return 1.0 / across.conj(), drawn

    def variance(self, loadings: Floats) -> Floats:
        """Give the variance of J dx for each row of J, shape (q, n) -> (q,)."""
        if self.patch is None:
            return self.gain.variance(loadings)
        return self.patch.variance(loadings)
