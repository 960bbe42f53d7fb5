"""
Fault detection: samples of one terminal in, an `Event` when a fault ahead is found and another when it is over.

Where it stands: `fault_location` and the recorder act upon the event; reconfiguration upon what location makes of it.
`fault_watch` follows the samples by thresholds of `fault_thresholds`, which the settings override. Rules:

- An event of kind ``fault`` is one between phases, or to earth where the neutral is earthed; ``earth-fault`` one to
  earth with an isolated or compensated neutral, of which feeder and phase are told and never a distance.
- Both events of a fault have the same kind, terminal and start; the second has an end, and what the fault became.
- Six channels are needed: voltages and currents of A, B and C, currents positive into the feeder.
- Where samples are missing for longer than what was before may be drawn on, or just after others were, nothing can be
  found for a while: that is told (`fault_blindness`), once when it begins and once when it is over. So is a phase that
  is missing or the wrong way round (`fault_wiring`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import NetworkError, Problem, SettingsError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Event, Kind, Record, Severity
from algorithms.api.samples import Channel, SampleBlock, SampleFlag
from algorithms.api.settings import problems_of, read_settings
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.faults.believable import all_believable, greatest
from algorithms.builtin.faults.fault_blindness import Blindness
from algorithms.builtin.faults.fault_occurrence import Occurrence
from algorithms.builtin.faults.fault_thresholds import PHASES, SETTINGS, six_rows, thresholds
from algorithms.builtin.faults.fault_watch import LONGEST_GAP, FaultWatch
from algorithms.builtin.faults.fault_wiring import WiringWatch, least_load
from algorithms.grid.faults.fault_settings import FeederFacts, feeder_facts
from algorithms.waveform.phasor import Complexes
from algorithms.waveform.superimposed import FORTESCUE

LEAST_SAMPLES_PER_CYCLE = 16


class FaultDetection(Algorithm):
    """Faults on the feeder ahead of a terminal, with direction, type and phases."""

    info: ClassVar[AlgorithmInfo] = AlgorithmInfo(
        name="fault_detection",
        version="1.0.0",
        summary="Faults on the feeder ahead, told within two cycles with direction, type and phases.",
        consumes=(Kind.SAMPLES,),
        produces=(Kind.EVENT,),
        settings=SETTINGS,
        history=0.2,
        time_budget=0.05,
        uses_network=True,
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._context: Context | None = None
        self._values: dict[str, Any] = {}
        self._facts: FeederFacts | None = None
        self._channels: tuple[Channel, ...] | None = None
        self._rate = 0.0
        self._rows: list[int] = []
        self._watch: FaultWatch | None = None
        self._earlier: FaultWatch | None = None  # of before samples that are missing
        self._next = 0
        self._seen_ns: int | None = None  # up to here samples were whole
        self._why = ""
        self._blindness = Blindness("")
        self._wiring = WiringWatch("")
        self._load = 0.0

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002 - nothing outlives a gap
        """Read the settings and make ready; see `Algorithm.start`."""
        problems = problems_of(self.info.settings, self.settings)
        if context.channels and six_rows(context.channels) is None:
            found = ", ".join(f"{channel.quantity} {channel.phase}" for channel in context.channels)
            remedy = "assign fault detection to a meter that measures a feeder"
            problems.append(Problem("channels", "voltage and current of A, B and C", found, remedy))
        least = LEAST_SAMPLES_PER_CYCLE * context.nominal_frequency
        if context.sample_rate and context.sample_rate < least:
            problems.append(Problem("acquisition.sample_rate", f"at least {least:g} Hz", f"{context.sample_rate:g} Hz"))
        self._facts = None
        if context.network is not None:
            try:
                self._facts = feeder_facts(context.network, context.terminal)
            except NetworkError as error:
                problems += error.problems
        if problems:
            raise SettingsError(problems)
        self._context = context
        self._values = read_settings(self.info.settings, self.settings)
        self._channels, self._watch, self._earlier, self._rows = None, None, None, []
        self._seen_ns, self._blindness = None, Blindness(context.terminal)
        self._wiring = WiringWatch(context.terminal)

    def process(self, record: SampleBlock | Record) -> Sequence[Event]:
        """Take a block of samples; return the faults found or over with it."""
        if self._context is None:
            raise RuntimeError("start comes before process")
        if not isinstance(record, SampleBlock):
            raise ValueError(f"a SampleBlock expected, found {type(record).__name__}")  # noqa: TRY004 - wrong use
        context = self._context
        events: list[Event] = []
        differs = record.channels != self._channels or self._differs(record)
        if differs or record.first_index != self._next or record.flags & SampleFlag.LOST:
            events += self._part(record, context, "the sampling changed" if differs else "samples are missing")
        self._next = record.end_index
        spoilt = False
        if self._rows:
            values = np.array(record.values[self._rows], dtype=float)
            spoilt = not all_believable(values, self._limits)
            if self._facts is not None and self._facts.reverse:
                values[3:] *= -1.0
        if spoilt:
            events += self._part(record, context, "samples are missing")
            events += self._spoilt(record)
        elif self._rows:
            if self._watch is None:
                self._watch = self._resumed(record, context)
                events += self._sees_again(record, self._watch)
            events += (self._event(record, found, context) for found in self._watch.push(values))
            self._seen_ns = record.end_ns
            nominal = self._watch.limits.nominal_voltage
            events += self._wiring.look(self._watch.quiet, self._load, nominal, record.end_ns)
        return [*events, *self._blindness.look(record.end_ns)]

    def _part(self, block: SampleBlock, context: Context, why: str) -> list[Event]:
        """End what is under way, since this block does not follow what was before."""
        watch, self._why = self._watch, why
        ended = [] if watch is None else [self._event(block, found, context) for found in watch.cut()]
        if watch is not None:
            self._earlier, self._watch = watch, None
        if block.channels != self._channels or self._differs(block):
            self._channels, self._rate, self._earlier = block.channels, block.sample_rate, None
            rows, cycle = six_rows(block.channels), round(block.sample_rate / context.nominal_frequency)
            self._rows = rows if rows is not None and cycle >= LEAST_SAMPLES_PER_CYCLE else []
            self._limits = greatest([block.channels[row] for row in self._rows])
            if not self._rows:
                reason = "six channels and enough samples in a cycle are needed"
                ended += self._blindness.between(self._seen_ns or block.time_ns, None, reason)
        return ended

    def _spoilt(self, block: SampleBlock) -> Sequence[Event]:
        """Tell that nothing can be found in a block, once what was before it is no longer drawn on."""
        lasts = block.end_ns - (self._seen_ns or block.time_ns)
        if self._context is None or lasts <= LONGEST_GAP / self._context.nominal_frequency * NANOSECONDS:
            return ()
        return self._blindness.between(self._seen_ns or block.time_ns, None, self._why)

    def _sees_again(self, block: SampleBlock, watch: FaultWatch) -> Sequence[Event]:
        """Tell from when to when nothing could be found; nothing where what was before is drawn on."""
        armed_ns = block.time_ns + round((watch.armed - block.first_index) / self._rate * NANOSECONDS)
        if armed_ns <= block.time_ns or self._seen_ns is None:
            return ()  # a start is no spell
        return self._blindness.between(self._seen_ns, armed_ns, self._why)

    def _resumed(self, block: SampleBlock, context: Context) -> FaultWatch:
        """Make a watch for samples that do not follow, over a short gap with what was before it drawn on."""
        earlier, self._earlier = self._earlier, None
        cycle = round(block.sample_rate / context.nominal_frequency)
        first = block.first_index - 4 * cycle
        made = None if earlier is None else earlier.continued(first, block.first_index)
        if earlier is None or made is None:
            return self._watching(block, context, cycle, block.first_index)
        watch = self._watching(block, context, cycle, first)
        watch.push(made)
        watch.unrest = earlier.unrest
        return watch

    def _differs(self, block: SampleBlock) -> bool:
        """Tell whether a block is sampled at another rate than those before."""
        another = abs(block.sample_rate - self._rate) > 1e-3 * self._rate
        return another or bool(block.flags & SampleFlag.RATE_CHANGED)

    def _watching(self, block: SampleBlock, context: Context, cycle: int, first: int) -> FaultWatch:
        """Make a watch for samples like a block's that begin with a number."""
        channels = [block.channels[row] for row in self._rows]
        self._load = least_load(channels[3:])
        return FaultWatch(
            thresholds(self._values, self._facts, channels, cycle, context.nominal_voltage),
            cycle,
            context.nominal_frequency / block.sample_rate,
            rate=block.sample_rate,
            skews=np.array([channel.skew for channel in channels]) * block.sample_rate,
            steps=np.array([channel.resolution for channel in channels]),
            first=first,
        )

    def _event(self, block: SampleBlock, found: Occurrence, context: Context) -> Event:
        def instant(number: int) -> int:
            return block.time_ns + round((number - block.first_index) / self._rate * NANOSECONDS)

        types = [str(kind) for kind in found.types]
        evidence: dict[str, Any] = {
            "type": types[-1],
            "detection_time": (found.found - found.start) / self._rate,
            "voltage": _sizes(found.now[:3]),
            "current": _sizes(found.now[3:]),
            "voltage_before": _sizes(found.before[:3]),
            "current_before": _sizes(found.before[3:]),
            "time_uncertainty": block.time_uncertainty,
        }
        if context.network is not None:
            evidence["network"] = context.network.network
        if len(types) > 1:
            evidence["evolved"] = types
        if found.kind == "earth-fault":
            evidence["zero_voltage"] = float(abs(FORTESCUE[0] @ found.now[:3]))
        if found.resistance is not None:
            evidence["fault_resistance"] = found.resistance
        if found.ending is not None:
            evidence["ending"] = str(found.ending)
        return Event(
            found.kind,
            context.terminal,
            instant(found.start),
            None if found.end is None else instant(found.end),
            Severity.CRITICAL,
            tuple(str(PHASES[phase]) for phase in found.phases),
            evidence,
        )


def _sizes(phasors: Complexes) -> dict[str, float]:
    return {str(phase): float(size) for phase, size in zip(PHASES, np.abs(phasors), strict=True)}
