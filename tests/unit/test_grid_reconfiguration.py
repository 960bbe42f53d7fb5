"""Radial positions of switches: trees, loops, spanning trees, objectives and limits."""

import numpy as np
import pytest

from algorithms.api.errors import NetworkError
from algorithms.api.network_document import SwitchStates
from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import prepare
from algorithms.grid.switching.exchange import exchanges, loops_of
from algorithms.grid.switching.limits import Judge, Limits
from algorithms.grid.switching.reconfiguration import Effort, Objective, positions, reconfigure
from algorithms.grid.switching.switched import NOTHING, SwitchedNetwork
from algorithms.grid.switching.tree_flow import TreeFlow
from tests.support.feeder_pair import feeder_pair_document
from tests.support.networks import element, feeder_document
from tests.support.published_networks import published_document


def pair(**options):
    return parse(feeder_pair_document(**options))


def test_the_quick_power_flow_agrees_with_the_full_one_in_every_position():
    document = feeder_pair_document()
    for load in document["loads"]:
        load["p"]["AB"] *= 1.5  # unbalanced
    model = parse(document)
    network = SwitchedNetwork(model)
    flow = TreeFlow(network)
    for closed in list(positions(network))[::6]:
        states = {name: "closed" if there else "open" for name, there in zip(model.switches.ids, closed, strict=True)}
        full = prepare(model.with_switches(SwitchStates("pair", 1, states))).solve()
        quick = flow.solve(network.tree(closed), tolerance=1e-9)
        found = np.abs(quick.voltages) / flow.nominal[quick.tree.order][:, np.newaxis]
        wanted = np.abs(full.voltages[quick.tree.order, :3]) / flow.nominal[quick.tree.order][:, np.newaxis]
        assert np.abs(found - wanted).max() < 1e-7


def test_what_hangs_below_a_transformer_is_a_load_of_the_node_above():
    model = parse(feeder_document())
    network = SwitchedNetwork(model)
    flow = TreeFlow(network)
    rows = model.nodes.rows
    below = model.loads.p[:2].sum() + model.generators.p.sum()
    assert flow.demand.delta[rows["m2"]].sum().real == pytest.approx(below)
    assert flow.demand.delta[rows["m3"]].sum() == pytest.approx(150e3 + 27e3j)


def test_a_dead_part_is_no_part_of_the_tree():
    model = pair()
    network = SwitchedNetwork(model)
    closed = model.switches.closed.copy()
    closed[model.switches.rows["p3-near"]] = False
    tree = network.tree(closed)
    dead = {model.nodes.ids[node] for node, place in enumerate(tree.position) if place == NOTHING}
    assert dead == {name for number in (3, 4, 5, 6) for name in (f"p{number}", f"p{number}a", f"p{number}b")}
    assert tree.loops == ()


def test_a_closed_tie_between_two_feeding_points_is_a_loop():
    model = pair()
    network = SwitchedNetwork(model)
    assert len(network.tree(np.ones(len(model.switches), dtype=bool)).loops) == 1


def test_a_loop_that_no_switch_can_open_is_refused_by_name():
    document = feeder_pair_document()
    document["branches"].append({**element(document, "p-line3"), "id": "double"})
    with pytest.raises(NetworkError, match="double"):
        SwitchedNetwork(parse(document))


def test_rings_without_switches_below_a_transformer_are_nobodys_business_here():
    document = feeder_document()
    for switch in document["switches"]:
        switch["operation"] = "remote"
    document["branches"].append({**element(document, "b3"), "id": "ring"})
    element(document, "area-lv")["radial"] = False
    model = parse(document)
    network = SwitchedNetwork(model)
    names = model.nodes.ids
    assert {names[node] for node in np.flatnonzero(network.counted)} == {"m0", "m1", "m2", "m3"}
    assert [names[node] for node in network.standing_for[-3:]] == ["m2", "m2", "m2"]
    assert network.tree(model.switches.closed).loops == ()


def test_feeding_points_that_no_switch_parts_are_refused():
    document = feeder_pair_document()
    for switch in document["switches"]:
        switch["operation"] = "none"
        switch["normal"] = "closed"
    element(document, "breaker-q")["operation"] = "remote"
    document["sources"].append({**element(document, "grid-p"), "id": "second", "node": "p3"})
    with pytest.raises(NetworkError, match="feeding point"):
        SwitchedNetwork(parse(document))


def test_the_promise_of_an_exchange_is_kept_to_the_second_order():
    model = parse(published_document("baran_wu_33"))
    network = SwitchedNetwork(model)
    flow = TreeFlow(network)
    closed = model.switches.closed
    solution = flow.solve(network.tree(closed))
    offered = exchanges(flow, solution, loops_of(network, solution.tree, closed))
    assert len(offered) > 20
    for exchange in offered[:5]:
        moved = closed.copy()
        moved[exchange.close], moved[exchange.open] = True, False
        change = flow.solve(network.tree(moved)).losses - solution.losses
        # Constant powers draw other currents at other voltages: a tenth of the losses here.
        assert exchange.change == pytest.approx(change, rel=0.25)


def test_every_position_of_a_small_network_is_tried():
    model = pair()
    network = SwitchedNetwork(model)
    found = list(positions(network))
    assert len(found) == round(network.count_trees())
    assert len({position.tobytes() for position in found}) == len(found)
    assert all(len(network.tree(position).order) == len(model.nodes) for position in found)
    assert all(network.tree(position).loops == () for position in found)


def test_a_search_never_ends_worse_than_it_began():
    model = pair()
    flow = TreeFlow(SwitchedNetwork(model))
    for objective in Objective:
        for effort in Effort:
            found = reconfigure(flow, objective, effort=effort)
            assert found.after.losses <= found.before.losses + 1e-6 or objective is not Objective.LOSSES
            assert found.after.deviation <= found.before.deviation + 1e-7 or objective is not Objective.VOLTAGE
            assert found.after.exported <= found.before.exported + 1 or objective is not Objective.GENERATION


def test_nothing_is_switched_where_nothing_is_gained():
    model = pair()
    found = reconfigure(TreeFlow(SwitchedNetwork(model)), effort=Effort.THOROUGH)
    assert (found.to_open, found.to_close) == ((), ())
    assert found.exact


def test_a_light_feeder_takes_over_from_a_loaded_one():
    document = feeder_pair_document()
    for load in document["loads"]:
        if load["node"].startswith("p"):
            load["p"] = {pair: 8 * power for pair, power in load["p"].items()}
    found = reconfigure(TreeFlow(SwitchedNetwork(parse(document))))
    assert found.to_close == ("tie",)
    assert len(found.to_open) == 1
    assert found.to_open[0].startswith("p")
    assert found.after.losses < 0.95 * found.before.losses


def test_limits_come_before_losses():
    document = published_document("baran_wu_33")
    model = parse(document)
    flow = TreeFlow(SwitchedNetwork(model))
    free = reconfigure(flow, limits=Limits(0.5, 1.5))
    carried = max(
        abs(flow.solve(flow.network.tree(free.closed)).carried).max(axis=1)[1:].tolist()
    )  # somewhere below the head
    assert carried > 0
    bound = reconfigure(flow, limits=Limits(0.94, 1.1), effort=Effort.THOROUGH)
    assert free.after.deviation == pytest.approx(0.0622, abs=2e-4)  # published: 0.9378 at the lowest bus
    assert bound.after.excess <= free.after.excess + 0.05
    assert bound.after.losses >= free.after.losses


def test_generation_is_used_where_it_is():
    document = feeder_pair_document()
    document["generators"] = [
        {
            "id": "pv",
            "node": "q6",
            "p": dict.fromkeys("ABC", -700e3),
            "q": dict.fromkeys("ABC", 0.0),
        }
    ]
    found = reconfigure(TreeFlow(SwitchedNetwork(parse(document))), Objective.GENERATION)
    assert found.before.exported > 800e3
    assert found.after.exported < 1e3


def test_a_broken_limit_is_said_with_its_place():
    model = pair(rating=20.0)
    flow = TreeFlow(SwitchedNetwork(model))
    solution = flow.solve(flow.network.tree(model.switches.closed))
    said = Judge(flow, Limits()).broken(solution)
    assert any("p-line1" in line or "q-line1" in line for line in said)
