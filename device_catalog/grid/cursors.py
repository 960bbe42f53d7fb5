"""Cursors of lists that go by time, newest first: the time of the last entry [ns UTC], and what names it."""

from algorithms.api.errors import Problem, shortened
from device_catalog.errors import Refused


def time_and_name(cursor: str) -> tuple[int, str]:
    """
    Read a cursor.

    >>> time_and_name("1700000000000000000.m-1.r-7")
    (1700000000000000000, 'm-1.r-7')

    Raises
    ------
    Refused
        When it is none.
    """
    start, _, name = cursor.partition(".")
    digits = start.removeprefix("-")
    number = int(start) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
    if number is None or not -(2**63) <= number < 2**63:
        raise no_cursor(cursor)
    return number, name


def no_cursor(cursor: str) -> Refused:
    """Say that this is none."""
    return Refused([Problem("query.cursor", "a cursor that a list ended with", shortened(cursor))])
