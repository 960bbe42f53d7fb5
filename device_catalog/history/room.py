"""
Room for the history: what is older than it is to be kept is dropped, and the oldest where there is no room.

Where it stands: driven by `keeper`, in its one thread. Room is taken first from those devices that have most of it, so
that one loud device costs the others nothing, then from the classes that fill it fastest. What is not packed yet is
packed before it is dropped: packed it takes a fifth.
"""

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from device_catalog.history.arrival import Content
from device_catalog.history.rollups import NANOSECONDS
from device_catalog.history.store import MINUTES, RAW, Dropped, HistoryStore, Owner
from device_catalog.history.stretches import SPAN_NS, Stretches

DAY_NS = 86_400 * NANOSECONDS

RAW_FIRST = (Content.FRAMES, Content.STATES, Content.RESULTS, Content.QUALITY, Content.EVENTS, Content.ENERGY)
"""What goes first where the room is short; the sums of minutes go last."""
ROOM = 0.9
"""Share of the room that is used when dropping ends [1]."""
DROPPED_AT_ONCE = 500
"""Blocks of one transaction."""
CUTS = 4
"""How often the largest devices are looked for anew before room is taken from all."""
CUT_AT_ONCE = 50
"""Devices that room is taken from one by one; what is still needed is taken from all."""

_log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """
    How long and how much is kept.

    Attributes
    ----------
    days : mapping
        By class [d].
    minutes_days : float
        One-minute sums [d].
    budget : int
        Room [bytes].
    """

    days: Mapping[Content, float]
    minutes_days: float
    budget: int


class Room:
    """
    The room of one history.

    Parameters
    ----------
    store : HistoryStore
    limits : Limits
    stretches : Stretches
    wall : callable
        [ns UTC]
    """

    def __init__(self, store: HistoryStore, limits: Limits, stretches: Stretches, wall: Callable[[], int]) -> None:
        self._store, self._limits = store, limits
        self._stretches = stretches
        self._wall = wall

    def drop_old(self) -> Dropped:
        """Drop what is older than its class is kept."""
        now_ns, total = self._wall(), Dropped()
        limits: list[tuple[tuple[Content, ...], int, float]] = [
            ((content,), RAW, self._limits.days[content]) for content in Content
        ]
        limits.append((tuple(Content), MINUTES, self._limits.minutes_days))
        for contents, level, days in limits:
            span_ns = max(SPAN_NS[content, level] for content in contents)
            before_ns = now_ns - int(days * DAY_NS) - span_ns
            while True:
                dropped = self._store.drop_before(contents, level, before_ns, DROPPED_AT_ONCE)
                total = Dropped(total.records + dropped.records, total.size + dropped.size)
                if not dropped.records:
                    break
        if total.records:
            _log.info("%d records dropped for their age (%d bytes)", *total)
        return total

    def make(self, *, at_least_one: bool = False, wanted: int = 0) -> Dropped:
        """
        Drop the oldest until there is room, of those devices first that take most of it.

        Of the classes, those go first that fill it fastest.

        Parameters
        ----------
        at_least_one : bool
            Whether something has to go even if there seems to be room: the disk itself is full.
        wanted : int
            What is to find room afterwards [bytes].

        Raises
        ------
        StorageError
        """
        budget = self._limits.budget
        if self._store.used() <= budget and not at_least_one:
            return Dropped()
        enough = max(budget // 2, min(int(ROOM * budget), budget - wanted))
        total = self._dropped_until(enough, 1 if at_least_one else 0)
        if self._store.used() > enough:  # what is not packed yet takes the room: packed it takes a fifth
            self._stretches.settle_everything()
            more = self._dropped_until(enough, 0)
            total = Dropped(total.records + more.records, total.size + more.size)
        _log.warning(
            "%d records dropped (%d bytes) to stay within %d bytes; give history_budget more, or keep less by "
            "history_days", *total, budget,
        )  # fmt: skip
        return total

    def _dropped_until(self, enough: int, least: int) -> Dropped:
        """Drop the oldest blocks until no more than `enough` [bytes] is used, and so many records at least are gone."""
        total, used = Dropped(), self._store.used()
        for _ in range(CUTS):
            cut = self._cut_the_largest(enough, max(0, least - total.records))
            total, used = _both(total, cut), self._store.used()
            if not cut.records or (used <= enough and total.records >= least):
                break
        for content, level in [*((content, RAW) for content in RAW_FIRST), (None, MINUTES)]:
            contents = tuple(Content) if content is None else (content,)
            while used > enough or total.records < least:
                dropped = self._store.drop_before(contents, level, 2**62, DROPPED_AT_ONCE // 10, "no_room")
                if not dropped.records:
                    break
                total = _both(total, dropped)
                used = self._store.used()
        return total

    def _cut_the_largest(self, enough: int, least: int) -> Dropped:
        """Take room from those devices first that have most of it, down to what leaves enough for all."""
        total, used = Dropped(), self._store.used()
        sizes = sorted(((size, owner) for owner, size in self._store.sizes().items()), reverse=True)[: CUT_AT_ONCE + 1]
        missing = max(used - enough, least)
        if missing <= 0:
            return total
        for place in range(min(len(sizes), CUT_AT_ONCE)):
            # What the largest ones have above the level at which they would together have given what is missing.
            level = sizes[place + 1][0] if place + 1 < len(sizes) else 0
            above = sum(one - level for one, _ in sizes[: place + 1])
            if above >= missing or place + 1 == min(len(sizes), CUT_AT_ONCE):
                level = max(level, level + (above - missing) // (place + 1))
                break
        else:
            return total
        for size, owner in sizes[: place + 1]:
            total = _both(total, self._cut(owner, size - level, enough, least))
        return total

    def _cut(self, owner: Owner, excess: int, enough: int, least: int) -> Dropped:
        """Drop the oldest of one device until it has given so much [bytes], or there is room."""
        total, is_packed = Dropped(), False
        while True:
            for content in RAW_FIRST:
                while total.size < excess and (self._store.used() > enough or total.records < least):
                    most = DROPPED_AT_ONCE // 50
                    dropped = self._store.drop_before((content,), RAW, 2**62, most, "no_room", owner=owner)
                    if not dropped.records:
                        break
                    total = _both(total, dropped)
            if is_packed or total.size >= excess or self._store.used() <= enough:
                return total
            self._stretches.settle_of(owner)  # what it has is not packed yet
            is_packed = True


def _both(one: Dropped, other: Dropped) -> Dropped:
    return Dropped(one.records + other.records, one.size + other.size)
