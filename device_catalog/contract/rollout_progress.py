"""
How far a rollout has come, on the wire: what the catalog answers about one, all of them, and each device.

What an operator asks for, and the states that are counted here, stand in `rollouts`.
"""

from datetime import datetime

import msgspec

from device_catalog.contract.documents import PackageReference
from device_catalog.contract.rollouts import Back, DeviceState, RolloutRequest, RolloutState, Selector, Stage


class Counts(msgspec.Struct, frozen=True):
    """
    Devices of a rollout.

    Attributes
    ----------
    members : int
        Who fits at present, those that a newer rollout took over left out.
    away : int
        Of these, who is not there and was not told yet; they get it when they are back.
    chosen, done, failed, overdue, superseded, overridden : int
        By `DeviceState`.
    going_back, back : int
        Of those that were told, who is on the way back to the version before, and who has arrived.
    """

    members: int = 0
    away: int = 0
    chosen: int = 0
    done: int = 0
    failed: int = 0
    overdue: int = 0
    superseded: int = 0
    overridden: int = 0
    going_back: int = 0
    back: int = 0


class Comparison(msgspec.Struct, frozen=True):
    """
    What the shadows of all devices came to.

    Attributes
    ----------
    devices : int
        That have compared anything.
    compared, differing, missing, extra : int
        As of `ShadowReport`.
    largest : float
        [1]
    where : str
        Device and field of the largest difference.
    processor_ratio, memory_ratio : float
        In proportion to the version in force, where that is most [1]; 0 where nothing is known.
    crashes : int
    verdict : str
        ``equal``, ``different`` or ``open`` while too little was compared.
    reasons : tuple of str
        Why it is not ``equal``, in sentences.
    """

    devices: int = 0
    compared: int = 0
    differing: int = 0
    missing: int = 0
    extra: int = 0
    largest: float = 0.0
    where: str = ""
    processor_ratio: float = 0.0
    memory_ratio: float = 0.0
    crashes: int = 0
    verdict: str = "open"
    reasons: tuple[str, ...] = ()


class RolloutSummary(msgspec.Struct, frozen=True):
    """
    One rollout in a list.

    Attributes
    ----------
    rollout, algorithm, version : str
    state : RolloutState
    reason : str
        Why it is paused, aborted or failed.
    shadowing : bool
        Whether the version runs beside the one in force so far, and no stage has begun.
    stage : int
        Counted from 0.
    stages : tuple of Stage
    soaking_since : datetime or None
        Since when everybody of the stage has it.
    counts : Counts
    allowed_failures : int
        So many do not stop the present stage.
    to : Selector
    created, changed : datetime
    author : str
    restoring : bool
        Whether devices are still to be told to go back.
    """

    rollout: str
    algorithm: str
    version: str
    state: RolloutState
    reason: str
    shadowing: bool
    stage: int
    stages: tuple[Stage, ...]
    soaking_since: datetime | None
    counts: Counts
    allowed_failures: int
    to: Selector
    created: datetime
    changed: datetime
    author: str
    restoring: bool = False


class RolloutPage(msgspec.Struct, frozen=True):
    """Part of a list, newest first, and the cursor of the next part; empty at the end."""

    items: tuple[RolloutSummary, ...]
    next: str = ""


class Transition(msgspec.Struct, frozen=True):
    """Something that happened to a rollout: when, by whom, what."""

    time: datetime
    actor: str
    action: str
    detail: str


class DeviceProgress(msgspec.Struct, frozen=True):
    """
    One device of a rollout.

    Attributes
    ----------
    device : str
    state : DeviceState
    since : datetime
    stage : int
        In which it was chosen; -1 for the time of the shadow.
    step : str
        As of `UpdateReport`, as far as it said.
    reason : str
    log : tuple of str
        What the failed version said last.
    back : Back
    before : str
        The version it had been given before; empty where none was stated.
    """

    device: str
    state: DeviceState
    since: datetime
    stage: int
    step: str = ""
    reason: str = ""
    log: tuple[str, ...] = ()
    back: Back = Back.NO
    before: str = ""


class DevicePage(msgspec.Struct, frozen=True):
    """Part of the devices of a rollout that were told, and the cursor of the next part; empty at the end."""

    items: tuple[DeviceProgress, ...]
    next: str = ""


class RolloutDetail(msgspec.Struct, frozen=True):
    """
    All about one rollout.

    Attributes
    ----------
    summary : RolloutSummary
    request : RolloutRequest
    package : PackageReference
    comparison : Comparison or None
        None where there was no shadow.
    troubled : tuple of DeviceProgress
        Devices that failed, the newest first; the first few.
    transitions : tuple of Transition
        Newest first; the last few.
    """

    summary: RolloutSummary
    request: RolloutRequest
    package: PackageReference
    comparison: Comparison | None = None
    troubled: tuple[DeviceProgress, ...] = ()
    transitions: tuple[Transition, ...] = ()
