"""
What switches and those who operate them say to each other: orders and reports, read and written in one place.

Where it stands: the algorithm at a switch carries out orders and reports; a reconfigurator, or a person at a terminal,
gives orders and reads reports. An order is a `Command` to the switch (``v1/{tenant}/switches/{switch}/command``), a
report a `Result` of the schema ``switch-state/1`` that names the switch as its terminal (``…/state``, retained).

Rules:

- Verbs are ``open``, ``close``, ``unlock`` and ``claim``. ``open`` with a `tag` also locks the switch under it: until
  ``unlock`` comes with the same tag, nobody closes it.
- An order bears the token of the lease under which it is given, and its place among the orders of that lease. A
  switch obeys no smaller token than the largest it has seen, and no earlier place.
- ``claim`` moves nothing: it only brings the token. Whoever has a new lease claims the switches first, and moves one
  only when none of them obeys older leases any more.
- Tokens are about the seconds of UTC at which they were given. One that is far ahead of the time was forged, or given
  by a clock that was wrong. It is neither obeyed nor held against others, or nothing could ever be switched again.
- Whoever operates a switch watches its reports: an order that nobody confirms was not carried out.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec

from algorithms.api.network_operation import SwitchState
from algorithms.api.records import Command, Result

CONTENT = "switch-state/1"
OPEN, CLOSE, UNLOCK, CLAIM = "open", "close", "unlock", "claim"
VERBS = (OPEN, CLOSE, UNLOCK, CLAIM)
OBEYED_AHEAD = 86_400
"""A token may be ahead of the seconds of UTC by this for a switch to obey it [1]."""
REPORTED_AHEAD = 43_200
"""A token that a switch says it obeys may be ahead by this to be believed: what is given next is obeyed then [1]."""
AND = "+"
"""Between the tags of a switch that is locked under several, each to be taken off by itself."""
_NANOSECONDS = 1_000_000_000
_unfit = re.compile(r"[^A-Za-z0-9_-]")
_case = re.compile(r"[a-z-]+-[A-Za-z0-9_-]{0,24}-[0-9]{10,}")


class Outcome(StrEnum):
    """What became of the last order."""

    NONE = ""
    UNDER_WAY = "under-way"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class Cause(StrEnum):
    """Why a switch stands where it stands."""

    START = "start"
    COMMAND = "command"
    PROTECTION = "protection"
    RECLOSING = "reclosing"


class Order(msgspec.Struct, frozen=True):
    """
    The arguments of an order.

    Attributes
    ----------
    network : str
    token : int
        Of the lease under which it is given.
    sequence : int
        Its place among the orders of that lease, from 1.
    tag : str
        Under which a switch is locked or unlocked; empty for neither. A switch that is locked may be locked under more
        tags, by an order that names those it has too, and be unlocked under one of several.
    purpose : str
        What it is given for, in the words of who gives it: the case of a fault, for instance. The switch repeats it.
    """

    network: str
    token: int
    sequence: int
    tag: str = ""
    purpose: str = ""


class SwitchReport(msgspec.Struct, frozen=True):
    """
    What a switch says of itself.

    Attributes
    ----------
    network : str
    state : SwitchState or None
        None while it moves, or where it does not know.
    tag : str
        Under which it is locked open; empty where it is not, several joined by `AND`.
    lockout : bool
        Whether its protection gave up closing again.
    reclosing : bool
        Whether its protection is going to close it again.
    cause : Cause
    token, sequence : int
        The largest it has obeyed.
    command : str
        Id of the last order, also of one that was refused.
    moved_by : str
        Id of the order by which it stands where it stands; empty where no order moved it.
    moved_for : str
        What that order was given for; empty where it did not say.
    moved_under : int
        The lease under which it was given; 0 where no order moved it.
    outcome : Outcome
    reason : str
        Why an order was refused or failed.
    """

    network: str
    state: SwitchState | None
    tag: str = ""
    lockout: bool = False
    reclosing: bool = False
    cause: Cause = Cause.START
    token: int = 0
    sequence: int = 0
    command: str = ""
    outcome: Outcome = Outcome.NONE
    reason: str = ""
    moved_by: str = ""
    moved_for: str = ""
    moved_under: int = 0


def is_believable(token: int, now_ns: int, ahead: int = OBEYED_AHEAD) -> bool:
    """Tell whether a token can have been given by now [ns UTC], by a clock that was ahead a little."""
    return 0 <= token <= now_ns // _NANOSECONDS + ahead


def case_name(kind: str, terminal: str, start_ns: int) -> str:
    """Name the case of a fault by the kind, the terminal and the start [ns UTC] of the word that told of it."""
    where = _unfit.sub("_", terminal)[:24]
    return f"{kind}-{where}-{start_ns // 1_000_000}"[:64]


def is_case_name(name: str) -> bool:
    """Tell whether a text is a name that `case_name` gives."""
    return _case.fullmatch(name) is not None


def tags_of(tag: str) -> set[str]:
    """Take the tag of a report or an order apart into those that were joined by `AND`; none for an empty one."""
    return set(tag.split(AND)) - {""}


def joined_tags(tags: Iterable[str]) -> str:
    """Write several tags as that of one switch, always in the same order."""
    return AND.join(sorted(tags))


def report_record(switch: str, time_ns: int, report: SwitchReport) -> Result:
    """Write a report as a record."""
    payload: dict[str, Any] = msgspec.to_builtins(report)
    return Result(CONTENT, switch, time_ns, payload, urgent=True)


def read_report(record: Result) -> SwitchReport | None:
    """Read a report; None for a record that is none."""
    if record.content != CONTENT:
        return None
    try:
        return msgspec.convert(record.payload, SwitchReport)
    except msgspec.ValidationError:
        return None


def read_order(command: Command) -> Order | None:
    """Read the arguments of an order; None where they are none."""
    try:
        return msgspec.convert(command.arguments, Order)
    except msgspec.ValidationError:
        return None
