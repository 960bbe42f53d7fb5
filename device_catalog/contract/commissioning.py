"""
What a meter hands in when an installer has finished with it: the commissioning record, and its signature.

The meter writes down what it read, how it judged that, what runs on it and what the installer said, as one JSON text,
and signs that text with the key of its certificate. Catalog and operators keep and verify the text as it came; the
report on paper (PDF) is made from it. A signature begins with words of its own (`PURPOSE`), since the same key also
opens connections. Bytes only, no cryptography; `problems_of` is what either side asks before it believes a record.
"""

import hashlib
import math
import re
from datetime import datetime
from enum import StrEnum

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.readings import ChannelReading, Estimate, PowerReading
from algorithms.api.wire import time_from_text
from device_catalog.contract.topics import is_identifier

COMMISSIONINGS = "/v1/devices/{device}/commissionings"
COMMISSIONING = "/v1/devices/{device}/commissionings/{number}"
COMMISSIONING_REPORT = "/v1/devices/{device}/commissionings/{number}/report"

PURPOSE = b"tresma commissioning record 1\n"
"""What is signed before the text."""

MAXIMUM_RECORD = 64 * 1024
"""Longest record, as text [bytes]."""

MAXIMUM_SIGNED = 96 * 1024
"""Longest record with its signature and certificate [bytes]."""

MAXIMUM_TEXT = 200
"""Longest name, place or note [characters]."""

MAXIMUM_LINES = 64
"""Most verdicts."""

_phase = re.compile(r"[ABCN]|total")


class Answer(StrEnum):
    """What a commissioning came to."""

    PASSED = "passed"
    INCOMPLETE = "incomplete"
    """Nothing is wrong, but something could not be judged."""
    FAILED = "failed"


class VerdictLine(msgspec.Struct, frozen=True):
    """
    One thing that was looked at.

    Attributes
    ----------
    item : str
    verdict : str
        ``ok``, ``warning``, ``failed`` or ``not judged``.
    found, remedy : str
    """

    item: str
    verdict: str
    found: str
    remedy: str = ""


class CommissioningRecord(msgspec.Struct, frozen=True, tag_field="schema", tag="commissioning/1"):
    """
    What a meter says of its own commissioning.

    Attributes
    ----------
    device, terminal : str
    made : str
        RFC 3339, UTC with nanoseconds, by the meter's clock.
    synchronised : bool
        Whether that clock was known to follow UTC.
    time_uncertainty : float or None
        Its standard uncertainty [s]; None where unknown.
    installer, place, note : str
        As the installer wrote them.
    answer : Answer
    verdicts : tuple of VerdictLine
    nominal_voltage, nominal_frequency : float
        Phase to neutral [V], [Hz].
    frequency : Estimate or None
        [Hz]
    voltage, current : dict
        `ChannelReading` by phase, angles against phase A's voltage [V], [A], [rad].
    power : dict
        `PowerReading` by phase, and ``total``.
    window : float
        Length of the observation that the readings are of [s].
    source : str
        What samples, and how fast.
    channels : tuple of str
        Each channel with its input and ratio.
    software : dict
        Versions by name.
    applied_revision, boot : int
    """

    device: str
    terminal: str
    made: str
    synchronised: bool
    time_uncertainty: float | None
    installer: str
    place: str
    note: str
    answer: Answer
    verdicts: tuple[VerdictLine, ...]
    nominal_voltage: float = 0.0
    nominal_frequency: float = 0.0
    frequency: Estimate | None = None
    voltage: dict[str, ChannelReading] = {}
    current: dict[str, ChannelReading] = {}
    power: dict[str, PowerReading] = {}
    window: float = 0.0
    source: str = ""
    channels: tuple[str, ...] = ()
    software: dict[str, str] = {}
    applied_revision: int = 0
    boot: int = 0


class SignedRecord(msgspec.Struct, frozen=True, tag_field="schema", tag="signed-commissioning/1"):
    """
    A record as it travels and is kept.

    Attributes
    ----------
    record : str
        The JSON text of a `CommissioningRecord`, which is what was signed.
    signature : str
        Over `PURPOSE` and the text, base64: ECDSA with SHA-256 (DER), or Ed25519, by the key of the certificate.
    certificate : str
        The meter's, and those between it and the catalog's authorities, PEM.
    """

    record: str
    signature: str
    certificate: str


class CommissioningEntry(msgspec.Struct, frozen=True):
    """
    A record as the catalog knows it.

    Attributes
    ----------
    device : str
    number : int
        Counts the device's records from 1.
    received : datetime
        By the catalog's clock.
    sha256 : str
        Of the record's text, hexadecimal.
    certificate : str
        SHA-256 of the certificate that signed it, hexadecimal.
    record : CommissioningRecord
    """

    device: str
    number: int
    received: datetime
    sha256: str
    certificate: str
    record: CommissioningRecord


class CommissioningPage(msgspec.Struct, frozen=True):
    """All records of a device, the newest first."""

    items: tuple[CommissioningEntry, ...]


class Kept(msgspec.Struct, frozen=True):
    """The answer to a record: under which number it is kept, and its digest."""

    number: int
    sha256: str


def signed_bytes(record: str) -> bytes:
    """Write what is signed of a record's text."""
    return PURPOSE + record.encode()


def digest_of(record: str) -> str:
    """Name a record by its text."""
    return hashlib.sha256(record.encode()).hexdigest()


def read_record(text: str) -> CommissioningRecord:
    """
    Read a record's text.

    Raises
    ------
    ValueError
        When it is none.
    """
    try:
        return msgspec.json.decode(text, type=CommissioningRecord)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"expected a commissioning record, found {shortened(str(error), 200)}") from error


def problems_of(record: CommissioningRecord, device: str) -> list[Problem]:
    """Find everything wrong with what `device` says of its commissioning."""
    problems = []

    def expect(right: bool, where: str, expected: str, found: object) -> None:
        if not right:
            problems.append(Problem(f"record.{where}", expected, shortened(found)))

    expect(record.device == device, "device", device, record.device)
    expect(_is_time(record.made), "made", "an RFC 3339 time", record.made)
    for name in ("installer", "place"):
        text = getattr(record, name)
        expect(0 < len(text.strip()) <= MAXIMUM_TEXT, name, f"1 to {MAXIMUM_TEXT} characters", text)
    for name in ("note", "terminal", "source"):
        expect(len(getattr(record, name)) <= MAXIMUM_TEXT, name, f"at most {MAXIMUM_TEXT} characters", "more")
    expect(0 < len(record.verdicts) <= MAXIMUM_LINES, "verdicts", f"1 to {MAXIMUM_LINES}", len(record.verdicts))
    expect(len(record.channels) <= MAXIMUM_LINES, "channels", f"at most {MAXIMUM_LINES}", len(record.channels))
    expect(len(record.software) <= MAXIMUM_LINES, "software", f"at most {MAXIMUM_LINES}", len(record.software))
    for name in record.software:
        expect(is_identifier(name), "software", "names of letters, digits, _ and -", name)
    for kind in ("voltage", "current", "power"):
        for phase, reading in getattr(record, kind).items():
            expect(bool(_phase.fullmatch(phase)), kind, "phases A, B, C, N or total", phase)
            numbers = [one for one in msgspec.structs.astuple(reading) if one is not None]
            expect(all(map(math.isfinite, numbers)), f"{kind}.{phase}", "finite numbers", numbers)
    failed = any(line.verdict == "failed" for line in record.verdicts)
    expect(
        not (failed and record.answer is not Answer.FAILED), "answer", "failed, as one of its verdicts", record.answer
    )
    return problems


def _is_time(text: str) -> bool:
    try:
        time_from_text(text)
    except ValueError:
        return False
    return True
