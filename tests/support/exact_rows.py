"""
What meters and foreknowledge say as equations of the unknowns of `exact_circuit`, with exact Jacobians.

Where it stands: `exact_wls` minimises them; `metering` reads meters without error by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csc_array, vstack
from scipy.sparse.linalg import splu

from algorithms.grid.estimation.measurement import Measurement
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


def measured(circuit: Circuit, measurements: Sequence[Measurement], voltages: Any, power: Any) -> Any:
    """Give what meters without error would tell of one truth, or of many along the first axis."""
    rows = [quantity_of(circuit, one) for one in measurements]
    problem = Problem(circuit, rows, np.zeros(len(rows)), np.ones(len(rows)), [])
    x = circuit.unknowns(voltages, power)
    if x.ndim == 1:
        return problem.evaluate(problem.real(x))[0]
    return np.array([problem.values(problem.real(one)) for one in x])


def quantity_of(circuit: Circuit, measurement: Measurement) -> Quantity:
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


def anchor_rows(circuit: Circuit, anchor: Anchor) -> tuple[list[Quantity], Any, Any]:
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


def held_forms(circuit: Circuit) -> list[Row]:
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
