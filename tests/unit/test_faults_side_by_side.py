"""Several faults of one network: each has its own locks, its own words and its own end."""

from algorithms.api.records import Command, Event, Severity
from algorithms.api.switching import tags_of
from algorithms.api.wire import NANOSECONDS
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
