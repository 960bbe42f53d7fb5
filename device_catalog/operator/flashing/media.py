"""
What is written to and read back from: a disk, or a file that stands for one.

Reading back must tell what the card holds, not what this machine remembers of it: it goes past the page cache
(O_DIRECT), or, where a file system cannot do that, after the cache was told to let go.
"""

import fcntl
import mmap
import os
from pathlib import Path
from typing import Protocol, Self

from device_catalog.operator.flashing.errors import TargetRefused, WritingFailed
from device_catalog.operator.flashing.targets import Disk, look

_ALIGNED = 4096
"""What reading past the cache goes by [bytes]."""


class Medium(Protocol):
    """
    What can be written and read back.

    Attributes
    ----------
    size : int
        [bytes]; 0 where it grows.
    is_new : bool
        Whether it is known to hold nothing but zeros.
    """

    size: int
    is_new: bool

    def write(self, offset: int, data: bytes) -> None:
        """Write all of `data`; an `OSError` where that fails."""
        ...

    def sync(self) -> None:
        """Return once everything is on the medium itself."""
        ...

    def read_back(self, offset: int, length: int) -> bytes:
        """Read from the medium itself."""
        ...

    def look_again(self) -> None:
        """Make sure that it is still the same one; `WritingFailed` otherwise."""
        ...

    def end_at(self, size: int) -> None:
        """Give a medium that grows its size."""
        ...


class DiskMedium:
    """
    A disk or a file, opened for writing by nobody else, as a context manager.

    Parameters
    ----------
    disk : Disk

    Raises
    ------
    TargetRefused
        When somebody else uses it, or it may not be written.
    """

    def __init__(self, disk: Disk) -> None:
        self.size = disk.size
        self._disk = disk
        self._path = Path(disk.path)
        self.is_new = disk.is_file and not self._path.exists()
        exclusive = os.O_CREAT | os.O_EXCL if self.is_new else 0 if disk.is_file else os.O_EXCL
        try:
            self._file = os.open(disk.path, os.O_RDWR | os.O_CLOEXEC | exclusive, 0o600)
        except OSError as error:
            raise TargetRefused(f"{disk.path} cannot be opened for writing: {_remedy(error)}") from error
        try:
            if disk.is_file:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._past_cache = self._direct()
        except OSError as error:
            os.close(self._file)
            raise TargetRefused(f"{disk.path} is being written by somebody else; wait for the other program") from error
        if self.is_new:
            self._disk = look(self._path)
        elif not disk.is_file:
            opened = os.fstat(self._file).st_rdev
            if f"{os.major(opened)}:{os.minor(opened)}" != disk.identity.split()[0]:
                self._close()
                raise TargetRefused(f"{disk.path} is another disk than a moment ago; look at `lsblk`, and begin again")

    def _close(self) -> None:
        for number in (self._file, self._past_cache):
            if number is not None:
                os.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.is_new and not os.fstat(self._file).st_size:
            self._path.unlink(missing_ok=True)  # nothing was written to it
        self._close()

    def write(self, offset: int, data: bytes) -> None:
        """Write all of `data`; an `OSError` where that fails."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, offset)
            offset, rest = offset + written, rest[written:]

    def sync(self) -> None:
        """Return once everything is on the medium itself."""
        os.fsync(self._file)

    def read_back(self, offset: int, length: int) -> bytes:
        """Read from the medium itself."""
        if self._past_cache is not None:
            rounded = -(-length // _ALIGNED) * _ALIGNED
            with mmap.mmap(-1, rounded) as memory:
                try:
                    count = os.preadv(self._past_cache, [memory], offset)
                    return memory[: min(count, length)]
                except OSError as error:
                    if not self._disk.is_file:
                        raise
                    self._past_cache = self._closed(self._past_cache, error)
        os.posix_fadvise(self._file, offset, length, os.POSIX_FADV_DONTNEED)
        return os.pread(self._file, length, offset)

    def look_again(self) -> None:
        """Make sure that it is still the same one; `WritingFailed` otherwise."""
        try:
            now = look(self._path)
        except TargetRefused:
            now = None
        if now is None or now.identity != self._disk.identity or not now.is_file == self._disk.is_file:
            raise WritingFailed(f"{self._path} was taken out, or exchanged for another, while it was written")
        if not self.is_new and now.size != self.size:
            raise WritingFailed(f"{self._path} had {self.size} bytes, and has {now.size} now: it was changed meanwhile")

    def end_at(self, size: int) -> None:
        """Give a medium that grows its size."""
        if self.is_new:
            os.ftruncate(self._file, size)

    def _direct(self) -> int | None:
        try:
            return os.open(self._disk.path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        except OSError:
            if not self._disk.is_file:
                raise
            return None  # memory has no cache to go past

    @staticmethod
    def _closed(number: int, _error: OSError) -> None:
        """Give up reading past the cache where the file system only said that it could."""
        os.close(number)


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "run as root, or as a member of the group disk"
    return f"{error.strerror}; is it mounted, or used by another program?"
