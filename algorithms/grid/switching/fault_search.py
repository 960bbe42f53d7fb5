"""
Which switches to open one after the other to find the section of an earth fault that leaves its feeder alive.

Where it stands: on an isolated or compensated neutral the head of a feeder tells that an earth fault is on it, and no
more. The reconfiguration plug-in proposes this search to a person, who watches the zero-sequence voltage.

The way: each opening parts what is left in two halves of about as many customers. If the fault goes with it, it is
below; if it stays, it is above. Only switches that may break what they carry are opened.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.grid.switching.switched import NOTHING
from algorithms.grid.switching.tree_flow import TreeFlow


@dataclass(frozen=True, slots=True)
class Trial:
    """
    One opening.

    Attributes
    ----------
    switch : str
    after : str
        The opening before it on the way here; empty for the first.
    gone : bool
        Whether this one follows where the fault went with the one before, rather than stayed.
    customers : int
        Who is without supply by it.
    current : float
        What it breaks, largest phase [A].
    """

    switch: str
    after: str
    gone: bool
    customers: int
    current: float


def search(flow: TreeFlow, breaker: str, most: int = 31) -> tuple[Trial, ...]:
    """
    Give the openings of a search, those that come first first.

    Parameters
    ----------
    flow : TreeFlow
        The network as its switches stand.
    breaker : str
        The head of the feeder.
    most : int
        Openings at most.

    Returns
    -------
    tuple of Trial
        None where no switch of the feeder can be opened.
    """
    network, model = flow.network, flow.network.model
    solution = flow.solve(network.tree(model.switches.closed))
    tree = solution.tree
    heads = np.flatnonzero(tree.edge == network.branches + model.switches.rows[breaker])
    if not len(heads):
        return ()
    head = int(heads[0])
    customers = np.zeros(len(model.nodes))
    np.add.at(customers, network.standing_for, model.nodes.customers)
    running = np.concatenate([[0.0], np.cumsum(customers[tree.order] + 1e-3)])  # also sections without customers count
    currents = np.abs(solution.carried).max(axis=1)
    candidates = {}
    for place in range(head + 1, int(tree.end[head])):
        row = int(tree.edge[place]) - network.branches
        fit = tree.edge[place] != NOTHING and row >= 0 and bool(network.operable[row])
        if fit and currents[place] <= model.switches.breaks[row]:
            candidates[place] = row
    found: list[Trial] = []
    ahead: list[tuple[int, frozenset[int], str, bool]] = [(head, frozenset(), "", False)]
    while ahead and len(found) < most:
        start, cut, after, gone = ahead.pop(0)
        inside = [
            place
            for place in candidates
            if start < place < int(tree.end[start]) and not any(one <= place < int(tree.end[one]) for one in cut)
        ]
        if not inside:
            continue

        def weight(place: int, cut: frozenset[int] = cut) -> float:
            below = running[int(tree.end[place])] - running[place]
            gone_already = sum(
                running[int(tree.end[one])] - running[one] for one in cut if place <= one < int(tree.end[place])
            )
            return float(below - gone_already)

        whole = weight(start)
        best = min(inside, key=lambda place: (abs(weight(place) - whole / 2), place))
        name = model.switches.ids[candidates[best]]
        below = int(customers[tree.order[best : int(tree.end[best])]].sum())
        found.append(Trial(name, after, gone, below, float(currents[best])))
        ahead.append((best, frozenset(one for one in cut if best <= one < int(tree.end[best])), name, True))
        ahead.append((start, cut | {best}, name, False))
    return tuple(found)
