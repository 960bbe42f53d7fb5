"""
What algorithms make and take besides samples: frozen records that mean the same everywhere.

Every record knows its schema (``frame/1``). Values are SI. A value stands beside its standard uncertainty, 1 sigma
(`readings`); what could not be measured is `None`, never NaN and never a guess. Active and reactive power are positive
**from the node into the equipment** (CIM): a consuming load has P > 0, a feeding generator P < 0. Records about a whole
network stand in `grid_records`; `Record` here is the union of all.

Times are UTC nanoseconds in `int` fields ending in ``_ns``; `wire` writes them as text.
"""

from enum import StrEnum
from typing import Any

import msgspec

from algorithms.api.errors import Problem
from algorithms.api.grid_records import GridState, Proposal
from algorithms.api.readings import ChannelReading, Estimate, PowerReading, SequenceReading


class Kind(StrEnum):
    """The kinds of record that algorithms declare to consume and produce."""

    SAMPLES = "samples"
    FRAME = "frame"
    EVENT = "event"
    GRID_STATE = "grid-state"
    PROPOSAL = "proposal"
    COMMAND = "command"
    REQUEST = "request"
    REPLY = "reply"
    RESULT = "result"


class AngleReference(StrEnum):
    """What an angle of 0 means: the UTC second (a synchrophasor) or only this device's own clock."""

    UTC = "utc"
    OWN = "own"


class Quality(StrEnum):
    """Why a measurement deserves less trust; an empty set means nothing is known against it."""

    DEAD = "dead"
    """No voltage at all."""
    PHASE_MISSING = "phase-missing"
    """At least one phase has no usable voltage."""
    LOW_VOLTAGE = "low-voltage"
    """Voltage below a tenth of nominal: frequency is not measured."""
    OUT_OF_RANGE = "out-of-range"
    """Frequency outside the range the method is valid for."""
    TRANSIENT = "transient"
    """The signal changed inside the window: the phasor model does not fit."""
    CLIPPED = "clipped"
    GAP = "gap"
    """The first window after missing samples."""
    UNSYNCHRONISED = "unsynchronised"


class Severity(StrEnum):
    """How urgent an event is (RFC 5424 names)."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTICE = "notice"


class MeasurementFrame(msgspec.Struct, frozen=True, tag_field="schema", tag="frame/1"):
    """
    What one terminal looked like at one instant.

    Attributes
    ----------
    terminal : str
        The terminal of the network model that was measured.
    time_ns : int
        UTC of the instant the values are valid for: the middle of the window [ns].
    time_uncertainty : float
        Standard uncertainty of `time_ns` [s].
    window : float
        Length of the observation window [s].
    reference : AngleReference
    frequency : Estimate or None
        [Hz]
    rocof : Estimate or None
        Rate of change of frequency [Hz/s].
    voltage, current : dict
        One `ChannelReading` for each phase measured, keyed by the phase's name (A, B, C, N).
    power : dict
        `PowerReading` for each phase with both voltage and current, and ``total``.
    voltage_sequence, current_sequence : SequenceReading or None
        None unless all three phases were measured.
    quality : tuple of Quality
    """

    terminal: str
    time_ns: int
    time_uncertainty: float
    window: float
    reference: AngleReference
    frequency: Estimate | None
    rocof: Estimate | None
    voltage: dict[str, ChannelReading]
    current: dict[str, ChannelReading]
    power: dict[str, PowerReading]
    voltage_sequence: SequenceReading | None = None
    current_sequence: SequenceReading | None = None
    quality: tuple[Quality, ...] = ()


class Event(msgspec.Struct, frozen=True, tag_field="schema", tag="event/1"):
    """
    Something that happened at a terminal: a dip, a fault, a phase jump.

    Attributes
    ----------
    kind : str
        What happened, such as ``voltage-dip`` or ``fault``.
    terminal : str
    start_ns : int
        [ns UTC]
    end_ns : int or None
        None while it lasts.
    severity : Severity
    phases : tuple of str
    evidence : dict
        Figures that led to it, SI units, each name saying its quantity.
    """

    kind: str
    terminal: str
    start_ns: int
    end_ns: int | None
    severity: Severity
    phases: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}


class Command(msgspec.Struct, frozen=True, tag_field="schema", tag="command/1"):
    """
    An order to one device, signed for it and soon worthless.

    Attributes
    ----------
    id : str
        Names the order; repeating it changes nothing.
    recipient : str
        The only device that may obey.
    verb : str
    arguments : dict
    issued_ns, expires_ns : int
        [ns UTC]
    key_id, signature : str
        Who signed, and the signature in hexadecimal; put there by the agent, empty where no policy asks for them.
    """

    id: str
    recipient: str
    verb: str
    issued_ns: int
    expires_ns: int
    arguments: dict[str, Any] = {}
    key_id: str = ""
    signature: str = ""


class Request(msgspec.Struct, frozen=True, tag_field="schema", tag="request/1"):
    """A question of one algorithm to the algorithms of another device; `id` joins it to its replies."""

    id: str
    sender: str
    recipient: str
    subject: str
    time_ns: int
    expires_ns: int
    arguments: dict[str, Any] = {}


class Reply(msgspec.Struct, frozen=True, tag_field="schema", tag="reply/1"):
    """The answer to the request of the same `id`, or the problems that prevent one."""

    id: str
    sender: str
    recipient: str
    time_ns: int
    payload: dict[str, Any] = {}
    problems: tuple[Problem, ...] = ()


class Result(msgspec.Struct, frozen=True, tag_field="schema", tag="result/1"):
    """
    What the other kinds do not say: energy registers, aggregates, forecasts.

    Attributes
    ----------
    content : str
        Schema of the payload, such as ``energy/1``; declared by the algorithm that makes it.
    terminal : str
    time_ns : int
        [ns UTC]
    payload : dict
        SI units, each name saying its quantity.
    urgent : bool
        Whether losing it would be a loss (a register, a count) rather than a gap (one of many readings).
    """

    content: str
    terminal: str
    time_ns: int
    payload: dict[str, Any]
    urgent: bool = False


Record = MeasurementFrame | Event | GridState | Proposal | Command | Request | Reply | Result
"""Every record but `SampleBlock`, which never leaves the meter."""

type_of_kind: dict[Kind, type[Record]] = {
    Kind.FRAME: MeasurementFrame,
    Kind.EVENT: Event,
    Kind.GRID_STATE: GridState,
    Kind.PROPOSAL: Proposal,
    Kind.COMMAND: Command,
    Kind.REQUEST: Request,
    Kind.REPLY: Reply,
    Kind.RESULT: Result,
}

_kind_of_type = {record_type: kind for kind, record_type in type_of_kind.items()}


def kind_of(record: Record) -> Kind:
    """Tell which kind `record` is."""
    return _kind_of_type[type(record)]
