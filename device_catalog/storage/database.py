"""
Opens the database: SQLite (write-ahead log) or PostgreSQL, brought to the newest shape.

A change that was answered with success survives a power cut: SQLite commits with full synchronisation. A database
that a newer program has shaped is refused, since this one would write into columns it does not understand.
"""

import contextlib
import fcntl
import sqlite3
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from device_catalog.errors import StorageError, StorageFull

LOCK_KEY = 0x7472_6573
"""Of the lock of whoever serves a database: any number, the same in every catalog."""

_postgresql_disk_full = "53100"  # appendix A of its manual: disk_full

BUSY_TIMEOUT = 10.0
"""How long a transaction waits for another [s]."""


def open_engine(url: str) -> Engine:
    """
    Make the engine for a database; nothing is connected yet.

    Parameters
    ----------
    url : str
        ``sqlite:////var/lib/tresma/catalog.db`` or ``postgresql://user@host/name``.

    Raises
    ------
    StorageError
        When the address is none of ours.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise StorageError("expected the path of a database file, found one in memory; it would not last")
            engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT}, pool_size=5)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed, pool_size=5, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except (ArgumentError, NoSuchModuleError) as error:
        raise StorageError(f"expected sqlite:///PATH or postgresql://…, found an address with: {error}") from error
    except ModuleNotFoundError as error:
        raise StorageError(
            f"expected the package {error.name}, found none; pip install 'tresma[postgresql]'"
        ) from error
    raise StorageError(f"expected sqlite:///PATH or postgresql://…, found {parsed.get_backend_name()}")


def migrate(
    engine: Engine, package: str = "device_catalog.storage.migrations", version_table: str = "alembic_version"
) -> tuple[str | None, str]:
    """
    Bring the database to the newest shape.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    package : str
        Holds the steps; the history has its own.
    version_table : str
        Where the database remembers its shape; two subjects in one database have two.

    Returns
    -------
    before, after : str
        Revision of the shape; None where the database was empty.

    Raises
    ------
    StorageError
        When the database is newer than this program, or cannot be opened.
    """
    with as_file(files(package)) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        script = ScriptDirectory.from_config(config)
        newest = str(script.get_current_head())
        try:
            with engine.connect().execution_options(writes=True) as connection, connection.begin():
                options = {"version_table": version_table}
                before = MigrationContext.configure(connection, opts=options).get_current_revision()
                known = {step.revision for step in script.walk_revisions()}
                if before is not None and before not in known:
                    raise StorageError(
                        f"expected a database of shape {newest} or older, found {before}, made by a newer tresma; "
                        "install that version, or restore the copy made before the update"
                    )
                if before != newest:
                    config.attributes["connection"] = connection
                    config.attributes["version_table"] = version_table
                    command.upgrade(config, "head")
                return before, newest
        except SQLAlchemyError as error:
            raise StorageError(f"expected a database that can be opened, found: {first_line(error)}") from error


def needs_migration(engine: Engine, package: str = "device_catalog.storage.migrations") -> tuple[str | None, str]:
    """Tell the shape that a database has, and the newest that this program knows."""
    with as_file(files(package)) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        newest = str(ScriptDirectory.from_config(config).get_current_head())
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision(), newest


@contextlib.contextmanager
def held(engine: Engine, key: int = LOCK_KEY, who: str = "catalog") -> Iterator[None]:
    """
    Hold a database for this process alone: what another one changes would be missing in this one's memory.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    key : int
        Of the lock in PostgreSQL; SQLite has a lock a file.
    who : str
        What this process is to the database.

    Raises
    ------
    StorageError
        When another catalog serves it.
    """
    taken = StorageError(f"expected to be this database's only {who}, found another one running; end that one first")
    if engine.url.get_backend_name() == "sqlite":
        with Path(f"{engine.url.database}.lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise taken from error
            yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            raise taken
        yield


def storage_error(error: SQLAlchemyError) -> StorageError:
    """Say what a database said as one of our errors."""
    said = getattr(error, "orig", None)
    code = getattr(said, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or getattr(said, "sqlstate", "") == _postgresql_disk_full:
        return StorageFull()
    return StorageError(f"expected a database that answers, found: {first_line(error)}")


def first_line(error: Exception) -> str:
    """Say what a database said, without the statement it was about."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own idea of when a transaction begins would leave changes of shape outside any.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA cache_size=-8000")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A reader that becomes a writer half-way can fail at once; a writer says so at the start and waits its turn.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
