"""Getting from one radial position to another: one exchange after another, loops closed only where they may be."""

import numpy as np
import pytest

from algorithms.api.network_document import SwitchStates
from algorithms.api.network_reader import parse
from algorithms.grid.admittance import nodal_admittance
from algorithms.grid.flows import flows
from algorithms.grid.powerflow import prepare
from algorithms.grid.switching.exchange import loops_of
from algorithms.grid.switching.limits import Limits
from algorithms.grid.switching.reconfiguration import reconfigure
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.switching_order import around, moves
from algorithms.grid.switching.tree_flow import Demand, TreeFlow
from tests.support.feeder_pair import feeder_pair_document
from tests.support.networks import element
from tests.support.published_networks import published_document

WIDE = Limits(0.5, 1.5)


def test_each_exchange_keeps_the_network_radial_and_the_last_ends_where_it_should():
    model = parse(published_document("baran_wu_33"))
    flow = TreeFlow(SwitchedNetwork(model))
    found = reconfigure(flow, limits=WIDE)
    made = moves(flow, found.closed, WIDE)
    closed = model.switches.closed.copy()
    for move in made:
        closed[model.switches.rows[move.close]] = True
        closed[model.switches.rows[move.open]] = False
        tree = flow.network.tree(closed)
        assert tree.loops == ()
        assert len(tree.order) == len(flow.network.tree(found.closed).order)
    assert (closed == found.closed).all()
    assert {move.close for move in made} == set(found.to_close)


def loaded_pair(**tie):
    document = feeder_pair_document()
    for load in document["loads"]:
        if load["node"].startswith("p"):
            load["p"] = {pair: 6 * power for pair, power in load["p"].items()}
    element(document, "tie").update(tie)
    return document


def test_the_current_around_a_closed_tie_is_that_of_the_full_power_flow():
    document = loaded_pair()
    for load in document["loads"]:
        load["p_exponent"] = load["q_exponent"] = 1.0  # currents that hardly follow the voltage
    model = parse(document)
    states = dict.fromkeys(model.switches.ids, "closed")
    meshed = model.with_switches(SwitchStates("pair", 1, states))
    solution = prepare(meshed).solve()
    into = flows(meshed, nodal_admittance(meshed), solution.voltages).branches
    last = into[meshed.branches.rows["q-line6"], 1, :3]
    flow = TreeFlow(SwitchedNetwork(model))
    radial = flow.solve(flow.network.tree(model.switches.closed))
    (loop,) = loops_of(flow.network, radial.tree, model.switches.closed)
    load = radial.drawn[radial.tree.position[model.nodes.rows["q6"]]]
    # What enters q6 by its line and is not drawn there goes on through the tie to p6.
    through_tie = -last - load
    assert np.abs(around(flow, radial, loop)) == pytest.approx(np.abs(through_tie), rel=0.03)


def test_make_before_break_interrupts_nobody():
    model = parse(loaded_pair())
    flow = TreeFlow(SwitchedNetwork(model))
    found = reconfigure(flow)
    (move,) = moves(flow, found.closed)
    assert move.make_before_break
    assert (move.interrupted, move.interruption) == (0, 0.0)
    assert move.closed_onto > 1.0


def test_a_loop_that_must_not_be_closed_costs_an_interruption():
    document = loaded_pair(closes=1.0)
    model = parse(document)
    flow = TreeFlow(SwitchedNetwork(model))
    found = reconfigure(flow)
    (move,) = moves(flow, found.closed)
    assert not move.make_before_break
    assert "tie may be closed onto 1 A" in move.reason
    assert move.interrupted > 0
    assert move.interruption == pytest.approx(0.6)


def test_a_switch_is_never_asked_to_break_more_than_it_may():
    document = loaded_pair()
    for switch in document["switches"]:
        if switch["id"] != "tie":
            switch["breaks"] = 0.5
    model = parse(document)
    flow = TreeFlow(SwitchedNetwork(model))
    (move,) = moves(flow, reconfigure(flow).closed)
    assert "may break" in move.reason


def test_a_phase_shift_between_two_feeding_points_is_a_current_around_the_loop():
    document = loaded_pair()
    element(document, "grid-q")["angle"] = 0.1
    model = parse(document)
    flow = TreeFlow(SwitchedNetwork(model))
    (move,) = moves(flow, reconfigure(flow).closed)
    assert move.closed_onto > 300.0
    assert not move.make_before_break


def test_nothing_is_exchanged_where_what_is_drawn_has_no_solution():
    network = SwitchedNetwork(parse(loaded_pair()))
    found = reconfigure(TreeFlow(network)).closed
    impossible = np.full((len(network.model.nodes), 3), 1e9 + 0j)
    assert moves(TreeFlow(network), found)
    assert moves(TreeFlow(network, Demand(impossible, 0 * impossible)), found) is None
