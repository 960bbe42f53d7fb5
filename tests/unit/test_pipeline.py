"""Where records go, inside the device and out of it."""

import pytest

from agent.pipeline import Pipeline, Thinning, cycles
from algorithms.api.grid_records import GridState, Proposal
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import (
    AngleReference,
    Command,
    Event,
    Kind,
    MeasurementFrame,
    Reply,
    Request,
    Result,
    Severity,
)
from device_catalog.contract.documents import Assignment, Neighbours


def info(name, consumes, produces):
    return AlgorithmInfo(name, "1.0.0", "A test.", consumes=consumes, produces=produces)


def frame(time_ns=0, terminal="t"):
    return MeasurementFrame(terminal, time_ns, 0.0, 0.08, AngleReference.OWN, None, None, {}, {}, {})


PHASORS = info("phasors", (Kind.SAMPLES,), (Kind.FRAME,))
QUALITY = info("quality", (Kind.FRAME,), (Kind.EVENT,))
STATE = info("state", (Kind.FRAME, Kind.EVENT), (Kind.GRID_STATE,))


def pipeline(*infos, assignments=()):
    named = {one.name: one for one in infos}
    assigned = {name: Assignment(name) for name in named} | {one.algorithm: one for one in assignments}
    return Pipeline("acme", "m-1", named, assigned)


def test_a_record_goes_to_everyone_who_consumes_its_kind_but_not_to_its_maker():
    routes = pipeline(PHASORS, QUALITY, STATE)
    assert routes.consumers("phasors", frame()) == ("quality", "state")
    assert routes.consumers("quality", Event("dip", "t", 0, None, Severity.NOTICE)) == ("state",)


def test_a_neighbours_frame_goes_only_to_the_algorithm_that_asked_for_that_neighbour():
    asked = Assignment("state", neighbours=(Neighbours(Kind.FRAME, devices=("m-2",)),))
    routes = pipeline(QUALITY, STATE, assignments=(asked,))
    assert routes.consumers_of_neighbour("m-2", frame()) == ("state",)
    assert routes.consumers_of_neighbour("m-3", frame()) == ()


def test_a_neighbouring_areas_state_is_told_by_its_area():
    taker = info("mv", (Kind.GRID_STATE,), (Kind.PROPOSAL,))
    asked = Assignment("mv", neighbours=(Neighbours(Kind.GRID_STATE, areas=("lv-7",)),))
    routes = pipeline(taker, assignments=(asked,))
    state = GridState("lv-7", "lv", 0, 1, 1, ())
    assert routes.consumers_of_neighbour("anyone", state) == ("mv",)
    assert routes.consumers_of_neighbour("anyone", GridState("lv-8", "lv", 0, 1, 1, ())) == ()


def test_a_proposal_is_told_by_its_network():
    taker = info("operator", (Kind.PROPOSAL,), (Kind.RESULT,))
    asked = Assignment("operator", neighbours=(Neighbours(Kind.PROPOSAL, areas=("n-1",)),))
    routes = pipeline(taker, assignments=(asked,))
    assert routes.consumers_of_neighbour("anyone", Proposal("restoration", "n-1", 1, 0, 1, ())) == ("operator",)
    assert routes.consumers_of_neighbour("anyone", Proposal("restoration", "n-2", 1, 0, 1, ())) == ()


def test_frames_are_thinned_evenly_and_events_are_never_thinned():
    routes = pipeline(PHASORS, assignments=(Assignment("phasors", publish=1.0),))
    stamps = [k * 20_000_000 for k in range(150)]
    published = [t for t in stamps if routes.publication("phasors", frame(t)) is not None]
    assert published == [0, 1_000_000_000, 2_000_000_000]
    event = Event("dip", "t", 0, None, Severity.NOTICE)
    assert all(routes.publication("phasors", event) is not None for _ in range(5))


def test_thinning_by_nothing_lets_everything_through():
    thinning = Thinning(0.0)
    assert all(thinning.passes(0) for _ in range(3))


def test_events_and_registers_are_urgent_frames_and_readings_are_not():
    routes = pipeline(PHASORS)
    assert routes.publication("x", Event("dip", "t", 0, None, Severity.NOTICE)).urgent
    assert routes.publication("x", Result("energy/1", "t", 0, {}, urgent=True)).urgent
    assert not routes.publication("x", Result("thd/1", "t", 0, {})).urgent
    assert not routes.publication("x", frame()).urgent


@pytest.mark.parametrize("area", ["a/#", "+", "", "a b", "x" * 65])
def test_a_record_cannot_choose_a_topic_that_is_not_its_own(area):
    with pytest.raises(ValueError, match="topic"):
        pipeline(STATE).publication("state", GridState(area, "lv", 0, 1, 1, ()))


@pytest.mark.parametrize(
    "make", [lambda name: Request("r", name, "m-2", "x", 0, 1), lambda name: Reply("r", name, "m-2", 0)]
)
def test_a_question_or_answer_is_published_in_this_devices_name_only(make):
    routes = pipeline(STATE)
    assert routes.publication("state", make("m-1")).broker == "grid"
    with pytest.raises(ValueError, match="m-1 expected as the sender, found state"):
        routes.publication("state", make("state"))


def test_two_algorithms_that_feed_each_other_are_found_before_they_start():
    there = info("there", (Kind.FRAME,), (Kind.EVENT,))
    back = info("back", (Kind.EVENT,), (Kind.FRAME,))
    assert {problem.where for problem in cycles({"there": there, "back": back})} == {
        "algorithms.there",
        "algorithms.back",
    }
    assert cycles({"phasors": PHASORS, "quality": QUALITY, "state": STATE}) == []


def test_an_order_reaches_a_switch_of_the_same_device_only_after_it_was_judged():
    switch, spy = info("switch", (Kind.COMMAND,), ()), info("spy", (), (Kind.COMMAND,))
    routes = pipeline(switch, spy)
    order = Command("o-1", "s-7", "open", 0, 1)
    assert routes.consumers("spy", order) == ()
    assert routes.consumers_of_neighbour("m-1", order) == ("switch",)
    assert routes.publication("spy", order).maker == "spy"


def test_other_routes_let_no_frame_more_through():
    assigned = {"phasors": Assignment("phasors", publish=1.0)}
    before = Pipeline("acme", "m-1", {"phasors": PHASORS}, assigned)
    assert before.publication("phasors", frame(0)) is not None
    after = Pipeline("acme", "m-1", {"phasors": PHASORS, "quality": QUALITY}, assigned, before=before)
    assert after.publication("phasors", frame(20_000_000)) is None
    faster = {"phasors": Assignment("phasors", publish=10.0)}
    assert (
        Pipeline("acme", "m-1", {"phasors": PHASORS}, faster, before=after).publication("phasors", frame()) is not None
    )
