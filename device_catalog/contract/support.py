"""
Help for a device from afar: what it may be asked for, what it answers, and who asked, when and why.

Two things may be asked. A *bundle* is one file about the device: its content is fixed by the agent, secrets are left
out there, and nobody who asks can change that. A *log tail* lets the lines of the agent's log come by the grid broker
for some minutes. Both stand as a wish in the desired document for as long as they are wanted (`SupportWish`), so that
nothing needs anybody's memory: the device begins when it reads one and ends by itself.
"""

import re
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.topics import is_identifier

SUPPORT = "/v1/support"
DEVICE_SUPPORT = "/v1/devices/{device}/support"
SUPPORT_REQUEST = "/v1/devices/{device}/support/{support}"
SUPPORT_FILE = "/v1/devices/{device}/support/{support}/file"
SUPPORT_LINES = "/v1/devices/{device}/support/{support}/lines"

MAXIMUM_BUNDLE = 16 * 1024 * 1024
"""Longest bundle [bytes]."""
BUNDLE_DAYS = 7.0
"""How long a bundle is waited for [d]: a device may be away for the weekend."""
LONGEST_TAIL = 3600.0
"""Longest log tail [s]."""
LONGEST_REASON = 300
"""[characters]"""

LINES = "log/1"
"""Schema of the messages of a log tail."""
LINES_AT_ONCE = 20
LONGEST_LINE = 500
"""Lines in one message at most, and where each is cut [characters]."""
LINES_PER_SECOND = 10.0
"""What a tail sends on average; what is beyond is counted."""
MOST_LINES = 5000
"""Of one tail that are kept."""

_digest = re.compile(r"[0-9a-f]{64}")


class LogLevel(StrEnum):
    """How grave a line must be to be told; each includes those after it."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A log tail that is wanted.

    Attributes
    ----------
    request : str
    level : LogLevel
    issued, until : datetime
        It lasts until then and no longer than this difference, whatever the device's clock says.
    """

    request: str
    level: LogLevel
    issued: datetime
    until: datetime


class SupportWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """
    What the catalog wants of a device; part of its desired document, outside the configuration.

    Attributes
    ----------
    bundle : str
        The request whose bundle is wanted; empty for none.
    logs : LogWish or None
    """

    bundle: str = ""
    logs: LogWish | None = None


class SupportKind(StrEnum):
    """What can be asked for."""

    BUNDLE = "bundle"
    LOGS = "logs"


class SupportWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What an operator asks for.

    Attributes
    ----------
    kind : SupportKind
    reason : str
        Why, for whoever reads the trail later.
    seconds : float
        How long a log tail lasts [s].
    level : LogLevel
    """

    kind: SupportKind
    reason: str = ""
    seconds: float = 600.0
    level: LogLevel = LogLevel.INFO


class BundleLabel(msgspec.Struct, frozen=True):
    """
    What a device says of the bundle that it made.

    Attributes
    ----------
    bytes : int
    sha256 : str
        Of the file, hexadecimal; empty where there is none.
    missing : dict
        What is not in it, and why.
    failed : str
        Why there is none; empty where there is one.
    """

    bytes: int
    sha256: str
    missing: dict[str, str] = {}
    failed: str = ""


class SupportEntry(msgspec.Struct, frozen=True):
    """
    A request as the catalog knows it.

    Attributes
    ----------
    request, device : str
    kind : SupportKind
    author, reason : str
        Who asked, and why.
    asked : datetime
    until : datetime
        When it ends by itself; of a bundle that is here, when it is dropped.
    state : str
        ``asked``, ``coming`` (a bundle under way), ``open`` (a log tail), ``here`` (a bundle), ``ended``, ``failed``.
    received, bytes : int
        How much has arrived, of how much [bytes]; of a log tail, lines.
    sha256 : str
    level : LogLevel or None
    missing : dict
    failed : str
    """

    request: str
    device: str
    kind: SupportKind
    author: str
    reason: str
    asked: datetime
    until: datetime
    state: str
    received: int = 0
    bytes: int = 0
    sha256: str = ""
    level: LogLevel | None = None
    missing: dict[str, str] = {}
    failed: str = ""


class SupportPage(msgspec.Struct, frozen=True):
    """Part of the list of requests, newest first, and the cursor of the next part; empty at the end."""

    items: tuple[SupportEntry, ...]
    next: str = ""


class LogLine(msgspec.Struct, frozen=True):
    """
    A line of a device's log, without secrets.

    Attributes
    ----------
    number : int
        Of this tail; what is missing between two was too much to be sent, or lost.
    time : str
        RFC 3339, UTC.
    level : LogLevel
    text : str
    """

    number: int
    time: str
    level: LogLevel
    text: str


class LogLines(msgspec.Struct, frozen=True):
    """
    Some lines of a log tail, oldest first.

    Attributes
    ----------
    items : tuple of LogLine
    open : bool
        Whether more may come.
    """

    items: tuple[LogLine, ...]
    open: bool


class BundleFile(msgspec.Struct, frozen=True):
    """A file inside a bundle: its name, length [bytes], SHA-256 and what it is."""

    name: str
    bytes: int
    sha256: str
    about: str


class BundleManifest(msgspec.Struct, frozen=True, tag_field="schema", tag="support-bundle/1"):
    """
    What is in a bundle, and what is not.

    Attributes
    ----------
    device : str
    made_ns : int
        By the device's clock [ns UTC].
    files : tuple of BundleFile
    missing : dict
        What could not be collected, and why.
    """

    device: str
    made_ns: int
    files: tuple[BundleFile, ...]
    missing: dict[str, str] = {}


def problems_of_wanted(wanted: SupportWanted) -> list[Problem]:
    """Find everything wrong with what an operator asks for."""
    problems = []
    if len(wanted.reason) > LONGEST_REASON or not wanted.reason.isprintable():
        expected = f"at most {LONGEST_REASON} printable characters"
        problems.append(Problem("support.reason", expected, shortened(wanted.reason)))
    if wanted.kind is SupportKind.LOGS and not 1.0 <= wanted.seconds <= LONGEST_TAIL:
        problems.append(Problem("support.seconds", f"1 to {LONGEST_TAIL:g} [s]", f"{wanted.seconds:g}"))
    return problems


def problems_of_label(label: BundleLabel) -> list[Problem]:
    """Find everything wrong with what a device says of a bundle."""
    problems: list[Problem] = []
    if label.failed:
        return problems
    if not 0 < label.bytes <= MAXIMUM_BUNDLE:
        problems.append(Problem("bundle.bytes", f"from 1 to {MAXIMUM_BUNDLE}", str(label.bytes)))
    if not _digest.fullmatch(label.sha256):
        problems.append(Problem("bundle.sha256", "64 hexadecimal digits", shortened(label.sha256)))
    return problems


def problems_of_wish(wish: SupportWish) -> list[Problem]:
    """Find everything wrong with a wish; a device heeds none that has any."""
    problems = []
    names = [wish.bundle] if wish.bundle else []
    if wish.logs is not None:
        names.append(wish.logs.request)
        life = (wish.logs.until - wish.logs.issued).total_seconds()
        if not 0.0 < life <= LONGEST_TAIL:
            problems.append(Problem("support.logs.until", f"at most {LONGEST_TAIL:g} s after issued", f"{life:g} s"))
    problems += [
        Problem("support", "names of letters, digits, _ and - (at most 64)", shortened(name))
        for name in names
        if not is_identifier(name)
    ]
    return problems


def ends_of(wanted: SupportWanted, asked: datetime) -> datetime:
    """Tell when a request ends by itself."""
    life = wanted.seconds if wanted.kind is SupportKind.LOGS else BUNDLE_DAYS * 86_400.0
    return asked + timedelta(seconds=life)
