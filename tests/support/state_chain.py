"""
Three levels of state estimation in one process: plug-ins of all areas of a network, fed with readings of its truth.

Truth comes from another engine (`metering.find_truth`); what meters would tell of it from `exact_circuit`. The plug-ins
are the real ones, each with the area that the catalog would cut for it, and talk through the records they return.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from algorithms.api import wire
from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.grid_records import GridState
from algorithms.api.network import NetworkModel
from algorithms.api.network_area import Areas
from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_operation import Area, Level
from algorithms.api.network_reader import parse
from algorithms.api.readings import ChannelReading, PowerReading
from algorithms.api.records import AngleReference, Event, MeasurementFrame
from algorithms.builtin.states.concentrator_state import ConcentratorState
from algorithms.builtin.states.lv_state import LvState
from algorithms.builtin.states.mv_state import MvState
from algorithms.grid.estimation.measurement import Measurement, Quantity
from tests.support.exact_circuit import Circuit
from tests.support.exact_rows import measured
from tests.support.metering import Accuracy, Truth

PLUGINS: dict[Level, type[Algorithm]] = {
    Level.CONCENTRATOR: ConcentratorState,
    Level.LV: LvState,
    Level.MV: MvState,
}
MINUTE = 60 * wire.NANOSECONDS
START_NS = 1_790_000_040 * wire.NANOSECONDS
"""The beginning of a minute."""

CLASS_1 = Accuracy()

_order = (Level.CONCENTRATOR, Level.LV, Level.MV)


class Meters:
    """
    What the meters of a network tell of a true state.

    Parameters
    ----------
    model : NetworkModel
        The whole network.
    """

    def __init__(self, model: NetworkModel) -> None:
        self.model = model
        self._circuit = Circuit(model)
        self._wanted: list[tuple[str, Measurement]] = []
        for terminal in model.terminals:
            if not terminal.device:
                continue
            for phase in terminal.phases.replace("N", ""):
                self._want(terminal.id, Quantity.VOLTAGE, terminal.node, phase)
                if terminal.equipment:
                    end = self._end(terminal.equipment, terminal.node)
                    for quantity in (Quantity.P, Quantity.Q):
                        self._want(terminal.id, quantity, terminal.equipment, phase, end)

    def _want(self, terminal: str, quantity: Quantity, place: str, phase: str, end: int = 0) -> None:
        name = f"{terminal}.{quantity}.{phase}"
        self._wanted.append((terminal, Measurement(name, quantity, place, phase, 1.0, end)))

    def _end(self, equipment: str, node: str) -> int:
        for edges in (self.model.branches, self.model.transformers):
            if equipment in edges.rows:
                return int(edges.from_node[edges.rows[equipment]] != self.model.nodes.rows[node])
        return 0

    def read(
        self,
        truth: Truth,
        time_ns: int,
        rng: np.random.Generator | None = None,
        accuracy: Accuracy = CLASS_1,
        window: float = 60.0,
    ) -> dict[str, MeasurementFrame]:
        """Give a frame of each meter's terminal; without errors where there is no `rng`."""
        forms = [form for _, form in self._wanted]
        exact = measured(self._circuit, forms, truth.voltages, truth.power)
        floor = 0.1 * float(np.abs(truth.power[truth.power != 0]).mean())
        kinds = np.array([form.quantity for form in forms], dtype=object)
        sigma = np.zeros(len(forms))
        for quantity in set(kinds):
            at = kinds == quantity
            sigma[at] = accuracy.standard(quantity, exact[at], floor)
        values = exact if rng is None else exact + rng.standard_normal(len(forms)) * sigma
        readings: dict[str, dict[tuple[Quantity, str], tuple[float, float]]] = {}
        for (terminal, form), value, u in zip(self._wanted, values.tolist(), sigma.tolist(), strict=True):
            readings.setdefault(terminal, {})[form.quantity, form.phases] = value, u
        return {name: frame_of(name, found, time_ns, window) for name, found in readings.items()}


def frame_of(
    terminal: str, found: Mapping[tuple[Quantity, str], tuple[float, float]], time_ns: int, window: float = 60.0
) -> MeasurementFrame:
    """Write readings, each with its standard uncertainty, as a meter does."""
    voltage, power = {}, {}
    for quantity, phase in found:
        value, u = found[quantity, phase]
        if quantity is Quantity.VOLTAGE:
            voltage[phase] = ChannelReading(value, 0.0, u, 0.001, value, u)
        elif quantity is Quantity.P:
            q, u_q = found[Quantity.Q, phase]
            size = float(np.hypot(value, q))
            power[phase] = PowerReading(value, u, q, u_q, size, u, None, None)
    return MeasurementFrame(
        terminal=terminal, time_ns=time_ns, time_uncertainty=1e-3, window=window, reference=AngleReference.OWN,
        frequency=None, rocof=None, voltage=voltage, current={}, power=power,
    )  # fmt: skip


class Chain:
    """
    The plug-ins of all areas of a network.

    Parameters
    ----------
    document : NetworkDocument
    settings : mapping
        By level.
    without : iterable of str
        Areas that somebody else estimates.

    Attributes
    ----------
    areas : dict
        By id.
    models : dict
        What each area's plug-in was given.
    events : list of Event
    """

    def __init__(
        self,
        document: NetworkDocument,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        without: Iterable[str] = (),
    ) -> None:
        cutter = Areas(document)
        skipped = set(without)
        self.areas: dict[str, Area] = {
            area.id: area
            for area in sorted(document.areas, key=lambda area: _order.index(area.level))
            if area.id not in skipped
        }
        self.models = {name: parse(cutter.cut(name)) for name in self.areas}
        self.plugins: dict[str, Algorithm] = {}
        self.events: list[Event] = []
        self._above = {
            below.id: name for name, model in self.models.items() for below in model.areas if not below.nodes
        }
        self._reads = {terminal.id: name for name, model in self.models.items() for terminal in model.terminals}
        for name, area in self.areas.items():
            plugin = PLUGINS[area.level]((settings or {}).get(area.level, {}))
            plugin.start(Context(device=area.device, network=self.models[name]), None)
            self.plugins[name] = plugin

    @property
    def devices(self) -> list[str]:
        """Meters whose frames are read."""
        return sorted({terminal.device for model in self.models.values() for terminal in model.terminals})

    @property
    def fed_by(self) -> list[str]:
        """Areas whose states are read."""
        return sorted(self._above)

    def takers(self, record: Any) -> list[str]:
        """Name the areas whose plug-ins take a record."""
        name = self._above.get(record.area) if isinstance(record, GridState) else self._reads.get(record.terminal)
        return [] if name is None else [name]

    def reader_of(self, terminal: str) -> str:
        """Name the area whose plug-in takes the readings of a terminal."""
        return self._reads[terminal]

    def tick(self, now_ns: int) -> dict[str, GridState]:
        """Tell all what time it is; return the states that follow."""
        states: dict[str, GridState] = {}
        for name, plugin in self.plugins.items():
            self._up(name, plugin.tick(now_ns), states)
        return states

    def feed(self, frames: Iterable[MeasurementFrame]) -> dict[str, GridState]:
        """Hand over frames; return the states that follow."""
        states: dict[str, GridState] = {}
        for frame in frames:
            name = self._reads[frame.terminal]
            self._up(name, self.plugins[name].process(frame), states)
        return states

    def _up(self, name: str, records: Iterable[Any], states: dict[str, GridState]) -> None:
        for record in records:
            if isinstance(record, Event):
                self.events.append(record)
                continue
            assert isinstance(record, GridState)
            states[name] = record
            above = self._above.get(name)
            if above is not None:
                self._up(above, self.plugins[above].process(sent(record)), states)


def sent(state: GridState) -> GridState:
    """Send a state over the wire, and read it again."""
    header = wire.Header("m-1", 1, 1, 1, state.time_ns)
    _, received = wire.decode(wire.encode(state, header), 256 * 1024)
    assert isinstance(received, GridState)
    return received


def size_of(state: GridState) -> int:
    """Give the length of a state as a message [bytes]."""
    return len(wire.encode(state, wire.Header("m-1", 1, 1, 1, state.time_ns)))


def document_of(document: Mapping[str, Any] | NetworkDocument) -> NetworkDocument:
    """Read a document without judging it again."""
    if isinstance(document, NetworkDocument):
        return document
    return msgspec.convert(document, NetworkDocument)
