"""
The pieces of a network as its document writes them: nodes, lines, transformers, loads, switches, meters' terminals.

Where it stands: `network_document` gathers them; `network_tables` holds the same in arrays. Units, signs and the
meaning of phases are the document's, stated there.
"""

from enum import StrEnum

import msgspec


class Element(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """
    Base of everything in the document that has an id.

    Attributes
    ----------
    id : str
        CIM mRID where known.
    name : str
        What people call it.
    """

    id: str
    name: str = ""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Base of what belongs to an element and has no id."""


class GroundingKind(StrEnum):
    """How a neutral is connected to earth."""

    SOLID = "solid"
    RESISTANCE = "resistance"
    REACTANCE = "reactance"
    COMPENSATED = "compensated"
    """Through a coil tuned to the capacitance of the network (Petersen)."""
    ISOLATED = "isolated"


class Grounding(Part, frozen=True):
    """
    The connection of a neutral to earth.

    Attributes
    ----------
    kind : GroundingKind
    r, x : float
        Impedance from the neutral to earth [ohm]; 0 where solid or isolated.
    """

    kind: GroundingKind
    r: float = 0.0
    x: float = 0.0


class Node(Element, frozen=True):
    """
    A place where equipment is joined (CIM ConnectivityNode).

    Attributes
    ----------
    phases : str
        Conductors there are, such as ``ABCN``.
    base_voltage : float
        Nominal voltage line to line [V]; where only one phase is present, that of the system it belongs to.
    grounding : Grounding or None
        Of the neutral conductor at this node; None where it is not grounded here.
    customers : int
        Customers supplied from here.
    position : tuple or None
        East and north [m], for drawing.
    """

    phases: str
    base_voltage: float
    grounding: Grounding | None = None
    customers: int = 0
    position: tuple[float, float] | None = None


class Source(Element, frozen=True):
    """
    The network beyond, as a voltage behind an impedance (Thevenin, symmetrical).

    Its star point is the neutral of the node, or earth where the node has none.

    Attributes
    ----------
    node : str
    voltage : float
        Magnitude behind the impedance, phase to neutral [V].
    angle : float
        Of phase A behind the impedance [rad]; B follows by -120 degrees, C by +120 degrees.
    r1, x1 : float
        Positive-sequence impedance, also taken for the negative sequence [ohm].
    r0, x0 : float or None
        Zero-sequence impedance as seen from the node, three times the neutral's impedance included [ohm]; None where
        there is no path for zero-sequence current.
    grounding : GroundingKind
        How the neutral behind it is treated.
    voltage_uncertainty : float
        Relative standard uncertainty of `voltage` [1].
    """

    node: str
    voltage: float
    r1: float
    x1: float
    r0: float | None = None
    x0: float | None = None
    angle: float = 0.0
    grounding: GroundingKind = GroundingKind.ISOLATED
    voltage_uncertainty: float = 0.0


Matrix = tuple[tuple[float, ...], ...]


class SequenceImpedance(Part, frozen=True):
    """Data of a transposed line or a cable as manufacturers give them, per metre [ohm/m, S/m] or in all [ohm, S]."""

    r1: float
    x1: float
    r0: float
    x0: float
    b1: float = 0.0
    b0: float = 0.0


class LineType(Element, frozen=True):
    """
    Data of a line per metre, shared by all branches that are built alike (CIM PerLengthPhaseImpedance).

    Attributes
    ----------
    phases : str
        Conductors in the order of the matrices.
    r, x : tuple of tuple of float or None
        Series impedance [ohm/m]; may be left out where `sequence` is given.
    g, b : tuple of tuple of float or None
        Shunt admittance [S/m], of the whole line (both halves of the pi circuit); None for none.
    sequence : SequenceImpedance or None
        Instead of the matrices, for ``ABC`` only.
    impedance_uncertainty, shunt_uncertainty : float
        Relative standard uncertainty of the data, lengths included [1].
    rating : float or None
        Continuous current per phase [A].
    """

    phases: str
    r: Matrix | None = None
    x: Matrix | None = None
    g: Matrix | None = None
    b: Matrix | None = None
    sequence: SequenceImpedance | None = None
    impedance_uncertainty: float = 0.0
    shunt_uncertainty: float = 0.0
    rating: float | None = None


class Branch(Element, frozen=True):
    """
    A line or cable between two nodes (CIM ACLineSegment).

    Its electrical data come from a line type and a length, or stand here in all (`r`, `x`, `g`, `b` [ohm, S]).

    Attributes
    ----------
    from_node, to_node : str
        Distances along it count from `from_node`.
    phases : str
        Conductors in the order of the matrices; those of the line type where empty.
    length : float
        [m]
    line_type : str
        Id of a `LineType`; empty where the data stand here.
    r, x, g, b, sequence
        As in `LineType`, but for the whole length [ohm], [S].
    impedance_uncertainty, shunt_uncertainty, rating
        As in `LineType`; None for what the line type says.
    """

    from_node: str
    to_node: str
    length: float
    phases: str = ""
    line_type: str = ""
    r: Matrix | None = None
    x: Matrix | None = None
    g: Matrix | None = None
    b: Matrix | None = None
    sequence: SequenceImpedance | None = None
    impedance_uncertainty: float | None = None
    shunt_uncertainty: float | None = None
    rating: float | None = None


class TapChanger(Part, frozen=True):
    """
    Tap changer (CIM RatioTapChanger).

    Attributes
    ----------
    end : int
        0 for the winding at `from_node`, 1 for the one at `to_node`.
    position, neutral, lowest, highest : int
    step : float
        Change of that winding's turns for one step, relative to its rated voltage [1].
    regulates : bool
        Whether it moves on its own under load.
    """

    end: int
    position: int
    step: float
    neutral: int = 0
    lowest: int = 0
    highest: int = 0
    regulates: bool = False


class Transformer(Element, frozen=True):
    """
    A transformer of two windings.

    Attributes
    ----------
    from_node, to_node : str
        Higher and lower voltage.
    vector_group : str
        Such as ``Dyn11``, ``Yzn5``; ``Ii0`` for one phase (IEC 60076-1).
    phases : str
        Phases it connects at both sides, without the neutral.
    rated_power : float
        [VA]
    rated_voltage : tuple of float
        Line to line, at `from_node` and at `to_node` [V]; across the winding for ``Ii0``.
    r, x : float
        Short-circuit impedance referred to `from_node` [ohm].
    r0, x0 : float or None
        Zero-sequence short-circuit impedance referred to `from_node` [ohm]; as `r` and `x` where None.
    r0m, x0m : float or None
        Zero-sequence magnetising impedance referred to `from_node` [ohm]: what a star point meets where no other
        winding carries zero-sequence current (Yyn0 on a core of three limbs); None where nothing flows then.
    g, b : float
        Magnetising admittance at `from_node`, `b` below 0 [S].
    from_grounding, to_grounding : Grounding or None
        Of the star points; None where there is none or it is not grounded here.
    tap : TapChanger or None
    impedance_uncertainty : float
        Relative standard uncertainty of `r` and `x` [1].
    """

    from_node: str
    to_node: str
    vector_group: str
    rated_power: float
    rated_voltage: tuple[float, float]
    r: float
    x: float
    phases: str = "ABC"
    r0: float | None = None
    x0: float | None = None
    r0m: float | None = None
    x0m: float | None = None
    g: float = 0.0
    b: float = 0.0
    from_grounding: Grounding | None = None
    to_grounding: Grounding | None = None
    tap: TapChanger | None = None
    impedance_uncertainty: float = 0.0


class Connection(StrEnum):
    """Between what a load or a generator is connected."""

    WYE = "wye"
    """From each phase to the neutral, or to earth where the node has no neutral."""
    DELTA = "delta"
    """From phase to phase."""


class Load(Element, frozen=True):
    """
    What consumes; a capacitor bank is a load with `q` below 0 and exponents of 2.

    Power follows the voltage across it: p (V / Vn) ** p_exponent.

    Attributes
    ----------
    node : str
    connection : Connection
    p, q : dict
        What is expected beforehand at nominal voltage, by phase (``A``) or pair of phases (``AB``, ``BC``, ``CA``)
        [W, var].
    u_p, u_q : dict
        Standard uncertainty of that [W, var]; empty where it is not known.
    p_exponent, q_exponent : float
        0 constant power, 1 constant current, 2 constant impedance.
    rated_power : float or None
        In all phases [VA].
    profile : str
        Name of the profile that forecasts it, if any.
    """

    node: str
    p: dict[str, float]
    q: dict[str, float]
    u_p: dict[str, float] = {}
    u_q: dict[str, float] = {}
    connection: Connection = Connection.WYE
    p_exponent: float = 0.0
    q_exponent: float = 0.0
    rated_power: float | None = None
    profile: str = ""


class Generator(Load, frozen=True):
    """What feeds: as a load, with `p` at or below 0 unless it is a storage."""

    storage: bool = False
