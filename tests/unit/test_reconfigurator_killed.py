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


def exchanging(document=None, **changes):
    made = World(document or feeder_pair_document(), closed_loop=True, hold=0.0, interval=60.0, **changes)
    made.wait(1.0)
    made.give(state(made, **HEAVY))
    return made


def cut_short(made, orders):
    """Kill it right after so many orders of an exchange have gone out, and start it again."""
    made.until(lambda: len(made.commands) == orders)
    made.kill()
    made.wait(8.0)  # a loop is told after ten seconds


def test_a_loop_that_it_closed_and_was_killed_before_it_could_open_is_opened_again():
    made = exchanging()
    cut_short(made, 1)
    assert made.loops() == ()
    assert made.live() == set(made.model.nodes.ids)
    assert [(one.recipient, one.verb) for one in made.commands] == [("tie", "close"), ("tie", "open")]
    assert [event.evidence["outcome"] for event in made.events] == ["undone"]
    assert "cut off by a restart" in made.outcome["reason"]
    made.wait(20.0)
    assert len(made.events) == 1  # no loop is told
    assert made.lease.holder == ""
    made.kill()
    made.wait(20.0)
    assert len(made.commands) == 2  # what is done is not done again


def test_an_exchange_of_which_every_order_was_carried_out_before_it_was_killed_is_told_as_done():
    made = exchanging()
    cut_short(made, 2)
    assert len(made.commands) == 2
    assert [event.evidence["outcome"] for event in made.events] == ["changed"]
    assert made.loops() == ()


def test_an_exchange_whose_first_order_never_arrived_leaves_all_as_it_was():
    made = exchanging()
    made.lost = lambda record: isinstance(record, Command) and record.verb == "close"
    cut_short(made, 1)
    assert [event.evidence["outcome"] for event in made.events] == ["interrupted"]
    assert made.live() == set(made.model.nodes.ids)
    assert made.loops() == ()


def test_customers_cut_off_by_half_an_exchange_are_supplied_again_after_a_kill():
    document = feeder_pair_document()
    next(one for one in document["switches"] if one["id"] == "tie")["closes"] = 1.0  # opened first, then closed
    made = exchanging(document, interruption=1e6)
    cut_short(made, 1)
    assert [one.verb for one in made.commands] == ["open", "close"]
    assert made.commands[0].recipient == made.commands[1].recipient
    assert made.live() == set(made.model.nodes.ids)
    assert made.outcome["outcome"] == "undone"


def test_half_an_exchange_that_a_person_saw_to_meanwhile_is_left_to_them():
    made = exchanging()
    made.until(lambda: len(made.commands) == 1)
    made.wait(0.05)
    subject, made.subject = made.subject, type("Dead", (), {"process": lambda *_: (), "tick": lambda *_: (),
                                                            "keep_now": False, "info": made.subject.info,
                                                            "stop": lambda _: None})()  # fmt: skip
    made.wait(1.0)
    person(made, "tie", "open")
    made.wait(0.5)
    person(made, "tie", "close")
    made.wait(0.5)
    assert subject is not made.subject
    made.kill()
    made.wait(30.0)
    assert made.switches["tie"]._true == "closed"
    assert [event.evidence["outcome"] for event in made.events] == ["half-way", "meshed"]


def test_where_it_may_only_propose_since_half_an_exchange_is_told_and_left():
    made = exchanging()
    made.until(lambda: len(made.commands) == 1)
    made.settings = {**made.settings, "closed_loop": False}
    made.kill()
    made.wait(8.0)
    assert len(made.commands) == 1
    assert made.outcome["outcome"] == "half-way"
    assert made.events[-1].severity is Severity.CRITICAL


def test_a_fault_that_is_told_before_half_an_exchange_could_be_taken_back_is_seen_to_first():
    made = exchanging()
    made.until(lambda: len(made.commands) == 1)
    made.kill()
    made.strike("q-line2")
    made.wait(0.3)
    made.tell("q-line2")
    made.wait(60.0)
    assert made.outcome["outcome"] == "restored"
    assert set(made.model.nodes.ids) - made.live() == {"q2a", "q2b"}
    assert made.loops() == ()


@pytest.mark.parametrize("ahead", [0.0, 3.0e7])
def test_rest_after_a_change_outlives_a_kill_and_ends_also_where_the_clock_was_ahead(ahead):
    made = exchanging(rest=300.0)
    made.until(lambda: made.events)
    made.time += ahead
    made.wait(1.0)
    made.give(state(made))
    made.kill()
    made.time -= ahead
    made.wait(1.0)
    light = {f"q{number}": 1.2e6 for number in range(1, 7)}
    for minute in range(1, 9):
        made.give(state(made, **light, **{f"p{number}": 5e4 for number in range(1, 7)}))
        made.wait(2.0)
        assert bool(len(made.events) > 1) is (minute > 5), minute
        made.skip(58.0)
        if len(made.events) > 1:
            break


def test_what_was_told_to_be_over_is_not_begun_again_by_a_kill_just_after():
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3")
    made.until(lambda: made.events, 60.0)
    made.kill()
    made.wait(30.0)
    assert [event.evidence["outcome"] for event in made.events] == ["restored"]


def test_isolation_that_a_kill_cut_off_while_a_switch_moved_goes_on_as_soon_as_that_stands_open():
    made = World(feeder_pair_document(), {"p3-far": {"operating_time": 2.0}}, closed_loop=True)
    made.wait(1.0)
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3")
    made.until(lambda: made.commands, 60.0)
    made.kill()
    made.wait(10.0)
    assert made.outcome["outcome"] == "restored"
    assert {"p1", "p2", "p4", "p5", "p6"} <= made.live()


def test_a_clock_that_was_ahead_when_a_fault_was_noted_does_not_hold_up_its_restoration():
    made = world()
    made.time += 3.0e7
    made.wait(0.1)
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3")
    made.wait(0.2)
    made.kill()
    made.time -= 3.0e7
    made._framed = made._kept = made.time
    made.wait(60.0)
    assert made.outcome["outcome"] in ("restored", "nothing-to-do")
    assert {"p1", "p2", "p4", "p5", "p6"} <= made.live()
