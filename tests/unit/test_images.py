"""A meter's way from one image of its root slots to another, and back; power cuts at every step of it."""

import asyncio
import contextlib
import os
from pathlib import Path

import msgspec
import pytest

from agent.errors import TrustError
from device_catalog.contract.documents import ImageSetting
from tests.support.image_world import WELL, PowerCut, World
from tests.support.images import KIND, NAME, content_of
from tests.support.quick_loop import run_quickly


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.flash()
    return world


def step_is(step):
    return lambda images: images.report() is not None and images.report().update and images.report().update.step == step


async def updated(world, setting):
    """Bring an image all the way; give the last report."""
    await world.run(setting)
    world.boot()
    images = await world.run(setting, step_is("active"))
    return images.report()


def test_an_image_is_written_beside_tried_by_a_restart_and_kept_when_the_meter_is_well(world):
    setting = world.publish("1.1.0", 2)

    async def story():
        images = await world.run(setting)
        assert world.restarts == 1
        assert world.slots.record.default == "A"
        assert images.report().update.step == "starting"
        assert world.boot() == "1.1.0"
        report = (await world.run(setting, step_is("active"))).report()
        assert (report.version, report.release, report.slot, report.state) == ("1.1.0", 2, "B", "running")
        assert (report.before, report.update.rollout) == ("1.0.0", "r-1")
        assert world.slots.record.default == "B"
        assert world.slots.content("B").startswith(content_of("1.1.0", 2))
        assert not list((world.folder / "images").glob("*"))

    run_quickly(story())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"sampling": False}, "it does not sample"),
        ({"applied": False}, "has not applied"),
        ({"troubled": frozenset({"phasors"})}, "phasors does not run"),
    ],
)
def test_an_image_in_which_the_meter_is_not_well_is_left_and_never_tried_again(world, change, word):
    setting = world.publish("1.1.0", 2)

    async def story():
        await world.run(setting)
        assert world.boot() == "1.1.0"
        world.well = WELL._replace(**change)
        await world.run(setting)
        assert world.restarts == 2
        assert world.boot() == "1.0.0"
        world.well = WELL
        images = await world.run(setting, step_is("failed"))
        assert word in images.report().update.reason
        assert images.report().version == "1.0.0"
        loads = world.fetches.manifests
        for _ in range(2):  # the same is asked for again, also after a start
            world.boot()
            images = await world.run(setting, step_is("failed"))
        assert (world.fetches.manifests, world.restarts) == (loads, 2)
        newer = world.publish("1.2.0", 3)
        assert (await updated(world, newer)).version == "1.2.0"

    run_quickly(story())


def test_an_image_whose_own_watch_says_that_it_is_not_healthy_is_left_in_the_end(world):
    setting = world.publish("1.1.0", 2)

    async def story():
        await world.run(setting)
        world.boot()
        (world.folder / "health.json").write_bytes(b'{"schema": "health/1", "healthy": false}')
        await world.run(setting)
        (world.folder / "health.json").unlink()
        assert world.boot() == "1.0.0"
        images = await world.run(setting, step_is("failed"))
        assert "expected a healthy system" in images.report().update.reason

    run_quickly(story())


def test_what_did_not_run_before_says_nothing_about_an_image(world):
    setting = world.publish("1.1.0", 2)
    world.well = WELL._replace(troubled=frozenset({"broken"}))
    assert run_quickly(updated(world, setting)).state == "running"


def test_with_the_catalog_away_it_is_kept_after_a_longer_time_where_a_broker_is_there(world):
    setting = world.publish("1.1.0", 2)

    async def story():
        await world.run(setting)
        world.boot()
        world.well = WELL._replace(catalog=False)
        begin = asyncio.get_running_loop().time()
        await world.run(setting, step_is("active"))
        assert asyncio.get_running_loop().time() - begin >= 660
        assert world.slots.record.default == "B"

    run_quickly(story())


def test_an_image_that_reaches_nobody_is_left_and_tried_again_when_the_catalog_is_back_but_not_for_ever(world):
    setting = world.publish("1.1.0", 2)

    async def story():
        for attempt in (1, 2, 3):
            world.well = WELL
            await world.run(setting)
            assert world.boot() == "1.1.0", attempt
            world.well = WELL._replace(catalog=False, broker=False)
            await world.run(setting)
            assert world.boot() == "1.0.0"
        world.well = WELL
        images = await world.run(setting, step_is("failed"))
        assert "neither the catalog nor a broker" in images.report().update.reason

    run_quickly(story())


def test_an_image_that_never_comes_up_is_given_up_after_three_starts(world):
    setting = world.publish("1.1.0", 2)

    async def story():
        for _ in range(3):
            await world.run(setting)
            assert world.boot() == "1.1.0"  # and power fails, or it panics: nobody says anything
            assert world.boot() == "1.0.0"
        images = await world.run(setting, step_is("failed"))
        assert "started 3 times" in images.report().update.reason
        assert (world.fetches.payloads, world.slots.record.states["B"]) == (1, "bad")

    run_quickly(story())


def test_it_restarts_only_when_it_may(world):
    setting = msgspec.structs.replace(world.publish("1.1.0", 2), windows=("02:00-04:00",))
    world.time = 86_400.0 * 20_000 + 3600.0

    async def story():
        images = await world.run(setting, step_is("deferred"))
        assert "02:00-04:00 UTC" in images.report().update.reason
        assert world.slots.record.armed == ""
        world.time = None
        images = await world.run(setting, step_is("deferred"))
        assert "clock is not set" in images.report().update.reason
        world.time = 86_400.0 * 20_000 + 3 * 3600.0
        world.well = WELL._replace(catalog=False)
        images = await world.run(setting, step_is("deferred"))
        assert "catalog is away" in images.report().update.reason
        world.well, world.flushed = WELL, False
        begin = asyncio.get_running_loop().time()
        await world.run(setting)
        assert asyncio.get_running_loop().time() - begin >= 120  # what is urgent is on the card in any case
        assert world.slots.record.armed == "B"
        assert world.fetches.payloads == 1

    run_quickly(story())


def test_no_image_below_the_floor_and_none_for_another_kind_of_machine(world):
    run_quickly(updated(world, world.publish("1.1.0", 5)))

    async def refused(setting):
        return (await world.run(setting, step_is("failed"))).report().update.reason

    older = world.publish("1.0.5", 4)
    assert "expected release 5 or a later one, found 4" in run_quickly(refused(older))
    strange = world.publish("1.3.0", 6, kind="toaster")
    assert f"expected an image for {KIND}, found one for toaster" in run_quickly(refused(strange))
    other = msgspec.structs.replace(world.publish("1.4.0", 7), name="other")
    assert f"expected an image {NAME}, found other" in run_quickly(refused(other))
    assert world.restarts == 1


def test_what_a_rollout_brought_gives_way_to_what_was_before_when_nobody_asks_for_it_any_more(world):
    setting = world.publish("1.1.0", 2)

    async def story():
        await updated(world, setting)
        loads = world.fetches.payloads
        plain = ImageSetting(NAME, probation=60.0)
        await world.run(plain)
        assert world.boot() == "1.0.0"
        await world.run(plain, lambda _: world.slots.record.default == "A")
        assert (world.slots.record.default, world.fetches.payloads) == ("A", loads)
        images = await world.run(plain, lambda images: images.report() is not None)
        assert images.report().update is None
        assert world.restarts == 2

    run_quickly(story())


def test_what_may_pass_is_tried_again_and_what_is_refused_is_not(world):
    setting = world.publish("1.1.0", 2)
    world.fetches.refusals = [TrustError("away", passing=True), TrustError("away", passing=True)]

    async def story():
        await world.run(setting)
        assert (world.fetches.manifests, world.restarts) == (3, 1)
        newer = world.publish("1.2.0", 3)
        world.boot()
        world.fetches.refusals = [TrustError("not signed")]
        images = await world.run(newer, step_is("failed"))
        assert images.report().update.reason == "not signed"

    run_quickly(story())


def test_a_device_without_slots_says_so_and_does_nothing_else(world, tmp_path):
    from agent.updates.slots.client import SlotClient

    setting = world.publish("1.1.0", 2)
    images = world.agent()
    images._slots = SlotClient(tmp_path / "nothing.sock")

    async def story():
        assert images.report() is None
        images.want(setting)
        task = asyncio.ensure_future(images.hold())
        await asyncio.sleep(10)
        task.cancel()
        assert "expected a meter with two root slots" in images.report().update.reason

    run_quickly(story())


def cut_after(monkeypatch, world, count):
    """Let power fail when something is to be made durable, or put in place, for the `count`-th time from now."""
    left = [count]

    def failing(real):
        def call(*arguments, **named):
            left[0] -= 1
            if left[0] < 0:
                world.off = True
                raise PowerCut
            return real(*arguments, **named)

        return call

    monkeypatch.setattr(os, "fsync", failing(os.fsync))
    monkeypatch.setattr(Path, "replace", failing(Path.replace))
    return left


@pytest.mark.parametrize("first", range(0, 42, 3))
def test_a_power_cut_at_any_step_leaves_a_meter_that_starts_and_goes_on(tmp_path, monkeypatch, first):
    """Each step that makes something durable, or puts it in place, is cut once: before, and with what it wrote torn."""

    async def story(folder, count):
        world = World(folder)
        world.flash()
        setting = world.publish("1.1.0", 2)
        with monkeypatch.context() as patch:
            left = cut_after(patch, world, count)
            with contextlib.suppress(PowerCut):
                await world.run(setting)
                if left[0] >= 0:
                    world.boot()
                    await world.run(setting, step_is("active"))
        was_cut = left[0] < 0
        for _ in range(4):
            version = world.boot()  # finds whole images only
            assert version in ("1.0.0", "1.1.0")
            images = await world.run(setting, step_is("active"))
            if not world.off:
                break
        assert images.report().version == "1.1.0", (count, images.report())
        assert world.slots.record.default == world.slots.booted
        return was_cut

    cuts = [run_quickly(story(tmp_path / str(count), count)) for count in range(first, first + 3)]
    assert all(cuts) or first >= 30  # the last of all steps is among these
