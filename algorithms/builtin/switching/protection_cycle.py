"""
The cycle of a breaker's own protection: trip, close again after each dead time, give up. Pure.

Where it stands: inside the simulated `switch`; the reconfigurator only watches what the switch reports of it. After a
closing by order a trip is final at once, until the quiet time is over: it was closed onto the fault.
"""

from collections.abc import Sequence
from enum import Enum, auto

from algorithms.api.wire import NANOSECONDS


class Act(Enum):
    """What the protection does."""

    TRIP = auto()
    RECLOSE = auto()


class ProtectionCycle:
    """
    One relay.

    Parameters
    ----------
    delay : float
        From its pick-up to the trip [s].
    dead_times : sequence of float
        Pause before each reclosure [s].
    reclaim_time : float
        Quiet time after which the cycle starts anew [s].

    Attributes
    ----------
    lockout : bool
        Whether it gave up.
    """

    def __init__(self, delay: float, dead_times: Sequence[float], reclaim_time: float) -> None:
        self._delay, self._dead_times, self._reclaim = delay, tuple(dead_times), reclaim_time
        self._shots = 0
        self._quiet_ns: int | None = None
        self._due: tuple[int, Act] | None = None
        self.lockout = False

    @property
    def reclosing(self) -> bool:
        """Whether it is going to close again."""
        return self._due is not None and self._due[1] is Act.RECLOSE

    def picked_up(self, now_ns: int) -> None:
        """Note a fault while closed; the trip falls due after the delay."""
        if self._due is None:
            self._due = now_ns + round(self._delay * NANOSECONDS), Act.TRIP

    def act(self, now_ns: int) -> Act | None:
        """Return what falls due, once."""
        if self._quiet_ns is not None and now_ns >= self._quiet_ns and self._due is None:
            self._shots, self._quiet_ns = 0, None
        if self._due is None or now_ns < self._due[0]:
            return None
        due, act = self._due
        self._due = None
        if act is Act.TRIP:
            self._quiet_ns = None
            if self._shots < len(self._dead_times):
                self._due = due + round(self._dead_times[self._shots] * NANOSECONDS), Act.RECLOSE
                self._shots += 1
            else:
                self.lockout = True
        else:
            self._quiet_ns = due + round(self._reclaim * NANOSECONDS)
        return act

    def opened_by_order(self) -> None:
        """Forget the cycle: whoever opened it closes it."""
        self._due = self._quiet_ns = None
        self._shots, self.lockout = 0, False

    def closed_by_order(self, now_ns: int) -> None:
        """Let the next trip be final for the quiet time."""
        self._due, self.lockout = None, False
        self._shots = len(self._dead_times)
        self._quiet_ns = now_ns + round(self._reclaim * NANOSECONDS)
