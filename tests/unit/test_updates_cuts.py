"""Versions of algorithms over power cuts and on cards that fill up: at any cut one is left that runs."""

import os
import sys
import warnings

import pytest

from agent.store import Store
from agent.updates.journal import Journal
from agent.updates.places import Places
from tests.support.quick_loop import run_quickly, until
from tests.support.updates import Meter, assignment, in_force


@pytest.fixture
def meter(tmp_path):
    return Meter(tmp_path)


def test_old_packages_go_and_what_the_journal_names_stays(meter):
    async def go():
        await in_force(meter)
        await in_force(meter, "1.1.0")
        await in_force(meter, "1.2.0")
        stray = meter.folder / "algorithms" / "count" / "0.1.0-0123456789abcdef"
        older = meter.folder / "algorithms" / "count" / "0.0.1-0123456789abcdef"
        for path in (older, stray):
            path.mkdir()
        os.utime(older, (1, 1))
        os.utime(stray, (2, 2))
        meter.places.clear(meter.journal.named())
        left = sorted(path.name.partition("-")[0] for path in (meter.folder / "algorithms" / "count").iterdir())
        assert left == ["1.0.0", "1.1.0", "1.2.0"]
        await meter.close()

    run_quickly(go())


def _life(folder, *, known):
    """Let an agent live: 1.0.0 is in force, 1.1.0 is asked for; then it starts again and finishes what it began."""

    async def go():
        meter = Meter(folder)
        if not known:
            await in_force(meter)
            meter.process("1.0.0").calls["on_checkpoint"](b"counted by 1.0.0")
        await meter.apply(assignment("1.1.0", probation=2.0), known=known)
        await meter.reach("active", "1.1.0")
        await meter.close()

    run_quickly(go())


def test_a_cut_at_any_line_leaves_a_version_that_runs_and_the_next_start_ends_where_it_should(tmp_path):
    """Each life is killed some steps later than the one before, and the agent starts again from what is there."""
    step, seen, before = 0, set(), set()
    while _killed_at(step, folder := tmp_path / str(step)):
        step += 1
        store = Store(folder)
        assert not store.complaints
        entry = Journal(store).entry("count")
        seen.add((entry.active and entry.active.version, entry.trial and entry.trial.chosen.version))
        for chosen in entry.named():
            assert chosen.package is not None
            path = Places(folder / "algorithms").path("count", chosen.version, chosen.package)
            assert path.is_dir(), "the journal names only what is on the card"
        names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*/*"))
        if (left := (store.updates(), *names)) in before:
            continue
        before.add(left)
        _life(folder, known=entry.active is not None)
        after = Journal(Store(folder)).entry("count")
        assert after.active is not None
        assert after.active.version == "1.1.0"
        assert after.trial is None
        assert step < 500
    assert step > 30
    assert seen >= {(None, "1.0.0"), ("1.0.0", None), ("1.0.0", "1.1.0"), ("1.1.0", None)}


def _killed_at(step, folder):
    """Live in a fork that dies at the n-th change of a file or folder, but for a package's own; tell whether it did."""
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        seen = 0

        def watch(event, arguments):
            nonlocal seen
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            changes = writes or event in ("os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")
            if event == "os.rename" or (changes and "/.new" not in str(arguments[0])):  # staging is tested elsewhere
                seen += 1
                if seen > step:
                    os._exit(9)

        sys.addaudithook(watch)
        try:
            _life(folder, known=False)
        except BaseException:  # noqa: BLE001 - told to the one who waits
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


def test_a_card_that_cannot_be_written_keeps_the_old_version_and_is_said(meter):
    async def go():
        await in_force(meter)

        def full(_):
            raise OSError(28, "No space left on device")

        keep, meter.running._store.keep_updates = meter.running._store.keep_updates, full
        await meter.apply(assignment("1.1.0"))
        await until(lambda: meter.report().update.reason)
        assert "No space left on device" in meter.report().update.reason
        assert meter.processes() == ["1.0.0"]
        meter.running._store.keep_updates = keep
        await meter.reach("active", "1.1.0")
        await meter.close()

    run_quickly(go())
