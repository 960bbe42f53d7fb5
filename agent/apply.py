"""
Carrying out the steps that `reconcile` worked out, all or nothing.

What may be refused comes first and beside what runs: a new sampler, new algorithms. When one refuses, the others that
were started for it are stopped, the sampler before comes back, and the caller gets every problem; what ran goes on.
Once nothing can be refused any more, the new algorithms take over, and what cannot fail follows.
"""

import logging
from typing import Protocol

from agent.endpoints import endpoint
from agent.errors import AgentError, AlgorithmRefused, ConfigError
from agent.pipeline import cycles
from agent.reconcile import (
    ReplaceSampler,
    SetEndpoints,
    SetPoll,
    StartAlgorithm,
    Step,
    StopAlgorithm,
    UpdateAssignment,
    reconcile,
)
from agent.running import RunningSet, Slot
from algorithms.api.errors import Problem
from device_catalog.contract.documents import Acquisition, Assignment, Configuration, Poll
from device_catalog.contract.topics import BROKERS, BrokerName

log = logging.getLogger(__name__)


class Surroundings(Protocol):
    """What the steps change besides the running set."""

    def set_endpoints(self, broker: BrokerName, endpoints: tuple[str, ...]) -> None:
        """Use these endpoints from now on."""

    def set_poll(self, poll: Poll) -> None:
        """Ask the catalog at this pace."""


async def apply(
    current: Configuration, desired: Configuration, running: RunningSet, surroundings: Surroundings, *, patient: bool
) -> tuple[Step, ...]:
    """
    Bring what runs from `current` to `desired`.

    Parameters
    ----------
    current, desired : Configuration
    running : RunningSet
    surroundings : Surroundings
    patient : bool
        Whether a source that does not start is tried again for ever instead of being a problem: at the agent's start,
        with settings that were good before, the board may only need a moment, or a hand.

    Returns
    -------
    tuple
        The steps carried out; empty where nothing had to change.

    Raises
    ------
    ConfigError
        With every problem; everything runs as before.
    """
    unreadable = _unreadable_endpoints(desired)
    if unreadable:
        raise ConfigError(unreadable)
    steps = reconcile(current, desired, running.infos)
    candidates: list[Slot] = []
    sampler = next((step for step in steps if isinstance(step, ReplaceSampler)), None)
    problems = await _start_sampler(running, sampler, patient=patient)
    if not problems:
        starts = [step.assignment for step in steps if isinstance(step, StartAlgorithm)]
        problems = await _start_algorithms(running, starts, desired, candidates)
    if problems:
        for slot in candidates:
            await running.discard(slot)
        if sampler is not None:
            await _go_back(running, current.acquisition)
        raise ConfigError(problems)
    removed = [step.name for step in steps if isinstance(step, StopAlgorithm)]
    updated = [step.assignment for step in steps if isinstance(step, UpdateAssignment)]
    await running.adopt(candidates, removed, updated)
    for step in steps:
        if isinstance(step, SetEndpoints):
            surroundings.set_endpoints(step.broker, step.endpoints)
        elif isinstance(step, SetPoll):
            surroundings.set_poll(step.poll)
    return steps


def _unreadable_endpoints(desired: Configuration) -> list[Problem]:
    problems = []
    for broker in BROKERS:
        for url in getattr(desired.brokers, broker):
            try:
                endpoint(url)
            except ValueError as error:
                problems.append(Problem(f"brokers.{broker}", "an endpoint such as mqtt://host:1883", str(error)))
    return problems


async def _start_sampler(running: RunningSet, step: ReplaceSampler | None, *, patient: bool) -> list[Problem]:
    if step is None:
        return []
    try:
        await running.replace_sampler(step.acquisition)
    except AgentError as error:
        if patient:
            running.retry_sampler(step.acquisition, str(error))
            return []
        driver = step.acquisition.driver if step.acquisition is not None else "none"
        return [Problem("acquisition", f"a source '{driver}' that grants what is asked", str(error))]
    return []


async def _start_algorithms(
    running: RunningSet, assignments: list[Assignment], desired: Configuration, candidates: list[Slot]
) -> list[Problem]:
    """Start all of them, so that the problems of all are found at once."""
    problems: list[Problem] = []
    places = {assignment.algorithm: index for index, assignment in enumerate(desired.algorithms)}
    for assignment in assignments:
        where = f"algorithms[{places[assignment.algorithm]}]"
        try:
            slot = await running.start_candidate(assignment)
        except AlgorithmRefused as refusal:
            problems.extend(
                Problem(f"{where}.{problem.where}", problem.expected, problem.found, problem.remedy)
                for problem in refusal.problems
            )
        except AgentError as error:
            problems.append(Problem(where, f"an algorithm '{assignment.algorithm}' that starts", str(error)))
        else:
            candidates.append(slot)
            found = slot.info.version if slot.info is not None else ""
            if assignment.version and assignment.version != found:
                problems.append(Problem(f"{where}.version", assignment.version, found, "install it, or leave it empty"))
    infos = {name: info for name, info in running.infos.items() if name in places}
    infos.update({slot.name: slot.info for slot in candidates if slot.info is not None})
    return problems or cycles(infos)


async def _go_back(running: RunningSet, acquisition: Acquisition | None) -> None:
    """Bring the sampler before back; where even that fails, the supervisor goes on trying."""
    try:
        await running.replace_sampler(acquisition)
    except AgentError as error:
        log.error("the source before does not come back: %s", error)
        running.retry_sampler(acquisition, str(error))
