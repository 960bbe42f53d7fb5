r"""
Weighted least squares: the state of a network that agrees best with what meters tell and what was expected.

Where it stands: plug-ins call it once a scan; `bad_data.examine` calls it when readings contradict each other. It
joins `response` (linear), `observation` (what meters see), `gain` (made once) and gives an `estimate.Estimate`.

With sources' emfs and the powers S of all elements as state x, expected to be x0, it repeats

.. math::
    I \leftarrow (S / U)^*, \quad U \leftarrow \text{response},\quad
    c \leftarrow c + (1 + s^2)^{-1} \left(A^T R^{-1/2} (z - h(x)) - c\right), \quad x = x_0 + P^{1/2} V c

until voltages stand still. Its fixed point is the weighted-least-squares solution, but that the derivatives are those
of the operating point the gain was made at.

Rules:

- Zero injections are exact: what has no element has no state.
- Each P and Q of each element is always known beforehand: measured, or else forecast with a wide sigma. A meter that
  falls silent hands over to the forecast in the same scan, sigma included.
- Other sigmas than the gain was made with: a few rows widened or missing are worked into it (`patch`), many make a new
  one. No result ever carries the sigma of another scan.
- Every scan is solved to the same tolerance, the first one too.

References
----------
M. Pau et al., IEEE Trans. Instrum. Meas. 68:11 (2019) 4300-4312, doi 10.1109/TIM.2018.2890399 (three levels);
A. Abur, A. G. Exposito, *Power System State Estimation*, Marcel Dekker 2004, chapters 2 and 5.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.api.errors import NetworkError
from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Floats, Integers, Truths
from algorithms.grid.elements import demand
from algorithms.grid.estimate import Estimate, Scan
from algorithms.grid.gain import Gain, make_gain
from algorithms.grid.measurement import Measurement, Quantity, check_measurements
from algorithms.grid.observation import NONE, Observation
from algorithms.grid.patch import Patch, make_patch
from algorithms.grid.response import Response
from algorithms.grid.tangent import PER_SOURCE, emf_directions, tangent_at

SAME = 0.05
"""Sigmas that differ by less, relatively, are those the gain was made with."""
PATCHED = 24
"""Most rows worked into a gain; more make a new one."""
TOLERANCE = 2e-5
"""
The last correction is made when no voltage was off by more than this, relative to nominal [1].

What is left after it is smaller by the rate of convergence, some 0.03 for LV and 0.2 for loaded MV: far below any
meter's uncertainty.
"""
ITERATIONS = 60
DENSE_STATE = 1_000_000
"""Largest matrix of derivatives that is kept [1], 16 MB."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """
    What is known of sources without any reading, as standard uncertainties relative to nominal voltage.

    Attributes
    ----------
    magnitude : float
        Of the positive sequence [1].
    angle : float
        Of sources beyond the first of an island, whose angle is the reference [rad].
    negative_sequence, zero_sequence : float
        Unbalance, real and imaginary part each [1]. A meter below a winding without zero sequence (Dyn) cannot see
        the zero sequence above it: this figure is then all that is known.
    """

    magnitude: float = 0.2
    angle: float = 0.05
    negative_sequence: float = 0.01
    zero_sequence: float = 0.01


class Estimator:
    """
    A network and its metering, ready for any number of scans.

    Parameters
    ----------
    model : NetworkModel
        As its switches stand; another state of them is another estimator.
    measurements : sequence of Measurement
    anchor : Anchor

    Attributes
    ----------
    dead : tuple of str
        Measurements of what no source feeds; they are passed over.

    Raises
    ------
    NetworkError
        When the network cannot be solved, or measurements do not fit it, with every reason found.
    """

    def __init__(self, model: NetworkModel, measurements: Sequence[Measurement], *, anchor: Anchor = Anchor()) -> None:  # noqa: B008 - frozen
        problems = check_measurements(model, measurements)
        if problems:
            raise NetworkError(problems)
        self.model, self.measurements = model, tuple(measurements)
        self.response = Response(model)
        self.observation = Observation(model, self.response, measurements)
        self.dead = tuple(measurements[index].id for index in self.observation.dead)
        self._u_measurements = np.array([measurement.uncertainty for measurement in measurements])
        elements = self.response.elements
        self._place = elements.row, elements.column
        self._count = len(elements)
        self._emf = emf_directions(self.response.emfs)
        self._sources = self._emf.shape[1]
        self._u_sources = self._anchored(anchor)
        self._absolute = any(m.quantity in (Quantity.VOLTAGE_ANGLE, Quantity.CURRENT_ANGLE) for m in measurements)
        tables = (model.loads, model.generators)
        self._expected = demand(model)[self._place]
        self._u_expected = np.empty(len(elements), dtype=complex)
        self._u_expected.real = np.concatenate([table.u_p for table in tables])[self._place]
        self._u_expected.imag = np.concatenate([table.u_q for table in tables])[self._place]
        self._unknown = self._ignorance()
        own = self.observation.own
        self._own = [np.flatnonzero(own[:, part] != NONE) for part in (0, 1)]
        self._own_index = [own[at, part] for part, at in enumerate(self._own)]
        self._gain: Gain | None = None
        self._patch: Patch | None = None
        self._nominal = float(elements.nominal.max(initial=1.0))
        self._across = np.zeros(0, dtype=complex)
        self._last = np.zeros(0)

    def _anchored(self, anchor: Anchor) -> Floats:
        sources = self.model.sources
        first = {int(island.sources[0]) for island in self.model.islands() if len(island.sources)}
        sigma = np.zeros((len(sources), PER_SOURCE))
        sigma[:, 0:2], sigma[:, 4:6] = anchor.zero_sequence, anchor.negative_sequence
        sigma[:, 2] = np.where(sources.voltage_uncertainty > 0, sources.voltage_uncertainty, anchor.magnitude)
        sigma[:, 3] = [0.0 if row in first else anchor.angle for row in range(len(sources))]
        return (sigma * np.abs(sources.voltage)[:, np.newaxis]).ravel()

    def _ignorance(self) -> Floats:
        """Say how large a power of each element may be of which nothing is known [VA]."""
        tables = (self.model.loads, self.model.generators)
        rated = np.concatenate([table.rated_power for table in tables])[self._place[0]]
        largest = 10.0 * float(np.abs(self._expected).max(initial=0.0))
        usual = np.maximum(largest, 100.0 * self.response.elements.nominal)
        return np.where(np.isfinite(rated), rated, usual)

    def estimate(
        self,
        values: Floats,
        uncertainty: Floats | None = None,
        *,
        prior: Complexes | None = None,
        u_prior: Complexes | None = None,
        iterations: int = ITERATIONS,
    ) -> Estimate:
        """
        Find the state of one scan.

        Parameters
        ----------
        values : numpy.ndarray
            Readings in the order of the measurements, NaN for those that are not there, shape (m,).
        uncertainty : numpy.ndarray or None
            Their standard uncertainties, shape (m,); None for those of the measurements.
        prior : numpy.ndarray or None
            What loads, then generators, are expected to draw, P + j Q, shape (n_loads + n_generators, 3) [VA]; None
            for what the model says.
        u_prior : numpy.ndarray or None
            Standard uncertainties of P as real and of Q as imaginary part; infinite where nothing is known. None for
            what the model says.
        iterations : int
            At most.

        Raises
        ------
        ValueError
            When an array has another shape.
        """
        self._check(values, uncertainty, prior, u_prior)
        start, u_state, told, known = self._beforehand(values, uncertainty, prior, u_prior)
        extra = self.observation.extra
        readings = values[extra]
        u_readings = self._u_measurements[extra] if uncertainty is None else uncertainty[extra]
        missing = ~(np.isfinite(readings) & (u_readings > 0) & np.isfinite(u_readings))
        if missing.any():
            readings, u_readings = np.where(missing, 0.0, readings), np.where(missing, np.inf, u_readings)
        gain, patch = self._weigh(u_state, u_readings, start)
        scan = Scan(start, u_state, readings, np.flatnonzero(missing), told, known)
        return self._iterate(scan, gain, patch, self._turn(gain, readings, missing), iterations)

    def _check(self, values: Floats, uncertainty: Floats | None, *powers: Complexes | None) -> None:
        shape = (len(self.measurements),)
        for name, array in (("values", values), ("uncertainties", uncertainty)):
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} of shape {shape} expected, one for each measurement, found {array.shape}")
        expected = (len(self.model.loads) + len(self.model.generators), 3)
        for array in powers:
            if array is not None and array.shape != expected:
                raise ValueError(f"powers of shape {expected} expected (loads, then generators), found {array.shape}")

    def _beforehand(
        self, values: Floats, uncertainty: Floats | None, prior: Complexes | None, u_prior: Complexes | None
    ) -> tuple[Floats, Floats, Truths, Truths]:
        """Give the state to be expected, its sigma, and which powers were read, or read or expected."""
        expected = self._expected if prior is None else prior[self._place]
        sigma = self._u_expected if u_prior is None else u_prior[self._place]
        count, sources = self._count, self._sources
        start, u_state = np.zeros(sources + 2 * count), np.empty(sources + 2 * count)
        u_state[:sources] = self._u_sources
        told, known = np.zeros(2 * count, dtype=bool), np.ones(2 * count, dtype=bool)
        u_values = self._u_measurements if uncertainty is None else uncertainty
        for part, (power, u_power) in enumerate(((expected.real, sigma.real), (expected.imag, sigma.imag))):
            first = sources + part * count
            start[first : first + count] = np.where(np.isfinite(power), power, 0.0)
            unknown = ~(np.isfinite(power) & np.isfinite(u_power) & (u_power >= 0))
            u_state[first : first + count] = np.where(unknown, self._unknown, u_power)
            known[part * count : (part + 1) * count] = ~unknown
            read, u_read = values[self._own_index[part]], u_values[self._own_index[part]]
            there = np.isfinite(read) & np.isfinite(u_read) & (u_read > 0)
            at = self._own[part][there]
            start[first + at], u_state[first + at] = read[there], u_read[there]
            told[part * count + at] = known[part * count + at] = True
        return start, u_state, told, known

    def _weigh(self, u_state: Floats, u_readings: Floats, start: Floats) -> tuple[Gain, Patch | None]:
        """Give the gain for these sigmas, with a few rows worked into it where that suffices."""
        gain = self._gain
        if gain is not None:
            wider = u_state > (1.0 + SAME) * gain.u_state
            narrower = gain.u_state > (1.0 + SAME) * u_state
            known = np.isfinite(gain.u_readings)
            removed = known & ~np.isfinite(u_readings)
            with np.errstate(invalid="ignore"):
                others = (known != np.isfinite(u_readings)) & ~removed
                others |= np.abs(u_readings - gain.u_readings) > SAME * gain.u_readings
                others &= ~removed
            rows = np.count_nonzero(wider) + np.count_nonzero(removed)
            if not (narrower.any() or others.any() or rows > PATCHED):
                return gain, self._patched(gain, np.flatnonzero(wider), u_state, np.flatnonzero(removed))
        point = self._operating_point(start)
        dense = self.observation.dense and len(u_state) * self.response.size <= DENSE_STATE
        tangent = tangent_at(self.response, self.observation, self._emf, point, dense=dense)
        self._gain, self._patch = make_gain(tangent, u_state, u_readings), None
        self._last, self._across = np.zeros(len(self._gain.strength)), tangent.seen[: self._count]
        return self._gain, None

    def _patched(self, gain: Gain, widened: Integers, u_state: Floats, removed: Integers) -> Patch | None:
        if not len(widened) and not len(removed):
            return None
        added = np.sqrt(u_state[widened] ** 2 - gain.u_state[widened] ** 2)
        if self._patch is None or not self._patch.fits(widened, added, removed):
            self._patch = make_patch(gain, widened, added, removed)
        return self._patch

    def _operating_point(self, start: Floats) -> Complexes:
        """Let the expected powers flow, as far as the network carries them."""
        inputs = np.concatenate([self.response.emfs, np.zeros(self._count, dtype=complex)])
        unloaded = self.observation.see(inputs)[: self._count]
        powers = self._powers(start)
        across = unloaded
        for _ in range(5):
            inputs[len(self.response.emfs) :] = (powers / across).conj()
            across = self.observation.see(inputs)[: self._count]
            low = np.abs(across) < 0.7 * np.abs(unloaded)
            if low.any():  # expected powers far from the truth: those of the elements without voltage count for nothing
                powers = np.where(low, 0.0, powers)
                across = np.where(low, unloaded, across)
        return inputs

    def _powers(self, state: Floats) -> Complexes:
        middle = self._sources + self._count
        return state[self._sources : middle] + 1j * state[middle:]

    def _turn(self, gain: Gain, readings: Floats, missing: Truths) -> float:
        """Tell by how much the readings' angles are ahead of the model's [rad]."""
        rows = self.observation.angle_rows
        rows = rows[~missing[rows]]
        if not len(rows):
            return 0.0
        expected = self.observation.values(gain.tangent.seen)[rows]
        return float(np.angle(np.exp(1j * (readings[rows] - expected)).sum()))

    def _iterate(self, scan: Scan, gain: Gain, patch: Patch | None, turn: float, iterations: int) -> Estimate:
        emfs, count, directions = len(self.response.emfs), self._count, len(gain.strength)
        more = 0 if patch is None else len(patch.widened)
        along = np.zeros(directions + more)
        along[:directions] = self._last
        moves = gain.moves if patch is None or not more else np.concatenate([gain.moves, patch.moves], axis=1)
        moved = np.concatenate([self.response.emfs, self._powers(scan.start), self._across])
        moved[: emfs + count] += moves[: emfs + count, :directions] @ self._last
        powers, across = moved[emfs : emfs + count], moved[emfs + count :]
        inputs = np.empty(self.response.size, dtype=complex)
        angles, missing, shrink = self.observation.angle_rows, scan.missing, gain.shrink
        change, done = math.inf, 0
        with np.errstate(all="ignore"):
            while True:
                done += 1
                inputs[:emfs] = moved[:emfs]
                np.conjugate(powers / across, out=inputs[emfs:])
                seen = self.observation.see(inputs)
                off = seen[:count] - across
                residuals = scan.readings - self.observation.values(seen)
                if len(angles):
                    residuals[angles] = np.angle(np.exp(1j * (residuals[angles] - turn)))
                if len(missing):
                    residuals[missing] = 0.0
                if patch is None:
                    step = gain.step @ residuals
                    step -= shrink * along
                else:
                    pulled = np.concatenate([gain.strength * (gain.left.T @ residuals), patch.pull.T @ residuals])
                    step = patch.solve(pulled - along)
                along += step
                change = float(np.abs(off).max(initial=0.0)) / self._nominal
                across += off
                # Voltages follow the powers that were corrected just now: seeing that a step late costs iterations.
                moved += moves @ step
                if change <= TOLERANCE or done >= iterations or not math.isfinite(change):
                    break
            inputs[:emfs] = moved[:emfs]
            np.conjugate(powers / across, out=inputs[emfs:])
        converged = change <= TOLERANCE
        self._across = across.copy() if converged else gain.tangent.seen[:count]
        self._last = along[:directions].copy() if converged else np.zeros(directions)
        return Estimate(
            model=self.model,
            measurements=self.measurements,
            gain=gain,
            patch=patch,
            scan=scan,
            inputs=inputs,
            powers=powers,
            along=along,
            residuals=residuals,
            turn=turn,
            iterations=done,
            converged=converged,
            change=change,
        )
