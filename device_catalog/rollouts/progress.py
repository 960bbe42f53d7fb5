"""What becomes of a rollout: stopped by its failures, soaking, on to the next stage, finished. Pure."""

from enum import StrEnum
from typing import NamedTuple

from device_catalog.contract.rollout_rules import amount_of
from device_catalog.contract.rollouts import RolloutRequest
from device_catalog.rollouts.plan import wanted


class Next(StrEnum):
    """What is to be done with a rollout."""

    WAIT = "wait"
    FAIL = "fail"
    SOAK = "soak"
    ADVANCE = "advance"
    FINISH = "finish"
    JUDGE_SHADOW = "judge shadow"


class Standing(NamedTuple):
    """
    How far a rollout is.

    Attributes
    ----------
    members : int
    stage : int
        Counted from 0; -1 while the version only runs beside.
    chosen, done, failures : int
        Devices that were told and have not said what came of it, that are done, that count as failed.
    ready : int
        Devices that are there and were not told yet.
    soaking_ns : int or None
    """

    members: int
    stage: int
    chosen: int
    done: int
    failures: int
    ready: int
    soaking_ns: int | None


def target(request: RolloutRequest, stage: int, members: int) -> int:
    """Tell how many devices a stage and those before are for; stage -1 is the time of the shadow."""
    if stage < 0:
        return wanted(request.shadow.percent if request.shadow else 100.0, members)
    return wanted(request.stages[min(stage, len(request.stages) - 1)].percent, members)


def may_be_told(request: RolloutRequest, stage: int, members: int, chosen: int, decided: int) -> int:
    """
    Tell how many devices may have been told in a stage.

    A stage that ended early because nobody else was there is made up for when they come: no more are told than the
    first stage is for that was not filled yet.
    """
    while stage > 0 and decided < target(request, stage - 1, members):
        stage -= 1
    return target(request, stage, members) - chosen - decided


def may_be_told_late(request: RolloutRequest, members: int, chosen: int, decided: int) -> int:
    """Tell how many devices may be told that come once a rollout is finished: at once as many as in the first stage."""
    return min(members - chosen - decided, target(request, 0, members) - chosen)


def allowed_failures(request: RolloutRequest, stage: int, members: int) -> int:
    """Tell how many failures do not stop a stage."""
    return amount_of(request.max_failures, target(request, stage, members))


def soak(request: RolloutRequest, stage: int) -> float:
    """Tell how long a stage is watched [s]."""
    if stage < 0:
        return request.shadow.soak if request.shadow else 0.0
    return request.stages[min(stage, len(request.stages) - 1)].soak


def next_step(request: RolloutRequest, standing: Standing, now_ns: int) -> Next:
    """
    Decide what is to be done with a running rollout.

    A stage is full when all it is for are decided, or nobody else who is there is left; those who are away get the
    version later, in portions (`may_be_told`, `may_be_told_late`). Without a single device that is done it never ends:
    nobody has proved the version.
    """
    members, stage = standing.members, standing.stage
    if standing.failures > allowed_failures(request, stage, members):
        return Next.FAIL
    decided = standing.done + standing.failures
    full = standing.chosen == 0 and standing.done > 0
    full = full and (decided >= target(request, stage, members) or standing.ready == 0)
    if not full:
        return Next.WAIT
    if standing.soaking_ns is None:
        return Next.SOAK
    if now_ns - standing.soaking_ns < soak(request, stage) * 1e9:
        return Next.WAIT
    if stage < 0:
        return Next.JUDGE_SHADOW
    return Next.FINISH if stage >= len(request.stages) - 1 else Next.ADVANCE
