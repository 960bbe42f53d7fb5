"""
Stretches of time: what has come is packed and summed up, a stretch of a series at a time, once its time has settled.

Where it stands: driven by `keeper`, in its one thread. A stretch is open from its first record until nothing has come
for a while; then what is loose becomes one block (`codec`) and its one-minute sums (`rollups`). A record that comes
later opens it again: its block and its sums are made anew.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec

from device_catalog.errors import StorageError
from device_catalog.history.arrival import Content, Series, document_of
from device_catalog.history.codec import Kept, pack, unpack
from device_catalog.history.rollups import MINUTE_NS, NANOSECONDS, merged, steps_of
from device_catalog.history.rollups import document_of as sums_document
from device_catalog.history.store import MINUTES, RAW, Block, HistoryStore, Owner, Row

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

_log = logging.getLogger(__name__)


class Stretches:
    """
    The open stretches of one history.

    Parameters
    ----------
    store : HistoryStore
    series : mapping
        By number; grows while this lives.
    count : callable
        Counts something by its name.
    monotonic, wall : callable
        Clocks [s], [ns UTC].
    """

    def __init__(
        self,
        store: HistoryStore,
        series: Mapping[int, Series],
        count: Callable[[str], None],
        monotonic: Callable[[], float],
        wall: Callable[[], int],
    ) -> None:
        self._store, self._series, self._count = store, series, count
        self._monotonic, self._wall = monotonic, wall
        self._open: OrderedDict[tuple[int, int, int], float] = OrderedDict()
        self._scanned = -math.inf

    def __len__(self) -> int:
        return len(self._open)

    def resume(self) -> None:
        """Go on with what was not packed when the history ended; what was not acknowledged comes again."""
        now = self._monotonic()
        for number, level, first_ns, last_ns in self._store.unsettled():
            span_ns = self.span_ns(number, level)
            for start_ns in self._starts_of(number, level, first_ns // span_ns * span_ns, last_ns, span_ns):
                self._open[number, level, start_ns] = now

    def span_ns(self, number: int, level: int) -> int:
        """Tell how long a stretch of a series is [ns]."""
        return SPAN_NS[self._series[number].content, level]

    def touch(self, row: Row, now: float) -> None:
        """Note that a record has come [s, monotonic]; its stretch is open from now on."""
        span_ns = self.span_ns(row.series, row.level)
        key = row.series, row.level, row.time_ns // span_ns * span_ns
        self._open[key] = now
        self._open.move_to_end(key)

    def settle_everything(self) -> None:
        """Pack all that is not packed, however new: at the end, and for tests and benchmarks."""
        while self._open:
            for key in list(self._open):
                self._settle(key)

    def settle_of(self, owner: Owner) -> None:
        """Pack all that one device has open."""
        for key in list(self._open):
            if self._series[key[0]][:2] == owner:
                self._settle(key)

    def settle_due(self, now: float, seconds: float) -> bool:
        """Pack what is quiet and over, for about so long [s]; tell whether there was any."""
        if now - self._scanned < SCANNED:
            return False
        wall_ns, due = self._wall(), []
        for key, last in self._open.items():  # the one that is quiet for longest comes first
            quiet = now - last
            if quiet < SETTLED:
                break
            if key[2] + self.span_ns(key[0], key[1]) <= wall_ns or quiet >= LONGEST_OPEN:
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
            self._count("set_aside")
        self._open.pop(key, None)

    def _settle_one(self, key: tuple[int, int, int]) -> None:
        """Pack one stretch of time, with what was packed of it before, and sum its minutes up."""
        number, level, start_ns = key
        span_ns = self.span_ns(number, level)
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
                self.touch(row, now)

    def _sums_before(self, number: int, start_ns: int, span_ns: int) -> dict[int, int]:
        """Count the records that sums were made of, for a stretch whose block may be gone: they know more."""
        if start_ns > self._wall() - LATE_NS:
            return {}
        length = self.span_ns(number, MINUTES)
        packed = self._store.block(number, MINUTES, start_ns // length * length)
        kept = [] if packed is None else unpack(packed)
        return {one.time_ns: one.document["records"] for one in kept if 0 <= one.time_ns - start_ns < span_ns}

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


def _document(row: Row) -> dict[str, object]:
    if row.level == RAW:
        return document_of(row.document)
    document: dict[str, object] = msgspec.json.decode(row.document)
    return document
