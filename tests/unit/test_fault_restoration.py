"""A reconfigurator on a fault, with real simulated switches around it: the order of things, and what it lets be."""

import pytest

from algorithms.api.algorithm import Context
from algorithms.api.errors import SettingsError
from algorithms.api.network_reader import parse
from algorithms.api.records import Command, Event, Severity
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.reconfiguration import Reconfiguration
from tests.support.feeder_pair import feeder_pair_document
from tests.support.networks import element
from tests.support.restoration import SOON, asked, ended, fault, world
from tests.support.switch_world import World, state


def test_a_fault_is_enclosed_and_everybody_healthy_is_supplied_again():
    made = world()
    fault(made)
    assert ended(made)["outcome"] == "restored"
    assert asked(made) == [("p3-near", "open"), ("p3-far", "open"), ("breaker-p", "close"), ("tie", "close")]
    assert set(made.model.nodes.ids) - made.live() == {"p3a", "p3b"}
    assert made.loops() == ()
    assert made.lease.holder == ""  # given back
    assert made.lease.told["tie"] == "closed"
    assert made.lease.told["p3-near"] == "open"


def test_nothing_is_ordered_before_the_protection_gave_up():
    made = world()
    fault(made)
    breaker = made.switches["breaker-p"]
    made.until(lambda: made.commands, SOON)
    assert breaker._cycle.lockout
    first = min(command.issued_ns for command in made.commands)
    # Trip 0.1 s, pause 0.4 s, trip 0.1 s, pause 3 s, trip 0.1 s after the inception at 1.1 s.
    assert (first - 1_800_000_000 * NANOSECONDS) / NANOSECONDS > 1.1 + 3.7


def test_a_fault_that_passes_is_left_to_the_protection():
    made = world(patience=8.0)
    fault(made)
    made.until(lambda: made.switches["breaker-p"]._true == "open", SOON)
    made.faults.clear()  # it went out while the line was dead
    assert ended(made)["outcome"] == "passed"
    assert made.commands == []
    assert made.live() == set(made.model.nodes.ids)


def test_nothing_is_ordered_while_no_meter_says_that_the_line_is_dead():
    made = world(patience=8.0)
    made.silent_meters = {terminal.id for terminal in made.model.terminals}
    fault(made)
    assert ended(made)["outcome"] == "not-dead"
    assert "no meter" in made.outcome["reason"]
    assert made.outcome["position"] == "as the protection left it: nothing was switched"
    assert made.commands == []


def test_one_meter_that_sees_voltage_is_enough_to_touch_nothing():
    made = world(patience=8.0)
    made.lying_meters = {"t-p5": 0.98}
    fault(made)
    assert ended(made)["outcome"] == "not-dead"
    assert "t-p5 sees 98 %" in made.outcome["reason"]
    assert made.commands == []


def test_the_breakers_word_may_be_enough_where_the_settings_say_so():
    made = world(proof="breaker")
    made.silent_meters = {terminal.id for terminal in made.model.terminals}
    fault(made)
    assert ended(made)["outcome"] == "restored"


def test_it_only_proposes_unless_told_to_switch():
    made = world(closed_loop=False)
    fault(made)
    assert ended(made)["outcome"] == "proposed"
    assert made.commands == []
    assert made.lease.token == 0
    (proposal,) = made.proposals
    assert [(step.switch, step.state) for step in proposal.steps] == [
        ("p3-near", "open"),
        ("p3-far", "open"),
        ("breaker-p", "closed"),
        ("tie", "closed"),
    ]
    assert proposal.gain["customers"].value == 450
    assert proposal.unserved["p3a"] == "in the section that is faulted"


def test_a_location_that_is_not_to_be_trusted_is_only_proposed():
    made = world()
    fault(made, trusted=False)
    assert ended(made)["outcome"] == "proposed"
    assert made.outcome["reason"] == "the location is not to be trusted"
    assert made.commands == []


def test_all_alternatives_are_enclosed_before_anything_is_closed():
    made = world()
    fault(made, "p-line3", "p-line4")
    ended(made)
    opened = {name for name, verb in asked(made) if verb == "open"}
    assert opened == {"p3-near", "p3-far", "p4-near", "p4-far"}
    verbs = [verb for _, verb in asked(made)]
    assert verbs == sorted(verbs, reverse=True)  # every open before every close


def test_a_second_word_on_the_same_fault_takes_the_place_of_the_first():
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    start = made.now
    for branch in ("p-line4", "p-line3"):
        evidence = {"network": "pair", "branch": branch, "alternatives": [], "trusted": True}
        made.give(Event("fault-located", "t-ph", start, None, Severity.CRITICAL, ("A",), evidence))
    ended(made)
    assert {name for name, verb in asked(made) if verb == "open"} == {"p3-near", "p3-far"}


def test_a_place_that_is_sure_after_a_reclosing_counts_although_the_first_word_was_not():
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3", "p-line4", trusted=False)
    made.wait(1.0)
    made.tell("p-line3")
    assert ended(made)["outcome"] == "restored"
    assert set(made.model.nodes.ids) - made.live() >= {"p3a", "p3b"}


def test_a_fault_told_anew_with_each_reclosing_is_one_fault():
    made = world()
    made.strike("p-line3")
    for _ in range(3):
        made.wait(0.4)
        made.tell("p-line3")
    assert ended(made)["outcome"] == "restored"
    assert len(made.outcome["cases"]) == 1


def test_a_second_fault_on_the_same_feeder_is_enclosed_with_the_first():
    made = world({"p3-far": {"operating_time": 2.0}})
    fault(made)
    made.until(lambda: made.commands, SOON)
    made.tell("p-line5")
    made.strike("p-line5")
    assert ended(made)["outcome"] == "restored"
    opened = {name for name, verb in asked(made) if verb == "open"}
    assert {"p3-near", "p3-far", "p5-near", "p5-far"} <= opened
    assert {"p1", "p2", "p5", "p6"} <= made.live()
    assert not {"p5a", "p5b", "p3a", "p4"} & made.live()


def test_the_neighbour_that_trips_for_a_fault_nobody_located_is_not_touched():
    made = world()
    made.strike("q-line2")
    fault(made)
    outcome = ended(made)
    assert outcome["outcome"] == "restored"
    assert ("breaker-q", "close") not in asked(made)
    assert ("tie", "close") not in asked(made)
    assert not {name for name in made.live() if name.startswith("q") and name != "q0"}
    assert {"p1", "p2"} <= made.live()


def test_a_topology_that_contradicts_the_meters_is_not_switched_upon():
    made = world()
    made.lying_meters = {"t-q3": 0.0}
    fault(made)
    assert ended(made)["outcome"] == "proposed"
    assert "t-q3 should be alive" in made.outcome["reason"]
    assert made.commands == []


def test_an_earth_fault_on_an_isolated_neutral_is_isolated_alive():
    made = World(feeder_pair_document(neutral="isolated"), closed_loop=True)
    made.wait(1.0)
    made.tell("p-line3", kind="earth-fault")
    assert ended(made)["outcome"] == "restored"
    assert ("breaker-p", "close") not in asked(made)
    assert set(made.model.nodes.ids) - made.live() == {"p3a", "p3b"}


@pytest.mark.parametrize("watts", [1.5e9, float("nan")])
def test_a_switch_of_which_nobody_can_know_what_it_carries_is_not_opened_alive(watts):
    made = World(feeder_pair_document(neutral="isolated"), closed_loop=True)
    made.wait(1.0)
    made.give(state(made, p1=watts))
    made.wait(1.0)
    made.tell("p-line3", kind="earth-fault")
    assert "has no solution" in ended(made)["reason"]
    assert made.commands == []


def test_a_switch_never_breaks_more_than_it_may():
    document = feeder_pair_document(neutral="isolated")
    element(document, "p3-near")["breaks"] = 2.0
    made = World(document, closed_loop=True)
    made.wait(1.0)
    made.tell("p-line3", kind="earth-fault")
    assert ended(made)["outcome"] == "proposed"
    assert "p3-near carries" in made.outcome["reason"]
    assert made.commands == []


def test_a_fault_of_which_only_the_feeder_is_known_is_told_to_a_person():
    made = World(feeder_pair_document(neutral="isolated"), closed_loop=True)
    made.wait(1.0)
    made.tell("", kind="earth-fault")
    assert made.outcome["outcome"] == "section-unknown"
    assert made.outcome["reason"] == "only the feeder is known: the section must be searched for"
    proposal = made.proposals[-1]
    assert proposal.kind == "earth-fault-search"
    assert proposal.checks["feeder of breaker-p"]
    first, second, third = proposal.steps[:3]
    # Of 450 customers on the feeder 190 are behind the fifth section and 260 behind the fourth.
    assert first.switch in ("p5-near", "p5-far", "p4-near", "p4-far")
    assert second.condition.startswith(f"{first.switch} was opened and the fault went with it")
    assert third.condition.startswith(f"{first.switch} was opened and the fault stayed")
    assert made.commands == []


def test_after_a_restart_it_judges_anew_and_finishes():
    made = world({"p3-far": {"operating_time": 2.0}})
    fault(made)
    made.until(lambda: made.commands, SOON)
    made.restart()
    assert ended(made)["outcome"] == "restored"
    assert set(made.model.nodes.ids) - made.live() == {"p3a", "p3b"}
    orders = [(command.arguments["token"], command.arguments["sequence"]) for command in made.commands]
    assert len(set(orders)) == len(orders)


def test_a_repaired_fault_is_forgotten_and_the_locks_stay_for_a_person():
    made = world()
    fault(made)
    ended(made)
    order = Command("op-1", "reconfigurator", "repaired", made.now, made.now + NANOSECONDS)
    made.give(order)
    assert made.subject._faults.cases == []
    assert made.says("p3-near").tag


def test_places_the_network_does_not_have_are_told():
    made = world()
    made.tell("no-such-line")
    assert made.outcome["outcome"] == "not-understood"
    assert "no-such-line" in made.outcome["reason"]


def test_a_network_that_cannot_be_radial_and_wrong_settings_are_refused():
    document = feeder_pair_document()
    document["branches"].append({**element(document, "p-line3"), "id": "double"})
    with pytest.raises(SettingsError, match="double"):
        Reconfiguration({}).start(Context("r", network=parse(document)), None)
    with pytest.raises(SettingsError) as caught:
        Reconfiguration({"gain": 2.0, "patience": 1.0, "response": 5.0, "proof": "hope"}).start(Context("r"), None)
    named = {problem.where for problem in caught.value.problems}
    assert {"settings.gain", "settings.proof", "network"} <= named
    with pytest.raises(SettingsError, match="patience"):
        Reconfiguration({"patience": 2.0, "response": 5.0}).start(
            Context("r", network=parse(feeder_pair_document())), None
        )
