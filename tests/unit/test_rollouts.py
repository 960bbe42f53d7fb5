"""What becomes of a rollout: who is told when, what stops it, what comes back, and what survives a restart."""

import asyncio

import msgspec
import pytest

from algorithms.api.errors import ProblemsError
from device_catalog.contract.documents import Assignment
from device_catalog.contract.reports import ShadowReport
from device_catalog.contract.rollouts import RolloutState
from device_catalog.errors import Conflict, Refused
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


def test_a_rollout_that_is_paused_tells_nobody_and_goes_on_when_told(world):
    world.many(10)
    world.run(2)
    name = world.start(stages=[{"percent": 10, "soak": 2}, {"percent": 100, "soak": 2}])
    world.run(1)
    world.order(name, "pause", reason="football")
    world.run(30)
    summary = world.summary(name)
    assert (summary.state, summary.reason, world.versions()) == (
        RolloutState.PAUSED,
        "football",
        {"1.1.0": 1, "1.0.0": 9},
    )
    with pytest.raises(Conflict, match="expected a rollout that is running, found r-1 paused"):
        world.order(name, "pause")
    world.order(name, "resume")
    world.run(20)
    assert world.versions() == {"1.1.0": 10}


def test_aborting_brings_the_version_before_back_also_that_of_an_earlier_rollout(world):
    world.many(6)
    world.run(2)
    first = world.start("1.1.0", stages=[{"percent": 100, "soak": 0}])
    world.run(12)
    assert world.versions() == {"1.1.0": 6}
    second = world.start("1.2.0", stages=[{"percent": 50, "soak": 500}, {"percent": 100, "soak": 0}])
    world.run(10)
    assert world.versions() == {"1.2.0": 3, "1.1.0": 3}
    assert world.summary(first).counts.superseded == 3
    world.order(second, "abort")
    world.run(10)
    assert world.versions() == {"1.1.0": 6}
    assert {world.desired(item).algorithms[0].rollout for item in world.meters} == {first}


def test_what_an_older_rollout_brought_does_not_come_back_once_that_is_withdrawn(world):
    world.many(4)
    world.run(2)
    first = world.start("1.1.0", stages=[{"percent": 100, "soak": 0}])
    world.run(12)
    second = world.start("1.2.0", stages=[{"percent": 100, "soak": 0}])
    world.run(12)
    world.order(first, "abort", reason="a late discovery")
    world.run(5)
    assert world.versions() == {"1.2.0": 4}, "whom the newer one took over is not touched"
    world.order(second, "abort")
    world.run(10)
    assert world.versions() == {"1.0.0": 4}


def test_one_broken_rollout_does_not_hold_up_the_next(world):
    meters = world.many(6)
    world.run(2)
    for meter in meters:
        meter.fault = lambda _a, version: "bad" if version == "1.1.0" else ""
    world.start("1.1.0", stages=[{"percent": 100, "soak": 5}])
    world.run(1)
    second = world.start("1.2.0", stages=[{"percent": 100, "soak": 0}], supersede=True)
    world.run(15)
    assert world.versions() == {"1.2.0": 6}
    assert world.summary(second).state is RolloutState.FINISHED
    world.order(second, "abort")
    world.run(10)
    assert world.versions() == {"1.0.0": 6}, "a version that was never proved there is nothing to go back to"


def test_what_a_person_configures_meanwhile_counts_and_is_told(world):
    world.many(3)
    world.run(2)
    name = world.start(stages=[{"percent": 100, "soak": 50}])
    world.run(8)
    configuration = msgspec.json.decode(world.store.configuration("m-0001")[1], type=type(world.desired("m-0001")))
    pinned = msgspec.structs.replace(configuration, algorithms=(Assignment("band", version="1.0.0"),))
    world.configure("m-0001", pinned)
    world.run(8)
    assert world.versions() == {"1.1.0": 2, "1.0.0": 1}
    counts = world.summary(name).counts
    assert (counts.overridden, counts.failed) == (1, 0)


def test_other_settings_may_be_changed_while_a_choice_stands(world):
    world.many(1)
    world.run(2)
    world.start(stages=[{"percent": 100, "soak": 0}])
    world.run(8)
    before = world.desired("m-0000")
    stored = msgspec.structs.replace(before, algorithms=(Assignment("band", {"limit": 3}),))
    world.configure("m-0000", stored)
    assert world.desired("m-0000").algorithms[0].settings == {"limit": 3}
    assert world.desired("m-0000").algorithms[0].version == "1.1.0"


def test_whoever_joins_later_is_a_member_unless_membership_is_fixed(world):
    world.many(2)
    world.group("pilot", "m-0000")
    world.run(2)
    name = world.start(to={"groups": ["pilot"]}, stages=[{"percent": 100, "soak": 0}])
    world.run(8)
    assert world.summary(name).state is RolloutState.FINISHED
    world.group("pilot", "m-0001")
    world.run(8)
    assert world.versions() == {"1.1.0": 2}
    whom = {"groups": ["pilot"], "tenant": "default", "fixed": True}
    fixed = world.start("1.2.0", to=whom, stages=[{"percent": 100, "soak": 0}])
    assert world.summary(fixed).to.tenant == "default", "its tenant's operators go on seeing it"
    world.meter("m-0002")
    world.group("pilot", "m-0002")
    world.run(10)
    assert world.summary(fixed).counts.members == 2
    assert world.versions() == {"1.2.0": 2, "1.1.0": 1}, "the first one is for whoever joins, the second is not"


def test_an_algorithm_can_be_added_with_its_settings_and_goes_again_with_the_rollout(world):
    world.meter("m-1", running="")
    world.run(2)
    with pytest.raises(Refused, match="expected devices that run band, found 1 that do not"):
        world.start()
    name = world.start(add=True, settings={"limit": 2}, stages=[{"percent": 100, "soak": 0}])
    world.run(8)
    added = world.desired("m-1").algorithms[0]
    assert (added.version, added.settings, world.versions()) == ("1.1.0", {"limit": 2}, {"1.1.0": 1})
    world.order(name, "abort")
    world.run(5)
    assert world.desired("m-1").algorithms == ()
    assert world.summary(name).counts.back == 1


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


def test_every_problem_of_a_request_is_told_together_with_what_there_is(world):
    world.many(2)
    world.group("pilot", "m-0000")
    with pytest.raises(ProblemsError) as wrong:
        world.start(
            "1.x", to={"groups": []}, stages=[{"percent": 50}, {"percent": 10}], max_failures="many", deadline=0
        )
    assert [problem.where for problem in wrong.value.problems] == [
        "rollout.version",
        "rollout.to",
        "rollout.stages[1].percent",
        "rollout.max_failures",
        "rollout.deadline",
    ]
    with pytest.raises(Refused) as wrong:
        world.start("9.9.9", to={"groups": ["pilott"], "devices": ["m-0000", "m-9"]})
    first = "sign it and push it first"
    assert [str(problem) for problem in wrong.value.problems] == [
        "rollout.version: expected a signed version of band (1.0.0, 1.1.0, 1.2.0), found 9.9.9; " + first,
        "rollout.to.groups[0]: expected a group (pilot), found pilott; tresma group add makes one",
        "rollout.to.devices: expected registered devices, found m-9; register them, or list the devices",
    ]
    with pytest.raises(Refused, match=r"rollout.to: expected a selection that fits a device, found one that fits none"):
        world.start(to={"network": "nowhere"})
    world.expires = -10
    with pytest.raises(Refused, match="repository: expected a repository that counts, found one that expired at"):
        world.start()


def test_an_algorithm_that_is_not_signed_is_refused_with_those_that_are(world):
    world.many(1)
    world.signed = [("other", "1.0.0", 1)]
    with pytest.raises(Refused, match=r"expected a signed algorithm \(other\), found band; sign it and push it first"):
        world.start()


def test_two_rollouts_of_one_algorithm_may_not_be_about_the_same_devices_unless_one_supersedes(world):
    world.many(4)
    world.run(2)
    first = world.start("1.1.0", stages=[{"percent": 50, "soak": 100}, {"percent": 100, "soak": 0}])
    with pytest.raises(Refused, match=r"found 4 that r-1 brings to 1\.1\.0; abort that one, wait for it, or say that"):
        world.start("1.2.0")
    world.run(6)
    world.start("1.2.0", stages=[{"percent": 100, "soak": 0}], supersede=True)
    world.run(12)
    assert world.versions() == {"1.2.0": 4}
    assert world.summary(first).state is RolloutState.FINISHED
    assert world.summary(first).reason == "superseded by r-2"


def test_a_rollout_that_was_superseded_half_way_never_goes_on_by_itself(world):
    world.many(10)
    world.run(2)
    world.start("1.1.0", stages=[{"percent": 10, "soak": 100}, {"percent": 100, "soak": 0}])
    world.run(6)
    second = world.start("1.2.0", stages=[{"percent": 10, "soak": 100}, {"percent": 100, "soak": 0}], supersede=True)
    world.run(6)
    world.order(second, "abort")
    world.run(20)
    assert world.versions() == {"1.0.0": 9, "1.1.0": 1}, (
        "whom the first one had brought it keep it, nobody else gets it"
    )


def test_what_becomes_of_a_version_long_after_its_rollout_takes_nothing_back(world):
    meters = world.many(2)
    world.run(2)
    name = world.start(stages=[{"percent": 100, "soak": 0}])
    world.run(12)
    meters[0].states["band"] = "quarantined"
    world.run(15)
    assert world.versions() == {"1.1.0": 2}
    assert world.summary(name).counts.failed == 0


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
