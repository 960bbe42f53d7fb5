"""
Readings of many sources sorted into intervals of UTC, and the verdict when an interval is to be estimated.

Where it stands: between `state_metering`, which turns records into readings, and `area_state`, which estimates what
`Collector` hands out. Pure: time comes from readings and from `tick`.

Rules:

- A reading belongs to the interval its time stamp lies in. Where an interval would have none of a source, the nearest
  one within `tolerance` of its borders serves: a clock off by a second must not make a source silent.
- An interval ends as soon as nothing more is expected for it (`state_sources`). Otherwise it ends `deadline` after what
  is missing was due.
- A source silent for `patience` intervals is not waited for again until it returns.
- What is ahead of the clock by more than `tolerance`, and what comes when its interval is over, is counted and not
  used. A source that tells nothing believable is told by name (`Gathered.astray`).
- Each source has a share of the memory of its own. Readings beyond it are not lost: those of each small part of the
  interval become their mean. Only what waits for the first tick may be dropped; whose it was is told (`dropped`).
- In whatever order readings of an interval come before it ends, what is handed out is the same.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from algorithms.api.network_tables import Floats
from algorithms.builtin.states.state_rows import Kept
from algorithms.builtin.states.state_sources import SourceMemory

OPEN_INTERVALS = 4
"""Intervals kept beside each other; of more the oldest ends."""
EARLY = 1024
"""Readings that may wait for a tick to judge whether they are ahead of the clock, shared equally by the sources."""
FEWEST_EARLY = 32
"""Of these no source has less than this."""
NUMBERS = 200_000
"""Numbers kept of an interval (1.6 MB), shared equally by the sources; a source that tells more is condensed."""
FEWEST = 40
"""Readings of a source that are kept as they are in any case."""


@dataclass(frozen=True, slots=True)
class Timing:
    """
    How readings are gathered [ns].

    Attributes
    ----------
    interval, offset : int
        Intervals start at `offset` after the multiples of `interval` in UTC.
    deadline : int
        How long a reading is waited for after it was due.
    tolerance : int
        How far clocks may be apart; a quarter of the interval at most counts where a reading serves beside it.
    patience : int
        Intervals a source may miss before it is not waited for.
    """

    interval: int
    offset: int
    deadline: int
    tolerance: int
    patience: int


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """
    An interval that has ended.

    Attributes
    ----------
    start_ns, end_ns : int
    rows : tuple
        For each source its readings in the order of their time stamps, shape (n, 2 + width): time after `start_ns` and
        window [ns], then values as they were put; None where there are none.
    missing : tuple of int
        Sources without a reading.
    astray : mapping
        Sources that tell nothing believable, each with how late its last reading was [s]; below 0 where it was ahead.
    counts : mapping
    dropped : mapping
        Sources of which readings were lost for want of memory, each with how many.
    """

    start_ns: int
    end_ns: int
    rows: tuple[Floats | None, ...]
    missing: tuple[int, ...]
    astray: Mapping[int, float]
    counts: Mapping[str, int]
    dropped: Mapping[int, int]


class Collector:
    """
    Gathers readings.

    Parameters
    ----------
    widths : sequence of int
        How many values a reading of each source has.
    timing : Timing
    """

    def __init__(self, widths: Sequence[int], timing: Timing) -> None:
        self._widths = tuple(widths)
        self._timing = timing
        self._sources = [SourceMemory() for _ in widths]
        room = NUMBERS // max(sum(widths) + 2 * len(widths), 1)
        self._most = max(room, FEWEST)
        self._most_early = max(EARLY // max(len(widths), 1), FEWEST_EARLY)
        self._open: dict[int, dict[int, Kept]] = {}
        self._believed: dict[int, set[int]] = {}  # sources of which one reading at least can have come in time
        self._before: dict[int, Kept] = {}  # readings of the interval before the current one
        self._early: deque[tuple[int, int, int, Sequence[float]]] = deque()
        self._waiting: Counter[int] = Counter()
        self._dropped: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()
        self._current: int | None = None
        self._closed: int | None = None
        self._awaited: set[int] = set()
        self._now: int | None = None

    def count(self, what: str) -> None:
        """Count something that is no reading."""
        self._counts[what] += 1

    def put(self, source: int, time_ns: int, window_ns: int, values: Sequence[float]) -> None:
        """Take a reading: its time stamp, the length of its window [ns], and its values, NaN for what is not there."""
        self._counts["readings"] += 1
        if self._now is not None and time_ns <= self._now + self._timing.tolerance:
            self._take(source, time_ns, window_ns, values)
        elif self._waiting[source] < self._most_early:
            self._waiting[source] += 1
            self._early.append((source, time_ns, window_ns, values))
        else:
            self._counts["surplus"] += 1
            self._dropped[source] += 1

    def tick(self, now_ns: int) -> None:
        """Note the time, and judge what seemed to be ahead of it."""
        if self._closed is not None and self._start(self._closed) > now_ns + self._timing.tolerance:
            self._forget()  # the clock was set back: what is known lies in a time that has not come
        self._now = now_ns
        early, self._early = self._early, deque()
        self._waiting.clear()
        for source, time_ns, window_ns, values in early:
            if time_ns <= now_ns + self._timing.tolerance:
                self._take(source, time_ns, window_ns, values)
            else:
                self._counts["future"] += 1
                self._sources[source].note(now_ns - time_ns, believable=False)
        if self._current is None:
            number = self._number(now_ns)
            self._begin(number if self._closed is None else max(number, self._closed + 1))

    def ended(self) -> Iterator[Gathered]:
        """Hand out the intervals that have ended, oldest first."""
        while self._current is not None and self._is_over(self._current):
            yield self._close(self._current)

    def silent(self) -> Iterator[int]:
        """Give the sources that are not waited for."""
        return (source for source, one in enumerate(self._sources) if one.missed >= self._timing.patience)

    def state(self) -> dict[str, Any]:
        """Give what a later instance needs."""
        sources = [[one.last_ns, one.spacing_ns, one.missed] for one in self._sources]
        return {"closed": self._closed, "sources": sources}

    def restore(self, sources: Sequence[Sequence[int] | None], closed: int | None) -> None:
        """Go on from what `state` gave; None for a source that is new."""
        for one, known in zip(self._sources, sources, strict=True):
            if known is not None:
                one.last_ns, one.spacing_ns, one.missed = known
        self._closed = closed

    # ---- taking

    def _number(self, time_ns: int) -> int:
        return (time_ns - self._timing.offset) // self._timing.interval

    def _start(self, number: int) -> int:
        return number * self._timing.interval + self._timing.offset

    def _take(self, source: int, time_ns: int, window_ns: int, values: Sequence[float]) -> None:
        number, timing, one, now = self._number(time_ns), self._timing, self._sources[source], self._now or 0
        lag, bearable = now - time_ns - window_ns // 2, timing.deadline + timing.tolerance
        if (self._closed is not None and number <= self._closed) or self._start(number + 1) + bearable < now:
            self._counts["late"] += 1
            one.note(lag, believable=lag <= bearable)
            if lag <= bearable:  # it would have been in time, had it been waited for
                one.take(time_ns, now)
                self._wait_again(source)
            return
        one.note(lag, believable=lag <= bearable)
        if lag <= bearable:
            self._believed.setdefault(number, set()).add(source)
        kept = self._open.setdefault(number, {}).setdefault(source, Kept(self._widths[source]))
        kept.rows.extend((time_ns - self._start(number), window_ns, *values))
        if len(kept.rows) >= self._most * (len(values) + 2):
            self._counts.update(kept.condense(self._timing.interval, self._most // 2))
        one.take(time_ns, now)
        self._wait_again(source)
        if self._current is None or number < self._current:
            self._begin(number)
        if source in self._awaited and self._has_told_all(source, self._current or number):
            self._awaited.discard(source)

    def _wait_again(self, source: int) -> None:
        one = self._sources[source]
        if one.missed >= self._timing.patience:
            self._awaited.add(source)
        one.missed = 0

    def _begin(self, number: int) -> None:
        self._current = number
        expected = (source for source, one in enumerate(self._sources) if one.missed < self._timing.patience)
        self._awaited = {source for source in expected if not self._has_told_all(source, number)}

    def _has_told_all(self, source: int, number: int) -> bool:
        one, end = self._sources[source], self._start(number + 1)
        if one.last_ns >= end:
            return True
        kept = self._open.get(number, {}).get(source)
        if kept is None or not kept.rows:
            return False
        return one.has_told_all(one.last_ns, kept.rows[1], end, self._timing.interval)

    def _forget(self) -> None:
        self._open, self._before, self._believed = {}, {}, {}
        self._current = self._closed = None
        self._awaited = set()
        for one in self._sources:
            one.last_ns = one.came_ns = 0

    # ---- ending

    def _is_over(self, number: int) -> bool:
        if (self._open.get(number) and not self._awaited) or max(self._open, default=0) >= number + OPEN_INTERVALS:
            return True
        end = self._start(number + 1)
        due = (self._sources[source].due_ns(end, self._timing.interval) for source in self._awaited)
        return self._now is not None and self._now >= max(due, default=end) + self._timing.deadline

    def _close(self, number: int) -> Gathered:
        rows = self._open.pop(number, {})
        gathered = self._gathered(number, rows)
        for source, one in enumerate(self._sources):
            self._learn(number, one, rows.get(source), self._before.get(source), self._widths[source] + 2)
        following = max(number + 1, self._next_of_interest(number))
        for one in self._sources:
            one.miss(following - number - 1)
        self._closed, self._before = following - 1, rows if following == number + 1 else {}
        self._begin(following)
        return gathered

    def _next_of_interest(self, number: int) -> int:
        """Pass over intervals nobody told anything of, once they are over."""
        if self._open:
            return min(*self._open, max(self._open) - OPEN_INTERVALS + 1)
        return number if self._now is None else self._number(self._now - self._timing.deadline)

    def _gathered(self, number: int, rows: Mapping[int, Kept]) -> Gathered:
        found: list[Floats | None] = []
        astray: dict[int, float] = {}
        believed = self._believed.pop(number, set())
        for source, one in enumerate(self._sources):
            width = self._widths[source]
            many = rows.get(source)
            if many is not None and len(many.weights):  # so that what came last does not count more than the rest
                self._counts.update(many.condense(self._timing.interval, self._most // 2))
            kept = None if many is None else many.table()
            if kept is None:
                kept = self._borrowed(source, number, width)
            elif source not in believed:
                kept = None
            if one.judge(heard=kept is not None):
                astray[source] = one.lag_ns / 1e9
            found.append(kept)
        missing = tuple(source for source, kept in enumerate(found) if kept is None)
        counts, self._counts = dict(self._counts), Counter()
        dropped, self._dropped = dict(self._dropped), Counter()
        start = self._start(number)
        return Gathered(start, start + self._timing.interval, tuple(found), missing, astray, counts, dropped)

    def _borrowed(self, source: int, number: int, width: int) -> Floats | None:
        """Give the reading nearest to the borders of an interval that has none, if near enough."""
        interval = self._timing.interval
        choices: list[tuple[float, Floats]] = []
        shift = np.zeros(width + 2)
        shift[0] = interval
        earlier = self._before.get(source) if self._closed == number - 1 else None
        later = self._open.get(number + 1, {}).get(source)
        before = None if earlier is None else earlier.table()
        after = None if later is None else later.table()
        if before is not None:
            choices.append((interval - before[-1, 0], before[-1:] - shift))
        if after is not None:
            choices.append((after[0, 0], after[:1] + shift))
        distance, row = min(choices, key=lambda choice: choice[0], default=(np.inf, None))
        return row if distance <= min(self._timing.tolerance, interval / 4) else None

    def _learn(self, number: int, one: SourceMemory, kept: Kept | None, before: Kept | None, step: int) -> None:
        if kept is None or not kept.rows:
            one.miss()
            return
        start = self._start(number)
        last = None
        if before and before.rows and self._closed == number - 1:
            last = self._start(number - 1) + int(max(before.rows[::step]))
        single = kept.rows[len(kept.weights) * step :: step]
        one.learn((start + int(offset) for offset in (single if kept.pause_ns else kept.rows[::step])), last)
        if kept.pause_ns:
            one.spacing_ns = kept.pause_ns
