"""
What must hold before a line is touched after a fault: judged from switches' reports, meters and a power flow. Pure.

Where it stands: the phases of `fault_handling` ask these questions; each answer is a sentence for people, empty where
nothing speaks against going on.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from algorithms.api.network_operation import SwitchKind, SwitchState
from algorithms.api.network_tables import Integers, Truths
from algorithms.api.switching import Cause, SwitchReport, tags_of
from algorithms.builtin.switching.fault_case import FaultCase
from algorithms.builtin.switching.positions_before import PositionsBefore
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.voltage_watch import VoltageWatch
from algorithms.grid.switching.enclosing import enclosing, faulted_zones
from algorithms.grid.switching.restoration import Restoration
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import TreeFlow, TreeSolution

CUT_SHORT = "it ended before this was brought back"


def still_dark(board: SwitchBoard, before: Truths, reasons: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """
    Tell what is dark by the switches' own word, whatever was planned.

    Parameters
    ----------
    board : SwitchBoard
    before : numpy.ndarray
        Where switches stood before the faults, shape (n_switches,), bool.
    reasons : mapping
        Why nodes were to stay dark.

    Returns
    -------
    unserved : dict
        Nodes, each with the reason.
    customers : int
        Of those nodes, and of what hangs below their transformers.
    """
    model = board.model
    network = SwitchedNetwork(model, np.ones(len(model.switches), dtype=bool))
    live = set(network.tree(board.surely_closed()).order.tolist())
    fed = set(network.tree(before).order.tolist())
    rows = [model.nodes.rows[name] for name in reasons if model.nodes.rows[name] not in live]
    rows += sorted(row for row in fed - live if model.nodes.ids[row] not in reasons)
    names = [model.nodes.ids[row] for row in rows]
    customers = int(model.nodes.customers[np.isin(network.standing_for, rows)].sum())
    return {name: reasons.get(name, CUT_SHORT) for name in names}, customers


def is_enclosed(board: SwitchBoard, case: FaultCase) -> bool:
    """Tell whether all switches around a fault say that they are locked for it."""
    network = SwitchedNetwork(board.model)
    around = enclosing(network, faulted_zones(network, case.branches, case.nodes))
    reports = [board.report(board.model.switches.ids[row]) for row in around]
    return bool(reports) and all(
        report is not None and report.state is SwitchState.OPEN and case.id in tags_of(report.tag) for report in reports
    )


def joined(board: SwitchBoard, case: FaultCase, closed: Truths) -> set[int]:
    """Give the rows of the nodes that are joined with where a fault may be, the switches standing as `closed` says."""
    model = board.model
    branches = [model.branches.rows[name] for name in case.branches]
    at = [*model.branches.from_node[branches].tolist(), *(model.nodes.rows[name] for name in case.nodes)]
    network = SwitchedNetwork(model, np.ones(len(model.switches), dtype=bool))
    return set(network.hanging_together(at, closed))


def protecting_beside(board: SwitchBoard, case: FaultCase) -> dict[str, SwitchReport]:
    """Give what the switches say that protect what is joined with a fault, and those that are known to clear it."""
    switches, inside = board.model.switches, joined(board, case, board.closed())
    found = {}
    for row, name in enumerate(switches.ids):
        report = board.report(name)
        if report is None or switches.kind[row] not in (SwitchKind.BREAKER, SwitchKind.RECLOSER):
            continue
        tripped = report.state is SwitchState.OPEN and report.cause is Cause.PROTECTION
        borders = (int(switches.from_node[row]) in inside) != (int(switches.to_node[row]) in inside)
        if (tripped and borders) or (name in case.breakers and report.state is SwitchState.CLOSED):
            found[name] = report
    return found


def why_not_dead(cases: Sequence[FaultCase], board: SwitchBoard, voltages: VoltageWatch, *, by_meters: bool) -> str:
    """
    Say why what is joined with faults must not be taken for dead.

    Parameters
    ----------
    cases : sequence of FaultCase
        Those whose lines must be dead and are not enclosed.
    board : SwitchBoard
    voltages : VoltageWatch
    by_meters : bool
        Whether a meter must say so; otherwise none may say otherwise.
    """
    network = SwitchedNetwork(board.model, np.ones(len(board.model.switches), dtype=bool))
    closed = board.surely_closed() if by_meters else board.closed()  # without meters, what may be closed counts
    for case in cases:
        nodes = names_of(network, np.array(sorted(joined(board, case, closed)), dtype=np.intp))
        dead, said = voltages.dead(nodes, case.cleared_ns)
        if not dead and (by_meters or said.startswith("the line is alive")):
            return said
    return ""


def objection(
    flow: TreeFlow, plan: Restoration, cases: Sequence[FaultCase], voltages: VoltageWatch, since_ns: int
) -> str:
    """
    Say what forbids to switch without a person.

    Parameters
    ----------
    flow : TreeFlow
        The network as its switches stand.
    plan : Restoration
    cases : sequence of FaultCase
    voltages : VoltageWatch
    since_ns : int
        What meters saw before this no longer counts [ns UTC].
    """
    if not all(case.trusted for case in cases):
        return "the location is not to be trusted"
    if not all(case.breaker or case.live for case in cases):
        return "no breaker is known that cleared the fault"
    network = flow.network
    solution = flow.solve(network.tree(network.model.switches.closed))
    if solution.tree.loops:
        return "the switches, where they say they stand, close a loop"
    blind = voltages.contradicting(names_of(network, solution.tree.order), since_ns)
    if blind:
        return f"the topology contradicts the meters: {', '.join(blind[:5])} should be alive and see nothing"
    return _cannot_break(network, solution, plan)


def _cannot_break(network: SwitchedNetwork, solution: TreeSolution, plan: Restoration) -> str:
    """Say which switch around a fault cannot, or may not be able to, break what it carries."""
    switches = network.model.switches
    edges = solution.tree.edge.tolist()
    for name in plan.isolate:
        row = switches.rows[name]
        edge = network.branches + row
        if edge in edges and not solution.converged:
            return f"what {name} carries is not known: what was drawn has no solution"
        current = abs(solution.carried[edges.index(edge)]).max() if edge in edges else 0.0
        if current > switches.breaks[row]:
            return f"{name} carries {current:.0f} A and may break {switches.breaks[row]:g} A"
    return ""


def names_of(network: SwitchedNetwork, rows: Integers) -> set[str]:
    """Name some nodes and all for which they stand."""
    found = np.flatnonzero(np.isin(network.standing_for, rows))
    return {network.model.nodes.ids[node] for node in found.tolist()}


def still_protected(cases: Sequence[FaultCase], board: SwitchBoard, now_ns: int) -> list[FaultCase]:
    """Give the faults whose protection, of all breakers that feed them, has not ended its sequence by now [ns UTC]."""
    protections, waiting = board.model.protections, []
    for case in cases:
        if case.live or case.enclosed:
            continue
        case.beside(protecting_beside(board, case), protections, now_ns)
        names = (case.breaker, *case.breakers)
        if not all(case.locked_out(name, board.report(name), protections, now_ns) for name in names):
            waiting.append(case)
    return waiting


def taken_over(cases: Sequence[FaultCase], board: SwitchBoard, ground: PositionsBefore) -> str:
    """Say which breaker a person has taken over; nothing where none."""
    tags = tuple(case.id for case in cases)
    for case in cases:
        report = board.report(case.breaker)
        ours = report is not None and ground.ours(report, cases)
        taken = "" if case.enclosed or ours else case.taken_over(report, tags)
        if taken:
            return f"{taken}: a person has taken over"
    return ""


def may_feed(board: SwitchBoard, breaker: str, switch: str) -> bool:
    """Tell whether a breaker, were it closed, lies between a switch and what feeds it; in a loop it may."""
    model = board.model
    network, closed = SwitchedNetwork(model, np.ones(len(model.switches), dtype=bool)), board.closed()
    row, at = model.switches.rows[breaker], model.switches.rows[switch]
    closed[[row, at]] = True
    tree = network.tree(closed)
    ends = int(model.switches.from_node[at]), int(model.switches.to_node[at])
    on_the_way = {at} | {int(tree.edge[place]) - network.branches for node in ends for place in tree.way(node)}
    return bool(tree.loops) or row in on_the_way
