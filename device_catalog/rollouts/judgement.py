"""
What a device's report and its silence mean for the rollout that chose it.

The device's own word on the update counts first (`UpdateReport`), then what runs there; what it was told in a revision
that it has not applied yet says nothing. Failed is final; who is overdue can still become done. Pure.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from device_catalog.contract.reports import AlgorithmReport, ImageReport, Refusal, UpdateReport
from device_catalog.contract.rollouts import Back, DeviceState

RESTARTS = 3
"""So often may a new version have been restarted since it was done, before it counts as failed."""

LOG_LINES = 20
LOG_LINE = 500
"""Of a failed version's last words so much is kept."""


class Report(msgspec.Struct, frozen=True):
    """The part of a device's report that matters here."""

    applied_revision: int = 0
    refused: Refusal | None = None
    algorithms: dict[str, AlgorithmReport] = {}
    image: ImageReport | None = None

    def of(self, name: str) -> AlgorithmReport | None:
        """Give what is said of an algorithm; an image is looked at as if it were one."""
        image = self.image
        if image is None or name in self.algorithms or image.name not in (name, ""):
            return self.algorithms.get(name)
        state = "running" if image.state == "running" and image.name else "starting"
        return AlgorithmReport(image.version, state, last_error=image.last_error, update=image.update)


class Told(NamedTuple):
    """
    What is known of a device that was told.

    Attributes
    ----------
    state : DeviceState
    since_ns : int
        Since when it is in that state.
    revision : int
        Of the desired document that told it.
    restarts : int
        Of the algorithm when it was done.
    """

    state: DeviceState
    since_ns: int
    revision: int
    restarts: int


class Verdict(NamedTuple):
    """Where a device stands now; `restarts` is where counting begins."""

    state: DeviceState
    step: str = ""
    reason: str = ""
    log: tuple[str, ...] = ()
    restarts: int = 0


class Target(NamedTuple):
    """What a device should run: the algorithm, the version, whether beside the one in force, and by which rollout."""

    rollout: str
    algorithm: str
    version: str
    shadow: bool = False


def judge(
    target: Target,
    told: Told,
    report: Report | None,
    *,
    silent: float,
    now_ns: int,
    deadline: float,
    probation: Callable[[], float],
    wait: float = 0.0,
) -> Verdict:
    """
    Judge a device.

    Parameters
    ----------
    target : Target
    told : Told
    report : Report or None
        None where it never reported.
    silent : float
        How long it has not been heard [s]; 0 for a device that is there.
    now_ns : int
        [ns UTC]
    deadline : float
        [s]
    probation : callable
        Tells how long the version has to prove itself there [s]; asked where it is about that time.
    wait : float
        How long it may have to wait for a time at which it may change, as long as it is heard [s].
    """
    algorithm = None if report is None else report.of(target.algorithm)
    if told.state is DeviceState.DONE:
        if silent > deadline:
            return Verdict(DeviceState.OVERDUE, "", f"not heard for {_duration(silent)}", (), told.restarts)
        if not target.shadow:
            return _still_done(target, told, report, algorithm)
        beside = _shadowed(target, told, algorithm)
        return beside if beside.state is DeviceState.FAILED else Verdict(DeviceState.DONE, "running")
    verdict = _shadowed(target, told, algorithm) if target.shadow else _updated(target, told, report, algorithm)
    waited = (now_ns - told.since_ns) / 1e9
    deadline += 0.0 if silent else wait
    late = told.state is DeviceState.OVERDUE or waited > deadline
    if late and verdict.step == "probation" and not silent and told.state is DeviceState.CHOSEN:
        late = waited > deadline + probation()
    if late and verdict.state is DeviceState.CHOSEN:
        word = f"still {verdict.step}" if verdict.step else "nothing said of it"
        reason = f"{word} {_duration(deadline)} after it was told"
        if silent:
            reason = f"silent for {_duration(silent)}, not done {_duration(deadline)} after it was told"
        elif verdict.reason:
            reason = f"{reason}: {verdict.reason}"
        return verdict._replace(state=DeviceState.OVERDUE, reason=reason)
    return verdict


def runs_already(target: Target, report: Report | None) -> bool:
    """Tell whether a device that was never told runs the version."""
    algorithm = None if report is None else report.of(target.algorithm)
    return algorithm is not None and algorithm.version == target.version and algorithm.state == "running"


def is_back(target: Target, revision: int, before: str, report: Report | None) -> Back:
    """
    Tell whether a device that was told to go back has.

    Parameters
    ----------
    target : Target
    revision : int
        Of the desired document that told it to.
    before : str
        The version it goes back to; empty where none was named.
    report : Report or None
    """
    if report is None or report.applied_revision < revision:
        return Back.GOING
    algorithm = report.of(target.algorithm)
    if target.shadow:
        return Back.THERE if algorithm is None or algorithm.shadow is None else Back.GOING
    if algorithm is None:
        return Back.THERE if not before else Back.GOING
    right = algorithm.version == before if before else algorithm.version != target.version
    return Back.THERE if right and algorithm.state == "running" else Back.GOING


def _updated(target: Target, told: Told, report: Report | None, algorithm: AlgorithmReport | None) -> Verdict:
    """Judge a device that was told the version, and has not been done yet."""
    refused = None if report is None else report.refused
    if refused is not None and refused.revision >= told.revision:
        return Verdict(DeviceState.FAILED, "failed", "; ".join(str(problem) for problem in refused.problems[:3]))
    if report is None or algorithm is None:
        return Verdict(DeviceState.CHOSEN)
    applied = report.applied_revision >= told.revision
    update = _update_to(target, algorithm)
    if update is not None and update.step != "active" and (applied or update.rollout == target.rollout):
        if update.step == "failed":
            return _failed_update(update)
        return Verdict(DeviceState.CHOSEN, update.step, update.reason)
    if algorithm.version != target.version or not applied:
        return Verdict(DeviceState.CHOSEN)
    return _running(algorithm, Verdict(DeviceState.DONE, "active", restarts=algorithm.restarts))


def _shadowed(target: Target, told: Told, algorithm: AlgorithmReport | None) -> Verdict:
    """Judge a device that was told to run the version beside the one in force."""
    shadow = None if algorithm is None else algorithm.shadow
    if shadow is None or shadow.version != target.version:
        return Verdict(DeviceState.CHOSEN)
    if shadow.state in ("failed", "quarantined"):
        return Verdict(DeviceState.FAILED, shadow.state, shadow.last_error or "no reason given")
    state = DeviceState.DONE if shadow.state == "running" else DeviceState.CHOSEN
    return Verdict(state, shadow.state, restarts=told.restarts)


def _still_done(target: Target, told: Told, report: Report | None, algorithm: AlgorithmReport | None) -> Verdict:
    """Judge a device that was done: whether what it runs is still that, and well."""
    still = Verdict(DeviceState.DONE, "active", restarts=told.restarts)
    if report is None or report.applied_revision < told.revision:
        return still
    if algorithm is None:
        return Verdict(DeviceState.FAILED, "failed", "it no longer runs the algorithm")
    if algorithm.version != target.version:
        update = _update_to(target, algorithm)
        if update is not None and update.step == "failed":
            return _failed_update(update)
        return Verdict(DeviceState.FAILED, "failed", f"it went back to {algorithm.version} by itself")
    begun = min(told.restarts, algorithm.restarts)  # the agent itself began anew where there are fewer
    if algorithm.restarts - begun >= RESTARTS:
        reason = f"restarted {algorithm.restarts - begun} times: {algorithm.last_error or 'no reason given'}"
        return Verdict(DeviceState.FAILED, "failed", reason)
    return _running(algorithm, still._replace(restarts=begun), starting=still._replace(restarts=begun))


def _running(algorithm: AlgorithmReport, running: Verdict, starting: Verdict | None = None) -> Verdict:
    """Judge the process of the right version."""
    if algorithm.state == "quarantined":
        return Verdict(DeviceState.FAILED, "quarantined", algorithm.last_error or "no reason given")
    if algorithm.state == "running":
        return running
    return starting or Verdict(DeviceState.CHOSEN, algorithm.state)


def _update_to(target: Target, algorithm: AlgorithmReport) -> UpdateReport | None:
    """Give what a device says of its way to the version, if that is what it was asked for last."""
    update = algorithm.update
    return update if update is not None and update.version == target.version else None


def _failed_update(update: UpdateReport) -> Verdict:
    log = tuple(line[:LOG_LINE] for line in update.log[-LOG_LINES:])
    return Verdict(DeviceState.FAILED, "failed", update.reason or "no reason given", log)


def failures(states: Mapping[DeviceState, int]) -> int:
    """Count the devices that count as failed."""
    return states.get(DeviceState.FAILED, 0) + states.get(DeviceState.OVERDUE, 0)


def _duration(seconds: float) -> str:
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
