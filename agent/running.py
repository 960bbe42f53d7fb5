"""
What runs: the sampler, the algorithms, and the way of records between them.

`apply` changes it, `supervised_sampler` and `supervised_algorithm` keep each of them going, `pipeline` says where a
record goes. The network that algorithms work on is set here; when it changes, only those that need it are started anew
(`renew`), and whom they hear follows from it. An algorithm that starts is handed the newest state of each source that
it hears, since a broker gives what it retains only once.

Everything here happens in the agent's event loop, and nothing here waits for a process that does not answer longer than
`workers` allows.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent.beside import Beside
from agent.checkpoints import Keeper
from agent.clock import Clock
from agent.delivery.newest import Newest, is_state
from agent.errors import AgentError, AlgorithmRefused
from agent.fault_watch import FaultWatch
from agent.grounds import Grounds
from agent.neighbourhood import Neighbourhood
from agent.network import NetworkInUse
from agent.pipeline import Pipeline, Publication
from agent.processes.algorithm_messages import AlgorithmSpec
from agent.processes.sampler import Sampler
from agent.processes.workers import Workers
from agent.supervised_algorithm import SupervisedAlgorithm
from agent.supervised_sampler import SupervisedSampler
from algorithms.api.grid_records import GridState
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Command, Event, Kind, Record, Result
from device_catalog.contract.documents import Assignment, Neighbours, TopologyReference
from device_catalog.contract.reports import AlgorithmReport

log = logging.getLogger(__name__)

Publish = Callable[[Record, Publication], None]
Tap = Callable[[str, Sequence[Record]], None]
Ask = Callable[[Sequence[Neighbours], Mapping[str, str]], None]
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
        self._publish = publish
        self._tap = tap
        self._ask = ask
        self._newest = Newest()
        self._chance = random.Random()
        self._algorithms: dict[str, SupervisedAlgorithm] = {}
        self._beside = Beside()
        self._pipeline = Pipeline("", "", {}, {})
        self.locate: Locate = lambda assignment: (assignment.algorithm, "", False)
        self.state_name: Callable[[str], str] = lambda name: name
        self.watchers: dict[str, Callable[[Sequence[Record]], None]] = {}
        self._orders: deque[tuple[str, Command]] = deque(maxlen=ORDERS)
        self._is_changing = False
        self.faults = FaultWatch(clock)
        self.place = Place("", "", "")
        self.reference: TopologyReference | None = None
        self.network: NetworkInUse | None = None
        self._given: tuple[TopologyReference | None, NetworkInUse | None] = None, None
        self._grounds = Grounds.of(None, None)
        self.network_awaited = False
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
            self._catch_up(candidate)
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
        if isinstance(record, GridState | Result) and is_state(record) and self._pipeline.is_asked_for(sender, record):
            self._newest.put(sender, record)
        consumers = self._pipeline.consumers_of_neighbour(sender, record)
        if consumers and isinstance(record, Event):
            self.faults.take(record)
        for name in consumers:
            self._algorithms[name].feed(record)
        self._beside.hear(sender, record)

    def take(self, maker: str, records: Sequence[Record]) -> None:
        """Route what the algorithm `maker` made."""
        if self._tap is not None:
            self._tap(maker, records)
        if maker in self.watchers:
            self.watchers[maker](records)
        for record in records:
            if self._is_doubted(maker, record):
                continue
            if isinstance(record, Event):
                self.faults.take(record)
            for name in self._pipeline.consumers(maker, record):
                self._algorithms[name].feed(record)
            self._beside.take(maker, record)
            try:
                publication = self._pipeline.publication(maker, record)
                if publication is not None:
                    self._publish(record, publication)
            except (TypeError, ValueError, RecursionError) as error:  # what a plug-in put into a record
                if maker in self._algorithms:  # not one whose last words these are
                    self._algorithms[maker].complain(f"a record was not published: {error}")

    def _is_doubted(self, maker: str, record: Record) -> bool:
        """Tell whether a record speaks of a part of the grid that was not given to this device; its maker is named."""
        one = self._algorithms.get(maker)
        assignment = one.assignment if one is not None else Assignment(maker)
        given = self.reference, self.network
        if given != self._given:
            self._given, self._grounds = given, Grounds.of(*given)
        objection = self._grounds.objection(assignment, record)
        if objection and one is not None:
            one.complain(f"a record was not believed: {objection}")
        return bool(objection)

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
        self._catch_up(one)

    def reroute(self) -> None:
        """Note that other algorithms run than before, or that whom they hear may be others."""
        infos = self.infos
        hood = self.network.neighbourhood if self.network is not None else Neighbourhood()
        assignments = {}
        for name, one in self._algorithms.items():
            heard = hood.wishes(infos[name]) if name in infos else ()
            neighbours = (*one.assignment.neighbours, *heard)
            assignments[name] = msgspec.structs.replace(one.assignment, neighbours=neighbours)
        self._pipeline = Pipeline(self.place.tenant, self.place.device, infos, assignments, before=self._pipeline)
        self._beside.reroute(self.place.device, infos, assignments)
        self._newest.keep_only(self._pipeline.is_asked_for)
        if self._ask is not None:
            wishes = [wish for assignment in assignments.values() for wish in assignment.neighbours]
            self._ask(wishes, dict(hood.levels))

    def _catch_up(self, one: SupervisedAlgorithm) -> None:
        """Hand an algorithm that has just started the newest state of each source that it hears."""
        is_in_force = self._algorithms.get(one.name) is one
        for sender, state in self._newest:
            if is_in_force:
                is_heard = one.name in self._pipeline.consumers_of_neighbour(sender, state)
            else:
                is_heard = self._beside.is_heard_by(one, sender, state)
            if is_heard:
                one.feed(state)

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
