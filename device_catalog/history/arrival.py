"""
Judges what the broker brought: which series it belongs to, or why it is not kept (pure).

A message is kept when it is one of ours whole (`wire.decode`) and was said where its kind is said: a device speaks
under its own name only. Nothing here fails: what cannot be kept has a reason, which is counted.
"""

import re
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from algorithms.api.errors import WireError
from algorithms.api.grid_records import GridState
from algorithms.api.records import Event, MeasurementFrame, Result
from algorithms.api.wire import Header, decode
from device_catalog.contract import topics
from device_catalog.history.fields import LARGEST

MAXIMUM_MESSAGE = 256 * 1024
"""Longest message that is kept [bytes]; states of a large area are the longest there are."""
AHEAD_NS = 86_400 * 1_000_000_000
"""Records from further in the future are not kept: a clock that wrong belongs to no time [ns]."""

TOPICS = ("v1/+/meters/+/#", "v1/+/states/+/+")
"""What is listened to."""


_large = re.compile(rb"[eE]\+?[0-9]{2}|[0-9]{21}")  # without either of them no number is larger than `LARGEST`


class Content(StrEnum):
    """What is kept, by class; each has its own time to live."""

    FRAMES = "frames"
    STATES = "states"
    ENERGY = "energy"
    QUALITY = "quality"
    EVENTS = "events"
    RESULTS = "results"


class Refusal(StrEnum):
    """Why a message is not kept."""

    MALFORMED = "malformed"
    """No message of ours, or too long."""
    MISPLACED = "misplaced"
    """Said where its kind, or its sender, has no say."""
    FUTURE = "future"
    """From more than a day ahead."""
    ABSURD = "absurd"
    """With a number that nothing measures or counts."""
    OUTDATED = "outdated"
    """Older than its class is kept."""


class Series(NamedTuple):
    """
    What a record belongs to.

    Attributes
    ----------
    tenant, device : str
    content : Content
    name : str
        Level and area of a state, schema of a result; empty for the others.
    """

    tenant: str
    device: str
    content: Content
    name: str


class Arrival(NamedTuple):
    """A message that is kept; `payload` is all of it."""

    series: Series
    header: Header
    time_ns: int
    payload: bytes


def judged(topic: str, payload: bytes, now_ns: int) -> Arrival | Refusal:
    """
    Judge a message.

    Parameters
    ----------
    topic : str
    payload : bytes
    now_ns : int
        [ns UTC]
    """
    try:
        header, record = decode(payload, MAXIMUM_MESSAGE)
    except WireError:
        return Refusal.MALFORMED
    tenant = [*topic.split("/"), ""][1]
    match record:
        case MeasurementFrame():
            content, name, expected = Content.FRAMES, "", topics.frames(tenant, header.device)
        case Event():
            content, name, expected = Content.EVENTS, "", topics.events(tenant, header.device)
        case GridState():
            content, name = Content.STATES, f"{record.level}/{record.area}"
            expected = topics.states(tenant, record.level, record.area)
        case Result():
            name, expected = record.content, topics.results(tenant, header.device, record.content)
            last = expected.rpartition("/")[2]
            is_own = expected.count("/") == 4  # energy and quality have topics of their own
            content = Content(last) if is_own else Content.RESULTS
        case _:
            return Refusal.MISPLACED
    named = topics.is_identifier(header.device) and topics.is_identifier(tenant) and len(name) <= 128
    if topic != expected or not named:
        return Refusal.MISPLACED
    time_ns = record.start_ns if isinstance(record, Event) else record.time_ns
    if time_ns > now_ns + AHEAD_NS:
        return Refusal.FUTURE
    if _large.search(payload) and not _is_sane(msgspec.json.decode(payload)):
        return Refusal.ABSURD
    return Arrival(Series(tenant, header.device, content, name), header, time_ns, payload)


def _is_sane(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_sane(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_sane(item) for item in value)
    return not isinstance(value, float | int) or -LARGEST <= value <= LARGEST


def document_of(payload: bytes) -> dict[str, object]:
    """Read what is kept of a message that was judged before: all but its header."""
    document: dict[str, object] = msgspec.json.decode(payload)
    for name in ("device", "boot", "session", "number", "previous"):
        document.pop(name, None)
    if document.get("schema") != "event/1":  # an event's own times stand beside the header's
        document.pop("time", None)
    return document
