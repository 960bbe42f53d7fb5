"""
The tables of a network model: read-only columns in SI units, one entry for each piece of equipment.

Where it stands: `network_reader` fills them, `network.NetworkModel` holds them, kernels read them.

Rules:

- Equipment refers to nodes by their row in `Nodes`.
- Arrays with a last axis of 4 follow `CONDUCTORS` (A, B, C, N); matrices hold zeros for conductors that are absent.
- What is not known is infinite where it is a bound or an uncertainty, and told apart by a truth column elsewhere.
- Columns are read-only, also after pickling.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.api.network_equipment import Connection, GroundingKind, TapChanger
from algorithms.api.network_operation import Operation, SwitchKind
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
    rows : mapping
        Row of each id.
    """

    ids: tuple[str, ...]
    rows: Mapping[str, int] = field(init=False, repr=False)

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
        rows = {name: row for row, name in enumerate(self.ids)}
        object.__setattr__(self, "rows", MappingProxyType(rows))

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
    y0 : numpy.ndarray
        That of the zero sequence, 0 where no flux finds a way, referred to `from_node`, shape (n,) [S].
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
    y0: Complexes
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
