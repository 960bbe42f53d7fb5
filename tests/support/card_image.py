"""Small images of cards as `make image` lays them out: a partition table, a FAT partition, something behind it."""

import random
import shutil
import struct
import subprocess
from pathlib import Path

MEBIBYTE = 1024 * 1024
FIRMWARE = 4 * MEBIBYTE
"""Where the FAT partition begins [bytes]."""
FIRMWARE_SIZE = {16: 5 * MEBIBYTE, 32: 34 * MEBIBYTE}
"""By the width of the FAT's entries [bit]; real cards have 32, which takes room [bytes]."""
BEHIND = 6 * MEBIBYTE
"""What follows [bytes]."""

_programs = "/usr/sbin:/sbin:/usr/bin:/bin"


def make_image(path: Path, *, label: str = "FIRMWARE", gpt: bool = False, fat: int = 16) -> Path:
    """Make an image with MBR or GPT; what lies behind the FAT partition is the same each time."""
    size = FIRMWARE_SIZE[fat]
    with path.open("wb") as file:
        file.truncate(FIRMWARE + size + BEHIND)
    mkfs = shutil.which("mkfs.vfat", path=_programs)
    assert mkfs is not None, "dosfstools is needed: apt install dosfstools"
    subprocess.run(
        [mkfs, "-F", str(fat), "-s", "1", "-n", label, "--offset", str(FIRMWARE // 512), path, str(size // 1024)],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(["mcopy", "-i", f"{path}@@{FIRMWARE}", "-", "::config.txt"], check=True, input=b"arm_64bit=1\n")
    with path.open("r+b") as file:
        file.write(_gpt_table(size) if gpt else _mbr_table(size))
        file.seek(FIRMWARE + size)
        file.write(random.Random(7).randbytes(3 * MEBIBYTE + 512))
    return path


def _mbr_table(size: int) -> bytes:
    entries = [(0x0C, FIRMWARE, size), (0x83, FIRMWARE + size, BEHIND)]
    table = b"".join(struct.pack("<4xB3xII", kind, at // 512, length // 512) for kind, at, length in entries)
    return bytes(440) + b"rtsm\0\0" + table.ljust(64, b"\0") + b"\x55\xaa"


def _gpt_table(size: int) -> bytes:
    protective = (
        bytes(446)
        + struct.pack("<4xB3xII", 0xEE, 1, (FIRMWARE + size + BEHIND) // 512 - 1).ljust(64, b"\0")
        + b"\x55\xaa"
    )
    header = b"EFI PART" + bytes(64) + struct.pack("<QII", 2, 4, 128)
    kind = bytes.fromhex("a2a0d0ebe5b9334487c068b6b72699c7")
    entries = [(FIRMWARE + size, BEHIND), (FIRMWARE, size)]
    table = b"".join(
        kind + bytes(16) + struct.pack("<QQ", at // 512, (at + length) // 512 - 1) + bytes(80) for at, length in entries
    )
    return protective + header.ljust(512, b"\0") + table.ljust(512, b"\0")


def read_file(image: Path, name: str) -> bytes:
    """Read a file of the FAT partition."""
    done = subprocess.run(["mtype", "-i", f"{image}@@{FIRMWARE}", f"::{name}"], check=True, capture_output=True)
    return done.stdout


def boots(image: Path) -> bool:
    """Tell whether there is anything that a computer could start from."""
    with image.open("rb") as file:
        return file.read(512)[510:] == b"\x55\xaa"


def mounted(image: Path, folder: Path) -> Path:
    """Copy the folder ``tresma`` of the FAT partition, as a meter sees it once it is mounted."""
    folder.mkdir(parents=True)
    subprocess.run(["mcopy", "-s", "-i", f"{image}@@{FIRMWARE}", "::tresma", folder], check=True)
    return folder / "tresma"
