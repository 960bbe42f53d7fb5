"""
What the catalog remembers of faults: what was said of each on the grid broker, and a summary of it.

A record begins with an event of a kind in `topics.FAULTS` that names a network; later words on the same fault, such as
the place found again at a reclosure, and how the restoration ended, are kept with it as they came. That a fault was
repaired is a word of a person's (`FaultChange`), kept beside them; it moves no switch.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.switching import case_name
from algorithms.api.wire import time_from_text
from device_catalog.contract.documents import Strict
from device_catalog.contract.recordings import RecordingEntry
from device_catalog.contract.validation import parse_document

LOCATED, RESTORATION = "fault-located", "restoration"
REPAIRED, NOT_REPAIRED = "repaired", "not-repaired"
"""Kinds of what a person says of a fault; the second takes back the first."""
LONGEST_NOTE = 500
"""Of a person, on a repair [characters]."""


class FaultChange(Strict, frozen=True):
    """
    What a person says of a fault.

    Attributes
    ----------
    repaired : bool
        Whether the line may be used again; false takes back what was said by mistake.
    note : str
        Such as what was found.
    """

    repaired: bool
    note: str = ""


def parse_change(document: bytes) -> FaultChange:
    """
    Read what a person says of a fault.

    Raises
    ------
    DocumentError
        With every problem found.
    """
    return parse_document(FaultChange, document, "change", _judge)


def _judge(change: FaultChange, where: str) -> list[Problem]:
    if len(change.note) <= LONGEST_NOTE and (change.note.isprintable() or not change.note):
        return []
    expected = f"at most {LONGEST_NOTE} printable characters in one line"
    return [Problem(f"{where}.note", expected, shortened(change.note, 80))]


class FaultNews(msgspec.Struct, frozen=True):
    """
    One thing that was said of a fault.

    Attributes
    ----------
    kind : str
        Of the event.
    device : str
        Who said it: a device, or the operator who said that it is repaired.
    boot, number : int
        Which of its messages it was.
    time, start : str
        When it was said, and when what it tells of began: RFC 3339, UTC with nanoseconds.
    end : str or None
    phases : tuple of str
    evidence : dict
        As it came.
    """

    kind: str
    device: str
    boot: int
    number: int
    time: str
    start: str
    end: str | None
    phases: tuple[str, ...]
    evidence: dict[str, Any]


class FaultSummary(msgspec.Struct, frozen=True):
    """
    A fault in a line.

    Attributes
    ----------
    id : str
    network, terminal : str
        Where it was measured.
    device : str
        The meter there.
    start : str
        RFC 3339, UTC with nanoseconds.
    kind : str
        ``fault-located``, ``fault-not-located`` or ``earth-fault``.
    type : str
        Such as ``LG``; empty where it is not known.
    phases : tuple of str
    branch, from_node, to_node : str
        The place; empty where there is none.
    distance, distance_uncertainty : float or None
        From `from_node`, and its standard uncertainty [m].
    resistance : float or None
        Of the fault [ohm].
    trusted : bool
    alternatives : int
        Other places within the likelihood.
    outcome : str
        How the restoration ended; empty while nothing was told.
    minutes : float or None
        From the beginning to the outcome [min].
    restored_customers, unserved_customers : int
    repaired, repaired_by : str
        When (RFC 3339, UTC) a person said that it is repaired, and who; empty while nobody has.
    revision : int
        Grows with everything that is said of it.
    """

    id: str
    network: str
    terminal: str
    device: str
    start: str
    kind: str
    type: str = ""
    phases: tuple[str, ...] = ()
    branch: str = ""
    from_node: str = ""
    to_node: str = ""
    distance: float | None = None
    distance_uncertainty: float | None = None
    resistance: float | None = None
    trusted: bool = False
    alternatives: int = 0
    outcome: str = ""
    minutes: float | None = None
    restored_customers: int = 0
    unserved_customers: int = 0
    repaired: str = ""
    repaired_by: str = ""
    revision: int = 1


class FaultDetail(msgspec.Struct, frozen=True):
    """All that is known of a fault; `recordings` are those of the head and its meters that hold its time."""

    summary: FaultSummary
    news: tuple[FaultNews, ...]
    recordings: tuple[RecordingEntry, ...] = ()


class FaultPage(msgspec.Struct, frozen=True):
    """Part of the list of faults, newest first, and the cursor of the next part; empty at the end."""

    items: tuple[FaultSummary, ...]
    next: str = ""


def names_of(terminal: str, news: Sequence[FaultNews]) -> set[str]:
    """Give the names by which whoever handled a fault may know it: one for each word on it."""
    faults = (word for word in news if word.kind not in (RESTORATION, REPAIRED, NOT_REPAIRED))
    return {case_name(word.kind, terminal, time_from_text(word.start)) for word in faults}
