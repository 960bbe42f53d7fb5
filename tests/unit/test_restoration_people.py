"""A reconfigurator beside people who switch: what somebody opened stays open, and what that made dead stays dead."""

import msgspec
import pytest

from algorithms.api.records import Command, Severity
from algorithms.api.switching import Order
from algorithms.api.wire import NANOSECONDS
from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import World


def world(switches=None, **settings):
    made = World(feeder_pair_document(), switches, **{"closed_loop": True, **settings})
    made.wait(1.0)
    return made


def fault(made, branch="p-line3"):
    made.strike(branch)
    made.wait(0.3)
    made.tell(branch)


def person(made, name, verb, tag=""):
    """Give an order under a lease of one's own, as a person does."""
    made.lease.token += 100
    order = msgspec.to_builtins(Order("pair", made.lease.token, 1, tag))
    command = Command(f"operator-{made.lease.token}-1", name, verb, made.now, made.now + 5 * NANOSECONDS, order)
    made.route(made.switches[name].process(command), f"rtu-{name}")


def ordered(made):
    return [(command.recipient, command.verb) for command in made.commands]


@pytest.mark.parametrize("tag", ["", "work-7"])
@pytest.mark.parametrize("after", [1.0, 8.0, 20.0, 200.0])
def test_a_breaker_that_a_person_opens_after_a_fault_that_passed_is_left_alone(tag, after):
    made = world()
    fault(made)
    made.until(lambda: made.says("breaker-p").state == "open")
    made.faults.clear()
    made.until(lambda: made.says("breaker-p").state == "closed")
    made.wait(after)
    person(made, "breaker-p", "open", tag)
    made.wait(60.0)
    assert made.commands == []
    assert not {f"p{number}" for number in range(1, 7)} & made.live()
    assert made.outcome["outcome"] in ("passed", "handed-over")


def test_a_breaker_that_a_person_opens_within_the_relay_cycle_is_handed_over_and_said():
    made = world()
    fault(made)
    made.until(lambda: made.says("breaker-p").state == "open")
    made.faults.clear()
    made.until(lambda: made.says("breaker-p").state == "closed")
    person(made, "breaker-p", "open", "work-7")
    made.wait(10.0)
    assert made.outcome["outcome"] == "handed-over"
    assert "breaker-p is locked under work-7" in made.outcome["reason"]
    assert made.events[-1].severity is Severity.WARNING


def test_a_fault_has_passed_once_the_relay_has_begun_anew():
    made = world()
    fault(made)
    made.until(lambda: made.says("breaker-p").state == "open")
    made.faults.clear()
    made.wait(20.0)  # the patience of the settings is much longer
    assert made.outcome["outcome"] == "passed"
    assert made.subject._faults.cases == []


def test_what_a_person_opens_while_the_relay_works_is_not_closed():
    made = world()
    fault(made)
    made.wait(1.0)
    for name in ("p4-far", "p5-near", "p5-far"):
        person(made, name, "open")
    made.wait(60.0)
    closed = {name for name, verb in ordered(made) if verb == "close"}
    assert not closed & {"p4-far", "p5-near", "p5-far"}
    assert not {"p4", "p5"} & made.live()
    assert {"p1", "p2"} <= made.live()  # what is on the breaker's side comes back


def test_what_a_person_opens_between_two_faults_is_not_closed_for_the_second():
    made = world()
    fault(made, "q-line6")
    made.wait(30.0)
    assert made.outcome["outcome"] == "restored"
    person(made, "p4-near", "open")
    made.wait(100.0)
    dead = set(made.model.nodes.ids) - made.live()
    assert "p5" in dead
    fault(made, "q-line2")
    made.wait(60.0)
    assert ("p4-near", "close") not in ordered(made)
    assert not {"p4", "p5", "p6"} & made.live()


def test_a_switch_that_another_opens_between_orders_is_noticed_and_said():
    made = world()
    fault(made)
    made.until(lambda: ("breaker-p", "close") in ordered(made))
    person(made, "p5-far", "open")
    made.wait(60.0)
    assert ("p5-far", "close") not in ordered(made)
    dark = {name for name in ("p4", "p5", "p6") if name not in made.live()}
    assert {"p4", "p5"} <= dark <= set(made.outcome["unserved"])


def test_isolating_without_bringing_anybody_back_is_not_called_restored():
    made = world()
    fault(made)
    made.wait(30.0)
    person(made, "q2-far", "open")
    person(made, "q3-far", "open")
    made.wait(100.0)
    fault(made, "q-line1")
    made.wait(60.0)
    assert made.outcome["restored_customers"] == 0
    assert made.outcome["unserved_customers"] > 0
    assert made.outcome["outcome"] == "isolated"
    assert made.outcome["position"] == "what was opened stays open and locked; nothing was closed"
    assert made.events[-1].severity is Severity.CRITICAL


@pytest.mark.parametrize("when", ["tripped", "isolating"])
def test_a_breaker_that_tripped_and_that_a_person_then_opens_is_not_closed(when):
    made = world()
    fault(made)
    made.until(lambda: made.says("breaker-p").lockout or made.commands)
    if when == "isolating":
        made.until(lambda: made.commands)
    person(made, "breaker-p", "open")
    made.wait(60.0)
    assert ("breaker-p", "close") not in ordered(made)
    assert not {"p1", "p2"} & made.live()
    assert made.events


@pytest.mark.parametrize("order", ["loss-work-1", "undo-5", "loss-1-77-1"])
def test_an_order_that_is_named_as_ours_may_be_is_ours_only_under_a_lease_we_were_given(order):
    made = World(feeder_pair_document(), closed_loop=True)
    made.wait(1.0)
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3")
    made.until(lambda: made.switches["breaker-p"]._cycle.lockout, 30.0)
    made.lease.token, made.lease.holder = 77, "person"
    content = msgspec.to_builtins(Order("pair", 77, 1))
    command = Command(order, "p5-near", "open", made.now, made.now + 5 * NANOSECONDS, content)
    made.route(made.switches["p5-near"].process(command), "rtu-p5-near")
    made.wait(0.5)
    made.lease.holder = ""
    made.until(lambda: made.events, 60.0)
    assert made.switches["p5-near"]._true == "open"
    assert "p5-near" not in {given.recipient for given in made.commands}
