"""A reconfigurator that is killed: what it has taken up comes back with it, and what is lost is told to a person."""

import msgspec
import pytest

from algorithms.api.records import Command, Result, Severity
from algorithms.api.switching import Order
from algorithms.api.wire import NANOSECONDS
from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import HEAVY, World, state


def world(**settings):
    made = World(feeder_pair_document(), **{"closed_loop": True, **settings})
    made.wait(1.0)
    return made


def person(made, name, verb):
    made.lease.token += 100
    order = msgspec.to_builtins(Order("pair", made.lease.token, 1))
    command = Command(f"operator-{made.lease.token}-1", name, verb, made.now, made.now + 5 * NANOSECONDS, order)
    made.route(made.switches[name].process(command), f"rtu-{name}")


@pytest.mark.parametrize("after", [0.0, 1.5, 4.6, 5.3])
def test_a_fault_it_has_taken_up_is_still_there_whenever_it_is_killed(after):
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3")
    made.wait(after)
    made.kill()
    made.wait(60.0)
    assert made.outcome["outcome"] in ("restored", "nothing-to-do")
    assert {"p1", "p2", "p4", "p5", "p6"} <= made.live()
    assert "p3a" not in made.live()
    assert made.loops() == ()


def test_a_fault_whose_word_was_lost_with_it_is_told_to_a_person():
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    made.kill()
    made.wait(60.0)
    assert made.commands == []
    assert made.outcome["outcome"] == "no-case"
    assert made.events[-1].severity is Severity.CRITICAL


def test_what_a_person_opened_before_it_was_killed_is_not_closed_after():
    made = world()
    person(made, "p4-far", "open")  # they move the open point: all are still supplied
    person(made, "tie", "close")
    made.wait(11.0)
    made.strike("q-line2")
    made.wait(0.3)
    made.tell("q-line2")
    made.wait(0.5)
    person(made, "p2-far", "open")
    made.wait(0.1)
    made.kill()
    made.wait(60.0)
    assert made.events
    assert ("p2-far", "close") not in [(command.recipient, command.verb) for command in made.commands]


def test_where_switches_stand_is_told_although_it_was_killed_before_it_could():
    made = World(feeder_pair_document(), closed_loop=True, hold=0.0, interval=60.0)
    made.wait(1.0)
    made.give(state(made, **HEAVY))
    made.until(lambda: len(made.commands) == 2)
    made.kill()
    made.wait(25.0)
    assert made.lease.told["tie"] == "closed"
    assert made.lease.told["p6-far"] == "open"
    assert made.lease.holder == ""
    claims, asked = len(made.claims), made.lease.token
    made.wait(60.0)
    assert (len(made.claims), made.lease.token) == (claims, asked)  # nothing is claimed for it, and it is told once


def test_nobody_who_has_the_right_is_disturbed_by_what_is_to_be_told():
    made = world()
    made.lease.holder = "person"
    person(made, "p6-far", "open")
    made.wait(15.0)
    assert (made.lease.holder, made.lease.told) == ("person", {})
    made.lease.holder = ""
    made.wait(31.0)
    assert made.lease.told["p6-far"] == "open"


def test_no_loop_is_told_of_a_position_that_only_the_topology_has_after_a_kill():
    made = World(feeder_pair_document(), closed_loop=True, hold=0.0, interval=60.0)
    made.wait(1.0)
    made.give(state(made, **HEAVY))
    made.until(lambda: made.outcome["outcome"] == "changed" if made.events else False)
    made.kill()
    made.events.clear()
    made.lost = lambda record: isinstance(record, Result) and record.terminal == "p6-far"
    made.wait(15.0)  # the open one says nothing for longer than a loop may stand
    assert made.loops() == ()
    assert made.events == []
    made.lost = lambda _: False
    person(made, "p6-far", "close")
    made.wait(11.0)
    assert [event.evidence["outcome"] for event in made.events] == ["meshed"]
