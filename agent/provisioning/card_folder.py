"""
The folder on the card's FAT partition: read, and emptied of what is secret once that is safe elsewhere.

A file is overwritten in its place, synced, and only then removed, since FAT leaves the content of a removed file where
it is. A card's own wear levelling may keep an older copy of a sector that nothing outside can reach; the token is worth
nothing once it was used. The partition is mounted read-only but for this moment.
"""

import logging
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.files import sync_folder, write_durably
from device_catalog.contract.card import AUTHORITIES, CARD, MAXIMUM_AUTHORITIES, NETWORK

log = logging.getLogger(__name__)

README = "README.txt"
_FILES = (NETWORK, AUTHORITIES, CARD)
_PATIENCE = 20.0
"""How long a remount may take [s]."""


def remount(folder: Path, how: str) -> None:
    """
    Mount the partition that a folder is on anew, ``ro`` or ``rw``.

    Raises
    ------
    OSError
    """
    place = folder
    while not place.is_mount():
        place = place.parent
    done = subprocess.run(  # noqa: S603 - mount, with words of ours
        ["mount", "-o", f"remount,{how}", str(place)],  # noqa: S607 - wherever the system has it
        capture_output=True, timeout=_PATIENCE, check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip() or f"{place} cannot be mounted {how}")


class CardFolder:
    """
    One card's folder.

    Parameters
    ----------
    path : pathlib.Path
        It need not be there.
    remount : callable, optional
        As `remount`.
    """

    def __init__(self, path: Path, remount: Callable[[Path, str], None] = remount) -> None:
        self.path = path
        self._remount = remount

    def read(self) -> dict[str, bytes]:
        """
        Read what is there; what was half wiped when the power failed is as if it were gone.

        Raises
        ------
        OSError
            When the card cannot be read.
        """
        found: dict[str, bytes] = {}
        for name in _FILES:
            try:
                with (self.path / name).open("rb") as file:
                    content = file.read(MAXIMUM_AUTHORITIES + 1)
            except (FileNotFoundError, NotADirectoryError):
                continue
            # Zeros are what is left of a file that was being wiped; a text in UTF-16 is somebody's, and is judged.
            if b"\0" not in content or content.startswith((b"\xff\xfe", b"\xfe\xff")):
                found[name] = content
        return found

    def wipe(self, names: Mapping[str, bytes] | tuple[str, ...], words: str) -> None:
        """
        Take files off the card for good, and leave words for whoever looks at it.

        Raises
        ------
        OSError
            When the card cannot be written; what was kept of it is safe all the same.
        """
        torn = [name for name in _FILES if (self.path / name).exists() and name not in self.read()]
        wanted = [name for name in _FILES if name in names or name in torn]
        if not any((self.path / name).exists() for name in wanted):
            return
        read_only = bool(os.statvfs(self.path).f_flag & os.ST_RDONLY)
        if read_only:
            self._remount(self.path, "rw")
        try:
            for name in wanted:
                _wipe(self.path / name)
            write_durably(self.path / README, words.encode(), mode=0o644)
        finally:
            if read_only:
                try:
                    self._remount(self.path, "ro")
                except (OSError, subprocess.TimeoutExpired) as error:
                    log.warning("the card's first partition stays writable: %s", error)


def _wipe(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        length = os.fstat(file.fileno()).st_size
        file.write(bytes(length))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    sync_folder(path.parent)
