"""
Lines of the agent's log on their way to whoever watches it for some minutes.

Where it stands: `desk` begins and ends one; lines come from `kept_log`, already without secrets, and go to a topic of
their own on the grid broker, as a stream: what a broker away cannot take waits in memory, and the oldest goes first.
Rules: it ends at its stated time by the steady clock, and by UTC where the clock follows it; never more lines than its
rate allows, and what is left out is counted.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from agent.support.kept_log import KeptLog, Line
from algorithms.api.wire import time_text
from device_catalog.contract.support import (
    LINES_AT_ONCE,
    LINES_PER_SECOND,
    LONGEST_LINE,
    LONGEST_TAIL,
    LogLevel,
    LogWish,
)

BEFORE = 20
"""Lines from before the beginning that come first."""
BURST = 100
"""Lines that may come at once after a quiet time."""

_levels = {LogLevel.INFO: logging.INFO, LogLevel.WARNING: logging.WARNING, LogLevel.ERROR: logging.ERROR}

Send = Callable[[dict[str, Any]], None]


class LogTail:
    """
    One tail.

    Parameters
    ----------
    wish : LogWish
    log : KeptLog
    send : callable
        Takes the payload of a message.
    now : float
        [s, monotonic]
    """

    def __init__(self, wish: LogWish, log: KeptLog, send: Send, now: float) -> None:
        self.wish = wish
        self._log = log
        self._send = send
        self._level = _levels[wish.level]
        self._ends = now + min(max((wish.until - wish.issued).total_seconds(), 0.0), LONGEST_TAIL)
        earlier = log.after(0, self._level)[-BEFORE:]
        self._read = earlier[0].number - 1 if earlier else log.last
        self._allowance, self._filled = float(BURST), now
        self._number = 0
        self._dropped = 0

    def is_over(self, now: float, utc_ns: int, *, synchronised: bool) -> bool:
        """Tell whether it ended: by the steady clock [s], or by UTC [ns] where that is known."""
        return now >= self._ends or (synchronised and utc_ns >= self.wish.until.timestamp() * 1e9)

    def advance(self, now: float) -> None:
        """Send what is new, as far as the rate allows."""
        self._allowance = min(BURST, self._allowance + (now - self._filled) * LINES_PER_SECOND)
        self._filled = now
        lines = self._log.after(self._read, self._level)
        self._read = self._log.last
        allowed = int(self._allowance)
        if len(lines) > allowed:
            self._dropped += len(lines) - allowed
            lines = lines[len(lines) - allowed :]
        self._allowance -= len(lines)
        for start in range(0, len(lines), LINES_AT_ONCE):
            self._say(lines[start : start + LINES_AT_ONCE], ended=False)

    def end(self) -> None:
        """Say that nothing more comes."""
        self._say([], ended=True)

    def _say(self, lines: Sequence[Line], *, ended: bool) -> None:
        rows = []
        for line in lines:
            self._number += 1
            text = " | ".join(line.text.splitlines())[:LONGEST_LINE]
            rows.append([self._number, time_text(line.time_ns), _level_of(line.level).value, text])
        self._send({"request": self.wish.request, "lines": rows, "dropped": self._dropped, "ended": ended})


def _level_of(level: int) -> LogLevel:
    if level >= logging.ERROR:
        return LogLevel.ERROR
    return LogLevel.WARNING if level >= logging.WARNING else LogLevel.INFO
