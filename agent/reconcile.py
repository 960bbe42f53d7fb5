"""
From what runs to what should run: the steps, as data. Pure and idempotent.

`reconcile(x, x)` is empty, so applying the same document twice does nothing, and what a new document leaves unchanged
is not touched. Steps come in the order in which they are carried out: what may be refused (a board, an algorithm's
settings) first, beside what runs; then, once nothing can be refused any more, the rest. `apply` carries them out and
goes back to what ran when one of the first is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind
from device_catalog.contract.documents import Acquisition, Assignment, Configuration, Poll
from device_catalog.contract.topics import BROKERS, BrokerName


@dataclass(frozen=True, slots=True)
class ReplaceSampler:
    """Sample as `acquisition` says instead of as before; None for not at all. May be refused."""

    acquisition: Acquisition | None


@dataclass(frozen=True, slots=True)
class StartAlgorithm:
    """Start an algorithm, beside its predecessor where it has one. May be refused."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class StopAlgorithm:
    """Stop an algorithm that is assigned no more."""

    name: str


@dataclass(frozen=True, slots=True)
class UpdateAssignment:
    """Take over what concerns the agent only (publishing rate, neighbours); the algorithm is not touched."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class SetEndpoints:
    """Use these endpoints of a broker, in order of preference."""

    broker: BrokerName
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetPoll:
    """Ask the catalog at this pace."""

    poll: Poll


Step = ReplaceSampler | StartAlgorithm | StopAlgorithm | UpdateAssignment | SetEndpoints | SetPoll


def reconcile(current: Configuration, desired: Configuration, infos: Mapping[str, AlgorithmInfo]) -> tuple[Step, ...]:
    """
    Work out the steps.

    Parameters
    ----------
    current, desired : Configuration
        `Configuration()` for an agent that runs nothing yet.
    infos : mapping
        What the algorithms that ran say of themselves, by name; one that never ran is missing.

    Examples
    --------
    >>> reconcile(Configuration(), Configuration(), {})
    ()
    """
    steps: list[Step] = []
    if current.acquisition != desired.acquisition:
        steps.append(ReplaceSampler(desired.acquisition))
    running = {assignment.algorithm: assignment for assignment in current.algorithms}
    wanted = {assignment.algorithm: assignment for assignment in desired.algorithms}
    for name, assignment in wanted.items():
        before = running.get(name)
        changed = before is None or _own_part(before) != _own_part(assignment)
        if changed or _surroundings(current, desired, infos.get(name)):
            steps.append(StartAlgorithm(assignment))
        elif before != assignment:
            steps.append(UpdateAssignment(assignment))
    steps.extend(StopAlgorithm(name) for name in running if name not in wanted)
    for broker in BROKERS:
        endpoints = getattr(desired.brokers, broker)
        if endpoints != getattr(current.brokers, broker):
            steps.append(SetEndpoints(broker, endpoints))
    if current.poll != desired.poll:
        steps.append(SetPoll(desired.poll))
    return tuple(steps)


def _own_part(assignment: Assignment) -> tuple[object, ...]:
    """Pick what an algorithm itself sees of its assignment."""
    return assignment.version, assignment.package, assignment.settings, assignment.limits


def _surroundings(current: Configuration, desired: Configuration, info: AlgorithmInfo | None) -> bool:
    """
    Tell whether the context of a running algorithm changes.

    One that never ran is no step: the supervisor goes on trying it, with the new context, and what it does not like
    was the same before. It must not hold back a document that changes something else.
    """
    if info is None:
        return False
    if current.terminal != desired.terminal:
        return True
    if (info.needs_network or info.uses_network) and _part(current) != _part(desired):
        return True
    if Kind.SAMPLES in info.consumes:
        return current.acquisition != desired.acquisition
    return _nominal(current.acquisition) != _nominal(desired.acquisition)


def _part(configuration: Configuration) -> tuple[str, str] | None:
    """Pick which part of which network; another revision of it is fetched apart, and algorithms are renewed then."""
    topology = configuration.topology
    return None if topology is None else (topology.network, topology.area)


def _nominal(acquisition: Acquisition | None) -> tuple[float, float] | None:
    return None if acquisition is None else (acquisition.nominal_frequency, acquisition.nominal_voltage)
