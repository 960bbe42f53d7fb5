"""What the helper that writes root slots takes from whom, and how long it waits for an agent's judgement."""

import asyncio

import msgspec

from agent.updates.slots.command import PATIENCE, START
from device_catalog.contract.configuration_rules import problems_of
from device_catalog.contract.documents import Configuration
from device_catalog.contract.image_rules import LONGEST_IMAGE_PROBATION
from tests.support.image_world import WELL, World
from tests.support.quick_loop import run_quickly


def test_the_longest_probation_that_may_be_asked_for_ends_before_an_image_is_overdue(tmp_path):
    world = World(tmp_path)
    world.flash()
    setting = msgspec.structs.replace(world.publish("1.1.0", 2), probation=LONGEST_IMAGE_PROBATION)
    assert problems_of(Configuration(image=setting), "c") == []
    longer = msgspec.structs.replace(setting, probation=LONGEST_IMAGE_PROBATION + 1.0)
    (problem,) = problems_of(Configuration(image=longer), "c")
    assert problem.where == "c.image.probation"

    async def story():
        await world.run(setting)
        assert world.boot() == "1.1.0"
        world.well = WELL._replace(sampling=False)
        begin = asyncio.get_running_loop().time()
        await world.run(setting)
        assert world.restarts == 2
        assert asyncio.get_running_loop().time() - begin < PATIENCE - START + 10.0

    run_quickly(story())
