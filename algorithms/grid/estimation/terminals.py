"""
Where a meter's leads go: the points between which it sees a voltage, and what makes up the current it sees.

Where it stands: `observation` asks for both when it writes measurements as equations, `estimate` when somebody asks
for the flow into a piece of equipment. The currents are those of `primitives`, which the network's equations are made
of too.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_equipment import Connection
from algorithms.api.network_tables import Complexes, Integers
from algorithms.grid.estimation.measurement import ALL, PAIRS, PHASES, VOLTAGES, Measurement
from algorithms.grid.estimation.measurement_table import LEADS, NONE
from algorithms.grid.estimation.response import Response
from algorithms.grid.points import EARTH


@dataclass(frozen=True, slots=True)
class Current:
    """A current as a sum over voltages of points [S] and over inputs of `response` [1, S]."""

    points: tuple[tuple[int, complex], ...] = ()
    inputs: tuple[tuple[int, complex], ...] = ()


class Terminals:
    """
    The terminals of a network's equipment.

    Parameters
    ----------
    model : NetworkModel
    response : Response
        Of the same model.

    Attributes
    ----------
    elements : numpy.ndarray
        That of each phase, or pair of phases, of loads, then generators; `NONE` where there is none, shape (n, 3).
    """

    def __init__(self, model: NetworkModel, response: Response) -> None:
        self._model, self._response = model, response
        self._points = response.points
        elements = response.elements
        self.elements: Integers = np.full((len(model.loads) + len(model.generators), 3), NONE, dtype=np.intp)
        self.elements[elements.row, elements.column] = np.arange(len(elements))

    @cached_property
    def _at_node(self) -> dict[int, list[int]]:
        """The elements at each node that has any."""
        found: dict[int, list[int]] = {}
        nodes = np.concatenate([self._model.loads.node, self._model.generators.node])
        for element, node in enumerate(nodes[self._response.elements.row].tolist()):
            found.setdefault(node, []).append(element)
        return found

    def pairs(self, node: Integers, leads: Integers) -> tuple[Integers, Integers]:
        """
        Give the two points of voltages; `EARTH` as the first where one of them is dead or absent.

        Parameters
        ----------
        node : numpy.ndarray
            Shape (k,).
        leads : numpy.ndarray
            Phase or pair of phases, as places in `LEADS`, shape (k,).
        """
        first, pair = leads % 3, leads >= len(PHASES)
        second = np.where(pair, (first + 1) % 3, 3)
        live = self._points.energised[node, first] & (self._points.energised[node, second] | ~pair)
        return np.where(live, self._points.at_node[node, first], EARTH), self._points.at_node[node, second]

    def between(self, measurement: Measurement, phase: str) -> tuple[int, int] | None:
        """Give the two points of a voltage; None where one of them is dead or absent."""
        first, second = self.pairs(np.array([self.node(measurement)]), np.array([LEADS.index(phase)]))
        return None if first[0] == EARTH else (int(first[0]), int(second[0]))

    def phases(self, equipment: str) -> tuple[str, ...]:
        """Give the phases of a piece of equipment, pairs of them for what stands between phases."""
        model = self._model
        for table in (model.loads, model.generators):
            if equipment in table.rows:
                row = table.rows[equipment]
                names = PAIRS if table.connection[row] == Connection.DELTA else PHASES
                return tuple(name for name, there in zip(names, table.connected[row].tolist(), strict=True) if there)
        if equipment in model.sources.rows or equipment in model.nodes.rows:
            node = model.nodes.rows.get(equipment)
            conductors = model.nodes.conductors[
                model.sources.node[model.sources.rows[equipment]] if node is None else node
            ]
        else:
            edges = model.branches if equipment in model.branches.rows else model.transformers
            conductors = edges.conductors[edges.rows[equipment]]
        return tuple(name for name, there in zip(PHASES, conductors[:3].tolist(), strict=True) if there)

    def node(self, measurement: Measurement) -> int:
        """Give the row of the node that a measurement is at."""
        model, place = self._model, measurement.place
        if measurement.quantity in VOLTAGES or place in model.nodes.rows:
            return model.nodes.rows[place]
        for table in (model.loads, model.generators, model.sources):
            if place in table.rows:
                return int(table.node[table.rows[place]])
        edges = model.branches if place in model.branches.rows else model.transformers
        ends = edges.from_node, edges.to_node
        return int(ends[measurement.end][edges.rows[place]])

    def element(self, measurement: Measurement) -> int:
        """Give the element whose power a measurement is, whole and alone; `NONE` where there is no such."""
        model, place = self._model, measurement.place
        columns = range(3) if measurement.phases == ALL else (ALL.index(measurement.phases[0]),)
        loads = len(model.loads)
        if place in model.loads.rows or place in model.generators.rows:
            row = model.loads.rows[place] if place in model.loads.rows else loads + model.generators.rows[place]
            found = [element for element in self.elements[row, list(columns)].tolist() if element != NONE]
        elif place in model.nodes.rows:
            at_node = self._at_node.get(model.nodes.rows[place], [])
            if any(self._delta(element) for element in at_node) and measurement.phases != ALL:
                return NONE  # a pair of phases has no power of one phase
            found = [element for element in at_node if int(self._response.elements.column[element]) in columns]
        else:
            found = []
        return found[0] if len(found) == 1 else NONE

    def _delta(self, element: int) -> bool:
        row, loads = int(self._response.elements.row[element]), len(self._model.loads)
        table, at = (self._model.loads, row) if row < loads else (self._model.generators, row - loads)
        return table.connection[at] == Connection.DELTA

    def current(self, measurement: Measurement, phase: str) -> Current:
        """Give the current into the equipment by a phase."""
        model, place = self._model, measurement.place
        column = ALL.index(phase[0])
        if place in model.branches.rows:
            row = model.branches.rows[place]
            at = np.concatenate(
                [self._points.at_node[model.branches.from_node[row]], self._points.at_node[model.branches.to_node[row]]]
            )
            there = np.tile(model.branches.conductors[row], 2)
            return self._primitive(
                np.where(there, at, EARTH), self._response.branches[row][4 * measurement.end + column]
            )
        if place in model.transformers.rows:
            row = model.transformers.rows[place]
            primitive = self._response.transformers[row][4 * measurement.end + column]
            return self._primitive(self._points.at_transformer[row], primitive)
        if place in model.sources.rows:
            row = model.sources.rows[place]
            primitive = self._response.sources[row][column]
            inside = self._primitive(self._points.at_source[row], primitive)
            return Current(
                inside.points, tuple((3 * row + k, -complex(primitive[k])) for k in range(3) if primitive[k])
            )
        return self._drawn(measurement, phase)

    @staticmethod
    def _primitive(points: Integers, primitive: Complexes) -> Current:
        pairs = zip(points.tolist(), primitive.tolist(), strict=True)
        return Current(tuple((point, value) for point, value in pairs if point != EARTH and value))

    def _drawn(self, measurement: Measurement, phase: str) -> Current:
        """Sum what loads and generators draw by a phase, or from phase to phase."""
        model, place = self._model, measurement.place
        column = ALL.index(phase[0])
        if place in model.nodes.rows:
            elements = self._at_node.get(model.nodes.rows[place], [])
        else:
            row = (
                model.loads.rows[place]
                if place in model.loads.rows
                else len(model.loads) + model.generators.rows[place]
            )
            elements = [element for element in self.elements[row].tolist() if element != NONE]
        inputs, emfs = [], len(self._response.emfs)
        for element in elements:
            own = int(self._response.elements.column[element])
            returns = self._delta(element) and len(phase) == 1 and (own + 1) % 3 == column
            if own == column or returns:
                inputs.append((emfs + element, -1.0 + 0j if returns else 1.0 + 0j))
        return Current(inputs=tuple(inputs))
