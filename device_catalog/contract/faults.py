"""
What the catalog remembers of faults: what was said of each on the grid broker, and a summary of it.

A record begins with an event of a kind in `topics.FAULTS` that names a network; later words on the same fault, such as
the place found again at a reclosure, and how the restoration ended, are kept with it as they came.
"""

from typing import Any

import msgspec

from device_catalog.contract.recordings import RecordingEntry

LOCATED, RESTORATION = "fault-located", "restoration"


class FaultNews(msgspec.Struct, frozen=True):
    """
    One thing that was said of a fault.

    Attributes
    ----------
    kind : str
        Of the event.
    device : str
        Who said it.
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
