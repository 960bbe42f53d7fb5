"""
Whom an agent's algorithms hear because of the network it looks after, instead of by names that somebody wrote down.

Where it stands: between the part of the network that the catalog gave (`network`) and the topics that are asked for
(`delivery.inbox`). Pure, and without numpy. When switches move a meter or an area to another agent, its part changes,
and with it this, and with this the topics.

An algorithm that needs the network and takes frames hears the meters at the part's terminals; one that takes states
hears the areas directly below. One that looks after a whole network hears the areas at its top. What an assignment
names besides is heard too.
"""

from dataclasses import dataclass

from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.network_area import areas_below
from algorithms.api.network_document import NetworkDocument
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
    """

    devices: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    levels: tuple[tuple[str, str], ...] = ()

    def wishes(self, info: AlgorithmInfo) -> tuple[Neighbours, ...]:
        """Say what an algorithm hears of them."""
        if not info.needs_network:
            return ()
        wishes = []
        if Kind.FRAME in info.consumes and self.devices:
            wishes.append(Neighbours(Kind.FRAME, devices=self.devices))
        if Kind.GRID_STATE in info.consumes and self.areas:
            wishes.append(Neighbours(Kind.GRID_STATE, areas=self.areas))
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
    if not area:
        owned = {node: one for one in document.areas for node in one.nodes}
        top = tuple(one.id for one in document.areas if owned.get(one.head, one) is one)
        return Neighbourhood((), top, levels)
    devices = dict.fromkeys(terminal.device for terminal in document.terminals if terminal.device not in ("", device))
    return Neighbourhood(tuple(devices), tuple(one.id for one in areas_below(document.areas)), levels)
