"""
Who measures what in an area: its meters and the areas below it as sources, and their records as rows of numbers.

Where it stands: made once from the network model; `area_state` asks it for the row of a record, and gives
`measurements` to the estimator.

Rules:

- A meter's terminal gives |V| of its node, and P and Q into its equipment, phase by phase; the sum of the phases for
  what stands between phases; of feeders |I| where there is a current but no power. Angles are not used: their mean over
  an interval says nothing.
- A meter of one phase belongs on the phase its terminal names, whatever it calls that phase itself.
- An area below gives |V| at its head, by phase or, above 1 kV, by pair of phases, and P and Q of all it draws.
- The sum of an area's phases is no reading beside theirs: one fault is in all of them, and would count twice. It serves
  where the phases are not told.
- The state of an area whose readings contradict each other a little is used as unsure as it says. One whose readings
  are `TORN` apart is not used: a gross fault is no matter of scale, and the forecast of the area is at least not wrong
  by a factor of 1000.
- A reading of a clipped or dead meter counts as having come, and says nothing.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from algorithms.api.grid_records import GridState
from algorithms.api.network import NetworkModel
from algorithms.api.network_area import areas_below, below_id
from algorithms.api.network_operation import Area, Terminal
from algorithms.api.network_tables import Integers, Truths
from algorithms.api.records import MeasurementFrame, Quality
from algorithms.builtin.states.state_places import Place, Places
from algorithms.grid.estimation.measurement import ALL, PAIRS, PHASES, Measurement, Quantity

USELESS = frozenset((Quality.CLIPPED, Quality.DEAD))
MEDIUM_VOLTAGE = 1000.0
"""Above this, line to line, an area may know its head's voltages between phases only [V]."""
EXPECTED_CLASS = 0.01
"""Relative standard uncertainty that the estimator is made for; each reading brings its own [1]."""
NOTHING = (math.nan, math.nan)
TORN = 3.0
"""Ratio of Birge, sqrt(J / degrees of freedom), above which no figure of a state is used in the area above [1]."""


@dataclass(frozen=True, slots=True)
class Floors:
    """
    Least standard uncertainties that are believed.

    Attributes
    ----------
    voltage : float
        Relative to nominal [1].
    power : float
        [VA]
    """

    voltage: float
    power: float


@dataclass(frozen=True, slots=True)
class Column:
    """
    One value of a source.

    Attributes
    ----------
    quantity : Quantity
    key : str
        Phase or pair as the source calls it; ``ABC`` for all.
    measurement : int
        Its place among the measurements.
    partner : int
        The column it makes a complex power with; itself where there is none.
    """

    quantity: Quantity
    key: str
    measurement: int
    partner: int


@dataclass(frozen=True)
class Source:
    """
    A meter's terminal, or an area below.

    Attributes
    ----------
    name : str
    area : Area or None
        None for a terminal.
    columns : tuple of Column
    """

    name: str
    area: Area | None
    columns: tuple[Column, ...]

    @cached_property
    def places(self) -> Integers:
        """Which measurements the columns are, shape (m,)."""
        return np.array([column.measurement for column in self.columns], dtype=np.intp)

    @cached_property
    def partners(self) -> Integers:
        """For each column the one it makes a complex power with, shape (m,)."""
        return np.array([column.partner for column in self.columns], dtype=np.intp)

    @cached_property
    def of_voltage(self) -> Truths:
        """Which columns are voltages, shape (m,), bool."""
        return np.array([column.quantity is Quantity.VOLTAGE for column in self.columns], dtype=bool)

    def row(self, record: MeasurementFrame | GridState) -> tuple[float, ...]:
        """Give values and standard uncertainties in turn, NaN for what the record does not say."""
        found: list[float] = []
        pairs = _of_state(record, self) if isinstance(record, GridState) else _of_frame(record, self)
        for pair in pairs:
            found.extend(pair)
        return tuple(found)


class Metering:
    """
    The sources of an area.

    Parameters
    ----------
    model : NetworkModel
    floors : Floors

    Attributes
    ----------
    sources : tuple of Source
    measurements : tuple of Measurement
    least : numpy.ndarray
        Least standard uncertainty of each measurement, shape (m,).
    """

    def __init__(self, model: NetworkModel, floors: Floors) -> None:
        self._model = model
        self._places = Places(model)
        self._floors = floors
        self._measurements: list[Measurement] = []
        self._least: list[float] = []
        sources = [self._terminal(terminal) for terminal in model.terminals if terminal.device]
        sources += [self._area(area) for area in areas_below(model.areas)]
        self.sources = tuple(source for source in sources if source.columns)
        self.measurements = tuple(self._measurements)
        self.least = np.array(self._least)
        self._by_area = {source.name: number for number, source in enumerate(self.sources) if source.area is not None}
        self._by_name = {source.name: number for number, source in enumerate(self.sources) if source.area is None}
        devices = Counter(terminal.device for terminal in model.terminals)
        for terminal in model.terminals:  # a meter that was not told its terminal's name says its own
            if devices[terminal.device] == 1 and terminal.id in self._by_name:
                self._by_name.setdefault(terminal.device, self._by_name[terminal.id])

    def find(self, record: MeasurementFrame | GridState) -> int | None:
        """Give the number of the source a record comes from; None for a stranger."""
        if isinstance(record, MeasurementFrame):
            return self._by_name.get(record.terminal)
        number = self._by_area.get(record.area)
        area = None if number is None else self.sources[number].area
        if area is None or record.level != area.level:
            return None
        elsewhere = record.equivalent is not None and record.equivalent.node != area.head
        return None if elsewhere else number

    def _terminal(self, terminal: Terminal) -> Source:
        columns = _Columns(terminal.id, self._add)
        for phase in PHASES:
            if phase in terminal.phases:
                columns.voltage(phase, terminal.node, self._places.nominal_at(terminal.node, phase))
        place = self._places.of(terminal)
        if place is not None:
            for phase in self._places.phases(place, terminal.phases):
                columns.powers(phase, place, self._places.usual_power(place, phase))
                if self._places.is_feeder(place):
                    usual, voltage = self._places.usual_power(place, phase), self._places.nominal_voltage(place)
                    columns.current(phase, place, usual / voltage, voltage)
        return Source(terminal.id, None, tuple(columns.found))

    def _area(self, area: Area) -> Source:
        columns = _Columns(area.id, self._add)
        loads, place = self._model.loads, Place(below_id(area.id))
        row = loads.rows.get(place.equipment)
        if row is not None:
            phases = [phase for phase, there in zip(PHASES, loads.connected[row].tolist(), strict=True) if there]
            nodes, node = self._model.nodes, loads.node[row]
            pairs = [pair for pair in PAIRS if set(pair) <= set(phases)]
            bare = nodes.base_voltage[node] > MEDIUM_VOLTAGE and not nodes.conductors[node, 3]
            for key in (*phases, *pairs) if bare else phases:  # it tells one or the other
                columns.voltage(key, area.head, self._places.nominal_at(area.head, key))
            for phase in (*phases, ALL) if bare else phases:
                columns.powers(phase, place, self._places.usual_power(place, phase))
        return Source(area.id, area, tuple(columns.found))

    def _add(self, source: str, quantity: Quantity, phase: str, place: Place, usual: float, nominal: float) -> int:  # noqa: PLR0917
        """Add a measurement of a usual size, `nominal` [V] being the voltage that belongs to it."""
        if quantity is Quantity.VOLTAGE:
            least = self._floors.voltage * nominal
        else:
            least = self._floors.power / (nominal if quantity is Quantity.CURRENT else 1.0)
        uncertainty = max(EXPECTED_CLASS * usual, least)
        name = f"{source}.{quantity}.{phase}"
        self._measurements.append(Measurement(name, quantity, place.equipment, phase, uncertainty, place.end))
        self._least.append(least)
        return len(self._measurements) - 1


class _Columns:
    """The columns of one source as they are found."""

    def __init__(self, source: str, add: Callable[[str, Quantity, str, Place, float, float], int]) -> None:
        self._source, self._add = source, add
        self.found: list[Column] = []

    def voltage(self, phase: str, node: str, nominal: float) -> None:
        self._put(Quantity.VOLTAGE, phase, Place(node), nominal, nominal, 0)

    def powers(self, phase: str, place: Place, usual: float) -> None:
        self._put(Quantity.P, phase, place, usual, 0.0, 1)
        self._put(Quantity.Q, phase, place, usual, 0.0, -1)

    def current(self, phase: str, place: Place, usual: float, nominal: float) -> None:
        self._put(Quantity.CURRENT, phase, place, usual, nominal, 0)

    def _put(self, quantity: Quantity, phase: str, place: Place, usual: float, nominal: float, partner: int) -> None:  # noqa: PLR0917
        index = self._add(self._source, quantity, phase, place, usual, nominal)
        self.found.append(Column(quantity, phase, index, len(self.found) + partner))


def _of_frame(frame: MeasurementFrame, source: Source) -> list[tuple[float, float]]:
    if USELESS & set(frame.quality):
        return [NOTHING] * len(source.columns)
    own = {column.key for column in source.columns if column.quantity is Quantity.VOLTAGE}
    said = [phase for phase in frame.voltage if phase in PHASES]
    names = {next(iter(own)): said[0]} if len(own) == 1 and len(said) == 1 else {}
    found = []
    for column in source.columns:
        key = names.get(column.key, column.key)
        if column.quantity is Quantity.VOLTAGE:
            channel = frame.voltage.get(key)
            found.append(NOTHING if channel is None else (channel.magnitude, channel.u_magnitude))
            continue
        power = frame.power.get("total" if key == ALL else key)
        if column.quantity is Quantity.CURRENT:
            current = frame.current.get(key)
            spare = power is not None or current is None
            found.append(NOTHING if spare or current is None else (current.magnitude, current.u_magnitude))
        elif power is None:
            found.append(NOTHING)
        else:
            found.append((power.p, power.u_p) if column.quantity is Quantity.P else (power.q, power.u_q))
    return found


def _of_state(state: GridState, source: Source) -> list[tuple[float, float]]:
    head = state.equivalent
    if head is None or not state.converged or _is_torn(state):
        return [NOTHING] * len(source.columns)
    found = []
    for column in source.columns:
        if column.quantity is Quantity.VOLTAGE:
            phasor = head.voltage.get(column.key)
            found.append(NOTHING if phasor is None else (phasor.magnitude, phasor.u_magnitude))
        else:
            powers = head.p if column.quantity is Quantity.P else head.q
            estimate = powers.get(column.key)
            counted = column.key == ALL and any(phase in powers for phase in PHASES)
            found.append(NOTHING if estimate is None or counted else (estimate.value, estimate.uncertainty))
    return found


def _is_torn(state: GridState) -> bool:
    """Tell whether the readings of a state contradict each other by more than a wider uncertainty makes good."""
    if state.objective is None or not state.degrees_of_freedom > 0:
        return False
    return not state.objective <= TORN**2 * state.degrees_of_freedom
