"""
The audit trail in the database: rows are added at its end, and never changed or removed.

Each row carries a digest of itself and of the row before, so that one that was changed or taken out shows
(`problems_of`). The database refuses changes by itself, too (the migration's triggers). All calls block.

A change carries a row of who makes it in its own transaction (`deeds`), which the entry replaces. What was cut off
between them is settled later: its entry has the status `CUT_OFF`, since nobody was answered.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from device_catalog.storage.deeds import TRAIL, have_noted
from device_catalog.storage.tables import acts_begun, audit_trail

_t, _b = audit_trail.c, acts_begun.c
_options = {"writes": True, TRAIL: True}

MOST_SETTLED = 1000
"""Acts settled at once."""

ATTEMPTS = 10
"""Another catalog at the same database may have taken the number."""

CUT_OFF = 0
"""Status of an act that changed something and was never answered."""

FIRST = "0" * 64
"""What stands before the first row."""


class Act(NamedTuple):
    """
    Something that somebody did.

    Attributes
    ----------
    time_ns : int
    actor, role, tenant, address : str
    method, path : str
    status : int
        What it was answered with; `CUT_OFF` where the power failed before.
    before, after : str
        Entity tags: which revision it was made from, which it made.
    body : str
        SHA-256 of what was sent, hexadecimal; empty for nothing.
    """

    time_ns: int
    actor: str
    role: str
    tenant: str
    address: str
    method: str
    path: str
    status: int
    before: str
    after: str
    body: str


class Entry(NamedTuple):
    """An act, its number, and the digest that binds it to those before."""

    number: int
    act: Act
    hash: str


class AuditTrail:
    """
    Adds and reads.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        have_noted(engine)

    def append(self, act: Act, begun: str = "", always: bool = True) -> Entry | None:
        """
        Add an act at the end.

        Parameters
        ----------
        act : Act
        begun : str
            Name of the row that its change wrote, which the entry replaces; empty for none.
        always : bool
            Whether also where that row is not there, because the change failed.

        Returns
        -------
        Entry or None
            None where nothing was added.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._append(act, begun, always)
            except IntegrityError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise RuntimeError("the last attempt raises or returns")

    def _append(self, act: Act, begun: str, always: bool) -> Entry | None:
        with self._engine.connect().execution_options(**_options) as connection, connection.begin():
            replaced = bool(begun) and connection.execute(delete(acts_begun).where(_b.name == begun)).rowcount > 0
            return _add(connection, act) if always or replaced else None

    def settle(self, before_ns: int) -> int:
        """
        Add what changed something before a time and was cut off before its entry was written; tell how many.

        Parameters
        ----------
        before_ns : int
            What is younger may be under way, in this catalog or another [ns UTC].
        """
        query = select(*acts_begun.c).where(_b.time_ns < before_ns).order_by(_b.time_ns, _b.name).limit(MOST_SETTLED)
        with self._engine.connect() as connection:
            if connection.execute(query.limit(1)).one_or_none() is None:
                return 0
        with self._engine.connect().execution_options(**_options) as connection, connection.begin():
            rows = [row._asdict() for row in connection.execute(query)]
            for fields in rows:
                if connection.execute(delete(acts_begun).where(_b.name == fields.pop("name"))).rowcount:
                    _add(connection, Act(**fields, status=CUT_OFF, after=""))
        return len(rows)

    def page(self, below: int, since_ns: int, tenant: str, limit: int) -> list[Entry]:
        """Read part of the trail, newest first, below a number: of one tenant, or of all where it is empty."""
        query = select(*_t).where(_t.number < below, _t.time_ns >= since_ns).order_by(_t.number.desc()).limit(limit)
        if tenant:
            query = query.where(_t.tenant == tenant)
        with self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def after(self, number: int, limit: int) -> list[Entry]:
        """Read part of the trail, oldest first, above a number."""
        query = select(*_t).where(_t.number > number).order_by(_t.number).limit(limit)
        with self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(query)]


def _add(connection: Connection, act: Act) -> Entry:
    last = connection.execute(select(_t.number, _t.hash).order_by(_t.number.desc()).limit(1)).one_or_none()
    number, before = (1, FIRST) if last is None else (int(last[0]) + 1, str(last[1]))
    entry = Entry(number, act, hash_of(number, act, before))
    connection.execute(insert(audit_trail).values(number=number, hash=entry.hash, **act._asdict()))
    return entry


def hash_of(number: int, act: Act, before: str) -> str:
    """Bind an act to the digest of the row before it."""
    return hashlib.sha256(msgspec.json.encode((before, number, *act))).hexdigest()


def problems_of(entries: Iterable[Entry], number: int = 0, before: str = FIRST) -> Sequence[str]:
    """
    Say where a trail was changed.

    Parameters
    ----------
    entries : iterable of Entry
        Oldest first.
    number : int
        Of the entry before them.
    before : str
        Its digest.
    """
    problems = []
    for entry in entries:
        if entry.number != number + 1:
            problems.append(f"expected entry {number + 1}, found {entry.number}: something was taken out before it")
        elif entry.hash != hash_of(entry.number, entry.act, before):
            problems.append(f"entry {entry.number} is not what was written, or not behind what was before it")
        number, before = entry.number, entry.hash
    return problems


def _entry(row: Sequence[object]) -> Entry:
    return Entry(int(row[0]), Act._make(row[1:-1]), str(row[-1]))  # type: ignore[call-overload]
