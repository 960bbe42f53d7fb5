"""A reconfigurator without faults: gains that last, loops that may be closed, exchanges that fail half-way."""

import numpy as np
import pytest

from algorithms.api.grid_records import GridState
from algorithms.builtin.switching.state_demand import demand_of
from tests.support.feeder_pair import feeder_pair_document
from tests.support.networks import element
from tests.support.switch_world import HEAVY, World, state


def world(switches=None, document=None, **settings):
    made = World(
        document or feeder_pair_document(),
        switches,
        **{"closed_loop": True, "hold": 300.0, "interval": 60.0, **settings},
    )
    made.wait(1.0)
    return made


def pass_minutes(made, minutes, **power):
    for _ in range(minutes):
        made.give(state(made, **power))
        made.wait(0.2)  # the right to switch is asked for and claimed
        made.skip(56.8)
        made.wait(3.0)


def asked(made):
    return [(command.recipient, command.verb) for command in made.commands]


def test_a_gain_that_lasts_moves_the_open_point_without_an_interruption():
    made = world()
    pass_minutes(made, 7, **HEAVY)
    assert made.outcome["outcome"] == "changed"
    assert [verb for _, verb in asked(made)] == ["close", "open"]
    assert asked(made)[0][0] == "tie"
    assert made.live() == set(made.model.nodes.ids)
    assert made.loops() == ()
    (proposal,) = made.proposals
    assert proposal.kind == "loss-reduction"
    assert proposal.gain["relative"].value > 0.05
    assert proposal.gain["customer-seconds"].value == 0
    assert made.lease.holder == ""


def test_a_gain_must_last():
    made = world()
    pass_minutes(made, 4, **HEAVY)
    pass_minutes(made, 1)
    pass_minutes(made, 4, **HEAVY)
    assert made.proposals == []


def test_a_small_gain_is_left_alone():
    made = world(gain=0.6)
    pass_minutes(made, 8, **HEAVY)
    assert made.proposals == []


def test_it_only_proposes_unless_told_to_switch_and_does_not_repeat_itself():
    made = world(closed_loop=False)
    pass_minutes(made, 12, **HEAVY)
    assert made.commands == []
    assert len(made.proposals) == 1


def test_after_a_change_there_is_rest():
    made = world(rest=1800.0)
    pass_minutes(made, 7, **HEAVY)
    assert len(made.events) == 1
    light = {f"p{number}": 5e4 for number in range(1, 7)}
    pass_minutes(made, 20, **light, **{f"q{number}": 1.2e6 for number in range(1, 7)})
    assert len(made.events) == 1
    pass_minutes(made, 15, **light, **{f"q{number}": 1.2e6 for number in range(1, 7)})
    assert len(made.events) == 2


def test_where_the_loop_must_not_be_closed_nothing_is_done_unless_an_interruption_is_allowed():
    document = feeder_pair_document()
    element(document, "tie")["closes"] = 5.0
    made = world(document=document)
    pass_minutes(made, 8, **HEAVY)
    assert made.commands == []
    assert made.proposals[0].checks["interruption"] is False
    assert made.proposals[0].gain["customer-seconds"].value < 0
    made = world(document=document, interruption=1e6)
    pass_minutes(made, 7, **HEAVY)
    assert [verb for _, verb in asked(made)] == ["open", "close"]
    assert made.live() == set(made.model.nodes.ids)


def test_an_opening_that_fails_is_answered_by_opening_the_loop_again():
    made = world(
        {
            f"p{n}-{side}": {"behaviour": "jams"}
            for n in range(1, 7)
            for side in ("near", "far")
            if (n, side) != (1, "near")
        }
    )
    pass_minutes(made, 7, **HEAVY)
    assert made.outcome["outcome"] == "undone"
    assert "jammed" in made.outcome["reason"]
    assert made.loops() == ()
    assert made.live() == set(made.model.nodes.ids)
    assert asked(made)[-1] == ("tie", "open")


def test_a_fault_ends_the_work_on_losses():
    made = world({"tie": {"operating_time": 20.0}})
    pass_minutes(made, 5, **HEAVY)
    made.give(state(made, **HEAVY))
    made.wait(0.2)
    assert asked(made) == [("tie", "close")]
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3")
    assert made.outcome["outcome"] == "interrupted"
    made.until(lambda: made.events[-1].kind == "restoration", 60.0)
    assert made.outcome["outcome"] in ("restored", "proposed")
    made.wait(1.0)
    proposals = len(made.proposals)
    pass_minutes(made, 8, **HEAVY)
    assert len(made.proposals) == proposals  # as long as the fault is not repaired


def test_a_switch_locked_by_others_is_not_moved():
    made = world()
    made.switches["tie"]._change(tag="maintenance")
    made.wait(11.0)
    pass_minutes(made, 8, **HEAVY)
    assert made.commands == []


def test_a_state_says_what_nodes_draw_and_the_model_the_rest():
    made = world()
    demand = demand_of(state(made, p1=3e5), made.model)
    rows = made.model.nodes.rows
    assert demand.delta[rows["p1"]].sum() == pytest.approx(3e5 + 1e5j)
    assert demand.delta[rows["p2"]].sum().real == pytest.approx(2e5)
    assert not np.any(demand.wye)


def test_states_that_must_not_be_used_are_not():
    made = world(hold=0.0)
    bad = GridState("mv", "mv", made.now, 1, 0, state(made, **HEAVY).nodes, converged=False)
    made.give(bad)
    made.wait(1.0)
    assert made.proposals == []


def test_nothing_is_judged_while_a_switch_does_not_know_where_it_stands():
    made = world(hold=0.0)
    made.switches["tie"]._change(state=None)
    made.route(made.switches["tie"]._tell(), "rtu-tie")
    made.give(state(made, **HEAVY))
    made.wait(1.0)
    assert made.proposals == []


def test_a_state_of_other_switch_positions_is_not_judged_by():
    made = world(hold=0.0)
    other = GridState("mv", "mv", made.now, 1, 7, state(made, **HEAVY).nodes)
    made.give(other)
    made.wait(1.0)
    assert made.proposals == []


def test_a_broken_limit_is_mended_whatever_the_gain():
    document = feeder_pair_document(rating=150.0)
    made = world(document=document, gain=0.99, hold=0.0)
    made.give(state(made, **{f"p{number}": 1.1e6 for number in range(1, 7)}))
    made.wait(3.0)
    assert made.outcome["outcome"] == "changed"
