"""An outbox without threads and without real time: a clock that is set, a worker that works when told."""

import heapq
import itertools
import sqlite3
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from agent.delivery.messages import Key, Message, OutboxLimits, Range
from agent.delivery.outbox import Outbox
from agent.delivery.spool import Spool
from agent.delivery.spool_records import Commit
from algorithms.api.records import Result
from device_catalog.contract.topics import BROKERS, BrokerName

TOPIC = "v1/default/meters/m-1/results/count"


class _Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _Timer, Callable[[], object]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> _Timer:
        timer = _Timer()
        heapq.heappush(self._timers, (when, next(self._order), timer, callback))
        return timer

    def advance(self, duration: float, after_each: Callable[[], object]) -> None:
        """Let `duration` [s] pass, calling what is due in between."""
        end = self.now + duration
        while self._timers and self._timers[0][0] <= end:
            when, _, timer, callback = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if not timer.cancelled:
                callback()
                after_each()
        self.now = end


class ManualWorker:
    """Does the jobs when told, or fails them all like a full disk."""

    def __init__(self) -> None:
        self.failing = False
        self._jobs: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()

    def submit(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._jobs.append((job, done))

    def close(self) -> None:
        self.work()

    def work(self) -> None:
        """Do everything there is to do."""
        while self._jobs:
            job, done = self._jobs.popleft()
            try:
                result = sqlite3.OperationalError("database or disk is full") if self.failing else job()
            except sqlite3.Error as error:
                result = error
            done(result)


class RecordingSpool(Spool):
    """A spool that remembers which keys were made durable."""

    def __init__(self, path: Path, limits: OutboxLimits) -> None:
        super().__init__(path, limits)
        self.durable: set[tuple[str, Key]] = set()
        self.commits = 0

    def commit(self, commit: Commit) -> list[tuple[str, Range]]:
        dropped = super().commit(commit)
        self.commits += 1
        self.durable.update((broker, message.key) for broker, part in commit.messages for message in part)
        return dropped


class Bench:
    """An outbox on `path` with everything around it in hand."""

    def __init__(self, path: Path, limits: OutboxLimits | None = None) -> None:
        self.limits = limits or OutboxLimits()
        self.clock = ManualClock()
        self.path = path
        self.open()

    def open(self) -> None:
        """Start, as after a power cut."""
        self.worker = ManualWorker()
        self.spool = RecordingSpool(self.path, self.limits)
        weakref.finalize(self, self.spool.close)  # a bench that nobody holds any more leaves no open database
        opened = self.spool.open(BROKERS, least_boot=1)
        self.outbox = Outbox(
            self.spool, opened, self.worker, self.clock,
            device="m-1", tenant="default", limits=self.limits, utc_ns=lambda: round(self.clock.now * 1e9),
        )  # fmt: skip

    def kill(self) -> None:
        """End without a word; jobs not begun are lost."""
        self.spool.close()

    def work(self) -> None:
        """Let the disk catch up."""
        self.worker.work()

    def advance(self, duration: float) -> None:
        """Let time pass, with a disk that keeps up."""
        self.work()
        self.clock.advance(duration, self.work)
        self.work()


def result(value: int = 0, *, padding: int = 0) -> Result:
    """Make a result as large as it is to be."""
    return Result("count/1", "t", 0, {"value": value, "padding": "x" * padding})


def numbers_of(messages: Iterable[Message]) -> list[int]:
    """Give the numbers of messages."""
    return [message.number for message in messages]


def drain(bench: Bench, broker: BrokerName = "data") -> list[Message]:
    """Take and acknowledge everything, as a quick broker would."""
    bench.outbox.connected(broker)
    taken: list[Message] = []
    idle = 0
    while idle < 2:  # the first empty answer may only mean that the next part is being read
        messages = bench.outbox.take(broker, 50)
        bench.work()
        idle = 0 if messages else idle + 1
        taken += messages
        for message in messages:
            bench.outbox.acknowledge(broker, message.key)
    return taken
