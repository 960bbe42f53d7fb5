"""
How a meter fared: a line in a small file when something changes, else every quarter of an hour, and the last report.

Where it stands: `service` hands in what it would report to the catalog anyway; a support bundle brings it along, also
when the agent is dead. Two files in turn, so that the room is bounded, and bytes an hour are too. Nothing is
synchronised: what a power cut takes is the last minute, and the card is spared. Texts lose their secrets (`scrubbing`).
"""

import contextlib
import time
from pathlib import Path
from typing import Any

import msgspec

from agent.reporting import ReportGate
from agent.support.machine import figures
from agent.support.redaction import redacted
from agent.support.scrubbing import Scrubber
from algorithms.api.wire import time_text
from device_catalog.contract.reports import Reported

FILE_SIZE = 256 * 1024
"""Of each of the two files [bytes]."""
PER_HOUR = 32 * 1024
"""Most that is written in an hour [bytes]: a meter whose broker comes and goes must not wear out its card."""

NAMES = ("health.jsonl", "health.jsonl.before")
"""The files, the newer one first."""
STATUS = "status.json"
"""The last report, whole."""


class HealthHistory:
    """
    Writes the history of one meter; every call blocks for as long as its card takes.

    Parameters
    ----------
    folder : pathlib.Path
        Made with the first line.
    scrubber : Scrubber
    """

    def __init__(self, folder: Path, scrubber: Scrubber) -> None:
        self._folder = folder
        self._scrubber = scrubber
        self._gate = ReportGate()
        self._hour = 0.0
        self._bytes = 0

    def due(self, report: Reported, now: float) -> bool:
        """Tell whether a report is worth a line at monotonic time `now` [s]."""
        if not self._gate.due(report, now):
            return False
        self._gate.sent(report, now)
        return True

    def note(self, report: Reported) -> None:
        """Write a line, and the report; a card that cannot be written is no reason to stop."""
        line = msgspec.json.encode(_line(report, self._scrubber) | figures(self._folder.parent)) + b"\n"
        whole = redacted(Reported, msgspec.to_builtins(report), self._scrubber, lambda *_: None)
        status = msgspec.json.encode({"noted": time_text(time.time_ns()), "reported": whole})
        now = time.monotonic()
        if now - self._hour >= 3600.0 or not self._hour:
            self._hour, self._bytes = now, 0
        if self._bytes + len(line) + len(status) > PER_HOUR:
            return
        self._bytes += len(line) + len(status)
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._append(line)
            temporary = self._folder / f"{STATUS}.new"
            temporary.write_bytes(status)
            temporary.replace(self._folder / STATUS)

    def _append(self, line: bytes) -> None:
        current, before = (self._folder / name for name in NAMES)
        with contextlib.suppress(FileNotFoundError):
            if current.stat().st_size + len(line) > FILE_SIZE:
                current.replace(before)
        with current.open("ab") as file:
            file.write(line)


def _line(report: Reported, scrubber: Scrubber) -> dict[str, Any]:
    source, clock = report.source, report.time
    return {
        "time": time_text(time.time_ns()),
        "boot": report.boot,
        "revision": report.applied_revision,
        "refused": report.refused.revision if report.refused else None,
        "source": None if source is None else [source.state, source.lost, source.restarts],
        "algorithms": {name: [one.state, one.restarts] for name, one in report.algorithms.items()},
        "links": {name: [one.connected, one.pending, one.dropped] for name, one in report.links.items()},
        "clock": None if clock is None else [clock.synchronised, clock.steps],
        "problems": [scrubber.text(problem)[:200] for problem in report.problems[:10]],
    }
