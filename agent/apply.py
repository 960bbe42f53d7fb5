"""
Carrying out the steps that `reconcile` worked out, all or nothing.

What may be refused comes first and beside what runs: a new sampler, new algorithms. When one refuses, the others that
were started for it are stopped, the sampler before comes back, and the caller gets every problem; what ran goes on. A
board has one owner: before the source changes, what reads it gives its state and ends, and then its successor goes on.
Once nothing can be refused any more, the new algorithms take over, and what cannot fail follows.

At the agent's start nothing runs that could go on instead. Then what can start does, and the supervisor goes on trying
the rest: one algorithm that an update broke must not keep a meter from measuring.
"""

import logging
from typing import Protocol

from agent.delivery.endpoints import endpoint
from agent.errors import AgentError, AlgorithmRefused, ConfigError
from agent.pipeline import contested, cycles
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
from agent.running import RunningSet
from agent.supervised_algorithm import SupervisedAlgorithm
from algorithms.api.errors import Problem
from algorithms.api.manifest import AlgorithmInfo
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
        Whether a source or an algorithm that does not start is tried again instead of being a problem: at the agent's
        start, with settings that were good before, the board may only need a moment, or a hand.

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
    starts = [step.assignment for step in steps if isinstance(step, StartAlgorithm)]
    sampler = next((step for step in steps if isinstance(step, ReplaceSampler)), None)
    candidates: list[SupervisedAlgorithm] = []
    try:
        problems = await _start_sampler(running, sampler, patient=patient)
        problems = problems or await _start_algorithms(running, starts, desired, candidates, patient=patient)
    except BaseException:  # the agent ends
        await _discard(candidates)
        raise
    if problems:
        await _discard(candidates)
        if sampler is not None:
            await _go_back(running, current.acquisition)
        running.wake()
        raise ConfigError(problems)
    removed = [step.name for step in steps if isinstance(step, StopAlgorithm)]
    updated = [step.assignment for step in steps if isinstance(step, UpdateAssignment)]
    await running.adopt(candidates, removed, updated)
    running.wake()
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
    await running.rest()
    try:
        await running.sampler.replace(step.acquisition)
    except AgentError as error:
        if patient:
            running.sampler.retry(step.acquisition, str(error))
            return []
        driver = step.acquisition.driver if step.acquisition is not None else "none"
        return [Problem("acquisition", f"a source '{driver}' that grants what is asked", str(error))]
    return []


async def _start_algorithms(
    running: RunningSet,
    assignments: list[Assignment],
    desired: Configuration,
    candidates: list[SupervisedAlgorithm],
    *,
    patient: bool,
) -> list[Problem]:
    """Start all of them, so that the problems of all are found at once."""
    problems: list[Problem] = []
    places = {assignment.algorithm: index for index, assignment in enumerate(desired.algorithms)}
    for assignment in assignments:
        where = f"algorithms[{places[assignment.algorithm]}]"
        candidate = await running.candidate(assignment)
        candidates.append(candidate)
        try:
            await candidate.start()
        except AgentError as error:
            if patient:
                candidate.retry(error)
            elif isinstance(error, AlgorithmRefused):
                problems.extend(
                    Problem(f"{where}.{problem.where}", problem.expected, problem.found, problem.remedy)
                    for problem in error.problems
                )
            else:
                problems.append(Problem(where, f"an algorithm '{assignment.algorithm}' that starts", str(error)))
    infos = {name: info for name, info in running.infos.items() if name in places}
    infos.update({candidate.name: candidate.info for candidate in candidates if candidate.info is not None})
    return problems or [*cycles(infos), *_contested(infos, candidates, places, patient=patient)]


def _contested(
    infos: dict[str, AlgorithmInfo], candidates: list[SupervisedAlgorithm], places: dict[str, int], *, patient: bool
) -> list[Problem]:
    """Refuse that two algorithms publish the same content; at the agent's start only say so, and measure."""
    found = contested({name: infos[name] for name in places if name in infos})
    problems = {
        name: Problem(f"algorithms[{places[name]}].algorithm", problem.expected, problem.found, problem.remedy)
        for name, problem in found.items()
    }
    if not patient:
        return list(problems.values())
    for candidate in candidates:
        if candidate.name in problems:
            candidate.complain(str(problems[candidate.name]))
    return []


async def _discard(candidates: list[SupervisedAlgorithm]) -> None:
    for candidate in candidates:
        await candidate.stop()


async def _go_back(running: RunningSet, acquisition: Acquisition | None) -> None:
    """Bring the sampler before back; where even that fails, the supervisor goes on trying."""
    try:
        await running.sampler.replace(acquisition)
    except AgentError as error:
        log.error("the source before does not come back: %s", error)
        running.sampler.retry(acquisition, str(error))
