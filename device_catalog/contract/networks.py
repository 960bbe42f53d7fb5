"""
Networks as the catalog keeps and hands them out: which there are, their revisions, an agent's part.

The documents themselves are those of `algorithms.api.network_document`: the network, and apart from it where its
switches stand. What people write is refused where it has a field nobody knows; what the catalog answers may grow.
"""

from datetime import datetime

import msgspec

from algorithms.api.network_document import NetworkDocument, SwitchStates

AREA_SCHEMA = "area/1"


class AreaDocument(msgspec.Struct, frozen=True, tag_field="schema", tag=AREA_SCHEMA):
    """
    What an agent needs of a network: the part it looks after, and where the switches stand by which it was cut.

    Attributes
    ----------
    network : str
    area : str
        Empty for the whole network.
    document : NetworkDocument
        Its revision is the network's.
    states : SwitchStates
        Of the switches in it, and of those that could join it to more of the network.
    """

    network: str
    area: str
    document: NetworkDocument
    states: SwitchStates


class NetworkSummary(msgspec.Struct, frozen=True):
    """One network in a list; `topology_revision` is 0 while all switches stand normally."""

    network: str
    name: str
    revision: int
    topology_revision: int
    stored: datetime
    author: str


class NetworkPage(msgspec.Struct, frozen=True):
    """Part of a list of networks, and the cursor of the next part; empty at the end."""

    items: tuple[NetworkSummary, ...]
    next: str = ""


class RevisionEntry(msgspec.Struct, frozen=True):
    """One revision of a network or of its switch states: who stored it, when, and its length [bytes]."""

    revision: int
    stored: datetime
    author: str
    size: int


class RevisionPage(msgspec.Struct, frozen=True):
    """Part of a list of revisions, newest first, and the cursor of the next part; empty at the end."""

    items: tuple[RevisionEntry, ...]
    next: str = ""


class NetworkStored(msgspec.Struct, frozen=True):
    """
    The answer to a change: the revisions in force, and the devices whose part it changed, which were told.

    Attributes
    ----------
    without_area : tuple of str
        Devices of this network whose configuration names an area that it has not; they get no part.
    """

    network: str
    revision: int
    topology_revision: int
    informed: tuple[str, ...] = ()
    without_area: tuple[str, ...] = ()
