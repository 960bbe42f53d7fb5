"""
What is said of a recorded event: beside the file on the meter, on the data broker, in the catalog and to its users.

The samples themselves are a COMTRADE file (IEEE C37.111-2013, one combined file); this is its label. A meter tells the
catalog of every recording, and hands the file over only when it is asked for. `problems_of` is what either side asks
before it believes a label.
"""

import math
import re
from datetime import datetime

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.records import Severity
from algorithms.api.wire import time_from_text
from device_catalog.contract.topics import is_identifier

CONTENT = "recording/1"
"""Schema of the result that announces a recording."""

FORMAT = "comtrade-2013-cff"

MAXIMUM_SIZE = 16 * 1024 * 1024
"""Longest recording [bytes]."""

MAXIMUM_LABEL = 64 * 1024
"""Longest label, written as JSON [bytes]."""

PART = 64 * 1024
"""What a meter hands over at a time [bytes]."""

MAXIMUM_WANTED = 100
"""Recordings that a device is asked for at once."""

_digest = re.compile(r"[0-9a-f]{64}")


class RecordedEvent(msgspec.Struct, frozen=True):
    """
    An event inside a recording.

    Attributes
    ----------
    kind : str
    severity : Severity
    start : str
        RFC 3339, UTC with nanoseconds.
    end : str or None
        None where it was not told.
    phases : tuple of str
    """

    kind: str
    severity: Severity
    start: str
    end: str | None = None
    phases: tuple[str, ...] = ()


class RecordingInfo(msgspec.Struct, frozen=True):
    """
    The label of a recording.

    Attributes
    ----------
    id : str
        Unique on its device, and in the order of time.
    device, terminal : str
    kind : str
        Of the event that triggered it; ``request`` where somebody asked.
    severity : Severity
        The highest of its events.
    trigger, start : str
        When the event began, and the time of the first sample: RFC 3339, UTC with nanoseconds.
    duration : float
        [s]
    sample_rate : float
        [Hz]
    channels : tuple of str
    samples, missing : int
        Per channel, and how many of these no source delivered or nobody could read in time.
    lacks : tuple of str
        What is not there of what was wanted: ``beginning``, ``end`` or ``samples``.
    time_uncertainty : float
        Standard uncertainty of the time stamps, the largest of all [s].
    synchronised : bool
        Whether the clock was known to follow UTC all the time.
    bytes : int
        Of the file.
    sha256 : str
        Of the file, hexadecimal.
    events : tuple of RecordedEvent
    format : str
    """

    id: str
    device: str
    terminal: str
    kind: str
    severity: Severity
    trigger: str
    start: str
    duration: float
    sample_rate: float
    channels: tuple[str, ...]
    samples: int
    missing: int
    lacks: tuple[str, ...]
    time_uncertainty: float
    synchronised: bool
    bytes: int
    sha256: str
    events: tuple[RecordedEvent, ...] = ()
    format: str = FORMAT


class RecordingEntry(msgspec.Struct, frozen=True):
    """
    A recording as the catalog knows it.

    Attributes
    ----------
    info : RecordingInfo
    state : str
        ``on-device``, ``requested``, ``here`` (the catalog has the file), or ``gone`` (nobody has it).
    received : int
        How much of a requested file has arrived [bytes].
    told : datetime
        When the device told of it.
    """

    info: RecordingInfo
    state: str
    received: int
    told: datetime


class RecordingPage(msgspec.Struct, frozen=True):
    """Part of the list of recordings, newest first, and the cursor of the next part; empty at the end."""

    items: tuple[RecordingEntry, ...]
    next: str = ""


class Received(msgspec.Struct, frozen=True):
    """
    The answer to a part of a file: where to go on.

    Attributes
    ----------
    received : int
        [bytes]
    complete : bool
    """

    received: int
    complete: bool = False


def problems_of(info: RecordingInfo, device: str, name: str) -> list[Problem]:
    """Find everything wrong with what `device` says of its recording `name`."""
    problems = []

    def expect(right: bool, where: str, expected: str, found: object) -> None:
        if not right:
            problems.append(Problem(f"recording.{where}", expected, shortened(found)))

    expect(info.device == device, "device", device, info.device)
    expect(info.id == name, "id", name, info.id)
    for where in ("id", "kind"):
        expect(
            is_identifier(getattr(info, where)), where, "letters, digits, _ and - (at most 64)", getattr(info, where)
        )
    for where in ("trigger", "start"):
        expect(_is_time(getattr(info, where)), where, "an RFC 3339 time", getattr(info, where))
    expect(len(info.terminal) <= 128, "terminal", "at most 128 characters", info.terminal)
    expect(bool(_digest.fullmatch(info.sha256)), "sha256", "64 hexadecimal digits", info.sha256)
    expect(0 < info.bytes <= MAXIMUM_SIZE, "bytes", f"from 1 to {MAXIMUM_SIZE}", info.bytes)
    for where in ("duration", "sample_rate", "time_uncertainty"):
        value = getattr(info, where)
        expect(math.isfinite(value) and value >= 0, where, "a finite number, 0 or more", value)
    expect(info.format == FORMAT, "format", FORMAT, info.format)
    length = len(msgspec.json.encode(info))
    expect(length <= MAXIMUM_LABEL, "events", f"a label of at most {MAXIMUM_LABEL} bytes", f"{length} bytes")
    return problems


def _is_time(text: str) -> bool:
    try:
        time_from_text(text)
    except ValueError:
        return False
    return True
