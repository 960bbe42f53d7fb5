"""
The electrical network an algorithm works on: `NetworkModel`, frozen arrays in SI units.

Where it stands: `network_reader.parse` makes it of a `NetworkDocument`; the host hands it to algorithms that ask for a
network (`Context.network`). It knows no solver: admittance matrices, power flow and estimators are built upon it.

Rules:

- One table for each kind of equipment; all columns of a table have one entry, or one row, for each piece.
- Equipment refers to nodes by their row in `nodes`. Ids are the document's.
- Arrays with a last axis of 4 follow `CONDUCTORS` (A, B, C, N); matrices hold zeros for conductors that are absent.
- Arrays are read-only, also after pickling. A change makes a new model.
- P and Q are positive from the node into the equipment (CIM).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import NetworkError, Problem, shortened
from algorithms.api.network_document import (
    Area,
    Connection,
    GroundingKind,
    Operation,
    Protection,
    SwitchKind,
    SwitchState,
    SwitchStates,
    TapChanger,
    Terminal,
)
from algorithms.api.samples import Phase

CONDUCTORS = (Phase.A, Phase.B, Phase.C, Phase.N)
"""The order of conductors in all arrays."""

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Integers = NDArray[np.intp]
Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """
    Base of all tables: read-only columns of one length, and the row of each id.

    Attributes
    ----------
    ids : tuple of str
    """

    ids: tuple[str, ...]
    rows: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for column in fields(self):
            if not column.init:
                continue
            value = getattr(self, column.name)
            if len(value) != len(self.ids):
                raise ValueError(f"{len(self.ids)} entries expected in {column.name}, found {len(value)}")
            if isinstance(value, np.ndarray) and value.flags.writeable:
                own = value.copy()
                own.flags.writeable = False
                object.__setattr__(self, column.name, own)
        object.__setattr__(self, "rows", {name: row for row, name in enumerate(self.ids)})

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, column.name) for column in fields(self) if column.init)


@dataclass(frozen=True, slots=True, eq=False)
class Nodes(Table):
    """
    Places where equipment is joined.

    Attributes
    ----------
    base_voltage : numpy.ndarray
        Nominal voltage line to line, shape (n,) [V].
    conductors : numpy.ndarray
        Which conductors there are, shape (n, 4), bool.
    grounded : numpy.ndarray
        Whether the neutral conductor is grounded here, shape (n,), bool.
    grounding_impedance : numpy.ndarray
        Of the neutral to earth where `grounded`, 0 for solid, shape (n,) [ohm].
    customers : numpy.ndarray
        Shape (n,).
    """

    base_voltage: Floats
    conductors: Truths
    grounded: Truths
    grounding_impedance: Complexes
    customers: Integers

    @property
    def nominal_voltage(self) -> Floats:
        """Nominal voltage phase to neutral, shape (n,) [V]."""
        return np.divide(self.base_voltage, math.sqrt(3.0))


@dataclass(frozen=True, slots=True, eq=False)
class Sources(Table):
    """
    Thevenin equivalents of the network beyond.

    Attributes
    ----------
    node : numpy.ndarray
        Row of the node, shape (n,).
    voltage : numpy.ndarray
        Complex voltage of phase A behind the impedance, phase to neutral, shape (n,) [V].
    z1 : numpy.ndarray
        Positive- and negative-sequence impedance, shape (n,) [ohm].
    z0 : numpy.ndarray
        Zero-sequence impedance, shape (n,) [ohm]; 0 where `has_zero_sequence` is false.
    has_zero_sequence : numpy.ndarray
        Whether zero-sequence current can flow at all, shape (n,), bool.
    grounding : tuple of GroundingKind
    voltage_uncertainty : numpy.ndarray
        Relative standard uncertainty of the magnitude, shape (n,) [1].
    """

    node: Integers
    voltage: Complexes
    z1: Complexes
    z0: Complexes
    has_zero_sequence: Truths
    grounding: tuple[GroundingKind, ...]
    voltage_uncertainty: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Branches(Table):
    """
    Lines and cables as pi circuits.

    Attributes
    ----------
    from_node, to_node : numpy.ndarray
        Rows of the nodes, shape (n,).
    conductors : numpy.ndarray
        Shape (n, 4), bool.
    z : numpy.ndarray
        Series impedance of the whole length, shape (n, 4, 4) [ohm].
    y : numpy.ndarray
        Shunt admittance of the whole length, half of it at each end, shape (n, 4, 4) [S].
    length : numpy.ndarray
        Shape (n,) [m].
    impedance_uncertainty, shunt_uncertainty : numpy.ndarray
        Relative standard uncertainty of `z` and `y`, shape (n,) [1].
    rating : numpy.ndarray
        Continuous current per phase, infinite where it is not known, shape (n,) [A].
    """

    from_node: Integers
    to_node: Integers
    conductors: Truths
    z: Complexes
    y: Complexes
    length: Floats
    impedance_uncertainty: Floats
    shunt_uncertainty: Floats
    rating: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Transformers(Table):
    """
    Transformers of two windings.

    Attributes
    ----------
    from_node, to_node : numpy.ndarray
        Rows of the nodes at the higher and the lower voltage, shape (n,).
    conductors : numpy.ndarray
        Phases connected, shape (n, 4), bool; the neutral follows from the vector group.
    vector_group : tuple of str
        Such as ``Dyn11``.
    rated_power : numpy.ndarray
        Shape (n,) [VA].
    rated_voltage : numpy.ndarray
        Line to line at both ends, shape (n, 2) [V].
    ratio : numpy.ndarray
        Voltage at `from_node` over voltage at `to_node` without load, taps included, shape (n,) [1].
    z, z0 : numpy.ndarray
        Short-circuit impedance and that of the zero sequence, referred to `from_node`, shape (n,) [ohm].
    y : numpy.ndarray
        Magnetising admittance at `from_node`, shape (n,) [S].
    grounded : numpy.ndarray
        Whether the star point at each end is grounded, shape (n, 2), bool.
    grounding_impedance : numpy.ndarray
        Of the star points where `grounded`, shape (n, 2) [ohm].
    tap : tuple of TapChanger or None
    impedance_uncertainty : numpy.ndarray
        Relative standard uncertainty of `z`, shape (n,) [1].
    """

    from_node: Integers
    to_node: Integers
    conductors: Truths
    vector_group: tuple[str, ...]
    rated_power: Floats
    rated_voltage: Floats
    ratio: Floats
    z: Complexes
    z0: Complexes
    y: Complexes
    grounded: Truths
    grounding_impedance: Complexes
    tap: tuple[TapChanger | None, ...]
    impedance_uncertainty: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Injections(Table):
    """
    Loads, or generators.

    The columns of arrays of shape (n, 3) are the phases A, B, C of a wye and the pairs AB, BC, CA of a delta.

    Attributes
    ----------
    node : numpy.ndarray
        Row of the node, shape (n,).
    connection : tuple of Connection
        A wye goes to the neutral of the node, or to earth where it has none.
    connected : numpy.ndarray
        Which phases or pairs it has, shape (n, 3), bool.
    p, q : numpy.ndarray
        Expected beforehand at nominal voltage, shape (n, 3) [W, var].
    u_p, u_q : numpy.ndarray
        Standard uncertainty, infinite where it is not known, shape (n, 3) [W, var].
    exponents : numpy.ndarray
        Of the voltage, for P and for Q, shape (n, 2) [1].
    rated_power : numpy.ndarray
        Of all phases, infinite where it is not known, shape (n,) [VA].
    storage : numpy.ndarray
        Whether power may flow either way, shape (n,), bool.
    profile : tuple of str
    """

    node: Integers
    connection: tuple[Connection, ...]
    connected: Truths
    p: Floats
    q: Floats
    u_p: Floats
    u_q: Floats
    exponents: Floats
    rated_power: Floats
    storage: Truths
    profile: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Switches(Table):
    """
    Switches without impedance.

    Attributes
    ----------
    from_node, to_node : numpy.ndarray
        Rows of the nodes, shape (n,).
    conductors : numpy.ndarray
        Shape (n, 4), bool.
    kind : tuple of SwitchKind
    operation : tuple of Operation
    normally_closed, closed : numpy.ndarray
        Where it stands normally and now, shape (n,), bool.
    rating : numpy.ndarray
        Continuous current, infinite where it is not known, shape (n,) [A].
    breaks, closes : numpy.ndarray
        Largest current it may interrupt, and be closed onto, shape (n,) [A].
    operating_time : numpy.ndarray
        Shape (n,) [s].
    """

    from_node: Integers
    to_node: Integers
    conductors: Truths
    kind: tuple[SwitchKind, ...]
    operation: tuple[Operation, ...]
    normally_closed: Truths
    closed: Truths
    rating: Floats
    breaks: Floats
    closes: Floats
    operating_time: Floats


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
