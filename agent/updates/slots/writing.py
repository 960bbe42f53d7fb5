"""
From pieces to a slot: each is judged before it is unpacked, unpacked within what it may become, written, and read back.

Where it stands: below `desk`, which has judged the manifest. What a piece holds is compared with the manifest after it
was read and before anything else happens to it, so a payload that changes meanwhile changes nothing. A slot that is
mounted cannot be opened for this.

Rules: made durable every few pieces, so that neither memory nor the card's queue fills up and measuring goes on beside;
no faster than `RATE`. Read back from the card, not from memory.
"""

import hashlib
import lzma
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from agent.errors import SlotError
from device_catalog.contract.images import DICTIONARY, ImageManifest

RATE = 8e6
"""Written at most so fast [bytes/s]."""
TOGETHER = 4
"""Pieces that are made durable together."""
_MEMORY = DICTIONARY + 16 * 1024 * 1024
_READ = 1024 * 1024

Tell = Callable[[float], None]


def write_image(
    manifest: ImageManifest, payload: BinaryIO, device: Path, size: int, tell: Tell, *, rate: float = RATE
) -> None:
    """
    Write an image, and make sure that it stands there.

    Parameters
    ----------
    manifest : ImageManifest
    payload : file
        Read from where it stands.
    device : pathlib.Path
    size : int
        Of the slot [bytes].
    tell : callable
        Takes how far it is [1].
    rate : float
        [bytes/s]

    Raises
    ------
    SlotError
    OSError
        When payload or slot cannot be read or written.
    """
    if manifest.length > size:
        raise SlotError(f"expected an image of at most {size} bytes, the slot's size, found {manifest.length}")
    begin, written = time.monotonic(), 0
    descriptor = _opened(device)
    try:
        for number, piece in enumerate(manifest.pieces):
            content = unpacked(payload.read(piece.length), manifest, number)
            _write_all(descriptor, content, written)
            written += len(content)
            if number % TOGETHER == TOGETHER - 1:
                os.fsync(descriptor)
            tell(0.9 * written / manifest.length)
            time.sleep(max(0.0, begin + written / rate - time.monotonic()))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if digest_of(device, manifest.length, lambda share: tell(0.9 + 0.1 * share)) != manifest.sha256:
        raise SlotError(
            f"expected in {device} what was written there, read something else; the card is worn out or faulty"
        )


def unpacked(data: bytes, manifest: ImageManifest, number: int) -> bytes:
    """
    Judge and unpack a piece.

    Raises
    ------
    SlotError
    """
    piece = manifest.pieces[number]
    if len(data) != piece.length or hashlib.sha256(data).hexdigest() != piece.sha256:
        raise SlotError(f"expected piece {number} of the payload as it is signed, found other bytes", passing=True)
    length = min(manifest.piece, manifest.length - number * manifest.piece)
    try:
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        content = unpacker.decompress(data, max_length=length + 1)
    except lzma.LZMAError as error:
        raise SlotError(f"expected piece {number} to be xz, found: {error}") from error
    if len(content) != length or not unpacker.eof or unpacker.unused_data:
        raise SlotError(f"expected piece {number} to become {length} bytes, found another length")
    return content


def digest_of(device: Path, length: int, tell: Tell) -> str:
    """Hash what really stands in a slot, past what the system remembers of it; in hexadecimal."""
    digest = hashlib.sha256()
    with device.open("rb", buffering=0) as file:
        done = 0
        while done < length:
            os.posix_fadvise(file.fileno(), done, _READ, os.POSIX_FADV_DONTNEED)
            part = file.read(min(_READ, length - done))
            if not part:
                break
            digest.update(part)
            done += len(part)
            tell(done / length)
    return digest.hexdigest()


def _opened(device: Path) -> int:
    kind = device.stat().st_mode
    if not (stat.S_ISBLK(kind) or stat.S_ISREG(kind)):
        raise SlotError(f"expected a slot at {device}, found neither a block device nor a file")
    exclusive = os.O_EXCL if stat.S_ISBLK(kind) else 0  # refused by the kernel while it is mounted
    return os.open(device, os.O_WRONLY | os.O_CLOEXEC | exclusive)


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done
