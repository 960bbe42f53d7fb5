"""
What runs: the sampler, the algorithms, and the way of records between them.

`apply` changes it, `supervised_sampler` and `supervised_algorithm` keep each of them going, `pipeline` says where a
record goes. Everything here happens in the agent's event loop, and nothing here waits for a process that does not
answer longer than `workers` allows.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agent.checkpoints import Keeper
from agent.clock import Clock
from agent.pipeline import Pipeline, Publication
from agent.processes.algorithm_messages import AlgorithmSpec
from agent.processes.sampler import Sampler
from agent.processes.workers import Workers
from agent.supervised_algorithm import SupervisedAlgorithm
from agent.supervised_sampler import SupervisedSampler
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Command, Kind, Record
from device_catalog.contract.documents import Assignment
from device_catalog.contract.reports import AlgorithmReport

Publish = Callable[[Record, Publication], None]
Tap = Callable[[str, Sequence[Record]], None]


ORDERS = 100
"""Commands that wait at most while what runs is changed; of more the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where an agent stands.

    Attributes
    ----------
    device, tenant : str
    terminal : str
        What its algorithms are told they measure.
    """

    device: str
    tenant: str
    terminal: str


class RunningSet:
    """
    The sampler and the algorithms of one agent.

    Parameters
    ----------
    workers : Workers
        Started already.
    store : Keeper
    clock : Clock
    publish : callable
        Takes a record and where it goes.
    tap : callable, optional
        Takes an algorithm's name and all that it made, before any of it is routed.

    Attributes
    ----------
    sampler : SupervisedSampler
    place : Place
        Where the agent stands; to be set before anything is started there.
    """

    def __init__(self, workers: Workers, store: Keeper, clock: Clock, publish: Publish, tap: Tap | None = None) -> None:
        self._workers = workers
        self._store = store
        self._clock = clock
        self._publish = publish
        self._tap = tap
        self._chance = random.Random()
        self._algorithms: dict[str, SupervisedAlgorithm] = {}
        self._pipeline = Pipeline("", "", {}, {})
        self._orders: deque[tuple[str, Command]] = deque(maxlen=ORDERS)
        self._is_changing = False
        self.place = Place("", "", "")
        self.sampler = SupervisedSampler(workers, clock, self._chance, self._start_waiting)

    # ---- what is asked of it by `apply`

    @property
    def infos(self) -> dict[str, AlgorithmInfo]:
        """What the assigned algorithms say of themselves, by name."""
        return {name: one.info for name, one in self._algorithms.items() if one.info is not None}

    async def candidate(self, assignment: Assignment) -> SupervisedAlgorithm:
        """Make an algorithm ready to be started beside whatever runs; nobody hears of it until it is adopted."""
        self._is_changing = True
        predecessor = self._algorithms.get(assignment.algorithm)
        if predecessor is not None:
            await predecessor.hand_over()
        return SupervisedAlgorithm(
            assignment, self, workers=self._workers, store=self._store, clock=self._clock, chance=self._chance
        )

    async def adopt(
        self, candidates: Iterable[SupervisedAlgorithm], removed: Iterable[str], updated: Iterable[Assignment]
    ) -> None:
        """
        Let candidates take the place of their predecessors, drop `removed`, and take over `updated`.

        A predecessor has given its state to its successor; what one without a successor says last is kept, so that it
        goes on from there when it is assigned again.
        """
        leaving = [self._algorithms.pop(name) for name in removed if name in self._algorithms]
        replaced = []
        for candidate in candidates:
            predecessor = self._algorithms.pop(candidate.name, None)
            if predecessor is not None:
                replaced.append(predecessor)
            self._algorithms[candidate.name] = candidate
            candidate.in_force = True
        for assignment in updated:
            self._algorithms[assignment.algorithm].assignment = assignment
        for one in replaced:
            one.in_force = False
        self.reroute()
        self._start_waiting()
        await asyncio.gather(*(one.stop() for one in (*leaving, *replaced)))
        for one in leaving:
            one.in_force = False

    async def rest(self) -> None:
        """End, for as long as the source changes, whatever reads samples; its newest state is kept."""
        self._is_changing = True
        await asyncio.gather(*(self._algorithms[name].rest() for name in self._readers()))

    def wake(self) -> None:
        """Go on with what was ended by `rest` and has no successor, and hand over the commands that came meanwhile."""
        for one in self._algorithms.values():
            one.wake()
        self._start_waiting()
        self._is_changing = False
        while self._orders:
            self.deliver(*self._orders.popleft())

    def _readers(self) -> list[str]:
        return [name for name, info in self.infos.items() if Kind.SAMPLES in info.consumes]

    # ---- the way of records

    def deliver(self, sender: str, record: Record) -> None:
        """Hand a neighbour's record to the algorithms that asked for it; commands wait until a change is complete."""
        if self._is_changing and isinstance(record, Command):  # a predecessor would obey, and its successor not know
            self._orders.append((sender, record))
            return
        for name in self._pipeline.consumers_of_neighbour(sender, record):
            self._algorithms[name].feed(record)

    def take(self, maker: str, records: Sequence[Record]) -> None:
        """Route what the algorithm `maker` made."""
        if self._tap is not None:
            self._tap(maker, records)
        for record in records:
            for name in self._pipeline.consumers(maker, record):
                self._algorithms[name].feed(record)
            try:
                publication = self._pipeline.publication(maker, record)
                if publication is not None:
                    self._publish(record, publication)
            except (TypeError, ValueError, RecursionError) as error:  # what a plug-in put into a record
                if maker in self._algorithms:  # not one whose last words these are
                    self._algorithms[maker].complain(f"a record was not published: {error}")

    # ---- what the algorithms need

    def beginning(self, assignment: Assignment) -> tuple[AlgorithmSpec, Sampler | None] | None:
        """Say what to start an algorithm with; None while it has to wait for the source."""
        if self.sampler.waited_for:
            return None
        acquisition = self.sampler.acquisition
        spec = AlgorithmSpec(
            name=assignment.algorithm,
            entry=assignment.algorithm,
            settings=assignment.settings,
            device=self.place.device,
            terminal=self.place.terminal,
            nominal_frequency=acquisition.nominal_frequency if acquisition is not None else 50.0,
            nominal_voltage=acquisition.nominal_voltage if acquisition is not None else 230.0,
            synchronised=True,  # as far as each block says so
            limits=assignment.limits,
        )
        return spec, self.sampler.current

    def reroute(self) -> None:
        """Note that other algorithms run than before."""
        assignments = {name: one.assignment for name, one in self._algorithms.items()}
        self._pipeline = Pipeline(self.place.tenant, self.place.device, self.infos, assignments)

    def _start_waiting(self) -> None:
        for one in self._algorithms.values():
            one.start_waiting()

    # ---- what others look at

    def algorithm_reports(self) -> dict[str, AlgorithmReport]:
        """Say how each algorithm is doing."""
        return {name: one.report() for name, one in self._algorithms.items()}

    async def close(self) -> None:
        """Stop everything, keeping what the algorithms say last."""
        await asyncio.gather(*(one.stop() for one in self._algorithms.values()))
        await self.sampler.close()
