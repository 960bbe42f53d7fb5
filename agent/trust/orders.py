"""
Which orders were obeyed, so that each is obeyed once: across restarts, and whatever the clock says.

An order that was heard once can be sent again by anybody. Its id is remembered until it has expired, and expired is
what a later order of the same key says by its time of issue, not what this device's clock says: that may be set back.
What a key vouched for goes with that key. Every order is durable here before it is obeyed; where the card fails, orders
are obeyed all the same, and memory holds until the next start.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from agent.files import write_durably
from algorithms.api.records import Command
from algorithms.api.wire import time_text

log = logging.getLogger(__name__)

MOST = 4096
"""Orders of one key that have not expired yet."""
_LONGEST = 4 * 2**20


class KeyMemory(msgspec.Struct):
    """
    What is remembered of one key.

    Attributes
    ----------
    newest_ns : int
        Issue of its newest order [ns UTC].
    orders : dict
        When each of its orders expires, by recipient and id [ns UTC].
    """

    newest_ns: int = 0
    orders: dict[str, int] = {}


class OrderMemory:
    """
    The orders of all keys.

    Parameters
    ----------
    path : pathlib.Path

    Attributes
    ----------
    problem : str
        What keeps it from being durable; empty where nothing does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[str, KeyMemory] = {}
        self.problem = ""

    def load(self) -> None:
        """Read what is kept; once, before the first order."""
        try:
            with self._path.open("rb") as file:
                self._keys = msgspec.json.decode(file.read(_LONGEST), type=dict[str, KeyMemory])
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, ValueError) as error:
            self.problem = f"which orders were obeyed cannot be read: {error}"
            log.error("%s", self.problem)

    def keep_only(self, keys: Iterable[str]) -> None:
        """Forget the keys that count no more."""
        wanted = set(keys)
        self._keys = {key: memory for key, memory in self._keys.items() if key in wanted}

    def admit(self, command: Command) -> str:
        """
        Take note of an order whose signature was verified, or say why it is not obeyed.

        Parameters
        ----------
        command : Command
            Under the name of the key by which it was verified.
        """
        memory = self._keys.setdefault(command.key_id, KeyMemory())
        name = f"{command.recipient}/{command.id}"  # one lease is claimed at many switches
        if name in memory.orders:
            return "expected an order that was not given before, found it again"
        if command.expires_ns <= memory.newest_ns:
            newest = time_text(memory.newest_ns)
            return f"expected an order that had not expired when the newest was given ({newest}), found an older one"
        newest_ns = max(memory.newest_ns, command.issued_ns)
        orders = {one: expires_ns for one, expires_ns in memory.orders.items() if expires_ns > newest_ns}
        if len(orders) >= MOST:
            return f"expected at most {MOST} orders of one key within their lives, found more"
        orders[name] = command.expires_ns
        self._keys[command.key_id] = KeyMemory(newest_ns, orders)
        self._write()
        return ""

    def _write(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self._path, msgspec.json.encode(self._keys))
        except OSError as error:
            self.problem = f"which orders were obeyed cannot be kept: {error.strerror or error}"
            log.error("%s", self.problem)
        else:
            self.problem = ""
