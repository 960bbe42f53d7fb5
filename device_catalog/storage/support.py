"""
Requests for support in the database, and the lines of log tails: reads and writes, each one transaction.

Plain functions of a database, like `store`; what may happen is decided in `device_catalog.support.requests`. All calls
block.
"""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy import Engine, delete, func, insert, select, update

from device_catalog.contract.support import LogLevel, LogLine
from device_catalog.storage.tables import audit, devices, support, support_lines

_t, _l = support.c, support_lines.c

WAITING = ("asked", "coming", "open")
"""States in which something is wanted of the device."""


class SupportRow(NamedTuple):
    """A request as the database knows it; `label` is what the device said of a bundle, as JSON text."""

    number: int
    device: str
    kind: str
    level: str
    author: str
    reason: str
    asked_ns: int
    until_ns: int
    state: str
    label: str
    size: int
    sha256: str


class SupportStore:
    """
    Reads and writes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, row: SupportRow) -> int:
        """Write a request, and into the device's history who made it and why; return its number."""
        fields = row._asdict()
        del fields["number"]
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            result = connection.execute(insert(support).values(**fields))
            connection.execute(
                insert(audit).values(
                    time_ns=row.asked_ns,
                    actor=row.author,
                    action=f"support-{row.kind}",
                    device=row.device,
                    detail=row.reason,
                )
            )
            return int((result.inserted_primary_key or (0,))[0])

    def note(self, device: str, time_ns: int, actor: str, action: str, detail: str) -> None:
        """Write into the device's history who did what."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(
                insert(audit).values(time_ns=time_ns, actor=actor, action=action, device=device, detail=detail)
            )

    def find(self, number: int) -> SupportRow | None:
        """Read one; None where there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(select(*support.c).where(_t.number == number)).one_or_none()
        return None if row is None else SupportRow._make(row)

    def page(self, device: str, below: int, limit: int, tenant: str = "") -> list[SupportRow]:
        """Read part of the list, newest first: of one device, of one tenant's, or of all."""
        query = select(*support.c).where(_t.number < below).order_by(_t.number.desc()).limit(limit)
        if device:
            query = query.where(_t.device == device)
        if tenant:
            query = query.where(_t.device.in_(select(devices.c.device).where(devices.c.tenant == tenant)))
        with self._engine.connect() as connection:
            return [SupportRow._make(row) for row in connection.execute(query)]

    def waiting(self, device: str = "") -> list[SupportRow]:
        """Read what is wanted of a device, or of all, oldest first."""
        query = select(*support.c).where(_t.state.in_(WAITING)).order_by(_t.number)
        if device:
            query = query.where(_t.device == device)
        with self._engine.connect() as connection:
            return [SupportRow._make(row) for row in connection.execute(query)]

    def change(self, number: int, only: Collection[str] = (), **fields: Any) -> bool:
        """Change a request, where it is in one of these states (in any for none); tell whether it was."""
        query = update(support).where(_t.number == number)
        if only:
            query = query.where(_t.state.in_(only))
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            return bool(connection.execute(query.values(**fields)).rowcount)

    def over(self, now_ns: int, limit: int) -> list[SupportRow]:
        """Read what has reached its end: what waits, what is kept, and what is over for long."""
        query = select(*support.c).where(_t.until_ns <= now_ns, _t.state.in_((*WAITING, "here"))).limit(limit)
        with self._engine.connect() as connection:
            return [SupportRow._make(row) for row in connection.execute(query)]

    def forget(self, before_ns: int) -> None:
        """Remove requests that ended before a time, with their lines; the trail knows of them still."""
        old = _t.until_ns < before_ns
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(delete(support_lines).where(_l.request.in_(select(_t.number).where(old))))
            connection.execute(delete(support).where(old))

    def forget_device(self, device: str) -> list[SupportRow]:
        """Remove all requests of a device; return what they were."""
        mine = _t.device == device
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            rows = [SupportRow._make(row) for row in connection.execute(select(*support.c).where(mine))]
            connection.execute(delete(support_lines).where(_l.request.in_(select(_t.number).where(mine))))
            connection.execute(delete(support).where(mine))
        return rows

    def uses(self, sha256: str) -> int:
        """Count the bundles that are here with this digest."""
        query = select(func.count()).where(_t.sha256 == sha256, _t.state == "here")
        with self._engine.connect() as connection:
            return int(connection.scalar(query) or 0)

    def stored(self) -> int:
        """Add up the bundles that are here [bytes]."""
        with self._engine.connect() as connection:
            return int(connection.scalar(select(func.sum(_t.size)).where(_t.state == "here")) or 0)

    def oldest_stored(self, limit: int) -> list[SupportRow]:
        """Read the bundles that were asked for first."""
        query = select(*support.c).where(_t.state == "here").order_by(_t.number).limit(limit)
        with self._engine.connect() as connection:
            return [SupportRow._make(row) for row in connection.execute(query)]

    def keep_lines(self, number: int, lines: Iterable[LogLine], most: int) -> None:
        """Add lines of a tail that are new, `most` of it altogether."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            newest, count = connection.execute(
                select(func.max(_l.number), func.count()).where(_l.request == number)
            ).one()
            new = [line for line in lines if line.number > (newest or 0)][: max(0, most - count)]
            if new:
                rows = [
                    {"request": number, "number": one.number, "time": one.time, "level": one.level, "text": one.text}
                    for one in new
                ]
                connection.execute(insert(support_lines), rows)

    def lines(self, number: int, after: int, limit: int) -> list[LogLine]:
        """Read lines of a tail behind one, oldest first."""
        query = select(_l.number, _l.time, _l.level, _l.text).where(_l.request == number, _l.number > after)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(_l.number).limit(limit))
            return [LogLine(row[0], row[1], LogLevel(row[2]), row[3]) for row in rows]

    def newest_lines(self, number: int, limit: int) -> list[LogLine]:
        """Read the newest lines of a tail, oldest first."""
        query = select(_l.number, _l.time, _l.level, _l.text).where(_l.request == number)
        with self._engine.connect() as connection:
            rows = list(connection.execute(query.order_by(_l.number.desc()).limit(limit)))
        return [LogLine(row[0], row[1], LogLevel(row[2]), row[3]) for row in reversed(rows)]

    def count_lines(self, number: int) -> int:
        """Count the lines of a tail."""
        with self._engine.connect() as connection:
            return int(connection.scalar(select(func.count()).where(_l.request == number)) or 0)
