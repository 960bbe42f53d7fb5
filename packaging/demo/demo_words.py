"""
What the demo says, in lines: to whoever reads along, and of what was seen to happen.

A recording that is repeated tells the same in every round; that is one line, not one a round.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from device_catalog.operator.occurrences import Occurrence
from device_catalog.operator.table import occurrence_line

SAME = 0.01
"""Closer than this in two rounds of a recording is the same place [s]."""


def say(text: str = "") -> None:
    """Tell the reader."""
    with suppress(BrokenPipeError):  # whoever read along has gone; there is still a house to tidy
        print(text, flush=True)


def occurrence_lines(occurrences: Iterable[Occurrence], replaying: str, origin_ns: int, period: float) -> list[str]:
    """
    Say what was seen to happen, in its order.

    Parameters
    ----------
    occurrences : iterable of Occurrence
    replaying : str
        The device that replays a recording again and again.
    origin_ns : int
        When the recording began first [ns UTC].
    period : float
        After how long it begins again [s].
    """
    said: list[tuple[Occurrence, int]] = []
    recorded: list[int] = []  # where in it those of the recording stand
    for occurrence in occurrences:
        before = recorded if occurrence.device == replaying else []
        known = next((index for index in before if _is_repeated(*said[index], occurrence, period)), None)
        if known is not None:
            said[known] = (said[known][0], said[known][1] + 1)
            continue
        if occurrence.device == replaying:
            recorded.append(len(said))
        said.append((occurrence, 1))
    return [
        occurrence_line(first, origin_ns, period, rounds) if first.device == replaying else occurrence_line(first)
        for first, rounds in said
    ]


def newest(said: Sequence[str], width: int, room: int) -> list[str]:
    """Choose the last of the lines, at least two, that fit into so many of a terminal."""
    chosen: list[str] = []
    for line in reversed(said):
        if len(chosen) >= 2 and lines_taken([line, *chosen], width) > room:
            break
        chosen.insert(0, line)
    return chosen


def lines_taken(said: Iterable[str], width: int) -> int:
    """Tell how many lines of a terminal they take, indented by two."""
    return sum(-(-len(line) // max(1, width - 2)) for line in said)


def _is_repeated(first: Occurrence, rounds: int, other: Occurrence, period: float) -> bool:
    """Tell whether `other` is what `first` was, `rounds` rounds later."""
    if (first.device, first.kind, first.phases) != (other.device, other.kind, other.phases):
        return False
    return abs((other.start_ns - first.start_ns) / 1e9 - rounds * period) < SAME
