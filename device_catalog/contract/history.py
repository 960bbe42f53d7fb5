"""
What the catalog answers of the measurement history: records as they were said, or steps of time summed up.

Times are RFC 3339, UTC with nanoseconds, as text. The names of numbers are those of `device_catalog.history.fields`:
``frequency``, ``voltage.A.rms``, ``power.total.p``; beside each stands its uncertainty as ``u_…`` (1 sigma).
"""

from typing import Any

import msgspec


class HistoryRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    One record.

    Attributes
    ----------
    time : str
        Of the record itself; when an event began.
    boot, number : int
        Which of its device's messages it was.
    name : str
        Level and area of a state, schema of a result; empty for the others.
    record : dict or None
        As it was said, without its header; None where fields were asked for.
    values : dict
        The fields that were asked for, as far as the record has them.
    """

    time: str
    boot: int
    number: int
    name: str = ""
    record: dict[str, Any] | None = None
    values: dict[str, float] = {}


class Summary(msgspec.Struct, frozen=True):
    """
    One number over one step.

    Attributes
    ----------
    mean, minimum, maximum : float
        In the unit of the field.
    uncertainty : float or None
        Standard uncertainty of the mean, 1 sigma; None where the readings tell none.
    count : int
        Readings.
    """

    mean: float
    minimum: float
    maximum: float
    uncertainty: float | None
    count: int


class HistoryStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step of time that begins at `time`: how many records it has, and each of their numbers summed up."""

    time: str
    records: int
    values: dict[str, Summary]
    name: str = ""


class HistoryPage(msgspec.Struct, frozen=True):
    """
    Part of a device's history, oldest first.

    Attributes
    ----------
    device, content : str
    step : int
        Length of a step [s]; 0 for records.
    records : tuple of HistoryRecord
        Where no steps were asked for.
    steps : tuple of HistoryStep
    next : str
        Cursor of the next part; empty at the end.
    """

    device: str
    content: str
    step: int = 0
    records: tuple[HistoryRecord, ...] = ()
    steps: tuple[HistoryStep, ...] = ()
    next: str = ""


class KeptSeries(msgspec.Struct, frozen=True):
    """
    What is kept of one series of a device.

    Attributes
    ----------
    content, name : str
    first, last : str
        Times of the oldest and the newest record.
    records, bytes : int
        Records, and the room of those that are packed; what came within the last minutes is not.
    minutes, minutes_bytes : int
        One-minute sums that are packed, and their room.
    """

    content: str
    name: str
    first: str
    last: str
    records: int
    bytes: int
    minutes: int
    minutes_bytes: int


class DeviceHistory(msgspec.Struct, frozen=True):
    """Everything that is kept of a device."""

    device: str
    series: tuple[KeptSeries, ...]


class HistoryStatus(msgspec.Struct, frozen=True):
    """
    How the history is doing.

    Attributes
    ----------
    kept : bool
        Whether there is one at all.
    bytes : int
        What it takes on its disk.
    counts : dict
        Since it was made: ``kept``, ``duplicate``, ``gaps`` (messages that name one before them that did not come),
        not kept: ``malformed``, ``misplaced``, ``future``, ``absurd`` (a number that nothing measures), ``outdated``,
        ``crowded`` (too many names of one device), ``overfull`` (too much within one stretch of time); dropped:
        ``expired.CLASS``, ``no_room.CLASS``; ``set_aside``: stretches that could not be packed;
        handed on: ``sink.sent``, ``sink.gap``, ``sink.refused``, ``sink.retries``.
    """

    kept: bool
    bytes: int = 0
    counts: dict[str, int] = {}
