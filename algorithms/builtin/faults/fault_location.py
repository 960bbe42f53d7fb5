"""
Fault location: a fault on the feeder ahead in, the place of it out.

Where it stands: `fault_detection` tells of a fault (`Event` of kind ``fault``); this algorithm measures it in its own
samples, asks the voltage meters along the feeder (`fault_voltages`), and tells where it is in an `Event` of kind
``fault-located``, which goes to the network's faults on the grid broker. `grid.faults.fault_location` finds
the place. Rules:

- An answer goes out when all meters have answered, or when they have had `answer_time`: a silent meter costs accuracy
  and nothing else. One that answers later makes a second, better event if it changes anything.
- The feeder is taken at the frequency that was measured before the fault: its reactances go with it.
- Every answer names its alternatives, its uncertainty, and whether and why it is not to be trusted.
- A fault that cannot be located is told as ``fault-not-located`` with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import NetworkError, Problem, SettingsError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Event, Kind, Record, Reply, Request
from algorithms.api.samples import Channel, SampleBlock
from algorithms.api.settings import Setting, problems_of, read_settings
from algorithms.api.wire import NANOSECONDS, time_text
from algorithms.builtin.faults.fault_answers import differs, located, not_located, read_answers, voltages_before
from algorithms.builtin.faults.fault_samples import FaultSamples, HeadPhasors, NotMeasured, measure_head
from algorithms.builtin.faults.fault_thresholds import SETTINGS as DETECTION
from algorithms.builtin.faults.fault_thresholds import six_rows, thresholds
from algorithms.builtin.faults.fault_voltages import SUBJECT
from algorithms.grid.faults.fault_impedance import FaultKind, Hypothesis
from algorithms.grid.faults.fault_location import Location, locate
from algorithms.grid.faults.fault_scenarios import HeadMeasurement
from algorithms.grid.faults.fault_settings import FeederFacts, feeder_facts
from algorithms.grid.faults.feeder import Feeder, Meter
from algorithms.grid.faults.feeder_ahead import feeder_ahead
from algorithms.waveform.fault_criteria import possible_types

CASES = 4
"""Faults worked on at once; more is told and left."""
REMEMBERED = 10.0
"""Time for which late answers are taken [s]."""
RECLOSING = 120.0
"""Time for which what was before a fault is remembered for one that a reclosure finds again [s]."""
DEAD = 0.2
"""Share of what it drew, or of nominal voltage, below which a feeder was dead before a fault [1]."""

SETTINGS = (
    Setting("answer_time", "number", "How long meters may take to answer.", "s", 0.3, 0.02, 5.0),
    Setting("longest_window", "number", "Most of a fault that is measured, in cycles.", "1", 6.0, 1.0, 20.0),
)


@dataclass(slots=True, eq=False)
class _Case:
    """A fault being worked on."""

    event: Event
    measured: HeadPhasors | None = None
    asked: dict[str, Meter] = field(default_factory=dict)
    answers: dict[str, Reply] = field(default_factory=dict)
    deadline_ns: int = 0
    used: frozenset[str] = frozenset()
    told: Location | None = None
    over: bool = False
    end_ns: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Earlier:
    """What was before a fault that has been located: a feeder switched onto it again has nothing before."""

    measurement: HeadMeasurement
    frequency: float
    voltages: dict[str, dict[str, float]]
    start_ns: int


class FaultLocation(Algorithm):
    """Where faults on the feeder ahead are: section, distance, uncertainty, alternatives."""

    info: ClassVar[AlgorithmInfo] = AlgorithmInfo(
        name="fault_location",
        version="1.0.0",
        summary="Tells where a fault on the feeder ahead is, with the help of the voltage meters along it.",
        consumes=(Kind.SAMPLES, Kind.EVENT, Kind.REPLY),
        produces=(Kind.EVENT, Kind.REQUEST),
        settings=SETTINGS,
        needs_network=True,
        history=1.0,
        time_budget=0.5,
        tick_interval=0.05,
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._context: Context | None = None
        self._feeder: Feeder | None = None
        self._facts: FeederFacts | None = None
        self._values: dict[str, Any] = {}
        self._channels: tuple[Channel, ...] | None = None
        self._samples: FaultSamples | None = None
        self._cases: list[_Case] = []
        self._now_ns = 0
        self._earlier: _Earlier | None = None

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002 - a fault is over in a second
        """Read the settings and make ready; see `Algorithm.start`."""
        problems = problems_of(self.info.settings, self.settings)
        if context.channels and six_rows(context.channels) is None:
            found = ", ".join(f"{channel.quantity} {channel.phase}" for channel in context.channels)
            remedy = "assign fault location to a meter that measures a feeder"
            problems.append(Problem("channels", "voltage and current of A, B and C", found, remedy))
        if context.network is None:
            problems.append(Problem("network", "a network model", "none", "assign the device to a network"))
        else:
            try:
                self._feeder = feeder_ahead(context.network, context.terminal)
                self._facts = feeder_facts(context.network, context.terminal)
            except NetworkError as error:
                problems += error.problems
        if problems:
            raise SettingsError(problems)
        self._values = read_settings(self.info.settings, self.settings)
        self._context = context
        self._channels, self._samples, self._cases, self._now_ns, self._earlier = None, None, [], 0, None

    def process(self, record: SampleBlock | Record) -> Sequence[Event | Request]:
        """Keep samples, take faults and meters' answers; ask, and tell where faults are."""
        context, feeder = self._context, self._feeder
        if context is None or feeder is None:
            raise RuntimeError("start comes before process")
        match record:
            case SampleBlock():
                self._keep(record, context)
            case Event():
                refused = self._take(record, context, feeder)
                if refused is not None:
                    return [refused]
            case Reply():
                for case in self._cases:
                    if record.id in case.asked and record.recipient == context.device:
                        meter = case.asked[record.id]
                        if record.sender == meter.device:
                            case.answers.setdefault(record.id, record)
            case _:
                raise ValueError(f"samples, an event or a reply expected, found {type(record).__name__}")
        return self._advance(context, feeder)

    def tick(self, now_ns: int) -> Sequence[Event | Request]:
        """Go on without the meters that have not answered."""
        self._now_ns = max(self._now_ns, now_ns)
        return () if self._context is None or self._feeder is None else self._advance(self._context, self._feeder)

    def _keep(self, block: SampleBlock, context: Context) -> None:
        if block.channels != self._channels:
            self._channels = block.channels
            rows = six_rows(block.channels)
            chosen = [] if rows is None else [block.channels[row] for row in rows]
            self._samples = None
            if rows is not None:
                reverse = self._feeder is not None and self._feeder.reverse
                self._samples = FaultSamples(rows, chosen, context.nominal_frequency, reverse=reverse)
        if self._samples is not None:
            self._samples.push(block)
            self._now_ns = max(self._now_ns, block.end_ns)

    def _take(self, event: Event, context: Context, feeder: Feeder) -> Event | None:
        """Begin a case with the event of a fault, or note its end; a fault too many is refused."""
        if event.kind != "fault" or event.terminal != context.terminal:
            return None
        for case in self._cases:
            if case.event.start_ns == event.start_ns:
                case.over = case.over or event.end_ns is not None
                case.end_ns = event.end_ns if event.end_ns is not None else case.end_ns
                return None
        if event.end_ns is not None:
            return None
        horizon = self._now_ns - round(REMEMBERED * NANOSECONDS)
        self._cases = [case for case in self._cases if case.event.start_ns > horizon]
        if len(self._cases) >= CASES:
            return not_located(feeder, event, f"more than {CASES} faults at once")
        self._cases.append(_Case(event))
        return None

    def _advance(self, context: Context, feeder: Feeder) -> list[Event | Request]:
        given: list[Event | Request] = []
        for case in list(self._cases):
            if case.measured is None:
                given += self._measure(case, context, feeder)
            if case.measured is not None:
                given += self._locate(case, context, feeder)
        horizon = self._now_ns - round(REMEMBERED * NANOSECONDS)
        self._cases = [case for case in self._cases if case.event.start_ns >= horizon]
        return given

    def _measure(self, case: _Case, context: Context, feeder: Feeder) -> list[Event | Request]:
        """Measure a fault once it is over or long enough, and ask the meters."""
        samples = self._samples
        longest = self._values["longest_window"]
        enough = case.event.start_ns + round((longest + 1.5) / context.nominal_frequency * NANOSECONDS)
        if samples is None or not (case.over or samples.covers(enough)):
            return []
        try:
            excerpt = samples.around(case.event.start_ns)
            if self._earlier is not None and self._reclosed(case.event, self._earlier):
                # A dead line has no frequency to measure: what it had when it was alive is believed.
                excerpt = replace(excerpt, turn=self._earlier.frequency / excerpt.rate)
            case.measured = measure_head(excerpt, samples.channels, longest)
        except NotMeasured as error:
            self._cases.remove(case)
            return [not_located(feeder, case.event, str(error), case.end_ns)]
        case.deadline_ns = self._now_ns + round(self._values["answer_time"] * NANOSECONDS)
        arguments = {
            "start": time_text(case.event.start_ns),
            "begin": case.measured.begin,
            "stop": case.measured.stop,
        }
        requests: list[Event | Request] = []
        for number, meter in enumerate(feeder.meters):
            if meter.device == context.device:
                continue
            identity = f"{context.device}-{case.event.start_ns}-{number}"
            case.asked[identity] = meter
            requests.append(
                Request(identity, context.device, meter.device, SUBJECT, self._now_ns, case.deadline_ns, arguments)
            )
        return requests

    def _locate(self, case: _Case, context: Context, feeder: Feeder) -> list[Event | Request]:
        """Tell where a fault is, once all meters have answered or their time is up; and again if more have."""
        waiting = len(case.answers) < len(case.asked)
        if (waiting and self._now_ns < case.deadline_ns) or case.measured is None or self._samples is None:
            return []
        answered = frozenset(case.answers)
        if case.told is not None and answered == case.used:
            return []
        asked = [(meter, case.answers.get(identity)) for identity, meter in case.asked.items()]
        head, usual = self._live_before(case.measured.measurement, case.event, feeder)
        readings, missing = read_answers(asked, feeder.nominal_voltage, usual)
        limits = thresholds(
            {setting.name: setting.default for setting in DETECTION}, self._facts, self._samples.channels,
            round(self._samples.rate / context.nominal_frequency), context.nominal_voltage,
        )  # fmt: skip
        hypotheses = [
            Hypothesis(FaultKind(kind), phases) for kind, phases in possible_types(case.measured.change, limits)
        ]
        frequency = case.measured.frequency
        location = locate(feeder.at_frequency(frequency), head, readings, hypotheses)
        if usual is None:
            self._earlier = _Earlier(head, frequency, voltages_before(asked), case.event.start_ns)
        before, case.told, case.used = case.told, location, answered
        if before is not None and not differs(before, location):
            return []
        return [located(feeder, case.event, case.measured, location, heard=(readings, missing), end_ns=case.end_ns)]

    def _live_before(
        self, measured: HeadMeasurement, event: Event, feeder: Feeder
    ) -> tuple[HeadMeasurement, dict[str, dict[str, float]] | None]:
        """Put what was before an earlier fault before this one, where the breaker was only closed onto it again."""
        earlier = self._earlier
        if earlier is None or not self._reclosed(event, earlier):
            return measured, None
        drew, draws = (float(np.abs(one.before[3:]).max()) for one in (earlier.measurement, measured))
        if draws > DEAD * drew and float(np.abs(measured.before[:3]).max()) > DEAD * feeder.nominal_voltage:
            return measured, None
        before = earlier.measurement
        return replace(measured, before=before.before, noise_before=before.noise_before), earlier.voltages

    @staticmethod
    def _reclosed(event: Event, earlier: _Earlier) -> bool:
        """Tell whether a fault may be an earlier one that a reclosure found again."""
        return 0 < event.start_ns - earlier.start_ns < round(RECLOSING * NANOSECONDS)
