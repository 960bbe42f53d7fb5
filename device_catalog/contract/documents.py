"""
The documents between catalog and device: whole, level-triggered, superseded by the next.

*Desired* says everything a device should do; *reported* says what it does. Nothing queues: a device that was away
takes the newest desired document and forgets the ones it missed. Unknown fields are refused in what people write
(a misspelt setting must not be ignored) and ignored in what devices report (a newer agent may say more).
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from algorithms.api.errors import Problem
from algorithms.api.manifest import Limits
from algorithms.api.records import Kind


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """Base of what people write."""


class DeviceKind(StrEnum):
    """What registers with the catalog; services and others' devices use the same documents as agents."""

    METER = "meter"
    AGENT = "agent"
    """A tresma agent without a board: a concentrator, an estimator, a reconfigurator."""
    SERVICE = "service"
    OTHER = "other"


class Direction(StrEnum):
    """Which way active power is expected to flow at a terminal."""

    LOAD = "load"
    GENERATION = "generation"
    EITHER = "either"


class ChannelSetting(Strict, frozen=True):
    """
    One input of the source, and what its volts stand for.

    The primary value is ``ratio * gain * (adc - offset)``, negated where the transducer is `reversed`.

    Attributes
    ----------
    name : str
    quantity : str
        ``voltage`` or ``current``.
    phase : str
        A, B, C or N.
    input : int or str
        Number of the board's input, or name of the recording's channel.
    ratio : float
        Primary volts or amperes for one volt at the converter [V/V or A/V].
    gain : float
        Calibration factor [1].
    offset : float
        What the converter reads at zero [V].
    phase_correction : float
        Phase displacement of the transducer at nominal frequency, taken out of the angles; positive where the
        transducer's output leads [rad].
    reversed : bool
    gain_uncertainty : float
        Relative standard uncertainty [1].
    phase_uncertainty : float
        Standard uncertainty [rad].
    """

    name: str
    quantity: str
    phase: str
    input: int | str
    ratio: float = 1.0
    gain: float = 1.0
    offset: float = 0.0
    phase_correction: float = 0.0
    reversed: bool = False
    gain_uncertainty: float = 0.0
    phase_uncertainty: float = 0.0


class Acquisition(Strict, frozen=True):
    """
    What a device samples.

    Attributes
    ----------
    driver : str
        Name of a waveform source: ``simulated``, ``recorded``, or one that a package adds.
    options : dict
        The driver's own settings.
    sample_rate : float
        Per channel [Hz].
    block_duration : float
        How often samples are handed on [s].
    channels : tuple of ChannelSetting
        Empty where the driver knows its channels.
    nominal_frequency : float
        [Hz]
    nominal_voltage : float
        Phase to neutral [V].
    direction : Direction
    history : float
        How long samples stay readable for algorithms that start late or look back [s].
    """

    driver: str
    sample_rate: float
    options: dict[str, Any] = {}
    block_duration: float = 0.02
    channels: tuple[ChannelSetting, ...] = ()
    nominal_frequency: float = 50.0
    nominal_voltage: float = 230.0
    direction: Direction = Direction.EITHER
    history: float = 5.0


class Neighbours(Strict, frozen=True):
    """Records of other devices that an algorithm asks for: a kind, from these devices or areas."""

    kind: Kind
    devices: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()


class Assignment(Strict, frozen=True):
    """
    One algorithm a device should run.

    Attributes
    ----------
    algorithm : str
    settings : dict
    version : str
        Exact version, or empty for the one that is there.
    neighbours : tuple of Neighbours
    publish : float
        Most frames published per second, evenly thinned; 0 for all [1/s].
    limits : Limits
    """

    algorithm: str
    settings: dict[str, Any] = {}
    version: str = ""
    neighbours: tuple[Neighbours, ...] = ()
    publish: float = 0.0
    limits: Limits = Limits()


class Brokers(Strict, frozen=True):
    """Endpoints such as ``mqtt://host:1883``, in order of preference."""

    grid: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


class Poll(Strict, frozen=True):
    """
    How often a device asks, and how long its silence is borne.

    Attributes
    ----------
    interval : float
        [s]
    lease : float
        Silence after which the catalog declares the device unavailable [s].
    """

    interval: float = 60.0
    lease: float = 195.0


class TopologyReference(Strict, frozen=True):
    """The network a device belongs to, and the revision of its switch states."""

    network: str
    area: str = ""
    model_revision: int = 0
    topology_revision: int = 0


class Configuration(Strict, frozen=True):
    """
    What an operator decides about a device; the part of *desired* that people write.

    Attributes
    ----------
    brokers : Brokers
    acquisition : Acquisition or None
        None for an agent without a board.
    algorithms : tuple of Assignment
    poll : Poll
    terminal : str
        The terminal of the network model that is measured; the device's own id where empty.
    topology : TopologyReference or None
    """

    brokers: Brokers = Brokers()
    acquisition: Acquisition | None = None
    algorithms: tuple[Assignment, ...] = ()
    poll: Poll = Poll()
    terminal: str = ""
    topology: TopologyReference | None = None


class Desired(Strict, frozen=True, tag_field="schema", tag="desired/1"):
    """
    Everything a device should do.

    Attributes
    ----------
    device, tenant : str
    revision : int
        Grows with every change; a device never goes back.
    issued : datetime
    configuration : Configuration
    expires : datetime or None
        After this, no change is made on the strength of this document; what runs goes on running.
    """

    device: str
    tenant: str
    revision: int
    issued: datetime
    configuration: Configuration
    expires: datetime | None = None


class AlgorithmReport(msgspec.Struct, frozen=True):
    """
    How one algorithm is doing.

    Attributes
    ----------
    version : str
    state : str
        ``starting``, ``running``, ``backoff`` or ``quarantined``.
    restarts : int
        Since the agent started.
    processed, produced, dropped, lost_samples : int
        Records and samples since the algorithm started.
    processor : float
        Share of one core [1].
    memory : int
        Private memory [bytes].
    slowest : float
        Longest processor time of one call since the last report [s].
    last_error : str
    """

    version: str
    state: str
    restarts: int = 0
    processed: int = 0
    produced: int = 0
    dropped: int = 0
    lost_samples: int = 0
    processor: float = 0.0
    memory: int = 0
    slowest: float = 0.0
    last_error: str = ""


class LinkReport(msgspec.Struct, frozen=True):
    """How the connection to one broker is doing; messages pending, refused by the broker, and dropped."""

    connected: bool
    endpoint: str = ""
    session: int = 0
    pending: int = 0
    refused: int = 0
    dropped: int = 0
    last_error: str = ""


class SourceReport(msgspec.Struct, frozen=True):
    """How sampling is doing: the rate granted [Hz], samples delivered and lost, starts of the sampler."""

    driver: str
    state: str
    sample_rate: float = 0.0
    samples: int = 0
    lost: int = 0
    restarts: int = 0
    last_error: str = ""


class TimeReport(msgspec.Struct, frozen=True):
    """Whether the clock follows UTC, its standard uncertainty [s], and steps seen since the start."""

    synchronised: bool
    uncertainty: float | None = None
    steps: int = 0


class Refusal(msgspec.Struct, frozen=True):
    """A desired revision that was not applied, and every reason."""

    revision: int
    problems: tuple[Problem, ...]


class Reported(msgspec.Struct, frozen=True, tag_field="schema", tag="reported/1"):
    """
    What a device does.

    Attributes
    ----------
    device : str
    boot : int
    agent_version : str
    applied_revision : int
        0 before anything was applied.
    refused : Refusal or None
    algorithms : dict
        `AlgorithmReport` by name.
    links : dict
        `LinkReport` for ``grid`` and ``data``.
    source : SourceReport or None
    time : TimeReport or None
    isolation : dict
        Layers that confine algorithms, each with whether a probe found it in force.
    services : dict
        Addresses this device or service offers, by name.
    problems : tuple of str
        What an operator should know, in sentences.
    """

    device: str
    boot: int = 0
    agent_version: str = ""
    applied_revision: int = 0
    refused: Refusal | None = None
    algorithms: dict[str, AlgorithmReport] = {}
    links: dict[str, LinkReport] = {}
    source: SourceReport | None = None
    time: TimeReport | None = None
    isolation: dict[str, bool] = {}
    services: dict[str, str] = {}
    problems: tuple[str, ...] = ()


class Registration(Strict, frozen=True):
    """What an operator says to register a device."""

    device: str
    kind: DeviceKind = DeviceKind.METER
    tenant: str = "default"
    description: str = ""
    configuration: Configuration = Configuration()


class Registered(msgspec.Struct, frozen=True):
    """The answer to a registration; the credential is shown this once and kept nowhere."""

    device: str
    credential: str
    revision: int


class DeviceSummary(msgspec.Struct, frozen=True):
    """
    One device in a list, for whoever looks for devices and services.

    Attributes
    ----------
    device, kind, tenant, description : str
    available : bool or None
        None until the catalog can judge: just started, or blind for a while itself.
    last_seen : datetime or None
    revision, applied_revision : int
    algorithms : tuple of str
    network, area, terminal : str
    services : dict
    """

    device: str
    kind: DeviceKind
    tenant: str
    description: str
    available: bool | None
    last_seen: datetime | None
    revision: int
    applied_revision: int
    algorithms: tuple[str, ...] = ()
    network: str = ""
    area: str = ""
    terminal: str = ""
    services: dict[str, str] = {}


class DeviceDetail(msgspec.Struct, frozen=True):
    """All the catalog knows of one device."""

    summary: DeviceSummary
    desired: Desired
    reported: Reported | None


class Page(msgspec.Struct, frozen=True):
    """Part of a list, and the cursor of the next part; empty at the end."""

    items: tuple[DeviceSummary, ...]
    next: str = ""


class Change(msgspec.Struct, frozen=True):
    """Who changed what of a device: ``register``, ``configure``, ``credential`` or ``remove``."""

    time: datetime
    actor: str
    action: str
    detail: str


class History(msgspec.Struct, frozen=True):
    """What was changed of a device, newest first."""

    changes: tuple[Change, ...]


class ProblemDocument(msgspec.Struct, frozen=True):
    """An error as RFC 9457 has it, with every problem found where it is about a document."""

    type: str
    title: str
    status: int
    detail: str
    problems: tuple[Problem, ...] = ()
