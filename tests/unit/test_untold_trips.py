"""Faults of which the word was lost, or that a new model does not know: they are told, not forgotten."""

import msgspec

from algorithms.api.algorithm import Context
from algorithms.api.network_reader import parse
from algorithms.api.records import Severity
from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import World


def world():
    made = World(feeder_pair_document(), None, closed_loop=True)
    made.wait(1.0)
    return made


def begin_again(made, memory, document=None):
    """Kill the reconfigurator and start it over an earlier checkpoint."""
    made.subject = type(made.subject)(made.settings)
    model = parse(document) if document is not None else made.model
    made.subject.start(Context("reconfigurator", network=model), memory)


def test_a_fault_whose_word_was_lost_by_a_kill_is_told_by_its_breaker_once():
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    memory = made.subject.checkpoint()
    made.tell("p-line3")
    made.wait(1.5)
    begin_again(made, memory)
    made.wait(120.0)
    assert [event.evidence["outcome"] for event in made.events] == ["no-case"]
    assert made.events[0].terminal == "breaker-p"
    assert made.events[0].severity is Severity.CRITICAL
    assert made.commands == []


def test_a_breaker_whose_fault_is_known_is_not_told_also_after_the_repair():
    made = world()
    made.strike("p-line1")
    made.wait(0.3)
    made.tell("p-line1")
    made.wait(60.0)
    made.subject._faults.repaired("", made.now)
    made.wait(60.0)
    assert "no-case" not in [event.evidence["outcome"] for event in made.events]


def test_a_case_on_a_branch_that_the_new_model_names_otherwise_is_told():
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3")
    made.wait(30.0)
    memory = made.subject.checkpoint()
    document = msgspec.json.decode(msgspec.json.encode(feeder_pair_document()).replace(b'"p-line3"', b'"p-line3-new"'))
    begin_again(made, memory, document)
    made.wait(1.0)
    assert made.outcome["outcome"] == "forgotten"
    assert "p-line3" in made.outcome["reason"]
    assert made.events[-1].severity is Severity.CRITICAL


def test_a_breaker_that_trips_again_for_good_after_its_fault_was_settled_is_told():
    made = world()
    made.strike("p-line5")
    made.wait(0.3)
    made.tell("p-line5")
    made.until(lambda: made.events, 40.0)
    made.skip(70.0)
    made.strike("p-line2")
    made.wait(45.0)
    assert [event.evidence["outcome"] for event in made.events] == ["restored", "no-case"]
