"""
Files of recordings: what arrives in parts, and what has arrived, named by its content's digest.

A part is written where the file has got to, so that a meter may go on where its connection broke off. Only what has
the promised length and digest is put in place, durably; the same content is stored once. All calls block.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from device_catalog.storage.recordings import Key


class RecordingFiles:
    """
    A folder of files.

    Parameters
    ----------
    folder : Path
        Made when the first part arrives.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts = folder / "parts"

    def received(self, key: Key) -> int:
        """Tell how much of a file has arrived [bytes]."""
        try:
            return self._part(key).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, key: Key, offset: int, data: bytes, size: int) -> int:
        """
        Add a part, where it fits; return how much has arrived [bytes].

        Parameters
        ----------
        key : Key
        offset : int
            Where the part belongs; one that belongs elsewhere than at the end is left alone.
        data : bytes
        size : int
            Of the whole file: no more than this is ever kept.

        Raises
        ------
        OSError
        """
        received = self.received(key)
        if offset != received or received + len(data) > size:
            return received
        self._parts.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._part(key).open("ab") as file:
            file.write(data)
        return received + len(data)

    def complete(self, key: Key, sha256: str) -> bool:
        """
        Put a file in place whose parts have all arrived; one with another digest is thrown away.

        Raises
        ------
        OSError
        """
        part = self._part(key)
        with part.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                part.unlink()
                return False
            os.fsync(file.fileno())
        target = self._whole(sha256)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.replace(target)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True

    def read(self, sha256: str) -> bytes | None:
        """Return a whole file; None where it is not here."""
        try:
            return self._whole(sha256).read_bytes()
        except FileNotFoundError:
            return None

    def abandon(self, key: Key) -> None:
        """Throw away what has arrived of a file."""
        with suppress(OSError):
            self._part(key).unlink(missing_ok=True)

    def remove(self, sha256: str) -> None:
        """Throw away a whole file."""
        with suppress(OSError):
            self._whole(sha256).unlink(missing_ok=True)

    def clear(self, wanted: set[Key]) -> None:
        """Throw away parts of what nobody waits for any more."""
        names = {self._part(key).name for key in wanted}
        for path in self._parts.glob("*") if self._parts.is_dir() else ():
            if path.name not in names:
                with suppress(OSError):
                    path.unlink()

    def _part(self, key: Key) -> Path:
        return self._parts / f"{key.device}.{key.recording}"

    def _whole(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / f"{sha256}.cff"
