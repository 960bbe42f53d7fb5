"""Several faults of one network: each has its own locks, its own words and its own end."""

import itertools

import pytest

from algorithms.api.records import Command, Event, Severity
from algorithms.api.switching import tags_of
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.known_faults import MOST_CASES
from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import World


def world(**settings):
    made = World(feeder_pair_document(), None, **{"closed_loop": True, **settings})
    made.wait(1.0)
    return made


def tell(made, terminal, branch, *alternatives, start_ns=None, **evidence):
    said = {
        "network": "pair",
        "branch": branch,
        "alternatives": [{"branch": name} for name in alternatives],
        **evidence,
    }
    start_ns = made.now if start_ns is None else start_ns
    made.give(Event("fault-located", terminal, start_ns, None, Severity.CRITICAL, ("A",), said))


def settled(made, count):
    made.until(lambda: len(made.events) >= count, 60.0)
    return made.outcome


def strike(made, terminal, branch, *alternatives):
    """Put a fault on a branch and wait until it is handled."""
    count = len(made.events) + 1
    made.strike(branch)
    made.wait(0.3)
    tell(made, terminal, branch, *alternatives)
    return settled(made, count)


def locks(made):
    return {name: tags_of(made.says(name).tag) for name in made.switches if made.says(name).tag}


def repaired(made, case):
    made.give(
        Command(f"repaired-{case}", "reconfigurator", "repaired", made.now, made.now + NANOSECONDS, {"case": case})
    )


def ids(made):
    return [case.id for case in made.subject._faults.cases]


def test_each_switch_is_locked_for_the_fault_that_it_encloses():
    made = world()
    strike(made, "t-ph", "p-line3")
    strike(made, "t-qh", "q-line2")
    one, other = ids(made)
    assert locks(made) == {"p3-near": {one}, "p3-far": {one}, "q2-near": {other}, "q2-far": {other}}


def test_a_switch_that_encloses_two_faults_is_locked_for_both_and_freed_of_one_at_a_time():
    made = world()
    strike(made, "t-ph", "p-line3")
    made.skip(70.0)
    strike(made, "t-ph", "p-line2", "p-line3")
    one, other = ids(made)
    assert locks(made)["p3-near"] == {one, other}
    assert locks(made)["p2-near"] == {other}
    repaired(made, one)
    switch = made.switches["p3-near"]
    for sequence, tag in enumerate((one, other), start=1):
        assert made.says("p3-near").tag
        order = {"network": "pair", "token": made.lease.token + 1, "sequence": sequence, "tag": tag}
        switch.process(Command(f"crew-{sequence}", "p3-near", "unlock", made.now, made.now + NANOSECONDS, order))
    assert made.says("p3-near").tag == ""


def test_the_end_of_a_later_fault_names_that_fault_alone_and_what_was_locked_for_it():
    made = world()
    strike(made, "t-ph", "p-line3")
    made.skip(70.0)
    made.wait(1.0)
    now = made.now
    outcome = strike(made, "t-qh", "q-line5")
    assert outcome["cases"] == [ids(made)[1]]
    assert made.events[-1].start_ns >= now
    assert {step["switch"] for step in outcome["steps"] if step["cases"] == outcome["cases"]} == {"q5-near", "q5-far"}


def test_nothing_is_told_as_restored_before_the_slowest_relay_could_have_tripped():
    document = feeder_pair_document()
    for protection in document["protections"]:
        protection["delay"] = 1.2
    made = World(document, None, closed_loop=True)
    made.wait(1.0)
    made.strike("p-line2")
    made.wait(0.3)
    tell(made, "t-ph", "p-line3")  # it is not there
    assert settled(made, 1)["outcome"] == "tripped-again"
    assert [command.recipient for command in made.commands if command.verb == "close"] == ["breaker-p"]


def test_a_later_word_on_the_same_fault_that_names_what_is_cut_off_by_now_adds_to_it():
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    start_ns = made.now
    tell(made, "t-ph", "p-line4", start_ns=start_ns)
    made.until(lambda: made.switches["p4-near"]._true == "open", 30.0)
    tell(made, "t-ph", "p-line5", start_ns=start_ns)
    (case,) = made.subject._faults.cases
    assert (case.breaker, set(case.branches)) == ("breaker-p", {"p-line4", "p-line5"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("alternatives", None),
        ("alternatives", 5),
        ("alternatives", "p-line4"),
        ("alternatives", ["p-line4"]),
        ("alternatives", [{"branch": 4}]),
        ("alternatives", [{"branch": "p-line4"}] * 1000),
        ("branch", ["p-line3"]),
        ("node", {"p3": 1}),
        ("breaker", ["breaker-p"]),
    ],
)
def test_a_word_that_cannot_be_read_is_refused_with_the_field_that_is_wrong(field, value):
    made = world()
    said = {"network": "pair", "branch": "p-line3", field: value}
    made.give(Event("fault-located", "t-ph", made.now, None, Severity.CRITICAL, ("A",), said))
    assert made.outcome["outcome"] == "not-understood"
    assert (field if field != "alternatives" or value != [{"branch": 4}] else "branch") in made.outcome["reason"]
    assert ids(made) == []


def test_the_same_place_told_many_times_is_one_fault_and_no_more_than_a_number_are_taken():
    made = world()
    for number in range(5):
        tell(made, "t-ph", "p-line3", start_ns=made.now - number * 61 * NANOSECONDS)
    assert len(ids(made)) == 1
    lines = [f"{feeder}-line{number}" for feeder in "pq" for number in range(1, 7)]
    for number, pair in enumerate(itertools.combinations(lines, 2)):
        tell(made, "t-ph", *pair, start_ns=made.now - (number + 9) * 61 * NANOSECONDS)
    assert len(ids(made)) == MOST_CASES
    assert made.outcome["outcome"] == "not-taken"
    assert "repaired" in made.outcome["reason"]


@pytest.mark.parametrize("stated", ["p2-far", "breaker-q", "nowhere", "breaker-p"])
def test_a_breaker_that_does_not_protect_the_place_is_not_believed(stated):
    made = world()
    tell(made, "t-ph", "p-line3", breaker=stated)
    assert [case.breaker for case in made.subject._faults.cases] == ["breaker-p"]


def test_a_fault_that_is_said_to_be_repaired_in_the_middle_is_handed_over_with_where_all_stands():
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    tell(made, "t-ph", "p-line3")
    made.until(lambda: made.switches["p3-near"]._true == "open", 40.0)
    (case,) = ids(made)
    repaired(made, case)
    assert made.outcome["outcome"] == "handed-over"
    assert made.outcome["cases"] == [case]
    assert "open" in made.outcome["position"]
    assert {"p1", "p6"} <= set(made.outcome["unserved"])
    assert made.events[-1].severity is Severity.WARNING
    assert ids(made) == []
    made.wait(5.0)
    assert made.lease.holder == ""


def test_whoever_is_left_dark_by_a_proposal_is_warned_of():
    made = world(closed_loop=False)
    assert strike(made, "t-ph", "p-line3")["outcome"] == "proposed"
    assert made.events[-1].severity is Severity.WARNING


def test_a_proposal_for_an_earth_fault_under_which_all_are_supplied_is_but_a_notice():
    made = world(closed_loop=False)
    tell(made, "t-ph", "p-line3")
    made.subject._faults.cases[0].live = True
    assert settled(made, 1)["outcome"] == "proposed"
    assert made.events[-1].severity is Severity.NOTICE


@pytest.mark.parametrize("place", [{"node": "p0"}, {"branch": "p-line3"}])
def test_a_fault_that_cannot_be_waited_for_holds_up_no_other(place):
    made = world()
    said = {"network": "pair", **place}
    made.give(Event("fault-located", "t-ph", made.now, None, Severity.CRITICAL, ("A",), said))
    made.strike("q-line3")
    made.wait(0.3)
    tell(made, "t-qh", "q-line3")
    assert settled(made, 2)["outcome"] == "restored"
    assert [event.evidence["outcome"] for event in made.events] == ["set-aside", "restored"]
    assert len(made.outcome["cases"]) == 1
    assert made.time < 30.0
    assert {"p3", "q4"} <= made.live()


def test_a_fault_that_was_set_aside_is_taken_up_again_when_its_breaker_opens():
    made = world()
    tell(made, "t-ph", "p-line3")
    made.strike("q-line3")
    made.wait(0.3)
    tell(made, "t-qh", "q-line3")
    made.until(lambda: made.events, 40.0)
    made.strike("p-line3")
    made.until(lambda: len(made.events) > 1, 60.0)
    assert made.outcome["outcome"] == "restored"
    assert set(made.model.nodes.ids) - made.live() >= {"p3a", "p3b", "q3a", "q3b"}


def pushed_onto_a_fault(made):
    """Tell a wrong place, so that the tie is closed onto the fault and the other feeder trips."""
    made.strike("p-line5")
    made.wait(0.3)
    tell(made, "t-ph", "p-line3")
    made.until(lambda: made.switches["breaker-q"]._true == "open", 60.0)


def test_what_was_closed_onto_a_fault_is_opened_again_once_its_feeder_has_given_up():
    made = world()
    pushed_onto_a_fault(made)
    assert settled(made, 1)["outcome"] == "tripped-again"
    assert made.switches["tie"]._true == "open"
    assert "tie was opened again" in made.outcome["reason"]
    assert "brought back stays so" not in made.outcome["position"]
    assert made.switches["breaker-q"]._cycle.lockout or not made.switches["breaker-q"]._cycle.reclosing
    made.wait(40.0)
    assert len(made.events) == 1


def test_the_true_place_that_is_told_after_a_trip_is_enclosed_and_all_others_are_brought_back():
    made = world()
    pushed_onto_a_fault(made)
    tell(made, "t-qh", "p-line5")
    settled(made, 2)
    assert [event.evidence["outcome"] for event in made.events] == ["tripped-again", "restored"]
    assert {"p5a", "p5b", "p3a", "p3b"} <= set(made.model.nodes.ids) - made.live()
    assert {"p1", "p2", "q1", "q6", "p6"} <= made.live()


def test_a_line_that_is_proven_dead_only_later_is_seen_to_then():
    made = world(patience=8.0)
    made.silent_meters = {terminal.id for terminal in made.model.terminals}
    assert strike(made, "t-ph", "p-line3")["outcome"] == "not-dead"
    assert "tried once more" in made.outcome["reason"]
    made.silent_meters = set()
    assert settled(made, 2)["outcome"] == "restored"


def test_a_lease_that_cannot_be_had_is_asked_for_once_more_and_then_a_person_must_see_to_it():
    made = world(patience=8.0)
    made.lease.refuses = "held by operator"
    assert strike(made, "t-ph", "p-line3")["outcome"] == "no-lease"
    assert settled(made, 2)["outcome"] == "no-lease"
    assert "a person must see to it" in made.outcome["reason"]
    made.wait(30.0)
    assert len(made.events) == 2


@pytest.mark.parametrize("gap", [3.8, 4.0, 4.2])
def test_a_relay_elsewhere_that_trips_while_service_is_restored_is_not_taken_for_the_same_fault(gap):
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    tell(made, "t-ph", "p-line3")
    made.wait(gap)
    made.strike("q-line2")  # just when service on the other feeder comes back
    made.wait(0.3)
    tell(made, "t-qh", "q-line2")
    made.wait(60.0)
    assert "tripped-again" not in [event.evidence["outcome"] for event in made.events]
    assert {"p1", "p2", "q1"} <= made.live()
    assert made.loops() == ()
    opened = [one.recipient for one in made.commands if one.verb == "open"]
    assert sorted(opened) == ["p3-far", "p3-near", "q2-far", "q2-near"]
