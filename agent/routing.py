"""
The way of records: from algorithms and neighbours to the algorithms that consume them, and out to the brokers.

Where it stands: owned by `running`, which says which algorithms there are; `pipeline` says where a record goes. What an
algorithm says of a part of the grid that was not given to this device is not believed (`grounds`). An algorithm that
starts is handed the newest state of each source that it hears, since a broker gives what it retains only once.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from agent.beside import Beside
from agent.delivery.newest import Newest, is_state
from agent.fault_watch import FaultWatch
from agent.grounds import Grounds
from agent.neighbourhood import Neighbourhood
from agent.network import NetworkInUse
from agent.pipeline import Pipeline, Publication
from agent.supervised_algorithm import SupervisedAlgorithm
from algorithms.api.grid_records import GridState
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Event, Record, Result
from device_catalog.contract.documents import Assignment, Neighbours, TopologyReference

Publish = Callable[[Record, Publication], None]
Tap = Callable[[str, Sequence[Record]], None]
Ask = Callable[[Sequence[Neighbours], Mapping[str, str]], None]
Given = tuple[TopologyReference | None, NetworkInUse | None]


class Routes:
    """
    The ways of one agent's records.

    Parameters
    ----------
    algorithms : mapping
        Those in force, by name; grows and shrinks while this lives.
    beside : Beside
        Those that get the same without being in force.
    faults : FaultWatch
        Is handed every event.
    watchers : mapping
        Who else takes what the algorithm of a name makes.
    given : callable
        Says which part of the network settings name, and what algorithms work on: records are about these.
    publish, tap, ask : callable
        As of `RunningSet`.
    """

    def __init__(  # noqa: PLR0917 - one part each
        self,
        algorithms: Mapping[str, SupervisedAlgorithm],
        beside: Beside,
        faults: FaultWatch,
        watchers: Mapping[str, Callable[[Sequence[Record]], None]],
        given: Callable[[], Given],
        publish: Publish,
        tap: Tap | None,
        ask: Ask | None,
    ) -> None:
        self._algorithms = algorithms
        self._beside = beside
        self._faults = faults
        self._watchers = watchers
        self._given = given
        self._publish = publish
        self._tap = tap
        self._ask = ask
        self._newest = Newest()
        self._pipeline = Pipeline("", "", {}, {})
        self._judged_by: Given = None, None
        self._grounds = Grounds.of(None, None)

    def deliver(self, sender: str, record: Record) -> None:
        """Hand a neighbour's record to the algorithms that asked for it."""
        if isinstance(record, GridState | Result) and is_state(record) and self._pipeline.is_asked_for(sender, record):
            self._newest.put(sender, record)
        consumers = self._pipeline.consumers_of_neighbour(sender, record)
        if consumers and isinstance(record, Event):
            self._faults.take(record)
        for name in consumers:
            self._algorithms[name].feed(record)
        self._beside.hear(sender, record)

    def take(self, maker: str, records: Sequence[Record]) -> None:
        """Route what the algorithm `maker` made."""
        if self._tap is not None:
            self._tap(maker, records)
        if maker in self._watchers:
            self._watchers[maker](records)
        for record in records:
            if self._is_doubted(maker, record):
                continue
            if isinstance(record, Event):
                self._faults.take(record)
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
        given = self._given()
        if given != self._judged_by:
            self._judged_by, self._grounds = given, Grounds.of(*given)
        objection = self._grounds.objection(assignment, record)
        if objection and one is not None:
            one.complain(f"a record was not believed: {objection}")
        return bool(objection)

    def renew(self, tenant: str, device: str, infos: Mapping[str, AlgorithmInfo], hood: Neighbourhood) -> None:
        """
        Note that other algorithms run than before, or that whom they hear may be others.

        Parameters
        ----------
        tenant, device : str
            Where the agent stands.
        infos : mapping
            What the algorithms say of themselves, by name.
        hood : Neighbourhood
            Whom they hear because of the network.
        """
        assignments = {}
        for name, one in self._algorithms.items():
            heard = hood.wishes(infos[name]) if name in infos else ()
            neighbours = (*one.assignment.neighbours, *heard)
            assignments[name] = msgspec.structs.replace(one.assignment, neighbours=neighbours)
        self._pipeline = Pipeline(tenant, device, infos, assignments, before=self._pipeline)
        self._beside.reroute(device, infos, assignments)
        self._newest.keep_only(self._pipeline.is_asked_for)
        if self._ask is not None:
            wishes = [wish for assignment in assignments.values() for wish in assignment.neighbours]
            self._ask(wishes, dict(hood.levels))

    def catch_up(self, one: SupervisedAlgorithm) -> None:
        """Hand an algorithm that has just started the newest state of each source that it hears."""
        is_in_force = self._algorithms.get(one.name) is one
        for sender, state in self._newest:
            if is_in_force:
                is_heard = one.name in self._pipeline.consumers_of_neighbour(sender, state)
            else:
                is_heard = self._beside.is_heard_by(one, sender, state)
            if is_heard:
                one.feed(state)
