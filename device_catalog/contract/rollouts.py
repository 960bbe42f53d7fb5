"""
Rollouts on the wire: what an operator asks for, and the states that a rollout and its devices go through.

A rollout brings one version of one algorithm to the devices that a `Selector` names, stage by stage; `rollout_rules`
says what can be wrong with a request, `rollout_progress` has what the catalog answers, `groups` the groups that a
selector may name. What people write is refused where it has a field nobody knows; answers may grow.
"""

from enum import StrEnum
from typing import Any

import msgspec

from device_catalog.contract.documents import Strict
from device_catalog.contract.register import DeviceKind

Amount = int | str
"""A number of devices, or a share of them such as ``1%``."""


class RolloutState(StrEnum):
    """Where a rollout stands."""

    RUNNING = "running"
    PAUSED = "paused"
    ABORTED = "aborted"
    """A person ended it; every device it touched goes back."""
    FINISHED = "finished"
    """Every stage is behind it; members that come or come back later get the version too."""
    FAILED = "failed"
    """It stopped itself because of its failures; every device it touched goes back."""


class DeviceState(StrEnum):
    """Where a device stands in a rollout that chose it."""

    CHOSEN = "chosen"
    """It was told, and has not said yet what came of it."""
    DONE = "done"
    FAILED = "failed"
    """It said so, or what runs there is no good; it goes back at once."""
    OVERDUE = "overdue"
    """It was not done within the deadline, or fell silent; counts as failed until it is done after all."""
    SUPERSEDED = "superseded"
    """A newer rollout took it over."""
    OVERRIDDEN = "overridden"
    """A person configured another version there meanwhile; that counts."""


class Back(StrEnum):
    """Whether a device goes back to what it did before."""

    NO = ""
    GOING = "going"
    THERE = "there"


class Order(StrEnum):
    """What can be done with a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    PROMOTE = "promote"


class Selector(Strict, frozen=True):
    """
    Which devices a rollout is for; every field that is given must fit.

    Attributes
    ----------
    groups : tuple of str
        Members of any of these.
    devices : tuple of str
        These by name.
    kind, tenant, network, area, using : str
        As devices are configured; `using` names an algorithm.
    fixed : bool
        Whether membership is settled at the start; otherwise whoever fits later is a member from then on.
    """

    groups: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    kind: DeviceKind | None = None
    tenant: str = ""
    network: str = ""
    area: str = ""
    using: str = ""
    fixed: bool = False


class Stage(Strict, frozen=True):
    """
    One step of a rollout.

    Attributes
    ----------
    percent : float
        Of the members, this stage and those before together.
    soak : float
        How long all is watched once they have the version, before the next stage begins [s].
    """

    percent: float
    soak: float = 3600.0


class Budget(Strict, frozen=True):
    """
    How many devices may be changing at the same moment.

    Attributes
    ----------
    per_area : int or str
        Of one area of a network, whose readings are estimated together: a number, or a share such as ``20%`` (one at
        least); 0 for any.
    per_network : int or str
        Of one network, such as a feeder.
    """

    per_area: Amount = 1
    per_network: Amount = 0


class ShadowTest(Strict, frozen=True):
    """
    A time in which the new version runs beside the old one, and what it must be like to be promoted.

    Attributes
    ----------
    percent : float
        Of the members, who run it beside.
    soak : float
        How long, from when they all do [s].
    promote_when_equal : bool
        Whether the stages begin by themselves after that; otherwise a person says so.
    compared : int
        Records that must have been laid side by side, on all devices together; of one at most twice its part counts.
    differing, missing, extra : float
        The share of a device's records that may differ, or that one of the two versions alone made, in the mean of
        the devices [1].
    largest : float
        As long as no value anywhere differs by more, in proportion to it, no record counts as differing [1].
    processor_ratio, memory_ratio : float
        What it may take in proportion to the one in force, on the device where that is most [1].
    crashes : int
        On all devices together.
    """

    percent: float = 100.0
    soak: float = 3600.0
    promote_when_equal: bool = False
    compared: int = 100
    differing: float = 0.0
    missing: float = 0.0
    extra: float = 0.0
    largest: float = 0.0
    processor_ratio: float = 1.5
    memory_ratio: float = 1.5
    crashes: int = 0


class RolloutRequest(Strict, frozen=True):
    """
    What an operator asks for.

    Attributes
    ----------
    algorithm, version : str
        A version that the signed repository holds.
    to : Selector
    stages : tuple of Stage
        Rising; the last one's percentage is where it ends.
    max_failures : int or str
        More than this, a number or a share of those the stage is for, stops the rollout and takes everything back.
    deadline : float
        What is not done so long after a device was told counts as failed [s]; a probation under way may end.
    probation : float or None
        How long the version has to prove itself on each device [s]; None for what is configured there.
    budget : Budget
    shadow : ShadowTest or None
        None to begin with the stages at once.
    add : bool
        Whether members that do not run the algorithm get it too; otherwise only its version changes, where it is.
    settings : dict
        Of the algorithm, where it is added.
    supersede : bool
        Whether it may take devices over from another rollout of the same algorithm that is under way.
    image : bool
        Whether it is about an image of root slots; the catalog says so itself.
    """

    algorithm: str
    version: str
    to: Selector
    stages: tuple[Stage, ...] = (Stage(1.0), Stage(10.0), Stage(100.0))
    max_failures: Amount = "1%"
    deadline: float = 1800.0
    probation: float | None = None
    budget: Budget = Budget()
    shadow: ShadowTest | None = None
    add: bool = False
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    supersede: bool = False
    image: bool = False


class RolloutOrder(Strict, frozen=True):
    """
    What is to be done with a rollout.

    Attributes
    ----------
    order : Order
    reason : str
        For those who read it later.
    anyway : bool
        Promote although the comparison does not say that both versions are equal.
    """

    order: Order
    reason: str = ""
    anyway: bool = False
