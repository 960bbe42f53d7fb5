"""Loss reduction that others disturb: plans that are out of date, words that are lost, loops that stand."""

import msgspec

from algorithms.api.grid_records import GridState, NodeState
from algorithms.api.readings import Estimate
from algorithms.api.records import Command, Result, Severity
from algorithms.api.switching import Order
from algorithms.api.wire import NANOSECONDS
from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import World

HEAVY = {f"p{number}": 1.2e6 for number in range(1, 7)}


def world(switches=None, **settings):
    made = World(feeder_pair_document(), switches, **{"closed_loop": True, "hold": 0.0, "interval": 60.0, **settings})
    made.wait(1.0)
    return made


def draw(made):
    """Say that one feeder is heavily loaded."""
    nodes = tuple(
        NodeState(
            name,
            {},
            {pair: Estimate(watts / 3, 1.0) for pair in ("AB", "BC", "CA")},
            {pair: Estimate(watts / 9, 1.0) for pair in ("AB", "BC", "CA")},
        )
        for name, watts in HEAVY.items()
    )
    made.give(GridState("mv", "mv", made.now, 1, 0, nodes))


def person(made, name, verb):
    made.lease.token += 100
    order = msgspec.to_builtins(Order("pair", made.lease.token, 1))
    command = Command(f"operator-{made.lease.token}-1", name, verb, made.now, made.now + 5 * NANOSECONDS, order)
    made.route(made.switches[name].process(command), f"rtu-{name}")
    made.wait(0.5)


def ordered(made):
    return [(command.recipient, command.verb) for command in made.commands]


def test_a_plan_that_waited_for_the_lease_is_dropped_once_somebody_opened_a_switch():
    made = world()
    made.lease.refuses = "held by operator-1"
    draw(made)
    made.wait(5.0)
    person(made, "q3-near", "open")
    made.lease.refuses = ""
    made.wait(60.0)
    assert made.commands == []
    assert made.outcome["outcome"] == "superseded"
    assert not {"q3", "q4", "q5", "q6"} & made.live()


def test_a_plan_that_waited_for_the_lease_is_dropped_once_the_open_point_was_moved():
    made = world()
    made.lease.refuses = "held by operator-1"
    draw(made)
    made.wait(5.0)
    person(made, "tie", "close")
    person(made, "p2-far", "open")
    made.lease.refuses = ""
    made.wait(60.0)
    assert made.commands == []
    assert made.live() == set(made.model.nodes.ids)


def test_a_switch_that_another_opens_within_an_exchange_ends_it_without_a_further_opening():
    made = world({"tie": {"operating_time": 2.0}})
    draw(made)
    made.until(lambda: ordered(made) == [("tie", "close")])
    person(made, "p4-near", "open")
    made.wait(30.0)
    assert ("tie", "close") in ordered(made)
    assert all(verb != "open" for _, verb in ordered(made))
    assert made.live() == set(made.model.nodes.ids)  # by the tie; one more opening would have made nodes dark
    assert made.events[-1].severity is not Severity.NOTICE


def test_a_closing_of_which_nothing_is_heard_is_taken_back():
    made = world(response=2.0)
    made.lost = lambda record: isinstance(record, Result) and record.terminal == "tie" and bool(made.commands)
    draw(made)
    made.wait(30.0)
    assert ordered(made)[-1] == ("tie", "open")
    assert made.loops() == ()
    assert made.live() == set(made.model.nodes.ids)
    assert made.outcome["outcome"] == "half-way"  # its word on that is lost as well
    assert made.events[-1].severity is Severity.CRITICAL


def test_a_loop_that_stands_is_told_once():
    made = world()
    person(made, "tie", "close")
    made.wait(5.0)
    assert made.events == []
    made.wait(60.0)
    assert [event.evidence["outcome"] for event in made.events] == ["meshed"]
    assert made.events[0].severity is Severity.CRITICAL
    person(made, "tie", "open")
    person(made, "tie", "close")
    made.wait(20.0)
    assert len(made.events) == 2


def test_half_an_exchange_in_which_the_lease_was_lost_is_taken_back_when_there_is_one_again():
    made = world({"tie": {"operating_time": 5.0}})
    made.lease.seconds = 8.0
    draw(made)
    made.until(lambda: ordered(made) == [("tie", "close")])
    made.lease.answers = False  # the catalog cannot be reached
    made.wait(40.0)
    assert ordered(made) == [("tie", "close")]
    assert made.loops()
    assert [event.evidence["outcome"] for event in made.events] == ["meshed"]
    made.lease.answers = True
    made.wait(20.0)
    assert ordered(made) == [("tie", "close"), ("tie", "open")]
    assert made.loops() == ()
    assert made.live() == set(made.model.nodes.ids)
    assert made.outcome["outcome"] == "undone"
    assert "lost" in made.outcome["reason"]
