"""
The circuit of a network written down a second time, for judging: from the model's tables, by winding and conductor.

Where it stands: `exact_wls` solves with it, `metering` reads meters off a truth found by another engine. Nothing of
`algorithms.grid` is used: lines are pi circuits, transformers are three pairs of windings joined as their vector group
says, and what is unknown are voltages *and* currents, so that all of Kirchhoff's equations are linear.

Unknowns, complex, in per unit of their own scales: the voltage to earth of every live point, three voltages behind
each source, the current of every phase of every load and generator.
"""

import cmath
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from algorithms.api.network import NetworkModel
from algorithms.api.network_equipment import Connection
from tests.support.exact_points import DEAD, clock_of, letters_of, number_points

BASE = 10e3
"""Power that currents are scaled by [VA]."""
_turn = cmath.rect(1.0, -2 * math.pi / 3)
BEHIND = np.array([1.0, _turn, _turn**2])

Row = dict[int, complex]
"""A linear form of the unknowns, in SI."""


@dataclass(frozen=True)
class Pair:
    """A voltage and the current that it drives into equipment, as forms of the unknowns."""

    voltage: Row
    current: Row


class Circuit:
    """
    Kirchhoff's equations of a network as its switches stand, C x = 0.

    Attributes
    ----------
    at : numpy.ndarray
        Point of each conductor of each node, `EARTH` where it is at earth potential, `DEAD` where dead or absent.
    count : int
        Of points.
    elements : numpy.ndarray
        Row (loads, then generators) and column of every live phase that draws power, shape (e, 2).
    scale : numpy.ndarray
        Of the unknowns, shape (n,) [V], [A].
    constraints : scipy.sparse.csr_array
        C for scaled unknowns, shape (count, n).
    """

    def __init__(self, model: NetworkModel) -> None:
        self.model = model
        points = number_points(model)
        self.at, self.stars, self.shunts, self.count = points.at, points.stars, points.shunts, points.count
        self.nominal = np.ones(self.count)
        for node, row in enumerate(self.at):
            for point in row[row >= 0]:
                self.nominal[point] = model.nodes.nominal_voltage[node]
        self.behind = self.count + 3 * np.arange(len(model.sources))[:, np.newaxis] + np.arange(3)
        tables = (model.loads, model.generators)
        self.element_node = np.concatenate([table.node for table in tables])
        self.delta = np.array([kind == Connection.DELTA for table in tables for kind in table.connection], dtype=bool)
        connected = np.concatenate([table.connected for table in tables])
        alive = self.at[self.element_node][:, :3] != DEAD
        self.elements = np.argwhere(connected & alive)
        self.first_element = self.count + 3 * len(model.sources)
        self.element_at = {(int(row), int(column)): index for index, (row, column) in enumerate(self.elements)}
        at_source = np.repeat(model.nodes.nominal_voltage[model.sources.node], 3)
        of_element = BASE / model.nodes.nominal_voltage[self.element_node[self.elements[:, 0]]]
        self.scale = np.concatenate([self.nominal, at_source, of_element])
        self.size = len(self.scale)
        self.constraints = self._kirchhoff()

    def _kirchhoff(self) -> csr_array:
        """Currents that leave each point through everything add up to nothing."""
        rows: list[int] = []
        columns: list[int] = []
        values: list[complex] = []
        for points, forms in self._equipment():
            for point, form in zip(points, forms, strict=True):
                if point < 0:
                    continue
                for unknown, value in form.items():
                    rows.append(point)
                    columns.append(unknown)
                    values.append(value * self.scale[unknown] * self.nominal[point] / BASE)
        matrix = coo_array((values, (rows, columns)), shape=(self.count, self.size))
        return csr_array(matrix)

    def _equipment(self) -> Iterator[tuple[list[int], list[Row]]]:
        model = self.model
        for row in range(len(model.branches)):
            yield from (self.branch(row, end) for end in (0, 1))
        for row in range(len(model.transformers)):
            yield from (self.transformer(row, end) for end in (0, 1))
        for row in range(len(model.sources)):
            yield self.source(row)
        for index in range(len(self.elements)):
            first, second = self._between(index)
            form = {self.first_element + index: 1.0 + 0j}
            yield [first, second], [form, {key: -value for key, value in form.items()}]
        for point, impedance in self.shunts:
            yield [point], [{point: 1.0 / impedance}]

    def _between(self, index: int) -> tuple[int, int]:
        row, column = self.elements[index]
        at = self.at[self.element_node[row]]
        return int(at[column]), int(at[(column + 1) % 3] if self.delta[row] else at[3])

    def branch(self, row: int, end: int) -> tuple[list[int], list[Row]]:
        """Give points and currents into a branch at one end, by conductor present."""
        table = self.model.branches
        live = np.flatnonzero(table.conductors[row])
        series = np.linalg.inv(table.z[row][np.ix_(live, live)])
        shunt = table.y[row][np.ix_(live, live)] / 2
        ends = (table.from_node[row], table.to_node[row])
        here, there = (self.at[ends[end]][live], self.at[ends[1 - end]][live])
        forms = [_form([(point, series[i, j] + shunt[i, j]) for j, point in enumerate(here)]) for i in range(len(live))]
        for i, form in enumerate(forms):
            for j, point in enumerate(there):
                _add(form, int(point), -series[i, j])
        return [int(point) for point in here], forms

    def transformer(self, row: int, end: int) -> tuple[list[int], list[Row]]:
        """Give points and currents into a transformer at one end: its phases, then its star point."""
        table = self.model.transformers
        letters, clock = letters_of(table.vector_group[row]), clock_of(table.vector_group[row])
        live = np.flatnonzero(table.conductors[row])
        points = [
            [*(int(self.at[node, c]) for c in live), self.stars[row, side]]
            for side, node in enumerate((table.from_node[row], table.to_node[row]))
        ]
        one, other = _windings(letters, clock, len(live))
        squares = table.ratio[row] * (1.0 if letters[0] == "D" or len(live) < 3 else 1 / math.sqrt(3))
        ratio = squares / (1.0 if letters[1] == "d" or len(live) < 3 else 1 / math.sqrt(3))
        tap = table.tap[row]
        turned = 1.0 + (tap.position - tap.neutral) * tap.step if tap is not None and tap.end == 0 else 1.0
        factor = (3.0 if letters[0] == "D" else 1.0) * turned**2
        z, z0 = table.z[row] * factor, table.z0[row] * factor
        k = len(one)
        leakage = np.linalg.inv(z * np.eye(k) + (z0 - z) / 3 * np.ones((k, k)) * (k == 3))
        sides = (one, -ratio * other)
        matrix = [sides[end].T @ leakage @ sides[side] for side in (0, 1)]
        if end == 0 and len(live) == 3:
            magnetising = table.y[row] * (np.eye(3) - np.ones((3, 3)) / 3) + table.y0[row] * np.ones((3, 3)) / 3
            matrix[0][:3, :3] += magnetising
        forms = []
        for i in range(len(points[end])):
            form: Row = {}
            for side in (0, 1):
                for j, point in enumerate(points[side]):
                    _add(form, point, matrix[side][i, j])
            forms.append(form)
        return points[end], forms

    def source(self, row: int) -> tuple[list[int], list[Row]]:
        """Give points and currents into a source: its phases, then its star point."""
        table = self.model.sources
        positive = 1.0 / table.z1[row]
        zero = 1.0 / table.z0[row] if table.has_zero_sequence[row] else 0.0
        matrix = positive * np.eye(3) + (zero - positive) / 3 * np.ones((3, 3))
        at = self.at[table.node[row]]
        forms = []
        for i in range(3):
            form: Row = {}
            for j in range(3):
                _add(form, int(at[j]), matrix[i, j])
                _add(form, int(at[3]), -matrix[i, j])
                _add(form, int(self.behind[row, j]), -matrix[i, j])
            forms.append(form)
        back: Row = {}
        for form in forms:
            for key, value in form.items():
                _add(back, key, -value)
        return [int(point) for point in at], [*forms, back]

    def across(self, node: int, phases: str) -> Row:
        """Give the voltage of a phase to neutral (or earth), or between two phases."""
        at = self.at[node]
        first = int(at["ABC".index(phases[0])])
        second = int(at["ABC".index(phases[1])]) if len(phases) == 2 else int(at[3])
        form: Row = {}
        _add(form, first, 1.0)
        _add(form, second, -1.0)
        return form

    def pairs(self, place: str, phases: str, end: int = 0) -> list[Pair]:
        """Give voltage and current of what is measured at equipment, one for each phase that counts."""
        model = self.model
        for offset, table in ((0, model.loads), (len(model.loads), model.generators)):
            if place in table.rows:
                return self._drawn([offset + table.rows[place]], phases)
        if place in model.nodes.rows:
            node = model.nodes.rows[place]
            return self._drawn(np.flatnonzero(self.element_node == node).tolist(), phases)
        columns = list(phases)
        if place in model.sources.rows:
            row = model.sources.rows[place]
            node, (_, forms), live = int(model.sources.node[row]), self.source(row), [0, 1, 2]
        elif place in model.branches.rows:
            row = model.branches.rows[place]
            node = int((model.branches.from_node, model.branches.to_node)[end][row])
            (_, forms), live = self.branch(row, end), np.flatnonzero(model.branches.conductors[row]).tolist()
        else:
            row = model.transformers.rows[place]
            node = int((model.transformers.from_node, model.transformers.to_node)[end][row])
            (_, forms), live = self.transformer(row, end), np.flatnonzero(model.transformers.conductors[row]).tolist()
        return [
            Pair(self.across(node, letter), forms[live.index("ABC".index(letter))])
            for letter in columns
            if "ABC".index(letter) in live
        ]

    def _drawn(self, rows: list[int], phases: str) -> list[Pair]:
        found = []
        for row in rows:
            for column in range(3) if phases == "ABC" else ["ABC".index(phases[0])]:
                index = self.element_at.get((row, column))
                if index is None or ((len(phases) == 2) != bool(self.delta[row]) and phases != "ABC"):
                    continue
                first, second = self._between(index)
                voltage: Row = {}
                _add(voltage, first, 1.0)
                _add(voltage, second, -1.0)
                found.append(Pair(voltage, {self.first_element + index: 1.0}))
        return found

    def unknowns(self, voltages: Any, power: Any) -> Any:
        """
        Give x in SI for a truth; emfs follow from the currents drawn from the sources.

        Parameters
        ----------
        voltages : numpy.ndarray
            Shape (..., n_nodes, 4) [V].
        power : numpy.ndarray
            Drawn, shape (..., n_loads + n_generators, 3) [VA].

        Returns
        -------
        numpy.ndarray
            Shape (..., n).
        """
        x = np.zeros((*voltages.shape[:-2], self.size), dtype=complex)
        node, conductor = np.nonzero(self.at >= 0)
        x[..., self.at[node, conductor]] = voltages[..., node, conductor]
        self._find_stars(x)
        first, second = (
            np.array([self._between(index) for index in range(len(self.elements))], dtype=int).reshape(-1, 2).T
        )
        across = x[..., first] * (first >= 0) - x[..., second] * (second >= 0)
        drawn = power[..., self.elements[:, 0], self.elements[:, 1]]
        x[..., self.first_element :] = np.conj(drawn / across)
        x[..., self.behind] = self.model.sources.voltage[:, np.newaxis] * BEHIND
        at = np.unique(self.at[self.model.sources.node])
        at = at[at >= 0]
        rows = self.constraints[at, :].toarray() / self.scale
        behind = self.behind.ravel()
        x[..., behind] -= (np.linalg.pinv(rows[:, behind]) @ (rows @ x[..., np.newaxis]))[..., 0]
        return x

    def _find_stars(self, x: Any) -> None:
        """Give star points that are no conductor of a node their voltage: no current leaves there but through them."""
        inside = sorted({star for star in self.stars.values() if star >= 0 and not (self.at == star).any()})
        if inside:
            rows = self.constraints[inside, :].toarray() / self.scale
            others = rows.copy()
            others[:, inside] = 0.0
            x[..., inside] = -(np.linalg.inv(rows[:, inside]) @ (others @ x[..., np.newaxis]))[..., 0]


def _add(form: Row, point: int, value: complex) -> None:
    if point >= 0:
        form[point] = form.get(point, 0.0) + complex(value)


def _form(entries: list[tuple[Any, complex]]) -> Row:
    form: Row = {}
    for point, value in entries:
        _add(form, int(point), value)
    return form


def _windings(letters: tuple[str, str], clock: int, phases: int) -> tuple[Any, Any]:
    """
    Give what lies across each winding, of three phases and the star point, for both sides.

    The low-voltage winding on the same limb is chosen, and its sense, so that its side turns by the clock number.
    """
    if phases < 3:
        between = np.zeros((1, phases + 1))
        between[0, 0], between[0, 1] = 1.0, -1.0
        return between, between if clock == 0 else -between
    if letters[0][0] == "Z" or letters[1][0] == "z":
        raise ValueError("a zigzag winding")

    def side(letter: str) -> Any:
        matrix = np.zeros((3, 4))
        for k in range(3):
            matrix[k, k] = 1.0
            matrix[k, (k + 1) % 3 if letter.upper() == "D" else 3] = -1.0
        return matrix

    one, other = side(letters[0][0]), side(letters[1][0])
    high = np.angle(one[:, :3] @ BEHIND)
    low = np.angle(other[0, :3] @ BEHIND) - math.radians(30 * clock)
    for limb in range(3):
        for sense in (1.0, -1.0):
            if abs(cmath.exp(1j * (high[limb] - low)) - sense) < 1e-9:
                # winding k of the low side sits on limb k + limb
                order = [(k - limb) % 3 for k in range(3)]
                return one, sense * other[order]
    raise ValueError(f"no windings of group {''.join(letters)}{clock}")
