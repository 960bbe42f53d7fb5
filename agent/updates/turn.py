"""
Of two versions that make the same records, one is told: pure.

Where it stands: both versions of an update hand everything they make to one `Turn`, which answers with what goes out.
Rules: what one told, the other does not tell again; what the silent one made beyond that goes out when it takes over,
so that nothing is lost either. Both are judged by time, for each series of records (kind, content, terminal) by itself.
"""

from collections import Counter, deque
from collections.abc import Hashable, Sequence

from algorithms.api.grid_records import GridState, Proposal
from algorithms.api.records import Command, Event, MeasurementFrame, Record, Reply, Request, Result

WAITING = 2000
"""Records of the silent one that are kept for when it takes over."""

SETTLED = 10.0
"""After this no record is taken for a repetition any more: a clock may have been set back [s]."""

SAME_EVENT_NS = 20_000_000
"""Two versions that tell of one event put its start so far apart at most [ns]."""

LAG_NS = 1_000_000_000
"""Who takes over is at most so far behind who was told [ns]: a time beyond it was made up."""

OLD, NEW = "old", "new"
Series = tuple[Hashable, ...]


def series_and_time(record: Record) -> tuple[Series, int]:
    """
    Say which series a record belongs to, and its place in it [ns UTC].

    >>> series_and_time(Result("energy/1", "m-1", 5, {}))
    (('result', 'energy/1', 'm-1'), 5)
    """
    series: Series
    match record:
        case MeasurementFrame():
            series, time_ns = ("frame", record.terminal), record.time_ns
        case Event():
            is_over = record.end_ns is not None
            series, time_ns = ("event", record.kind, record.terminal, record.phases, is_over), record.start_ns
        case Result():
            series, time_ns = ("result", record.content, record.terminal), record.time_ns
        case GridState():
            series, time_ns = ("grid-state", record.level, record.area), record.time_ns
        case Proposal():
            series, time_ns = ("proposal", record.kind, record.network), record.time_ns
        case Command():
            series, time_ns = ("command", record.recipient, record.verb), record.issued_ns
        case Request():
            series, time_ns = ("request", record.recipient, record.subject), record.time_ns
        case Reply():
            series, time_ns = ("reply", record.recipient), record.time_ns
    return series, time_ns


class Turn:
    """
    What two versions make, and which of them is told.

    Attributes
    ----------
    speaker : str
        `OLD` or `NEW`.
    made : dict
        How many records of each series each of them made since `reset`.
    newest : dict
        The newest time of each series of each of them [ns UTC].
    """

    def __init__(self) -> None:
        self.speaker = OLD
        self.made: dict[str, Counter[Series]] = {OLD: Counter(), NEW: Counter()}
        self.newest: dict[str, dict[Series, int]] = {OLD: {}, NEW: {}}
        self._told: dict[Series, int] = {}
        self._limits: dict[Series, int] = {}
        self._until = 0.0
        self._waiting: deque[Record] = deque(maxlen=WAITING)

    def take(self, side: str, records: Sequence[Record], now: float) -> Sequence[Record]:
        """
        Take what one of them made; return what of it goes out.

        Parameters
        ----------
        side : str
        records : sequence of Record
        now : float
            Monotonic time [s].
        """
        made, newest = self.made[side], self.newest[side]
        for record in records:
            series, time_ns = series_and_time(record)
            made[series] += 1
            newest[series] = max(time_ns, newest.get(series, time_ns))
        if side != self.speaker:
            self._waiting.extend(records)
            return ()
        return self._tell(records, now)

    def change(self, now: float) -> Sequence[Record]:
        """Let the silent one be told from now on; return what goes out of what it made before."""
        self.speaker = NEW if self.speaker == OLD else OLD
        newest = self.newest[self.speaker]
        self._limits = {
            series: min(told, newest[series] + LAG_NS) if series in newest else told
            for series, told in self._told.items()
        }
        self._until = now + SETTLED
        self._told = dict(self._limits)
        waiting, self._waiting = list(self._waiting), deque(maxlen=WAITING)
        return self._tell(waiting, now)

    def reset(self) -> None:
        """Count anew."""
        for made in self.made.values():
            made.clear()

    def _tell(self, records: Sequence[Record], now: float) -> list[Record]:
        going = []
        for record in records:
            series, time_ns = series_and_time(record)
            margin = SAME_EVENT_NS if series[0] == "event" else 0
            if now < self._until and series in self._limits and time_ns <= self._limits[series] + margin:
                continue
            self._told[series] = max(time_ns, self._told.get(series, time_ns))
            going.append(record)
        return going
