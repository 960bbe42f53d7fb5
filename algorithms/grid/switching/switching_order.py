r"""
How to get from one radial position of the switches to another without breaking a limit on the way.

Where it stands: behind `reconfiguration`, which says where to end; the plug-in sends what stands here, step by step.

The way is one exchange after another: close a switch, open one of the loop it closed. *Make before break* interrupts
nobody but lets a current run around the loop for a while, driven by the voltage across the open switch:

.. math:: \Big(\sum_{loop} Z_e\Big) d = V_u - V_v

It is chosen only where that current, added to what runs already, stays within every rating around the loop, within what
the closing switch may be closed onto, and the opening one may break. Otherwise the opening comes first, and customers
below it are without supply until the other switch is closed.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Complexes, Truths
from algorithms.grid.switching.exchange import Loop, loops_of
from algorithms.grid.switching.limits import Judge, Limits
from algorithms.grid.switching.switched import NOTHING
from algorithms.grid.switching.tree_flow import TreeFlow, TreeSolution


@dataclass(frozen=True, slots=True)
class Move:
    """
    One exchange.

    Attributes
    ----------
    close, open : str
        Switches.
    make_before_break : bool
    closed_onto, broken : float
        Largest current of a phase the one is closed onto and the other breaks, with the loop closed [A].
    reason : str
        Why the loop must not be closed; empty where it may.
    interrupted : int
        Customers without supply meanwhile.
    interruption : float
        For how long, by the operating times of both switches [s].
    """

    close: str
    open: str
    make_before_break: bool
    closed_onto: float
    broken: float
    reason: str
    interrupted: int
    interruption: float


def moves(flow: TreeFlow, target: Truths, limits: Limits | None = None) -> tuple[Move, ...] | None:
    """
    Order the exchanges from the present position to `target`.

    Parameters
    ----------
    flow : TreeFlow
        The network as its switches stand, radial.
    target : numpy.ndarray
        Another radial position that feeds the same nodes, shape (n_switches,), bool.
    limits : Limits or None

    Returns
    -------
    tuple of Move or None
        None where there is no way that keeps the limits after each exchange, or what is drawn has no solution now.
    """
    judge = Judge(flow, limits or Limits())
    network, switches = flow.network, flow.network.model.switches
    closed = switches.closed.copy()
    made: list[Move] = []
    while (closed != target).any():
        solution = flow.solve(network.tree(closed))
        if not solution.converged:
            return None  # what is drawn can not be: nothing can be said of any step
        excess = judge.excess(solution)
        wanted = [loop for loop in loops_of(network, solution.tree, closed) if target[loop.switch]]
        best: tuple[tuple[bool, float], Move, Truths] | None = None
        for loop in wanted:
            for place in (*loop.ways[0], *loop.ways[1]):
                row = int(solution.tree.edge[place]) - network.branches
                if row < 0 or target[row] or not network.operable[row]:
                    continue
                after = closed.copy()
                after[loop.switch], after[row] = True, False
                found = flow.solve(network.tree(after))
                if judge.excess(found) > excess + 1e-9:
                    continue
                move = _move(flow, judge, solution, loop, place)
                rank = (not move.make_before_break, found.losses)
                if best is None or rank < best[0]:
                    best = rank, move, after
        if best is None:
            return None
        made.append(best[1])
        closed = best[2]
    return tuple(made)


def around(flow: TreeFlow, solution: TreeSolution, loop: Loop) -> Complexes:
    """Give the current that runs from the first to the second end of a switch when it is closed, shape (3,) [A]."""
    network, tree = flow.network, solution.tree
    one, other = (tree.position[node] for node in network.ends[network.branches + loop.switch])
    impedance = np.full((3, 3), 0j)
    for way in loop.ways:
        for place in way:
            edge = int(tree.edge[place])
            impedance = impedance + (flow.root_impedance[tree.root[place]] if edge == NOTHING else flow.impedance[edge])
    scale = float(np.abs(impedance).max())
    driving = solution.voltages[one] - solution.voltages[other]
    current: Complexes = np.linalg.solve(impedance + max(1e-9 * scale, 1e-6) * np.eye(3), driving)
    return current


def _move(flow: TreeFlow, judge: Judge, solution: TreeSolution, loop: Loop, place: int) -> Move:
    """Judge one exchange of an open switch with the closed one above `place`."""
    network, tree = flow.network, solution.tree
    model, switches = network.model, network.model.switches
    row = int(tree.edge[place]) - network.branches
    current = around(flow, solution, loop)
    through = solution.carried.copy()
    through[loop.ways[0]] += current
    through[loop.ways[1]] -= current
    closed_onto = float(np.abs(current).max())
    broken = float(np.abs(through[place]).max())
    overloaded = judge.overloaded(tree, through, [*loop.ways[0], *loop.ways[1]])
    if closed_onto > switches.closes[loop.switch]:
        reason = f"{switches.ids[loop.switch]} may be closed onto {switches.closes[loop.switch]:g} A"
    elif closed_onto > switches.rating[loop.switch]:
        reason = f"{switches.ids[loop.switch]} may carry {switches.rating[loop.switch]:g} A"
    elif broken > switches.breaks[row]:
        reason = f"{switches.ids[row]} may break {switches.breaks[row]:g} A"
    else:
        reason = overloaded
    below = tree.order[place : int(tree.end[place])]
    times = switches.operating_time[[loop.switch, row]]
    return Move(
        close=switches.ids[loop.switch],
        open=switches.ids[row],
        make_before_break=not reason,
        closed_onto=closed_onto,
        broken=broken,
        reason=reason and f"{reason}, and the loop would make it {max(closed_onto, broken):.0f} A",
        interrupted=int(model.nodes.customers[np.isin(network.standing_for, below)].sum()) if reason else 0,
        interruption=float(times.sum()) if reason else 0.0,
    )
