"""Brings an image to a meter, from its flashing to its confirmation, while somebody records what is written."""

import sys
from pathlib import Path

from tests.support.image_world import World
from tests.support.quick_loop import run_quickly


def is_active(images):
    report = images.report()
    return report is not None and report.update is not None and report.update.step == "active"


async def story(world):
    world.flash()
    setting = world.publish("1.1.0", 2)
    (world.folder / "flashed").write_bytes(b"")
    await world.run(setting)
    world.boot()
    await world.run(setting, is_active)


if __name__ == "__main__":
    run_quickly(story(World(Path(sys.argv[1]))))
