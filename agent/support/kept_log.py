"""
The agent's own log, remembered: its last lines in memory, and on the card where nothing else keeps them.

Where it stands: a handler beside the one that says lines to the journal. Whoever wants them (`desk`, for a tail or a
bundle) reads by number. `LogFile` writes what is new to two small files in turn, from whatever thread it is called by:
never in a line's own path, never synchronised, a stated number of bytes an hour. What a power cut takes is a few
seconds; the journal, where there is one, has them.
"""

import contextlib
import logging
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from agent.support.scrubbing import Scrubber
from algorithms.api.errors import printable
from algorithms.api.wire import time_text

LINES = 2000
"""Lines kept in memory."""
LONGEST_LINE = 2000
"""A line is cut at this length [characters]."""
FILE_SIZE = 256 * 1024
"""Of each of the two files [bytes]."""
PER_HOUR = 64 * 1024
"""Most that goes onto the card in an hour [bytes]; what is beyond is counted."""

NAMES = ("agent.log", "agent.log.before")
"""The files, the newer one first."""


class Line(NamedTuple):
    """
    A line of the log.

    Attributes
    ----------
    number : int
        Grows by one with each line of this start.
    time_ns : int
        [ns UTC]
    level : int
        As of `logging`.
    text : str
        Without secrets.
    """

    number: int
    time_ns: int
    level: int
    text: str


class KeptLog(logging.Handler):
    """
    Remembers the last lines.

    Parameters
    ----------
    scrubber : Scrubber
    lines : int
        How many.
    """

    def __init__(self, scrubber: Scrubber, lines: int = LINES) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._scrubber = scrubber
        self._lines: deque[Line] = deque(maxlen=lines)
        self._number = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a line; one that cannot be written down costs nobody anything."""
        try:
            text = printable(self._scrubber.text(self.format(record)))
        except Exception:  # noqa: BLE001 - a line with the wrong number of arguments; logging itself says so
            self.handleError(record)
            return
        self._number += 1
        self._lines.append(Line(self._number, int(record.created * 1e9), record.levelno, text[:LONGEST_LINE]))

    @property
    def last(self) -> int:
        """Number of the newest line; 0 before the first."""
        return self._number

    def after(self, number: int, level: int = logging.NOTSET) -> list[Line]:
        """Give the lines after one, at or above a level, oldest first."""
        return [line for line in tuple(self._lines) if line.number > number and line.level >= level]


class LogFile:
    """
    Two small files that hold the newest lines.

    Parameters
    ----------
    folder : pathlib.Path
        Made with the first line.
    log : KeptLog
    """

    def __init__(self, folder: Path, log: KeptLog) -> None:
        self._folder = folder
        self._log = log
        self._written = 0
        self._hour = 0.0
        self._bytes = 0
        self._withheld = 0

    def write(self) -> None:
        """Write what is new; a card that cannot be written is no reason to stop."""
        new = self._log.after(self._written)
        if not new:
            return
        self._written = new[-1].number
        content = "".join(map(written, new)).encode()
        now = time.monotonic()
        if now - self._hour >= 3600.0 or not self._hour:
            told = f"{self._withheld} bytes of the last hour were too much to keep\n" if self._withheld else ""
            content = told.encode() + content
            self._hour, self._bytes, self._withheld = now, 0, 0
        if self._bytes + len(content) > PER_HOUR:
            self._withheld += len(content)
            return
        self._bytes += len(content)
        with contextlib.suppress(OSError):
            self._append(content)

    def _append(self, content: bytes) -> None:
        current, before = (self._folder / name for name in NAMES)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if current.stat().st_size + len(content) > FILE_SIZE:
                current.replace(before)
        with current.open("ab") as file:
            file.write(content)


def written(line: Line) -> str:
    """Write a line as it stands in a file."""
    return f"{time_text(line.time_ns)[:23]}Z {logging.getLevelName(line.level)} {line.text}\n"
