"""
The faults of all networks: what devices say of them on the grid broker is kept, and answered from.

Where it stands: `fault_listener` hands over messages, the REST interface asks. Rules:

- Words on one fault make one record: events of the same terminal within a minute, which a reclosure repeats, and the
  outcome of the restoration that names it, or began with it where it names none.
- A person says when it is repaired; who said so, and when, stays with the record, also when it is taken back.
- Only what names a network of the catalog is kept; a message that comes twice counts once. Records and the words of
  each are limited: the oldest records go, and of many words the first and the newest stay.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from algorithms.api.errors import WireError, shortened
from algorithms.api.records import Event
from algorithms.api.switching import is_case_name
from algorithms.api.wire import NANOSECONDS, decode, time_from_text, time_text
from device_catalog.contract import topics
from device_catalog.contract.faults import (
    LOCATED,
    NOT_REPAIRED,
    REPAIRED,
    RESTORATION,
    FaultChange,
    FaultDetail,
    FaultNews,
    FaultPage,
    FaultSummary,
    names_of,
)
from device_catalog.errors import FaultUnknown, RevisionOutdated
from device_catalog.grid.cursors import no_cursor, time_and_name
from device_catalog.grid.recordings import Recordings
from device_catalog.storage.faults import FaultRow, FaultStore
from device_catalog.storage.threads import StorageThreads

MAXIMUM_KNOWN = 1000
"""Faults of one network that are remembered."""
MAXIMUM_NEWS = 40
"""Words on one fault that are kept."""
MAXIMUM_MESSAGE = 64 * 1024
"""Longest message that is kept [bytes]."""
MAXIMUM_PAGE = 1000

SAME = 60 * NANOSECONDS
"""Faults at one terminal within this are one, found again with each reclosing [ns]."""
PEOPLE = (REPAIRED, NOT_REPAIRED)
"""Kinds of words that people say."""
BEFORE, AFTER = NANOSECONDS, 10 * NANOSECONDS
"""Recordings of this time around a fault belong to it [ns]."""

_unfit = re.compile(r"[^A-Za-z0-9_-]")


class Faults:
    """
    Keeps faults.

    Parameters
    ----------
    store : FaultStore
    recordings : Recordings
    threads : StorageThreads
    """

    def __init__(self, store: FaultStore, recordings: Recordings, threads: StorageThreads) -> None:
        self._store, self._recordings, self._threads = store, recordings, threads

    async def hear(self, topic: str, payload: bytes) -> bool:
        """
        Take a message of a network's faults; tell whether it was one that is kept.

        Raises
        ------
        StorageError
            When it could not be kept; it may be handed over again.
        """
        news = read_news(topic, payload)
        return news is not None and await self._threads.write(self._keep, news, topic.split("/")[1])

    def _keep(self, news: tuple[str, str, FaultNews], tenant: str) -> bool:
        network, terminal, word = news
        if not self._store.knows_network(network, tenant):
            return False
        start_ns = time_from_text(word.start)
        if word.kind == RESTORATION:
            end_ns = time_from_text(word.end) if word.end else start_ns
            named = cases_of(word)
            rows = self._store.between(network, start_ns - SAME, end_ns + (SAME if named else 0))
            if named:
                rows = [row for row in rows if named & names_of(row.terminal, _news_of(row))]
        else:
            near = self._store.between(network, start_ns - SAME, start_ns + SAME)
            rows = [row for row in near if row.terminal == terminal][:1]
            if not rows:
                name = f"{network[:24]}-{_unfit.sub('_', terminal)[:16]}-{start_ns // 1_000_000}"
                rows = [FaultRow(name, network, terminal[:128], start_ns, "", "[]")]
        for row in rows:
            self._add(row, word)
        return bool(rows)

    def _add(self, row: FaultRow, word: FaultNews) -> None:
        before = _news_of(row)
        key = word.device, word.boot, word.number
        if word.number and key in [(one.device, one.boot, one.number) for one in before]:
            return
        words = (*before, word)
        if len(words) > MAXIMUM_NEWS:
            words = (words[0], *words[1 - MAXIMUM_NEWS :])
        last = msgspec.json.decode(row.summary, type=FaultSummary).revision if row.summary else 0
        summary = summarised(row, words, last + 1)
        texts = [msgspec.json.encode(item).decode() for item in (summary, words)]
        self._store.write(row._replace(summary=texts[0], news=texts[1]), MAXIMUM_KNOWN)

    async def page(self, network: str, cursor: str, limit: int, tenant: str = "") -> FaultPage:
        """
        Give part of the list, newest first.

        Parameters
        ----------
        network : str
            Only its; all where it is empty.
        cursor : str
            Of the part before; empty for the first.
        limit : int
            1 to `MAXIMUM_PAGE`.
        tenant : str
            Only its networks'; all where it is empty.

        Raises
        ------
        Refused
            When the cursor is none.
        """
        after = _read_cursor(cursor)
        rows = await self._threads.read(self._store.page, network, after, limit + 1, tenant)
        items = tuple(msgspec.json.decode(text, type=FaultSummary) for _, _, text in rows[:limit])
        return FaultPage(items, f"{rows[limit - 1][0]}.{rows[limit - 1][1]}" if len(rows) > limit else "")

    async def one(self, name: str) -> FaultDetail:
        """
        Give all that is known of a fault.

        Raises
        ------
        FaultUnknown
        """
        row = _known(await self._threads.read(self._store.find, name), name)
        news = _news_of(row)
        told = [time_from_text(word.start) for word in news]
        recordings = await self._recordings.around(devices_of(news), row.start_ns - BEFORE, max(told) + AFTER)
        return FaultDetail(msgspec.json.decode(row.summary, type=FaultSummary), news, recordings)

    async def change(self, name: str, change: FaultChange, revision: int | None, who: str, now_ns: int) -> None:
        """
        Keep what a person says of a fault; what is known already is not kept again.

        Parameters
        ----------
        name : str
        change : FaultChange
        revision : int or None
            Of the record that this is based on; None for whatever it is.
        who : str
            The operator.
        now_ns : int
            [ns UTC]

        Raises
        ------
        FaultUnknown, RevisionOutdated
        """
        await self._threads.write(self._change, name, change, revision, who, now_ns)

    def _change(self, name: str, change: FaultChange, revision: int | None, who: str, now_ns: int) -> None:
        row = _known(self._store.find(name), name)
        summary = msgspec.json.decode(row.summary, type=FaultSummary)
        if revision is not None and revision != summary.revision:
            raise RevisionOutdated(f"revision {revision}", summary.revision)
        if change.repaired == bool(summary.repaired):
            return
        word = FaultNews(
            kind=REPAIRED if change.repaired else NOT_REPAIRED,
            device=who,
            boot=0,
            number=0,
            time=time_text(now_ns),
            start=time_text(row.start_ns),
            end=None,
            phases=(),
            evidence={"note": change.note} if change.note else {},
        )
        self._add(row, word)


def cases_of(word: FaultNews) -> set[str]:
    """Give the names of the faults that a restoration tells of; none where it names them in another way."""
    cases, also = word.evidence.get("cases"), word.evidence.get("also")
    said = [*(cases if isinstance(cases, list) else ()), *(also if isinstance(also, dict) else ())]
    return {name for name in said if isinstance(name, str) and is_case_name(name)}


def _news_of(row: FaultRow) -> tuple[FaultNews, ...]:
    return msgspec.json.decode(row.news, type=tuple[FaultNews, ...])


def _known(row: FaultRow | None, name: str) -> FaultRow:
    if row is None:
        raise FaultUnknown(f"expected a fault, found none called {shortened(name)}; list those there are")
    return row


def read_news(topic: str, payload: bytes) -> tuple[str, str, FaultNews] | None:
    """Read network, terminal and what is said from a message; None where it is nothing that is kept."""
    try:
        header, event = decode(payload, MAXIMUM_MESSAGE)
    except WireError:
        return None
    if not isinstance(event, Event) or event.kind not in topics.FAULTS:
        return None
    network = event.evidence.get("network")
    if not isinstance(network, str) or topic.split("/")[2:] != ["faults", network]:
        return None
    word = FaultNews(
        kind=event.kind,
        device=header.device,
        boot=header.boot,
        number=header.number,
        time=time_text(header.time_ns),
        start=time_text(event.start_ns),
        end=None if event.end_ns is None else time_text(event.end_ns),
        phases=event.phases,
        evidence=dict(event.evidence),
    )
    return network, event.terminal, word


def summarised(row: FaultRow, news: Sequence[FaultNews], revision: int) -> FaultSummary:
    """Sum up what was said of a fault: the surest place that was named, and the last outcome."""
    faults = [word for word in news if word.kind not in (RESTORATION, *PEOPLE)]
    located = [word for word in faults if word.kind == LOCATED]
    best = min(located or faults[-1:] or news[:1], key=_unsureness)
    outcome = next((word for word in reversed(news) if word.kind == RESTORATION), None)
    last = next((word for word in reversed(news) if word.kind in PEOPLE), None)
    repair = last if last is not None and last.kind == REPAIRED else None
    said, ended = best.evidence, {} if outcome is None else outcome.evidence
    minutes = None
    if outcome is not None and outcome.end is not None:
        minutes = max(0.0, (time_from_text(outcome.end) - row.start_ns) / NANOSECONDS / 60.0)
    others = said.get("alternatives")
    return FaultSummary(
        id=row.fault,
        network=row.network,
        terminal=row.terminal,
        device=best.device,
        start=time_text(row.start_ns),
        kind=best.kind,
        type=_text(said, "type"),
        phases=best.phases,
        branch=_text(said, "branch"),
        from_node=_text(said, "from_node"),
        to_node=_text(said, "to_node"),
        distance=_number(said, "distance"),
        distance_uncertainty=_number(said, "distance_uncertainty"),
        resistance=_number(said, "fault_resistance"),
        trusted=said.get("trusted") is True,
        alternatives=len(others) if isinstance(others, list) else 0,
        outcome=_text(ended, "outcome"),
        minutes=minutes,
        restored_customers=round(_number(ended, "restored_customers") or 0.0),
        unserved_customers=round(_number(ended, "unserved_customers") or 0.0),
        repaired="" if repair is None else repair.time,
        repaired_by="" if repair is None else repair.device,
        revision=revision,
    )


def devices_of(news: Sequence[FaultNews]) -> list[str]:
    """Name the devices whose recordings belong to a fault: whoever told of it, and the meters it names."""
    found: dict[str, None] = {}
    for word in news:
        if word.kind in PEOPLE:
            continue
        named = word.evidence.get("meters")
        missing = word.evidence.get("missing")
        for name in (
            word.device,
            *(named if isinstance(named, list) else ()),
            *(missing if isinstance(missing, dict) else ()),
        ):
            if isinstance(name, str) and topics.is_identifier(name):
                found[name] = None
    return list(found)[:100]


def _unsureness(word: FaultNews) -> tuple[bool, float]:
    spread = _number(word.evidence, "distance_uncertainty")
    return word.evidence.get("trusted") is not True, float("inf") if spread is None else spread


def _text(evidence: dict[str, Any], name: str) -> str:
    value = evidence.get(name)
    return value[:128] if isinstance(value, str) else ""


def _number(evidence: dict[str, Any], name: str) -> float | None:
    value = evidence.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _read_cursor(cursor: str) -> tuple[int, str] | None:
    if not cursor:
        return None
    start_ns, fault = time_and_name(cursor)
    if not topics.is_identifier(fault):
        raise no_cursor(cursor)
    return start_ns, fault
