"""
Spells in which a detector saw too little to find a fault, as events that reach an operator.

Where it stands: `fault_detection` says from when to when it was blind and why; an event of kind
``fault-detection-blind`` tells of a spell once when it begins, and once more, with its end, when the detector has seen
well for a while. Interruptions that follow soon on each other are one spell. Pure.
"""

from collections.abc import Sequence

from algorithms.api.records import Event, Severity
from algorithms.api.wire import NANOSECONDS

BLIND = "fault-detection-blind"
SETTLED = 10.0
"""A spell is over when nothing was missed for so long [s]."""
REASONS = 4
"""Different reasons that are told of one spell."""


class Blindness:
    """
    Keeps count of one detector's blindness.

    Parameters
    ----------
    terminal : str
    kind : str
        Of the events.
    """

    def __init__(self, terminal: str, kind: str = BLIND) -> None:
        self._terminal, self._kind = terminal, kind
        self._start_ns: int | None = None  # of the spell under way
        self._end_ns: int | None = None  # None while it cannot see
        self._since_ns, self._count, self._blind_ns = 0, 0, 0
        self._reasons: list[str] = []

    def between(self, start_ns: int, end_ns: int | None, reason: str) -> Sequence[Event]:
        """
        Note that nothing could be found from one instant to another.

        Parameters
        ----------
        start_ns : int
            [ns UTC]
        end_ns : int or None
            [ns UTC]; None where it goes on.
        reason : str
        """
        begins = self._start_ns is None
        if begins:
            self._start_ns, self._count, self._blind_ns, self._reasons = start_ns, 0, 0, []
        goes_on = not begins and self._end_ns is None
        if not goes_on:
            self._count += 1
            self._since_ns = max(start_ns, self._end_ns or start_ns)
        if reason not in self._reasons[:REASONS]:
            self._reasons.append(reason)
        if end_ns is not None:
            self._blind_ns += max(end_ns - self._since_ns, 0)
        self._end_ns = end_ns
        return [self._event(None)] if begins else []

    def look(self, now_ns: int) -> Sequence[Event]:
        """End the spell, if it has been over for long enough."""
        if self._start_ns is None or self._end_ns is None or now_ns - self._end_ns < SETTLED * NANOSECONDS:
            return []
        over = self._event(self._end_ns)
        self._start_ns = None
        return [over]

    def _event(self, end_ns: int | None) -> Event:
        evidence: dict[str, object] = {"reason": "; ".join(self._reasons[:REASONS])}
        if end_ns is not None:
            evidence |= {"interruptions": self._count, "blind_time": self._blind_ns / NANOSECONDS}
        return Event(self._kind, self._terminal, self._start_ns or 0, end_ns, Severity.WARNING, (), evidence)
