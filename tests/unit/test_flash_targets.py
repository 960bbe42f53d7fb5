"""A hasty hand names the wrong disk: everything that speaks against writing it is said, and nothing is touched."""

from pathlib import Path

import pytest

from device_catalog.operator.flashing.errors import TargetRefused
from device_catalog.operator.flashing.targets import Disk, look, objections, read_disk

IMAGE = 2_000_000_000


class Machine:
    """The files by which a kernel tells of a disk sdb and what uses it."""

    def __init__(self, folder: Path) -> None:
        self.sys, self.proc = folder / "sys", folder / "proc"
        self.disk = self.sys / "devices/usb/block/sdb"
        self.write("sys/devices/usb/block/sdb/dev", "8:16")
        self.facts(size=str(32_000_000_000 // 512), ro="0", removable="1", diskseq="9")
        self.write("proc/self/mountinfo", "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n")
        self.write("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n")
        self._known("8:16", self.disk)

    def write(self, path: str, text: str) -> None:
        file = self.sys.parent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def facts(self, **facts: str) -> None:
        for name, text in facts.items():
            self.write(f"sys/devices/usb/block/sdb/{name}", text)

    def part(self, number: str) -> Path:
        folder = self.disk / "sdb1"
        self.write("sys/devices/usb/block/sdb/sdb1/partition", "1")
        self.write("sys/devices/usb/block/sdb/sdb1/dev", number)
        self._known(number, folder)
        return folder

    def _known(self, number: str, folder: Path) -> None:
        link = self.sys / "dev/block" / number
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)

    def against(self, number: str = "8:16", **allowed: bool) -> list[str]:
        disk = read_disk("/dev/sdb", number, sys=self.sys)
        return objections(disk, IMAGE, sys=self.sys, proc=self.proc, **allowed)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_card_in_a_reader_that_nobody_uses_may_be_written(machine):
    assert machine.against() == []
    disk = read_disk("/dev/sdb", "8:16", sys=machine.sys)
    assert (disk.size, disk.identity) == (32_000_000_000, "8:16 9")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"size": "2000000"}, "expected room for 2.00 GB, found a card of 1.02 GB; take a larger one"),
        ({"size": "0"}, "expected a card, found an empty reader"),
        ({"ro": "1"}, "found a read-only one; look for a little slide"),
        ({"removable": "0"}, "a disk that is built in; say --allow-fixed"),
    ],
)
def test_a_card_that_cannot_be_one_is_refused(machine, facts, said):
    machine.facts(**facts)
    (objection,) = machine.against()
    assert said in objection


def test_a_card_in_a_built_in_reader_is_a_card_and_a_built_in_disk_may_be_allowed(machine):
    machine.facts(removable="0")
    assert machine.against(allow_fixed=True) == []
    machine.facts(**{"device/type": "SD"})
    assert machine.against() == []


def test_a_partition_is_no_disk(machine):
    machine.part("8:17")
    (objection,) = machine.against("8:17")
    assert objection == "expected a whole disk, found a partition of /dev/sdb; name that"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("30 22 8:17 / / rw - ext4 /dev/root rw", "the disk of this running system (/)"),
        ("30 22 8:17 / /boot/efi rw - vfat /dev/sdb1 rw", "the disk of this running system (/boot/efi)"),
        (r"30 22 8:17 / /media/my\040card rw - vfat /dev/sdb1 rw", "mounted at /media/my card; umount /dev/sdb1"),
        ("30 22 0:35 /@ /srv rw - btrfs /dev/sdb1 rw", "mounted at /srv; umount /dev/sdb1"),
    ],
)
def test_a_disk_that_is_mounted_is_refused_and_the_systems_own_by_name(machine, line, said):
    machine.part("8:17")
    machine.write("proc/self/mountinfo", line)
    (objection,) = machine.against()
    assert said in objection


def test_swap_and_what_others_are_built_of_is_refused(machine):
    part = machine.part("8:17")
    machine.write("proc/swaps", "Filename Type Size Used Priority\n/dev/sdb1 partition 1 0 -2")
    (part / "holders").mkdir()
    (part / "holders/dm-0").touch()
    assert [one.partition("found ")[2] for one in machine.against()] == [
        "swap on /dev/sdb1; swapoff /dev/sdb1",
        "/dev/sdb1 in use by dm-0",
    ]


def test_everything_that_speaks_against_a_disk_is_said_at_once(machine):
    machine.facts(size="2000000", ro="1", removable="0")
    assert len(machine.against()) == 3


def test_a_file_must_be_new_or_blank_and_large_enough(tmp_path):
    new = look(tmp_path / "new.img")
    assert objections(new, IMAGE) == []
    full = tmp_path / "report.img"
    full.write_bytes(b"work of a week".ljust(4096))
    assert len(objections(look(full), IMAGE)) == 2
    assert objections(look(full), 4096, overwrite=True) == []
    blank = tmp_path / "blank.img"
    with blank.open("wb") as file:
        file.truncate(IMAGE)
    assert objections(look(blank), IMAGE) == []


@pytest.mark.parametrize("target", ["/dev/no-such-card", "/dev/null", "/no/such/folder/card.img"])
def test_what_is_neither_a_disk_nor_a_file_is_refused(target):
    with pytest.raises(TargetRefused, match="expected a"):
        look(Path(target))


def test_two_names_of_one_file_are_one_target(tmp_path):
    (tmp_path / "card.img").write_bytes(b"")
    (tmp_path / "link").symlink_to("card.img")
    assert look(tmp_path / "card.img").identity == look(tmp_path / "link").identity
    assert isinstance(look(tmp_path / "link"), Disk)
