"""
Calling an algorithm in the right order, with the right ticks, and looking at what it returns.

Pure: no input or output, and time comes in, except for the processor time that each call takes.

Where it stands: `algorithm_loop` drives it in a process of its own; a replay drives it in the open. Both therefore
call an algorithm in exactly the same way.

Rules:

- An algorithm that consumes samples lives by their time: `tick` comes at whole multiples of its interval in UTC, after
  the block that reaches them. After a jump of time it comes once. An algorithm without samples is ticked by its host.
- What it returns must be of the kinds, and its results of the contents, that its `info` declares.
"""

import time
from collections.abc import Sequence
from typing import Any

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import CheckpointError, Problem, SettingsError
from algorithms.api.manifest import problems_of_info
from algorithms.api.records import Kind, Record, Result, kind_of, type_of_kind
from algorithms.api.samples import NANOSECONDS, SampleBlock

_record_types = tuple(type_of_kind.values())


class UndeclaredRecord(Exception):  # noqa: N818 - the name says what happened
    """An algorithm returned what its `info` does not declare."""


class AlgorithmCalls:
    """
    One instance of an algorithm from start to stop.

    Parameters
    ----------
    algorithm_class : type of Algorithm
    settings : mapping

    Attributes
    ----------
    processed, produced, over_budget : int
    slowest : float
        Longest processor time of one call since `take_slowest` [s].
    note : str
        Why the instance runs without the checkpoint given.
    """

    def __init__(self, algorithm_class: type[Algorithm], settings: dict[str, Any]) -> None:
        self._class = algorithm_class
        self._settings = settings
        self.info = algorithm_class.info
        self._algorithm: Algorithm | None = None
        self._tick_ns = round(self.info.tick_interval * NANOSECONDS)
        self._next_tick_ns: int | None = None
        self._kinds = frozenset(self.info.produces)
        self._contents = frozenset(self.info.contents)
        self.wants_samples = Kind.SAMPLES in self.info.consumes
        self.processed = self.produced = self.over_budget = 0
        self.slowest = 0.0
        self.note = ""

    def start(self, context: Context, restored: bytes | None) -> None:
        """
        Make the instance and start it; without the checkpoint, and with a `note`, where that cannot be read.

        Raises
        ------
        SettingsError
            With every problem of its settings, its context or of what it declares.
        """
        problems = problems_of_info(self.info)
        if self.info.needs_network and context.network is None:
            problems.append(Problem("network", "a network model", "none", "assign the device to a network"))
        if self.wants_samples and not context.channels:
            problems.append(Problem("acquisition", "a waveform source", "none", "assign one, or another algorithm"))
        if problems:
            raise SettingsError(problems)
        self._algorithm = self._class(self._settings)
        try:
            self._algorithm.start(context, restored)
        except CheckpointError as error:
            self.note = f"started without its checkpoint: {error}"
            self._algorithm = self._class(self._settings)
            self._algorithm.start(context, None)

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        """Hand over one record, and tick where a block reaches the time for it."""
        algorithm = self._running()
        begin = time.thread_time()
        records = algorithm.process(record)
        self._timed(begin)
        self.processed += 1
        if isinstance(record, SampleBlock) and self._tick_ns:
            end_ns = record.end_ns
            if self._next_tick_ns is None:
                self._next_tick_ns = self._after(record.time_ns)
            if end_ns >= self._next_tick_ns:
                due = end_ns // self._tick_ns * self._tick_ns
                self._next_tick_ns = due + self._tick_ns
                return [*self._checked(records), *self.tick(due)]
            if end_ns < self._next_tick_ns - self._tick_ns:  # the clock was set back
                self._next_tick_ns = self._after(end_ns)
        return self._checked(records)

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Tell the time."""
        algorithm = self._running()
        begin = time.thread_time()
        records = algorithm.tick(now_ns)
        self._timed(begin)
        return self._checked(records)

    @property
    def asks_to_be_kept(self) -> bool:
        """Whether the instance wants a checkpoint to be taken now."""
        return self._running().keep_now is True

    def checkpoint(self) -> bytes:
        """Return the instance's state."""
        algorithm = self._running()
        algorithm.keep_now = False
        begin = time.thread_time()
        data = algorithm.checkpoint()
        self._timed(begin)
        if not isinstance(data, bytes):
            raise UndeclaredRecord(f"checkpoint: expected bytes, found {type(data).__name__}")
        return data

    def stop(self) -> None:
        """Stop the instance; may come at any time."""
        if self._algorithm is not None:
            self._algorithm.stop()

    def take_slowest(self) -> float:
        """Return `slowest` and begin anew."""
        slowest, self.slowest = self.slowest, 0.0
        return slowest

    def _running(self) -> Algorithm:
        if self._algorithm is None:
            raise RuntimeError("the algorithm was not started")
        return self._algorithm

    def _after(self, time_ns: int) -> int:
        return (time_ns // self._tick_ns + 1) * self._tick_ns

    def _timed(self, begin: float) -> None:
        taken = time.thread_time() - begin
        self.slowest = max(self.slowest, taken)
        if taken > self.info.time_budget:
            self.over_budget += 1

    def _checked(self, records: Sequence[Record]) -> Sequence[Record]:
        for record in records:
            if not isinstance(record, _record_types):
                raise UndeclaredRecord(f"expected records, found {type(record).__name__}")
            if kind_of(record) not in self._kinds:
                raise UndeclaredRecord(
                    f"expected only {', '.join(self.info.produces) or 'no records'}, which its info declares, "
                    f"found a record of kind {kind_of(record)}"
                )
            if isinstance(record, Result) and record.content not in self._contents:
                raise UndeclaredRecord(
                    f"expected results with content {', '.join(self.info.contents)}, which its info declares, "
                    f"found {record.content}"
                )
        self.produced += len(records)
        return records
