"""
The electrical network an algorithm works on: `NetworkModel`, frozen arrays in SI units.

Where it stands: `network_reader.parse` makes it of a `NetworkDocument`; the host hands it to algorithms that ask for a
network (`Context.network`). It knows no solver: admittance matrices, power flow and estimators are built upon it.

Rules:

- One table for each kind of equipment (`network_tables`); ids are the document's.
- Nothing changes in place: another state of the switches is another model, which shares all other tables.
- P and Q are positive from the node into the equipment (CIM).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from algorithms.api.errors import NetworkError, Problem, shortened
from algorithms.api.network_document import SwitchStates
from algorithms.api.network_operation import Area, Protection, SwitchState, Terminal
from algorithms.api.network_tables import Branches, Injections, Integers, Nodes, Sources, Switches, Transformers


@dataclass(frozen=True, slots=True, eq=False)
class Island:
    """
    Nodes that hang together, whatever the phase.

    Attributes
    ----------
    nodes : numpy.ndarray
        Rows, ascending, shape (k,).
    sources : numpy.ndarray
        Rows of the sources that feed them; none for an island that is dark, shape (m,).
    """

    nodes: Integers
    sources: Integers

    def __post_init__(self) -> None:
        self.nodes.flags.writeable = False
        self.sources.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class NetworkModel:
    """
    A network, or the area of it that an agent looks after, with its switches as they stand.

    Attributes
    ----------
    network : str
        Id of the network.
    name : str
    revision : int
        Of the document it was made of.
    topology_revision : int
        Of the switch states; 0 while all stand normally.
    frequency : float
        Nominal frequency [Hz].
    nodes : Nodes
    sources : Sources
    branches : Branches
    transformers : Transformers
    loads, generators : Injections
    switches : Switches
    protections : tuple of Protection
    terminals : tuple of Terminal
    areas : tuple of Area
    """

    network: str
    name: str
    revision: int
    topology_revision: int
    frequency: float
    nodes: Nodes
    sources: Sources
    branches: Branches
    transformers: Transformers
    loads: Injections
    generators: Injections
    switches: Switches
    protections: tuple[Protection, ...]
    terminals: tuple[Terminal, ...]
    areas: tuple[Area, ...]

    def with_switches(self, states: SwitchStates) -> "NetworkModel":
        """
        Return this network with its switches as `states` tells.

        States of switches that this model does not have are passed over, since it may be only an area.

        Raises
        ------
        NetworkError
            When the states belong to another network, or say nothing of a switch of this one.
        """
        problems = []
        if states.network != self.network:
            found = shortened(states.network)
            problems.append(Problem("topology.network", self.network, found, "send the states of this network"))
        problems += [
            Problem(f"topology.states.{name}", "open or closed", "nothing", "state every switch of the network")
            for name in self.switches.ids
            if name not in states.states
        ]
        if problems:
            raise NetworkError(problems)
        closed = np.array([states.states[name] == SwitchState.CLOSED for name in self.switches.ids], dtype=bool)
        return replace(self, topology_revision=states.revision, switches=replace(self.switches, closed=closed))

    def connections(self) -> Iterator[tuple[int, int]]:
        """Give the rows of both nodes of everything that conducts: branches, transformers, closed switches."""
        for table in (self.branches, self.transformers):
            yield from zip(table.from_node.tolist(), table.to_node.tolist(), strict=True)
        closed = self.switches.closed
        yield from zip(self.switches.from_node[closed].tolist(), self.switches.to_node[closed].tolist(), strict=True)

    def islands(self) -> tuple[Island, ...]:
        """Tell which nodes hang together as the switches stand, in the order of their first node."""
        first = list(range(len(self.nodes)))

        def root(node: int) -> int:
            while first[node] != node:
                first[node] = node = first[first[node]]
            return node

        for one, other in self.connections():
            lower, higher = sorted((root(one), root(other)))
            first[higher] = lower
        roots = np.array([root(node) for node in range(len(first))], dtype=np.intp)
        of_source = roots[self.sources.node]
        return tuple(
            Island(np.flatnonzero(roots == start), np.flatnonzero(of_source == start)) for start in np.unique(roots)
        )
