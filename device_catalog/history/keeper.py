"""
Keeps what is heard: in batches, each record once, packed and summed up when its time has settled, dropped when old.

The one writer of the history, driven by one thread (`service`): `take` each message, `commit` the batch, then
`tend` a little. What `commit` returned from is durable, so that the broker may be told. Late records find their stretch
of time again: its block and its sums are made anew. Whatever is not kept, or no more, is counted.
"""

import logging
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from device_catalog.errors import StorageError, StorageFull
from device_catalog.history.arrival import Arrival, Content, Refusal, Series, document_of, judged
from device_catalog.history.codec import Kept, pack, unpack
from device_catalog.history.rollups import MINUTE_NS, NANOSECONDS, merged, steps_of
from device_catalog.history.rollups import document_of as sums_document
from device_catalog.history.store import MINUTES, RAW, Block, Dropped, HistoryStore, Owner, Row

DAY_NS = 86_400 * NANOSECONDS

SPAN_NS: Mapping[tuple[Content, int], int] = {
    **{(content, RAW): 60 * MINUTE_NS for content in Content},
    (Content.FRAMES, RAW): MINUTE_NS,
    (Content.STATES, RAW): 5 * MINUTE_NS,
    **{(content, MINUTES): 60 * MINUTE_NS for content in Content},
}
"""Stretch of time that one block holds, by class and level [ns]."""

SUMMED = (Content.FRAMES, Content.STATES, Content.ENERGY, Content.QUALITY)
"""Classes that one-minute sums are made of; the others come now and then."""

SETTLED = 30.0
"""Quiet after which a stretch of time is packed; what comes later than that makes it be packed again [s]."""
LONGEST_OPEN = 600.0
"""Quiet after which a stretch is packed though it is not over: its device's clock is ahead [s]."""
SCANNED = 1.0
"""How often quiet stretches are looked for [s]."""
LATE_NS = 2 * 3600 * NANOSECONDS
"""Age from which on a stretch that has no block may have lost it for want of room [ns]."""

RAW_FIRST = (Content.FRAMES, Content.STATES, Content.RESULTS, Content.QUALITY, Content.EVENTS, Content.ENERGY)
"""What goes first where the room is short; the sums of minutes go last."""
ROOM = 0.9
"""Share of the room that is used when dropping ends [1]."""
DROPPED_AT_ONCE = 500
"""Blocks of one transaction."""
CHECKED = 30.0
"""How often ages and room are looked at [s]."""
REMEMBERED_SERIES = 200_000
"""Series whose newest number is remembered, to notice gaps."""
CUTS = 4
"""How often the largest devices are looked for anew before room is taken from all."""
CUT_AT_ONCE = 50
"""Devices that room is taken from one by one; what is still needed is taken from all."""

NAMES = 500
"""Series that one device may have: names of results and areas of states stay for ever."""
STRETCH_RECORDS = 20_000
"""Records that one device may add to a stretch of one series; what comes beyond is not kept."""
STRETCH_BYTES = 48 * 1024 * 1024
"""What they may take before they are packed [bytes]; a block can be read as long as it is below `codec`'s limit."""

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


class Keeper:
    """
    Keeps.

    Parameters
    ----------
    store : HistoryStore
    limits : Limits
    monotonic, wall : callable
        Clocks [s], [ns UTC].
    """

    def __init__(
        self,
        store: HistoryStore,
        limits: Limits,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store, self._limits = store, limits
        self._monotonic, self._wall = monotonic, wall
        self._numbers = store.all_series()
        self._series = {number: series for series, number in self._numbers.items()}
        self._batch: list[Row] = []
        self._counts: Counter[str] = Counter()
        self._last: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._open: OrderedDict[tuple[int, int, int], float] = OrderedDict()
        self._names = Counter(Owner(one.tenant, one.device) for one in self._numbers)
        self._filled: OrderedDict[tuple[int, int], tuple[int, int]] = OrderedDict()
        self._checked = self._scanned = -math.inf
        store.limit(limits.budget)
        now = monotonic()
        for number, level, first_ns, last_ns in store.unsettled():
            span_ns = self._span(number, level)
            for start_ns in self._starts_of(number, level, first_ns // span_ns * span_ns, last_ns, span_ns):
                self._open[number, level, start_ns] = now  # what was not acknowledged comes again

    @property
    def waiting(self) -> int:
        """Records taken and not committed."""
        return len(self._batch)

    @property
    def pending(self) -> int:
        """Stretches of time that are not packed yet."""
        return len(self._open)

    def take(self, topic: str, payload: bytes) -> Arrival | None:
        """Take a message; give it back as it will be kept, or nothing where it is not."""
        now_ns = self._wall()
        found = judged(topic, payload, now_ns)
        if isinstance(found, Arrival) and found.time_ns < now_ns - self._life_ns(found.series.content):
            found = Refusal.OUTDATED
        if isinstance(found, Refusal):
            self._counts[found.value] += 1
            return None
        owner = Owner(found.series.tenant, found.series.device)
        if found.series not in self._numbers and self._names[owner] >= NAMES:
            self._counts["crowded"] += 1
            return None
        number = self._number(found.series)
        if not self._fill(number, found.time_ns, len(found.payload), 1):
            self._counts["overfull"] += 1
            return None
        self._notice_gap(number, found)
        self._batch.append(Row(number, RAW, found.time_ns, found.header.boot, found.header.number, found.payload))
        return found

    def commit(self) -> int:
        """
        Write what was taken; durable when this returns. Return how many records were new.

        Raises
        ------
        StorageError
            Nothing of it was written; it is still there, to be tried again or to be let go.
        """
        try:
            new = self._store.add(self._batch, self._counts)
        except StorageFull:
            wanted = sum(2 * len(row.document) for row in self._batch)  # with the indexes, and pages half full
            if not self.make_room(at_least_one=True, wanted=wanted).records:
                raise
            new = self._store.add(self._batch, self._counts)
        now = self._monotonic()
        for row in self._batch:
            span_ns = self._span(row.series, row.level)
            self._touch((row.series, row.level, row.time_ns // span_ns * span_ns), now)
        self._batch, self._counts = [], Counter()
        return new

    def let_go(self) -> None:
        """Forget what was taken and not committed: the broker says it again."""
        for row in self._batch:
            self._fill(row.series, row.time_ns, -len(row.document), -1)
        self._batch = []

    def count(self, name: str, value: int = 1) -> None:
        """Count something that is told with the next commit."""
        self._counts[name] += value

    def tend(self, seconds: float) -> bool:
        """
        Pack, sum up and drop for about so long; tell whether there was anything to do.

        Raises
        ------
        StorageError
            What could not be done is tried again.
        """
        now = self._monotonic()
        try:
            if self._settle_due(now, seconds):
                return True
            if now - self._checked < CHECKED:
                return False
            self.drop_old()
            self.make_room()
            self._checked = now
        except StorageFull:
            if not self.make_room(at_least_one=True).records:
                raise
        return True

    def settle_everything(self) -> None:
        """Pack all that is not packed, however new: at the end, and for tests and benchmarks."""
        while self._open:
            for key in list(self._open):
                self._settle(key)

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

    def make_room(self, *, at_least_one: bool = False, wanted: int = 0) -> Dropped:
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
            self.settle_everything()
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
            for key in list(self._open):  # what it has is not packed yet
                if self._series[key[0]][:2] == owner:
                    self._settle(key)
            is_packed = True

    def _settle_due(self, now: float, seconds: float) -> bool:
        if now - self._scanned < SCANNED:
            return False
        wall_ns, due = self._wall(), []
        for key, last in self._open.items():  # the one that is quiet for longest comes first
            quiet = now - last
            if quiet < SETTLED:
                break
            if key[2] + self._span(key[0], key[1]) <= wall_ns or quiet >= LONGEST_OPEN:
                due.append(key)
        for key in due:
            self._settle(key)
            if self._monotonic() > now + seconds:
                return True
        self._scanned = now
        return bool(due)

    def _settle(self, key: tuple[int, int, int]) -> None:
        """Pack one stretch of time; one that cannot be packed stays as it is, and holds up no other."""
        try:
            self._settle_one(key)
        except StorageError:
            raise
        except Exception:  # noqa: BLE001 - one device's records must not end the history for everybody
            _log.exception("%s cannot be packed and stays as it came; the others are", self._series[key[0]])
            self._counts["set_aside"] += 1
        self._open.pop(key, None)

    def _settle_one(self, key: tuple[int, int, int]) -> None:
        """Pack one stretch of time, with what was packed of it before, and sum its minutes up."""
        number, level, start_ns = key
        span_ns = self._span(number, level)
        loose = [
            Kept(row.time_ns, row.boot, row.number, _document(row))
            for row in self._store.rows(number, level, start_ns, start_ns + span_ns - 1, 10_000_000)
        ]
        if loose:
            packed = self._store.block(number, level, start_ns)
            before = [] if packed is None else unpack(packed)
            records = merged(before, loose)
            counts = {} if level == MINUTES else {"duplicate": len(before) + len(loose) - len(records)}
            counts["kept"] = -counts.get("duplicate", 0)
            data = pack(records)
            sums: list[Row] = []
            if level == RAW and self._series[number].content in SUMMED:
                better = self._sums_before(number, start_ns, span_ns) if packed is None else {}
                sums = [
                    Row(number, MINUTES, step.start_ns, 0, 0, msgspec.json.encode(sums_document(step)))
                    for step in steps_of(records, 60)
                    if step.records >= better.get(step.start_ns, 0)
                ]
            block = Block(number, level, start_ns, len(records), len(data), data)
            self._store.settle(block, sums, span_ns, counts)
            now = self._monotonic()
            for row in sums:
                length = self._span(number, MINUTES)
                self._touch((number, MINUTES, row.time_ns // length * length), now)

    def _sums_before(self, number: int, start_ns: int, span_ns: int) -> dict[int, int]:
        """Count the records that sums were made of, for a stretch whose block may be gone: they know more."""
        if start_ns > self._wall() - LATE_NS:
            return {}
        length = self._span(number, MINUTES)
        packed = self._store.block(number, MINUTES, start_ns // length * length)
        kept = [] if packed is None else unpack(packed)
        return {one.time_ns: one.document["records"] for one in kept if 0 <= one.time_ns - start_ns < span_ns}

    def _touch(self, key: tuple[int, int, int], now: float) -> None:
        self._open[key] = now
        self._open.move_to_end(key)

    def _number(self, series: Series) -> int:
        number = self._numbers.get(series)
        if number is None:
            number = self._numbers[series] = self._store.add_series(series)
            self._series[number] = series
            self._names[Owner(series.tenant, series.device)] += 1
        return number

    def _fill(self, number: int, time_ns: int, size: int, records: int) -> bool:
        """Note what comes to a stretch of time, or goes again; tell whether there is room for it."""
        key = number, time_ns // self._span(number, RAW)
        before = self._filled.get(key, (0, 0))
        after = before[0] + records, before[1] + size
        if after[0] > STRETCH_RECORDS or after[1] > STRETCH_BYTES:
            return False
        self._filled[key] = after
        self._filled.move_to_end(key)
        if len(self._filled) > REMEMBERED_SERIES:
            self._filled.popitem(last=False)
        return True

    def _notice_gap(self, number: int, found: Arrival) -> None:
        """Count a message that names one before it on its topic that did not come."""
        header = found.header
        boot, last = self._last.get(number, (header.boot, 0))
        if last and boot == header.boot and header.previous > last:
            self._counts["gaps"] += 1
        if header.number > last or boot != header.boot:
            self._last[number] = (header.boot, header.number)
            self._last.move_to_end(number)
            if len(self._last) > REMEMBERED_SERIES:
                self._last.popitem(last=False)

    def _span(self, number: int, level: int) -> int:
        return SPAN_NS[self._series[number].content, level]

    def _life_ns(self, content: Content) -> int:
        return int(self._limits.days[content] * DAY_NS)

    def _starts_of(self, number: int, level: int, first_ns: int, last_ns: int, span_ns: int) -> list[int]:
        """Find the stretches that have records, going from one to the next."""
        starts: list[int] = []
        while True:
            found = self._store.row_times(number, level, first_ns, last_ns)
            if found is None:
                return starts
            start_ns = found[0] // span_ns * span_ns
            starts.append(start_ns)
            first_ns = start_ns + span_ns


def _both(one: Dropped, other: Dropped) -> Dropped:
    return Dropped(one.records + other.records, one.size + other.size)


def _document(row: Row) -> dict[str, object]:
    if row.level == RAW:
        return document_of(row.document)
    document: dict[str, object] = msgspec.json.decode(row.document)
    return document
