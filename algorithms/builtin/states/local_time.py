"""
Local time by a rule that says when summer time begins and ends, as IEEE Std 1003.1 (POSIX) writes it in ``TZ``.

Where it stands: `state_settings` reads the setting `time_zone` with it; `state_forecast` asks it what time of day a
profile is at.

Rules:

- An algorithm reads no files, so names such as ``Europe/Berlin`` mean nothing here: the same settings must give the
  same results on every machine, whatever its time-zone data say. The rule of a zone is the last line of its file,
  ``tail -n 1 /usr/share/zoneinfo/Europe/Berlin`` (RFC 8536, 3.3).
- A rule says how it goes on; what a zone did in former years, or does in single ones by decree, is not in it.
- The sign is POSIX's, positive to the west: ``CET-1`` is ahead of UTC by an hour.

References
----------
IEEE Std 1003.1-2017, 8.3 (``TZ``); RFC 8536, 3.3.1 (hours from -167 to 167).
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

HOUR, DAY = 3600, 86_400
_NAME = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_OFFSET = r"[+-]?\d{1,2}(?::\d{2}){0,2}"
_TIME = r"[+-]?\d{1,3}(?::\d{2}){0,2}"
_DAY = r"(?:M\d{1,2}\.\d\.\d|J\d{1,3}|\d{1,3})"
_CHANGE = rf"({_DAY})(?:/({_TIME}))?"
_ZONE = re.compile(rf"{_NAME}({_OFFSET})(?:{_NAME}({_OFFSET})?,{_CHANGE},{_CHANGE})?")
_EXPECTED = "a rule such as CET-1CEST,M3.5.0,M10.5.0/3"


@dataclass(frozen=True, slots=True)
class Change:
    """
    A day of each year, and a time on it.

    Attributes
    ----------
    kind : str
        ``M``: a weekday of a month; ``J``: a day of a year whose 29 February is not counted; else a day from 0 on.
    day : tuple of int
        Month, week (5: the last) and weekday from Sunday, or the day alone.
    time : int
        After midnight [s].
    """

    kind: str
    day: tuple[int, ...]
    time: int

    def in_year(self, year: int) -> int:
        """Give the local time of the change [s since the epoch]."""
        if self.kind == "M":
            month, week, weekday = self.day
            first = date(year, month, 1)
            found = first + timedelta(days=(weekday - first.isoweekday()) % 7 + 7 * (week - 1))
            if found.month != month:  # a month may have no fifth one
                found -= timedelta(days=7)
        else:
            number = self.day[0]
            leap = date(year, 12, 31) - date(year, 1, 1) == timedelta(days=365)
            past = number - (0 if self.kind == "J" and leap and number > 59 else self.kind == "J")
            found = date(year, 1, 1) + timedelta(days=past)
        return (found - date(1970, 1, 1)).days * DAY + self.time


@dataclass(frozen=True, slots=True)
class LocalTime:
    """
    How far local time is ahead of UTC.

    Attributes
    ----------
    standard, summer : int
        Ahead of UTC [s].
    changes : tuple of Change
        To summer time, then back; empty where there is none.
    """

    standard: int
    summer: int = 0
    changes: tuple[Change, ...] = ()

    def offset(self, utc: float) -> int:
        """
        Give how far local time is ahead at an instant [s].

        Parameters
        ----------
        utc : float
            Since the epoch [s].

        Examples
        --------
        >>> berlin = read_local_time("CET-1CEST,M3.5.0,M10.5.0/3")
        >>> [berlin.offset(instant) // 3600 for instant in (1_767_225_600, 1_782_864_000)]  # 1 January, 1 July 2026
        [1, 2]
        """
        if not self.changes:
            return self.standard
        year = datetime.fromtimestamp(utc + self.standard, UTC).year
        begins = self.changes[0].in_year(year) - self.standard
        ends = self.changes[1].in_year(year) - self.summer
        in_summer = begins <= utc < ends if begins < ends else not ends <= utc < begins
        return self.summer if in_summer else self.standard


def read_local_time(text: str) -> LocalTime:
    """
    Read a rule.

    Raises
    ------
    ValueError
        When it is none: what was expected, and what to do.
    """
    match = _ZONE.fullmatch(text) if len(text) <= 100 else None
    if match is None:
        remedy = ""
        if re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", text[:100]):
            remedy = f"; the rule of a zone is what `tail -n 1 /usr/share/zoneinfo/{text[:60]}` prints"
        raise ValueError(f"expected {_EXPECTED}{remedy}")
    standard = -_seconds(match[1])
    if match[3] is None:
        return _bounded(LocalTime(standard))
    summer = standard + HOUR if match[2] is None else -_seconds(match[2])
    return _bounded(LocalTime(standard, summer, (_change(match[3], match[4]), _change(match[5], match[6]))))


def _bounded(rule: LocalTime) -> LocalTime:
    if max(abs(rule.standard), abs(rule.summer)) >= DAY:
        raise ValueError(f"expected {_EXPECTED}, less than a day from UTC")
    return rule


def _seconds(text: str) -> int:
    """Read hours, minutes and seconds."""
    parts = [int(part) for part in text.lstrip("+-").split(":")]
    size = sum(part * unit for part, unit in zip(parts, (HOUR, 60, 1), strict=False))
    return -size if text.startswith("-") else size


def _change(day: str, time: str | None) -> Change:
    kind = day[0] if day[0] in "MJ" else ""
    numbers = tuple(int(part) for part in day.removeprefix(kind).split("."))
    bounds = {"M": ((1, 12), (1, 5), (0, 6)), "J": ((1, 365),), "": ((0, 365),)}[kind]
    if not all(low <= number <= high for number, (low, high) in zip(numbers, bounds, strict=True)):
        raise ValueError(f"expected {_EXPECTED}, whose day is one of a year; {day} is none")
    seconds = 2 * HOUR if time is None else _seconds(time)
    if abs(seconds) > 167 * HOUR:
        raise ValueError(f"expected {_EXPECTED}, whose time is at most 167 hours; {time} is more")
    return Change(kind, numbers, seconds)
