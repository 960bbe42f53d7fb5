"""A new lease is claimed at every switch before anything moves; tokens nobody can have been given are not believed."""

import msgspec
import pytest

from algorithms.api.records import Command, Reply
from algorithms.api.switching import OBEYED_AHEAD, Order, SwitchReport, report_record
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


def order(made, name, verb, token, number=1):
    arguments = msgspec.to_builtins(Order("pair", token, number))
    command = Command(f"x-{token}-{number}", name, verb, made.now, made.now + 5 * NANOSECONDS, arguments)
    made.route(made.switches[name].process(command), f"rtu-{name}")
    return made.says(name)


def test_when_the_first_switch_is_ordered_every_switch_obeys_the_new_lease():
    made = world()
    fault(made)
    made.until(lambda: made.commands)
    token = made.commands[0].arguments["token"]
    assert {made.says(name).token for name in made.switches} == {token}
    made.wait(30.0)
    assert made.outcome["outcome"] == "restored"
    assert len(made.claims) == len(made.switches)  # once for a lease


def test_a_switch_that_does_not_confirm_is_not_counted_on_and_named():
    made = world(response=1.0)
    made.lost = lambda record: isinstance(record, Command) and record.recipient == "p3-near"
    fault(made)
    made.wait(60.0)
    assert made.outcome["outcome"] == "restored"
    assert "p3-near" not in {command.recipient for command in made.commands}
    assert "did not confirm the claim" in made.outcome["failed"]["p3-near"]


def test_whoever_is_overtaken_in_the_midst_gives_no_further_order_and_says_so():
    made = world()
    fault(made)
    made.until(lambda: ("breaker-p", "close") in [(one.recipient, one.verb) for one in made.commands])
    given = len(made.commands)
    order(made, "q6-far", "claim", made.lease.token + 1)
    made.wait(60.0)
    assert len(made.commands) == given
    assert made.outcome["outcome"] == "lease-lost"
    assert "q6-far obeys lease" in made.outcome["reason"]
    assert {"p4", "p5", "p6"} <= set(made.outcome["unserved"])


def test_what_another_moves_before_the_claim_is_confirmed_makes_a_new_plan():
    made = world()
    fault(made)
    made.lost = lambda record: isinstance(record, Reply)
    made.until(lambda: made.lease.holder)
    for name in ("p5-far", "p6-near"):
        order(made, name, "open", made.lease.token)
    made.lost = lambda _: False
    made.wait(60.0)
    assert {("p5-far", "close"), ("p6-near", "close")}.isdisjoint({(c.recipient, c.verb) for c in made.commands})
    assert made.outcome["outcome"] == "restored"


def test_switches_that_obey_larger_tokens_than_the_catalog_remembers_are_caught_up_with():
    made = world()
    for name in made.switches:
        order(made, name, "claim", 500)
    made.wait(1.0)
    fault(made)
    made.wait(60.0)
    assert made.outcome["outcome"] == "restored"
    assert made.commands[0].arguments["token"] > 500


@pytest.mark.parametrize("token", [2**62, 2**63 - 1, 1_900_000_000])
def test_a_forged_report_of_an_absurd_token_stops_nothing(token):
    made = world()
    fault(made)
    made.until(lambda: made.commands)
    made.give(report_record("q6-far", made.now, SwitchReport("pair", "closed", token=token)))
    made.wait(60.0)
    assert made.outcome["outcome"] == "restored"
    assert made.lease.token < 100


def test_a_switch_obeys_no_token_that_nobody_can_have_been_given_and_is_not_stopped_by_one():
    made = world()
    refused = order(made, "tie", "close", 2**63 - 1)
    assert (refused.outcome, refused.state) == ("refused", "open")
    assert "set the clocks" in refused.reason
    latest = made.now // NANOSECONDS + OBEYED_AHEAD
    assert order(made, "tie", "claim", latest).outcome == "done"
    for switch in made.switches.values():  # all clocks, which were ahead by ten days, are set
        switch._now_ns -= 10 * 86_400 * NANOSECONDS
    made.time -= 10 * 86_400
    assert order(made, "tie", "claim", 7).outcome == "done"


def test_a_claim_moves_nothing_and_unlocks_nothing():
    made = world()
    arguments = msgspec.to_builtins(Order("pair", 5, 1, "work-7"))
    opened = Command("a-1", "p3-near", "open", made.now, made.now + NANOSECONDS, arguments)
    made.route(made.switches["p3-near"].process(opened), "rtu-p3-near")
    assert order(made, "p3-near", "claim", 6).outcome == "done"  # also while it moves
    assert order(made, "p3-near", "close", 5, 2).outcome == "refused"
    made.wait(5.0)
    assert (made.says("p3-near").state, made.says("p3-near").tag) == ("open", "work-7")
    assert made.says("p3-near").moved_by == "a-1"
