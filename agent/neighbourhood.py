"""
Whom an agent's algorithms hear because of the network it looks after, instead of by names that somebody wrote down.

Where it stands: between the part of the network that the catalog gave (`network`) and the topics that are asked for
(`delivery.inbox`). Pure, and without numpy. When switches move a meter or an area to another agent, its part changes,
and with it this, and with this the topics.

One that proposes switching hears what the switches of its part report that are operated from afar, the faults located
in its network, and the meters at the nodes of the areas at its top.

An algorithm that needs the network and takes frames hears the meters at the part's terminals; one that takes states
hears the areas directly below. One that looks after a whole network hears the areas at its top. What an assignment
names besides is heard too.
"""

from dataclasses import dataclass

from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.network_area import areas_below
from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_operation import Operation
from algorithms.api.records import Kind
from device_catalog.contract.documents import Neighbours


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """
    The sources of what an agent needs to know.

    Attributes
    ----------
    devices : tuple of str
        Meters whose frames are heard.
    areas : tuple of str
        Areas whose states are heard.
    levels : dict
        Level of each area that is known, by its name.
    network : str
    switches : tuple of str
        Those operated from afar.
    meters : tuple of str
        At nodes of the areas at the top of what is looked after, or of none.
    """

    devices: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    levels: tuple[tuple[str, str], ...] = ()
    network: str = ""
    switches: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()

    def wishes(self, info: AlgorithmInfo) -> tuple[Neighbours, ...]:
        """Say what an algorithm hears of them."""
        if not info.needs_network:
            return ()
        wishes = []
        switching = Kind.PROPOSAL in info.produces
        devices = tuple(dict.fromkeys((*self.devices, *self.meters))) if switching else self.devices
        if Kind.FRAME in info.consumes and devices:
            wishes.append(Neighbours(Kind.FRAME, devices=devices))
        if Kind.GRID_STATE in info.consumes and self.areas:
            wishes.append(Neighbours(Kind.GRID_STATE, areas=self.areas))
        if switching and Kind.RESULT in info.consumes and self.switches:
            wishes.append(Neighbours(Kind.RESULT, areas=self.switches))
        if switching and Kind.EVENT in info.consumes and self.network:
            wishes.append(Neighbours(Kind.EVENT, areas=(self.network,)))
        return tuple(wishes)


def neighbourhood_of(document: NetworkDocument, area: str, device: str) -> Neighbourhood:
    """
    Find who is to be heard.

    Parameters
    ----------
    document : NetworkDocument
        A part of a network, or all of it.
    area : str
        Whose part it is; empty for all of it.
    device : str
        The agent itself, whose own records it has without a broker.
    """
    levels = tuple((one.id, one.level.value) for one in document.areas)
    remote = tuple(switch.id for switch in document.switches if switch.operation is Operation.REMOTE)
    if not area:
        owned = {node: one for one in document.areas for node in one.nodes}
        top = tuple(one.id for one in document.areas if owned.get(one.head, one) is one)
        near = [one for one in document.terminals if one.node not in owned or owned[one.node].id in top]
        meters = tuple(dict.fromkeys(one.device for one in near if one.device not in ("", device)))
        return Neighbourhood((), top, levels, document.network, remote, meters)
    devices = dict.fromkeys(terminal.device for terminal in document.terminals if terminal.device not in ("", device))
    below = tuple(one.id for one in areas_below(document.areas))
    return Neighbourhood(tuple(devices), below, levels, document.network, remote)
