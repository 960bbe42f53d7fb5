r"""
Weighted least squares without any approximation, to judge the estimator by: slow, general, and built another way.

Where it stands: tests and benchmarks give it the same measurements as `algorithms.grid.least_squares.Estimator`. Its
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
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csc_array, vstack
from scipy.sparse.linalg import splu

from algorithms.api.network import NetworkModel
from algorithms.grid.measurement import Measurement
from tests.support.exact_circuit import BEHIND, Circuit, Pair, Row


@dataclass(frozen=True)
class Anchor:
    """Standard uncertainty of each source: unbalance and magnitude, relative [1]; angle of all but the first [rad]."""

    negative_sequence: float = 0.01
    zero_sequence: float = 0.01
    magnitude: float = 0.2
    angle: float = 0.05


@dataclass(frozen=True)
class Quantity:
    """One row: what it is (``voltage``, ``p``, ``re``...), of which forms."""

    kind: str
    pairs: tuple[Pair, ...]


class ExactWls:
    """A network and its meters, ready to be estimated exactly, again and again."""

    def __init__(
        self,
        model: NetworkModel,
        measurements: Sequence[Measurement],
        *,
        anchor: Anchor = Anchor(),
    ) -> None:
        self.model, self.measurements = model, tuple(measurements)
        self.circuit = Circuit(model)
        self.sigma = np.array([one.uncertainty for one in measurements], dtype=float)
        self.quantities = [_quantity(self.circuit, one) for one in measurements]
        self.anchor_rows, self.anchor_values, self.anchor_sigma = _anchor(self.circuit, anchor)
        if not any(one.quantity == "voltage-angle" for one in measurements):
            self.held = _held(self.circuit)
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


class Problem:
    """One set of rows, targets and uncertainties; x holds real, then imaginary parts, scaled."""

    def __init__(self, circuit: Circuit, rows: list[Quantity], targets: Any, sigmas: Any, held: list[Row]) -> None:
        self.circuit, self.rows, self.targets, self.sigmas = circuit, rows, targets, sigmas
        self.size = circuit.size
        self.scale = circuit.scale
        # Every pair of every row is a voltage and a current: two stacks of linear forms.
        self.owner = np.array([i for i, row in enumerate(rows) for _ in row.pairs], dtype=int)
        self.kinds = np.array([row.kind for row in rows for _ in row.pairs], dtype=object)
        self.angles = np.array([row.kind.endswith("angle") for row in rows], dtype=bool)
        pairs = [pair for row in rows for pair in row.pairs]
        self.voltage = _stack([pair.voltage for pair in pairs], self.scale)
        self.current = _stack([pair.current for pair in pairs], self.scale)
        equations = circuit.constraints
        fixed = _stack(held, self.scale)
        self.constraints = _vertical([_turned(equations, 1.0), _turned(equations, -1j), _turned(fixed, -1j)])
        self.total = len(rows) + self.constraints.shape[0]

    def real(self, x: Any) -> Any:
        scaled = x / self.scale
        return np.concatenate([scaled.real, scaled.imag])

    def complex(self, x: Any) -> Any:
        return (x[: self.size] + 1j * x[self.size :]) * self.scale

    def evaluate(self, x: Any) -> tuple[Any, csc_array]:
        """Give h(x) and its Jacobian, both over sigma."""
        z = x[: self.size] + 1j * x[self.size :]
        u, i = self.voltage @ z, self.current @ z
        # d value = Re(of_u du + of_i di)
        value, of_u, of_i = _derivatives(self.kinds, u, i)
        h = np.bincount(self.owner, value, minlength=len(self.rows))
        inner = coo_array(
            (1.0 / self.sigmas[self.owner], (self.owner, np.arange(len(self.owner)))),
            shape=(len(self.rows), len(self.owner)),
        ).tocsr()
        forms = _diagonal(of_u) @ self.voltage + _diagonal(of_i) @ self.current
        return h / self.sigmas, inner @ _turned(forms, 1.0)

    def values(self, x: Any) -> Any:
        """Give h(x) over sigma."""
        z = x[: self.size] + 1j * x[self.size :]
        value = _derivatives(self.kinds, self.voltage @ z, self.current @ z)[0]
        return np.bincount(self.owner, value, minlength=len(self.rows)) / self.sigmas

    def residuals(self, x: Any) -> Any:
        """Give readings less h(x), over sigma."""
        off = self.targets - self.values(x) * self.sigmas
        return np.where(self.angles, np.angle(np.exp(1j * off)), off) / self.sigmas

    def _shortened(self, x: Any, change: Any, violated: Any) -> Any:
        """Halve a step along Kirchhoff's equations until J falls: |I| near 0 and unknown loads bend equations a lot."""
        if np.abs(violated).max(initial=0.0) > 1e-6:
            return change
        before = float((self.residuals(x) ** 2).sum())
        for _ in range(20):
            if float((self.residuals(x + change) ** 2).sum()) <= before * (1 + 1e-12) + 1e-9:
                break
            change = change / 2
        return change

    def factor(self, x: Any) -> Any:
        _, jacobian = self.evaluate(x)
        m, k = len(self.rows), self.constraints.shape[0]
        lower = _vertical([jacobian, self.constraints]).tocoo()
        n = 2 * self.size
        rows = np.concatenate([np.arange(m), lower.row, m + k + lower.col])
        columns = np.concatenate([np.arange(m), m + k + lower.col, lower.row])
        values = np.concatenate([np.ones(m), lower.data, lower.data])
        return splu(csc_array(coo_array((values, (rows, columns)), shape=(m + k + n, m + k + n))))

    def step(self, factor: Any, x: Any, multipliers: Any, *, fresh: bool) -> tuple[Any, Any, float]:
        _, jacobian = self.evaluate(x)
        residual = self.residuals(x)
        lower = _vertical([jacobian, self.constraints])
        violated = -(self.constraints @ x)
        if fresh:
            right = np.concatenate([residual, violated, np.zeros(2 * self.size)])
            found = factor.solve(right)
            multipliers, change = found[: self.total], self._shortened(x, found[self.total :], violated)
        else:
            # The residuals of H(x)' lambda + C' mu = 0, lambda = r(x), C x = 0.
            m = len(self.rows)
            right = np.concatenate([residual - multipliers[:m], violated, -(lower.T @ multipliers)])
            found = factor.solve(right)
            multipliers, change = multipliers + found[: self.total], found[self.total :]
        return x + change, multipliers, float(np.abs(change).max())


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


def measured(circuit: Circuit, measurements: Sequence[Measurement], voltages: Any, power: Any) -> Any:
    """Give what meters without error would tell of one truth, or of many along the first axis."""
    rows = [_quantity(circuit, one) for one in measurements]
    problem = Problem(circuit, rows, np.zeros(len(rows)), np.ones(len(rows)), [])
    x = circuit.unknowns(voltages, power)
    if x.ndim == 1:
        return problem.evaluate(problem.real(x))[0]
    return np.array([problem.values(problem.real(one)) for one in x])


def _quantity(circuit: Circuit, measurement: Measurement) -> Quantity:
    kind = str(measurement.quantity)
    if kind in {"voltage", "voltage-angle"}:
        node = circuit.model.nodes.rows[measurement.place]
        return Quantity(kind, (Pair(circuit.across(node, measurement.phases), {}),))
    pairs = circuit.pairs(measurement.place, measurement.phases, measurement.end)
    if kind in {"current", "current-angle"}:
        joined: Row = {}
        for pair in pairs:
            for key, value in pair.current.items():
                joined[key] = joined.get(key, 0.0) + value
        return Quantity(kind, (Pair({}, joined),))
    return Quantity(kind, tuple(pairs))


def _derivatives(kinds: Any, u: Any, i: Any) -> tuple[Any, Any, Any]:
    value = np.zeros(len(kinds))
    of_u, of_i = np.zeros(len(kinds), dtype=complex), np.zeros(len(kinds), dtype=complex)
    for kind in set(kinds):
        at = kinds == kind
        s = u[at] * np.conj(i[at])
        if kind in {"voltage", "current"}:
            w, into = (u, of_u) if kind == "voltage" else (i, of_i)
            value[at] = np.abs(w[at])
            into[at] = np.conj(w[at]) / np.maximum(np.abs(w[at]), 1e-12)
        elif kind in {"voltage-angle", "current-angle"}:
            w, into = (u, of_u) if kind == "voltage-angle" else (i, of_i)
            value[at] = np.angle(w[at])
            into[at] = -1j / w[at]
        elif kind == "p":
            value[at], of_u[at], of_i[at] = s.real, np.conj(i[at]), np.conj(u[at])
        elif kind == "q":
            # Im(u i*): Im(du i*) = Re(-j i* du); Im(u di*) = Re(j u* di)
            value[at], of_u[at], of_i[at] = s.imag, -1j * np.conj(i[at]), 1j * np.conj(u[at])
        else:
            value[at], of_u[at] = (u[at].real, 1.0) if kind == "re" else (u[at].imag, -1j)
    return value, of_u, of_i


def _anchor(circuit: Circuit, anchor: Anchor) -> tuple[list[Quantity], Any, Any]:
    """Every source is nearly symmetrical, and has about the magnitude that the model says."""
    rows, values, sigmas = [], [], []
    turn = np.conj(BEHIND)
    for source, at in enumerate(circuit.behind):
        emf = circuit.model.sources.voltage[source]
        back = np.conj(emf) / abs(emf)
        sequences = {"negative": np.conj(turn), "zero": np.ones(3), "positive": turn}
        for name, weights in sequences.items():
            form = {int(point): complex(weight * back / 3) for point, weight in zip(at, weights, strict=True)}
            if name == "positive":
                rows.append(Quantity("re", (Pair(form, {}),)))
                values.append(abs(emf))
                sigmas.append((circuit.model.sources.voltage_uncertainty[source] or anchor.magnitude) * abs(emf))
                if source:
                    rows.append(Quantity("im", (Pair(form, {}),)))  # sources of one island
                    values.append(0.0)
                    sigmas.append(anchor.angle * abs(emf))
                continue
            relative = anchor.negative_sequence if name == "negative" else anchor.zero_sequence
            rows += [Quantity("re", (Pair(form, {}),)), Quantity("im", (Pair(form, {}),))]
            values += [0.0, 0.0]
            sigmas += [relative * abs(emf)] * 2
    return rows, np.array(values), np.array(sigmas)


def _held(circuit: Circuit) -> list[Row]:
    """Give what turns all voltages together: the positive sequence of the first source across its own direction."""
    back = np.conj(circuit.model.sources.voltage[0]) / abs(circuit.model.sources.voltage[0])
    return [{int(point): complex(w * back / 3) for point, w in zip(circuit.behind[0], np.conj(BEHIND), strict=True)}]


def _stack(forms: Sequence[Row], scale: Any) -> Any:
    rows = [row for row, form in enumerate(forms) for _ in form]
    columns = [unknown for form in forms for unknown in form]
    values = np.array([value for form in forms for value in form.values()], dtype=complex)
    matrix = coo_array((values * scale[columns], (rows, columns)), shape=(len(forms), len(scale)))
    return matrix.tocsr()


def _turned(forms: Any, by: complex) -> Any:
    """Give the real part of `by` times complex forms, over real and imaginary parts of the unknowns."""
    coo = forms.tocoo()
    value = coo.data * by
    rows = np.concatenate([coo.row, coo.row])
    columns = np.concatenate([coo.col, coo.col + forms.shape[1]])
    shape = (forms.shape[0], 2 * forms.shape[1])
    return coo_array((np.concatenate([value.real, -value.imag]), (rows, columns)), shape=shape).tocsr()


def _vertical(parts: Sequence[Any]) -> Any:
    return vstack(parts, format="csr")


def _diagonal(values: Any) -> Any:
    at = np.arange(len(values))
    return coo_array((values, (at, at)), shape=(len(values), len(values))).tocsr()
