"""
Everything an estimator of one area is made of: who measures, what has come, what is expected, what is told.

Where it stands: `area_state` makes one of its settings and network, and hands it records and the time. It joins
`state_metering` (who measures what), `state_collector` (when an interval has ended), `state_averages` (what its
readings say), `state_forecast` (what is expected where nobody measures), `algorithms.grid` (the estimate),
`state_results` (how it is written) and `state_conditions` (what is wrong for a while).

Rules:

- An interval nobody told anything of has no state. What is told besides is marked: who is missing, what is not
  observable, what was suspected.
- Whatever comes in, nothing is raised: an area that cannot be solved is told as a state without figures.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from algorithms.api.errors import NetworkError, shortened
from algorithms.api.grid_records import GridState
from algorithms.api.network import NetworkModel
from algorithms.api.network_operation import Area
from algorithms.api.network_tables import Floats
from algorithms.api.records import MeasurementFrame, Record
from algorithms.api.samples import NANOSECONDS
from algorithms.builtin.states import state_conditions as conditions
from algorithms.builtin.states.state_averages import average
from algorithms.builtin.states.state_collector import Collector, Gathered
from algorithms.builtin.states.state_forecast import Forecast
from algorithms.builtin.states.state_metering import Metering
from algorithms.builtin.states.state_results import Occasion, StateWriter, Telling
from algorithms.builtin.states.state_settings import StateSettings
from algorithms.builtin.states.state_suspects import Suspicion
from algorithms.grid.estimation.beforehand import Anchor
from algorithms.grid.estimation.estimate import Estimate
from algorithms.grid.estimation.least_squares import Estimator

LONGEST_WINDOW = 86_400.0
"""Windows longer than this are no windows [s]."""
STRANGERS = 20
"""Names of unknown sources remembered for an interval."""


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    """A checkpoint."""

    version: int
    area: str
    revisions: tuple[int, int]
    closed: int | None
    sources: dict[str, tuple[int, int, int]]
    held: list[tuple[str, int, float, float, float, float, float]]
    conditions: dict[str, int]


class AreaEstimator:
    """
    One area, ready to take records and to give states.

    Parameters
    ----------
    model : NetworkModel
        As it was cut out of the network for the area.
    area : Area
        The one to estimate.
    settings : StateSettings

    Attributes
    ----------
    collector : Collector
    """

    def __init__(self, model: NetworkModel, area: Area, settings: StateSettings) -> None:
        self._model, self._area, self._settings = model, area, settings
        self._metering = Metering(model, settings.floors)
        sources = self._metering.sources
        self.collector = Collector([2 * len(source.columns) for source in sources], settings.timing)
        self._fluctuation = [
            np.where(source.of_voltage, settings.voltage_fluctuation, settings.power_fluctuation)
            if source.area is None
            else np.zeros(len(source.columns))  # what an area below tells is a mean already
            for source in sources
        ]
        least = settings.floors.power
        self._forecast = Forecast(
            model, settings.profiles, settings.local_time, settings.hold, settings.hold_growth, least
        )
        nodes = [terminal.node for terminal in model.terminals if terminal.device]
        nodes += [source.area.head for source in sources if source.area is not None]
        telling = Telling(settings.nodes, settings.most_nodes, settings.branches)
        self._writer = StateWriter(model, area, telling, nodes)
        self._suspicion = Suspicion(model, self._metering, settings.confidence, settings.most_suspects)
        self._conditions = conditions.Conditions(area.id)
        self._strangers: dict[str, None] = {}
        self._trouble = ""
        self._estimator: Estimator | None = None
        anchor = Anchor(negative_sequence=settings.unbalance, zero_sequence=settings.unbalance)
        try:
            self._estimator = Estimator(model, self._metering.measurements, anchor=anchor)
        except NetworkError as error:  # such as an area that is dark at present: told with every state
            self._trouble = f"the area cannot be estimated as it stands: {shortened(str(error), 400)}"

    # ---- what comes in

    def take(self, record: MeasurementFrame | GridState) -> None:
        """Put a record where it belongs."""
        number = self._metering.find(record)
        if number is None:
            self.collector.count("unknown")
            name = record.terminal if isinstance(record, MeasurementFrame) else record.area
            if len(self._strangers) < STRANGERS:
                self._strangers[shortened(name, 64)] = None
            return
        # A state stands for the whole of its interval, wherever in it its readings were taken.
        window = record.window if isinstance(record, MeasurementFrame) else 2.0 * record.interval
        if not 0.0 <= window <= LONGEST_WINDOW:
            self.collector.count("invalid")
            return
        try:
            row = self._metering.sources[number].row(record)
        except (ArithmeticError, ValueError):  # numbers no arithmetic can be done with are no reading
            self.collector.count("invalid")
            return
        self.collector.put(number, record.time_ns, round(window * NANOSECONDS), row)

    # ---- what goes out

    def due(self) -> list[Record]:
        """Estimate what has ended."""
        records: list[Record] = []
        for gathered in self.collector.ended():
            records += self._estimate(gathered)
        return records

    def _estimate(self, gathered: Gathered) -> list[Record]:
        values, uncertainty, instants, counts = self._averages(gathered)
        heard = len(instants)
        instant = sum(instants) / heard if heard else (gathered.end_ns - gathered.start_ns) / 2
        time_ns = gathered.start_ns + min(max(round(instant), 0), gathered.end_ns - gathered.start_ns - 1)
        sources = self._metering.sources
        missing = [sources[number].name for number in gathered.missing]
        counts |= {"expected": len(sources), "heard": heard}
        occasion = Occasion(time_ns, self._settings.timing.interval / NANOSECONDS, missing, counts)
        if not heard:
            return list(self._conditions.note(time_ns, self._holding(gathered, None)))
        state = self._solve(values, uncertainty, occasion)
        return [*self._conditions.note(time_ns, self._holding(gathered, state)), state]

    def _averages(self, gathered: Gathered) -> tuple[Floats, Floats, list[float], dict[str, int]]:
        values = np.full(len(self._metering.measurements), np.nan)
        uncertainty = np.full(len(values), np.nan)
        instants = []
        counts = dict(gathered.counts)
        interval = float(gathered.end_ns - gathered.start_ns)
        for number, rows in enumerate(gathered.rows):
            if rows is None:
                continue
            source = self._metering.sources[number]
            averaged = average(rows, interval, self._fluctuation[number], source.partners)
            values[source.places], uncertainty[source.places] = averaged.values, averaged.uncertainty
            instants.append(averaged.instant)
            for name, count in (
                ("duplicate", averaged.duplicates),
                ("contradictory", averaged.contradictions),
                ("invalid", averaged.invalid),
            ):
                if count:
                    counts[name] = counts.get(name, 0) + count
        return values, np.maximum(uncertainty, self._metering.least), instants, counts

    def _solve(self, values: Floats, uncertainty: Floats, occasion: Occasion) -> GridState:
        if self._estimator is None:
            return self._writer.unusable(occasion, self._trouble)
        power, sigma = self._forecast.at(occasion.time_ns)
        if self._forecast.implausible:
            occasion = replace(occasion, counts={**occasion.counts, "implausible": len(self._forecast.implausible)})
        try:
            judged = self._suspicion.judge(self._estimator, values, uncertainty, power, sigma)
            estimate = judged.examined.estimate
            state = self._writer.state(judged, self._with_assumed(occasion, estimate))
            if self._forecast.holds and estimate.converged and judged.examined.consistent and not judged.doubt:
                self._learn(occasion.time_ns, estimate)
        except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:  # an area may be singular in many ways
            return self._writer.unusable(occasion, f"the area cannot be solved: {shortened(str(error), 400)}")
        return state if _is_finite(state) else self._writer.unusable(occasion, "the solution is not finite")

    def _with_assumed(self, occasion: Occasion, estimate: Estimate) -> Occasion:
        told = estimate.scan.told
        assumed = int(np.count_nonzero(~told[: len(told) // 2]))
        return replace(occasion, counts={**occasion.counts, "assumed": assumed})

    def _learn(self, time_ns: int, estimate: Estimate) -> None:
        told = estimate.scan.told
        both = told[: len(told) // 2] & told[len(told) // 2 :]
        elements = estimate.gain.tangent.response.elements
        measured = np.zeros(estimate.power.shape, dtype=bool)
        measured[elements.row[both], elements.column[both]] = True
        self._forecast.learn(time_ns, estimate.power, estimate.u_power, measured)

    def _holding(self, gathered: Gathered, state: GridState | None) -> dict[str, Mapping[str, Any]]:
        """Say which conditions hold after an interval."""
        sources = self._metering.sources
        silent = [sources[number].name for number in self.collector.silent()]
        astray = {sources[number].name: round(lag, 3) for number, lag in gathered.astray.items()}
        strangers = list(self._strangers) if gathered.counts.get("unknown") else []
        self._strangers = {}
        found: dict[str, Mapping[str, Any]] = {
            conditions.SILENT: conditions.names(silent),
            conditions.ASTRAY: conditions.names(list(astray))
            | ({"lag": dict(list(astray.items())[:20])} if astray else {}),
            conditions.UNKNOWN: conditions.names(strangers),
            conditions.DROPPED: conditions.names([sources[number].name for number in gathered.dropped])
            | ({"readings": sum(gathered.dropped.values())} if gathered.dropped else {}),
            conditions.IMPLAUSIBLE: conditions.names(self._forecast.implausible),
        }
        if state is None:
            found[conditions.UNOBSERVABLE] = {"reason": "nobody told anything"}
            return found
        if state.suspects or (state.converged and state.reason):
            found[conditions.CONTRADICTORY] = conditions.names([one.measurement for one in state.suspects]) or {
                "reason": state.reason
            }
        if not state.converged or state.unobservable:
            found[conditions.UNOBSERVABLE] = {"reason": state.reason, **conditions.names(state.unobservable)}
        return found

    # ---- what a later instance needs

    def kept(self) -> Kept:
        """Give a checkpoint."""
        state = self.collector.state()
        names = [source.name for source in self._metering.sources]
        return Kept(
            version=1,
            area=self._area.id,
            revisions=(self._model.revision, self._model.topology_revision),
            closed=state["closed"],
            sources=dict(zip(names, state["sources"], strict=True)),
            held=[tuple(row) for row in self._forecast.state()],
            conditions=self._conditions.state(),
        )

    def restore(self, kept: Kept) -> None:
        """Go on from a checkpoint, as far as it is of this area."""
        if kept.area != self._area.id:
            return
        same = kept.revisions == (self._model.revision, self._model.topology_revision)
        names = [source.name for source in self._metering.sources]
        self.collector.restore([kept.sources.get(name) for name in names], kept.closed if same else None)
        self._forecast.restore(kept.held)
        self._conditions.restore(kept.conditions)


def _is_finite(state: GridState) -> bool:
    numbers = [
        number
        for node in (*state.nodes, *((state.equivalent,) if state.equivalent else ()))
        for rows in (node.voltage, node.p, node.q)
        for row in rows.values()
        for number in msgspec.structs.astuple(row)
    ]
    numbers += [
        number
        for branch in state.branches
        for rows in (branch.current, branch.p, branch.q)
        for row in rows.values()
        for number in msgspec.structs.astuple(row)
    ]
    return all(number is None or math.isfinite(number) for number in numbers)
