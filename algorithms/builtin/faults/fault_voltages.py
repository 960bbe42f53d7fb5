"""
A voltage meter's part in locating faults: it answers what its voltages were before a fault and in it.

Where it stands: `fault_location`, at the head of the feeder, asks by a `Request` with the subject ``fault-voltages``;
the answer is a `Reply`. Nothing is streamed. Rules:

- Magnitudes only: the meter's clock need not agree with the head's beyond finding the fault in its samples.
- A request waits until the samples it asks for have come, and no longer than it says itself.
- What cannot be answered is answered with the reason.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import Problem, SettingsError, shortened
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind, Record, Reply, Request
from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock
from algorithms.api.settings import Setting, problems_of, read_settings
from algorithms.api.wire import NANOSECONDS, time_from_text
from algorithms.builtin.faults.fault_samples import FaultSamples, NotMeasured, measure_meter

SUBJECT = "fault-voltages"
WAITING = 32
"""Requests that may wait at once."""
LONGEST = 2.0
"""Longest stretch of a fault that may be asked for [s]."""

SETTINGS = (
    Setting("search", "number", "How far from the instant asked for this meter may see a fault begin.", "s", 0.05,
            0.005, 1.0),
)  # fmt: skip


class FaultVoltages(Algorithm):
    """Voltages of this terminal before and during a fault, for whoever locates it."""

    info: ClassVar[AlgorithmInfo] = AlgorithmInfo(
        name="fault_voltages",
        version="1.0.0",
        summary="Answers what the voltages of this terminal were before a fault and in it.",
        consumes=(Kind.SAMPLES, Kind.REQUEST),
        produces=(Kind.REPLY,),
        settings=SETTINGS,
        history=2.0,
        time_budget=0.1,
        tick_interval=0.1,
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._context: Context | None = None
        self._search = 0.0
        self._channels: tuple[Channel, ...] | None = None
        self._samples: FaultSamples | None = None
        self._waiting: dict[str, Request] = {}

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002 - a question is asked again
        """Read the settings and make ready; see `Algorithm.start`."""
        problems = problems_of(self.info.settings, self.settings)
        if context.channels and not _voltages(context.channels):
            found = ", ".join(f"{channel.quantity} {channel.phase}" for channel in context.channels)
            problems.append(Problem("channels", "voltages of phases", found))
        if problems:
            raise SettingsError(problems)
        self._search = read_settings(self.info.settings, self.settings)["search"]
        self._context = context
        self._channels, self._samples, self._waiting = None, None, {}

    def process(self, record: SampleBlock | Record) -> Sequence[Reply]:
        """Keep samples; take questions; answer those whose samples have come."""
        context = self._context
        if context is None:
            raise RuntimeError("start comes before process")
        if isinstance(record, SampleBlock):
            if record.channels != self._channels:
                rows = _voltages(record.channels)
                self._channels = record.channels
                chosen = [record.channels[row] for row in rows]
                self._samples = FaultSamples(rows, chosen, context.nominal_frequency) if rows else None
            if self._samples is not None:
                self._samples.push(record)
            return self._answers(context, record.end_ns)
        if isinstance(record, Request):
            if record.subject != SUBJECT or record.recipient != context.device:
                return ()
            if len(self._waiting) >= WAITING and record.id not in self._waiting:
                return [_refused(record, context, Problem("request", f"at most {WAITING} waiting", "more"))]
            self._waiting[record.id] = record
            return self._answers(context, record.time_ns)
        raise ValueError(f"a SampleBlock or a Request expected, found {type(record).__name__}")

    def tick(self, now_ns: int) -> Sequence[Reply]:
        """Answer what has waited too long."""
        return () if self._context is None else self._answers(self._context, now_ns)

    def _answers(self, context: Context, now_ns: int) -> list[Reply]:
        answers = []
        for identity, request in list(self._waiting.items()):
            reply = self._answer(context, request, now_ns)
            if reply is not None:
                answers.append(reply)
                del self._waiting[identity]
        return answers

    def _answer(self, context: Context, request: Request, now_ns: int) -> Reply | None:
        start_ns, begin, stop, problems = _read(request)
        if problems:
            return _refused(request, context, *problems)
        samples = self._samples
        needed_ns = start_ns + round((stop + self._search) * NANOSECONDS)
        if samples is None or not samples.covers(needed_ns):
            if now_ns <= request.expires_ns:
                return None
            return _refused(request, context, Problem("samples", "those of the fault", "none yet"))
        try:
            excerpt = samples.around(start_ns)
            found = measure_meter(excerpt, begin, stop, self._search, context.nominal_voltage)
        except NotMeasured as error:
            return _refused(request, context, Problem("samples", "those of the fault", str(error)))
        names = [str(channel.phase) for channel in samples.channels]
        payload = {
            "terminal": context.terminal,
            "before": dict(zip(names, found.before.tolist(), strict=True)),
            "during": dict(zip(names, found.during.tolist(), strict=True)),
            "uncertainty": dict(zip(names, found.uncertainty.tolist(), strict=True)),
            "noise": dict(zip(names, found.noise.tolist(), strict=True)),
            "shift": found.shift,
            "seen": found.seen,
        }
        return Reply(request.id, context.device, request.sender, now_ns, payload)


def _voltages(channels: Sequence[Channel]) -> list[int]:
    """Give the rows of the phase voltages there are."""
    rows: dict[Phase, int] = {}
    for row, channel in enumerate(channels):
        if channel.quantity is Quantity.VOLTAGE and channel.phase is not Phase.N:
            rows.setdefault(channel.phase, row)
    return [rows[phase] for phase in sorted(rows)]


def _refused(request: Request, context: Context, *problems: Problem) -> Reply:
    return Reply(request.id, context.device, request.sender, request.time_ns, {}, problems)


def _read(request: Request) -> tuple[int, float, float, list[Problem]]:
    """Read what is asked for: the beginning of the fault [ns UTC], and the stretch of it [s]."""
    arguments, problems = request.arguments, []
    start_ns = 0
    try:
        start_ns = time_from_text(str(arguments.get("start")))
    except ValueError as error:
        problems.append(Problem("arguments.start", "an RFC 3339 time", shortened(str(error))))
    limits = []
    for name in ("begin", "stop"):
        value = arguments.get(name)
        right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        limits.append(float(value) if right and value is not None else -1.0)
    if not 0.0 <= limits[0] < limits[1] <= LONGEST:
        found = shortened([arguments.get("begin"), arguments.get("stop")])
        problems.append(Problem("arguments", f"begin and stop with 0 <= begin < stop <= {LONGEST:g} s", found))
    return start_ns, limits[0], limits[1], problems
