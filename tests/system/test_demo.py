"""The demo as a reader runs it: it goes well, says so, and leaves nothing behind, however it ends."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

DEMO = Path(__file__).parents[2] / "packaging" / "demo" / "demo.py"


@pytest.fixture
def mark(tmp_path):
    """A word in the environment of everything the demo starts, by which it is found also when it was orphaned."""
    return f"DEMO_TEST_MARK={tmp_path}"


def start_demo(mark, *words):
    name, _, value = mark.partition("=")
    return subprocess.Popen(
        [sys.executable, str(DEMO), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, name: value},
    )


def marked(mark):
    """Return the processes that carry the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def run_until(demo, words):
    """Read the demo's output until it says `words`; return what it said."""
    said = []
    for line in demo.stdout:
        said.append(line)
        if words in line:
            return said
    raise AssertionError(f"the demo never said {words!r}:\n{''.join(said)}")


def test_the_demo_goes_well_and_leaves_nothing_behind(mark):
    demo = start_demo(mark, "--seconds", "12")
    said, _ = demo.communicate(timeout=150)
    assert demo.returncode == 0, said
    assert "all went well" in said
    for meter in ("replaying", "simulated", "interrupted"):
        told = re.search(rf"^ +{meter} +(\d+) frames, lost 0, duplicates 0", said, re.MULTILINE)
        assert told, said
        assert int(told[1]) > 100
    for area in ("lv", "feeder-1", "feeder-2"):
        told = re.search(
            rf"^ +{area} +(\d+) states, (\d+)% of \d+ voltages within 2 u of the truth", said, re.MULTILINE
        )
        assert told, said
        assert (int(told[1]) > 2, int(told[2]) >= 80) == (True, True)
    assert re.search(r"noticed by its last will after [\d.]+ s, by the catalog after [\d.]+ s", said)
    assert re.search(r"replaying +1\.(19|20|21)\d s in the recording.*: voltage dip of A to 0\.6", said)
    assert re.search(r"simulated +\d\d:\d\d:\d\d\.\d{3} UTC: voltage dip of B", said)
    assert re.search(r"simulated +\d\d:\d\d:\d\d\.\d{3} UTC: phase jump of \+30°", said)
    assert re.search(
        r"replaying .* in the recording, rounds \d+ to \d+: voltage dip", said.partition("what happened:")[2]
    )
    assert re.search(r"feeder-head locates it: cable-1, 4[12]\d\.\d m from outgoing", said)
    assert re.search(r"190 customers supplied again [\d.]+ s after the lockout, 0 dark", said)
    assert re.search(r"\d+ results of both laid side by side, 0 differ .*: 1\.1\.0 is promoted", said)
    assert re.search(r"1\.2\.0 failed after [\d.]+ s, and its rollout stopped", said)
    assert "simulated goes on with 1.1.0" in said
    folder = Path(re.search(r"^logs: (.+)$", said, re.MULTILINE)[1])
    assert (folder / "catalog.log").stat().st_size > 0
    wait_until(lambda: not marked(mark), "everything gone")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_nothing_behind(mark, number):
    demo = start_demo(mark)
    run_until(demo, "waiting for the first frames")
    assert len(marked(mark)) >= 6
    demo.send_signal(number)
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "stopped before its end" in said
    wait_until(lambda: not marked(mark), "everything gone")


def test_a_demo_that_runs_on_is_ended_by_hand_at_any_time_and_sums_up(mark):
    demo = start_demo(mark, "--seconds", "0")
    run_until(demo, "simulated: U")
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, said
    assert re.search(r"simulated +\d+ frames, lost 0, duplicates 0", said)
    assert "all went well" in said
    wait_until(lambda: not marked(mark), "everything gone")


def test_a_child_that_dies_ends_the_demo_with_its_last_words(mark):
    demo = start_demo(mark)
    run_until(demo, "waiting for the first frames")
    catalog = next(pid for pid in marked(mark) if b"device_catalog" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(catalog, signal.SIGKILL)
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "catalog ended by signal SIGKILL" in said
    wait_until(lambda: not marked(mark), "everything gone")


def test_a_demo_that_is_killed_takes_everything_with_it(mark):
    demo = start_demo(mark)
    run_until(demo, "waiting for the first frames")
    demo.kill()
    demo.communicate(timeout=60)
    wait_until(lambda: not marked(mark), "everything gone", timeout=30)


def test_a_recording_that_is_none_is_said_at_once(mark, tmp_path):
    missing = start_demo(mark, "--recording", str(tmp_path / "no.cfg"))
    said, _ = missing.communicate(timeout=60)
    assert (missing.returncode, "found no file" in said) == (2, True)
    (tmp_path / "bad.cfg").write_text("nonsense")
    bad = start_demo(mark, "--recording", str(tmp_path / "bad.cfg"))
    said, _ = bad.communicate(timeout=60)
    assert (bad.returncode, "cannot be replayed" in said) == (1, True)
    assert not marked(mark)
