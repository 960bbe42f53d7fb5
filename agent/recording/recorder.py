"""
The event recorder, as far as the agent itself has it: it decides what is recorded, and sees to it that it is.

Where it stands: beside the router, which hands over every `Event` of this device; `recorder_plan` makes spans of time
of them; a process (`recorder_host`) that exists only while something is recorded copies the samples from the ring to
the disk; what is there is announced on the data broker as a `Result` of schema ``recording/1``. Needs no numpy, and
never waits for the disk.

Rules:

- A span is said to the process again when another process must take over from one that died; three deaths end it.
- What is on the disk is announced at least once: the label says whether it was, and is read at the next start.
- A laboratory or an installer may ask for a recording: a `Request` with the subject ``record``.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec

from agent.clock import Clock
from agent.errors import AgentError
from agent.pipeline import Publication
from agent.processes.process import Exit
from agent.processes.recorder_messages import NotRecorded, Recorded, Span, StartRecorder
from agent.processes.recorder_worker import RecorderWorker
from agent.processes.workers import Workers
from agent.recording.recorder_plan import REQUEST, Plan
from agent.recording.recordings import Kept, Recordings
from agent.supervisor import RestartPolicy, Restarts
from algorithms.api.errors import Problem, shortened
from algorithms.api.records import Event, Record, Reply, Request, Result, Severity
from algorithms.api.wire import NANOSECONDS, time_from_text, time_text
from device_catalog.contract import topics
from device_catalog.contract.documents import Configuration, Recorder
from device_catalog.contract.recordings import CONTENT, RecordingInfo
from device_catalog.contract.reports import RecordingsReport

log = logging.getLogger(__name__)

SUBJECT = "record"
"""Subject of a request to record now; its argument ``duration`` [s] is optional."""

LINGER = 3.0
"""How long the process stays after the last recording: events come in bursts [s]."""

ATTEMPTS = 3
"""Processes that may die over one span before it is given up."""

POLICY = RestartPolicy(first_delay=0.2, longest_delay=30.0, failures=10, window=60.0, quarantine=60.0)

Publish = Callable[[Record, Publication], None]


class EventRecorder:
    """
    The recorder of one agent.

    Parameters
    ----------
    workers : Workers
    folder : Path
        Where recordings are kept; made when the first settings ask for it.
    device : str
    publish : callable
        Takes a record and where it goes.
    clock : Clock

    Attributes
    ----------
    kept : dict
        What is on the disk, by id, oldest first.
    is_open : bool
        Whether that is known.
    on_change : callable or None
        Called when `kept` has changed, with the ids of those dropped.
    """

    def __init__(self, workers: Workers, folder: Path, device: str, publish: Publish, clock: Clock) -> None:
        self._workers = workers
        self._folder = folder
        self._device = device
        self._publish = publish
        self._clock = clock
        self._random = random.Random()
        self._tenant = ""
        self._settings: Recorder | None = None
        self._history_ns = 0
        self._start: StartRecorder | None = None
        self._plan: Plan | None = None
        self._recordings: Recordings | None = None
        self._worker: RecorderWorker | None = None
        self._worker_start: StartRecorder | None = None
        self._spans: dict[str, Span] = {}
        self._attempts: dict[str, int] = {}
        self._restarts = Restarts(POLICY)
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._marking = asyncio.Lock()
        self._starting = False
        self._closing = False
        self._counts = {"recorded": 0, "dropped": 0, "failed": 0}
        self._skipped_before = 0
        self._last_error = ""
        self.kept: dict[str, Kept] = {}
        self.is_open = False
        self.on_change: Callable[[tuple[str, ...]], None] | None = None

    async def configure(self, configuration: Configuration, tenant: str, terminal: str) -> None:
        """Record as told from now on; what is being recorded is finished as it was begun."""
        recorder, acquisition = configuration.recorder, configuration.acquisition
        self._tenant = tenant
        if recorder is None or acquisition is None:
            self._settings = self._plan = None
            if self._folder.is_dir() and self._recordings is None:  # what was recorded before can still be fetched
                await self._open()
            self.is_open = True
            return
        if self._recordings is None and not await self._open():
            self._settings = recorder
            return
        self.is_open = True
        start = StartRecorder(
            folder=str(self._folder),
            budget=recorder.budget,
            device=self._device,
            terminal=terminal,
            nominal_frequency=acquisition.nominal_frequency,
            ratios={channel.name: channel.ratio for channel in acquisition.channels},
            ring=False,
        )
        self._history_ns = round(acquisition.history * NANOSECONDS)
        self._start = start
        if not self._spans and self._worker_start != start:
            await self._retire()
        if recorder != self._settings or self._plan is None:
            self._skipped_before = self._skipped
            self._settings, self._plan = recorder, Plan(recorder, self.kept)
        if self.on_change is not None:
            self.on_change(())

    def take(self, event: Event) -> None:
        """Look whether an event is to be recorded; returns at once."""
        self._take(event)

    def answer(self, request: Request) -> None:
        """Record now because somebody asks, and say as what."""
        problems = _problems(request)
        payload: dict[str, object] = {}
        _, now_ns = self._workers.position()
        late = (self._clock.now_ns() - request.expires_ns) / NANOSECONDS
        if late > 0:
            found = f"one that expired {late:.3g} s ago"
            problems.append(Problem("expires", "a request still in force", found, "compare both clocks; ask again"))
        if self._plan is None:
            problems.append(Problem("recorder", "settings for a recorder", "none", "configure one for this device"))
        elif not now_ns:
            problems.append(Problem("recorder", "samples", "none yet", "see what the source reports"))
        elif not problems:
            end_ns = now_ns + round(float(request.arguments.get("duration", 0.0)) * NANOSECONDS)
            evidence = {"asked_by": request.sender}
            terminal = self._start.terminal if self._start is not None else self._device
            span = self._take(Event(REQUEST, terminal, now_ns, end_ns, Severity.NOTICE, (), evidence))
            if span is None:
                problems.append(Problem("recorder", "fewer recordings an hour", "the limit is reached", "ask later"))
            else:
                payload = {"id": span.id, "start": time_text(span.start_ns), "end": time_text(span.end_ns)}
        if topics.is_identifier(request.sender):
            reply = Reply(request.id, self._device, request.sender, self._clock.now_ns(), payload, tuple(problems))
            topic = topics.replies(self._tenant, request.sender)
            # Not urgent: asking again is cheap, and whoever may ask must not wear out the card.
            self._publish(reply, Publication("grid", topic, retain=False, urgent=False))

    def report(self) -> RecordingsReport | None:
        """Say how recording is doing; None where nothing is recorded."""
        if self._settings is None:
            return None
        state = "recording" if self._spans else "watching"
        return RecordingsReport(
            state="failing" if self._last_error else state,
            kept=len(self.kept),
            bytes=sum(kept.info.bytes for kept in self.kept.values()),
            budget=self._settings.budget,
            skipped=self._skipped,
            last_error=self._last_error,
            **self._counts,
        )

    @property
    def upload_rate(self) -> float:
        """What may be handed over on average [bytes/s]."""
        return (self._settings or Recorder()).upload_rate

    async def remove(self, name: str) -> None:
        """Throw a recording away."""
        self.kept.pop(name, None)
        if self._recordings is not None:
            await asyncio.to_thread(self._recordings.remove, name)

    def samples(self, name: str) -> Path:
        """Name the file of a recording's samples."""
        return self._folder / f"{name}.cff"

    def mark(self, kept: Kept) -> None:
        """Keep what was done about a recording."""
        recordings = self._recordings
        if recordings is not None and kept.info.id in self.kept:
            self.kept[kept.info.id] = kept
            self._spawn(self._mark(recordings, kept.info.id))

    async def close(self) -> None:
        """End: what is being recorded is written as far as it came."""
        if self._worker is not None:
            await self._worker.stop()
            self._worker = None
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- what is recorded

    @property
    def _skipped(self) -> int:
        return self._skipped_before + (self._plan.skipped if self._plan is not None else 0)

    def _take(self, event: Event) -> Span | None:
        _, now_ns = self._workers.position()
        if self._plan is None or not now_ns or self._closing:
            return None
        span = self._plan.take(event, now_ns - self._history_ns, now_ns)
        if span is not None:
            self._spans[span.id] = span
            self._ask(span)
        return span

    def _ask(self, span: Span) -> None:
        if self._worker is not None and self._worker.exit is None:
            self._worker.record(span)
        elif self._timer is None:
            self._ensure()

    # ---- the process

    def _ensure(self) -> None:
        """Start a process for what is to be recorded."""
        self._timer = None
        if not self._starting and not self._closing and self._worker is None:
            self._starting = True
            self._spawn(self._begin())

    async def _begin(self) -> None:
        start = self._start
        if start is None:
            return
        try:
            worker = await self._workers.start_recorder(start, on_answer=self._answered, on_exit=self._gone)
        except (AgentError, OSError) as error:
            self._starting = False
            self._gone(error)
            return
        self._starting = False
        if worker.exit is not None:  # it died at once, which was told
            return
        self._restarts.started(self._clock.monotonic())
        self._worker, self._worker_start = worker, start
        for span in self._spans.values():
            worker.record(span)

    def _gone(self, reason: Exit | Exception) -> None:
        """Note that the process died, and start it again while there is something to record."""
        self._worker = None
        self._last_error = shortened(str(reason), 300)
        if self._closing:
            return
        for name in list(self._spans):
            self._attempts[name] = self._attempts.get(name, 0) + 1
            if self._attempts[name] >= ATTEMPTS:
                self._give_up(name, f"{reason}")
        delay = self._restarts.failed(self._clock.monotonic(), self._random.random())
        log.error("%s; %d recordings under way, going on in %.1f s", reason, len(self._spans), delay)
        if self._spans and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay, self._ensure)

    def _answered(self, answer: Recorded | NotRecorded) -> None:
        for name in answer.dropped:
            self.kept.pop(name, None)
            self._counts["dropped"] += 1
        if isinstance(answer, Recorded):
            self._recorded(answer)
        else:
            self._give_up(answer.id, answer.reason)
        if self.on_change is not None:
            self.on_change(answer.dropped)
        if not self._spans and not self._closing:
            linger = LINGER if self._worker_start == self._start else 0.0
            asyncio.get_running_loop().call_later(linger, self._leave)

    def _recorded(self, answer: Recorded) -> None:
        name = answer.info.id
        wanted = self._spans.pop(name, None)
        self._attempts.pop(name, None)
        self._counts["recorded"] += 1
        self._last_error = ""
        self.kept[name] = Kept(answer.info)
        log.info("recorded %s: %s, %.2f s", name, answer.info.kind, answer.info.duration)
        self._announce(answer.info)
        if self._plan is not None:
            self._plan.close(name, answer.span.end_ns)
            if wanted is not None and wanted.end_ns > answer.span.end_ns:  # it went on while this was written
                for event in wanted.events:
                    self._take(event)

    def _give_up(self, name: str, reason: str) -> None:
        self._spans.pop(name, None)
        self._attempts.pop(name, None)
        self._counts["failed"] += 1
        self._last_error = shortened(f"{name}: {reason}", 300)
        if self._plan is not None:
            self._plan.close(name, None)
        log.error("not recorded: %s", self._last_error)

    def _leave(self) -> None:
        if not self._spans and not self._starting and not self._closing:
            self._spawn(self._retire())

    async def _retire(self) -> None:
        """End the process: nothing is to be recorded, or it must be told other things."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop()
        if self._spans:
            self._ensure()

    # ---- the disk

    async def _open(self) -> bool:
        try:
            self._recordings, kept, torn = await asyncio.to_thread(_read_folder, self._folder)
        except OSError as error:
            self._last_error = f"expected a folder for recordings, found {self._folder}: {error.strerror or error}"
            log.error("%s", self._last_error)
            return False
        self._last_error = ""
        self.kept = {item.info.id: item for item in kept}
        if torn:
            log.warning("recordings cut off by a power cut or a crash are removed: %s", ", ".join(torn))
        for item in kept:
            if not item.announced:
                self._announce(item.info)
        return True

    def _announce(self, info: RecordingInfo) -> None:
        payload = {name: getattr(info, name) for name in _announced}
        result = Result(CONTENT, info.terminal, time_from_text(info.trigger), payload, urgent=True)
        topic = topics.results(self._tenant, self._device, CONTENT)
        self._publish(result, Publication("data", topic, retain=False, urgent=True))
        self.mark(msgspec.structs.replace(self.kept[info.id], announced=True))

    async def _mark(self, recordings: Recordings, name: str) -> None:
        async with self._marking:
            kept = self.kept.get(name)
            try:
                if kept is not None:
                    await asyncio.to_thread(recordings.mark, kept)
            except OSError as error:
                log.warning("the label of recording %s could not be written: %s", name, error)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_announced = (
    *("id", "kind", "severity", "trigger", "start", "duration", "sample_rate", "channels", "samples", "missing"),
    *("lacks", "synchronised", "bytes", "sha256", "format"),
)


def _read_folder(folder: Path) -> tuple[Recordings, list[Kept], list[str]]:
    recordings = Recordings(folder)
    torn = recordings.clear()
    return recordings, recordings.kept(), torn


def _problems(request: Request) -> list[Problem]:
    duration = request.arguments.get("duration", 0.0)
    if isinstance(duration, int | float) and not isinstance(duration, bool) and 0 <= duration <= 60:
        return []
    return [Problem("arguments.duration", "from 0 to 60 [s]", shortened(duration))]
