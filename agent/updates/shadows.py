"""Which shadows run: one of each algorithm at most, and none while an update of it is under way."""

import asyncio
from collections.abc import Iterator, Mapping

import msgspec

from agent.clock import Clock
from agent.running import RunningSet
from agent.updates.fetches import Fetches
from agent.updates.journal import Chosen, Journal
from agent.updates.places import Places
from agent.updates.shadow import Shadow, shadow_of
from device_catalog.contract.documents import Assignment
from device_catalog.contract.reports import AlgorithmReport


class Shadows:
    """
    The shadows of one agent.

    Parameters
    ----------
    running : RunningSet
    journal : Journal
    places : Places
    fetches : Fetches
    clock : Clock
    """

    def __init__(
        self, running: RunningSet, journal: Journal, *, places: Places, fetches: Fetches, clock: Clock
    ) -> None:
        self._running = running
        self._journal = journal
        self._places = places
        self._fetches = fetches
        self._clock = clock
        self._shadows: dict[str, Shadow] = {}

    @property
    def names(self) -> set[str]:
        """Algorithms that have one."""
        return set(self._shadows)

    def chosen(self) -> Iterator[tuple[str, Chosen]]:
        """List the versions that run beside others."""
        for name, shadow in self._shadows.items():
            yield name, shadow.chosen

    async def want(self, name: str, assignment: Assignment | None) -> None:
        """Have the shadow run that an assignment asks for, and no other; None for an algorithm assigned no more."""
        chosen = None if assignment is None else shadow_of(assignment)
        if name in self._shadows and self._shadows[name].chosen != chosen:
            await self.drop(name)
        if assignment is None or chosen is None or name in self._shadows:
            return
        self._shadows[name] = Shadow(
            assignment,
            chosen,
            self._running,
            self._journal,
            places=self._places,
            fetches=self._fetches,
            clock=self._clock,
        )

    async def drop(self, name: str) -> None:
        """End an algorithm's shadow, if it has one."""
        shadow = self._shadows.pop(name, None)
        if shadow is not None:
            await shadow.drop()

    def reports(self, reports: Mapping[str, AlgorithmReport]) -> dict[str, AlgorithmReport]:
        """Add to the algorithms' reports what became of their shadows."""
        return {
            name: msgspec.structs.replace(report, shadow=self._shadows[name].report(report))
            if name in self._shadows
            else report
            for name, report in reports.items()
        }

    async def close(self) -> None:
        """End all."""
        await asyncio.gather(*(shadow.drop() for shadow in self._shadows.values()))
