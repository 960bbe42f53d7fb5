"""
Versions that run beside those in force, on the same records, to be compared with them and nothing else.

Where it stands: `updates` says which are wanted and when one has to go; the process is confined like any other and
goes behind everything else on the machine. What it makes goes into a `comparison`, its state is never kept: each of its
starts begins with the newest state of the version in force. Where that one loses anything while its shadow runs, the
shadow stands back for a while: it is dropped first.
"""

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from agent.clock import Clock
from agent.errors import AgentError, TrustError
from agent.running import RunningSet
from agent.supervised_algorithm import SupervisedAlgorithm
from agent.updates.comparison import Comparison, Verdict
from agent.updates.fetches import Fetches
from agent.updates.journal import Chosen, Journal
from agent.updates.places import Places
from algorithms.api.records import Record
from device_catalog.contract.documents import Assignment
from device_catalog.contract.reports import AlgorithmReport, ShadowReport

log = logging.getLogger(__name__)

LOOK = 1.0
"""How often is looked whether the one in force suffers [s]."""

STANDING_BACK = 600.0
"""How long a shadow stays away where the one in force lost something beside it [s]."""


def shadow_of(assignment: Assignment) -> Chosen | None:
    """Say which version is to run beside the one in force, and with what; None for none."""
    shadow = assignment.shadow
    if shadow is None:
        return None
    settings = assignment.settings if shadow.settings is None else shadow.settings
    return Chosen(shadow.version, shadow.package, settings, assignment.limits)


class Shadow:
    """
    One version beside the one in force.

    Parameters
    ----------
    assignment : Assignment
        Of the one in force.
    chosen : Chosen
    running : RunningSet
    journal : Journal
    places : Places
    fetches : Fetches
    clock : Clock
    """

    def __init__(
        self,
        assignment: Assignment,
        chosen: Chosen,
        running: RunningSet,
        journal: Journal,
        *,
        places: Places,
        fetches: Fetches,
        clock: Clock,
    ) -> None:
        self.chosen = chosen
        self._assignment = chosen.put_into(assignment)
        self._running = running
        self._journal = journal
        self._places = places
        self._fetches = fetches
        self._clock = clock
        self._one: SupervisedAlgorithm | None = None
        self._comparison: Comparison | None = None
        self._step = "pending"
        self._problem = ""
        self._task = asyncio.get_running_loop().create_task(self._live(), name=f"shadow {assignment.algorithm}")

    @property
    def name(self) -> str:
        """Of the algorithm."""
        return self._assignment.algorithm

    async def drop(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stop()

    def report(self, in_force: AlgorithmReport | None) -> ShadowReport:
        """Say what came of it so far."""
        verdict = Verdict() if self._comparison is None else self._comparison.verdict
        own = None if self._one is None else self._one.report()
        return ShadowReport(
            version=self.chosen.version,
            state=self._step if own is None else own.state,
            **msgspec.structs.asdict(verdict),
            processor=0.0 if own is None else own.processor,
            processor_in_force=0.0 if in_force is None else in_force.processor,
            memory=0 if own is None else own.memory,
            memory_in_force=0 if in_force is None else in_force.memory,
            restarts=0 if own is None else own.restarts,
            last_error=self._problem or ("" if own is None else own.last_error),
        )

    async def _live(self) -> None:
        package = self.chosen.package
        try:
            if package is not None and not self._places.has(self.name, self.chosen):
                self._step = "downloading"
                await self._fetches.fetch(self.name, self.chosen.version, package, self._complain)
        except TrustError as error:
            self._step = "failed"
            self._complain(str(error))
            return
        while True:
            self._problem = ""
            await self._start()
            await self._until_the_other_suffers()
            await self._stop()
            self._step = "deferred"
            self._complain("the version in force lost records or samples beside it; it stands back for a while")
            await asyncio.sleep(STANDING_BACK)

    async def _start(self) -> None:
        self._comparison = Comparison(self._clock.monotonic())
        own = f"{self.name}.shadow"
        self._one = one = self._running.make(
            self._assignment, state_name=own, inherits=self._journal.state_name(self.name), background=True
        )
        one.through = self._take
        self._running.watchers[self.name] = self._watch
        self._running.stand_beside(one)
        before = self._running.in_force(self.name)
        if before is not None:
            one.begin_with(await before.hand_over())  # and it is fed whatever is fed from here on
        try:
            if await one.start():
                self._running.began(one)
        except AgentError as error:
            one.retry(error)

    async def _until_the_other_suffers(self) -> None:
        lost = None
        while True:
            await asyncio.sleep(LOOK)
            if self._comparison is not None:
                self._comparison.expire(self._clock.monotonic())
            other = self._running.in_force(self.name)
            if other is None or not other.runs:
                lost = None
                continue
            now = other.status.dropped + other.status.lost_samples
            if lost is not None and now > lost:
                return
            lost = now

    async def _stop(self) -> None:
        one, self._one = self._one, None
        self._running.watchers.pop(self.name, None)
        if one is not None:
            self._running.leave(one)
            await one.stop()

    def _take(self, records: Sequence[Record]) -> Sequence[Record]:
        if self._comparison is not None:
            self._comparison.shadow(records, self._clock.monotonic())
        return ()

    def _watch(self, records: Sequence[Record]) -> None:
        one = self._one
        if self._comparison is not None and one is not None and one.runs:
            self._comparison.in_force(records, self._clock.monotonic())

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("the shadow %s %s: %s", self.name, self.chosen.version, problem)
        self._problem = problem
