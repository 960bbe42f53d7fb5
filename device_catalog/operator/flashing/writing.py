"""
Writes an image so that what is not whole never boots, and what boots was read back.

In this order: the place of the partition table is cleared; everything behind the first mebibyte is written and synced;
it is read back and compared; then the first mebibyte, its first sector last, written, synced and read back. Whatever is
interrupted before, by power, by a hand or by a worn-out card, leaves a card without a partition table.
"""

import errno
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from device_catalog.operator.flashing.errors import WritingFailed
from device_catalog.operator.flashing.image import Progress, is_blank
from device_catalog.operator.flashing.media import Medium
from device_catalog.operator.flashing.unpacking import BLOCK

HEAD = 1024 * 1024
"""What is written last [bytes]."""
SECTOR = 512
SYNC_EVERY = 64 * 1024 * 1024
"""So much is written before it is made sure that it arrived [bytes]."""

_gone = (errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM)
_full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Source(Protocol):
    """What is written."""

    size: int

    def read(self, offset: int, length: int = BLOCK) -> bytes:
        """Read from a place; shorter at the end."""
        ...


def write(
    source: Source,
    medium: Medium,
    progress: Progress = lambda _what, _done, _all: None,
    stop: threading.Event | None = None,
) -> None:
    """
    Write `source` to `medium`, and make sure that it is there.

    Parameters
    ----------
    source : Source
    medium : Medium
        Large enough, and nobody else's.
    progress : callable
    stop : threading.Event, optional
        Once it is set, writing ends as if it were interrupted.

    Raises
    ------
    WritingFailed
        In one sentence why; the medium does not boot then.
    """
    stop = stop or threading.Event()
    try:
        medium.look_again()  # what was asked about may have been exchanged since
        _clear(source, medium)
        _write_body(source, medium, progress, stop)
        _compare(source, medium, progress, stop)
        medium.look_again()
        head = source.read(0, HEAD)
        medium.write(SECTOR, head[SECTOR:])
        medium.sync()
        _same(medium.read_back(0, HEAD)[SECTOR:], head[SECTOR:], SECTOR)
        medium.write(0, head[:SECTOR])
        medium.sync()
        _same(medium.read_back(0, HEAD)[:SECTOR], head[:SECTOR], 0)
        medium.look_again()
    except OSError as error:
        _take_back(medium)
        raise WritingFailed(_sentence(error)) from error
    except WritingFailed:
        _take_back(medium)
        raise


def _clear(source: Source, medium: Medium) -> None:
    medium.end_at(source.size)
    if not medium.is_new:
        medium.write(0, bytes(min(HEAD, source.size)))
        if medium.size >= source.size + SECTOR:  # a second table at the end of the disk would bring the first one back
            end = min(HEAD, medium.size - source.size)
            medium.write(medium.size - end, bytes(end))
    medium.sync()


def _write_body(source: Source, medium: Medium, progress: Progress, stop: threading.Event) -> None:
    unsynced = 0
    for offset, block in _body(source, stop):
        if not (medium.is_new and is_blank(block)):
            medium.write(offset, block)
            unsynced += len(block)
        if unsynced >= SYNC_EVERY:
            medium.sync()
            medium.look_again()
            unsynced = 0
        progress("writing", offset + len(block), source.size)
    medium.sync()


def _compare(source: Source, medium: Medium, progress: Progress, stop: threading.Event) -> None:
    medium.look_again()
    for offset, block in _body(source, stop):
        _same(medium.read_back(offset, len(block)), block, offset)
        progress("reading back", offset + len(block), source.size)


def _body(source: Source, stop: threading.Event) -> Iterator[tuple[int, bytes]]:
    for offset in range(HEAD, source.size, BLOCK):
        if stop.is_set():
            raise WritingFailed("interrupted; it does not boot, and is to be written again")
        yield offset, source.read(offset, min(BLOCK, source.size - offset))


def _take_back(medium: Medium) -> None:
    """Make sure, as well as can be, that what failed does not boot; another card in the same reader is left alone."""
    with suppress(OSError, WritingFailed):  # the first failure is what is told
        medium.look_again()
        medium.write(0, bytes(SECTOR))
        medium.sync()


def _same(found: bytes, wanted: bytes, offset: int) -> None:
    if found == wanted:
        return
    first, last = 0, len(wanted)
    while last - first > 1:  # where the first difference is
        middle = (first + last) // 2
        first, last = (middle, last) if found[first:middle] == wanted[first:middle] else (first, middle)
    raise WritingFailed(
        f"expected to read back what was written, found other bytes at {(offset + first) / 1e6:.1f} MB: "
        "the card is worn out, or smaller than it says; throw it away"
    )


def _sentence(error: OSError) -> str:
    if error.errno in _gone:
        return "the card was taken out half-way; it does not boot, and is to be written again"
    if error.errno in _full:
        return "there is no more room; take a larger card, or make room"
    if error.errno == errno.EROFS:
        return "the card does not let itself be written any more: worn-out cards do that; throw it away"
    if error.errno == errno.EIO:
        return (
            "the card cannot be written or read any more (input/output error): it was taken out half-way, or is worn "
            "out; try once more, then throw it away"
        )
    return f"the card cannot be written: {error.strerror or error}; it does not boot"
