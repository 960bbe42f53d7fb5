"""What people do about rollouts: asking, pausing, aborting, superseding, and configuring a device meanwhile."""

import msgspec
import pytest

from algorithms.api.errors import ProblemsError
from device_catalog.contract.documents import Assignment
from device_catalog.contract.rollouts import RolloutState
from device_catalog.errors import Conflict, Refused
from tests.support.rollout_world import World


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.engine.dispose()


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
