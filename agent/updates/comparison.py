"""
Two versions' records laid side by side: pure.

Where it stands: `shadow` hands over what the version in force and its shadow make; what comes of it is reported. Pairs
are of one series and one time (`turn.series_and_time`). A number differs where it is off by more than the standard
uncertainty that stands beside it, or, where none does, by more than a millionth of itself; an angle is taken around the
circle. Everything that waits for its counterpart has a limit, and of many pairs that are not the same only some are
looked into, so that comparing never costs what the algorithms themselves do.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from agent.updates.turn import SAME_EVENT_NS, Series, series_and_time
from algorithms.api.records import Record

RELATIVE = 1e-6
"""Difference of a number without uncertainty, in proportion to it, that is none [1]."""

RELATIVE_UNCERTAINTY = 0.01
"""And of an uncertainty [1]."""

PATIENCE = 30.0
"""A record waits for its counterpart so long [s]."""

WAITING = 500
"""And so many of each series wait at most."""

SERIES = 200
"""Series that are followed at most; a version that invents more differs anyway."""

LOOKED_INTO = 20.0
"""Pairs a second that are looked into, on average, where they are not the same."""


class Verdict(msgspec.Struct):
    """
    What came of comparing, as in `ShadowReport`.

    Attributes
    ----------
    compared, differing, missing, extra : int
    largest : float
    where : str
    """

    compared: int = 0
    differing: int = 0
    missing: int = 0
    extra: int = 0
    largest: float = 0.0
    where: str = ""


class Comparison:
    """
    What two versions make, and how much it differs.

    Parameters
    ----------
    now : float
        Monotonic time [s].

    Attributes
    ----------
    verdict : Verdict
    """

    def __init__(self, now: float) -> None:
        self.verdict = Verdict()
        self._waiting: dict[Series, tuple[_Row, _Row]] = {}
        self._begun: tuple[dict[Series, int], dict[Series, int]] = ({}, {})
        self._credit, self._credit_at = LOOKED_INTO, now

    def in_force(self, records: Sequence[Record], now: float) -> None:
        """Take what the version in force made, at monotonic time `now` [s]."""
        for record in records:
            self._take(record, 0, now)

    def shadow(self, records: Sequence[Record], now: float) -> None:
        """Take what its shadow made."""
        for record in records:
            self._take(record, 1, now)

    def expire(self, now: float) -> None:
        """Give up waiting for what did not come."""
        for series, rows in self._waiting.items():
            for side, row in enumerate(rows):
                while row and (row[0][2] < now - PATIENCE or len(row) > WAITING):
                    time_ns, _, _ = row.popleft()
                    self._alone(series, time_ns, side)

    def _take(self, record: Record, side: int, now: float) -> None:
        series, time_ns = series_and_time(record)
        if len(self._begun[side]) < SERIES:
            self._begun[side].setdefault(series, time_ns)
        if series not in self._waiting and len(self._waiting) >= SERIES:
            self._alone(series, time_ns, side)
            return
        rows = self._waiting.setdefault(series, (deque(), deque()))
        margin = SAME_EVENT_NS if series[0] == "event" else 0
        theirs = rows[1 - side]
        while theirs and theirs[0][0] < time_ns - margin:
            self._alone(series, theirs.popleft()[0], 1 - side)
        if theirs and abs(theirs[0][0] - time_ns) <= margin:
            other = theirs.popleft()[1]
            self._compare(*((record, other) if side == 0 else (other, record)), now)
            return
        rows[side].append((time_ns, record, now))
        if len(rows[side]) > WAITING:
            self._alone(series, rows[side].popleft()[0], side)

    def _alone(self, series: Series, time_ns: int, side: int) -> None:
        """Count a record without counterpart, unless the other one's first came later: it was not there yet."""
        if time_ns < self._begun[1 - side].get(series, time_ns):
            return
        if side == 1:
            self.verdict.extra += 1
        else:
            self.verdict.missing += 1

    def _compare(self, first: Record, second: Record, now: float) -> None:
        if first == second:
            self.verdict.compared += 1
            return
        self._credit = min(LOOKED_INTO, self._credit + (now - self._credit_at) * LOOKED_INTO)
        self._credit_at = now
        if self._credit < 1.0:
            return
        self._credit -= 1.0
        self.verdict.compared += 1
        found = max(differences(first, second), default=None)
        if found is not None:
            self.verdict.differing += 1
            if found[0] > self.verdict.largest:
                self.verdict.largest, self.verdict.where = found


_Row = deque[tuple[int, Record, float]]


def differences(first: Any, second: Any) -> Iterator[tuple[float, str]]:
    """
    List what differs, in proportion to it, and where.

    Parameters
    ----------
    first, second : records, or parts of them

    Examples
    --------
    >>> from algorithms.api.readings import Estimate
    >>> list(differences(Estimate(50.0, 0.01), Estimate(50.005, 0.01)))
    []
    >>> list(differences({"energy": {"in": 10.0}}, {"energy": {"in": 5.0}}))
    [(0.5, 'energy.in')]
    """
    yield from _differences(first, second, "", None)


def _differences(first: Any, second: Any, where: str, sigma: float | None) -> Iterator[tuple[float, str]]:
    if isinstance(first, msgspec.Struct) and type(first) is type(second):
        yield from _parts(msgspec.structs.asdict(first), msgspec.structs.asdict(second), where)
    elif isinstance(first, dict) and isinstance(second, dict):
        yield from _parts(first, second, where)
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple):
        if len(first) != len(second):
            yield 1.0, where
            return
        for one, other in zip(first, second, strict=True):
            yield from _differences(one, other, where, None)
    elif _is_number(first) and _is_number(second):
        yield from _numbers(float(first), float(second), where, sigma)
    elif first != second:
        yield 1.0, where


def _parts(first: Mapping[str, Any], second: Mapping[str, Any], where: str) -> Iterator[tuple[float, str]]:
    for name in {**first, **second}:
        path = f"{where}.{name}" if where else str(name)
        if name not in first or name not in second:
            yield 1.0, path
        else:
            yield from _differences(first[name], second[name], path, _sigma_of(first, name))


def _sigma_of(fields: Mapping[str, Any], name: str) -> float | None:
    for beside in (f"u_{name}", f"{name}_uncertainty", "uncertainty" if name == "value" else ""):
        sigma = fields.get(beside) if beside else None
        if isinstance(sigma, int | float):
            return float(sigma)
    return None


def _numbers(first: float, second: float, where: str, sigma: float | None) -> Iterator[tuple[float, str]]:
    last = where.rpartition(".")[2]
    is_angle = last == "angle"
    off = abs(math.remainder(first - second, math.tau)) if is_angle else abs(first - second)
    size = 1.0 if is_angle else max(abs(first), abs(second))
    if last in ("start_ns", "end_ns"):
        allowed = float(SAME_EVENT_NS)
    elif sigma is not None:
        allowed = max(sigma, RELATIVE * size)
    else:
        is_uncertainty = last.startswith("u_") or last.endswith("uncertainty")
        allowed = (RELATIVE_UNCERTAINTY if is_uncertainty else RELATIVE) * size
    if not off <= allowed:
        yield (off / size if size and math.isfinite(off) else 1.0), where


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
