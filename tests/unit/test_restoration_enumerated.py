"""
Restoration beside every position there is: in small random networks, nothing brings back more customers within limits.

Positions are enumerated and their radiality is judged by networkx; limits by the power flow of trees, which other tests
hold against power-grid-model.
"""

import itertools
from random import Random

import networkx as nx
import numpy as np

from algorithms.api.network_reader import parse
from algorithms.grid.switching.limits import Judge, Limits
from algorithms.grid.switching.restoration import restore
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import TreeFlow
from tests.support.switched_networks import switched_document

LIMITS = Limits(0.9, 1.1)


def wired(model, closed):
    """Give what hangs together, all sources being one, as a multigraph."""
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(len(model.nodes)))
    pairs = [*zip(model.branches.from_node.tolist(), model.branches.to_node.tolist(), strict=True)]
    ends = zip(model.switches.from_node.tolist(), model.switches.to_node.tolist(), strict=True)
    pairs += [pair for pair, there in zip(ends, closed.tolist(), strict=True) if there]
    pairs += [("grid", node) for node in model.sources.node.tolist()]
    graph.add_edges_from(pairs)
    return graph


def fed(model, closed):
    """Give the nodes that are fed, and whether they are so by one way only."""
    graph = wired(model, closed)
    part = graph.subgraph(nx.node_connected_component(graph, "grid"))
    return set(part) - {"grid"}, part.number_of_edges() == part.number_of_nodes() - 1


def most(flow, faulted, locked):
    """Give the most customers that any position brings back, and the fewest operations for that."""
    model = flow.network.model
    switches, names = model.switches, list(model.switches.ids)
    start = switches.closed.copy()
    start[[names.index(name) for name in locked]] = False
    before, (live, _) = fed(model, switches.closed)[0], fed(model, start)
    judge = Judge(flow, LIMITS)
    allowed = judge.excess(flow.solve(flow.network.tree(start))) + 1e-9
    wanted = before - live - faulted
    free = [
        row
        for row, name in enumerate(names)
        if name not in locked and wanted.intersection((int(switches.from_node[row]), int(switches.to_node[row])))
    ]
    best = 0, 0
    for choice in itertools.product((False, True), repeat=len(free)):
        closed = start.copy()
        closed[free] = choice
        now, radial = fed(model, closed)
        customers = int(model.nodes.customers[sorted(now - live)].sum())
        key = -customers, int((closed != start).sum())
        if not radial or now & faulted or key >= best:
            continue
        if judge.excess(flow.solve(flow.network.tree(closed))) <= allowed:
            best = key
    return -best[0], best[1]


def compared(seed):
    pick = Random(seed)
    rating = pick.choice((60.0, 90.0, 120.0, 180.0))
    document = switched_document(
        seed, pick.randint(7, 10), pick.randint(3, 4), sources=pick.choice((1, 2, 3)), rating=rating
    )
    model = parse(document)
    branch = model.branches.ids[pick.randrange(4)]
    flow = TreeFlow(SwitchedNetwork(model))
    isolated = wired(model, np.zeros(len(model.switches), dtype=bool))
    isolated.remove_node("grid")
    at = int(model.branches.from_node[model.branches.rows[branch]])
    faulted = set(nx.node_connected_component(isolated, at))
    if faulted & set(model.sources.node.tolist()):
        return None
    plan = restore(flow, (branch,), model.switches.closed, LIMITS)
    opened = np.array([name in plan.locked for name in model.switches.ids])
    operations = int((plan.closed != (model.switches.closed & ~opened)).sum())
    return (plan.restored_customers, operations), most(flow, faulted, plan.locked), bool(plan.to_open)


def test_nothing_brings_back_more_customers_nor_as_many_with_fewer_operations():
    found = [one for one in map(compared, range(90)) if one is not None]
    worse = [(ours, best) for ours, best, _ in found if ours[0] < best[0]]
    assert len(found) > 80
    assert sum(parted for _, _, parted in found) >= 4, "some of them need a second way into a part"
    assert worse == []
    assert all(ours[1] <= best[1] for ours, best, _ in found)


def test_an_island_that_gains_little_does_not_take_what_another_needs():
    """A way that can carry one island of 54 customers, or a part of 2 of a larger one, goes to the 54."""
    pick = Random(34)
    zones, ties, sources = pick.randint(9, 12), pick.randint(3, 5), pick.choice((1, 2, 3))
    rating = pick.choice((60.0, 90.0, 120.0, 180.0))
    model = parse(switched_document(34, zones, ties, sources=sources, rating=rating))
    plan = restore(TreeFlow(SwitchedNetwork(model)), ("l0",), model.switches.closed, LIMITS)
    assert plan.restored_customers == 54
    assert plan.to_close == ("s11",)
