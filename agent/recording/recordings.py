"""
The folder of recordings on a meter's disk: written whole, listed, thinned out to a budget, cleared of what is torn.

Where it stands: the recorder process writes into it; the agent reads it at its start and marks what it has announced
and handed over. Needs no numpy.

Rules:

- A recording is ``ID.cff`` (the samples) and ``ID.json`` (its label), the label written last: without one it is torn,
  and goes at the next start.
- Never more than the budget, counted with what is being written. What the catalog has goes first, then what is least
  severe, then what is oldest. A new recording never drives out a more severe one.
- A disk that is full before the budget is reached drops likewise. Nothing is dropped for what cannot fit anyhow.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.errors import AgentError
from agent.files import sync_folder, write_durably
from algorithms.api.records import Severity
from device_catalog.contract.recordings import RecordingInfo
from device_catalog.contract.topics import is_identifier

MOST = 1000
"""Recordings kept, however small they are."""

_LABEL = 64 * 1024  # longest label read back [bytes]
_SAMPLES, _INFO = ".cff", ".json"
_full = (errno.ENOSPC, errno.EDQUOT)
_severities = tuple(Severity)


class NoRoom(AgentError):  # noqa: N818 - reads as the sentence it is
    """
    A recording does not fit beside those that are more important.

    Attributes
    ----------
    dropped : tuple of str
        What was dropped before that was known.
    """

    def __init__(self, message: str, dropped: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.dropped = dropped


class Kept(msgspec.Struct, frozen=True):
    """
    A recording on the disk, and what has been done about it.

    Attributes
    ----------
    info : RecordingInfo
    announced : bool
        Whether it was put into the outbox.
    told : bool
        Whether the catalog knows of it.
    handed_over : bool
        Whether the catalog has the file.
    """

    info: RecordingInfo
    announced: bool = False
    told: bool = False
    handed_over: bool = False

    @property
    def worth(self) -> tuple[bool, int, str]:
        """What sorts the least interesting first."""
        return not self.handed_over, -_severities.index(self.info.severity), self.info.start


class Recordings:
    """
    The folder.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def samples(self, name: str) -> Path:
        """Name the file of a recording's samples."""
        return self.folder / f"{name}{_SAMPLES}"

    def kept(self) -> list[Kept]:
        """Read the labels, the oldest recording first."""
        found = [self._read(path) for path in self.folder.glob(f"*{_INFO}")]
        return sorted((kept for kept in found if kept is not None), key=lambda kept: kept.info.start)

    def clear(self) -> list[str]:
        """Remove what a power cut left half done; name it."""
        whole = {kept.info.id for kept in self.kept() if self._size(kept.info.id) == kept.info.bytes}
        torn = sorted(path.name for path in self.folder.iterdir() if not self._belongs(path, whole))
        for name in torn:
            with suppress(OSError):  # what cannot be removed is in nobody's way: it has no label
                (self.folder / name).unlink()
        return torn

    def keep(self, info: RecordingInfo, data: bytes, budget: int) -> tuple[str, ...]:
        """
        Write a recording durably.

        Parameters
        ----------
        info : RecordingInfo
        data : bytes
        budget : int
            For all recordings together [bytes].

        Returns
        -------
        tuple of str
            Those dropped to make room.

        Raises
        ------
        NoRoom
            When it does not fit beside the more severe ones.
        OSError
            When the disk cannot be written.
        """
        label = msgspec.json.encode(Kept(info))
        present = self.kept()
        victims = self._droppable(info, present)
        over = sum(map(_room, present)) + len(data) + len(label) - budget
        if over > sum(map(_room, victims)):
            expected = f"room for {len(data)} bytes within the budget of {budget} bytes"
            raise NoRoom(f"expected {expected}, found more severe recordings in it")
        dropped: list[str] = []
        while over > 0 or len(present) - len(dropped) >= MOST:
            if not victims:
                raise NoRoom(f"expected fewer than {MOST} recordings, found as many more severe ones", tuple(dropped))
            over -= self._drop(victims, dropped)
        while True:
            try:
                write_durably(self.samples(info.id), data)
                write_durably(self._label(info.id), label)
            except OSError as error:
                self.remove(info.id)
                if error.errno not in _full:
                    raise
                if not victims or self._free() + sum(map(_room, victims)) < len(data) + len(label):
                    raise NoRoom(
                        f"expected room for {len(data)} bytes on the disk, found it full", tuple(dropped)
                    ) from error
                self._drop(victims, dropped)
            else:
                return tuple(dropped)

    def mark(self, kept: Kept) -> None:
        """
        Write a label anew, unless the recording is gone.

        Raises
        ------
        OSError
        """
        if self.samples(kept.info.id).exists():
            write_durably(self._label(kept.info.id), msgspec.json.encode(kept))

    def remove(self, name: str) -> None:
        """Remove a recording, the label first; nothing happens where there is none."""
        for path in (self._label(name), self.samples(name)):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            sync_folder(self.folder)

    def _drop(self, victims: list[Kept], dropped: list[str]) -> int:
        """Remove the least interesting; return the room that it leaves [bytes]."""
        victim = victims.pop(0)
        self.remove(victim.info.id)
        dropped.append(victim.info.id)
        return _room(victim)

    def _free(self) -> int:
        """Return the room on the disk [bytes]."""
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    @staticmethod
    def _droppable(info: RecordingInfo, present: list[Kept]) -> list[Kept]:
        """List what may make room for a recording, the least interesting first."""
        least = _severities.index(info.severity)
        return [
            kept
            for kept in sorted(present, key=lambda kept: kept.worth)
            if kept.info.id != info.id and (kept.handed_over or _severities.index(kept.info.severity) >= least)
        ]

    def _label(self, name: str) -> Path:
        return self.folder / f"{name}{_INFO}"

    def _size(self, name: str) -> int:
        try:
            return self.samples(name).stat().st_size
        except OSError:
            return -1

    def _belongs(self, path: Path, whole: set[str]) -> bool:
        return path.is_dir() or (path.suffix in (_SAMPLES, _INFO) and path.stem in whole)

    def _read(self, path: Path) -> Kept | None:
        try:
            with path.open("rb") as file:
                data = file.read(_LABEL + 1)
            kept = msgspec.json.decode(data, type=Kept)
        except (OSError, msgspec.MsgspecError):
            return None
        return kept if kept.info.id == path.stem and is_identifier(path.stem) else None


def _room(kept: Kept) -> int:
    """Say what a recording takes on the disk [bytes]."""
    return kept.info.bytes + len(msgspec.json.encode(kept))
