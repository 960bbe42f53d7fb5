"""A meter's card after a power cut at any moment of a recorded update of its image: whatever is on it, it starts."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.image_to_record import is_active
from tests.support.image_world import World
from tests.support.powercut import LEFTOVERS, Disk, calls, strace
from tests.support.quick_loop import run_quickly

CUTS = int(os.environ.get("TRESMA_IMAGE_CUTS", "8"))
"""Of each kind; the ordinary suite takes a sample."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Record an update; give the folder and the calls from when the card was flashed."""
    if shutil.which("strace") is None:
        pytest.fail("expected strace to record with, found none; apt install strace")
    folder = tmp_path_factory.mktemp("recorded")
    command = [*strace(folder / "trace"), sys.executable, "-m", "tests.support.image_to_record", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, check=True, env=environment, timeout=200)
    return folder, list(calls(folder / "trace"))


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_whatever_a_cut_leaves_of_an_update_the_meter_starts_and_the_update_ends_well(recorded, tmp_path, leftover):
    folder, made = recorded
    chance = random.Random(leftover)
    disk, moments = Disk(folder / "card"), []
    flashed = next(index for index, call in enumerate(made) if call.path.endswith("/flashed"))
    touching = [index for index, call in enumerate(made) if call.path.startswith(str(folder / "card"))]
    later = [index for index in touching if index > flashed]
    moments = sorted(chance.sample(later, min(CUTS, len(later))))
    for index, call in enumerate(made[: moments[-1] + 1]):
        disk.apply(call)
        if index == flashed:
            for name in list(disk._names):  # the card was written and read back before it was put in
                disk.apply(call.__class__("sync", f"{folder / 'card'}/{name}", call.at))
        if index in moments:
            after_cut(disk, tmp_path / f"{index}", folder / "table", leftover, chance)


def after_cut(disk, folder, table, leftover, chance):
    """Start the meter on what is left, and let it go on."""
    (folder / "card").mkdir(parents=True)
    disk.cut(folder / "card", leftover, chance)
    shutil.copytree(table, folder / "table")
    world = World(folder)
    setting = world.publish("1.1.0", 2)
    (world.slots.folder / "booted").write_text("A")

    async def story():
        for _ in range(5):
            assert world.boot() in ("1.0.0", "1.1.0")  # finds whole images only
            images = await world.run(setting, is_active)
            if not world.off:
                return images.report()
        return images.report()

    report = run_quickly(story())
    assert report.version == "1.1.0", report
    assert world.slots.record.default == world.slots.booted
    shutil.rmtree(folder)
