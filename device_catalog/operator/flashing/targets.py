"""
What a target is, and everything that speaks against writing it.

A card reader is a whole disk that can be taken out; everything else that a hasty hand may name (the system's disk, a
partition, what is mounted or swapped to, a member of a RAID) is refused, with the reason. Read from /sys and /proc,
whose places tests set.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from device_catalog.operator.flashing.errors import TargetRefused

SYS, PROC = Path("/sys"), Path("/proc")


class Disk(NamedTuple):
    """
    A block device, or a file that stands for one.

    Attributes
    ----------
    path : str
        As it was named.
    identity : str
        What it is known by, whatever it is called: two names of one disk have the same. With the number that the kernel
        gives each new medium, where it does.
    size : int
        [bytes]; 0 for a file that grows.
    name : str
        Maker and model.
    is_file : bool
    """

    path: str
    identity: str
    size: int
    name: str
    is_file: bool


def look(path: Path, *, sys: Path = SYS) -> Disk:
    """
    Find out what a target is.

    Raises
    ------
    TargetRefused
        When it cannot be a target.
    """
    try:
        facts = path.stat()
    except FileNotFoundError:
        return _new_file(path)
    except OSError as error:
        raise TargetRefused(f"{path}: expected a disk or a file, found: {error.strerror}") from error
    if stat.S_ISBLK(facts.st_mode):
        return read_disk(str(path), f"{os.major(facts.st_rdev)}:{os.minor(facts.st_rdev)}", sys=sys)
    if not stat.S_ISREG(facts.st_mode):
        raise TargetRefused(f"{path}: expected a disk such as /dev/sdb, or a file, found something else")
    return Disk(str(path), f"file {facts.st_dev}:{facts.st_ino}", facts.st_size, "file", is_file=True)


def _new_file(path: Path) -> Disk:
    folder = path.parent
    if path.is_relative_to("/dev") and not path.is_relative_to("/dev/shm"):  # noqa: S108 - memory, which tests use
        raise TargetRefused(f"{path}: expected a disk, found none; is the card in the reader? `lsblk` lists them")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise TargetRefused(f"{path}: expected a folder that can be written, found none called {folder}")
    return Disk(str(path), f"file {folder.resolve() / path.name}", 0, "file", is_file=True)


def read_disk(path: str, number: str, *, sys: Path = SYS) -> Disk:
    """Read what the kernel knows of a block device, by its number such as ``8:16``."""
    folder = _folder(number, sys)
    maker, model = _line(folder / "device/vendor"), _line(folder / "device/model") or _line(folder / "device/name")
    size = int(_line(folder / "size") or 0) * 512
    medium = _line(folder / "diskseq")
    return Disk(path, f"{number} {medium}".strip(), size, f"{maker} {model}".strip() or "disk", is_file=False)


def objections(
    disk: Disk, needed: int, *, allow_fixed: bool = False, overwrite: bool = False, sys: Path = SYS, proc: Path = PROC
) -> list[str]:
    """
    Say everything that speaks against writing an image to a target; nothing where it may be written.

    Parameters
    ----------
    disk : Disk
    needed : int
        Size of the image [bytes].
    allow_fixed : bool
        Whether disks that cannot be taken out are allowed.
    overwrite : bool
        Whether files with something in them are allowed.
    """
    if disk.is_file:
        return list(_of_file(disk, needed, overwrite=overwrite))
    return list(_of_disk(disk, needed, allow_fixed=allow_fixed, sys=sys, proc=proc))


def _of_file(disk: Disk, needed: int, *, overwrite: bool) -> Iterator[str]:
    path = Path(disk.path)
    if not path.exists():
        return
    if not os.access(path, os.W_OK):
        yield f"{disk.path} cannot be written; check its permissions"
    if 0 < disk.size < needed:
        yield f"expected room for {_amount(needed)}, found a file of {_amount(disk.size)}"
    if overwrite:
        return
    try:
        with path.open("rb") as file:
            begins = file.read(1024 * 1024)
    except OSError as error:
        yield f"{disk.path} cannot be read: {error.strerror}"
        return
    if any(begins):
        yield "expected a new or a blank file, found one with something in it; remove it, or say --overwrite"


def _of_disk(disk: Disk, needed: int, *, allow_fixed: bool, sys: Path, proc: Path) -> Iterator[str]:
    number = disk.identity.split()[0]
    folder = _folder(number, sys)
    if (folder / "partition").exists():
        yield f"expected a whole disk, found a partition of /dev/{folder.resolve().parent.name}; name that"
        return
    if not disk.size:
        yield "expected a card, found an empty reader; put one in"
        return
    if disk.size < needed:
        yield f"expected room for {_amount(needed)}, found a card of {_amount(disk.size)}; take a larger one"
    if _line(folder / "ro") == "1":
        yield "expected a card that can be written, found a read-only one; look for a little slide at its side"
    if not allow_fixed and not _can_be_taken_out(folder):
        yield "expected a card, found a disk that is built in; say --allow-fixed where it is meant"
    parts = [folder, *(one for one in sorted(folder.glob("*")) if (one / "partition").exists())]
    yield from _in_use(parts, proc)


def _can_be_taken_out(folder: Path) -> bool:
    return _line(folder / "removable") == "1" or _line(folder / "device/type") == "SD"


def _in_use(parts: list[Path], proc: Path) -> Iterator[str]:
    mounts = [line.split() for line in _text(proc / "self/mountinfo").splitlines()]
    swaps = {line.split()[0] for line in _text(proc / "swaps").splitlines()[1:] if line.strip()}
    for part in parts:
        name, number = part.resolve().name, _line(part / "dev")
        for words in mounts:
            # Some file systems have a number of their own, and name the disk behind " - TYPE".
            source = words[words.index("-") + 2] if "-" in words[:-2] else ""
            if len(words) > 4 and (words[2] == number or source == f"/dev/{name}"):
                where = words[4].replace("\\040", " ")
                running = where in ("/", "/boot", "/usr", "/var", "/home") or where.startswith("/boot/")
                found = f"the disk of this running system ({where})" if running else f"/dev/{name} mounted at {where}"
                yield f"expected a disk that nobody uses, found {found}" + ("" if running else f"; umount /dev/{name}")
        if f"/dev/{name}" in swaps:
            yield f"expected a disk that nobody uses, found swap on /dev/{name}; swapoff /dev/{name}"
        holders = [one.name for one in (part / "holders").glob("*")]
        if holders:
            yield f"expected a disk that nobody uses, found /dev/{name} in use by {', '.join(sorted(holders))}"


def _folder(number: str, sys: Path) -> Path:
    return (sys / "dev/block" / number).resolve()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # an older kernel, or a disk that is not of this kind
        return ""


def _line(path: Path) -> str:
    return _text(path).strip()


def _amount(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
