"""
Algorithms' states on their way to the disk, so that a slow card holds up nothing but itself.

Where it stands: between the algorithms' processes and `store`. A state is durable two synchronisations after it came,
which takes an SD card up to a second; meanwhile the agent routes and publishes. Rules: one write at a time; of several
states of one algorithm the newest is written; whoever asks for a state gets the newest, written or not.
"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """Who keeps algorithms' states."""

    def checkpoint(self, algorithm: str) -> bytes | None:
        """Return what an algorithm asked to keep; None where there is nothing."""

    def keep_checkpoint(self, algorithm: str, state: bytes) -> None:
        """Keep an algorithm's state; the one before stays where this fails."""


class Checkpoints:
    """
    Keeps states in a thread of its own.

    Parameters
    ----------
    store : Keeper
        Writes them, and raises `OSError` where it cannot.
    """

    def __init__(self, store: Keeper) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[str, bytes] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")

    def checkpoint(self, algorithm: str) -> bytes | None:
        """Return the newest state of an algorithm; None where there is none."""
        with self._lock:
            waiting = self._waiting.get(algorithm)
        return waiting if waiting is not None else self._store.checkpoint(algorithm)

    def keep_checkpoint(self, algorithm: str, state: bytes) -> None:
        """Have a state written; returns at once."""
        with self._lock:
            is_first = algorithm not in self._waiting
            self._waiting[algorithm] = state
        if is_first:
            self._writer.submit(self._write, algorithm)

    def close(self) -> None:
        """Write what waits, and end."""
        self._writer.shutdown(wait=True)

    def _write(self, algorithm: str) -> None:
        while True:
            with self._lock:
                state = self._waiting[algorithm]
            try:
                self._store.keep_checkpoint(algorithm, state)
            except OSError as error:
                log.error("the state of %s could not be kept, the one before stays: %s", algorithm, error)
            with self._lock:
                if self._waiting[algorithm] is state:
                    del self._waiting[algorithm]
                    return
