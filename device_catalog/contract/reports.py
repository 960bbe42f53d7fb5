"""
What a device says of itself: the revision it applied, what runs and how well, its links, its clock, its services.

The counterpart of `documents`: there stands what it should do, here what it does. Reported whole at the start and
then only what changed (RFC 7396). Unknown fields are ignored: a newer agent may say more.
"""

from datetime import datetime

import msgspec

from algorithms.api.errors import Problem


class UpdateReport(msgspec.Struct, frozen=True):
    """
    Where the newest change of an algorithm's version stands.

    Attributes
    ----------
    version : str
        The one that was asked for.
    step : str
        ``pending``, ``downloading``, ``installed``, ``starting``, ``probation``, ``active``, ``deferred`` or
        ``failed``; a version that failed is not tried again until another is asked for.
    reason : str
        Why it failed or waits, in one sentence.
    log : tuple of str
        The last lines that the failed version said.
    rollout : str
        The rollout that asked for it.
    """

    version: str
    step: str
    reason: str = ""
    log: tuple[str, ...] = ()
    rollout: str = ""


class ShadowReport(msgspec.Struct, frozen=True):
    """
    What came of running a version beside the one in force.

    Attributes
    ----------
    version : str
    state : str
        As of `AlgorithmReport`, or a step of `UpdateReport` before it runs.
    compared, differing, missing, extra : int
        Records of both that were laid side by side, of them those that differ, and those that only the one in force or
        only the shadow made.
    largest : float
        The largest difference of a value, in proportion to it [1].
    where : str
        The field that differed most.
    processor, processor_in_force : float
        Share of one core [1].
    memory, memory_in_force : int
        Private memory [bytes].
    restarts : int
    last_error : str
    """

    version: str
    state: str
    compared: int = 0
    differing: int = 0
    missing: int = 0
    extra: int = 0
    largest: float = 0.0
    where: str = ""
    processor: float = 0.0
    processor_in_force: float = 0.0
    memory: int = 0
    memory_in_force: int = 0
    restarts: int = 0
    last_error: str = ""


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
    update : UpdateReport or None
        None where no version was ever asked for.
    shadow : ShadowReport or None
        None where nothing runs beside it.
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
    update: UpdateReport | None = None
    shadow: ShadowReport | None = None


class ImageReport(msgspec.Struct, frozen=True):
    """
    Which image a meter runs from, and where a change of it stands.

    Attributes
    ----------
    name, version : str
        Empty where the device has no slots.
    release : int
    slot : str
        The slot that it runs from.
    state : str
        ``running``, or ``trying`` until it is confirmed.
    before : str
        The version in the other slot, if the meter can go back to it.
    downloaded : float
        Of the image that is asked for [1].
    update : UpdateReport or None
        Where the newest change stands; ``deferred`` while it waits for a time at which the meter may restart.
    last_error : str
    """

    name: str
    version: str
    release: int = 0
    slot: str = ""
    state: str = "running"
    before: str = ""
    downloaded: float = 0.0
    update: UpdateReport | None = None
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


class CalibrationReport(msgspec.Struct, frozen=True):
    """The calibration in force: when, by whom, against what, and the channels whose constants it gives."""

    made: datetime
    by: str
    reference: str = ""
    channels: tuple[str, ...] = ()


class NetworkReport(msgspec.Struct, frozen=True):
    """The part of a network that a device's algorithms work on, and of which revisions; `area` is empty for all."""

    network: str
    area: str
    model_revision: int
    topology_revision: int


class RecordingsReport(msgspec.Struct, frozen=True):
    """
    How the event recorder is doing.

    Attributes
    ----------
    state : str
        ``watching``, ``recording`` or ``failing``.
    kept : int
        Recordings on the disk.
    bytes, budget : int
        What they take, and may take [bytes].
    recorded, dropped, skipped, failed : int
        Since the agent started: made, dropped to make room for others, not begun because there were too many or no
        samples of their time, and not made for another reason.
    last_error : str
    """

    state: str
    kept: int = 0
    bytes: int = 0
    budget: int = 0
    recorded: int = 0
    dropped: int = 0
    skipped: int = 0
    failed: int = 0
    last_error: str = ""


class TrustReport(msgspec.Struct, frozen=True):
    """
    Whom a device believes.

    Attributes
    ----------
    state : str
        ``none`` (no root of trust: everything is believed), ``awaited`` (a root, and nothing signed has come yet),
        ``unrestricted`` (the DSO has no policy) or ``policy``.
    policy : int
        Revision of the policy in force; 0 for none.
    expires : datetime or None
        Until when the DSO's signatures count.
    command_key : str
        Public half of the key by which this device signs orders; empty where it has none.
    refused_orders : int
        Since the agent started.
    last_refusal : str
        Which order was not obeyed, and why.
    last_error : str
        Why the policy was not renewed; empty where it was.
    least_policy : int
        The least revision that this device takes; while what is served is older or absent, the state is ``awaited``.
    """

    state: str = "none"
    policy: int = 0
    expires: datetime | None = None
    command_key: str = ""
    refused_orders: int = 0
    last_refusal: str = ""
    last_error: str = ""
    least_policy: int = 0


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
    calibration : CalibrationReport or None
        None where the settings' own constants count.
    recordings : RecordingsReport or None
        None where nothing is recorded.
    network : NetworkReport or None
        None where no algorithm needs one, or it has not come yet.
    trust : TrustReport
    image : ImageReport or None
        None where the device has no slots, and none was asked for.
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
    calibration: CalibrationReport | None = None
    recordings: RecordingsReport | None = None
    network: NetworkReport | None = None
    trust: TrustReport = TrustReport()
    image: ImageReport | None = None
    isolation: dict[str, bool] = {}
    services: dict[str, str] = {}
    problems: tuple[str, ...] = ()
