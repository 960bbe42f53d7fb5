"""The folder of recordings on a meter's disk: whole or not at all, within its budget, the least interesting first."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.recording.recordings import Kept, NoRoom, Recordings
from tests.support.recording_labels import info, label

ROOT = Path(__file__).parents[2]
SIZE = 10_000
ROOMY = 10**9


@pytest.fixture
def folder(tmp_path):
    return Recordings(tmp_path / "recordings")


def made(number, severity="notice", size=SIZE):
    data = bytes([number]) * size
    start = f"2026-11-21T07:20:{number:02}.000000000Z"
    return info(label("m-1", f"r-{number:02}", data, severity=severity, start=start)), data


def ids(folder):
    return [kept.info.id for kept in folder.kept()]


def test_what_is_kept_is_there_with_its_label_and_nothing_else(folder):
    one, data = made(1)
    assert folder.keep(one, data, ROOMY) == ()
    assert folder.samples("r-01").read_bytes() == data
    assert folder.kept() == [Kept(one)]
    assert sorted(path.name for path in folder.folder.iterdir()) == ["r-01.cff", "r-01.json"]
    assert json.loads((folder.folder / "r-01.json").read_text())["info"]["sha256"] == one.sha256


def test_within_the_budget_the_oldest_goes_first(folder):
    budget = 3 * (SIZE + 1000)
    for number in range(1, 4):
        assert folder.keep(*made(number), budget) == ()
    assert folder.keep(*made(4), budget) == ("r-01",)
    assert ids(folder) == ["r-02", "r-03", "r-04"]
    assert sum(path.stat().st_size for path in folder.folder.iterdir()) <= budget


def test_what_the_catalog_has_goes_first_then_what_is_least_severe(folder):
    budget = 4 * (SIZE + 1000)
    for number, severity in ((1, "critical"), (2, "notice"), (3, "warning"), (4, "critical")):
        folder.keep(*made(number, severity), budget)
    folder.mark(Kept(made(4, "critical")[0], handed_over=True))
    dropped = [folder.keep(*made(5 + k, "critical"), budget) for k in range(4)]
    assert dropped == [("r-04",), ("r-02",), ("r-03",), ("r-01",)]


def test_a_new_recording_never_drives_out_a_more_severe_one_nor_anything_in_vain(folder):
    budget = 2 * (SIZE + 1000)
    folder.keep(*made(1, "critical"), budget)
    folder.keep(*made(2, "notice"), budget)
    with pytest.raises(NoRoom, match="more severe") as error:
        folder.keep(*made(3, "notice", 2 * SIZE), budget)
    assert error.value.dropped == ()
    assert ids(folder) == ["r-01", "r-02"]


def test_what_a_power_cut_left_half_done_is_removed(folder):
    for number in (1, 2, 3):
        folder.keep(*made(number), ROOMY)
    folder.samples("r-01").write_bytes(b"cut")
    (folder.folder / "r-02.json").unlink()
    (folder.folder / "r-09.cff.new").write_bytes(b"half")
    (folder.folder / "r-08.json").write_text("{")
    assert folder.clear() == ["r-01.cff", "r-01.json", "r-02.cff", "r-08.json", "r-09.cff.new"]
    assert ids(folder) == ["r-03"]
    assert folder.clear() == []


def test_a_mark_of_what_is_gone_brings_nothing_back(folder):
    one, data = made(1)
    folder.keep(one, data, ROOMY)
    folder.remove("r-01")
    folder.mark(Kept(one, announced=True))
    assert list(folder.folder.iterdir()) == []


FILL = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from agent.recording.recordings import NoRoom, Recordings
from tests.unit.test_recordings_folder import made, ids
folder = Recordings(Path({folder!r}))
for number in range(1, 9):
    print(*folder.keep(*made(number), 10**9) or ["-"])
try:
    folder.keep(*made(9, size=200_000), 10**9)
except NoRoom as error:
    print("full", *error.dropped)
print(*(path.name for path in folder.folder.iterdir()))
"""


def test_a_disk_that_is_full_before_the_budget_is_reached_drops_likewise(tmp_path):
    """On a file system of 64 KiB, where each recording takes 16 KiB with its label."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = FILL.format(root=str(ROOT), folder=str(disk))
    small = [
        sys.executable,
        str(ROOT / "tests/support/small_disk.py"),
        str(disk),
        "65536",
        sys.executable,
        "-c",
        script,
    ]
    done = subprocess.run(small, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    *dropped, full, left = done.stdout.splitlines()
    assert dropped == ["-"] * 4 + ["r-01", "r-02", "r-03", "r-04"]
    assert full == "full", "nothing is dropped for what is longer than the disk"
    assert sorted(left.split()) == [f"r-0{number}.{ending}" for number in range(5, 9) for ending in ("cff", "json")]
