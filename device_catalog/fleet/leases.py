"""
Leases, and the wheel that looks at each when it may have become due.

A poll only writes the time into a lease. The wheel keeps leases by the tick at which they are next looked at; one that
was renewed meanwhile is put back further on. So a poll costs nothing here, and nobody searches through the fleet.
Pure: the time comes in as an argument [s, monotonic].
"""

from enum import IntEnum

NEVER = float("-inf")


class State(IntEnum):
    """What the catalog knows of a device's being there."""

    UNKNOWN = 0
    """Not heard since the catalog started, and not yet silent for a full lease."""
    AVAILABLE = 1
    LATE = 2
    """Overdue, but its lease runs."""
    UNAVAILABLE = 3


class Lease:
    """
    One device's lease.

    Attributes
    ----------
    device : str
    interval, duration : float
        How often the device polls, and how long its silence is borne [s].
    seen : float
        When it was last heard by this process [s, monotonic].
    state : State
    due : int
        The wheel's tick at which this lease is looked at; entries of other ticks are stale.
    expected : bool
        Whether it counts as one who should be heard: it was available before.
    flaps : int
        How often it came back since the catalog started.
    """

    __slots__ = ("device", "due", "duration", "expected", "flaps", "interval", "seen", "state")

    def __init__(self, device: str, interval: float, duration: float, *, expected: bool = False) -> None:
        self.device = device
        self.interval = interval
        self.duration = duration
        self.expected = expected
        self.seen = NEVER
        self.state = State.UNKNOWN
        self.due = -1
        self.flaps = 0

    @property
    def late_after(self) -> float:
        """Silence after which the device is overdue [s]."""
        return (self.interval + self.duration) / 2


class TimingWheel:
    """
    Leases by the tick at which they are looked at.

    Attributes
    ----------
    resolution : float
        Length of one tick [s]: leases are looked at no earlier than due, and at most this much later.
    """

    def __init__(self, resolution: float, now: float) -> None:
        self.resolution = resolution
        self._slots: dict[int, list[Lease]] = {}
        self._next = int(now / resolution)

    def put(self, lease: Lease, time: float) -> None:
        """Have `lease` looked at as soon as `time` is over; what was said before no longer counts."""
        tick = max(int(time / self.resolution) + 1, self._next)
        if tick == lease.due:
            return
        lease.due = tick
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = [lease]
        else:
            slot.append(lease)

    def forget(self, lease: Lease) -> None:
        """Let `lease` never be looked at again."""
        lease.due = -1

    def due(self, now: float) -> list[Lease]:
        """Take out the leases to be looked at by now, each once."""
        found: list[Lease] = []
        last = int(now / self.resolution)
        if last - self._next > len(self._slots):  # a long pause: fewer slots than ticks
            ticks = sorted(tick for tick in self._slots if tick <= last)
        else:
            ticks = list(range(self._next, last + 1))
        self._next = max(self._next, last + 1)
        for tick in ticks:
            for lease in self._slots.pop(tick, ()):
                if lease.due == tick:
                    lease.due = -1
                    found.append(lease)
        return found
