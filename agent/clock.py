"""
Time on this machine: what the clock says, whether it follows UTC, and when it was stepped.

Intervals are measured on the monotonic clock, stamps on UTC. The kernel knows whether a time daemon disciplines the
clock and how far off it may be; a step shows as a jump between the two clocks.
"""

import time
from typing import Protocol

from device_catalog.contract.reports import TimeReport
from hardware.timebase_clocks import kernel_clock

STEP = 0.05
"""A change between the clocks that counts as a step [s]; slewing at 500 ppm moves 0.03 s a minute."""


class Clock(Protocol):
    """What reads the time; tests bring their own."""

    def now_ns(self) -> int:
        """UTC [ns since 1970]."""
        ...

    def monotonic(self) -> float:
        """Never set back, its zero means nothing [s]."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """UTC [ns since 1970]."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Never set back, its zero means nothing [s]."""
        return time.monotonic()


def synchronisation() -> TimeReport:
    """
    Ask the kernel whether its clock follows UTC, and how well.

    Returns
    -------
    TimeReport
        The uncertainty is the kernel's estimated error [s]; None where the clock is free or nothing is known.
    """
    uncertainty = kernel_clock().uncertainty
    return TimeReport(synchronised=uncertainty is not None, uncertainty=uncertainty)


class StepWatch:
    """Counts the steps of the clock; asked every now and then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._difference = self._now()
        self.steps = 0

    def look(self) -> float:
        """Return the step since the last look [s]; 0 where there was none."""
        difference = self._now()
        moved = difference - self._difference
        self._difference = difference
        if abs(moved) < STEP:
            return 0.0
        self.steps += 1
        return moved

    def _now(self) -> float:
        return self._clock.now_ns() / 1e9 - self._clock.monotonic()
