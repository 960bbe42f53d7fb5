"""
What a watcher knows of a fleet: the newest frames, gaps, duplicates, latency, presence, what happened (pure).

Messages go in as they came from the brokers, each with its topic, whether it was retained, and when it arrived;
`FleetView` keeps what a person or a test wants to know. It reads no clock and draws nothing: `subscriber` feeds it,
`table` draws it.

A device numbers all its messages in one row, on both brokers, so every message counts for gaps and duplicates, also
those nobody shows. Presence is told by two voices: the device's own word, which ends with its last will, and the
catalog's, which judges by leases. Both are kept apart, because they fail apart.
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from algorithms.api.errors import WireError
from algorithms.api.records import MeasurementFrame, Quality
from algorithms.api.wire import MAXIMUM_LENGTH, Header, decode, decode_as, time_from_text
from device_catalog.contract.presence import Availability, CatalogState, Session
from device_catalog.operator.numbers import Numbers
from device_catalog.operator.occurrences import Occurrence, OccurrenceFinder

LATENCIES = 1000
"""Frames that latency statistics look back on."""

ROWS = 16
"""Rows of numbers kept for one device, by boot; older ones are added up."""

HISTORY = 1000
"""Presence changes and occurrences kept."""

Document = TypeVar("Document", bound=msgspec.Struct)

_topic = re.compile(r"v1/(?P<tenant>[^/]+)/(?:meters/(?P<device>[^/]+)/(?P<content>.+)|(?P<catalog>catalog)|.*)")


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    A message as it came from a broker.

    Attributes
    ----------
    topic : str
    payload : bytes
    retained : bool
        Whether the broker had kept it from before.
    time_ns : int
        When it arrived [ns UTC].
    """

    topic: str
    payload: bytes
    retained: bool
    time_ns: int


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """
    One change of what is said of a device's being there.

    Attributes
    ----------
    device : str
    voice : str
        ``device`` (birth and last will) or ``catalog`` (leases).
    present : bool
    reason : str
    time_ns : int
        When the watcher heard of it [ns UTC].
    """

    device: str
    voice: str
    present: bool
    reason: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Arrival less the frame's own instant, the middle of its window [s]: median, 99th percentile, highest."""

    median: float
    p99: float
    highest: float


@dataclass
class Meter:
    """What is known of one device."""

    device: str
    tenant: str
    first: int | None
    frames: int = 0
    header: Header | None = None
    frame: MeasurementFrame | None = None
    arrived_ns: int = 0
    session: tuple[Header, Session] | None = None
    availability: Availability | None = None
    numbers: dict[tuple[int, str], Numbers] = field(default_factory=dict)
    finder: OccurrenceFinder | None = None
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))
    _received_before: int = 0
    _missing_before: int = 0
    _duplicates_before: int = 0

    @property
    def received(self) -> int:
        """Messages that arrived, each counted once."""
        return self._received_before + sum(numbers.received for numbers in self.numbers.values())

    @property
    def missing(self) -> int:
        """Messages that should have arrived and did not, so far."""
        return self._missing_before + sum(numbers.missing for numbers in self.numbers.values())

    @property
    def duplicates(self) -> int:
        """Messages that came more than once."""
        return self._duplicates_before + sum(numbers.duplicates for numbers in self.numbers.values())

    @property
    def online(self) -> bool | None:
        """The device's own word; None where it never said any."""
        return None if self.session is None else self.session[1].state == "online"

    @property
    def available(self) -> bool | None:
        """The catalog's word; None where it never said any."""
        return None if self.availability is None else self.availability.available

    def latency(self) -> Latency | None:
        """Statistics of the newest frames; None before any."""
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        count = len(ordered)
        return Latency(ordered[count // 2], ordered[min(count - 1, count * 99 // 100)], ordered[-1])

    def of_boot(self, boot: int, topic: str = "") -> Numbers:
        """Return the numbers of one boot (and topic, where each has its row), making room by adding up the oldest."""
        numbers = self.numbers.get((boot, topic))
        if numbers is None:
            while len(self.numbers) >= ROWS:
                oldest = self.numbers.pop(min(self.numbers))
                self._received_before += oldest.received
                self._missing_before += oldest.missing
                self._duplicates_before += oldest.duplicates
            numbers = self.numbers[boot, topic] = Numbers(self.first)
        return numbers


@dataclass
class FleetView:
    """
    Everything a watcher knows.

    Parameters
    ----------
    first : int or None
        1 where the watcher was there before the devices started, so that what it never saw counts as missing;
        None to count from the first message seen of each boot.
    nominal_voltage : mapping
        Phase to neutral by device [V]; without it, nothing is said about what happened there.
    nominal_frequency : float
        [Hz]
    devices : frozenset of str
        The only devices looked at; empty for all.
    whole : bool
        Whether both brokers are listened to. If not, each topic is a row of its own: a message names the one before it
        on its topic, so that what went to the other broker does not count as missing.
    """

    first: int | None = None
    nominal_voltage: Mapping[str, float] = field(default_factory=dict)
    nominal_frequency: float = 50.0
    devices: frozenset[str] = frozenset()
    whole: bool = True
    meters: dict[str, Meter] = field(default_factory=dict)
    catalog_state: str = ""
    unreadable: int = 0
    last_unreadable: str = ""
    presence_changes: deque[PresenceChange] = field(default_factory=lambda: deque(maxlen=HISTORY))
    occurrences: deque[Occurrence] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def occurred_after(self, last: Occurrence | None) -> list[Occurrence]:
        """Return what occurred after `last`, oldest first; all that is known where that was forgotten."""
        found: list[Occurrence] = []
        for occurrence in reversed(self.occurrences):
            if occurrence is last:
                break
            found.append(occurrence)
        return found[::-1]

    def arrived(self, arrival: Arrival) -> MeasurementFrame | None:
        """Take note of a message; return the frame it carried, unless it was seen before."""
        match = _topic.fullmatch(arrival.topic)
        if match is None:
            return None
        device, content = match["device"], match["content"]
        if device is not None and self.devices and device not in self.devices:
            return None
        try:
            if match["catalog"]:
                self.catalog_state = _document(arrival.payload, CatalogState).state if arrival.payload else ""
            elif content == "availability":
                self._availability(match["tenant"], device, arrival)
            elif content == "session":
                self._session(match["tenant"], device, arrival)
            elif content == "frames":
                return self._frame(match["tenant"], device, arrival)
            else:
                self._other(match["tenant"], arrival)
        except WireError as error:
            self.unreadable += 1
            self.last_unreadable = f"{arrival.topic}: {error}"
        return None

    def meter(self, device: str, tenant: str = "default") -> Meter:
        """Return what is known of `device`, beginning to know it where it is new."""
        meter = self.meters.get(device)
        if meter is None:
            meter = self.meters[device] = Meter(device, tenant, self.first)
            voltage = self.nominal_voltage.get(device)
            if voltage:
                meter.finder = OccurrenceFinder(device, voltage, self.nominal_frequency)
        return meter

    def _frame(self, tenant: str, device: str, arrival: Arrival) -> MeasurementFrame | None:
        header, frame = decode(arrival.payload)
        if not isinstance(frame, MeasurementFrame):
            raise WireError(f"expected a frame, found {type(frame).__name__}")
        meter = self.meter(device, tenant)
        if not self._count(meter, arrival, header.boot, header.number, header.previous):
            return None
        meter.frames += 1
        if not arrival.retained:
            meter.latencies.append((arrival.time_ns - frame.time_ns) / 1e9)
        newest = meter.header
        if newest is not None and (header.boot, header.number) < (newest.boot, newest.number):
            return frame  # late: it counts, but is not what the meter sees now
        if meter.finder is not None:
            if Quality.GAP in frame.quality or (newest is not None and newest.boot != header.boot):
                meter.finder.forget()
            self.occurrences.extend(meter.finder.look(frame))
        meter.header, meter.frame, meter.arrived_ns = header, frame, arrival.time_ns
        return frame

    def _other(self, tenant: str, arrival: Arrival) -> None:
        """Count a message that is not shown: its number belongs to the same row as those of the frames."""
        fields = _fields(arrival.payload)
        device, boot, number, previous = (fields.get(name) for name in ("device", "boot", "number", "previous"))
        if not isinstance(device, str) or type(boot) is not int or type(number) is not int or number < 1:
            return  # no device's message: topology, for instance
        if self.devices and device not in self.devices:
            return
        before = previous if type(previous) is int else 0
        self._count(self.meter(device, tenant), arrival, boot, number, before)

    def _count(self, meter: Meter, arrival: Arrival, boot: int, number: int, previous: int) -> bool:
        """Take note of a message's number; tell whether it is new."""
        if self.whole:
            return meter.of_boot(boot).add(number, repeated=arrival.retained)
        row = meter.of_boot(boot, arrival.topic)
        row.skip(previous + 1 if previous or self.first else number, number - 1)
        return row.add(number, repeated=arrival.retained)

    def _session(self, tenant: str, device: str, arrival: Arrival) -> None:
        meter = self.meter(device, tenant)
        if not arrival.payload:
            meter.session = None
            return
        header, session = decode_as({"session/1": Session}, arrival.payload)
        if session.previous_boot:
            self._promised(meter, session)
        if meter.session is not None:
            current = meter.session[0]
            if (header.boot, header.session) < (current.boot, current.session):
                return  # the will of a session that a newer one has replaced
        before = meter.online
        meter.session = (header, session)
        if before != meter.online and not arrival.retained:
            reason = "birth" if meter.online else "last will"
            self._changed(device, "device", meter.online is True, reason, arrival.time_ns)

    def _promised(self, meter: Meter, session: Session) -> None:
        if self.whole and (session.previous_boot, "") in meter.numbers:
            meter.of_boot(session.previous_boot).promise(session.previous_number)

    def _availability(self, tenant: str, device: str, arrival: Arrival) -> None:
        meter = self.meter(device, tenant)
        if not arrival.payload:
            meter.availability = None
            return
        availability = _document(arrival.payload, Availability)
        before = meter.available
        meter.availability = availability
        if before != meter.available and not arrival.retained:
            self._changed(device, "catalog", availability.available, availability.reason, arrival.time_ns)

    def _changed(self, device: str, voice: str, present: bool, reason: str, time_ns: int) -> None:
        self.presence_changes.append(PresenceChange(device, voice, present, reason, time_ns))


def _fields(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAXIMUM_LENGTH:
        raise WireError(f"expected a message of at most {MAXIMUM_LENGTH} bytes, found {len(payload)}")
    if not payload:
        return {}
    try:
        fields = msgspec.json.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"expected a JSON object, found one that cannot be read: {error}") from error
    if not isinstance(fields, dict):
        raise WireError("expected a JSON object, found something else")
    return fields


def _document(payload: bytes, document_type: type[Document]) -> Document:
    """Read the catalog's own documents, which stand under no device's header."""
    fields = _fields(payload)
    try:
        for name in [field.name for field in msgspec.structs.fields(document_type) if field.name.endswith("_ns")]:
            text = fields.get(name[:-3])
            if isinstance(text, str):
                fields[name] = time_from_text(text)
        return msgspec.convert(fields, document_type)
    except (msgspec.ValidationError, ValueError) as error:
        raise WireError(f"expected {document_type.__name__}, found one that cannot be read: {error}") from error
