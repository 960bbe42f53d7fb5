"""
Copies databases while a catalog serves them, and puts copies back.

SQLite is copied by its own online backup, PostgreSQL by the machine's ``pg_dump`` and ``pg_restore``: each copy is what
the database was at one moment, and changes go on meanwhile. A password goes to these programs by their environment,
where other users do not see it. All calls block.
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine, inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from device_catalog.errors import StorageError
from device_catalog.storage.database import storage_error

PATIENCE = 4 * 3600.0
"""How long one of PostgreSQL's programs may take [s]."""

_PAGES = 2000


def sqlite_path(url: str) -> Path:
    """Tell the file of an address ``sqlite:///PATH``."""
    return Path(make_url(url).database or "")


def copy_sqlite(source: Path, target: Path) -> None:
    """
    Copy a database as it is at one moment, whoever writes into it.

    Raises
    ------
    StorageError
    """
    if not source.is_file():
        raise StorageError(f"expected a database in {source}, found none; give the --state of the catalog")
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as here,
            contextlib.closing(sqlite3.connect(target)) as there,
        ):
            target.chmod(0o600)
            here.execute("BEGIN")  # one moment for all pages; with a write-ahead log nobody waits for it
            here.execute("SELECT count(*) FROM sqlite_master").fetchone()
            here.backup(there, pages=_PAGES)
            there.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise StorageError(f"expected a database that can be copied, found: {error}") from error


def settle_sqlite(path: Path) -> None:
    """Make a database one durable file, without what else a write-ahead log needs."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_sqlite(path: Path) -> str:
    """Say what is wrong inside a database; nothing where all is well."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if found and found[0] == "ok" else str(found[0] if found else "nothing")


def dump_postgresql(url: str, target: Path, *, with_history: bool) -> None:
    """
    Write a dump in PostgreSQL's own format.

    Raises
    ------
    StorageError
    """
    left_out = () if with_history else ("--exclude-table=history_*",)  # tables and what numbers their rows
    with _connection(url) as (address, environment):
        _run(
            "pg_dump",
            ["--format=custom", "--no-owner", "--no-privileges", f"--file={target}", *left_out, address],
            environment,
        )
    target.chmod(0o600)


def restore_postgresql(url: str, dump: Path) -> None:
    """
    Put a dump in the place of what is there, in one transaction.

    Raises
    ------
    StorageError
        Nothing was changed.
    """
    with _connection(url) as (address, environment):
        options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
        _run("pg_restore", [*options, f"--dbname={address}", str(dump)], environment)


def check_dump(dump: Path) -> None:
    """
    Make sure that a dump can be read.

    Raises
    ------
    StorageError
    """
    _run("pg_restore", ["--list", str(dump)], dict(os.environ))


def has_tables(engine: Engine) -> bool:
    """Tell whether a catalog has been here."""
    try:
        return inspect(engine).has_table("devices")
    except SQLAlchemyError as error:
        raise storage_error(error) from error


@contextlib.contextmanager
def _connection(url: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Give an address without password, and the environment that has it."""
    parsed = make_url(url)
    environment = dict(os.environ)
    if parsed.password:
        environment["PGPASSWORD"] = str(parsed.password)
    bare = parsed._replace(drivername="postgresql", password=None)
    try:
        yield bare.render_as_string(hide_password=False), environment
    finally:
        environment.clear()


def _run(program: str, arguments: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs
            [_found(program), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StorageError(f"expected {program} to do its work, found: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise StorageError(f"expected {program} to succeed, found: {' '.join(said[-3:])[-400:]}")


def _found(program: str) -> str:
    """Find one of PostgreSQL's programs; the newest, since it reads what older ones wrote."""
    versions = [path for path in Path("/usr/lib/postgresql").glob(f"*/bin/{program}") if path.parts[4].isdigit()]
    newest = max(versions, key=lambda path: int(path.parts[4]), default=None)
    found = str(newest) if newest is not None else shutil.which(program)
    if found is None:
        raise StorageError(f"expected PostgreSQL's program {program}, found none; apt install postgresql-client")
    return found
