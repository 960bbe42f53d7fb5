"""What was asked of a meter to help it, put into words for its page (pure)."""

from collections.abc import Sequence
from typing import NamedTuple

from device_catalog.contract.support import LogLevel, LogLine, SupportEntry, SupportKind
from device_catalog.pages.words import size

_tones = {LogLevel.ERROR: "bad", LogLevel.WARNING: "warn", LogLevel.INFO: ""}
_states = {"here": "good", "failed": "bad", "open": "good", "asked": "warn", "coming": "warn"}


class RequestRow(NamedTuple):
    """One request."""

    name: str
    what: str
    asked: str
    who: str
    why: str
    state: str
    tone: str


class LineRow(NamedTuple):
    """One line of the log."""

    time: str
    level: str
    tone: str
    text: str


class SupportView(NamedTuple):
    """All of it."""

    requests: tuple[RequestRow, ...]
    lines: tuple[LineRow, ...]


def support_view(entries: Sequence[SupportEntry], lines: Sequence[LogLine]) -> SupportView | None:
    """Put requests and the newest lines of a log into words; None where nothing was ever asked."""
    if not entries:
        return None
    rows = tuple(LineRow(one.time[11:23], one.level.value, _tones[one.level], one.text) for one in lines)
    return SupportView(tuple(map(_row, entries)), rows)


def _row(entry: SupportEntry) -> RequestRow:
    what = "log" if entry.kind is SupportKind.LOGS else "bundle"
    if entry.level is not None:
        what = f"{what}, {entry.level.value} and above, {entry.received} lines"
    state = entry.failed or entry.state
    if entry.state == "coming":
        state = f"coming, {size(entry.received)} of {size(entry.bytes)}"
    elif entry.state in ("here", "open"):
        state = f"{entry.state} until {entry.until:%Y-%m-%d %H:%M}"
    tone = _states.get(entry.state, "soft")
    return RequestRow(entry.request, what, f"{entry.asked:%Y-%m-%d %H:%M}", entry.author, entry.reason, state, tone)
