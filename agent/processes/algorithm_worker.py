"""
An algorithm's process seen from the agent.

Where it stands: made by `workers.start_algorithm`; the agent's router feeds it records and takes what it makes.

Rules: what the process says is never believed. Its limits are measured here, from outside, and exceeding one ends it:

- no sign of life for `Limits.response` (a call does not return);
- twice the records allowed, averaged over ten seconds (those beyond the allowance are dropped before that);
- more private memory than allowed, where the kernel's own limit did not hold;
- more processor time than allowed, averaged over ten seconds;
- records its `info` does not declare, or anything that is no message of the protocol;
- of a package: another `info` than its signed manifest has, or the state of a switch that its settings do not name.

Checkpoints nobody asked for are taken once a second on average at most, so that none can wear out the card they are
kept on. An algorithm that keeps a state sends it ahead of its urgent results; of one that makes them more often than
that, states are kept at that rate, and what it told since the last one kept may be taken back by a power cut.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from agent.errors import AlgorithmRefused, WorkerError
from agent.processes.algorithm_messages import (
    CHECKPOINT_SIZE,
    AlgorithmFailed,
    AlgorithmRefusal,
    AlgorithmReported,
    AlgorithmSpec,
    AlgorithmStarted,
    AlgorithmStatus,
    AlgorithmStopped,
    Attach,
    Checkpointed,
    Feed,
    FromAlgorithm,
    Produced,
    TakeCheckpoint,
    record_decoder,
)
from agent.processes.allowance import Allowance, Share
from agent.processes.declared import difference, words_in
from agent.processes.process import Exit, ExitKind, OnExit, Process
from agent.processes.protocol import REPORT_INTERVAL
from agent.processes.sampler import Sampler
from algorithms.api.errors import shortened
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind, Record, Result, kind_of
from device_catalog.contract.topics import SWITCH_STATE

_MESSAGES = 500.0  # that an algorithm may send on average, whatever they are [1/s]
_CHECKPOINTS = 1.0  # taken on average unless asked for [1/s]
_CHECK_INTERVAL = 1.0
_MEMORY_MARGIN = 1.25  # the kernel's limit comes first, and is kinder
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, slots=True)
class AlgorithmCallbacks:
    """
    Who is told what an algorithm does; all are called in the agent's event loop and must not block.

    Attributes
    ----------
    on_records : callable
        Takes a list of records, oldest first.
    on_report : callable
        Takes the `AlgorithmStatus`, about once a second.
    on_checkpoint : callable
        Takes the bytes to keep, before the records that they count and before they are superseded by the next.
    on_exit : callable
        Takes the `Exit`, once, if the algorithm had started and ended without `stop`.
    """

    on_records: Callable[[list[Record]], None]
    on_report: Callable[[AlgorithmStatus], None]
    on_checkpoint: Callable[[bytes], None]
    on_exit: OnExit


class AlgorithmWorker(Process):
    """
    A running algorithm; `stop` takes a last checkpoint.

    Parameters
    ----------
    number : int
    spec : AlgorithmSpec
    callbacks : AlgorithmCallbacks
    declared : AlgorithmInfo, optional
        What its package's signed manifest says of it, which counts; for what came with the agent it is asked itself.

    Attributes
    ----------
    info : AlgorithmInfo
        What the algorithm says of itself.
    isolation : dict
        Layers that confine it, each with whether the kernel accepted it.
    note : str
        Why it runs without the checkpoint given; empty where it does not.
    sampler : Sampler or None
        Where its samples come from; None for one that takes none.
    """

    info: AlgorithmInfo

    def __init__(
        self, number: int, spec: AlgorithmSpec, callbacks: AlgorithmCallbacks, declared: AlgorithmInfo | None = None
    ) -> None:
        super().__init__(f"algorithm {spec.name}", number, callbacks.on_exit)
        now = asyncio.get_running_loop().time()
        self.spec = spec
        self.isolation: dict[str, bool] = {}
        self.note = ""
        self.sampler: Sampler | None = None
        self._declared = declared
        self._callbacks = callbacks
        self._status = AlgorithmStatus()
        self._inside = 0
        self._allowance = Allowance(spec.limits.records_per_second, now)
        self._messages = Allowance(_MESSAGES, now)
        self._checkpoints = Allowance(_CHECKPOINTS, now)
        self._share = Share()
        self._checked_at = now
        self._first_memory: int | None = None
        self._dropped = 0
        self._kinds: frozenset[Kind] = frozenset()
        self._contents: frozenset[str] = frozenset()
        self._switches = None if declared is None else frozenset(words_in(spec.settings))
        self._asked: asyncio.Future[bytes] | None = None
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = record_decoder().decode

    @property
    def wants_samples(self) -> bool:
        """Whether it reads the ring."""
        return Kind.SAMPLES in self.info.consumes

    @property
    def status(self) -> AlgorithmStatus:
        """The newest report, with what was dropped on the way in and out."""
        dropped = self._status.dropped + self._allowance.refused + self._dropped
        dropped += self._channel.dropped if self._channel else 0
        return msgspec.structs.replace(self._status, dropped=dropped)

    def feed(self, record: Record) -> None:
        """Hand over another algorithm's record; never blocks: where it is too slow, the oldest waiting is dropped."""
        self.channel.offer(Feed((msgspec.Raw(self._encode(record)),)))

    def attach(self, sampler: Sampler) -> None:
        """Read from another sampler's ring from now on; the algorithm sees a gap. Nothing happens the second time."""
        if sampler is self.sampler:
            return
        fds = sampler.new_reader(self.number)
        if self.sampler is not None:
            self.sampler.remove_reader(self.number)
        self.sampler = sampler
        self.channel.send(Attach(), fds)

    async def checkpoint(self) -> bytes:
        """
        Ask for the state a later instance needs.

        Raises
        ------
        WorkerError
            When it does not answer in the time its limits allow, or has ended.
        """
        if self.exit is not None:
            raise WorkerError(f"{self.name} has ended: {self.exit}")
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self.channel.send(TakeCheckpoint())
        timeout = self.spec.limits.response + REPORT_INTERVAL
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(self._asked)
        except TimeoutError:
            raise WorkerError(f"{self.name}: expected a checkpoint within {timeout:g} s, and got none") from None

    def take(self, message: FromAlgorithm, _fds: list[int]) -> None:
        """Take what the algorithm says."""
        now = asyncio.get_running_loop().time()
        self.heard(now)
        self._messages.take(1, now)
        if self._messages.flooded:
            self.kill(f"{self.name} sent messages without end: more than {_MESSAGES:g} a second")
        match message:
            case AlgorithmStarted() | AlgorithmRefusal():
                self._answered(message)
            case Produced():
                self._produced(message.records, now)
            case AlgorithmReported():
                self._status = message.status
                self._callbacks.on_report(self.status)
            case Checkpointed():
                self._checkpointed(message, now)
            case AlgorithmFailed():
                self._end_with(Exit(ExitKind.FAILED, f"{self.name} failed: {message.message}", message.traceback))
            case AlgorithmStopped():
                self._end_with(Exit(ExitKind.STOPPED, f"{self.name} has stopped"))

    def watch(self, now: float) -> None:
        """Look whether it keeps its limits; called twice a second."""
        limits = self.spec.limits
        if not self._started.done():
            return
        if now - self._heard > limits.response + REPORT_INTERVAL:
            self.kill(f"{self.name} made no progress for {limits.response:g} s: one call does not return")
        if now - self._checked_at < _CHECK_INTERVAL or not self.pid:
            return
        self._checked_at = now
        try:
            pid = self._pid_inside()
            memory, processor = _memory_of(pid), _processor_of(pid)
        except (OSError, ValueError, IndexError):  # it is going; its end will be reported
            return
        if self._first_memory is None:
            self._first_memory = memory
        grown = memory - self._first_memory
        if grown > limits.memory * _MEMORY_MARGIN:
            self.kill(f"{self.name} took {grown >> 20} MiB of memory; {limits.memory >> 20} MiB are allowed")
        share = self._share.add(now, processor)
        if share is not None and limits.processor < 1.0 and share > limits.processor:
            self.kill(f"{self.name} used {share:.2f} of a processor core over 10 s; {limits.processor:g} is allowed")

    def _pid_inside(self) -> int:
        """Find the algorithm's own process, where bubblewrap is around it."""
        if self.spec.boxed and not self._inside:
            self._inside = self.pid
            while children := _children_of(self._inside):
                self._inside = children[0]
        return self._inside or self.pid

    def _answered(self, message: AlgorithmStarted | AlgorithmRefusal) -> None:
        if isinstance(message, AlgorithmRefusal):
            self._end_with(Exit(ExitKind.REFUSED, f"{self.name} refuses its settings"))
            if not self._started.done() and message.problems:
                refused = AlgorithmRefused(message.problems, needs_network=message.needs_network)
                self._started.set_exception(refused)
        elif not self._started.done():
            found = "" if self._declared is None else difference(message.info, self._declared)
            if found:
                self.kill(f"{self.name} says of itself what its signed manifest does not: {found}")
                return
            self.info, self.isolation, self.note = message.info, message.isolation, message.note
            self._kinds = frozenset(message.info.produces)
            self._contents = frozenset(message.info.contents)
            self._started.set_result(None)

    def _produced(self, encoded: tuple[msgspec.Raw, ...], now: float) -> None:
        limits = self.spec.limits
        allowed = self._allowance.take(len(encoded), now)
        if self._allowance.flooded:
            self.kill(
                f"{self.name} sends records without end: {limits.records_per_second:g} a second are allowed on average"
            )
        records = []
        for item in encoded[:allowed]:
            if len(memoryview(item)) > limits.record_size:
                self._dropped += 1
                continue
            try:
                record = self._decode(item)
            except (msgspec.DecodeError, RecursionError) as error:
                self.kill(f"{self.name} sent something that is no record: {error}")
                break
            problem = self._problem_of(record)
            if problem:
                self.kill(f"{self.name} sent {problem}")
                break
            records.append(record)
        if records:
            self._callbacks.on_records(records)

    def _problem_of(self, record: Record) -> str:
        """Say what it did not declare, or must not speak for; empty for nothing."""
        if kind_of(record) not in self._kinds:
            return f"a record of kind {kind_of(record)}, which it does not declare"
        if not isinstance(record, Result):
            return ""
        if record.content not in self._contents:
            return f"a result with content {shortened(record.content)}, which it does not declare"
        is_state = record.content.partition("/")[0] == SWITCH_STATE
        if is_state and self._switches is not None and record.terminal not in self._switches:
            return f"the state of switch {shortened(record.terminal)}, which its settings do not name"
        return ""

    def _checkpointed(self, message: Checkpointed, now: float) -> None:
        if len(message.data) > CHECKPOINT_SIZE:
            self.kill(f"{self.name} sent a checkpoint of more than {CHECKPOINT_SIZE} bytes")
            return
        if self._asked is not None and message.asked:
            if not self._asked.done():
                self._asked.set_result(message.data)
            self._asked = None
        elif not self._stopping and not self._checkpoints.take(1, now):
            return
        self._callbacks.on_checkpoint(message.data)

    def _release(self) -> None:
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(WorkerError(f"{self.name} ended instead of giving a checkpoint"))
            self._asked.exception()  # taken note of, also where nobody waits any more
        if self.sampler is not None:
            self.sampler.remove_reader(self.number)


def _children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:  # noqa: PTH123 - as below
        return [int(child) for child in file.read().split()]


def _memory_of(pid: int) -> int:
    """Return resident memory that is neither file nor shared [bytes]."""
    with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - read every second for each algorithm
        fields = file.read().split()
    return (int(fields[1]) - int(fields[2])) * _PAGE


def _processor_of(pid: int) -> float:
    """Return the processor time used [s]."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as above
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
