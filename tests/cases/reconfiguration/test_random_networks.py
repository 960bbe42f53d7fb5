"""Random small networks, judged against every position their switches can take."""

import itertools

import networkx as nx
import numpy as np
import pytest

from algorithms.api.network_reader import parse
from algorithms.grid.switching.limits import Judge, Limits
from algorithms.grid.switching.reconfiguration import Effort, reconfigure
from algorithms.grid.switching.restoration import restore
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.switching_order import moves
from algorithms.grid.switching.tree_flow import TreeFlow
from tests.support.switch_positions import LossesByPowerGridModel, radial_positions
from tests.support.switched_networks import switched_document

WIDE = Limits(0.5, 1.5, 100.0)


@pytest.mark.parametrize("seed", range(8))
def test_no_position_has_fewer_losses_than_the_one_found(seed):
    model = parse(switched_document(seed, zones=8, ties=3, sources=1))
    flow = TreeFlow(SwitchedNetwork(model))
    truth = LossesByPowerGridModel(model)
    least = truth.losses(radial_positions(model)).min()
    found = reconfigure(flow, limits=WIDE, effort=Effort.THOROUGH)
    assert truth.losses(found.closed[np.newaxis])[0] == pytest.approx(least, rel=1e-4)
    searched = reconfigure(flow, limits=WIDE, effort=Effort.THOROUGH, exact=0)
    assert truth.losses(searched.closed[np.newaxis])[0] == pytest.approx(least, rel=2e-3)
    made = moves(flow, found.closed, WIDE)
    assert made is not None
    assert {move.open for move in made} == set(found.to_open)


def best_by_trying(model, flow, fault, limits):
    """Give the most customers that any position of the switches can supply without touching what is live."""
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(len(model.nodes)))
    graph.add_edges_from(zip(model.branches.from_node.tolist(), model.branches.to_node.tolist(), strict=True))
    zone = {node: number for number, part in enumerate(nx.connected_components(graph)) for node in part}
    ends = [
        (zone[int(one)], zone[int(other)])
        for one, other in zip(model.switches.from_node, model.switches.to_node, strict=True)
    ]
    faulted = zone[int(model.branches.from_node[model.branches.rows[fault]])]
    around = {row for row, pair in enumerate(ends) if faulted in pair}
    start = model.switches.closed.copy()
    start[list(around)] = False
    network, judge = flow.network, Judge(flow, limits)
    live = {zone[node] for node in network.tree(start).order.tolist()}
    untouched = {row for row, (one, other) in enumerate(ends) if one in live and other in live}
    free = [row for row in range(len(ends)) if row not in around | untouched]
    base = judge.excess(flow.solve(network.tree(start)))
    most = 0
    for choice in itertools.product((False, True), repeat=len(free)):
        closed = start.copy()
        closed[free] = choice
        tree = network.tree(closed)
        if tree.loops or judge.excess(flow.solve(tree)) > base + 1e-9:
            continue
        most = max(most, int(model.nodes.customers[tree.order].sum()))
    return most


@pytest.mark.parametrize("seed", range(10))
def test_no_position_supplies_more_customers_after_a_fault(seed):
    limits = Limits(0.9, 1.1)
    model = parse(switched_document(100 + seed, zones=7, ties=3, rating=(170.0, 130.0, 100.0)[seed % 3]))
    flow = TreeFlow(SwitchedNetwork(model))
    for fault in model.branches.ids[:3]:
        if (
            not flow.network.tree(model.switches.closed).position[
                int(model.branches.from_node[model.branches.rows[fault]])
            ]
            >= 0
        ):
            continue
        plan = restore(flow, (fault,), model.switches.closed, limits)
        tree = flow.network.tree(plan.closed)
        assert tree.loops == ()
        served = int(model.nodes.customers[tree.order].sum())
        assert served == best_by_trying(model, flow, fault, limits)
        assert served + plan.unserved_customers == int(model.nodes.customers[flow.network.counted].sum())
