r"""
Loops of a radial network, and what moving its open points would change, without solving anew for each.

Where it stands: `reconfiguration` walks from position to position with it. An open switch between nodes u and v closes
a loop when it is closed; opening another switch c of that loop, which carries the current :math:`J_c`, moves what is
below c to the other side. With the currents that nodes draw left as they are, that adds the loop current
:math:`d = \pm J_c` along the way to u and takes it away along the way to v, and the losses change by

.. math:: \Delta P = 2 \Re(d^H g) + d^H R d, \quad g = \sum_u R J - \sum_v R J, \quad R = \sum_{loop} R_e

Rules:

- Ways to different roots are a loop too: it closes through what feeds them.
- Loop currents with everything closed follow from the loops' impedances alone, so that switches need none.

References
----------
S. Civanlar, J. J. Grainger, H. Yin, S. S. H. Lee, IEEE Trans. Power Delivery 3:3 (1988) 1217-1223,
doi 10.1109/61.193906 (branch exchange). D. Shirmohammadi, H. W. Hong, IEEE Trans. Power Delivery 4:2 (1989) 1492-1498,
doi 10.1109/61.25637 (currents of the closed loops).
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Complexes, Floats, Truths
from algorithms.grid.switching.switched import NOTHING, SwitchedNetwork, Tree
from algorithms.grid.switching.tree_flow import TreeFlow, TreeSolution, along, below


@dataclass(frozen=True, slots=True)
class Loop:
    """
    What closing a switch would close.

    Attributes
    ----------
    switch : int
        Row of the open switch.
    ways : tuple of list
        Positions from each of its ends up to where they meet, that one left out; `from_node` first.
    """

    switch: int
    ways: tuple[list[int], list[int]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """Close one switch and open another, with what that changes [W]."""

    close: int
    open: int
    change: float


def loops_of(network: SwitchedNetwork, tree: Tree, closed: Truths) -> list[Loop]:
    """Give the loop of each open switch that may be moved and has both ends fed."""
    found = []
    for row in np.flatnonzero(network.operable & ~closed).tolist():
        one, other = network.ends[network.branches + row]
        if tree.position[one] != NOTHING and tree.position[other] != NOTHING:
            up, down = tree.way(one), tree.way(other)
            while up and down and up[-1] == down[-1]:
                up.pop()
                down.pop()
            found.append(Loop(row, (up, down)))
    return found


def exchanges(flow: TreeFlow, solution: TreeSolution, loops: list[Loop]) -> list[Exchange]:
    """Give every exchange of an open switch with one of its loop, by the change of losses it promises, best first."""
    network, tree, carried = flow.network, solution.tree, solution.carried
    resistance = flow.resistance[tree.edge]
    resistance[tree.edge == NOTHING] = 0.0
    ways = along(tree, np.matmul(resistance, carried[:, :, np.newaxis])[:, :, 0])
    sums = along(tree, resistance)
    zeros, zero = np.zeros((3, 3)), np.zeros(3, dtype=complex)
    edges = tree.edge.tolist()
    operable = network.operable.tolist()
    found: list[tuple[float, int, int]] = []
    for loop in loops:
        up, down = loop.ways
        above = tree.parent[up[-1]] if up else (tree.parent[down[-1]] if down else NOTHING)
        gradient = (ways[up[0]] if up else _at(ways, above, zero)) - (ways[down[0]] if down else _at(ways, above, zero))
        around = (sums[up[0]] if up else _at(sums, above, zeros)) + (sums[down[0]] if down else _at(sums, above, zeros))
        if above != NOTHING:
            around = around - 2.0 * sums[above]
        places, rows, signs = [], [], []
        for way, sign in ((up, -1.0), (down, 1.0)):
            for place in way:
                row = edges[place] - network.branches
                if row >= 0 and operable[row]:
                    places.append(place)
                    rows.append(row)
                    signs.append(sign)
        if not places:
            continue
        moved = carried[places] * np.array(signs)[:, np.newaxis]
        change = 2.0 * (moved.conj() @ gradient).real + (moved.conj() * (moved @ around.T)).sum(axis=1).real
        found += zip(change.tolist(), rows, [loop.switch] * len(rows), strict=True)
    found.sort()
    return [Exchange(close, opened, change) for change, opened, close in found]


def _at(values: Floats | Complexes, place: int, nothing: Floats | Complexes) -> Floats | Complexes:
    return nothing if place == NOTHING else values[place]


def closed_currents(flow: TreeFlow, solution: TreeSolution, loops: list[Loop], *, resistive: bool) -> Floats:
    """
    Give the current each switch would carry with all of them closed, shape (n_switches,) [A].

    Parameters
    ----------
    flow : TreeFlow
    solution : TreeSolution
        Of a tree that spans the network.
    loops : list of Loop
        Of that tree.
    resistive : bool
        Whether currents shall share as resistances alone would have it, which is the distribution of least losses.
    """
    network, tree = flow.network, solution.tree
    size, count = len(tree.order), len(loops)
    impedance = (flow.resistance.astype(complex) if resistive else flow.impedance)[tree.edge]
    top = tree.edge == NOTHING
    impedance[top] = 0.0 if resistive else flow.root_impedance[tree.root[top]]
    through = np.zeros((count, size))
    between = np.zeros((count, 3), dtype=complex)
    for number, loop in enumerate(loops):
        for way, sign in zip(loop.ways, (1.0, -1.0), strict=True):
            through[number, way] = sign
            if way and tree.parent[way[-1]] == NOTHING and not resistive:
                between[number] += sign * flow.behind[tree.root[way[0]]]
    drops = np.matmul(impedance, solution.carried[:, :, np.newaxis])[:, :, 0]
    weighted = through[np.newaxis] * impedance.reshape(size, 9).T[:, np.newaxis, :]
    blocks = (weighted @ through.T).reshape(3, 3, count, count)
    matrix = blocks.transpose(2, 0, 3, 1).reshape(3 * count, 3 * count)
    wanted = (between - through @ drops).reshape(3 * count)
    scale = float(np.abs(matrix).max(initial=0.0)) or 1.0
    current = np.linalg.solve(matrix + 1e-9 * scale * np.eye(3 * count), wanted).reshape(count, 3)
    carried = solution.carried + through.T @ current
    magnitude = np.zeros(len(network.operable))
    of_switch = tree.edge >= network.branches
    magnitude[tree.edge[of_switch] - network.branches] = np.linalg.norm(carried[of_switch], axis=1)
    for loop, around in zip(loops, current, strict=True):
        magnitude[loop.switch] = np.linalg.norm(around)
    return magnitude


def with_currents(flow: TreeFlow, tree: Tree, drawn_at: Complexes) -> TreeSolution:
    """
    Give currents and losses in another position while each node draws the current it drew before.

    Parameters
    ----------
    drawn_at : numpy.ndarray
        Current each node draws, shape (n_nodes, 3) [A].
    """
    drawn = drawn_at[tree.order]
    carried = below(tree, drawn)
    inner = carried.copy()
    inner[tree.edge == NOTHING] = 0.0
    heat = np.matmul(flow.resistance[tree.edge], inner[:, :, np.newaxis])[:, :, 0]
    return TreeSolution(tree, carried, drawn, carried, float(np.vdot(inner, heat).real), True)
