"""What devices say to a rollout: shadows that are laid beside what is in force, and reports that no agent makes."""

import asyncio

import msgspec
import pytest

from device_catalog.contract.reports import ShadowReport
from device_catalog.contract.rollouts import RolloutState
from device_catalog.errors import Conflict, Refused
from tests.support.rollout_world import World


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.engine.dispose()


def shadowed(world, **fields):
    report = {"compared": 1000, "processor": 0.02, "processor_in_force": 0.02, "memory": 10, "memory_in_force": 10}
    for meter in world.meters.values():
        meter.shadow = ShadowReport("", "", **{**report, **fields})


def test_a_shadow_is_compared_and_promoted_by_itself_when_both_are_equal(world):
    world.many(10)
    shadowed(world)
    world.run(2)
    shadow = {"soak": 5, "promote_when_equal": True}
    name = world.start(shadow=shadow, stages=[{"percent": 10, "soak": 2}, {"percent": 100, "soak": 0}])
    world.run(3)
    assert {world.desired(item).algorithms[0].shadow.version for item in world.meters} == {"1.1.0"}
    assert {world.desired(item).algorithms[0].version for item in world.meters} == {""}
    comparison = world.detail(name).comparison
    assert (comparison.verdict, comparison.devices, comparison.compared) == ("equal", 10, 10_000)
    assert world.versions() == {"1.0.0": 10}
    world.run(30)
    assert world.summary(name).state is RolloutState.FINISHED
    assert world.versions() == {"1.1.0": 10}
    assert {world.desired(item).algorithms[0].shadow for item in world.meters} == {None}


def test_a_shadow_that_differs_is_held_for_a_person_who_may_promote_it_anyway(world):
    world.many(4)
    shadowed(world, differing=5, largest=0.2, where="frame.frequency", processor=0.08)
    world.run(2)
    name = world.start(shadow={"soak": 3, "promote_when_equal": True}, stages=[{"percent": 100, "soak": 0}])
    world.run(10)
    summary = world.summary(name)
    assert summary.state is RolloutState.PAUSED
    assert "20 of 4000 records differ, allowed are 0 of them" in summary.reason
    assert "4.00 times the processor time" in summary.reason
    with pytest.raises(Conflict, match="wait, abort, or promote it anyway"):
        world.order(name, "promote")
    world.order(name, "promote", anyway=True, reason="the old one was wrong")
    world.run(10)
    assert world.versions() == {"1.1.0": 4}


def test_a_shadow_that_fails_ends_the_rollout_and_leaves_no_shadow_behind(world):
    meters = world.many(4)
    shadowed(world)
    meters[2].fault = lambda _a, _v: "it does not start"
    world.run(2)
    name = world.start(shadow={"soak": 50})
    world.run(5)
    assert world.summary(name).state is RolloutState.FAILED
    assert {world.desired(item).algorithms[0].shadow for item in world.meters} == {None}
    assert all(not meter.seen for meter in meters)


def test_a_shadow_beside_what_an_earlier_rollout_chose_leaves_that_in_force(world):
    world.many(3)
    world.run(2)
    world.start("1.1.0", stages=[{"percent": 100, "soak": 0}])
    world.run(8)
    shadowed(world)
    name = world.start("1.2.0", shadow={"soak": 500})
    world.run(3)
    beside = world.desired("m-0000").algorithms[0]
    assert (beside.version, beside.shadow.version) == ("1.1.0", "1.2.0")
    world.order(name, "abort")
    world.run(3)
    back = world.desired("m-0000").algorithms[0]
    assert (back.version, back.shadow, back.rollout) == ("1.1.0", None, "r-1")


def hostile(meter, **fields):
    """Let a meter that has tried a version say something about its algorithms that no agent says."""
    honest = meter.report

    def report():
        said = honest()
        if not meter.seen:
            return said
        changed = {name: msgspec.structs.replace(item, **fields) for name, item in said.algorithms.items()}
        return msgspec.structs.replace(said, algorithms=changed)

    meter.report = report


@pytest.mark.parametrize("restarts", [10**30, 2**40, -1])
def test_a_number_out_of_bounds_is_refused_where_it_comes_in_and_told_by_its_place(world, restarts):
    (meter,) = world.many(1)
    world.run(2)
    hostile(meter, restarts=restarts)
    meter.seen.append("1.0.0")
    with pytest.raises(Refused, match=r"reported\.algorithms\.band\.restarts"):
        world.run(1)


def test_texts_of_a_report_are_made_fit_to_be_kept_and_unknown_fields_stay(world):
    world.many(1)
    document = {"device": "m-0000", "schema": "reported/1", "problems": ["no\0room", "x" * 10_000], "more": {"a": -1}}
    said = asyncio.run(world.changes.report("m-0000", document, whole=True))
    assert said.problems == ("no\N{REPLACEMENT CHARACTER}room", "x" * 4096)
    assert b'"more":{"a":-1}' in world.store.reported("m-0000")


def test_a_device_whose_kept_report_cannot_be_judged_counts_as_failed_alone_and_is_logged_once(world, caplog):
    world.many(6)
    world.run(2)
    name = world.start(stages=[{"percent": 100, "soak": 5}], max_failures="20%")
    world.run(2)
    world.meters["m-0003"].away = True
    world.store.set_reported("m-0003", b'{"algorithms":{"band":7}}', {}, world.clock.wall())
    world.run(20)
    assert world.summary(name).state is RolloutState.FINISHED
    assert world.summary(name).counts.failed == 1
    assert caplog.text.count("m-0003: what it reports cannot be judged") == 1
