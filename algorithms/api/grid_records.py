"""
What algorithms say of a whole network: its estimated state, and switching steps they propose.

Like all records (`algorithms.api.records`) frozen, in SI units, powers positive from the node into the equipment.
Nodes, branches and switches bear the ids of the network model whose revision the record names.
"""

import msgspec

from algorithms.api.readings import Estimate, Phasor


class NodeState(msgspec.Struct, frozen=True):
    """
    Estimated voltages [V, rad] and injections into the equipment [W, var] of one node.

    Voltages are keyed by phase (``A``: to neutral, or to earth where the node has none), or by pair of phases (``AB``)
    where only those between phases can be known: nothing below a delta winding sees the zero sequence above it.
    """

    node: str
    voltage: dict[str, Phasor]
    p: dict[str, Estimate] = {}
    q: dict[str, Estimate] = {}


class BranchState(msgspec.Struct, frozen=True):
    """Estimated current [A] and power [W, var] into one branch or transformer at its first end, by phase."""

    branch: str
    current: dict[str, Phasor]
    p: dict[str, Estimate] = {}
    q: dict[str, Estimate] = {}


class Suspect(msgspec.Struct, frozen=True):
    """A measurement that disagrees with the others, and those that would explain it as well."""

    measurement: str
    normalised_residual: float
    alternatives: tuple[str, ...] = ()


class GridState(msgspec.Struct, frozen=True, tag_field="schema", tag="grid-state/1"):
    """
    The estimated state of an area of the network.

    Attributes
    ----------
    area, level : str
        Level is ``concentrator``, ``lv`` or ``mv``.
    time_ns : int
        UTC the state is valid for: the mean instant of the readings it was made of [ns].
    model_revision, topology_revision : int
    nodes : tuple of NodeState
        Those the settings ask for; voltages that are not observable are left out.
    branches : tuple of BranchState
    objective : float or None
        Weighted sum of squared residuals J [1].
    degrees_of_freedom : int
    iterations : int
    unobservable : tuple of str
        Nodes that the measurements do not determine.
    suspects : tuple of Suspect
        Readings, or whole sources by their names, that contradict the rest.
    missing : tuple of str
        Sources (terminals of meters, areas below) whose readings did not arrive in time.
    interval : float
        Time over which readings were averaged [s].
    equivalent : NodeState or None
        What the area draws at its head from the area above, and the voltage there; None where it is not observable, or
        in doubt because readings contradict each other.
        P and Q of all phases (``ABC``) stand beside those of each where they are surer than their sum.
    converged : bool
        False where the figures must not be used; `reason` says why.
    reason : str
    counts : dict
        What came in and what was assumed in this interval: ``readings``, ``late``, ``duplicate``, ``contradictory``,
        ``future``, ``unknown``, ``invalid``, ``surplus``; ``expected`` and ``heard`` sources; ``assumed`` phases of
        loads that nobody measured; ``implausible`` loads whose forecast is beyond their rating.
    undetermined : tuple of str
        Loads and generators whose power neither readings nor forecasts determine.
    omitted : int
        Nodes estimated and not told, as the settings ask.
    """

    area: str
    level: str
    time_ns: int
    model_revision: int
    topology_revision: int
    nodes: tuple[NodeState, ...]
    branches: tuple[BranchState, ...] = ()
    objective: float | None = None
    degrees_of_freedom: int = 0
    iterations: int = 0
    unobservable: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    missing: tuple[str, ...] = ()
    interval: float = 0.0
    equivalent: NodeState | None = None
    converged: bool = True
    reason: str = ""
    counts: dict[str, int] = {}
    undetermined: tuple[str, ...] = ()
    omitted: int = 0


class SwitchStep(msgspec.Struct, frozen=True):
    """One operation: bring `switch` to `state` (``open`` or ``closed``) once `condition` holds."""

    switch: str
    state: str
    condition: str = ""


class Proposal(msgspec.Struct, frozen=True, tag_field="schema", tag="proposal/1"):
    """
    Switching steps that an algorithm proposes; it never switches itself.

    Attributes
    ----------
    kind : str
        ``restoration`` or ``loss-reduction``, for instance.
    network : str
    topology_revision : int
        The switch states it was worked out for; worthless for any other.
    time_ns, expires_ns : int
        [ns UTC]
    steps : tuple of SwitchStep
        In this order.
    gain : dict
        What improves, by name with its estimate (such as ``losses`` [W]).
    checks : dict
        Constraints checked, each with whether it holds.
    unserved : dict
        Nodes that stay dark, each with the reason.
    """

    kind: str
    network: str
    topology_revision: int
    time_ns: int
    expires_ns: int
    steps: tuple[SwitchStep, ...]
    gain: dict[str, Estimate] = {}
    checks: dict[str, bool] = {}
    unserved: dict[str, str] = {}
