"""
Unpacks an image in one pass, block by block, whatever it is packed with; what is cut off or damaged is told.

Nothing is believed about lengths that a packed file states: `image` bounds what comes.
"""

import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from device_catalog.operator.errors import OperatorError, UsageError

BLOCK = 4 * 1024 * 1024
"""Bytes read and written at a time."""
_PIECE = 2 * 1024
"""Packed bytes read at a time: what they become is held at once, and zeros pack 32,000 to one."""


class HashingFile:
    """
    A file that is hashed while it is read.

    Parameters
    ----------
    file : file
    digest : hashlib object

    Attributes
    ----------
    position : int
        [bytes]
    """

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest
        self.position = 0

    def read(self, length: int) -> bytes:
        """Read at most so many bytes."""
        data = self._file.read(length)
        self._digest.update(data)
        self.position += len(data)
        return data

    def exhaust(self) -> None:
        """Read what a decompressor left behind."""
        while self.read(BLOCK):
            pass


def blocks(path: Path, file: HashingFile) -> Iterator[bytes]:
    """
    Unpack into blocks of `BLOCK` bytes, all but the last.

    Raises
    ------
    OperatorError
        When it is damaged or cut off.
    """
    waiting = bytearray()
    for piece in _pieces(path, file):
        waiting += piece
        while len(waiting) >= BLOCK:
            yield bytes(waiting[:BLOCK])
            del waiting[:BLOCK]
    if waiting:
        yield bytes(waiting)


def _pieces(path: Path, file: HashingFile) -> Iterator[bytes]:
    match path.suffix:
        case ".xz":
            return _unpacked(path, file, lzma.LZMADecompressor, (lzma.LZMAError,))
        case ".zst":
            try:
                import zstandard  # noqa: PLC0415 - only where it is needed
            except ModuleNotFoundError as error:
                remedy = "pip install 'tresma[flash]', or apt install python3-zstandard"
                raise UsageError(f"{path}: expected the library zstandard, found none; {remedy}") from error
            unpacker = zstandard.ZstdDecompressor(max_window_size=2**31)
            return _unpacked(path, file, unpacker.decompressobj, (zstandard.ZstdError,))
        case _:
            return iter(lambda: file.read(BLOCK), b"")


def _unpacked(
    path: Path, file: HashingFile, begin: Callable[[], Any], errors: tuple[type[Exception], ...]
) -> Iterator[bytes]:
    """Unpack streams that follow each other, as parallel packers make them."""
    expected = f"{path}: expected a whole image, packed as its name says"
    stream, packed = begin(), b""
    while packed or (packed := file.read(_PIECE)):
        try:
            piece = stream.decompress(packed)
        except errors as error:
            raise OperatorError(f"{expected}, found: {error}; download it again") from error
        packed = b""
        if stream.eof:
            packed = stream.unused_data.lstrip(b"\0") if path.suffix == ".xz" else stream.unused_data
            stream = begin()
            if piece:
                yield piece
            if not packed and not (packed := file.read(_PIECE)):
                return
            continue
        if piece:
            yield piece
    raise OperatorError(f"{expected}, found one that is cut off; download it again")
