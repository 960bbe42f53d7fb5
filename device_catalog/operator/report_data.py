"""
What a report is made of: results and events of one device, read from lines of JSON (pure).

First room of ``tresma report``: lines as ``tresma watch --json --all`` or ``tresma-agent replay`` write them come in,
in any order and with repetitions; `report_limits` judges what is here. Anything that is neither voltage quality nor an
event is passed over, so whole logs can be given.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

NANOSECONDS = 1_000_000_000
TEN_MINUTES = 600 * NANOSECONDS
WEEK = 7 * 86_400 * NANOSECONDS

KINDS = ("voltage-dip", "voltage-swell", "interruption", "rapid-voltage-change")


class _Line(msgspec.Struct):
    schema: str = ""
    device: str = ""
    boot: int = 0
    number: int = 0
    time: str = ""
    content: str = ""
    kind: str = ""
    start: str = ""
    end: str | None = None
    phases: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class Channel(msgspec.Struct):
    """What an interval says of one voltage; None for what was not measured."""

    rms: float | None = None
    distortion: float | None = None
    harmonics: list[float | None] = []
    pst: float | None = None
    plt: float | None = None


class Interval(msgspec.Struct):
    """One aggregated interval of ``quality/1``; `time_ns` is its end [ns UTC]."""

    interval: str
    duration: float
    declared_voltage: float
    nominal_frequency: float
    voltage: dict[str, Channel | None]
    windows: int = 0
    not_counted: int = 0
    flagged: dict[str, int] = {}
    missing: float = 0.0
    frequency_10s: list[float | None] = []
    unbalance: dict[str, float] | None = None
    not_measured: list[str] = []
    time_ns: int = 0

    @property
    def begin_ns(self) -> int:
        """When it began [ns UTC]."""
        return self.time_ns - round(self.duration * NANOSECONDS)

    @property
    def whole(self) -> bool:
        """Whether nothing in it is flagged or missing."""
        return not self.flagged and not self.not_counted and self.missing <= 0.25


@dataclass(frozen=True, slots=True)
class Happening:
    """
    A dip, swell, interruption or rapid change that is over.

    Attributes
    ----------
    kind : str
    start_ns : int
        [ns UTC]
    duration : float
        [s]
    voltage : float
        Residual or highest voltage, or the largest change [1, of declared].
    phases : tuple of str
    cut : bool
        Whether samples were missing at its end.
    interrupted : bool
        Whether a dip contains an interruption.
    """

    kind: str
    start_ns: int
    duration: float
    voltage: float
    phases: tuple[str, ...]
    cut: bool
    interrupted: bool


@dataclass(slots=True)
class Collected:
    """
    Everything of one device.

    Attributes
    ----------
    device : str
    ten, two : dict
        Intervals of ten minutes and two hours by their end [ns UTC]; the fullest one where there are several.
    happenings : dict
        By kind and beginning.
    """

    device: str
    ten: dict[int, Interval] = field(default_factory=dict)
    two: dict[int, Interval] = field(default_factory=dict)
    happenings: dict[tuple[str, int], Happening] = field(default_factory=dict)


def time_ns_of(text: str) -> int:
    """
    Read a time as messages write it.

    >>> time_ns_of("2026-11-21T10:00:00.020000001Z") % 1_000_000_000
    20000001
    """
    whole, _, rest = text.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * NANOSECONDS + int(rest[:9].ljust(9, "0") or 0)


def collect(lines: Iterable[bytes]) -> tuple[dict[str, Collected], int]:
    """
    Read lines.

    Returns
    -------
    dict
        What was collected, by device.
    int
        Lines that could not be read.
    """
    found: dict[str, Collected] = {}
    decode_line = msgspec.json.Decoder(_Line).decode
    decode_interval = msgspec.json.Decoder(Interval).decode
    unreadable = 0
    for line in lines:
        if b'"quality/1"' not in line and b'"event/1"' not in line:
            continue
        try:
            read = decode_line(line)
            if read.content == "quality/1":
                interval = decode_interval(read.payload)
                interval.time_ns = time_ns_of(read.time)
                _add(found.setdefault(read.device, Collected(read.device)), interval)
            elif read.schema == "event/1" and read.kind in KINDS and read.end:
                happening = _happening(read)
                device = found.setdefault(read.device, Collected(read.device))
                device.happenings[happening.kind, happening.start_ns] = happening
        except (msgspec.DecodeError, ValueError, KeyError, TypeError, ZeroDivisionError):
            unreadable += 1
    return found, unreadable


def _add(collected: Collected, interval: Interval) -> None:
    into = {"10-min": collected.ten, "2-h": collected.two}.get(interval.interval)
    if into is None:
        return
    known = into.get(interval.time_ns)
    if known is None or known.windows < interval.windows:  # a restart may have told the same ten minutes twice
        into[interval.time_ns] = interval


def _happening(line: _Line) -> Happening:
    evidence = line.evidence
    start_ns = time_ns_of(line.start)
    names = ("residual_voltage", "highest_voltage", "largest_change")
    voltage = next(float(evidence[name]) for name in names if name in evidence)
    return Happening(
        line.kind,
        start_ns,
        (time_ns_of(line.end or line.start) - start_ns) / NANOSECONDS,
        voltage / float(evidence["declared_voltage"]),
        line.phases,
        bool(evidence.get("cut_by_gap")),
        bool(evidence.get("interrupted")),
    )


def within(collected: Collected, begin_ns: int, end_ns: int) -> Collected:
    """Keep what belongs to [begin, end) [ns UTC]."""
    return Collected(
        collected.device,
        {at: one for at, one in collected.ten.items() if begin_ns < at <= end_ns},
        {at: one for at, one in collected.two.items() if begin_ns < at <= end_ns},
        {key: one for key, one in collected.happenings.items() if begin_ns <= one.start_ns < end_ns},
    )


def newest_week(collected: Collected) -> tuple[int, int]:
    """Return begin and end of the newest week that there is something of [ns UTC]."""
    last = max(collected.ten)
    first = min(one.begin_ns for one in collected.ten.values())
    begin = max(first, last - WEEK)
    return begin, begin + WEEK
