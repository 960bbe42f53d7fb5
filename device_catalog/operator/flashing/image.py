"""
What is to be written: an image unpacked once into a file with holes, verified on the way, and read many times.

Compressed images are unpacked into a temporary file (``TMPDIR``, else /var/tmp), so that its size is known before any
card is touched, and ten cards do not unpack it ten times. Beside ``meter.img.zst``, ``meter.img.zst.sha256`` (as
sha256sum writes it) is what the publisher says of it, and ``meter.img.zst.sig`` signs that file's bytes
(`contract.signatures`, ed25519).
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Self

from algorithms.api.errors import shortened
from device_catalog.contract.card import PARTITION
from device_catalog.contract.signatures import key_id, read_signatures
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.flashing.partitions import NoPartitionError, Partition, find
from device_catalog.operator.flashing.unpacking import BLOCK, HashingFile, blocks

LARGEST = 64 * 1024**3
"""Largest image [bytes]."""

_zeros = bytes(BLOCK)

Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it, and how much there is [bytes]; 0 where that is not known."""


class Image:
    """
    An image of a card, ready to be read at any place.

    Parameters
    ----------
    path : pathlib.Path
        ``.img``, ``.img.zst`` or ``.img.xz``.
    key : str
        Public key that must have signed it, in hexadecimal; empty for none.
    progress : callable, optional

    Attributes
    ----------
    size : int
        [bytes]
    digest : str
        SHA-256 of the image itself, in hexadecimal.
    published : bool
        Whether it is what a file beside it says.
    firmware : Partition
        The FAT partition that tells a meter who it is.

    Raises
    ------
    OperatorError
        When it is not what it should be, or there is no room for it.
    """

    def __init__(self, path: Path, key: str = "", progress: Progress = lambda _what, _done, _all: None) -> None:
        self.path = path
        wanted = _published(path, key)
        self.published = bool(wanted)
        self._raw = path.suffix not in (".zst", ".xz")
        self._file: IO[bytes] = _opened(path) if self._raw else _temporary()
        try:
            packed, self.digest, self.size = self._take(progress)
            _compare(path, packed, wanted)
            self.firmware: Partition = find(self.read, self.size, PARTITION)
        except NoPartitionError as error:
            self._file.close()
            raise OperatorError(f"{path}: {error}; is it an image of a meter?") from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, offset: int, length: int) -> bytes:
        """Read from a place; shorter at the end. Several threads may."""
        return os.pread(self._file.fileno(), length, offset)

    def copy(self, partition: Partition) -> IO[bytes]:
        """Copy a part into a temporary file that nobody else sees, holes left out."""
        file = _temporary()
        try:
            for offset in range(0, partition.length, BLOCK):
                block = self.read(partition.start + offset, min(BLOCK, partition.length - offset))
                if not is_blank(block):
                    os.pwrite(file.fileno(), block, offset)
            file.truncate(partition.length)
        except OSError as error:
            file.close()
            raise _no_room(error) from error
        return file

    def _take(self, progress: Progress) -> tuple[str, str, int]:
        """Go through it once; return the SHA-256 of the file and of what is in it, and how much that is."""
        packed, inside = hashlib.sha256(), hashlib.sha256()
        whole, position = self.path.stat().st_size, 0
        with closing(_opened(self.path)) as file:
            hashing = HashingFile(file, packed)
            for block in blocks(self.path, hashing):
                if not self._raw:
                    inside.update(block)
                position += len(block)
                if position > LARGEST:
                    raise OperatorError(f"{self.path}: expected at most {LARGEST} bytes, found more")
                if not self._raw:
                    self._keep(block, position)
                progress("checking the image", hashing.position, whole)
            hashing.exhaust()
        if position < 1024 * 1024 or position % 512:
            raise OperatorError(f"{self.path}: expected an image of a card, found {position} bytes")
        if not self._raw:
            self._file.truncate(position)
        return packed.hexdigest(), (packed if self._raw else inside).hexdigest(), position

    def _keep(self, block: bytes, end: int) -> None:
        if is_blank(block):
            return
        try:
            os.pwrite(self._file.fileno(), block, end - len(block))
        except OSError as error:
            raise _no_room(error) from error


def _compare(path: Path, found: str, wanted: str) -> None:
    if wanted and found != wanted:
        expected = f"the SHA-256 that {path.name}.sha256 publishes ({wanted[:16]}...)"
        raise OperatorError(f"{path}: expected {expected}, found {found[:16]}...; download it again")


def is_blank(block: bytes) -> bool:
    """Tell whether there are only zeros."""
    return block == _zeros[: len(block)] if len(block) <= BLOCK else not any(block)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: expected an image of a card, found: {error.strerror}") from error


def _temporary() -> IO[bytes]:
    folder = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - /tmp may be memory
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> OperatorError:
    folder = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - as above
    free = shutil.disk_usage(folder).free // 2**20 if Path(folder).is_dir() else 0
    return OperatorError(
        f"the image cannot be unpacked into {folder}: {error.strerror} ({free} MiB free); make room, or set TMPDIR"
    )


def _published(path: Path, key: str) -> str:
    """Read the SHA-256 beside an image, signed by `key` where one is named; empty where there is none."""
    beside = path.with_name(path.name + ".sha256")
    try:
        content = beside.read_bytes()[:65_536]
    except FileNotFoundError:
        if key:
            raise OperatorError(
                f"{beside}: expected what the publisher signed of the image, found no such file"
            ) from None
        return ""
    except OSError as error:
        raise UsageError(f"{beside}: expected a file that can be read, found: {error.strerror}") from error
    if key:
        _verify(path, content, key)
    words = [line.split() for line in content.decode(errors="replace").splitlines()]
    digests = [line[0].lower() for line in words if len(line) == 1 or (line and line[-1].lstrip("*") == path.name)]
    if not digests or len(digests[0]) != 64 or set(digests[0]) - set("0123456789abcdef"):
        found = shortened(content[:80].decode(errors="replace")) or "an empty file"
        raise OperatorError(f"{beside}: expected the SHA-256 of {path.name} as sha256sum writes it, found {found}")
    return digests[0]


def _verify(path: Path, content: bytes, key: str) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only where a signature is asked for
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    beside = path.with_name(path.name + ".sig")
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    except ValueError as error:
        raise UsageError("--key: expected an ed25519 key, 64 hexadecimal digits, found something else") from error
    try:
        signatures = read_signatures(beside.read_text(encoding="latin-1").strip())
    except OSError as error:
        raise OperatorError(f"{beside}: expected the publisher's signature, found: {error.strerror}") from error
    for identity, signature in signatures:
        if identity == key_id(key):
            try:
                public.verify(signature, content)
            except InvalidSignature:
                break
            return
    raise OperatorError(
        f"{beside}: expected a signature by key {key_id(key)}, found none that is right; ask who published it"
    )
