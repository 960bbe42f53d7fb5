"""
What somebody is doing, written down in the very transaction by which it changes something.

Where it stands: the gateway says what is under way (`under_way`) before it hands a request on; whichever room makes a
change, and in whichever table, its first commit carries a row of who is making it (`acts_begun`). Once the request is
answered, the trail's entry takes the row's place. A power cut before that leaves change and row, or neither; a row that
was left behind becomes an entry later (`audit_trail`). It costs no write of its own: the commit is the change's. A row
goes with the transaction that is rolled back, also at its commit; what is changed after that writes it again.

The context variable is what joins a request to the thread that writes for it, which many requests share.
"""

import secrets
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, event, insert, select

from device_catalog.storage.tables import acts_begun

if TYPE_CHECKING:
    from device_catalog.storage.audit_trail import Act

TRAIL = "trail"
"""Option of a connection that writes the trail itself."""

LEFT_OUT = ("status", "after")
"""Of an act, what is not known before it is answered."""


class Deed:
    """
    A request that may change something.

    Parameters
    ----------
    act : callable
        Says who does what, as far as known when it is called; None for what is not for the trail.

    Attributes
    ----------
    name : str
        Of its row.
    noted : bool
        Whether its row was written; whether that was committed, the database knows.
    is_over : bool
        Whether it was answered, so that nothing more is its doing.
    """

    def __init__(self, act: "Callable[[], Act | None]") -> None:
        self.name = secrets.token_hex(16)
        self.noted = False
        self.is_over = False
        self._act = act

    def note(self, connection: Connection) -> None:
        """Write its row, where it is not there yet, into a transaction that is about to be committed."""
        if self.is_over or (self.noted and self._is_there(connection)):
            return
        act = self._act()
        if act is None:
            return
        fields = {name: value for name, value in act._asdict().items() if name not in LEFT_OUT}
        connection.execute(insert(acts_begun).values(name=self.name, **fields))
        self.noted = True

    def _is_there(self, connection: Connection) -> bool:
        row = select(acts_begun.c.name).where(acts_begun.c.name == self.name)
        return connection.execute(row).one_or_none() is not None


under_way: ContextVar[Deed | None] = ContextVar("under_way", default=None)
"""What the request is doing for which a thread works; None for what the catalog does by itself."""


def have_noted(engine: Engine) -> None:
    """Have what is under way written into every transaction of a database that changes something."""
    event.listen(engine, "commit", _note)


def _note(connection: Connection) -> None:
    deed, options = under_way.get(), connection.get_execution_options()
    if deed is not None and options.get("writes") and not options.get(TRAIL):
        deed.note(connection)
