"""
What is wrong with an area for a while, told when it begins and when it is over: `Conditions`.

Where it stands: `area_state` says after each interval which conditions hold; events go out for changes only, so that a
hundred silent meters cost two events and not a hundred each minute. What holds at present, every state tells anyway.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from algorithms.api.records import Event, Severity

SILENT = "sources-silent"
ASTRAY = "sources-astray"
UNKNOWN = "sources-unknown"
CONTRADICTORY = "readings-contradictory"
UNOBSERVABLE = "area-unobservable"
IMPLAUSIBLE = "forecasts-implausible"
DROPPED = "readings-dropped"

KINDS = {
    SILENT: (Severity.NOTICE, 1),
    ASTRAY: (Severity.WARNING, 1),
    UNKNOWN: (Severity.NOTICE, 1),
    CONTRADICTORY: (Severity.WARNING, 3),
    UNOBSERVABLE: (Severity.WARNING, 3),
    IMPLAUSIBLE: (Severity.WARNING, 1),
    DROPPED: (Severity.WARNING, 1),
}
"""Each kind's severity, and after how many intervals one after the other it is told."""
MOST_NAMES = 20
"""Names in the evidence of an event."""


class Conditions:
    """
    The conditions of one area.

    Parameters
    ----------
    area : str
        Stands as the terminal of the events.
    """

    def __init__(self, area: str) -> None:
        self._area = area
        self._since: dict[str, int] = {}
        self._running: dict[str, int] = {}

    def note(self, time_ns: int, holding: Mapping[str, Mapping[str, Any]]) -> Iterator[Event]:
        """
        Take what holds now, by kind with its evidence; give an event for each that begins or ends.

        Parameters
        ----------
        time_ns : int
            [ns UTC]
        holding : mapping
            Evidence by kind of condition; empty evidence for what does not hold.
        """
        for kind, (severity, patience) in KINDS.items():
            evidence = holding.get(kind, {})
            self._running[kind] = min(self._running.get(kind, 0) + 1, patience) if evidence else 0
            if self._running[kind] == patience and kind not in self._since:
                self._since[kind] = time_ns
                yield Event(kind, self._area, time_ns, None, severity, evidence=dict(evidence))
            elif not evidence and kind in self._since:
                yield Event(kind, self._area, self._since.pop(kind), time_ns, severity)

    def state(self) -> dict[str, int]:
        """Give what holds, for a later instance."""
        return dict(self._since)

    def restore(self, since: Mapping[str, int]) -> None:
        """Go on from what `state` gave."""
        self._since = {kind: start for kind, start in since.items() if kind in KINDS}


def names(found: Sequence[str]) -> dict[str, Any]:
    """Write names as evidence; nothing where there are none."""
    return {"count": len(found), "names": list(found[:MOST_NAMES])} if found else {}
