"""A rollout of an image: as one of an algorithm, but that nothing runs beside it."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from algorithms.api.errors import ProblemsError
from device_catalog.contract.documents import Assignment, Configuration, ImageSetting, PackageReference, Poll
from device_catalog.contract.register import Registration
from device_catalog.contract.reports import ImageReport
from device_catalog.contract.rollouts import RolloutState
from device_catalog.errors import Refused
from device_catalog.rollouts.releases import IMAGE, Release, Releases, read_releases
from tests.support.images import NAME, image_of
from tests.support.rollout_world import EPOCH, SimulatedMeter, World
from tests.support.trust import NOW, Dso

STAGES = [{"percent": 10, "soak": 5}, {"percent": 100, "soak": 5}]


class ImageMeter(SimulatedMeter):
    """A meter whose image goes the way of the algorithms of others."""

    def take(self, configuration, revision, now):
        image = configuration.image
        asked = () if image is None else (Assignment(NAME, version=image.version, rollout=image.rollout),)
        super().take(Configuration(algorithms=asked), revision, now)

    def report(self):
        found = super().report()
        said = found.algorithms.get(NAME)
        image = None if said is None else ImageReport(NAME, said.version, slot="A", update=said.update)
        return msgspec.structs.replace(found, algorithms={}, image=image)


class ImageWorld(World):
    """A catalog and meters with slots."""

    def releases(self):
        packages = [
            Release(NAME, version, IMAGE, PackageReference(release, 1000, 64 * str(release)))
            for version, release in (("1.0.0", 1), ("1.1.0", 2))
        ]
        return Releases(tuple(packages), datetime.fromtimestamp(EPOCH + 10**9, UTC))

    def many(self, count, image=True):
        for number in range(count):
            setting = ImageSetting(NAME, windows=("01:00-02:00",)) if image else None
            configuration = Configuration(poll=Poll(1.0, 5.0), image=setting)
            name = f"m-{number:04d}"
            asyncio.run(self.changes.register(Registration(name, configuration=configuration), "operator", "", b""))
            self.meters[name] = ImageMeter(name, {NAME: "1.0.0"})
        return list(self.meters.values())

    def begin_rollout(self, **fields):
        return self.start(algorithm=NAME, **fields)

    def running(self):
        return sorted(meter.in_force.get(NAME, "") for meter in self.meters.values())


@pytest.fixture
def world(tmp_path):
    world = ImageWorld(tmp_path)
    yield world
    world.engine.dispose()


def test_an_image_goes_from_stage_to_stage(world):
    world.many(10)
    world.run(2)
    name = world.begin_rollout(stages=STAGES)
    world.run(40)
    assert world.summary(name).state is RolloutState.FINISHED
    assert world.running() == ["1.1.0"] * 10
    image = world.desired("m-0000").image
    assert (image.version, image.package.release, image.rollout) == ("1.1.0", 2, name)
    assert image.windows == ("01:00-02:00",)  # what was configured beside it stays


def test_an_image_in_which_a_meter_is_not_well_stops_the_rollout_and_goes_from_where_it_was(world):
    for meter in world.many(10):
        meter.fault = lambda _name, version: "it does not sample" if version == "1.1.0" else ""
    world.run(2)
    name = world.begin_rollout(stages=STAGES)
    world.run(30)
    assert world.summary(name).state is RolloutState.FAILED
    assert world.running() == ["1.0.0"] * 10
    assert world.detail(name).troubled[0].reason == "it does not sample"
    assert world.summary(name).counts.going_back == 0
    assert {world.desired(name).image.version for name in world.meters} == {""}


@pytest.mark.parametrize(("windows", "state"), [(("01:00-02:00",), "running"), ((), "failed")])
def test_a_meter_that_waits_for_the_time_at_which_it_may_restart_is_not_late_for_a_day(world, windows, state):
    (meter,) = world.many(1)
    meter._probation = 1e6
    world.configure(meter.name, Configuration(poll=Poll(1.0, 5.0), image=ImageSetting(NAME, windows=windows)))
    world.run(2)
    name = world.begin_rollout(stages=STAGES, probation=1.0)
    world.run(60)
    assert world.summary(name).state == state


def test_an_aborted_rollout_asks_for_the_image_before(world):
    world.many(4)
    world.run(2)
    name = world.begin_rollout(stages=[{"percent": 100, "soak": 60}])
    world.run(10)
    assert world.running() == ["1.1.0"] * 4
    world.order(name, "abort")
    world.run(10)
    assert world.running() == ["1.0.0"] * 4
    assert world.summary(name).counts.back == 4


def test_an_image_can_be_brought_to_meters_of_which_nobody_said_that_they_have_one(world):
    world.many(2, image=False)
    world.run(2)
    world.begin_rollout(stages=[{"percent": 100, "soak": 1}], add=True, settings={"windows": ["03:00-04:00"]})
    world.run(10)
    assert world.running() == ["1.1.0"] * 2
    assert world.desired("m-0000").image.windows == ("03:00-04:00",)


def test_what_only_an_algorithm_can_do_is_refused_of_an_image(world):
    world.many(1)
    with pytest.raises((Refused, ProblemsError)) as refusal:
        world.begin_rollout(shadow={}, add=False)
    assert "an image is tried by a restart" in str(refusal.value.problems)
    with pytest.raises((Refused, ProblemsError)) as refusal:
        world.begin_rollout(add=True, settings={"windows": ["at night"]})
    assert "times of the day in UTC" in str(refusal.value.problems)


def test_the_repository_tells_images_from_algorithms(tmp_path):
    dso = Dso(tmp_path / "trust")
    dso.release()
    _, data, payload = image_of(tmp_path)
    dso.at(NOW).add_image(data, payload)
    dso.confirm()
    releases = read_releases(dso.folder)
    assert [releases.is_image(name) for name in (NAME, "voltage-band")] == [True, False]
    package, problems = releases.find(NAME, "1.1.0", NOW)
    assert (package.release, package.length, problems) == (2, len(data), [])


def test_a_probation_after_which_a_meter_has_left_the_image_is_refused(world):
    world.many(1)
    with pytest.raises((Refused, ProblemsError)) as refusal:
        world.begin_rollout(probation=7200.0)
    assert "rollout.probation" in str(refusal.value.problems)
