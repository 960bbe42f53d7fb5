"""
Files that devices hand over part by part: taken in and read in a thread of their own, believed by their digest.

Where it stands: between `RecordingFiles`, whose calls block, and those who decide which file is taken from whom
(`grid.recordings`, `support.requests`). A long file must not hold up a configuration, so none of this is done in the
thread that writes the database.
"""

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from algorithms.api.errors import Problem
from device_catalog.contract.recordings import PART
from device_catalog.errors import Refused, StorageError, StorageFull
from device_catalog.storage.recording_files import RecordingFiles
from device_catalog.storage.recordings import Key

Result = TypeVar("Result")


class Uploads:
    """
    What devices hand over into one folder.

    Parameters
    ----------
    files : RecordingFiles
    thread : str
        The thread's name.
    kind : str
        What the files are, for messages: ``recordings``, ``bundles``.
    """

    def __init__(self, files: RecordingFiles, thread: str, kind: str) -> None:
        self._files = files
        self._kind = kind
        self._disk = ThreadPoolExecutor(1, thread)

    def close(self) -> None:
        """Finish what was begun."""
        self._disk.shutdown()

    async def received(self, key: Key) -> int:
        """
        Tell how much of a file has arrived [bytes].

        Raises
        ------
        StorageError
        """
        return await self._with_files(self._files.received, key)

    async def read(self, sha256: str) -> bytes | None:
        """
        Return a whole file; None where it is not here.

        Raises
        ------
        StorageError
        """
        return await self._with_files(self._files.read, sha256)

    async def abandon(self, key: Key) -> None:
        """Throw away what has arrived of a file."""
        await self._with_files(self._files.abandon, key)

    async def take(self, key: Key, offset: int, data: bytes, size: int, sha256: str) -> int:
        """
        Take a part; return how much has arrived [bytes], which is `size` once the whole file is in place.

        Parameters
        ----------
        key : Key
        offset : int
            Where the part belongs; one that belongs elsewhere than where the file has got to is left alone.
        data : bytes
        size : int
            Of the whole file [bytes].
        sha256 : str
            Of the whole file.

        Raises
        ------
        Refused
            When the part is too long, or the whole file is not what was told of.
        StorageError
        """
        if len(data) > PART:
            raise Refused([Problem("body", f"at most {PART} bytes at a time", f"{len(data)} bytes")])
        received = await self._with_files(self._files.append, key, offset, data, size)
        if received >= size and not await self._with_files(self._files.complete, key, sha256):
            raise Refused([Problem("file", f"content with the digest {sha256}", "another", "send it anew")])
        return received

    async def _with_files(self, function: Callable[..., Result], *arguments: Any) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._disk, lambda: function(*arguments))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull from error
            raise StorageError(f"expected a disk that takes {self._kind}, found: {error.strerror or error}") from error
