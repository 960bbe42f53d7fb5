"""
Keeps what is heard: in batches, each record once, packed and summed up when its time has settled, dropped when old.

The one writer of the history, driven by one thread (`service`): `take` each message, `commit` the batch, then
`tend` a little. What `commit` returned from is durable, so that the broker may be told. `stretches` packs, `room`
drops. Whatever is not kept, or no more, is counted.
"""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from device_catalog.errors import StorageFull
from device_catalog.history.arrival import Arrival, Content, Refusal, Series, judged
from device_catalog.history.room import DAY_NS, Limits, Room
from device_catalog.history.store import RAW, HistoryStore, Owner, Row
from device_catalog.history.stretches import Stretches

CHECKED = 30.0
"""How often ages and room are looked at [s]."""
REMEMBERED_SERIES = 200_000
"""Series whose newest number is remembered, to notice gaps."""
NAMES = 500
"""Series that one device may have: names of results and areas of states stay for ever."""
STRETCH_RECORDS = 20_000
"""Records that one device may add to a stretch of one series; what comes beyond is not kept."""
STRETCH_BYTES = 48 * 1024 * 1024
"""What they may take before they are packed [bytes]; a block can be read as long as it is below `codec`'s limit."""


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
        self._names = Counter(Owner(one.tenant, one.device) for one in self._numbers)
        self._filled: OrderedDict[tuple[int, int], tuple[int, int]] = OrderedDict()
        self._checked = -math.inf
        self._stretches = Stretches(store, self._series, self.count, monotonic, wall)
        self._room = Room(store, limits, self._stretches, wall)
        store.limit(limits.budget)
        self._stretches.resume()

    @property
    def waiting(self) -> int:
        """Records taken and not committed."""
        return len(self._batch)

    @property
    def pending(self) -> int:
        """Stretches of time that are not packed yet."""
        return len(self._stretches)

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
            if not self._room.make(at_least_one=True, wanted=wanted).records:
                raise
            new = self._store.add(self._batch, self._counts)
        now = self._monotonic()
        for row in self._batch:
            self._stretches.touch(row, now)
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
            if self._stretches.settle_due(now, seconds):
                return True
            if now - self._checked < CHECKED:
                return False
            self._room.drop_old()
            self._room.make()
            self._checked = now
        except StorageFull:
            if not self._room.make(at_least_one=True).records:
                raise
        return True

    def settle_everything(self) -> None:
        """Pack all that is not packed, however new: at the end, and for tests and benchmarks."""
        self._stretches.settle_everything()

    def _number(self, series: Series) -> int:
        number = self._numbers.get(series)
        if number is None:
            number = self._numbers[series] = self._store.add_series(series)
            self._series[number] = series
            self._names[Owner(series.tenant, series.device)] += 1
        return number

    def _fill(self, number: int, time_ns: int, size: int, records: int) -> bool:
        """Note what comes to a stretch of time, or goes again; tell whether there is room for it."""
        key = number, time_ns // self._stretches.span_ns(number, RAW)
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

    def _life_ns(self, content: Content) -> int:
        return int(self._limits.days[content] * DAY_NS)
