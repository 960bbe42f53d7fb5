"""
Where a meter's terminal measures power: the equipment, which end of it, and on which phases.

Where it stands: `state_metering` asks it for each terminal of an area. Pure.

Rules:

- What flows through a closed switch is measured at the one piece of equipment behind it; where there are several, only
  the voltage counts.
- What stands between phases has only the power of all three.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_equipment import Connection
from algorithms.api.network_operation import Terminal
from algorithms.grid.estimation.measurement import ALL, PHASES


@dataclass(frozen=True, slots=True)
class Place:
    """Equipment, and which end of it: 0 at its `from_node`, or where it has one end only."""

    equipment: str
    end: int = 0


class Places:
    """
    The places of a network where meters may stand.

    Parameters
    ----------
    model : NetworkModel
    """

    def __init__(self, model: NetworkModel) -> None:
        self._model = model
        self._injections = (model.loads, model.generators)
        self._edges = (model.branches, model.transformers)

    def of(self, terminal: Terminal) -> Place | None:
        """Give where a terminal measures power; None where the model has nothing there."""
        name, node = terminal.equipment, self._model.nodes.rows[terminal.node]
        if name in self._model.switches.rows:
            return self._behind_switch(self._model.switches.rows[name], node)
        if any(name in table.rows for table in (*self._injections, self._model.sources)):
            return Place(name)
        for edges in self._edges:
            if name in edges.rows:
                return Place(name, int(edges.from_node[edges.rows[name]] != node))
        return None

    def _behind_switch(self, switch: int, node: int) -> Place | None:
        switches = self._model.switches
        ends = int(switches.from_node[switch]), int(switches.to_node[switch])
        if not switches.closed[switch] or node not in ends:
            return None
        behind = ends[0] if ends[1] == node else ends[1]
        found: list[Place] = []
        for table in (*self._injections, self._model.sources):
            found += [Place(table.ids[row]) for row in np.flatnonzero(table.node == behind)]
        for edges in self._edges:
            for end, at in enumerate((edges.from_node, edges.to_node)):
                found += [Place(edges.ids[row], end) for row in np.flatnonzero(at == behind)]
        beside = ((switches.from_node == behind) | (switches.to_node == behind)) & switches.closed
        return found[0] if len(found) == 1 and np.count_nonzero(beside) == 1 else None

    def phases(self, place: Place, phases: str) -> Sequence[str]:
        """Give the phases of a terminal by which power flows there; ``ABC`` for what stands between phases."""
        for table in self._injections:
            row = table.rows.get(place.equipment)
            if row is not None:
                if table.connection[row] == Connection.DELTA:
                    return (ALL,) if set(ALL) <= set(phases) else ()
                return [
                    phase
                    for phase, there in zip(PHASES, table.connected[row], strict=True)
                    if there & (phase in phases)
                ]
        for edges in self._edges:
            row = edges.rows.get(place.equipment)
            if row is not None:
                there = edges.conductors[row]
                return [phase for column, phase in enumerate(PHASES) if there[column] and phase in phases]
        return [phase for phase in PHASES if phase in phases]

    def is_feeder(self, place: Place) -> bool:
        """Tell whether a place is no load or generator: there may be a meter of current alone."""
        return not any(place.equipment in table.rows for table in self._injections)

    def usual_power(self, place: Place, phase: str) -> float:
        """Give the power to be expected there; a third of all there is where that is not known [VA]."""
        for table in self._injections:
            row = table.rows.get(place.equipment)
            if row is not None:
                power = np.hypot(table.p[row], table.q[row])
                return float(power.sum() if phase == ALL else power[ALL.index(phase[0])])
        return float(np.hypot(self._model.loads.p, self._model.loads.q).sum() / 3.0)

    def nominal_voltage(self, place: Place) -> float:
        """Give the nominal voltage there, phase to neutral [V]."""
        nominal = self._model.nodes.nominal_voltage
        for table in (*self._injections, self._model.sources):
            row = table.rows.get(place.equipment)
            if row is not None:
                return float(nominal[table.node[row]])
        edges = self._edges[place.equipment not in self._model.branches.rows]
        row = edges.rows[place.equipment]
        return float(nominal[(edges.from_node, edges.to_node)[place.end][row]])

    def nominal_at(self, node: str, phase: str) -> float:
        """Give the nominal voltage of a node between what `phase` names [V]."""
        nominal = float(self._model.nodes.nominal_voltage[self._model.nodes.rows[node]])
        return nominal * math.sqrt(3.0) if len(phase) == 2 else nominal
