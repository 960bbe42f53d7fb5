"""
Orders to this device: read, judged, and handed to the algorithms that take commands. Pure.

Where it stands: the service listens on the device's own topic for commands (`topics.commands`), and what comes passes
the gate (`command_gate`), which asks here. An order is addressed to one device, was given a short while ago and is soon
worthless; one that is retained would come again with every connection. Who may publish on the topic is the broker's to
say, who may give orders the DSO's policy's (`agent.trust.in_force`); what an order means is its algorithm's.
"""

import re

from algorithms.api.errors import WireError, shortened
from algorithms.api.records import Command
from algorithms.api.wire import NANOSECONDS, decode_as, time_text

LONGEST = 16 * 1024
"""[bytes]"""
LONGEST_LIFE = 3600.0
"""An order that stays valid for longer is no order but a setting [s]."""
AHEAD = 60.0
"""Clocks may differ by this [s]."""

_id = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read_command(payload: bytes, *, retained: bool, device: str, now_ns: int) -> Command:
    """
    Read an order to `device`.

    Parameters
    ----------
    payload : bytes
        A message as `algorithms.api.wire` writes it; device, boot and number of its header are the giver's.
    retained : bool
        Whether the broker kept it from earlier.
    device : str
    now_ns : int
        [ns UTC]

    Raises
    ------
    WireError
        When it must not be obeyed, and why.
    """
    if retained:
        raise WireError("expected a command that is not retained: it would come again with every connection")
    _, command = decode_as({"command/1": Command}, payload, LONGEST)
    if command.recipient != device:
        raise WireError(f"expected a command to {device}, found one to {shortened(command.recipient)}")
    judge(command, now_ns)
    return command


def judge(command: Command, now_ns: int) -> None:
    """
    Refuse an order that is stale, of the future, or valid for too long; `agent.trust` judges who gave it.

    Raises
    ------
    WireError
        When it must not be obeyed, and why.
    """
    if not _id.fullmatch(command.id):
        raise WireError(f"expected an id of letters, digits, _ and - (at most 64), found {shortened(command.id)}")
    life = (command.expires_ns - command.issued_ns) / NANOSECONDS
    if not 0 < life <= LONGEST_LIFE:
        raise WireError(f"command {command.id}: expected a life of at most {LONGEST_LIFE:g} s, found {life:g}")
    if command.expires_ns <= now_ns:
        raise WireError(f"command {command.id} expired at {time_text(command.expires_ns)}")
    if command.issued_ns > now_ns + AHEAD * NANOSECONDS:
        raise WireError(f"command {command.id} is of the future, {time_text(command.issued_ns)}: check both clocks")
