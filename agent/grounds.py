"""
What of the grid the algorithms of a device may speak of: the part of the network that was given to it. Pure.

Where it stands: `routing` asks it of every record that an algorithm made, before anybody hears of it, here or on a
broker. An estimated state names an area, a proposal and a fault name a network, the report of a switch names the
switch; each is said on a topic of that name, where others believe it. A confined algorithm could name any. What counts
is what an operator gave: the network and area in the device's configuration, and the switch in the algorithm's own
settings or among the orders that it is assigned to hear.

An access list at the broker (`device_catalog.brokers.rights`) says the same where it is in use; here it holds also
where it is not, and between the algorithms of one device.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.network import NetworkInUse
from algorithms.api.errors import shortened
from algorithms.api.grid_records import GridState, Proposal
from algorithms.api.records import Event, Kind, Record, Result
from device_catalog.contract import topics
from device_catalog.contract.documents import Assignment, TopologyReference

SWITCH = "switch"
"""The setting that names the switch which an algorithm carries out orders for."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """
    What a device may speak of.

    Attributes
    ----------
    network : str
        Empty for none.
    areas : mapping
        Level of each area; empty where the part of the network is not here yet.
    """

    network: str
    areas: Mapping[str, str]

    @classmethod
    def of(cls, reference: TopologyReference | None, network: NetworkInUse | None) -> "Grounds":
        """
        Take what settings name, and what is known of it.

        Parameters
        ----------
        reference : TopologyReference or None
        network : NetworkInUse or None
            The part that they name, where it is here.
        """
        if reference is None:
            return cls("", {})
        known = dict(network.neighbourhood.levels) if network is not None else {}
        if reference.area:
            return cls(reference.network, {reference.area: known.get(reference.area, "")})
        return cls(reference.network, known)

    def objection(self, assignment: Assignment, record: Record) -> str:
        """Say why a record of an algorithm is not believed; empty where nothing is against it."""
        match record:
            case GridState():
                return self._of_state(record.area, record.level)
            case Proposal():
                return self._of_network(record.network, "a proposal", "for")
            case Event() if record.kind in topics.FAULTS and isinstance(record.evidence.get("network"), str):
                return self._of_network(record.evidence["network"], "a fault", "in")
            case Result() if record.content.partition("/")[0] == topics.SWITCH_STATE:
                return _of_switch(assignment, record.terminal)
            case _:
                return ""

    def _of_state(self, area: str, level: str) -> str:
        if not self.areas:
            return f"no area was given to this device, found a state of {shortened(area, 64)}"
        known = self.areas.get(area)
        if known is None:
            expected = shortened(", ".join(self.areas), 200)
            return f"a state of {expected} expected, found one of {shortened(area, 64)}"
        if known not in ("", level):
            return f"a state of level {known} expected of {area}, found {shortened(level, 64)}"
        return ""

    def _of_network(self, network: str, what: str, by: str) -> str:
        if network == self.network != "":
            return ""
        if not self.network:
            return f"no network was given to this device, found {what} {by} {shortened(network, 64)}"
        return f"{what} {by} network {self.network} expected, found one {by} {shortened(network, 64)}"


def _of_switch(assignment: Assignment, switch: str) -> str:
    asked = [name for wish in assignment.neighbours if wish.kind is Kind.COMMAND for name in wish.areas]
    own = dict.fromkeys((str(assignment.settings.get(SWITCH, "")), *asked))
    own.pop("", None)
    if switch in own:
        return ""
    if not own:
        return f"no switch was given to it, found a report of {shortened(switch, 64)}"
    return f"a report of switch {shortened(', '.join(own), 200)} expected, found one of {shortened(switch, 64)}"
