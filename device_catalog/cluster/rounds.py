"""
What catalogs at one database tell each other a few times a second, each in one row: whom it heard, and who was told of.

A poll is no row: all devices heard in a round are one, with how long ago each was. Rows live a minute in a table that
is not logged (one that a crash of the database loses, and that costs the disk nothing); those that say what the grid
broker was told stay a while longer, for a catalog that begins. All calls block. Times are the database's own, so that
the clocks of the machines do not matter.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, Engine, insert, select, text, tuple_, update

from device_catalog.storage.tables import cluster_news, cluster_rounds, leaders

KEPT, TOLD_KEPT = 60.0, 900.0
"""How long rounds are kept, and those that say what was told [s]."""

OVERLAP = 5.0
"""A row may appear this much later than its time says [s]."""

TASK = "presence"
"""Whose lead it is."""

NANOSECONDS = 1_000_000_000

_r = cluster_rounds.c
_now = "CAST(extract(epoch FROM clock_timestamp()) * 1000000000 AS bigint)"


class Round(msgspec.Struct, frozen=True, array_like=True):
    """
    What one catalog tells the others.

    Attributes
    ----------
    heard : list of str
        Devices that polled it since its round before.
    ages : list of int
        How long ago, when this was written [ms].
    marks : dict
        Boot number and applied revision, of those where they are others than before.
    settled : dict
        Revision by device, of those that have the document that says another interval or lease.
    told : dict
        Whether a device is there, as the grid broker acknowledged it.
    ends : bool
        Whether this is its last round: it ends, and nothing that it heard is missing.
    """

    heard: list[str]
    ages: list[int]
    marks: dict[str, tuple[int, int]]
    settled: dict[str, int]
    told: dict[str, bool]
    ends: bool = False


class Received(NamedTuple):
    """A round of another catalog, and how long ago it was written [s]."""

    member: str
    number: int
    age: float
    content: Round


class Told(NamedTuple):
    """
    What came of one exchange.

    Attributes
    ----------
    rounds : list of Received
        Of the others, those that were not read before.
    leads : bool
        Whether this catalog has the lead.
    news : int
        Number of the last note of a change.
    """

    rounds: list[Received]
    leads: bool
    news: int


class Rounds:
    """
    Writes and reads.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    member : str
        This catalog's own name, of this one process.
    """

    def __init__(self, engine: Engine, member: str) -> None:
        self._engine = engine
        self._member = member
        self._number = 0
        self._last: dict[str, int] = {}
        self._since = 0

    def exchange(self, own: Round, lead: float) -> Told:
        """
        Tell what is new here, hear what is new elsewhere, and ask for the lead.

        Parameters
        ----------
        own : Round
        lead : float
            For how long the lead is kept or taken [s].
        """
        # A round that failed may have been written all the same: its number is not used again.
        number, self._number = self._number, self._number + 1
        with self._quick() as connection:
            connection.execute(
                insert(cluster_rounds).values(
                    member=self._member,
                    round=number,
                    written_ns=text(_now),
                    tells=bool(own.told),
                    content=msgspec.msgpack.encode(own),
                )
            )
            leads = self._ask(connection, lead)
            rounds, now_ns = self._hear(connection)
            news = connection.scalar(select(cluster_news.c.number).order_by(cluster_news.c.number.desc()).limit(1))
        self._since = now_ns - round(OVERLAP * NANOSECONDS)
        for item in rounds:
            self._last[item.member] = max(item.number, self._last.get(item.member, -1))
        return Told(rounds, leads, int(news or 0))

    def begin(self) -> dict[str, bool]:
        """Read what the grid broker was told lately, by device."""
        told: dict[str, bool] = {}
        recent = text(f"written_ns > {_now} - :kept").bindparams(kept=round(TOLD_KEPT * NANOSECONDS))
        query = select(_r.content).where(_r.tells, recent).order_by(_r.written_ns)
        with self._engine.connect() as connection:
            for content in connection.scalars(query):
                told.update(msgspec.msgpack.decode(content, type=Round).told)
        return told

    def resign(self) -> None:
        """Give the lead back, where this catalog has it."""
        with self._quick() as connection:
            mine = (leaders.c.task == TASK) & (leaders.c.holder == self._member)
            connection.execute(update(leaders).where(mine).values(until_ns=0))

    def drop_old(self) -> None:
        """Forget old rounds."""
        statement = text(
            f"DELETE FROM cluster_rounds WHERE written_ns < {_now} - :kept AND "  # noqa: S608 - our own text
            f"(NOT tells OR written_ns < {_now} - :told)"
        )
        with self._quick() as connection:
            connection.execute(statement, {"kept": KEPT * NANOSECONDS, "told": TOLD_KEPT * NANOSECONDS})

    @contextlib.contextmanager
    def _quick(self) -> Iterator[Connection]:
        """Begin a transaction that neither waits for the disk nor for anything else for long."""
        with self._engine.connect() as connection, connection.begin():
            connection.execute(
                text(
                    "SELECT set_config('synchronous_commit', 'off', true), set_config('statement_timeout', '3s', true)"
                )
            )
            yield connection

    def _ask(self, connection: Connection, lead: float) -> bool:
        statement = text(
            f"INSERT INTO leaders (task, holder, until_ns) VALUES (:task, :me, {_now} + :lead) "  # noqa: S608
            "ON CONFLICT (task) DO UPDATE SET holder = excluded.holder, until_ns = excluded.until_ns "
            f"WHERE leaders.holder = excluded.holder OR leaders.until_ns < {_now} RETURNING 1"
        )
        fields = {"task": TASK, "me": self._member, "lead": round(lead * NANOSECONDS)}
        return connection.scalar(statement, fields) is not None

    def _hear(self, connection: Connection) -> tuple[list[Received], int]:
        now_ns = int(connection.scalar(text(f"SELECT {_now}")) or 0)
        since = self._since or now_ns - round(OVERLAP * NANOSECONDS)
        named = select(_r.member, _r.round).where(_r.written_ns > since, _r.member != self._member)
        keys = [(str(row[0]), int(row[1])) for row in connection.execute(named)]
        new = [key for key in keys if key[1] > self._last.get(key[0], -1)]
        received = []
        if new:
            query = select(_r.member, _r.round, _r.written_ns, _r.content)
            for row in connection.execute(query.where(tuple_(_r.member, _r.round).in_(new)).order_by(_r.round)):
                content = msgspec.msgpack.decode(row[3], type=Round)
                age = max(0.0, (now_ns - int(row[2])) / NANOSECONDS)
                received.append(Received(str(row[0]), int(row[1]), age, content))
        return received, now_ns
