"""How figures, times and states are said on the pages (pure)."""

from datetime import UTC, datetime
from typing import NamedTuple

NANOSECONDS = 1_000_000_000
NOTHING = "\N{EN DASH}"
"""Stands where there is no figure."""


class Said(NamedTuple):
    """A text, and how it is meant: ``good``, ``warn``, ``bad``, ``soft`` or nothing."""

    text: str
    tone: str = ""


def clock(time_ns: int) -> str:
    """
    Write a time to the second, UTC.

    >>> clock(1_700_000_000_000_000_000)
    '2023-11-14 22:13:20'
    """
    return datetime.fromtimestamp(time_ns // NANOSECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago(seconds: float) -> str:
    """
    Say how long ago something was.

    >>> [ago(seconds) for seconds in (0.4, 75, 7200, 200_000, -3)]
    ['just now', '1 min ago', '2 h ago', '2 d ago', 'in the future']
    """
    if seconds < -1.0:
        return "in the future"
    if seconds < 1.5:
        return "just now"
    for length, word in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= length:
            return f"{seconds // length:.0f} {word} ago"
    return "just now"


def size(count: float) -> str:
    """
    Write a count of bytes.

    >>> [size(count) for count in (12, 4_321, 5_000_000)]
    ['12 B', '4.3 kB', '5.0 MB']
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def value(number: float | None, spread: float | None) -> tuple[str, str]:
    """
    Write a value with as many digits as its uncertainty leaves it, and the uncertainty with two.

    >>> value(231.26481, 0.0513), value(8123.4, 16.2), value(1.5, None)
    (('231.265', '0.051'), ('8123', '16'), ('1.5', ''))
    """
    if number is None:
        return NOTHING, ""
    if spread is None or not spread > 0.0:
        return f"{number:.6g}", ""
    digits = max(0, 1 - _exponent(spread))
    return f"{number:.{digits}f}", f"{spread:.{digits}f}"


def duration(seconds: float) -> str:
    """
    Write a short time.

    >>> [duration(seconds) for seconds in (2.5e-6, 0.0031, 1.2)]
    ['2.5 µs', '3.1 ms', '1.2 s']
    """
    for scale, unit in ((1e-6, "µs"), (1e-3, "ms")):
        if seconds < scale * 1000:
            return f"{seconds / scale:.2g} {unit}" if seconds < scale * 100 else f"{seconds / scale:.0f} {unit}"
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds:.0f} s"


def _exponent(number: float) -> int:
    return int(f"{number:e}".partition("e")[2])
