"""
Reads and writes of the history, each one transaction; SQLite and PostgreSQL are asked the same.

Plain functions of a database: what is packed, summed up and dropped, and when, is decided by `keeper`, `stretches` and
`room`. All calls block.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, delete, event, func, insert, inspect, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from device_catalog.history.arrival import Content, Series
from device_catalog.history.tables import blocks, counters, rows, series
from device_catalog.storage.database import migrate, storage_error

RAW, MINUTES = 0, 1
"""Levels: what was heard, and the one-minute sums of it."""

_r, _b, _s = rows.c, blocks.c, series.c
_overhead = 64  # of a block beside its data, about [bytes]


class Row(NamedTuple):
    """A record that is not packed yet; `document` is a whole message at level 0, a minute's sums at level 1."""

    series: int
    level: int
    time_ns: int
    boot: int
    number: int
    document: bytes


class Block(NamedTuple):
    """Records of one stretch of time, packed."""

    series: int
    level: int
    start_ns: int
    records: int
    size: int
    data: bytes


class Owner(NamedTuple):
    """Whose records they are."""

    tenant: str
    device: str


class Dropped(NamedTuple):
    """What was removed to keep to a limit."""

    records: int = 0
    size: int = 0


class Held(NamedTuple):
    """What is kept of a series at one level: packed records, their bytes, and the start of the first block."""

    series: int
    level: int
    records: int
    size: int
    first_ns: int


class HistoryStore:
    """
    Reads and writes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.url.get_backend_name() == "sqlite"

    def prepare(self) -> tuple[str | None, str]:
        """Bring the tables to their newest shape; before and after."""
        return migrate(self._engine, "device_catalog.history.migrations", "history_version")

    def limit(self, size: int) -> None:
        """Make the database itself refuse to grow beyond `size` [bytes], where it can (SQLite)."""
        if not self._is_sqlite:
            return
        with self._connection() as connection:
            pages = max(1, size // int(connection.exec_driver_sql("PRAGMA page_size").scalar() or 4096))

        def keep_within(connection: Any, _record: Any) -> None:
            connection.execute(f"PRAGMA max_page_count={pages}")

        event.listen(self._engine, "connect", keep_within)
        self._engine.dispose()  # those that are open already do not know it

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # --- the writer's ----------------------------------------------------------------------------------------------

    def add_series(self, one: Series) -> int:
        """Give a series its number."""
        with self._writing() as connection:
            fields = {**one._asdict(), "content": one.content.value}
            found = connection.scalar(select(_s.series).where(*(_s[name] == fields[name] for name in fields)))
            if found is None:
                found = connection.scalar(insert(series).values(**fields).returning(_s.series))
            return int(found)

    def all_series(self) -> dict[Series, int]:
        """Read every series with its number."""
        with self._connection() as connection:
            return {
                Series(str(row[1]), str(row[2]), Content(row[3]), str(row[4])): int(row[0])
                for row in connection.execute(select(_s.series, _s.tenant, _s.device, _s.content, _s.name))
            }

    def add(self, batch: Sequence[Row], counts: Mapping[str, int]) -> int:
        """Write records and counts; return how many of the records were not there yet."""
        if not batch and not counts:
            return 0
        with self._writing() as connection:
            new = 0
            if batch:
                new = self._add_new(connection, [row._asdict() for row in batch])
            self._count(connection, {**counts, "kept": new, "duplicate": len(batch) - new} if batch else counts)
            return new

    def unsettled(self) -> list[tuple[int, int, int, int]]:
        """Read series, level, first and last time of the records that are not packed."""
        query = select(_r.series, _r.level, func.min(_r.time_ns), func.max(_r.time_ns)).group_by(_r.series, _r.level)
        with self._connection() as connection:
            return [(int(row[0]), int(row[1]), int(row[2]), int(row[3])) for row in connection.execute(query)]

    def settle(self, block: Block, sums: Sequence[Row], span_ns: int, counts: Mapping[str, int]) -> None:
        """Put a block in the place of the rows of its stretch of time, and its minutes' sums beside it."""
        here = (
            (_r.series == block.series)
            & (_r.level == block.level)
            & _r.time_ns.between(block.start_ns, block.start_ns + span_ns - 1)
        )
        with self._writing() as connection:
            connection.execute(delete(rows).where(here))  # first, so that a full database has room for the block
            self._replace(connection, blocks, [block._asdict()], ("series", "level", "start_ns"))
            if sums:
                self._replace(
                    connection, rows, [row._asdict() for row in sums], ("series", "level", "time_ns", "boot", "number")
                )
            self._count(connection, counts)

    def drop_before(
        self,
        contents: Sequence[Content],
        level: int,
        before_ns: int,
        most: int,
        counter: str = "expired",
        *,
        owner: Owner | None = None,
    ) -> Dropped:
        """Remove the oldest blocks of some classes that begin before a time, at most so many; of one device only."""
        of_class = select(_s.series).where(_s.content.in_([content.value for content in contents]))
        if owner is not None:
            of_class = of_class.where(_s.tenant == owner.tenant, _s.device == owner.device)
        query = (
            select(_b.series, _b.start_ns, _b.records, _b.size)
            .where(_b.level == level, _b.start_ns < before_ns, _b.series.in_(of_class))
            .order_by(_b.start_ns)
            .limit(most)
        )
        with self._writing() as connection:
            found = connection.execute(query).all()
            by_series: dict[int, list[int]] = {}
            for number, start_ns, _, _ in found:
                by_series.setdefault(number, []).append(start_ns)
            for number, starts in by_series.items():
                here = (_b.series == number) & (_b.level == level)
                connection.execute(delete(blocks).where(here, _b.start_ns.in_(starts)))
            dropped = Dropped(sum(row[2] for row in found), sum(row[3] for row in found))
            if found:
                name = contents[0].value if level == RAW else "minutes"
                self._count(connection, {f"{counter}.{name}": dropped.records})
            return dropped

    def oldest(self, contents: Sequence[Content], level: int) -> int | None:
        """Tell when the oldest block of some classes begins [ns UTC]; None where there is none."""
        of_class = select(_s.series).where(_s.content.in_([content.value for content in contents]))
        query = select(func.min(_b.start_ns)).where(_b.level == level, _b.series.in_(of_class))
        with self._connection() as connection:
            found = connection.scalar(query)
        return None if found is None else int(found)

    def sizes(self) -> dict[Owner, int]:
        """Sum up what each device's records take, packed and not, without the sums of minutes [bytes]."""
        found: dict[Owner, int] = {}
        packed = select(_s.tenant, _s.device, func.sum(_b.size + _overhead)).join(blocks, _b.series == _s.series)
        size = func.length(_r.document) + _overhead
        loose = select(_s.tenant, _s.device, func.sum(size)).join(rows, _r.series == _s.series)
        with self._connection() as connection:
            for query in (packed.where(_b.level == RAW), loose.where(_r.level == RAW)):
                for row in connection.execute(query.group_by(_s.tenant, _s.device)):
                    owner = Owner(str(row[0]), str(row[1]))
                    found[owner] = found.get(owner, 0) + int(row[2])
        return found

    def used(self) -> int:
        """Tell how much of its room is used [bytes]: pages in use, or what is kept where another counts the pages."""
        with self._connection() as connection:
            if self._is_sqlite:
                values = [
                    int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
                    for name in ("page_count", "freelist_count", "page_size")
                ]
                return (values[0] - values[1]) * values[2]
            packed = connection.scalar(select(func.coalesce(func.sum(_b.size + _overhead), 0)))
            loose = connection.scalar(select(func.coalesce(func.sum(func.length(_r.document) + _overhead), 0)))
            return int(packed or 0) + int(loose or 0)

    # --- everybody's -----------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Tell whether there is a history to read, without making one."""
        if self._is_sqlite and not Path(str(self._engine.url.database)).exists():
            return False
        with self._connection() as connection:
            return inspect(connection).has_table("history_version")

    def series_of(self, device: str, tenant: str = "", content: str = "", name: str = "") -> dict[int, Series]:
        """Read the series of a device, of one tenant, class or name where these are given."""
        query = select(_s.series, _s.tenant, _s.device, _s.content, _s.name).where(_s.device == device)
        for column, value in ((_s.tenant, tenant), (_s.content, content), (_s.name, name)):
            if value:
                query = query.where(column == value)
        with self._connection() as connection:
            return {
                int(row[0]): Series(str(row[1]), str(row[2]), Content(row[3]), str(row[4]))
                for row in connection.execute(query.order_by(_s.content, _s.name, _s.series))
            }

    def rows(self, number: int, level: int, first_ns: int, last_ns: int, limit: int) -> list[Row]:
        """Read records that are not packed, both ends included, in order."""
        query = (
            select(*rows.c)
            .where(_r.series == number, _r.level == level, _r.time_ns.between(first_ns, last_ns))
            .order_by(_r.time_ns, _r.boot, _r.number)
            .limit(limit)
        )
        with self._connection() as connection:
            return [Row._make(row) for row in connection.execute(query)]

    def block(self, number: int, level: int, start_ns: int) -> bytes | None:
        """Read one block."""
        query = select(_b.data).where(_b.series == number, _b.level == level, _b.start_ns == start_ns)
        with self._connection() as connection:
            found = connection.scalar(query)
        return None if found is None else bytes(found)

    def starts(self, number: int, level: int, first_ns: int, last_ns: int, limit: int) -> list[int]:
        """Read when the blocks begin that begin within a time, in order."""
        query = (
            select(_b.start_ns)
            .where(_b.series == number, _b.level == level, _b.start_ns.between(first_ns, last_ns))
            .order_by(_b.start_ns)
            .limit(limit)
        )
        with self._connection() as connection:
            return [int(start) for start in connection.scalars(query)]

    def loose(self, number: int) -> int:
        """Count the records of a series that are not packed."""
        query = select(func.count()).where(_r.series == number, _r.level == RAW)
        with self._connection() as connection:
            return int(connection.scalar(query) or 0)

    def row_times(self, number: int, level: int, first_ns: int, last_ns: int) -> tuple[int, int] | None:
        """Tell first and last time of the records within a time that are not packed."""
        query = select(func.min(_r.time_ns), func.max(_r.time_ns)).where(
            _r.series == number, _r.level == level, _r.time_ns.between(first_ns, last_ns)
        )
        with self._connection() as connection:
            first, last = connection.execute(query).one()
        return None if first is None else (int(first), int(last))

    def newest_rows(self, number: int, limit: int) -> list[Row]:
        """Read the newest records that are not packed, newest first."""
        query = select(*rows.c).where(_r.series == number, _r.level == RAW)
        with self._connection() as connection:
            found = connection.execute(query.order_by(_r.time_ns.desc(), _r.boot.desc(), _r.number.desc()).limit(limit))
            return [Row._make(row) for row in found]

    def newest_block(self, number: int) -> bytes | None:
        """Read the newest block of what was heard."""
        query = select(_b.data).where(_b.series == number, _b.level == RAW).order_by(_b.start_ns.desc()).limit(1)
        with self._connection() as connection:
            found = connection.scalar(query)
        return None if found is None else bytes(found)

    def held(self, numbers: Iterable[int]) -> list[Held]:
        """Sum up what is packed of some series."""
        query = (
            select(_b.series, _b.level, func.sum(_b.records), func.sum(_b.size), func.min(_b.start_ns))
            .where(_b.series.in_(list(numbers)))
            .group_by(_b.series, _b.level)
        )
        with self._connection() as connection:
            return [Held(*(int(value) for value in row)) for row in connection.execute(query)]

    def counts(self) -> dict[str, int]:
        """Read the counters."""
        with self._connection() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(select(counters.c.name, counters.c.value))}

    def disk(self) -> int:
        """Tell what the database takes on its disk [bytes]."""
        if self._is_sqlite:
            path = str(self._engine.url.database)
            files = [Path(path + end) for end in ("", "-wal")]
            return sum(file.stat().st_size for file in files if file.exists())
        with self._connection() as connection:
            query = "SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_catalog.pg_statio_user_tables"
            return int(connection.scalar(text(f"{query} WHERE relname LIKE 'history\\_%'")) or 0)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise storage_error(error) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise storage_error(error) from error

    def _insert(self, table: Any) -> Any:
        return (sqlite.insert if self._is_sqlite else postgresql.insert)(table)

    def _add_new(self, connection: Connection, values: list[dict[str, Any]]) -> int:
        """Insert rows that are not there yet, and count them."""
        statement = self._insert(rows).on_conflict_do_nothing()
        if self._is_sqlite:
            return connection.execute(statement, values).rowcount
        # Many rows go to PostgreSQL in one statement, whose count the driver does not know.
        return len(connection.execute(statement.returning(_r.number), values).all())

    def _replace(self, connection: Connection, table: Any, values: list[dict[str, Any]], key: tuple[str, ...]) -> None:
        statement = self._insert(table)
        others = {name: statement.excluded[name] for name in values[0] if name not in key}
        connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=others), values)

    def _count(self, connection: Connection, counts: Mapping[str, int]) -> None:
        for name, value in counts.items():
            if value:
                done = connection.execute(
                    update(counters).where(counters.c.name == name).values(value=counters.c.value + value)
                )
                if done.rowcount == 0:
                    connection.execute(insert(counters).values(name=name, value=value))
