r"""
Power flow of any network, meshed or radial, by current injection into the factorised admittance.

Where it stands: one of the two ways of `powerflow`; the general one. With Y and J of `admittance` and the currents
I(U) of `elements`, whose incidence matrix is C, it repeats

.. math:: U \leftarrow C Y^{-1} J - C Y^{-1} C^T I(U)

until the voltages U across the elements stand still; then V follows from one more solution.

Rules:

- Y is factorised once for a position of all switches and taps; powers may change from solution to solution.
- Where elements are few, :math:`Y^{-1} C^T` is kept as a dense matrix and an iteration costs one product with it.
- The iteration contracts where the voltage drop is moderate (below some 25 % of nominal); near the limit of what the
  network can carry it does not, and then it says so.
- A current that would have to return through a chosen reference makes the solution invalid, and is told.

References
----------
T.-H. Chen, M.-S. Chen, K.-J. Hwang, P. Kotas, E. A. Chebli, IEEE Trans. Power Delivery 6:3 (1991) 1146-1152,
doi 10.1109/61.85860 (implicit Z-bus, Gauss). M. Bazrafshan, N. Gatsis, IEEE Trans. Power Systems 33:2 (2018) 1378-1391,
doi 10.1109/TPWRS.2017.2703835 (when it converges).
"""

import math

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Floats
from algorithms.grid.admittance import Admittance, describe, name_of, nodal_admittance
from algorithms.grid.elements import check_power, check_powers, demand, find_elements
from algorithms.grid.factor import Factor
from algorithms.grid.solution import Solution, beyond, verdict, without_return

DENSE_ELEMENTS = 500
"""Up to so many elements their mutual impedances are kept as a dense matrix ..."""
DENSE_ENTRIES = 2_000_000
"""... unless it had more entries than this [1], 32 MB."""


class CurrentInjection:
    """
    A network prepared for any number of solutions.

    Parameters
    ----------
    model : NetworkModel

    Raises
    ------
    NetworkError
        When the network cannot be solved as it stands, with every reason found.
    """

    method = "current injection"

    def __init__(self, model: NetworkModel) -> None:
        self.admittance: Admittance = nodal_admittance(model)
        points = self.admittance.points
        self.elements = find_elements(model, points)
        self.power = demand(model)
        self.references = tuple(describe(model, reference) for reference in self.admittance.references)
        self._names = tuple(name_of(model, points, point) for point in self.elements.first)
        self._into = self.elements.incidence.T.tocsr()
        self._factor = Factor(self.admittance)
        self._unloaded = self._factor.solve(self.admittance.driven)
        few, entries = len(self.elements), len(self.elements) * points.count
        self._reach: Complexes | None = None
        if 0 < few <= DENSE_ELEMENTS and entries <= DENSE_ENTRIES:
            self._reach = self._factor.solve(self.elements.incidence.T.toarray().astype(complex))
            self._mutual = np.ascontiguousarray(self.elements.incidence @ self._reach)

    def solve(self, power: Complexes | None = None, *, tolerance: float = 1e-9, iterations: int = 300) -> Solution:
        """
        Find the voltages.

        Parameters
        ----------
        power : numpy.ndarray or None
            What loads, then generators, draw at nominal voltage, shape (n_loads + n_generators, 3) [VA]; None for what
            the model says.
        tolerance : float
            Largest change of a voltage from one iteration to the next, relative to nominal [1].
        iterations : int
            At most.

        Raises
        ------
        ValueError
            When `power` has another shape or is not finite.
        """
        power = check_power(power, self.power)
        elements = self.elements
        drawing = power[elements.row, elements.column]
        unloaded = elements.incidence @ self._unloaded
        voltages, across, mismatch, count = self._unloaded, unloaded, 0.0, 0
        current, change = np.zeros(len(elements), dtype=complex), np.zeros(len(elements))
        with np.errstate(all="ignore"):
            while len(elements) and count < iterations:
                count += 1
                current = elements.currents(drawing, across)
                if self._reach is None:
                    voltages = self._unloaded - self._factor.solve(self._into @ current)
                    found = elements.incidence @ voltages
                else:
                    found = unloaded - self._mutual @ current
                change = np.abs(found - across) / elements.nominal
                across, mismatch = found, float(change.max())
                if not mismatch > tolerance or not math.isfinite(mismatch):
                    break
            if self._reach is not None:
                voltages = self._unloaded - self._reach @ current
        return self._solution(power.shape, voltages, current, change, count, tolerance)

    def solve_all(self, powers: Complexes, *, tolerance: float = 1e-9, iterations: int = 300) -> tuple[Solution, ...]:
        """
        Find the voltages for many demands at once, each as exactly as `solve` does.

        Parameters
        ----------
        powers : numpy.ndarray
            Shape (s, n_loads + n_generators, 3) [VA]; working space is s voltages for each conductor of each node.
        tolerance, iterations
            As in `solve`.

        Returns
        -------
        tuple of Solution
            In the order of the demands; those that do not converge say so and hold up no other.
        """
        powers = check_powers(powers, self.power)
        elements, size = self.elements, len(powers)
        drawing = np.ascontiguousarray(powers[:, elements.row, elements.column].T)
        unloaded = (elements.incidence @ self._unloaded)[:, np.newaxis]
        nominal = elements.nominal[:, np.newaxis]
        across = np.repeat(unloaded, size, axis=1)
        current, change = np.zeros(across.shape, dtype=complex), np.zeros(across.shape)
        counts = np.zeros(size, dtype=np.intp)
        active = np.arange(size if len(elements) else 0)
        with np.errstate(all="ignore"):
            while len(active) and counts[active[0]] < iterations:
                drawn = elements.currents(drawing[:, active], across[:, active])
                found = unloaded - self._drops(drawn)
                moved = np.abs(found - across[:, active]) / nominal
                current[:, active], across[:, active], change[:, active] = drawn, found, moved
                counts[active] += 1
                largest = moved.max(axis=0)
                active = active[(largest > tolerance) & np.isfinite(largest)]
            voltages = self._unloaded[:, np.newaxis] - self._voltage_drops(current)
        voltages = np.ascontiguousarray(voltages.T)
        return tuple(
            self._solution(
                powers.shape[1:], voltages[row], current[:, row], change[:, row], int(counts[row]), tolerance
            )
            for row in range(size)
        )

    def _voltage_drops(self, current: Complexes) -> Complexes:
        """Give what currents of elements take from the voltages of points."""
        if self._reach is not None:
            return self._reach @ current
        return self._factor.solve(self._into @ current)

    def _drops(self, current: Complexes) -> Complexes:
        """Give what currents of elements take from the voltages across them."""
        if self._reach is not None:
            return self._mutual @ current
        drops: Complexes = self.elements.incidence @ self._factor.solve(self._into @ current)
        return drops

    def _solution(  # noqa: PLR0917 - what an iteration leaves
        self,
        shape: tuple[int, ...],
        voltages: Complexes,
        current: Complexes,
        change: Floats,
        count: int,
        tolerance: float,
    ) -> Solution:
        elements, points = self.elements, self.admittance.points
        mismatch = float(change.max(initial=0.0))
        worst = self._names[int(np.argmax(np.nan_to_num(change, nan=np.inf)))] if len(elements) else ""
        reason = verdict(mismatch, tolerance, count, worst) or self._returning(voltages, current)
        reason = reason or beyond(elements.incidence @ voltages, elements.nominal, self._names)
        drawn = np.zeros(shape, dtype=complex)
        drawn[elements.row, elements.column] = current
        return Solution(
            voltages=np.append(voltages, 0.0)[points.at_node],
            energised=points.energised,
            currents=drawn,
            converged=not reason,
            iterations=count,
            mismatch=mismatch,
            worst=worst,
            reason=reason,
            references=self.references,
            method=self.method,
        )

    def _returning(self, voltages: Complexes, current: Complexes) -> str:
        """Tell which reference current would have to return through, if any."""
        for reference, words in zip(self.admittance.references, self.references, strict=True):
            at = list(reference.points)
            anchor = self.admittance.anchors
            returning = float(np.abs(anchor[[at[0]], :] @ voltages)[0]) * len(at)
            rounding = 1e-10 * float(abs(anchor[at[0], at[0]])) * len(at) * float(self.admittance.nominal[at[0]])
            if returning > 1e-6 * float(np.abs(current).max(initial=0.0)) + rounding:
                return without_return(returning, words)
        return ""
