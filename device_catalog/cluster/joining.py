"""
Lets a process serve a database together with others, and makes sure that they are one catalog.

Whoever finds nobody brings the database to the newest shape and makes the keys; whoever comes later takes part as it
is. Rules: the shape is never changed under a running catalog; all sign with the same keys and share one folder of
files (signed algorithms, recordings), or they are refused with a sentence that says what differs.
"""

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Engine, delete, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from device_catalog.errors import StorageError
from device_catalog.storage.database import LOCK_KEY, migrate, needs_migration, storage_error
from device_catalog.storage.tables import cluster_identity

PATIENCE = 30.0
"""How long one that is just starting is waited for [s]."""

SHARED = "shared.id"
"""File that tells a folder from a copy of it made before."""

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def joined(engine: Engine, identity: Callable[[], dict[str, str]]) -> Iterator[tuple[str | None, str]]:
    """
    Take part in serving a database, for as long as the context lasts.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        PostgreSQL.
    identity : callable
        Makes keys where there are none, and says what must be the same everywhere, by what it is.

    Yields
    ------
    before, after : str
        Shape of the database.

    Raises
    ------
    StorageError
        When this process and those that serve the database would not be one catalog.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:

        def lock(how: str) -> bool:
            return bool(connection.scalar(text(f"SELECT {how}(:key)"), {"key": LOCK_KEY}))

        alone = lock("pg_try_advisory_lock")
        deadline = time.monotonic() + PATIENCE
        while not alone and not lock("pg_try_advisory_lock_shared"):
            if time.monotonic() > deadline:
                raise StorageError(
                    "expected to share this database with catalogs that share it, found another one running that "
                    "does not; end that one first"
                )
            time.sleep(0.1)
            alone = lock("pg_try_advisory_lock")
        try:
            if alone:
                shape = migrate(engine)
                _write(engine, identity())
                connection.execute(text("SELECT pg_advisory_lock_shared(:key)"), {"key": LOCK_KEY})
                lock("pg_advisory_unlock")
            else:
                shape = _expected_shape(engine)
                _compare(engine, identity())
        except SQLAlchemyError as error:
            raise storage_error(error) from error
        if not alone:
            _log.info("other catalogs serve this database, too")
        yield shape


def folder_id(folder: Path) -> str:
    """Read what tells a folder of files from every other; made where there is nothing yet."""
    path = folder / SHARED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), path.open("x") as file:
            file.write(secrets.token_hex(8))
        return path.read_text()[:64]
    except OSError as error:
        raise StorageError(f"expected a folder that can be written, found {path}: {error.strerror}") from error


def _expected_shape(engine: Engine) -> tuple[str | None, str]:
    before, newest = needs_migration(engine)
    if before != newest:
        raise StorageError(
            f"expected a database of shape {newest}, found {before}, and catalogs that serve it; end those first"
        )
    return before, newest


def _write(engine: Engine, identity: dict[str, str]) -> None:
    with engine.connect() as connection, connection.begin():
        connection.execute(delete(cluster_identity))
        rows = [{"name": name, "value": value} for name, value in identity.items()]
        connection.execute(insert(cluster_identity), rows)


def _compare(engine: Engine, identity: dict[str, str]) -> None:
    with engine.connect() as connection:
        there = {str(row[0]): str(row[1]) for row in connection.execute(select(*cluster_identity.c))}
    different = [name for name, value in identity.items() if there.get(name) != value]
    if different:
        raise StorageError(
            f"expected the same {' and '.join(different)} as the other catalogs at this database, found "
            f"{'others' if different[1:] else 'another'}; give all of them the same --state, on a folder that they "
            "share"
        )
