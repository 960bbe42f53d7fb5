"""Isolating a fault and bringing back what is healthy: enclosing switches, limits, reasons for what stays dark."""

import numpy as np
import pytest

from algorithms.api.network_document import SwitchStates
from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import prepare
from algorithms.grid.switching.limits import Limits
from algorithms.grid.switching.restoration import restore
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import Demand, TreeFlow
from tests.support.feeder_pair import feeder_pair_document
from tests.support.networks import element, feeder_document


def after_a_trip(document, *, breaker="breaker-p", stuck=()):
    """Give the electrical side with one breaker open, and where switches stood before."""
    model = parse(document)
    before = model.switches.closed
    states = {name: "closed" if there else "open" for name, there in zip(model.switches.ids, before, strict=True)}
    tripped = model.with_switches(SwitchStates("pair", 2, states | {breaker: "open"}))
    operable = np.array([name not in stuck for name in model.switches.ids])
    return TreeFlow(SwitchedNetwork(tripped, operable)), before


def positions(flow, plan):
    states = dict(zip(flow.network.model.switches.ids, plan.closed.tolist(), strict=True))
    return SwitchStates("pair", 3, {name: "closed" if there else "open" for name, there in states.items()})


def test_a_fault_in_the_middle_is_enclosed_and_both_sides_come_back():
    flow, before = after_a_trip(feeder_pair_document())
    plan = restore(flow, ("p-line3",), before)
    assert plan.isolate == ("p3-near", "p3-far")
    assert plan.locked == ("p3-near", "p3-far")
    assert plan.to_open == ()
    assert plan.to_close == ("breaker-p", "tie")
    assert set(plan.unserved) == {"p3a", "p3b"}
    assert plan.unserved_customers == 0
    assert plan.restored_customers == 60 + 50 + 70 + 80 + 90 + 100


def test_what_comes_back_is_radial_and_within_limits_by_the_full_power_flow():
    document = feeder_pair_document()
    flow, before = after_a_trip(document)
    for branch in ("p-line1", "p-line2", "p-line6"):
        plan = restore(flow, (branch,), before)
        model = parse(document).with_switches(positions(flow, plan))
        assert SwitchedNetwork(model).tree(plan.closed).loops == ()
        solution = prepare(model).solve()
        live = solution.energised[:, :3].all(axis=1)
        magnitude = np.abs(solution.voltages[live, :3]) / model.nodes.nominal_voltage[live, np.newaxis]
        assert magnitude.min() > 0.9
        assert magnitude.max() < 1.1
        dark = {name for name, there in zip(model.nodes.ids, live, strict=True) if not there}
        assert dark == set(plan.unserved)


def test_all_alternatives_are_enclosed():
    flow, before = after_a_trip(feeder_pair_document())
    plan = restore(flow, ("p-line3", "p-line4"), before)
    assert set(plan.isolate) == {"p3-near", "p3-far", "p4-near", "p4-far"}
    # The substation between the two candidates has no other way in.
    assert plan.unserved["p3"] == "no switch that can be closed leads to it"
    assert plan.unserved["p4a"] == "in the section that is faulted"


def test_a_fault_at_the_head_leaves_the_breaker_open():
    flow, before = after_a_trip(feeder_pair_document())
    plan = restore(flow, ("p-line1",), before)
    assert plan.isolate == ("p1-far",)
    assert set(plan.locked) == {"breaker-p", "p1-far"}
    assert plan.to_close == ("tie",)


def test_a_switch_that_cannot_be_opened_gives_its_neighbour_up():
    flow, before = after_a_trip(feeder_pair_document(), stuck=("p3-far",))
    plan = restore(flow, ("p-line3",), before)
    assert set(plan.isolate) == {"p3-near", "p4-near"}
    assert plan.unserved["p3"] == "in the section that is faulted"


def test_a_tie_that_cannot_be_closed_leaves_what_is_beyond_dark_and_says_so():
    flow, before = after_a_trip(feeder_pair_document(), stuck=("tie",))
    plan = restore(flow, ("p-line3",), before)
    assert plan.to_close == ("breaker-p",)
    assert plan.unserved["p5"] == "no switch that can be closed leads to it"


def test_where_the_neighbour_cannot_carry_all_most_customers_come_back():
    document = feeder_pair_document(rating=45.0, power=200e3)
    element(document, "load-p6")["p"] = dict.fromkeys(("AB", "BC", "CA"), 20e3)
    flow, before = after_a_trip(document)
    plan = restore(flow, ("p-line2",), before)
    assert "tie" in plan.to_close
    assert len(plan.to_open) == 1
    assert 0 < plan.unserved_customers < 70 + 80 + 90 + 100
    assert any("may carry" in text for text in plan.unserved.values())
    assert plan.complete


def test_cold_loads_draw_more_when_they_come_back():
    document = feeder_pair_document(rating=65.0)
    flow, before = after_a_trip(document)
    assert restore(flow, ("p-line2",), before).unserved_customers == 0
    assert restore(flow, ("p-line2",), before, pickup=2.0).unserved_customers > 0


def test_generators_of_what_was_dark_are_not_counted_on():
    document = feeder_pair_document(rating=45.0)
    sun = {"id": "pv", "node": "p6", "p": dict.fromkeys("ABC", -200e3), "q": dict.fromkeys("ABC", 0.0)}
    flow, before = after_a_trip(document)
    without = restore(flow, ("p-line2",), before).unserved_customers
    assert without > 0
    flow, before = after_a_trip({**document, "generators": [sun]})
    assert restore(flow, ("p-line2",), before).unserved_customers == without


def test_what_was_dead_before_stays_dead():
    document = feeder_pair_document()
    element(document, "p5-far")["normal"] = "open"
    element(document, "p6-near")["normal"] = "open"
    flow, before = after_a_trip(document)
    plan = restore(flow, ("p-line3",), before)
    assert plan.unserved["p5"] == "dead before the fault"
    assert "p5-far" not in plan.to_close
    assert "p6-near" not in plan.to_close


def test_a_broken_limit_elsewhere_does_not_forbid_what_makes_it_no_worse():
    document = feeder_pair_document()
    element(document, "grid-q")["voltage"] *= 1.12
    flow, before = after_a_trip(document)
    assert "breaker-p" in restore(flow, ("p-line3",), before, Limits(0.9, 1.1)).to_close


def drawn(flow, node, watts):
    """Give the same network where a node is said to draw so much."""
    wye = flow.demand.wye.copy()
    wye[flow.network.model.nodes.rows[node]] = watts
    return TreeFlow(flow.network, Demand(wye, flow.demand.delta))


@pytest.mark.parametrize("watts", [5e8, float("nan")])
def test_a_demand_that_has_no_solution_gives_way_to_the_expected_one_and_limits_stay_limits(watts):
    flow, before = after_a_trip(feeder_pair_document(rating=20.0))
    plan = restore(drawn(flow, "q1", watts), ("p-line3",), before)
    assert plan.to_close == restore(flow, ("p-line3",), before).to_close == ("breaker-p",)
    assert plan.assumed
    assert not plan.within_limits


def test_nothing_is_closed_where_not_even_the_expected_demand_has_a_solution():
    document = feeder_pair_document()
    element(document, "load-q1")["p"] = dict.fromkeys(("AB", "BC", "CA"), 5e8)
    flow, before = after_a_trip(document)
    plan = restore(flow, ("p-line3",), before)
    assert plan.to_close == ()
    assert any("more power is drawn than can be carried" in text for text in plan.unserved.values())


def test_customers_below_a_transformer_count_where_it_is_connected():
    document = feeder_document()
    for switch in document["switches"]:
        switch["operation"] = "remote"
    element(document, "cb")["closes"] = 0.0  # so that nothing comes back
    model = parse(document)
    tripped = model.with_switches(SwitchStates("net-1", 2, {"cb": "open", "tie": "open"}))
    plan = restore(TreeFlow(SwitchedNetwork(tripped)), ("b2",), model.switches.closed)
    assert plan.unserved_customers == 3
    assert set(plan.unserved) == {"m1", "m2", "m3"}


def test_a_branch_the_network_does_not_have_is_refused():
    flow, before = after_a_trip(feeder_pair_document())
    with pytest.raises(ValueError, match="no-such"):
        restore(flow, ("no-such",), before)


def test_a_switch_that_must_be_dead_brings_nothing_back():
    document = feeder_pair_document()
    element(document, "tie")["closes"] = 0.0
    flow, before = after_a_trip(document)
    assert "tie" not in restore(flow, ("p-line3",), before).to_close
