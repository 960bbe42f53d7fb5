"""
What runs: the sampler, the algorithms, and the way of records between them.

`apply` changes it, `supervised_sampler` and `supervised_algorithm` keep each of them going, `routing` brings records
from one to the other. The network that algorithms work on is set here; when it changes, only those that need it are
started anew (`renew`), and whom they hear follows from it.

Everything here happens in the agent's event loop, and nothing here waits for a process that does not answer longer than
`workers` allows.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agent.beside import Beside
from agent.checkpoints import Keeper
from agent.clock import Clock
from agent.errors import AgentError, AlgorithmRefused
from agent.fault_watch import FaultWatch
from agent.neighbourhood import Neighbourhood
from agent.network import NetworkInUse
from agent.processes.algorithm_messages import AlgorithmSpec
from agent.processes.sampler import Sampler
from agent.processes.workers import Workers
from agent.routing import Ask, Publish, Routes, Tap
from agent.supervised_algorithm import SupervisedAlgorithm
from agent.supervised_sampler import SupervisedSampler
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Command, Kind, Record
from device_catalog.contract.documents import Assignment, TopologyReference
from device_catalog.contract.reports import AlgorithmReport

log = logging.getLogger(__name__)

Locate = Callable[[Assignment], tuple[str, str, bool]]


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
    ask : callable, optional
        Takes what is to be heard of neighbours, and the levels of areas that are known, whenever that may change.

    Attributes
    ----------
    sampler : SupervisedSampler
    place : Place
        Where the agent stands; to be set before anything is started there.
    reference : TopologyReference or None
        The part of the network that settings name: what algorithms make is about it, or not believed.
    network : NetworkInUse or None
        What algorithms that need one work on.
    network_awaited : bool
        Whether it is to come.
    locate : callable
        Says of an assignment how it is imported, out of which folder, and whether in bubblewrap only; raises
        `WorkerError` where it is not there.
    state_name : callable
        Says under which name the algorithm in force keeps its state.
    faults : FaultWatch
        What is being handled by the algorithms that run.
    watchers : dict
        Who else takes what the algorithm of a name makes.
    """

    def __init__(
        self,
        workers: Workers,
        store: Keeper,
        clock: Clock,
        publish: Publish,
        tap: Tap | None = None,
        *,
        ask: Ask | None = None,
    ) -> None:
        self._workers = workers
        self._store = store
        self._clock = clock
        self._chance = random.Random()
        self._algorithms: dict[str, SupervisedAlgorithm] = {}
        self._beside = Beside()
        self.locate: Locate = lambda assignment: (assignment.algorithm, "", False)
        self.state_name: Callable[[str], str] = lambda name: name
        self.watchers: dict[str, Callable[[Sequence[Record]], None]] = {}
        self._orders: deque[tuple[str, Command]] = deque(maxlen=ORDERS)
        self._is_changing = False
        self.faults = FaultWatch(clock)
        self.place = Place("", "", "")
        self.reference: TopologyReference | None = None
        self.network: NetworkInUse | None = None
        self.network_awaited = False
        self._routes = Routes(
            self._algorithms,
            self._beside,
            self.faults,
            self.watchers,
            lambda: (self.reference, self.network),
            publish,
            tap,
            ask,
        )
        self._refusing: dict[str, NetworkInUse] = {}
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
        return self.make(assignment, state_name=self.state_name(assignment.algorithm))

    def make(
        self, assignment: Assignment, *, state_name: str, inherits: str = "", background: bool = False
    ) -> SupervisedAlgorithm:
        """Make an algorithm that does not run yet; see `SupervisedAlgorithm` for where its state comes from."""
        return SupervisedAlgorithm(
            assignment,
            self,
            workers=self._workers,
            store=self._store,
            clock=self._clock,
            chance=self._chance,
            state_name=state_name,
            inherits=inherits,
            background=background,
        )

    async def adopt(
        self, candidates: Iterable[SupervisedAlgorithm], removed: Iterable[str], updated: Iterable[Assignment]
    ) -> None:
        """
        Let candidates take the place of their predecessors, drop `removed`, and take over `updated`.

        A predecessor has given its state to its successor; what one without a successor says last is kept, so that it
        goes on from there when it is assigned again.
        """
        candidates = list(candidates)
        leaving = [self._algorithms.pop(name) for name in removed if name in self._algorithms]
        replaced = []
        for candidate in candidates:
            self._refusing.pop(candidate.name, None)
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
        for candidate in candidates:
            self._routes.catch_up(candidate)
        self._start_waiting()
        await asyncio.gather(*(one.stop() for one in (*leaving, *replaced)))
        for one in leaving:
            one.in_force = False

    async def rest(self) -> None:
        """End, for as long as the source changes, whatever reads samples; its newest state is kept."""
        self._is_changing = True
        await asyncio.gather(*(one.rest() for one in self._all() if one.info and Kind.SAMPLES in one.info.consumes))

    def wake(self) -> None:
        """Go on with what was ended by `rest` and has no successor, and hand over the commands that came meanwhile."""
        for one in self._all():
            one.wake()
        self._start_waiting()
        self._is_changing = False
        while self._orders:
            self.deliver(*self._orders.popleft())

    @property
    def needs_network(self) -> bool:
        """Whether an algorithm works on a network, as far as they said so."""
        return any(one.uses_network for one in self._algorithms.values())

    @property
    def outdated(self) -> list[str]:
        """Algorithms that work on another network than the one that is here now, or wait for it."""
        network = self.network
        if network is None:
            return []
        documents = network.document, network.states
        return [
            name
            for name, one in self._algorithms.items()
            if one.is_outdated(*documents) and self._refusing.get(name) is not network and not self._is_on_trial(name)
        ]

    def _is_on_trial(self, name: str) -> bool:
        """Tell whether two versions are being compared, which must work on the same network; both follow later."""
        return any(one.ended is not None for one in self._all() if one.name == name)

    async def renew(self) -> None:
        """
        Start anew, with the network as it is now, those that work on another one, each beside its predecessor.

        One that does not start goes on as it did: with the network before, which its records name, or waiting.
        """
        candidates = []
        try:
            for name in self.outdated:
                one = self._algorithms[name]
                candidate = await self.candidate(one.assignment)
                try:
                    started = await candidate.start()
                except AgentError as error:
                    await candidate.stop()
                    one.complain(f"it does not start with the network as it is now: {error}")
                    if isinstance(error, AlgorithmRefused) and self.network is not None:
                        self._refusing[name] = self.network
                else:
                    if started:
                        candidates.append(candidate)
                    else:
                        await candidate.stop()
            await self.adopt(candidates, (), ())
            for one in self._beside:
                is_shadow = not self._is_on_trial(one.name)
                if is_shadow and self.network and one.is_outdated(self.network.document, self.network.states):
                    await one.rest()
        finally:
            self.wake()

    # ---- what is asked of it by `agent.updates`

    def in_force(self, name: str) -> SupervisedAlgorithm | None:
        """Return the algorithm of that name whose records count."""
        return self._algorithms.get(name)

    def stand_beside(self, one: SupervisedAlgorithm) -> None:
        """Let an algorithm have, from now on, whatever the one in force has."""
        self._beside.add(one)
        self.reroute()

    def leave(self, one: SupervisedAlgorithm) -> None:
        """Hand an algorithm nothing any more; whether it goes on is its owner's business."""
        self._beside.remove(one)
        if self._algorithms.get(one.name) is one:
            del self._algorithms[one.name]
        self.reroute()

    def exchange(self, one: SupervisedAlgorithm) -> None:
        """Let an algorithm that stands beside be the one in force, and the one in force stand beside."""
        self._beside.remove(one)
        previous = self._algorithms.get(one.name)
        if previous is not None and previous is not one:
            self._beside.add(previous)
        self._algorithms[one.name] = one
        self.reroute()

    # ---- the way of records

    def has_switch(self, switch: str) -> bool:
        """Tell whether an algorithm of this device carries out the orders to a switch."""
        wishes = (wish for one in self._algorithms.values() for wish in one.assignment.neighbours)
        return any(wish.kind is Kind.COMMAND and switch in wish.areas for wish in wishes)

    def deliver(self, sender: str, record: Record) -> None:
        """Hand a neighbour's record to the algorithms that asked for it; commands wait until a change is complete."""
        if self._is_changing and isinstance(record, Command):  # a predecessor would obey, and its successor not know
            self._orders.append((sender, record))
            return
        self._routes.deliver(sender, record)

    def take(self, maker: str, records: Sequence[Record]) -> None:
        """Route what the algorithm `maker` made."""
        self._routes.take(maker, records)

    # ---- what the algorithms need

    def beginning(self, assignment: Assignment) -> tuple[AlgorithmSpec, Sampler | None] | None:
        """
        Say what to start an algorithm with; None while it has to wait for the source.

        Raises
        ------
        WorkerError
            When the version that is meant is not on the card.
        """
        if self.sampler.waited_for:
            return None
        acquisition = self.sampler.acquisition
        entry, folder, boxed = self.locate(assignment)
        spec = AlgorithmSpec(
            name=assignment.algorithm,
            entry=entry,
            folder=folder,
            boxed=boxed,
            settings=assignment.settings,
            device=self.place.device,
            terminal=self.place.terminal,
            nominal_frequency=acquisition.nominal_frequency if acquisition is not None else 50.0,
            nominal_voltage=acquisition.nominal_voltage if acquisition is not None else 230.0,
            synchronised=True,  # as far as each block says so
            network=None if self.network is None else self.network.document,
            switches=None if self.network is None else self.network.states,
            limits=assignment.limits,
        )
        return spec, self.sampler.current

    def began(self, one: SupervisedAlgorithm) -> None:
        """Note that one runs which did not before, and hand it what it would have heard."""
        self.reroute()
        self._routes.catch_up(one)

    def reroute(self) -> None:
        """Note that other algorithms run than before, or that whom they hear may be others."""
        hood = self.network.neighbourhood if self.network is not None else Neighbourhood()
        self._routes.renew(self.place.tenant, self.place.device, self.infos, hood)

    def _start_waiting(self) -> None:
        for one in self._all():
            if one.ended is None:
                one.start_waiting()

    def _all(self) -> list[SupervisedAlgorithm]:
        """List every algorithm, those in force first."""
        return [*self._algorithms.values(), *self._beside]

    # ---- what others look at

    def algorithm_reports(self) -> dict[str, AlgorithmReport]:
        """Say how each algorithm is doing."""
        return {name: one.report() for name, one in self._algorithms.items()}

    async def close(self) -> None:
        """Stop everything, keeping what the algorithms say last."""
        await asyncio.gather(*(one.stop() for one in self._all()))
        await self.sampler.close()
