"""
What numbers and texts a report may hold, judged where it comes in (pure).

Whatever is counted is 0 at least and fits where it is kept; a number out of its bounds is refused, with its place.
Texts are made fit instead: they quote algorithms and libraries, and nobody's last words may silence a device.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from algorithms.api.errors import Problem

LARGEST_COUNT = 2**53 - 1
"""Exact in every reader of JSON."""
LARGEST_RESTARTS = 2**31 - 1
LARGEST_BOOT = 2**63 - 1
MAXIMUM_TEXT = 4096
"""Characters of one text; what is longer is cut."""

_own = {"restarts": LARGEST_RESTARTS, "boot": LARGEST_BOOT}
_unprintable = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def problems_of(report: msgspec.Struct, where: str = "reported") -> list[Problem]:
    """
    Find the numbers of a report that are out of bounds.

    Parameters
    ----------
    report : Struct
        A `Reported`, or a part of one.
    where : str
        Its place, for the problems.
    """
    return list(_out_of_bounds(report, where, ""))


def printable(value: Any) -> Any:
    r"""
    Make the texts of a document read from JSON fit to be kept and shown: no control characters, bounded length.

    >>> printable({"reason": "no\0reason", "restarts": 3})
    {'reason': 'no�reason', 'restarts': 3}
    """
    if isinstance(value, dict):
        return {name: printable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [printable(item) for item in value]
    if isinstance(value, str):
        return _unprintable.sub("\N{REPLACEMENT CHARACTER}", value[:MAXIMUM_TEXT])
    return value


def _out_of_bounds(value: Any, where: str, name: str) -> Iterator[Problem]:
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _out_of_bounds(getattr(value, field), f"{where}.{field}", field)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _out_of_bounds(item, f"{where}.{key[:80]}", key)
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _out_of_bounds(item, f"{where}[{number}]", name)
    elif isinstance(value, int | float):
        most = _own.get(name, LARGEST_COUNT) if isinstance(value, int) else sys.float_info.max
        if not 0 <= value <= most:
            found = f"{value:.6g}" if -sys.float_info.max <= value <= sys.float_info.max else "more"
            yield Problem(where, f"a number from 0 to {most:.16g}", found)
