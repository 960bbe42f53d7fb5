"""Reading messages of a log tail: what a device may say there, and nothing else. Pure."""

from typing import Any

from algorithms.api.errors import WireError, shortened
from algorithms.api.records import Result
from algorithms.api.wire import decode_as, time_from_text
from device_catalog.contract.support import LINES, LINES_AT_ONCE, LONGEST_LINE, LogLevel, LogLine
from device_catalog.contract.topics import is_identifier

LONGEST = 64 * 1024
"""[bytes]"""
_levels = {level.value for level in LogLevel}


class Told:
    """
    One message of a log tail.

    Attributes
    ----------
    device, request : str
    lines : tuple of LogLine
    ended : bool
        Whether nothing more comes.
    """

    __slots__ = ("device", "ended", "lines", "request")

    def __init__(self, device: str, request: str, lines: tuple[LogLine, ...], *, ended: bool) -> None:
        self.device, self.request, self.lines, self.ended = device, request, lines, ended


def read_lines(topic: str, payload: bytes) -> Told:
    """
    Read a message.

    Raises
    ------
    WireError
        When it is none, or not that of the device whose topic it came by.
    """
    header, record = decode_as({"result/1": Result}, payload, LONGEST)
    parts = topic.split("/")
    if len(parts) != 5 or header.device != parts[3] or record.content != LINES:
        raise WireError(f"expected lines of the device of {shortened(topic)}, found {shortened(record.content)}")
    request, rows = record.payload.get("request"), record.payload.get("lines")
    if not isinstance(request, str) or not is_identifier(request) or not isinstance(rows, list):
        raise WireError("expected the request that is answered, and lines, found something else")
    lines = tuple(_line(row) for row in rows[:LINES_AT_ONCE])
    return Told(header.device, request, lines, ended=record.payload.get("ended") is True)


def _line(row: Any) -> LogLine:
    if not isinstance(row, list) or len(row) != 4:
        raise WireError(f"expected a line as number, time, level and text, found {shortened(row)}")
    number, time, level, text = row
    right = isinstance(number, int) and 0 < number < 2**53 and isinstance(time, str) and isinstance(text, str)
    if not right or level not in _levels:
        raise WireError(f"expected a line as number, time, level and text, found {shortened(row)}")
    try:
        time_from_text(time)
    except ValueError as error:
        raise WireError(f"expected the time of a line, found {shortened(time)}") from error
    return LogLine(number, time, LogLevel(level), shortened(text, LONGEST_LINE))
