"""A reconfigurator on a fault whose switches jam, lie or stay silent, whose lease ends, or whose broker is lost."""

import pytest

from algorithms.api.records import Command, Result
from algorithms.api.wire import NANOSECONDS
from tests.support.restoration import SOON, asked, ended, fault, world


def test_a_switch_that_jams_is_given_up_and_the_next_one_opened():
    made = world({"p3-far": {"behaviour": "jams"}})
    fault(made)
    assert ended(made)["outcome"] == "restored"
    assert "jammed" in made.outcome["failed"]["p3-far"]
    assert ("p4-near", "open") in asked(made)
    assert "p3" not in made.live()
    assert "p4" in made.live()


def test_a_silent_switch_is_not_counted_on():
    made = world({"p3-near": {"behaviour": "silent"}})
    fault(made)
    assert ended(made)["outcome"] == "restored"
    assert ("p3-near", "open") not in asked(made)
    assert ("p2-far", "open") in asked(made)
    assert "p3-near" in made.outcome["silent"]


def test_a_switch_that_goes_silent_on_the_way_is_replaced():
    made = world(response=1.0)
    made.lost = lambda record: isinstance(record, Command) and (record.recipient, record.verb) == ("p3-far", "open")
    fault(made)
    assert ended(made)["outcome"] == "restored"
    assert made.outcome["failed"] == {"p3-far": "did not answer in time"}
    assert sum(name == "p3-far" for name, _ in asked(made)) == 2  # asked twice
    assert "p4" in made.live()


def test_a_switch_that_answers_late_is_waited_for():
    made = world({"p3-far": {"operating_time": 3.0}}, response=5.0)
    fault(made)
    assert ended(made)["outcome"] == "restored"
    assert made.outcome["failed"] == {}


def test_a_switch_that_lies_trips_the_breaker_once_and_then_nothing_more_is_closed():
    made = world({"p3-near": {"behaviour": "lies"}})
    fault(made)
    outcome = ended(made)
    assert outcome["outcome"] == "tripped-again"
    assert "breaker-p tripped after breaker-p was closed" in outcome["reason"]
    assert "stays open and locked" in outcome["position"] or "stays so" in outcome["position"]
    assert ("tie", "close") not in asked(made)
    made.wait(20.0)
    assert sum(verb == "close" for _, verb in asked(made)) == 1


def test_a_tie_that_will_not_close_leaves_the_fault_enclosed():
    made = world({"tie": {"behaviour": "jams"}})
    fault(made)
    outcome = ended(made)
    assert "jammed" in outcome["failed"]["tie"]
    assert {"p1", "p2"} <= made.live()
    assert not {"p3", "p4", "p5", "p6"} & made.live()
    assert made.says("p3-near").tag == made.says("p3-far").tag != ""


@pytest.mark.parametrize(("proof", "outcome"), [("meters", "proposed"), ("breaker", "not-dead")])
def test_a_tie_that_may_be_closed_keeps_everything_untouched(proof, outcome):
    made = world(patience=12.0, proof=proof)
    made.switches["tie"]._change(state=None)  # it does not know where it stands
    made.route(made.switches["tie"]._tell(), "rtu-tie")
    fault(made)
    assert ended(made)["outcome"] == outcome  # by that tie the other feeder's voltage might be on the line
    assert made.commands == []


def test_a_tie_that_forgets_where_it_stands_may_be_closed_which_the_meters_contradict():
    made = world(patience=12.0)
    fault(made)
    made.switches["tie"]._change(state=None)
    made.route(made.switches["tie"]._tell(), "rtu-tie")
    assert ended(made)["outcome"] == "proposed"
    assert "contradicts the meters" in made.outcome["reason"]
    assert made.commands == []


def test_without_a_lease_nothing_is_switched():
    made = world(patience=8.0)
    made.lease.refuses = "held by control-2"
    fault(made)
    assert ended(made)["outcome"] == "no-lease"
    assert "held by control-2" in made.outcome["reason"]
    assert made.commands == []


def test_a_lease_that_cannot_be_renewed_ends_it_with_what_was_opened_still_locked():
    made = world()
    made.lease.seconds = 7.0
    fault(made)
    made.lost = lambda record: bool(made.commands) and isinstance(record, Result) and record.terminal == "p3-far"
    made.until(lambda: made.commands, SOON)
    made.lease.answers = False
    assert ended(made)["outcome"] == "lease-lost"
    assert made.outcome["position"] == "what was opened stays open and locked; nothing was closed"
    assert made.says("p3-near").tag


def test_a_slow_switch_is_not_ordered_twice():
    made = world({"p3-far": {"operating_time": 8.0}}, response=5.0)
    fault(made)
    assert ended(made)["outcome"] == "restored"
    assert sum(name == "p3-far" for name, _ in asked(made)) == 1


def test_orders_of_one_who_lost_the_lease_are_refused():
    made = world()
    fault(made)
    made.until(lambda: made.commands, SOON)
    old = made.commands[0].arguments["token"]
    assert ended(made)["outcome"] == "restored"
    for switch in made.switches.values():  # another writer has been there since
        switch._change(token=old + 1)
    stale = Command("late-1", "tie", "open", made.now, made.now + NANOSECONDS, {
        "network": "pair", "token": old, "sequence": 99})  # fmt: skip
    made.switches["tie"].process(stale)
    assert made.says("tie").outcome == "refused"
    assert made.says("tie").state == "closed"


def test_two_reconfigurators_never_interleave():
    made = world()
    made.add_rival()
    made.wait(12.0)
    fault(made)
    made.until(lambda: len([event for event in made.events if event.kind == "restoration"]) == 2, SOON)
    outcomes = sorted(event.evidence["outcome"] for event in made.events)
    assert outcomes == ["nothing-to-do", "restored"]
    tokens = [command.arguments["token"] for command in made.commands]
    assert tokens == sorted(tokens)
    assert len(set(tokens)) == 1
    assert set(made.model.nodes.ids) - made.live() == {"p3a", "p3b"}


def test_a_lost_broker_ends_in_the_safe_position_and_is_told():
    made = world(response=1.0)
    fault(made)
    made.until(lambda: made.commands, SOON)
    given = len(made.commands)
    made.wait(0.2)  # both switches around the fault are on their way
    made.lost = lambda record: isinstance(record, Command)  # nothing arrives any more
    outcome = ended(made)
    assert outcome["position"] == "what was opened stays open and locked; nothing was closed"
    assert not {name for name in made.live() if name.startswith("p") and name != "p0"}
    assert made.says("p3-near").tag
    assert len(made.commands) > given


def test_service_that_a_lost_lease_left_dark_is_brought_back_once_there_is_one_again():
    made = world({"p3-far": {"operating_time": 4.0}}, patience=30.0)
    made.lease.seconds = 8.0
    fault(made)
    made.until(lambda: made.commands, SOON)
    made.lease.answers = False
    assert ended(made)["outcome"] == "lease-lost"
    assert made.outcome["reason"].endswith("it is tried once more after a while")
    orders = len(made.commands)
    made.wait(20.0)
    assert len(made.commands) == orders
    made.lease.answers, made.lease.seconds = True, 60.0
    made.until(lambda: len(made.events) == 2, 60.0)
    assert made.outcome["outcome"] == "restored"
    assert set(made.model.nodes.ids) - made.live() == {"p3a", "p3b"}
