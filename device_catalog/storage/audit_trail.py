"""
The audit trail in the database: rows are added at its end, and never changed or removed.

Each row carries a digest of itself and of the row before, so that one that was changed or taken out shows
(`problems_of`). The database refuses changes by itself, too (the migration's triggers). All calls block.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from device_catalog.storage.tables import audit_trail

_t = audit_trail.c

ATTEMPTS = 10
"""Another catalog at the same database may have taken the number."""

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
        What it was answered with.
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

    def append(self, act: Act) -> Entry:
        """Add an act at the end."""
        for attempt in range(ATTEMPTS):
            try:
                return self._append(act)
            except IntegrityError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise RuntimeError("the last attempt raises or returns")

    def _append(self, act: Act) -> Entry:
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            last = connection.execute(select(_t.number, _t.hash).order_by(_t.number.desc()).limit(1)).one_or_none()
            number, before = (1, FIRST) if last is None else (int(last[0]) + 1, str(last[1]))
            entry = Entry(number, act, hash_of(number, act, before))
            connection.execute(insert(audit_trail).values(number=number, hash=entry.hash, **act._asdict()))
        return entry

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
