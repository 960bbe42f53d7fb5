"""
Answers what is asked of the history: records or steps of time, page by page; what there is of a device; how it goes.

Reads only, in threads of its own, so that a long question keeps no poll and no change waiting. What is packed and what
is not packed yet are put together as if there were no difference; where both hold a stretch of time, it is summed up
anew, so that an answer never depends on when it was asked.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.wire import time_text
from device_catalog.contract.history import (
    DeviceHistory,
    HistoryPage,
    HistoryRecord,
    HistoryStatus,
    HistoryStep,
    KeptSeries,
    Summary,
)
from device_catalog.errors import HistoryUnknown, Refused
from device_catalog.history.arrival import Content, document_of
from device_catalog.history.codec import Kept, unpack
from device_catalog.history.fields import chosen, values_of
from device_catalog.history.rollups import NANOSECONDS, Step, merged, step_from, steps_of, widened
from device_catalog.history.rollups import document_of as document_of_step
from device_catalog.history.store import MINUTES, RAW, HistoryStore
from device_catalog.history.stretches import SPAN_NS, SUMMED

MAXIMUM_PAGE = 10_000
MINUTE = 60
"""Shortest step [s]."""
MOST_LOOSE = 200_000
"""Records of one stretch of time that are put together with others."""
MOST_SERIES = 500
"""Series of one class that are read at once."""
READERS = 2

Answer = TypeVar("Answer")


class Range(NamedTuple):
    """
    What is asked for.

    Attributes
    ----------
    first_ns, last_ns : int
        From the first, to before the last [ns UTC].
    fields : tuple of str
        Names, or what they begin with; empty for whole records, and all fields of steps.
    step : int
        [s]; 0 for records.
    name : str
        Only the series of this name; empty for all.
    cursor : str
        Of the part before; empty for the first.
    limit : int
        Most items of a part, 1 to `MAXIMUM_PAGE`.
    """

    first_ns: int
    last_ns: int
    fields: tuple[str, ...] = ()
    step: int = 0
    name: str = ""
    cursor: str = ""
    limit: int = 1000


class History:
    """
    Answers.

    Parameters
    ----------
    store : HistoryStore
        Of a database that another process writes.
    """

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._readers = ThreadPoolExecutor(READERS, "history-reader")

    def close(self) -> None:
        """End, once what was begun is done."""
        self._readers.shutdown()
        self._store.close()

    async def page(self, tenant: str, device: str, content: Content, asked: Range) -> HistoryPage:
        """
        Give part of a device's history.

        Parameters
        ----------
        tenant : str
            Empty for any.
        device : str
        content : Content
        asked : Range

        Raises
        ------
        HistoryUnknown
            When nothing of the class is kept of the device.
        Refused
            When the cursor is none.
        StorageError
        """
        return await self._read(self.page_now, tenant, device, content, asked)

    async def device(self, tenant: str, device: str) -> DeviceHistory:
        """
        Tell what there is of a device.

        Raises
        ------
        HistoryUnknown, StorageError
        """
        return await self._read(self._device, tenant, device)

    async def newest(self, tenant: str, device: str, content: Content, count: int) -> list[Kept]:
        """Give the newest records, newest first; nothing where there are none, or no history at all."""
        return await self._read(self._newest, tenant, device, content, count)

    async def status(self) -> HistoryStatus:
        """Tell how the history is doing."""
        return await self._read(self._status)

    async def _read(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: function(*arguments))

    def page_now(self, tenant: str, device: str, content: Content, asked: Range) -> HistoryPage:
        """As `page`, in this thread."""
        after = _read_cursor(asked.cursor)
        if asked.step and content not in SUMMED:
            expected = f"a class that has steps: {', '.join(SUMMED)}"
            raise Refused([Problem("query.step", expected, content.value, "leave it out")])
        series = self._series(tenant, device, content, asked.name)
        if asked.step:
            steps = [self._steps(number, content, asked, after) for number in series]
            found = list(_first(heapq.merge(*steps), asked.limit + 1))
            items = tuple(_step_of(step, series[number], asked.fields) for (_, number), step in found[: asked.limit])
            return HistoryPage(device, content, asked.step, (), items, _cursor_of(found, asked.limit))
        records = [self._records(number, content, asked, after) for number in series]
        rows = list(_first(heapq.merge(*records), asked.limit + 1))
        told = tuple(_record_of(record, series[key[1]], asked.fields) for key, record in rows[: asked.limit])
        return HistoryPage(device, content, 0, told, (), _cursor_of(rows, asked.limit))

    def _series(self, tenant: str, device: str, content: Content, name: str) -> dict[int, str]:
        known = self._store.series_of(device, tenant, content, name) if self._store.exists() else {}
        if not known:
            of = f" called {shortened(name)}" if name else ""
            raise HistoryUnknown(
                f"expected {content}{of} kept of {device}, found none; did it say any, and does "
                "`tresma-catalog history` listen to its data broker?"
            )
        if len(known) > MOST_SERIES:
            raise Refused([Problem("query.name", f"one of the {len(known)} names that {device} has", "none given")])
        return {number: series.name for number, series in known.items()}

    def _records(
        self, number: int, content: Content, asked: Range, after: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, int, int, int], Kept]]:
        """Go through the records of a series, stretch by stretch, behind the cursor."""
        first_ns = max(asked.first_ns, after[0] if after else asked.first_ns)
        for start_ns in self._stretches(number, RAW, content, first_ns, asked.last_ns - 1):
            for record in self._stretch(number, content, RAW, start_ns):
                key = (record.time_ns, number, record.boot, record.number)
                if first_ns <= record.time_ns < asked.last_ns and (not after or key > after):
                    yield key, record

    def _steps(
        self, number: int, content: Content, asked: Range, after: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, int], Step]]:
        """Go through the steps of a series behind the cursor."""
        length = asked.step * NANOSECONDS
        first_ns = asked.first_ns // length * length
        if after:
            first_ns = max(first_ns, after[0])
        last_ns = -(-asked.last_ns // length) * length
        pending: list[Step] = []
        for minute in self._minutes(number, content, first_ns, last_ns):
            if pending and minute.start_ns // length != pending[0].start_ns // length:
                yield from self._told(pending, number, asked.step, after)
                pending = []
            pending.append(minute)
        yield from self._told(pending, number, asked.step, after)

    @staticmethod
    def _told(
        pending: list[Step], number: int, seconds: int, after: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, int], Step]]:
        for step in widened(pending, seconds):
            if not after or (step.start_ns, number) > after[:2]:
                yield (step.start_ns, number), step

    def _minutes(self, number: int, content: Content, first_ns: int, last_ns: int) -> Iterator[Step]:
        """Go through one-minute sums, made anew where records wait to be summed up."""
        raw_span, span = SPAN_NS[content, RAW], SPAN_NS[content, MINUTES]
        fresh = set(self._loose_stretches(number, RAW, raw_span, first_ns, last_ns - 1))
        starts = set(self._stretches(number, MINUTES, content, first_ns, last_ns - 1))
        starts.update(start // span * span for start in fresh)
        for start_ns in sorted(starts):
            found = {
                kept.time_ns: step_from(kept.time_ns, kept.document)
                for kept in self._stretch(number, content, MINUTES, start_ns)
            }
            for raw_start in range(start_ns, start_ns + span, raw_span):
                if raw_start in fresh:
                    for step in steps_of(self._stretch(number, content, RAW, raw_start), MINUTE):
                        if step.start_ns not in found or step.records >= found[step.start_ns].records:
                            found[step.start_ns] = step_from(
                                step.start_ns, document_of_step(step)
                            )  # as if it were kept
            for start in sorted(found):
                if first_ns <= start < last_ns:
                    yield found[start]

    def _stretches(self, number: int, level: int, content: Content, first_ns: int, last_ns: int) -> Iterator[int]:
        """Tell in order when the stretches begin that have anything between two times."""
        span = SPAN_NS[content, level]
        begin = first_ns // span * span
        while begin <= last_ns:
            packed = self._store.starts(number, level, begin, last_ns, 100)
            loose = self._loose_stretches(number, level, span, begin, packed[-1] + span - 1 if packed else last_ns)
            starts = sorted({*packed, *loose})
            if not starts:
                return
            yield from starts
            begin = starts[-1] + span

    def _loose_stretches(self, number: int, level: int, span: int, first_ns: int, last_ns: int) -> Iterator[int]:
        while True:
            times = self._store.row_times(number, level, first_ns, last_ns)
            if times is None:
                return
            start_ns = times[0] // span * span
            yield start_ns
            first_ns = start_ns + span

    def _stretch(self, number: int, content: Content, level: int, start_ns: int) -> list[Kept]:
        """Read one stretch of time whole, in order, each record once."""
        span = SPAN_NS[content, level]
        # Rows first: what is being packed meanwhile is then read twice rather than not at all.
        loose = [
            Kept(row.time_ns, row.boot, row.number, _document(row.level, row.document))
            for row in self._store.rows(number, level, start_ns, start_ns + span - 1, MOST_LOOSE)
        ]
        packed = self._store.block(number, level, start_ns)
        before = [] if packed is None else unpack(packed)
        return merged(before, loose) if loose else before

    def _newest(self, tenant: str, device: str, content: Content, count: int) -> list[Kept]:
        if not self._store.exists():
            return []
        found: list[Kept] = []
        for number in self._store.series_of(device, tenant, content):
            loose = [
                Kept(row.time_ns, row.boot, row.number, document_of(row.document))
                for row in self._store.newest_rows(number, count)
            ]
            packed = self._store.newest_block(number) if len(loose) < count else None
            found += merged([] if packed is None else unpack(packed), loose)
        return sorted(found, key=lambda kept: kept.key, reverse=True)[:count]

    def _device(self, tenant: str, device: str) -> DeviceHistory:
        known = self._store.series_of(device, tenant) if self._store.exists() else {}
        if not known:
            raise HistoryUnknown(f"expected a device that something is kept of, found nothing of {device}")
        held = {(one.series, one.level): one for one in self._store.held(known)}
        kept = []
        for number, series in known.items():
            raw, minutes = held.get((number, RAW)), held.get((number, MINUTES))
            loose = self._store.row_times(number, RAW, -(2**62), 2**62)
            newest = self._newest(series.tenant, device, series.content, 1)
            first = [one for one in (raw.first_ns if raw else None, loose[0] if loose else None) if one is not None]
            if not newest or not first:
                continue
            kept.append(
                KeptSeries(
                    series.content,
                    series.name,
                    time_text(min(first)),
                    time_text(newest[0].time_ns),
                    self._store.loose(number) + (raw.records if raw else 0),
                    raw.size if raw else 0,
                    *((minutes.records, minutes.size) if minutes else (0, 0)),
                )
            )
        return DeviceHistory(device, tuple(kept))

    def _status(self) -> HistoryStatus:
        if not self._store.exists():
            return HistoryStatus(False)
        return HistoryStatus(True, self._store.disk(), self._store.counts())


def _record_of(kept: Kept, name: str, wanted: tuple[str, ...]) -> HistoryRecord:
    time = time_text(kept.time_ns)
    if wanted:
        return HistoryRecord(time, kept.boot, kept.number, name, None, values_of(kept.document, wanted))
    return HistoryRecord(time, kept.boot, kept.number, name, kept.document)


def _step_of(step: Step, name: str, wanted: tuple[str, ...]) -> HistoryStep:
    names = chosen(step.values, wanted) if wanted else step.values
    values = {
        one: Summary(float(f"{total.mean:.8g}"), total.least, total.greatest, total.uncertainty, total.count)
        for one, total in step.values.items()
        if one in names
    }
    return HistoryStep(time_text(step.start_ns), step.records, values, name)


def _document(level: int, document: bytes) -> dict[str, Any]:
    if level == RAW:
        return document_of(document)
    read: dict[str, Any] = msgspec.json.decode(document)
    return read


def _first(items: Iterable[Answer], count: int) -> Iterator[Answer]:
    for number, item in enumerate(items):
        if number == count:
            return
        yield item


def _cursor_of(found: list[tuple[Any, Any]], limit: int) -> str:
    return ".".join(str(part) for part in found[limit - 1][0]) if len(found) > limit else ""


def _read_cursor(cursor: str) -> tuple[int, ...]:
    if not cursor:
        return ()
    parts = cursor.split(".")
    if len(parts) not in (2, 4) or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise Refused([Problem("query.cursor", "a cursor that a page ended with", shortened(cursor))])
    return tuple(int(part) for part in parts)
