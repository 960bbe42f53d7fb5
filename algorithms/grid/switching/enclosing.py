"""
Where a fault is by the zones that switches make, and which switches part it from the rest.

Where it stands: `restoration` begins with it, and the reconfiguration plug-in asks whether a fault is enclosed already.
"""

import numpy as np

from algorithms.grid.switching.switched import SwitchedNetwork


def faulted_zones(network: SwitchedNetwork, branches: tuple[str, ...], nodes: tuple[str, ...] = ()) -> set[int]:
    """
    Give the zones in which a fault on any of these branches or at any of these nodes is.

    Raises
    ------
    ValueError
        When the network has no such branch or node.
    """
    model = network.model
    at = []
    for name in branches:
        if name not in model.branches.rows:
            raise ValueError(f"a branch of {model.network} expected, found {name}")
        at.append(int(model.branches.from_node[model.branches.rows[name]]))
    for name in nodes:
        if name not in model.nodes.rows:
            raise ValueError(f"a node of {model.network} expected, found {name}")
        at.append(model.nodes.rows[name])
    return {int(network.zone[node]) for node in at}


def enclosing(network: SwitchedNetwork, zones: set[int]) -> list[int]:
    """Give the rows of the switches that part `zones` from the rest, wherever they stand."""
    switches = network.model.switches
    one, other = network.zone[switches.from_node], network.zone[switches.to_node]
    inside = np.isin(one, list(zones)), np.isin(other, list(zones))
    return [int(row) for row in np.flatnonzero((inside[0] != inside[1]) & network.operable)]
