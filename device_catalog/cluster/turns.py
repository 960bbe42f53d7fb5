"""
Has one of all catalogs at a database write at a time, each knowing what the others wrote before.

Where it stands: around every write of `storage.threads`. What a write relies on is in memory, so whoever gets the turn
first takes over what others changed (`news`). So two catalogs decide as one would: on what is there, one after the
other. Rules: the turn is a lock in the database, given in the order of asking; a catalog that dies loses it with its
connection, one that stands still after `LONGEST`.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from device_catalog.errors import StorageError

KEY = 0x7472_7475
"""Of the lock, the same in every catalog."""

LONGEST = 30.0
"""Whoever has the turn and does nothing for so long loses it [s]."""

PATIENCE = 40.0
"""How long a turn is waited for [s]."""

LOOK = 0.2
"""After this much waiting, what others changed is taken over, before waiting goes on [s]."""

_not_available = "55P03"  # appendix A of its manual: lock_not_available
_log = logging.getLogger(__name__)


class Turns:
    """
    Gives this process its turns.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        PostgreSQL.
    catch_up : callable
        Takes over what others changed; called in the thread that writes.
    """

    def __init__(self, engine: Engine, catch_up: Callable[[], object]) -> None:
        self._engine = engine
        self._catch_up = catch_up

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """
        Write while nobody else does.

        Raises
        ------
        StorageError
            When others write for too long.
        """
        with self._engine.connect() as connection:
            self._wait(connection)
            try:
                self._catch_up()
                yield
            finally:
                _give_back(connection)

    def _wait(self, connection: Connection) -> None:
        deadline = time.monotonic() + PATIENCE
        limits = {"wait": f"{LOOK * 1000:.0f}ms", "longest": f"{LONGEST * 1000:.0f}ms"}
        while True:
            connection.execute(
                text(
                    "SELECT set_config('lock_timeout', :wait, true), "
                    "set_config('idle_in_transaction_session_timeout', :longest, true)"
                ),
                limits,
            )
            try:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": KEY})
            except OperationalError as error:
                connection.rollback()
                if getattr(error.orig, "sqlstate", "") != _not_available:
                    raise
            else:
                return
            if time.monotonic() > deadline:
                raise StorageError(f"expected a turn to write within {PATIENCE:g} s, found another catalog writing")
            self._catch_up()


def _give_back(connection: Connection) -> None:
    try:
        connection.rollback()
    except SQLAlchemyError:
        # What was written stands or fell on a connection of its own; only the order was at risk.
        _log.warning("the turn to write was lost before the end: the write took longer than %g s", LONGEST)
        connection.invalidate()
