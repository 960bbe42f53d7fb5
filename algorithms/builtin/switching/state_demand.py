"""
What nodes draw by a grid state, as the search for positions of switches needs it. Pure.

Where it stands: the reconfiguration plug-in asks it for every grid state it takes.
"""

from algorithms.api.grid_records import GridState
from algorithms.api.network import NetworkModel
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import Demand, expected

_phases, _pairs = ("A", "B", "C"), ("AB", "BC", "CA")


def demand_of(state: GridState, model: NetworkModel) -> Demand:
    """Give what nodes draw by a grid state; what it does not say of a node is as the model expects."""
    demand = expected(SwitchedNetwork(model))
    wye, delta = demand.wye.copy(), demand.delta.copy()
    for node in state.nodes:
        row = model.nodes.rows.get(node.node)
        if row is None or not node.p:
            continue
        wye[row] = delta[row] = 0.0
        for table, names in ((wye, _phases), (delta, _pairs)):
            for column, name in enumerate(names):
                if name in node.p:
                    reactive = node.q[name].value if name in node.q else 0.0
                    table[row, column] = complex(node.p[name].value, reactive)
    return Demand(wye, delta)
