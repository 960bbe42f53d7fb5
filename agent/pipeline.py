"""
Where records go: to which algorithms on this device, and to which topic of which broker. Pure.

A record goes to every algorithm that consumes its kind, except its maker; frames of neighbours only to those that
asked for them. A cycle (two algorithms feeding each other for ever) is a problem of the settings, found before
anything starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from algorithms.api.errors import Problem, shortened
from algorithms.api.grid_records import GridState, Proposal
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Command, Event, Kind, MeasurementFrame, Record, Reply, Request, Result, kind_of
from algorithms.api.wire import NANOSECONDS
from device_catalog.contract import topics
from device_catalog.contract.documents import Assignment
from device_catalog.contract.topics import BrokerName


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a record is published, whether losing it would be a loss rather than a gap, and which algorithm made it."""

    broker: BrokerName
    topic: str
    retain: bool
    urgent: bool
    maker: str = ""


class Thinning:
    """
    Lets at most `rate` records per second through, evenly on the UTC grid.

    >>> thinning = Thinning(1.0)
    >>> [thinning.passes(k * 20_000_000) for k in (0, 1, 49, 50, 51)]
    [True, False, False, True, False]
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._period_ns = round(NANOSECONDS / rate) if rate > 0 else 0
        self._last: int | None = None

    def passes(self, time_ns: int) -> bool:
        """Tell whether a record of `time_ns` [ns UTC] is published."""
        if not self._period_ns:
            return True
        slot = time_ns // self._period_ns
        if slot == self._last:
            return False
        self._last = slot
        return True


class Pipeline:
    """
    The routes of one set of algorithms.

    Parameters
    ----------
    tenant, device : str
    infos : mapping
        What each running algorithm says of itself.
    assignments : mapping
        What the catalog says of each.
    before : Pipeline, optional
        Whose thinning goes on where its rate is the same, so that no other routes make a record more.

    Attributes
    ----------
    thinning : dict
        Of each algorithm's frames.
    """

    def __init__(
        self,
        tenant: str,
        device: str,
        infos: Mapping[str, AlgorithmInfo],
        assignments: Mapping[str, Assignment],
        *,
        before: "Pipeline | None" = None,
    ) -> None:
        self._tenant = tenant
        self._device = device
        self._consumers = {kind: tuple(name for name, info in infos.items() if kind in info.consumes) for kind in Kind}
        going_on = {} if before is None else before.thinning
        self.thinning: dict[str, Thinning] = {
            name: going_on[name]
            if name in going_on and going_on[name].rate == assignment.publish
            else Thinning(assignment.publish)
            for name, assignment in assignments.items()
        }
        self._assignments = assignments

    def consumers(self, maker: str, record: Record) -> tuple[str, ...]:
        """
        Name the algorithms that get a record of the algorithm `maker`.

        An order to a switch goes to nobody this way: whether it may be given is judged first, wherever the switch is.
        """
        if isinstance(record, Command):
            return ()
        return tuple(name for name in self._consumers[kind_of(record)] if name != maker)

    def consumers_of_neighbour(self, sender: str, record: Record) -> tuple[str, ...]:
        """Name the algorithms that asked for such a record of the device `sender`."""
        kind = kind_of(record)
        if isinstance(record, Request | Reply | Command):
            return self._consumers[kind]
        return tuple(name for name in self._consumers[kind] if _asked(self._assignments[name], kind, sender, record))

    def is_asked_for(self, sender: str, record: Record) -> bool:
        """Tell whether any algorithm asks for such a record of the device `sender`, also one that does not run yet."""
        kind = kind_of(record)
        return any(_asked(assignment, kind, sender, record) for assignment in self._assignments.values())

    def publication(self, maker: str, record: Record) -> Publication | None:
        """
        Say where a record of the algorithm `maker` is published; None for nowhere.

        Raises
        ------
        ValueError
            When the record names something, an area for instance, that cannot stand in a topic, or speaks for another
            device, which nobody would believe.
        """
        if isinstance(record, Request | Reply) and record.sender != self._device:
            raise ValueError(f"{self._device} expected as the sender, found {shortened(record.sender)}")
        target = topics.route(record, self._tenant, self._device)
        if target is None:
            return None
        if not all(topics.is_identifier(part) for part in target[1].split("/")):
            raise ValueError(f"a topic of letters, digits, _ and - expected, found {shortened(target[1])}")
        if isinstance(record, MeasurementFrame):
            thinning = self.thinning.get(maker)
            if thinning is not None and not thinning.passes(record.time_ns):
                return None
        return Publication(*target, urgent=is_urgent(record), maker=maker)


def is_urgent(record: Record) -> bool:
    """Tell whether a record must be durable before it is sent."""
    if isinstance(record, Result):
        return record.urgent
    return isinstance(record, Event | Proposal | Command | Reply)


def cycles(infos: Mapping[str, AlgorithmInfo]) -> list[Problem]:
    """Find algorithms that would feed each other for ever."""
    # A reply ends a conversation: it feeds nobody who did not ask.
    feeds = {
        name: [
            other
            for other, taker in infos.items()
            if other != name and (set(info.produces) - {Kind.REPLY}) & set(taker.consumes)
        ]
        for name, info in infos.items()
    }
    problems = []
    for name in infos:
        seen: set[str] = set()
        ahead = list(feeds[name])
        while ahead:
            current = ahead.pop()
            if current not in seen:
                seen.add(current)
                ahead.extend(feeds[current])
        if name in seen:
            expected = "records to flow one way"
            found = f"a cycle through {', '.join(sorted(seen))}"
            problems.append(Problem(f"algorithms.{name}", expected, found, "remove one of them"))
    return problems


def contested(infos: Mapping[str, AlgorithmInfo]) -> dict[str, Problem]:
    """
    Find algorithms that would publish what another one does already: who reads a bill must know who counted.

    Parameters
    ----------
    infos : mapping
        In the order in which they are assigned; the first of several keeps the content.
    """
    makers: dict[str, str] = {}
    problems = {}
    for name, info in infos.items():
        rivals = {makers.setdefault(content, name): content for content in info.contents}
        rivals.pop(name, None)
        if rivals:
            found = "; ".join(f"{content} of {rival} also" for rival, content in rivals.items())
            remedy = "assign only one of them"
            problems[name] = Problem(f"algorithms.{name}", "contents that no other publishes", found, remedy)
    return problems


def _asked(assignment: Assignment, kind: Kind, sender: str, record: Record) -> bool:
    match record:
        case GridState():
            place = record.area
        case Proposal():
            place = record.network
        case Result() if record.content.partition("/")[0] == topics.SWITCH_STATE:
            place = record.terminal
        case Event():
            place = str(record.evidence.get("network", ""))
        case _:
            place = ""
    return any(wish.kind == kind and (sender in wish.devices or place in wish.areas) for wish in assignment.neighbours)
