"""
The thread in which the spool works, and the clock by which the outbox lives.

A commit takes milliseconds on a good card and a second on a bad one; the event loop must not wait for either.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Protocol

from agent.errors import SpoolError


class Clock(Protocol):
    """The part of an event loop that the outbox needs."""

    def time(self) -> float:
        """Tell the monotonic time [s]."""

    def call_at(self, when: float, callback: Callable[[], object]) -> Any:
        """Call `callback` at `when`; what comes back can be cancelled."""


class Worker:
    """A thread that does one job after the other and tells the event loop of each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run `job` in the thread, then `done` with its result, or its error, on the loop."""
        self._jobs.put((job, done))

    def close(self) -> None:
        """Finish the jobs there are."""
        self._jobs.put(None)
        self._thread.join(timeout=10.0)

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            try:
                result = job()
            except (sqlite3.Error, OSError, SpoolError) as error:
                result = error
            if self._loop.is_closed():
                return
            self._loop.call_soon_threadsafe(done, result)


class Submitter(Protocol):
    """What runs the spool's jobs: `Worker`, or a test's own."""

    def submit(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run `job`, later `done` with its result."""

    def close(self) -> None:
        """Finish."""
