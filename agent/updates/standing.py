"""
What of a configuration can run now, and which algorithms a change of it touches: pure.

Where it stands: between a document and its application, asked by `updates`. What the journal says is in force runs
until another version has proved itself, as a whole: the settings of a version that is not in force are not, either.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from agent.reconcile import ReplaceSampler, StartAlgorithm, Step, StopAlgorithm, UpdateAssignment
from agent.updates.journal import Chosen, Entry
from device_catalog.contract.documents import Assignment, Configuration


class Entries(Protocol):
    """What is known of algorithms."""

    def __getitem__(self, algorithm: str, /) -> Entry | None:
        """Return what is known of an algorithm that was ever updated; None for the others."""


def possible(configuration: Configuration, entries: Entries) -> Configuration:
    """Replace in a configuration what cannot run yet by what runs in its place."""
    algorithms = (_possible(assignment, entries[assignment.algorithm]) for assignment in configuration.algorithms)
    return msgspec.structs.replace(configuration, algorithms=tuple(one for one in algorithms if one is not None))


def _possible(assignment: Assignment, entry: Entry | None) -> Assignment | None:
    if entry is None:
        return assignment if assignment.package is None else None
    active = entry.active
    if active is None or active.is_version_of(Chosen.of(assignment)):
        return None if active is None else assignment
    return active.put_into(assignment)


def touched(before: Configuration, wanted: Configuration, steps: Iterable[Step], others: set[str]) -> set[str]:
    """
    Name the algorithms that notice a change.

    Parameters
    ----------
    before, wanted : Configuration
    steps : iterable of Step
        That lead from what ran to what will.
    others : set of str
        Those of which more than one version runs.
    """
    names: set[str] = set()
    for step in steps:
        match step:
            case StartAlgorithm() | UpdateAssignment():
                names.add(step.assignment.algorithm)
            case StopAlgorithm():
                names.add(step.name)
            case ReplaceSampler():
                names |= others
            case _:
                continue
    if _place(before) != _place(wanted):
        names |= others
    return names


def _place(configuration: Configuration) -> tuple[str, ...]:
    """Say where a device stands; another revision of its network is fetched apart."""
    topology = configuration.topology
    return configuration.terminal, *(() if topology is None else (topology.network, topology.area))
