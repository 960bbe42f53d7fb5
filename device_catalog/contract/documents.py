"""
What a device should do: one whole document, level-triggered, superseded by the next.

`Configuration` is what an operator writes; the catalog makes `Desired` of it, with a revision that only grows. Nothing
queues: a device that was away takes the newest and forgets the ones it missed. Unknown fields are refused: a misspelt
setting must not be ignored. What the device answers stands in `reports`.

It is one document and therefore one file, long as it is: who looks for a setting finds here all there are.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from algorithms.api.manifest import Limits
from algorithms.api.records import Kind, Severity
from device_catalog.contract.calibration import Calibration
from device_catalog.contract.support import SupportWish


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """Base of what people write."""


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
        How often samples are handed on [s]. Every wake-up of a small machine costs, whatever there is to do: 0.02 costs
        twice what 0.1 does, and everything is known 0.08 sooner. Protection and class P want 0.005 to 0.02.
    channels : tuple of ChannelSetting
        Empty where the driver knows its channels.
    nominal_frequency : float
        [Hz]
    nominal_voltage : float
        Phase to neutral [V].
    direction : Direction
    history : float
        How long samples stay readable for algorithms that start late or look back [s]: what is counted for a bill goes
        on without a gap over an update of ten seconds. Six channels at 6.4 kHz take 0.15 MiB for each second.
    """

    driver: str
    sample_rate: float
    options: dict[str, Any] = {}
    block_duration: float = 0.1
    channels: tuple[ChannelSetting, ...] = ()
    nominal_frequency: float = 50.0
    nominal_voltage: float = 230.0
    direction: Direction = Direction.EITHER
    history: float = 12.0


class Neighbours(Strict, frozen=True):
    """
    Records of other devices that an algorithm asks for: a kind, from these devices or areas.

    Instead of areas, proposals and located faults go by the network; orders (``command``) and reports of switches
    (``result``) by the switch.
    """

    kind: Kind
    devices: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()


class PackageReference(Strict, frozen=True):
    """
    Which package is meant; a device takes it only where the signed repository says the same.

    Attributes
    ----------
    release : int
        Counts upwards with every release of an algorithm.
    length : int
        [bytes]
    sha256 : str
        Hexadecimal.
    """

    release: int
    length: int
    sha256: str


class Shadow(Strict, frozen=True):
    """
    A version that runs beside the one in force, on the same records; what it makes is compared and goes nowhere.

    Attributes
    ----------
    version : str
    package : PackageReference or None
        None for a version that came with the agent.
    settings : dict or None
        None for those of the one in force.
    """

    version: str
    package: PackageReference | None = None
    settings: dict[str, Any] | None = None


class Assignment(Strict, frozen=True):
    """
    One algorithm a device should run.

    Attributes
    ----------
    algorithm : str
    settings : dict
    version : str
        Exact version, or empty for the one that is there.
    package : PackageReference or None
        None for an algorithm that came with the agent.
    shadow : Shadow or None
    probation : float
        How long a new version has to prove itself before the one before is given up [s].
    rollout : str
        The rollout that chose the version; empty where a person did.
    neighbours : tuple of Neighbours
    publish : float
        Most frames published per second, evenly thinned; 0 for all [1/s].
    limits : Limits
    """

    algorithm: str
    settings: dict[str, Any] = {}
    version: str = ""
    package: PackageReference | None = None
    shadow: Shadow | None = None
    probation: float = 60.0
    rollout: str = ""
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


class Recorder(Strict, frozen=True):
    """
    Which events a device keeps the waveforms of, and in how much room.

    Attributes
    ----------
    kinds : tuple of str
        Kinds of event that are recorded; empty for all.
    severity : Severity
        The least severity that is recorded.
    before, after : float
        How long before an event's start and after its end [s].
    longest : float
        A recording is cut at this length [s].
    budget : int
        Room on the device's disk for all of them [bytes]; what is least interesting goes first.
    per_hour : int
        Recordings an hour on average; a quarter of them is reserved for critical events.
    upload_rate : float
        At most so much is sent to the catalog when it asks for a recording [bytes/s].
    """

    kinds: tuple[str, ...] = ()
    severity: Severity = Severity.NOTICE
    before: float = 0.5
    after: float = 0.5
    longest: float = 10.0
    budget: int = 256 * 1024 * 1024
    per_hour: int = 60
    upload_rate: float = 64_000.0


class SynchrophasorStream(Strict, frozen=True):
    """
    A device's phasors as IEEE C37.118.2 for concentrators near it.

    Attributes
    ----------
    address : str
        The device's own address that is listened on, and nothing beside it.
    port : int
        TCP; 0 for none.
    udp_port : int
        UDP port for commands; 0 for none. Only `clients` are answered.
    udp_to : tuple of str
        ``host:port`` of those who get everything by UDP without asking.
    clients : tuple of str
        Addresses, or networks such as ``192.0.2.0/24``, that may connect; empty for all (TCP only).
    maximum_clients : int
        Connections at once, and as many UDP listeners.
    id_code : int
        Of the stream, 1 to 65534.
    station : str
        At most 16 ASCII characters; the device's id where empty.
    algorithm : str
        Whose frames are sent.
    polar : bool
        Magnitude and angle instead of real and imaginary part.
    fixed_frequency : bool
        Frequency and its rate as 16-bit integers instead of floats.
    """

    address: str
    port: int = 4712
    udp_port: int = 0
    udp_to: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    maximum_clients: int = 4
    id_code: int = 1
    station: str = ""
    algorithm: str = "phasors"
    polar: bool = False
    fixed_frequency: bool = False


class Outputs(Strict, frozen=True):
    """Where measurements go besides the brokers; nowhere unless said."""

    c37_118: SynchrophasorStream | None = None


class ImageSetting(Strict, frozen=True):
    """
    Which image the root slots of a meter hold, and when it may restart into another one.

    Attributes
    ----------
    name : str
        As the image says of itself.
    version : str
        Exact version, or empty for the one that is there.
    package : PackageReference or None
        Its signed manifest (`device_catalog.contract.images`); stated with the version.
    rollout : str
        The rollout that chose the version; empty where a person did.
    probation : float
        How long it has to be well after its start before it is confirmed [s].
    windows : tuple of str
        Times of the day in UTC such as ``01:00-04:30`` at which the meter may restart into it; empty for any.
    rate : float
        It is downloaded no faster than this [bytes/s].
    """

    name: str
    version: str = ""
    package: PackageReference | None = None
    rollout: str = ""
    probation: float = 300.0
    windows: tuple[str, ...] = ()
    rate: float = 256_000.0


class Commissioning(Strict, frozen=True):
    """
    Whether the commissioning page of a meter is to be opened again.

    Attributes
    ----------
    reopened : datetime or None
        Another commissioning is wanted after this; the page closes when a report that was made later is accepted.
    """

    reopened: datetime | None = None


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
    recorder : Recorder or None
        None for a device that keeps no waveforms.
    outputs : Outputs
    image : ImageSetting or None
        None for a device whose image nobody changes from afar.
    commissioning : Commissioning or None
        None where one commissioning was enough.
    """

    brokers: Brokers = Brokers()
    acquisition: Acquisition | None = None
    algorithms: tuple[Assignment, ...] = ()
    poll: Poll = Poll()
    terminal: str = ""
    topology: TopologyReference | None = None
    recorder: Recorder | None = None
    outputs: Outputs = Outputs()
    image: ImageSetting | None = None
    commissioning: Commissioning | None = None


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
    recordings : tuple of str
        Recordings (`device_catalog.contract.recordings`) that the device should hand over.
    calibration : Calibration or None
        The newest that the catalog knows; a newer one of the device's own counts more.
    support : SupportWish or None
        What is wanted to help the device; stated only while something is.
    """

    device: str
    tenant: str
    revision: int
    issued: datetime
    configuration: Configuration
    expires: datetime | None = None
    recordings: tuple[str, ...] = ()
    calibration: Calibration | None = None
    support: SupportWish | None = None
