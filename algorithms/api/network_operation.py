"""
What a network is operated by, as its document writes it: switches, protection, measuring terminals, areas.

Where it stands: beside `network_equipment`, which has what carries and consumes power. `network_document` gathers both.
"""

from enum import StrEnum

from algorithms.api.network_equipment import Element


class SwitchKind(StrEnum):
    """What a switch is (CIM)."""

    BREAKER = "breaker"
    RECLOSER = "recloser"
    LOAD_BREAK_SWITCH = "load-break-switch"
    SECTIONALISER = "sectionaliser"
    DISCONNECTOR = "disconnector"
    FUSE = "fuse"


class Operation(StrEnum):
    """Who can operate a switch."""

    REMOTE = "remote"
    LOCAL = "local"
    """Somebody has to go there."""
    NONE = "none"


class SwitchState(StrEnum):
    """Where a switch stands."""

    OPEN = "open"
    CLOSED = "closed"


class Switch(Element, frozen=True):
    """
    A switch between two nodes, without impedance; all its phases move together.

    Attributes
    ----------
    from_node, to_node : str
    kind : SwitchKind
    phases : str
    normal : SwitchState
    operation : Operation
    rating : float or None
        Continuous current [A].
    breaks : float
        Largest current it may interrupt [A]; 0 where it must be dead.
    closes : float
        Largest current it may be closed onto [A]; 0 where it must be dead.
    operating_time : float
        From the command to the contacts [s].
    """

    from_node: str
    to_node: str
    kind: SwitchKind
    phases: str = "ABC"
    normal: SwitchState = SwitchState.CLOSED
    operation: Operation = Operation.NONE
    rating: float | None = None
    breaks: float = 0.0
    closes: float = 0.0
    operating_time: float = 0.0


class Protection(Element, frozen=True):
    """
    What trips a switch, and how often it closes again.

    Attributes
    ----------
    switch : str
    phase_current, ground_current : float or None
        Pick-up of the phase and of the residual (3 I0) current [A]; None where there is no such function.
    delay : float
        From pick-up to the trip command [s].
    dead_times : tuple of float
        Pause before each reclosure, in their order; empty for none [s].
    reclaim_time : float
        Quiet time after which the sequence starts anew [s].
    """

    switch: str
    phase_current: float | None = None
    ground_current: float | None = None
    delay: float = 0.0
    dead_times: tuple[float, ...] = ()
    reclaim_time: float = 0.0


class Terminal(Element, frozen=True):
    """
    Where something is measured.

    Attributes
    ----------
    node : str
        Whose voltages are measured.
    equipment : str
        Into which the current is measured (branch, transformer, load, ...); empty where only voltages are.
    phases : str
    device : str
        The meter that sees it; empty where none does yet.
    """

    node: str
    phases: str
    equipment: str = ""
    device: str = ""


class Level(StrEnum):
    """The level an area is estimated at."""

    CONCENTRATOR = "concentrator"
    LV = "lv"
    MV = "mv"


class Area(Element, frozen=True):
    """
    A part of the network that one agent looks after.

    Equipment belongs to the area of its nodes; between two areas, to the lower one. So the MV/LV transformer belongs
    to the LV area, whose `head` is the transformer's MV node.

    Attributes
    ----------
    level : Level
    nodes : tuple of str
        The nodes it owns; no other area owns them.
    head : str
        Node where its result is handed to the area above: owned by that one, or by itself at the top.
    device : str
        The agent that looks after it; empty where none does yet.
    radial : bool
        Whether it must have no loop, its switches standing normally.
    """

    level: Level
    nodes: tuple[str, ...]
    head: str
    device: str = ""
    radial: bool = True
