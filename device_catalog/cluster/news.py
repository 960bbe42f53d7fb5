"""
What other catalogs changed, taken over into this one's memory.

The database itself notes each change in the transaction that makes it, whoever makes it (triggers of the migration),
with numbers in the order of commits. So nothing is missed by a lost connection: reading goes on behind the last number.
A note says only what was changed; what it is now is read, so it does not matter how often or late a note is read. A
process that was away for longer than notes are kept reads everything.

Everything here runs in the thread that writes, so it never crosses a change of this process's own.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Engine, delete, func, select, text

from device_catalog.fleet.fleet import Fleet
from device_catalog.fleet.register import Register
from device_catalog.storage.rows import DeviceRow
from device_catalog.storage.tables import cluster_news

KEPT = 900.0
"""How long notes are kept [s]."""

MISSED = KEPT / 3
"""Who read none for so long does not rely on them [s]."""

AT_ONCE = 500
"""Devices read, and taken over, at once: polls are answered in between."""

MOST = 10_000
"""Notes read at once."""

_n = cluster_news.c
_log = logging.getLogger(__name__)

Follow = Callable[[Sequence[str] | None], None]


class Rooms(NamedTuple):
    """
    What follows changes besides the register.

    Attributes
    ----------
    by_table : dict
        Of each table, what takes over the rows of some names; of all, where it is handed None. Called while writing.
    changed : callable
        Called in the server's own thread when anything was taken over.
    """

    by_table: dict[str, Follow]
    changed: Callable[[], None]


class News:
    """
    Reads and takes over.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    monotonic : callable
        [s]
    """

    def __init__(self, engine: Engine, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._last = 0
        self._read = monotonic()
        self._register: Register | None = None
        self._rooms = Rooms({}, lambda: None)

    def begin(self) -> None:
        """Note where to go on; to be called before the memory is read from the database."""
        with self._engine.connect() as connection:
            self._last = int(connection.scalar(select(func.max(_n.number))) or 0)
        self._read = self._monotonic()

    def follow_with(self, register: Register, rooms: Rooms) -> None:
        """Begin to take changes over, once the memory was read."""
        self._register, self._rooms = register, rooms

    @property
    def last(self) -> int:
        """Number of the last note that was taken over."""
        return self._last

    def catch_up(self) -> None:
        """Take over what was changed since the last time; by the thread that writes."""
        if self._register is None:
            return
        if self._monotonic() - self._read > MISSED:
            self._begin_anew(self._register)
            return
        while True:
            query = select(_n.number, _n.subject, _n.name).where(_n.number > self._last).order_by(_n.number)
            with self._engine.connect() as connection:
                rows = list(connection.execute(query.limit(MOST)))
            if rows:
                self._take_over(self._register, rows)
                self._last = int(rows[-1][0])
            self._read = self._monotonic()
            if len(rows) < MOST:
                return

    def drop_old(self) -> None:
        """Forget notes that everybody has read; blocks."""
        seconds = text("CAST((extract(epoch FROM clock_timestamp()) - :kept) * 1000000000 AS bigint)")
        with self._engine.connect() as connection, connection.begin():
            connection.execute(delete(cluster_news).where(_n.written_ns < seconds.bindparams(kept=KEPT)))

    def _take_over(self, register: Register, rows: Iterable[Sequence[object]]) -> None:
        named: dict[str, dict[str, None]] = {}
        for _, subject, name in rows:
            named.setdefault(str(subject), {})[str(name)] = None
        names = [*named.pop("devices", {}), *named.pop("credentials", {})]
        follow_devices(register, list(dict.fromkeys(names)))
        for table, follow in self._rooms.by_table.items():
            if table in named:
                follow(list(named[table]))
        register.threads.in_loop(self._rooms.changed)

    def _begin_anew(self, register: Register) -> None:
        _log.warning("the database was out of reach for long; everything is read again")
        self.begin()
        known = list(register.fleet.devices)
        there = [row.device for row in register.store.load()]
        follow_devices(register, list(dict.fromkeys((*known, *there))))
        for follow in self._rooms.by_table.values():
            follow(None)
        register.threads.in_loop(self._rooms.changed)


def follow_devices(register: Register, names: Sequence[str]) -> None:
    """Take over some devices as they are registered now; called while writing."""
    fleet, store, threads = register
    for start in range(0, len(names), AT_ONCE):
        part = names[start : start + AT_ONCE]
        rows = {row.device: row for row in store.load(part)}
        threads.in_loop(_follow, fleet, part, rows)


def _follow(fleet: Fleet, names: Iterable[str], rows: dict[str, DeviceRow]) -> None:
    for name in names:
        fleet.follow(name, rows.get(name))
