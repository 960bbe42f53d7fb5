"""
Algorithms' states on their way to the disk, so that a slow card holds up nothing but itself.

Where it stands: between the algorithms' processes and `store`. A state is durable two synchronisations after it came,
which takes an SD card up to a second; meanwhile the agent routes and publishes, all but results that wait for the state
which counts them (`held_records`). Rules: one write at a time; of several states of an algorithm the newest is
written; whoever asks for a state gets the newest, written or not.
"""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """Who keeps algorithms' states."""

    def checkpoint(self, algorithm: str) -> bytes | None:
        """Return what an algorithm asked to keep; None where there is nothing."""

    def keep_checkpoint(self, algorithm: str, state: bytes) -> Future[None] | None:
        """
        Keep an algorithm's state; the one before stays where this fails.

        Returns
        -------
        concurrent.futures.Future or None
            Done when this state or a later one is durable, or with the `OSError`; None where it is durable already.
        """


class Writer(Protocol):
    """Who writes algorithms' states while one waits."""

    def checkpoint(self, algorithm: str) -> bytes | None:
        """Return what an algorithm asked to keep; None where there is nothing."""

    def keep_checkpoint(self, algorithm: str, state: bytes) -> None:
        """Make an algorithm's state durable."""


class Checkpoints:
    """
    Keeps states in a thread of its own.

    Parameters
    ----------
    store : Writer
        Writes them, and raises `OSError` where it cannot.
    """

    def __init__(self, store: Writer) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[str, bytes] = {}
        self._problems: dict[str, str] = {}
        self._told: dict[str, list[Future[None]]] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")

    def checkpoint(self, algorithm: str) -> bytes | None:
        """Return the newest state of an algorithm; None where there is none."""
        with self._lock:
            waiting = self._waiting.get(algorithm)
        return waiting if waiting is not None else self._store.checkpoint(algorithm)

    def keep_checkpoint(self, algorithm: str, state: bytes) -> Future[None]:
        """Have a state written; returns at once. See `Keeper` for what."""
        durable: Future[None] = Future()
        with self._lock:
            self._told.setdefault(algorithm, []).append(durable)
            is_first = algorithm not in self._waiting
            self._waiting[algorithm] = state
        if is_first:
            self._writer.submit(self._write, algorithm)
        return durable

    def problems(self) -> list[str]:
        """Say which states could not be written when they last came."""
        with self._lock:
            return list(self._problems.values())

    def close(self) -> None:
        """Write what waits, and end."""
        self._writer.shutdown(wait=True)

    def _write(self, algorithm: str) -> None:
        while True:
            with self._lock:
                state, told = self._waiting[algorithm], self._told.pop(algorithm, [])
            failure: OSError | None = None
            try:
                self._store.keep_checkpoint(algorithm, state)
            except OSError as error:
                failure = error
            self._note(algorithm, failure)
            for durable in told:
                if durable.set_running_or_notify_cancel():
                    durable.set_exception(failure) if failure is not None else durable.set_result(None)
            with self._lock:
                if not self._told.get(algorithm):
                    del self._waiting[algorithm]
                    return

    def _note(self, algorithm: str, failure: OSError | None) -> None:
        """Remember what keeps a state from being written, and say it once."""
        problem = ""
        if failure is not None:
            reason = failure.strerror or failure
            problem = f"the state of {algorithm} could not be kept, the one before stays: {reason}"
        with self._lock:
            before = self._problems.pop(algorithm, "")
            if problem:
                self._problems[algorithm] = problem
        if problem and problem != before:
            log.error("%s", problem)
