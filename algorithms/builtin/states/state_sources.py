"""
What is remembered of a source of readings: how often it tells, whether it is there, whether its clock can be right.

Where it stands: `state_collector` keeps one `SourceMemory` for each source and asks it when its next reading is due.

Rules:

- A source tells *rarely* when more than half an interval lies between its readings, such as a meter read once a minute.
  Its next reading is due when its usual pause has passed since the last one came; a frequent source owes readings to
  the end of the interval.
- A reading is believable when it can have come in time: not ahead of the clock by more than the tolerance, and not
  older than the interval's deadline allows.
- A source whose readings all were unbelievable for `ASTRAY_AFTER` intervals is astray: its clock is far off, or what
  connects it too slow. The two look alike from here, and are told alike.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

ASTRAY_AFTER = 2
"""Intervals without one believable reading, in spite of others, after which a source is told to be astray."""
MOST_MISSED = 1_000_000


@dataclass(slots=True)
class SourceMemory:
    """
    One source.

    Attributes
    ----------
    last_ns : int
        Latest time stamp taken; 0 before the first [ns].
    came_ns : int
        When that reading came [ns].
    spacing_ns : int
        Usual pause between two readings; 0 while it is not known [ns].
    missed : int
        Intervals without a reading since the last one.
    strikes : int
        Intervals in which it told, but nothing believable.
    refused : bool
        Whether a reading since the last interval ended was not believable.
    lag_ns : int
        How long after its time stamp the last one came [ns].
    """

    last_ns: int = 0
    spacing_ns: int = 0
    missed: int = 0
    strikes: int = 0
    refused: bool = False
    lag_ns: int = 0
    came_ns: int = 0

    def take(self, time_ns: int, now_ns: int) -> None:
        """Note the time stamp of a reading that is used, and when it came."""
        if not self.spacing_ns and 0 < self.last_ns < time_ns:
            self.spacing_ns = time_ns - self.last_ns
        if time_ns >= self.last_ns:
            self.last_ns, self.came_ns = time_ns, max(now_ns, time_ns)

    def note(self, lag_ns: int, *, believable: bool) -> None:
        """Note that a reading came `lag_ns` after the end of its window."""
        self.lag_ns = lag_ns
        self.refused |= not believable

    def has_told_all(self, latest_ns: int, window_ns: float, end_ns: int, interval_ns: int) -> bool:
        """Tell whether nothing more is due before `end_ns`, its latest reading in the interval being known."""
        if 2 * window_ns > interval_ns and latest_ns + window_ns / 2 >= end_ns - interval_ns / 100:
            return True  # a mean over the interval
        often = 5 * self.spacing_ns <= interval_ns
        slack = self.spacing_ns // 1000 if often else self.spacing_ns // 4  # how much earlier the next may come
        return self.spacing_ns > 0 and latest_ns + self.spacing_ns + slack >= end_ns

    def due_ns(self, end_ns: int, interval_ns: int) -> int:
        """Tell when its reading should have come at the latest, for an interval that ends at `end_ns`."""
        rarely = 2 * self.spacing_ns > interval_ns
        return min(end_ns, self.came_ns + self.spacing_ns) if rarely and self.came_ns else end_ns

    def learn(self, stamps: Iterable[int], before_ns: int | None) -> None:
        """Learn from the time stamps of an interval, and the last one of the interval before, how often it tells."""
        self.missed = 0
        known = sorted({*stamps, *(() if before_ns is None else (before_ns,))})
        self.spacing_ns = min((after - before for before, after in pairwise(known)), default=self.spacing_ns)

    def miss(self, count: int = 1) -> None:
        """Note intervals without a reading."""
        self.missed = min(self.missed + count, MOST_MISSED)

    def judge(self, *, heard: bool) -> bool:
        """End an interval; tell whether the source is astray."""
        self.strikes = 0 if heard else self.strikes + self.refused
        self.refused = False
        return self.strikes >= ASTRAY_AFTER
