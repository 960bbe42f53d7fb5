"""
Writes records in the line protocol of InfluxDB, which VictoriaMetrics, QuestDB and Telegraf read as well (pure).

One line a record: the measurement is its class (``frame``, ``state``, ``energy``, ``quality``, ``event``, ``result``),
tags are tenant, device, terminal, and what names its series, fields are its numbers by the names of `fields`, each
with its uncertainty as ``u_…``, and the time is the record's own, in nanoseconds.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from device_catalog.history.arrival import Arrival, Content, document_of
from device_catalog.history.fields import fields_of, uncertainty_of

MEASUREMENTS: Mapping[Content, str] = {
    Content.FRAMES: "frame",
    Content.STATES: "state",
    Content.ENERGY: "energy",
    Content.QUALITY: "quality",
    Content.EVENTS: "event",
    Content.RESULTS: "result",
}
"""The measurement of each class."""

_in_key = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\n": "_", "\r": "_", "\\": "_"})
_in_text = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": " ", "\r": " "})


def line_of(arrival: Arrival) -> str:
    """Write one record; nothing where it holds no number."""
    document = document_of(arrival.payload)
    fields = ",".join(f"{_key(name)}={value}" for name, value in _fields(document))
    if not fields:
        return ""
    tags = "".join(f",{name}={_key(value)}" for name, value in _tags(arrival, document) if value)
    return f"{MEASUREMENTS[arrival.series.content]}{tags} {fields} {arrival.time_ns}"


def names_of(document: Mapping[str, Any]) -> set[str]:
    """Name the fields that a document's line has."""
    return {name for name, _ in _fields(document)}


def _tags(arrival: Arrival, document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    series = arrival.series
    yield "tenant", series.tenant
    yield "device", series.device
    yield "terminal", str(document.get("terminal") or "")
    yield "name", series.name
    if series.content is Content.EVENTS:
        yield "kind", str(document.get("kind") or "")
        yield "severity", str(document.get("severity") or "")


def _fields(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value, uncertainty in fields_of(document):
        if math.isfinite(value):
            yield name, repr(value)
            if uncertainty is not None and math.isfinite(uncertainty):
                yield uncertainty_of(name), repr(uncertainty)
    quality = document.get("quality")
    if isinstance(quality, list) and quality:
        yield "flags", f'"{_text(" ".join(map(str, quality)))}"'
    if document.get("schema") == "event/1":
        ended = document.get("end") is not None
        yield "ended", "true" if ended else "false"


def _key(text: str) -> str:
    return text.translate(_in_key)


def _text(text: str) -> str:
    return text.translate(_in_text)
