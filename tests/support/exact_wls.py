r"""
Weighted least squares without any approximation, to judge the estimator by: slow, general, and built another way.

Where it stands: tests and benchmarks give it the same measurements as `estimation.least_squares.Estimator`. Its
unknowns are all node voltages, source emfs and load currents in rectangular form (`exact_circuit`), Kirchhoff's
equations stand beside the measurements as equality constraints, and the equations

.. math:: \begin{bmatrix} 1 & 0 & H \\ 0 & 0 & C \\ H^T & C^T & 0 \end{bmatrix}
    \begin{bmatrix} \lambda \\ \mu \\ \Delta x \end{bmatrix} = \begin{bmatrix} r \\ -C x \\ 0 \end{bmatrix}

(Hachtel's form; H and r in standard uncertainties) are factorised anew in every iteration, with exact Jacobians. The
covariance of x is the lower right block of the inverse with its sign turned. After A. Gjelsvik, S. Aam and L. Holten,
IEEE Trans. PAS 104:11 (1985) 2987-2993; A. Abur and A. Gomez-Exposito, *Power System State Estimation* (2004), 3.4.

What is known beforehand enters as rows: loads' powers with their own uncertainty where no meter tells them, and the
symmetry of each source. Without a synchrophasor the angle of the first source is held.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu

from algorithms.api.network import NetworkModel
from algorithms.grid.estimation.measurement import Measurement
from tests.support.exact_circuit import BEHIND, Circuit, Pair
from tests.support.exact_rows import Anchor, Problem, Quantity, anchor_rows, held_forms, quantity_of


class ExactWls:
    """A network and its meters, ready to be estimated exactly, again and again."""

    def __init__(
        self,
        model: NetworkModel,
        measurements: Sequence[Measurement],
        *,
        anchor: Anchor = Anchor(),  # noqa: B008 - frozen
    ) -> None:
        self.model, self.measurements = model, tuple(measurements)
        self.circuit = Circuit(model)
        self.sigma = np.array([one.uncertainty for one in measurements], dtype=float)
        self.quantities = [quantity_of(self.circuit, one) for one in measurements]
        self.anchor_rows, self.anchor_values, self.anchor_sigma = anchor_rows(self.circuit, anchor)
        if not any(one.quantity == "voltage-angle" for one in measurements):
            self.held = held_forms(self.circuit)
        else:
            self.held = []
        elements = range(len(self.circuit.elements))
        self.prior_rows = [Quantity(kind, (self._element(index),)) for index in elements for kind in ("p", "q")]
        self.told_by = self._priors_told()
        self._kept: dict[Any, Any] = {}

    def _element(self, index: int) -> Pair:
        row, column = self.circuit.elements[index]
        table = self.model.loads if row < len(self.model.loads) else self.model.generators
        name = table.ids[row if row < len(self.model.loads) else row - len(self.model.loads)]
        pair = "ABC"[column] + ("ABC"[(column + 1) % 3] if self.circuit.delta[row] else "")
        return self.circuit.pairs(name, pair)[0]

    def _priors_told(self) -> dict[int, int]:
        """Give, for each row of what is expected, the first meter that tells that very number."""
        names = [*self.model.loads.ids, *self.model.generators.ids]
        at = {}
        for index, (row, column) in enumerate(self.circuit.elements):
            letters = "ABC"[column] + ("ABC"[(column + 1) % 3] if self.circuit.delta[row] else "")
            at[names[row], letters] = index
        told: dict[int, int] = {}
        for number, one in enumerate(self.measurements):
            index = at.get((one.place, one.phases))
            if index is not None and one.quantity in {"p", "q"}:
                told.setdefault(2 * index + (one.quantity == "q"), number)
        return told

    def estimate(
        self,
        values: Any,
        uncertainty: Any = None,
        *,
        prior: Any = None,
        u_prior: Any = None,
        start: Any = None,
        iterations: int = 100,
        tolerance: float = 1e-9,
        refactor: bool = True,
    ) -> "Exact":
        """
        Estimate once.

        Parameters
        ----------
        values, uncertainty
            Shape (m,); NaN among values did not arrive.
        prior, u_prior
            Complex, shape (n_loads + n_generators, 3) [VA]; those of the model where None.
        start : tuple of numpy.ndarray
            Voltages (n_nodes, 4) and powers (n_loads + n_generators, 3) near the answer.
        refactor : bool
            Whether to factorise in every iteration. Otherwise the factors made first for the same meters are used to
            the end; the point found is the same, since residuals and gradient stay exact.
        """
        sigma = self.sigma if uncertainty is None else np.asarray(uncertainty, dtype=float)
        values = np.asarray(values, dtype=float)
        here = np.flatnonzero(np.isfinite(values))
        expected, u_expected = self._expected(prior, u_prior)
        told = {row for row, meter in self.told_by.items() if np.isfinite(values[meter])}
        flat, u_flat = expected.view(float).ravel(), u_expected.view(float).ravel()
        known = [row for row in range(len(flat)) if row not in told and 0 < u_flat[row] < math.inf]
        rows = [*(self.quantities[i] for i in here), *(self.prior_rows[row] for row in known), *self.anchor_rows]
        targets = np.concatenate([values[here], flat[known], self.anchor_values])
        sigmas = np.concatenate([sigma[here], u_flat[known], self.anchor_sigma])
        problem = Problem(self.circuit, rows, targets, sigmas, self.held)
        x = problem.real(self._start(start, expected))
        count, change = 0, math.inf
        multipliers = np.zeros(problem.total)
        key = (here.tobytes(), sigmas.tobytes())
        while count < iterations and change > tolerance:
            factor = problem.factor(x) if refactor or key not in self._kept else self._kept[key]
            self._kept = {key: factor}
            x, multipliers, change = problem.step(factor, x, multipliers, fresh=refactor)
            count += 1
        if not change <= tolerance:
            raise ArithmeticError(f"the exact estimate still changes by {change:.2g} after {count} iterations")
        return Exact(self, problem, x, here, count)

    def _expected(self, prior: Any, u_prior: Any) -> tuple[Any, Any]:
        tables = (self.model.loads, self.model.generators)
        if prior is None:
            prior = np.concatenate([table.p + 1j * table.q for table in tables])
        if u_prior is None:
            real, imaginary = (np.concatenate([getattr(table, name) for table in tables]) for name in ("u_p", "u_q"))
            u_prior = np.empty(real.shape, dtype=complex)
            u_prior.real, u_prior.imag = real, imaginary
        at = tuple(self.circuit.elements.T)
        return np.ascontiguousarray(prior[at]), np.ascontiguousarray(u_prior[at])

    def _start(self, start: Any, expected: Any) -> Any:
        if start is not None:
            return self.circuit.unknowns(*start)
        # Voltages without load, and currents for the power expected there.
        circuit, x = self.circuit, np.zeros(self.circuit.size, dtype=complex)
        matrix = circuit.constraints.tocsc()
        x[circuit.behind] = self.model.sources.voltage[:, np.newaxis] * BEHIND
        driven = -(matrix[:, circuit.count :] @ (x / circuit.scale)[circuit.count :])
        x[: circuit.count] = splu(csc_array(matrix[:, : circuit.count])).solve(driven) * circuit.nominal
        for index in range(len(expected)):
            across = sum(value * x[key] for key, value in self._element(index).voltage.items())
            x[circuit.first_element + index] = np.conj(expected[index] / across)
        return x


class Exact:
    """
    What exact weighted least squares say; uncertainties are worked out when asked for.

    Attributes
    ----------
    voltages : numpy.ndarray
        To earth, shape (n_nodes, 4) [V].
    power : numpy.ndarray
        Drawn, shape (n_loads + n_generators, 3) [VA].
    objective : float
        J over meters, what is expected, and anchors.
    degrees_of_freedom : int
    residuals : numpy.ndarray
        Measured less estimated; NaN where nothing arrived, shape (m,).
    """

    def __init__(self, of: ExactWls, problem: Problem, x: Any, here: Any, iterations: int) -> None:
        self.of, self.problem, self.x, self.here, self.iterations = of, problem, x, here, iterations
        circuit = of.circuit
        z = problem.complex(x)
        padded = np.concatenate([z[: circuit.count], [0.0, 0.0]])
        self.voltages = padded[circuit.at]
        self.voltages[circuit.at < 0] = 0.0
        self.power = np.zeros((len(circuit.element_node), 3), dtype=complex)
        for index, (row, column) in enumerate(circuit.elements):
            first, second = circuit._between(index)
            u = padded[first] * (first >= 0) - padded[second] * (second >= 0)
            self.power[row, column] = u * np.conj(z[circuit.first_element + index])
        weighted = problem.residuals(x)
        self.objective = float(weighted @ weighted)
        self.degrees_of_freedom = len(weighted) + problem.constraints.shape[0] - 2 * problem.size
        self.residuals = np.full(len(of.measurements), np.nan)
        self.residuals[here] = (weighted * problem.sigmas)[: len(here)]

    @cached_property
    def factor(self) -> Any:
        return self.problem.factor(self.x)

    @cached_property
    def normalised(self) -> Any:
        """Residuals over their own standard deviation; 0 for critical measurements, shape (m,)."""
        spread = self.residual_deviation
        found = np.full(len(self.residuals), np.nan)
        sigma = self.problem.sigmas[: len(self.here)]
        residuals = self.residuals[self.here]
        sure = spread > 3e-5 * sigma
        found[self.here] = np.where(sure, residuals / np.where(sure, spread, 1.0), 0.0)
        return found

    @cached_property
    def residual_deviation(self) -> Any:
        """Standard deviation of the residuals of the meters that arrived [their unit]."""
        units = np.zeros((self.problem.total + 2 * self.problem.size, len(self.here)))
        units[np.arange(len(self.here)), np.arange(len(self.here))] = 1.0
        share = self.factor.solve(units)[np.arange(len(self.here)), np.arange(len(self.here))]
        return np.sqrt(np.maximum(share, 0.0)) * self.problem.sigmas[: len(self.here)]

    def deviation(self, quantities: Sequence[Quantity]) -> Any:
        """Give the standard uncertainty of anything that follows from the estimate."""
        found = np.zeros(len(quantities))
        for start in range(0, len(quantities), 500):
            some = list(quantities[start : start + 500])
            side = Problem(self.of.circuit, some, np.zeros(len(some)), np.ones(len(some)), [])
            gradient = side.evaluate(self.x)[1].toarray().T
            right = np.concatenate([np.zeros((self.problem.total, len(some))), gradient])
            covariance = -self.factor.solve(right)[self.problem.total :]
            found[start : start + 500] = np.sqrt(np.maximum(np.einsum("ij,ij->j", gradient, covariance), 0.0))
        return found

    def values(self, quantities: Sequence[Quantity]) -> Any:
        """Give what follows from the estimate."""
        side = Problem(self.of.circuit, list(quantities), np.zeros(len(quantities)), np.ones(len(quantities)), [])
        return side.evaluate(self.x)[0]

    @cached_property
    def u_magnitude(self) -> Any:
        """Standard uncertainty of phase-to-neutral magnitudes, NaN where there is no phase, shape (n_nodes, 3) [V]."""
        found = np.full((len(self.of.model.nodes), 3), np.nan)
        at = np.argwhere(self.of.circuit.at[:, :3] >= 0)
        rows = [Quantity("voltage", (Pair(self.of.circuit.across(n, "ABC"[c]), {}),)) for n, c in at]
        found[tuple(at.T)] = self.deviation(rows)
        return found

    @cached_property
    def u_power(self) -> Any:
        """Standard uncertainty of P (real part) and Q (imaginary) drawn, as `power`."""
        found = np.zeros(self.power.shape, dtype=complex)
        deviation = self.deviation(self.of.prior_rows)
        found[tuple(self.of.circuit.elements.T)] = deviation[::2] + 1j * deviation[1::2]
        return found
