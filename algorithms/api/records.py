"""
What algorithms make and take besides samples: frozen records that mean the same everywhere.

Every record knows its schema (``frame/1``). Values are SI. A value stands beside its standard uncertainty (1 sigma);
what could not be measured is `None`, never NaN and never a guess. Active and reactive power are positive **from the
node into the equipment** (CIM): a consuming load has P > 0, a feeding generator P < 0. Angles are those of the
phasor convention x(t) = sqrt(2) X cos(2 pi f t + angle).

Times are UTC nanoseconds in `int` fields ending in ``_ns``; `wire` writes them as text.
"""

import cmath
from enum import StrEnum
from typing import Any

import msgspec

from algorithms.api.errors import Problem


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


class Estimate(msgspec.Struct, frozen=True, array_like=True):
    """A value and its standard uncertainty (1 sigma), both in the unit the field states."""

    value: float
    uncertainty: float


class Phasor(msgspec.Struct, frozen=True, array_like=True):
    """
    A complex RMS value in polar form.

    Attributes
    ----------
    magnitude : float
        RMS of the fundamental [V or A].
    angle : float or None
        [rad], within (-pi, pi]; None where the magnitude is too small to have one.
    u_magnitude : float
        Standard uncertainty of the magnitude [V or A].
    u_angle : float or None
        Standard uncertainty of the angle [rad].

    Examples
    --------
    >>> Phasor(230.0, 0.0, 0.1, 0.001).phasor
    (230+0j)
    """

    magnitude: float
    angle: float | None
    u_magnitude: float
    u_angle: float | None

    @property
    def phasor(self) -> complex:
        """The complex value; only its magnitude where there is no angle."""
        return cmath.rect(self.magnitude, self.angle or 0.0)


class ChannelReading(Phasor, frozen=True, array_like=True):
    """The fundamental of one channel, and its true RMS with all harmonics [V or A]."""

    rms: float
    u_rms: float


class PowerReading(msgspec.Struct, frozen=True, array_like=True):
    """
    Powers of one phase, or of all (IEEE 1459).

    Attributes
    ----------
    p, u_p : float
        Active power and its standard uncertainty [W].
    q, u_q : float
        Fundamental reactive power [var].
    s, u_s : float
        Apparent power [VA].
    pf, u_pf : float or None
        Power factor p / s [1]; None where there is no apparent power.
    """

    p: float
    u_p: float
    q: float
    u_q: float
    s: float
    u_s: float
    pf: float | None
    u_pf: float | None


class SequenceReading(msgspec.Struct, frozen=True, array_like=True):
    """Symmetrical components of three phasors (Fortescue, referred to phase A)."""

    zero: Phasor
    positive: Phasor
    negative: Phasor


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


class NodeState(msgspec.Struct, frozen=True):
    """Estimated voltages [V, rad] and injections into the equipment [W, var] of one node, by phase."""

    node: str
    voltage: dict[str, Phasor]
    p: dict[str, Estimate] = {}
    q: dict[str, Estimate] = {}


class BranchState(msgspec.Struct, frozen=True):
    """Estimated current [A] of one branch at its first end, by phase."""

    branch: str
    current: dict[str, Phasor]


class Suspect(msgspec.Struct, frozen=True):
    """A measurement that disagrees with the others, and those that would explain it as well."""

    measurement: str
    normalised_residual: float
    alternatives: tuple[str, ...] = ()


class GridState(msgspec.Struct, frozen=True, tag_field="schema", tag="grid-state/1"):
    """
    The estimated state of an area of the network.

    Attributes
    ----------
    area, level : str
        Level is ``concentrator``, ``lv`` or ``mv``.
    time_ns : int
        UTC the state is valid for [ns].
    model_revision, topology_revision : int
    nodes : tuple of NodeState
    branches : tuple of BranchState
    objective : float or None
        Weighted sum of squared residuals J [1].
    degrees_of_freedom : int
    iterations : int
    unobservable : tuple of str
        Nodes that the measurements do not determine.
    suspects : tuple of Suspect
    missing : tuple of str
        Sources whose readings did not arrive in time.
    """

    area: str
    level: str
    time_ns: int
    model_revision: int
    topology_revision: int
    nodes: tuple[NodeState, ...]
    branches: tuple[BranchState, ...] = ()
    objective: float | None = None
    degrees_of_freedom: int = 0
    iterations: int = 0
    unobservable: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    missing: tuple[str, ...] = ()


class SwitchStep(msgspec.Struct, frozen=True):
    """One operation: bring `switch` to `state` (``open`` or ``closed``) once `condition` holds."""

    switch: str
    state: str
    condition: str = ""


class Proposal(msgspec.Struct, frozen=True, tag_field="schema", tag="proposal/1"):
    """
    Switching steps that an algorithm proposes; it never switches itself.

    Attributes
    ----------
    kind : str
        ``restoration`` or ``loss-reduction``, for instance.
    network : str
    topology_revision : int
        The switch states it was worked out for; worthless for any other.
    time_ns, expires_ns : int
        [ns UTC]
    steps : tuple of SwitchStep
        In this order.
    gain : dict
        What improves, by name with its estimate (such as ``losses`` [W]).
    checks : dict
        Constraints checked, each with whether it holds.
    unserved : dict
        Nodes that stay dark, each with the reason.
    """

    kind: str
    network: str
    topology_revision: int
    time_ns: int
    expires_ns: int
    steps: tuple[SwitchStep, ...]
    gain: dict[str, Estimate] = {}
    checks: dict[str, bool] = {}
    unserved: dict[str, str] = {}


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
        Who signed, and the signature in hexadecimal; empty where trust is not established yet.
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
