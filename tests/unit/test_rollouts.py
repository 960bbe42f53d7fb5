"""What becomes of a rollout: who is told when, what stops it, what comes back, and what survives a restart."""

import asyncio

import pytest

from device_catalog.contract.documents import Assignment
from device_catalog.contract.rollouts import RolloutState
from device_catalog.storage.rollout_work import working
from tests.support.rollout_world import World

FAST = [{"percent": 10, "soak": 5}, {"percent": 50, "soak": 5}, {"percent": 100, "soak": 5}]


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.engine.dispose()


def test_every_stage_takes_its_share_is_watched_and_then_the_next_begins(world):
    world.many(20)
    world.run(2)
    name = world.start(stages=FAST)
    seen = []
    for _ in range(40):
        world.run(1)
        told = sum(bool(meter.seen) for meter in world.meters.values())
        seen.append((world.summary(name).stage, told))
    assert [max(told for stage, told in seen if stage == number) for number in (0, 1, 2)] == [2, 10, 20]
    assert world.summary(name).state is RolloutState.FINISHED
    assert world.versions() == {"1.1.0": 20}
    assert all(world.desired(item).algorithms[0].rollout == name for item in world.meters)
    actions = [item.action for item in reversed(world.detail(name).transitions)]
    assert actions == ["start", "stage full", "next stage", "stage full", "next stage", "stage full", "finish"]


def test_a_faulty_version_stops_at_the_first_stage_and_every_device_it_touched_goes_back(world):
    meters = world.many(20)
    for meter in meters:
        meter.fault = lambda _algorithm, version: "it divides by zero" if version == "1.1.0" else ""
    world.run(2)
    name = world.start(stages=FAST)
    world.run(20)
    summary = world.summary(name)
    assert (summary.state, summary.stage) == (RolloutState.FAILED, 0)
    assert sum(bool(meter.seen) for meter in meters) == 2
    assert "2 of the 2 devices of this stage failed, allowed are 0" in summary.reason
    assert world.versions() == {"1.0.0": 20}
    assert (summary.counts.back, summary.counts.going_back) == (2, 0)
    assert all(world.desired(item).algorithms == (Assignment("band"),) for item in world.meters)
    troubled = world.detail(name).troubled
    assert {(item.reason, item.log[0]) for item in troubled} == {("it divides by zero", "Traceback")}


def test_one_failure_among_many_takes_back_those_that_were_fine_too(world):
    meters = world.many(20)
    world.run(2)
    bad = set()
    for meter in meters:
        meter.fault = lambda _a, _v, meter=meter: "" if bad and meter.name not in bad else bad.add(meter.name) or "bad"
    name = world.start(stages=[{"percent": 50, "soak": 5}])
    world.run(20)
    assert len(bad) == 1
    assert world.summary(name).counts.back == 10
    assert world.versions() == {"1.0.0": 20}


def test_failures_up_to_the_limit_are_borne_and_only_those_devices_go_back(world):
    meters = world.many(20)
    world.run(2)
    for meter in meters[:2]:
        meter.fault = lambda _a, version: "bad" if version == "1.1.0" else ""
    name = world.start(stages=[{"percent": 100, "soak": 2}], max_failures="10%")
    world.run(20)
    assert world.summary(name).state is RolloutState.FINISHED
    assert world.versions() == {"1.1.0": 18, "1.0.0": 2}
    assert world.desired("m-0000").algorithms[0].version == ""


def test_silence_after_a_device_was_told_counts_as_failure(world):
    meters = world.many(4)
    world.run(2)
    name = world.start(stages=[{"percent": 50, "soak": 60}])
    told = [item.device for item in asyncio.run(world.questions.devices(name, "", "", 10)).items]
    meters[int(told[0][2:])].away = True
    world.run(29)
    assert world.summary(name).state is RolloutState.RUNNING
    world.run(5)
    summary = world.summary(name)
    assert summary.state is RolloutState.FAILED
    assert "silent for" in world.detail(name).troubled[0].reason
    world.run(10)
    assert world.summary(name).counts.going_back == 1, "who is silent is still told to go back when it returns"
    meters[int(told[0][2:])].away = False
    world.run(10)
    assert world.versions() == {"1.0.0": 4}


def test_a_device_that_falls_silent_while_it_is_watched_counts_as_failed(world):
    meters = world.many(2)
    world.run(2)
    name = world.start(stages=[{"percent": 100, "soak": 1000}])
    world.run(10)
    assert world.summary(name).counts.done == 2
    meters[0].away = True
    world.run(45)
    assert world.summary(name).state is RolloutState.FAILED


def test_a_probation_that_is_under_way_at_the_deadline_may_end(world):
    meters = world.many(2)
    for meter in meters:
        meter._probation = 50.0
    world.run(2)
    name = world.start(stages=[{"percent": 100, "soak": 0}], probation=55.0)
    assert world.desired("m-0000").algorithms[0].probation == 55.0
    world.run(60)
    assert world.summary(name).state is RolloutState.FINISHED
    assert world.versions() == {"1.1.0": 2}


def test_who_is_away_is_not_told_holds_nobody_up_and_gets_the_version_on_return(world):
    meters = world.many(10)
    world.run(2)
    meters[3].away = True
    world.run(10)
    name = world.start(stages=[{"percent": 100, "soak": 2}])
    world.run(15)
    summary = world.summary(name)
    assert (summary.state, summary.counts.done, summary.counts.away) == (RolloutState.FINISHED, 9, 1)
    meters[3].away = False
    world.run(15)
    assert world.versions() == {"1.1.0": 10}


STAGES = [{"percent": 1, "soak": 2}, {"percent": 10, "soak": 2}, {"percent": 100, "soak": 2}]


def while_most_are_away(world, count, there):
    """Finish a rollout on the few that are there, and let the others come back."""
    meters = world.many(count)
    world.run(2)
    for meter in meters[there:]:
        meter.away = True
    world.run(10)
    name = world.start(stages=STAGES, max_failures="1%")
    world.run(40)
    assert world.summary(name).state is RolloutState.FINISHED
    for meter in meters[there:]:
        meter.away = False
    return name, meters[there:]


def test_who_comes_once_a_rollout_is_finished_is_told_in_portions_and_failures_among_them_stop_it(world):
    name, late = while_most_are_away(world, 100, 10)
    for meter in late:
        meter.fault = lambda _algorithm, version: "no good here" if version == "1.1.0" else ""
    world.run(20)
    summary = world.summary(name)
    assert summary.state is RolloutState.FAILED
    assert "2 of the 100 devices of this stage failed, allowed are 1" in summary.reason
    assert sum(bool(meter.seen) for meter in late) == 2
    assert world.versions() == {"1.0.0": 100}


def test_who_comes_late_and_is_fine_gets_the_version_no_more_at_once_than_in_the_first_stage(world):
    name, _ = while_most_are_away(world, 12, 8)
    most = 0
    for _ in range(40):
        world.run(1)
        most = max(most, world.summary(name).counts.chosen)
    assert most == 1
    assert world.summary(name).state is RolloutState.FINISHED
    assert world.versions() == {"1.1.0": 12}


def test_stages_that_ended_early_are_made_up_for_when_the_others_come(world):
    meters = world.many(20)
    world.run(2)
    for meter in meters[1:]:
        meter.away = True
    world.run(10)
    name = world.start(stages=[{"percent": 10, "soak": 2}, {"percent": 50, "soak": 2}, {"percent": 100, "soak": 60}])
    world.run(20)
    assert world.summary(name).stage == 2
    for meter in meters[1:]:
        meter.away = False
    portions = []
    for _ in range(20):
        world.run(1)
        portions.append(world.summary(name).counts.chosen)
    assert [count for count in dict.fromkeys(portions) if count] == [1, 8, 10]
    assert world.versions() == {"1.1.0": 20}


def test_a_version_that_crashes_after_it_was_active_is_taken_back(world):
    meters = world.many(10)
    world.run(2)
    name = world.start(stages=[{"percent": 10, "soak": 30}, {"percent": 100}])
    world.run(10)
    done = next(meter for meter in meters if meter.seen)
    done.restarts["band"] = 3
    world.run(3)
    assert world.summary(name).state is RolloutState.FAILED
    assert "restarted 3 times" in world.detail(name).troubled[0].reason
    world.run(10)
    assert world.versions() == {"1.0.0": 10}


def test_a_quarantined_version_is_taken_back(world):
    meters = world.many(3)
    world.run(2)
    name = world.start(stages=[{"percent": 100, "soak": 30}])
    world.run(10)
    meters[0].states["band"] = "quarantined"
    world.run(10)
    assert world.summary(name).state is RolloutState.FAILED
    assert world.versions() == {"1.0.0": 3}


def test_devices_that_run_the_version_already_count_as_done_and_are_left_alone(world):
    for number in range(4):
        world.meter(f"m-{number}", running="1.1.0" if number < 2 else "1.0.0")
    world.run(2)
    name = world.start(stages=[{"percent": 100, "soak": 2}])
    world.run(2)
    revisions = {item: world.fleet.devices[item].revision for item in world.meters}
    assert sorted(revisions.values()) == [1, 1, 2, 2]
    world.run(10)
    assert world.summary(name).counts.done == 4
    world.order(name, "abort")
    world.run(10)
    assert world.versions() == {"1.1.0": 2, "1.0.0": 2}


def test_never_two_meters_of_an_area_change_at_once_unless_allowed(world):
    for number in range(9):
        world.meter(f"m-{number}", area=f"a-{number % 3}")
    world.run(2)
    name = world.start(stages=[{"percent": 100, "soak": 0}])
    most = 0
    for _ in range(30):
        world.run(1)
        most = max(most, world.summary(name).counts.chosen)
    assert most == 3, "three areas, one of each"
    assert world.versions() == {"1.1.0": 9}
    world.start("1.2.0", stages=[{"percent": 100, "soak": 0}], budget={"per_area": 2, "per_network": "50%"})
    world.run(1)
    assert sum(bool(world.desired(item).algorithms[0].version == "1.2.0") for item in world.meters) == 4


def test_a_restarted_catalog_goes_on_where_the_one_before_was(world):
    world.many(10)
    world.run(2)
    name = world.start(stages=FAST)
    for _ in range(40):
        world.run(1)
        world.begin()
    assert world.summary(name).state is RolloutState.FINISHED
    assert world.versions() == {"1.1.0": 10}
    assert all(len(meter.seen) == 1 for meter in world.meters.values())


def test_of_two_catalogs_one_has_the_lead_and_looking_twice_tells_nobody_twice(world):
    world.many(10)
    world.run(2)
    name = world.start(stages=[{"percent": 10, "soak": 100}])
    revisions = {item: device.revision for item, device in world.fleet.devices.items()}
    world.begin()
    asyncio.run(world.ticking.tick())  # the first one's lead has not run out
    with working(world.rollouts, 1) as work:
        assert work.row.stage == 0
    world.ticking.look(1)
    world.ticking.look(1)
    assert {item: device.revision for item, device in world.fleet.devices.items()} == revisions
    assert len(asyncio.run(world.questions.devices(name, "", "", 100)).items) == 1


def test_what_becomes_of_a_version_long_after_its_rollout_takes_nothing_back(world):
    meters = world.many(2)
    world.run(2)
    name = world.start(stages=[{"percent": 100, "soak": 0}])
    world.run(12)
    meters[0].states["band"] = "quarantined"
    world.run(15)
    assert world.versions() == {"1.1.0": 2}
    assert world.summary(name).counts.failed == 0
