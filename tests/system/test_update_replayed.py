"""An algorithm's update, its writes and syncs replayed prefix by prefix: whatever a power cut leaves, one runs."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from agent.store import Store
from agent.updates.fetch_messages import FetchAnswer
from agent.updates.journal import Journal
from agent.updates.places import Places
from tests.support.powercut import LEFTOVERS, Disk, calls, strace
from tests.support.quick_loop import run_quickly
from tests.support.updates import Meter, assignment, in_force

pytestmark = pytest.mark.slow

AWAY = FetchAnswer("expected the repository, found none", passing=True)
OLD, NEW = b"counted by 1.0.0", b"counted by 1.1.0"


async def update(folder: Path) -> None:
    """Have 1.0.0 in force, keep its state, and let 1.1.0 follow it, which keeps a state while it is on probation."""
    meter = Meter(folder)
    await in_force(meter)
    meter.process("1.0.0").state = OLD
    meter.process("1.0.0").calls["on_checkpoint"](OLD)
    await meter.apply(assignment("1.1.0", probation=2.0))
    await meter.reach("probation", "1.1.0")
    meter.process("1.1.0").calls["on_checkpoint"](NEW)
    meter.process("1.1.0").state = NEW
    await meter.reach("active", "1.1.0")
    await meter.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Record one update; give the folder and what was called."""
    folder = tmp_path_factory.mktemp("meter")
    card, trace = folder / "card", folder / "trace"
    card.mkdir()
    program = (
        "import sys; from pathlib import Path; from tests.support.quick_loop import run_quickly; "
        "from tests.system.test_update_replayed import update; run_quickly(update(Path(sys.argv[1])))"
    )
    command = [*strace(trace), sys.executable, "-B", "-c", program, str(card)]
    ended = subprocess.run(command, timeout=120, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return card, [call for call in calls(trace) if call.path.startswith(str(card))]


def images(card, recorded, target):
    """Cut the power after each call; give what is left, where from, and whether it is something new."""
    disk, chance, seen = Disk(card), random.Random(1), set()
    for number, call in enumerate(recorded):
        disk.apply(call)
        for leftover in LEFTOVERS:
            image = target / f"{number}-{leftover}"
            image.mkdir()
            disk.cut(image, leftover, chance)
            files = sorted(path for path in image.rglob("*") if path.is_file())
            content = tuple((path.relative_to(image).as_posix(), path.read_bytes()) for path in files)
            yield image, number, leftover, content not in seen
            seen.add(content)


def begun_again(image):
    """
    Let an agent start from what a cut left, while the repository is away, with the settings asking for 1.1.0.

    Returns
    -------
    dict
        Version of what runs, and the state that each was given.
    """

    async def go():
        meter = Meter(image)
        meter.refusals = {version: [AWAY] * 10**4 for version in ("1.0.0", "1.1.0")}
        await meter.apply(assignment("1.1.0", probation=2.0), known=True)
        run = {one.info.version: one.what[0].restored for one in meter.workers.started if one.exit is None}
        await meter.close()
        return run

    return run_quickly(go())


def test_every_prefix_of_the_recorded_writes_and_syncs_leaves_a_working_set(recorded, tmp_path):
    card, called = recorded
    confirmed, counted, finished = False, False, False
    met = set()
    for image, number, leftover, is_new in images(card, called, tmp_path):
        store = Store(image)
        journal = Journal(store)
        entry, kept = journal.entry("count"), store.checkpoint(journal.state_name("count"))
        active = entry.active and entry.active.version
        if is_new:
            met.add((active, entry.trial and entry.trial.chosen.version))
            where = f"call {number}, {leftover}: {active}, {entry.trial}"
            for chosen in entry.named():
                Places(image / "algorithms").start("count", chosen.version, chosen.package)
            assert active is not None or not confirmed, f"{where}: what was confirmed is forgotten"
            assert active == "1.1.0" or not finished, f"{where}: the update is forgotten"
            assert kept == (OLD if active == "1.0.0" else NEW) or not counted, f"{where}: the state is forgotten"
            runs = begun_again(image)
            if active is not None:
                assert active in runs, f"{where}: found running {runs}"
                assert runs[active] == kept, f"{where}: found {runs}"
        if leftover == "gone":  # durable from here on
            confirmed |= active is not None
            counted |= active is not None and kept is not None
            finished |= active == "1.1.0"
    assert finished
    assert {(None, "1.0.0"), ("1.0.0", None), ("1.0.0", "1.1.0"), ("1.1.0", None)} <= met
