# ruff: noqa: S608 - the names put into statements are our own tables
"""
The outbox's file: what must survive a power cut, in one SQLite database (WAL, full sync) of a bounded size.

Only the outbox's worker thread comes here. A commit is one transaction: new messages, cursors, what was dropped and
what need not be kept any longer change together or not at all. Messages are written in batches, compressed, because
a card wears by bytes and by fsyncs. Age is counted in seconds of running, not by the clock: a clock that jumps by
years on a board without one of its own must not empty the spool.

The boot number stands in the database and in a small file beside it, so that losing one does not make numbers that
were used before appear again.
"""

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from agent.delivery.messages import NOTHING, Key, Message, OutboxLimits, Range
from agent.delivery.spool_records import Commit, Loaded, Opened, Stored
from agent.errors import SpoolError
from agent.files import move_aside, write_durably

SCHEMA_VERSION = 1
BATCH_SPAN = 4096
"""Numbers that one batch may span, so that the batches around a key are found by their first number."""
BATCH_SIZE = 64 * 1024
"""Most payload in one batch before compression, where memory is not shorter still [bytes]."""
LOAD_SIZE = 256 * 1024
"""Most payload read back at a time, likewise [bytes]."""
PAGE_SIZE = 4096

_tables = """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, first INTEGER, second) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dropped (broker TEXT, boot INTEGER, first INTEGER, last INTEGER, count INTEGER);
CREATE TABLE IF NOT EXISTS streams (broker TEXT, boot INTEGER, first INTEGER, last INTEGER, count INTEGER,
    size INTEGER, written REAL, content BLOB, PRIMARY KEY (broker, boot, first)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS urgent (broker TEXT, boot INTEGER, first INTEGER, last INTEGER, count INTEGER,
    size INTEGER, written REAL, content BLOB, PRIMARY KEY (broker, boot, first)) WITHOUT ROWID;
"""
_both = ("streams", "urgent")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Message]).decode


class Spool:
    """The database, and the file of the boot number beside it."""

    def __init__(self, path: Path, limits: OutboxLimits) -> None:
        self.path = path
        self.size = 0
        self._limits = limits
        self._batch_size = min(BATCH_SIZE, limits.memory // 8)
        self._load_size = min(LOAD_SIZE, limits.memory // 4)
        self._boot_path = path.with_name(f"{path.name}.boot")
        self._connection: sqlite3.Connection | None = None

    def open(self, brokers: Iterable[str], least_boot: int) -> Opened:
        """
        Open, and make a new boot number durable.

        Parameters
        ----------
        brokers : iterable of str
        least_boot : int
            Above any boot number so far, as far as the clock is right: a new card, or one that could not be written
            for a while, must not make this start look older than those before.

        Raises
        ------
        SpoolError
            When another process uses the file.
        sqlite3.Error, OSError
            When the file cannot be used now: a full disk, no permission.
        """
        notes: list[str] = []
        try:
            self._connect()
            counted = int(self._state("boot", NOTHING)[0])
            opened = self._read_all(brokers)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise SpoolError(
                    f"expected {self.path} unused, found another process at it; stop that first"
                ) from error
            if isinstance(error, sqlite3.OperationalError) and not is_damage(error):
                raise
            notes.append(self.replace_damaged(error))
            counted = 0
            opened = self._read_all(brokers)
        stored_boot, last_number, stored, dropped, uptime = opened
        from_file = self._boot_from_file()
        boot = max(counted + 1, from_file + 1, least_boot)
        self._keep_boot(boot, notes)
        previous = (stored_boot, last_number) if stored_boot else (max(counted, from_file), 0)
        return Opened(boot, previous, stored, dropped, uptime, notes)

    def close(self) -> None:
        """Close; nothing is lost when this is never called."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def commit(self, commit: Commit) -> list[tuple[str, Range]]:
        """
        Make a commit durable.

        Returns
        -------
        list
            What was dropped to keep the limits: ``BROKER/dropped`` and `Range`.

        Raises
        ------
        sqlite3.Error
            When nothing of it was written.
        """
        size = self.size
        try:
            with self._transaction() as connection:
                for broker, messages in commit.messages:
                    table = "urgent" if messages[0].urgent else "streams"
                    for batch in _batches(messages, self._batch_size):
                        content = zlib.compress(_encode(batch), 1)
                        first, last = batch[0], batch[-1]
                        row = (broker, first.boot, first.number, last.number, len(batch), len(content), commit.uptime)
                        connection.execute(f"INSERT OR REPLACE INTO {table} VALUES (?,?,?,?,?,?,?,?)", (*row, content))
                        self.size += len(content)
                for broker, (boot, number) in commit.cursors.items():
                    self._keep(f"cursor/{broker}", boot, number)
                    self._forget("streams", "broker=? AND (boot,first)<=(?,?) AND (boot,last)<=(?,?)",
                                 (broker, boot, number, boot, number))  # fmt: skip
                if commit.cursors:
                    self._keep("uptime", 0, commit.uptime)
                trimmed = self._trim(commit) if commit.trim is not None else []
                if commit.dropped is not None:
                    connection.execute("DELETE FROM dropped")
                for broker, item in [*(commit.dropped or ()), *trimmed]:
                    row_of_range = (broker, item.boot, item.first, item.last, item.count)
                    connection.execute("INSERT INTO dropped VALUES (?,?,?,?,?)", row_of_range)
        except sqlite3.Error:
            self.size = size
            raise
        return trimmed

    def load(self, broker: str, after: Key) -> Loaded:
        """Read the next messages of `broker` beyond `after`, in order."""
        boot, number = after
        found: list[Message] = []
        damaged: list[Range] = []
        horizon: Key | None = None
        size = 0
        for table, row_boot, first, last, count, content in self._rows(broker, boot, number):
            if size >= self._load_size:
                horizon = (row_boot, first)
                break
            messages = _unpacked(content)
            if messages is None:
                damaged.append(Range(row_boot, first, last, count))
                self._remove(table, broker, row_boot, first)
                continue
            found += [message for message in messages if message.key > after]
            size += sum(len(message.payload) for message in messages)
        found.sort(key=lambda message: message.key)
        if horizon is not None:
            found = [message for message in found if message.key < horizon]
        return Loaded(found, horizon is None, damaged)

    def find(self, broker: str, boot: int, first: int, last: int) -> list[Message]:
        """Read the messages of `broker` numbered from `first` to `last` that are still there, in order."""
        found: list[Message] = []
        for _table, row_boot, row_first, _last, _count, content in self._rows(broker, boot, first - 1):
            if (row_boot, row_first) > (boot, last):
                break
            found += [
                message
                for message in _unpacked(content) or ()
                if message.boot == boot and first <= message.number <= last
            ]
        return sorted(found, key=lambda message: message.key)

    def replace_damaged(self, error: sqlite3.Error) -> str:
        """Move a damaged database aside, begin a new one, and say so."""
        self.close()
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists():
            move_aside(log)  # first: beside a new database it would be taken for that one's
        aside = move_aside(self.path)
        self._connect()
        self.size = 0
        return f"expected a readable spool, found: {error}; moved it to {aside} and began a new one"

    def keep_boot(self, boot: int) -> None:
        """Write the boot number into a database that was begun anew."""
        with self._transaction():
            self._keep("boot", boot, 0)

    def _connect(self) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=1.0, check_same_thread=False)
        self._connection = connection
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-512")
        connection.execute(f"PRAGMA journal_size_limit={4 * 1024 * 1024}")
        connection.execute(f"PRAGMA max_page_count={self._limits.disk * 3 // 2 // PAGE_SIZE + 256}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"version {version}, where this program writes {SCHEMA_VERSION}")
        if version == 0:
            with self._transaction():
                for statement in _tables.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _read_all(self, brokers: Iterable[str]) -> tuple[int, int, dict[str, Stored], list[tuple[str, Range]], float]:
        connection = self._open_connection
        stored = {}
        highest = NOTHING
        uptime = float(self._state("uptime", (0, 0.0))[1])
        for broker in brokers:
            boot, number = self._state(f"cursor/{broker}", NOTHING)
            cursor = (int(boot), int(number))
            last, waiting = None, 0
            for table in _both:
                row = connection.execute(
                    f"SELECT boot, last, written FROM {table} WHERE broker=? ORDER BY boot DESC, first DESC LIMIT 1",
                    (broker,),
                ).fetchone()
                if row is None:
                    continue
                uptime = max(uptime, row[2])
                key = (row[0], row[1])
                highest = max(highest, key)
                if key > cursor:
                    last = key if last is None else max(last, key)
                condition = "broker=? AND (boot,first)>=(?,?) AND (boot,last)>(?,?)"
                waiting += connection.execute(
                    f"SELECT coalesce(sum(count),0) FROM {table} WHERE {condition}",
                    (broker, cursor[0], cursor[1] - BATCH_SPAN, *cursor),
                ).fetchone()[0]
            highest = max(highest, cursor)
            stored[broker] = Stored(cursor, last, waiting)
        self.size = sum(
            connection.execute(f"SELECT coalesce(sum(size),0) FROM {table}").fetchone()[0] for table in _both
        )
        dropped = [(row[0], Range(*row[1:])) for row in connection.execute("SELECT * FROM dropped")]
        return *highest, stored, dropped, uptime

    def _boot_from_file(self) -> int:
        try:
            return int(self._boot_path.read_text("ascii"))
        except (OSError, ValueError):
            return 0

    def _keep_boot(self, boot: int, notes: list[str]) -> None:
        """Make the boot number durable in both places; one is enough to go on."""
        content = f"{boot:020d}\n".encode()
        try:
            write_durably(self._boot_path, content)
        except OSError as error:
            try:  # a full disk still lets as many bytes be written in the place of others
                descriptor = os.open(self._boot_path, os.O_WRONLY)
                try:
                    os.pwrite(descriptor, content, 0)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError:
                notes.append(f"expected to write {self._boot_path}, found: {error}; free some space")
        try:
            self.keep_boot(boot)
        except sqlite3.Error as error:
            notes.append(f"expected to write the boot number to {self.path}, found: {error}; free some space")

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the spool is not open")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open_connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise

    def _state(self, name: str, default: tuple[int, float]) -> tuple[int, float]:
        row = self._open_connection.execute("SELECT first, second FROM state WHERE name=?", (name,)).fetchone()
        return default if row is None else (row[0], row[1])

    def _keep(self, name: str, first: int, second: float) -> None:
        self._open_connection.execute("INSERT OR REPLACE INTO state VALUES (?,?,?)", (name, first, second))

    def _rows(self, broker: str, boot: int, number: int) -> Iterator[tuple[str, int, int, int, int, bytes]]:
        parts = " UNION ALL ".join(
            f"SELECT '{table}', boot, first, last, count, content FROM {table}"
            " WHERE broker=? AND (boot,first)>=(?,?) AND (boot,last)>(?,?)"
            for table in _both
        )
        arguments = (broker, boot, number - BATCH_SPAN, boot, number)
        yield from self._open_connection.execute(f"{parts} ORDER BY 2, 3", arguments * 2)

    def _remove(self, table: str, broker: str, boot: int, first: int) -> None:
        self._forget(table, "broker=? AND boot=? AND first=?", (broker, boot, first))

    def _forget(self, table: str, condition: str, arguments: tuple[object, ...]) -> None:
        rows = self._open_connection.execute(
            f"DELETE FROM {table} WHERE {condition} RETURNING size", arguments
        ).fetchall()  # fmt: skip
        self.size -= sum(row[0] for row in rows)

    def _trim(self, commit: Commit) -> list[tuple[str, Range]]:
        """Forget what was kept long enough, then drop until the limits are kept: streams first, the oldest first."""
        connection, limits = self._open_connection, self._limits
        trim = commit.trim or {}
        dropped: list[tuple[str, Range]] = []
        for broker, (cursor, _low, _high) in trim.items():
            long_ago = commit.uptime - limits.urgent_kept_age
            settled = "broker=? AND (boot,first)<=(?,?) AND (boot,last)<=(?,?)"
            self._forget("urgent", f"{settled} AND written<?", (broker, *cursor, *cursor, long_ago))
            while self.size > limits.disk:
                before = self.size
                some = f"first IN (SELECT first FROM urgent WHERE {settled} ORDER BY boot, first LIMIT 64)"
                self._forget("urgent", f"{settled} AND {some}", (broker, *cursor, *cursor) * 2)
                if self.size == before:
                    break
        for table, age in (("streams", limits.stream_age), ("urgent", limits.urgent_age)):
            waiting = connection.execute(
                f"SELECT written, broker, boot, first, last, count FROM {table} ORDER BY written, boot, first"
            ).fetchall() if self.size > limits.disk or self._oldest(table) < commit.uptime - age else ()  # fmt: skip
            for written, broker, boot, first, last, count in waiting:
                if self.size <= 0.95 * limits.disk and written >= commit.uptime - age:
                    break
                _cursor, low, high = trim.get(broker, (NOTHING, NOTHING, NOTHING))
                if low < (boot, first) and (boot, last) <= high:
                    self._remove(table, broker, boot, first)
                    dropped.append((f"{broker}/dropped", Range(boot, first, last, count)))
        return dropped

    def _oldest(self, table: str) -> float:
        row = self._open_connection.execute(f"SELECT min(written) FROM {table}").fetchone()
        return float("inf") if row[0] is None else float(row[0])


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the database itself is broken, so that only a new one helps."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _batches(messages: list[Message], largest: int) -> Iterator[list[Message]]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        first = batch[0] if batch else message
        too_far = message.boot != first.boot or message.number - first.number >= BATCH_SPAN
        if batch and (too_far or size + len(message.payload) > largest):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message.payload)
    if batch:
        yield batch


def _unpacked(content: bytes) -> list[Message] | None:
    """Read a batch; None when the card garbled it."""
    try:
        return _decode(zlib.decompress(content))
    except (zlib.error, msgspec.DecodeError):
        return None
