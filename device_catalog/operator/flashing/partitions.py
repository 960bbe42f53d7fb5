"""
Where the FAT partition of an image is, by its partition table (MBR or GPT; UEFI specification 2.10, clause 5). Pure.

The partition is known by its label, since types differ from tool to tool.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

SECTOR = 512
"""[bytes]"""
MOST = 128
"""Entries of a table that are looked at."""

_PROTECTIVE = 0xEE
_EXTENDED = (0x05, 0x0F, 0x85)

Read = Callable[[int, int], bytes]
"""Gives so many bytes from an offset [bytes]."""


class Partition(NamedTuple):
    """
    A part of a disk.

    Attributes
    ----------
    start, length : int
        [bytes]
    """

    start: int
    length: int


class NoPartitionError(ValueError):
    """There is no such partition; the message says what was expected and what was found."""


def find(read: Read, size: int, label: str) -> Partition:
    """
    Find the FAT partition with a label.

    Parameters
    ----------
    read : callable
    size : int
        Of the disk or image [bytes].
    label : str

    Raises
    ------
    NoPartitionError
    """
    expected = f"a FAT partition labelled {label}"
    first = read(0, SECTOR)
    if len(first) < SECTOR or first[510:512] != b"\x55\xaa":
        raise NoPartitionError(f"expected an image of a disk with {expected}, found no partition table")
    labels = []
    for partition in _gpt(read) if first[446 + 4] == _PROTECTIVE else _mbr(first):
        if partition.start + partition.length > size or partition.length < SECTOR:
            raise NoPartitionError(f"expected an image of {partition.start + partition.length} bytes, found {size}")
        found = _fat_label(read(partition.start, SECTOR))
        if found == label:
            return partition
        labels.append(found)
    known = ", ".join(one or "none that is FAT" for one in labels) or "no partition"
    raise NoPartitionError(f"expected {expected}, found {known}")


def _mbr(first: bytes) -> Iterator[Partition]:
    for index in range(4):
        kind, start, count = struct.unpack_from("<4xB3xII", first, 446 + 16 * index)
        if kind and kind not in _EXTENDED and count:
            yield Partition(start * SECTOR, count * SECTOR)


def _gpt(read: Read) -> Iterator[Partition]:
    header = read(SECTOR, SECTOR)
    if header[:8] != b"EFI PART":
        raise NoPartitionError("expected the header of a GPT in the second sector, found none")
    table, count, length = struct.unpack_from("<QII", header, 72)
    if not 128 <= length <= 4096:
        raise NoPartitionError(f"expected entries of 128 bytes in the partition table, found {length}")
    entries = read(table * SECTOR, min(count, MOST) * length)
    for offset in range(0, len(entries) - length + 1, length):
        kind, first, last = struct.unpack_from("<16s16xQQ", entries, offset)
        if any(kind) and last >= first:
            yield Partition(first * SECTOR, (last - first + 1) * SECTOR)


def _fat_label(boot: bytes) -> str:
    """Read the label in a FAT boot sector; empty where there is none."""
    if len(boot) < SECTOR or boot[510:512] != b"\x55\xaa":
        return ""
    for kind, offset in ((82, 71), (54, 43)):  # FAT32, then FAT12 and FAT16
        if boot[kind : kind + 3] == b"FAT":
            return boot[offset : offset + 11].decode("ascii", errors="replace").rstrip()
    return ""
