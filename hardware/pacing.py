"""
When a source that has no board of its own hands its samples on: at once, or when their time has come.

Between a recorded or simulated source and the machine's clock, which it asks through `Clock`, so that tests hold time
in their hands. Samples are paced by the monotonic clock from one instant on, as a board's crystal would: a step of the
wall clock neither stalls nor floods a reader.
"""

import time
from typing import Literal, Protocol

from algorithms.api.samples import NANOSECONDS

Pacing = Literal["real-time", "as-fast-as-possible"]
PACES: tuple[Pacing, ...] = ("real-time", "as-fast-as-possible")

_longest_sleep = 0.5


class Clock(Protocol):
    """What a source needs to know of time."""

    def now_ns(self) -> int:
        """Return UTC [ns since 1970]."""
        ...

    def monotonic_ns(self) -> int:
        """Return a time that never steps [ns]."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait [s]."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ns(self) -> int:
        """Return UTC [ns since 1970]."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return a time that never steps [ns]."""
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        """Wait [s]."""
        time.sleep(seconds)


class Pace:
    """
    Tells when a sample's time has come.

    Parameters
    ----------
    clock : Clock
    origin_ns : int
        UTC at which the first sample is taken [ns]; may lie ahead.
    """

    def __init__(self, clock: Clock, origin_ns: int) -> None:
        self._clock = clock
        self._origin = clock.monotonic_ns() + (origin_ns - clock.now_ns())

    def late(self, due: float) -> float:
        """Return how long ago the instant `due` [s after the origin] was [s]; negative while it lies ahead."""
        return (self._clock.monotonic_ns() - self._origin) / NANOSECONDS - due

    def wait(self, due: float, timeout: float) -> bool:
        """
        Wait until `due` [s after the origin], for at most `timeout` [s].

        Returns
        -------
        bool
            Whether its time has come.
        """
        deadline = self._clock.monotonic_ns() + max(timeout, 0.0) * NANOSECONDS
        while True:
            ahead = -self.late(due)
            if ahead <= 0:
                return True
            left = (deadline - self._clock.monotonic_ns()) / NANOSECONDS
            if left <= 0:
                return False
            self._clock.sleep(min(ahead, left, _longest_sleep))
