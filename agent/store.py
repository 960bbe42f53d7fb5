"""
What an agent keeps for its next start: settings, calibration, its part of the network, algorithms' versions and states.

Every file is replaced whole and durably. The settings and the versions have a second generation: a file that cannot be
read is passed over for the one before it, and said, so that a card that forgets a write does not leave a meter without
settings.
"""

import contextlib
import zlib
from collections.abc import Callable
from pathlib import Path

from agent.files import move_aside, write_durably

MAXIMUM_LENGTH = 4 * 1024 * 1024
LONGEST_NETWORK = 20 * 1024 * 1024
"""Longest files read back [bytes]."""

_PREFIX = b"tresma 1 "


def _anything(_content: bytes) -> bool:
    return True


class Store:
    """
    The agent's folder.

    Parameters
    ----------
    folder : pathlib.Path
        Made where it does not exist.

    Attributes
    ----------
    complaints : list of str
        What was found damaged and put aside.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.complaints: list[str] = []
        self._checkpoints = folder / "checkpoints"
        self._checkpoints.mkdir(mode=0o700, parents=True, exist_ok=True)

    def settings(self, right: Callable[[bytes], bool] = _anything) -> bytes | None:
        """Return the last good desired document, with its signatures, that is `right` too; None where there is none."""
        return self._newest("settings", right)

    def keep_settings(self, document: bytes) -> None:
        """
        Keep a desired document that was applied.

        Raises
        ------
        OSError
            When it cannot be made durable; the ones before are unchanged.
        """
        self._keep("settings", document)

    def updates(self) -> bytes | None:
        """Return which versions of algorithms are in force (`agent.updates.journal`); None where nothing is kept."""
        return self._newest("updates")

    def keep_updates(self, document: bytes) -> None:
        """
        Keep which versions of algorithms are in force.

        Raises
        ------
        OSError
            When it cannot be made durable; the ones before are unchanged.
        """
        self._keep("updates", document)

    def image(self) -> bytes | None:
        """Return which image is in force and which failed (`agent.updates.image_journal`); None where there is none."""
        return self._newest("image")

    def keep_image(self, document: bytes) -> None:
        """
        Keep which image is in force and which failed.

        Raises
        ------
        OSError
            When it cannot be made durable; the ones before are unchanged.
        """
        self._keep("image", document)

    def calibration(self) -> bytes | None:
        """Return the calibration that was made on this device; None where there is none."""
        return self._read(self.folder / "calibration")

    def keep_calibration(self, document: bytes) -> None:
        """
        Keep a calibration; the one before stays where this fails.

        Raises
        ------
        OSError
        """
        write_durably(self.folder / "calibration", _sealed(document))

    def network(self) -> bytes | None:
        """Return the part of the network that was fetched last; None where there is none."""
        return self._read(self.folder / "network", LONGEST_NETWORK)

    def keep_network(self, document: bytes) -> None:
        """
        Keep a part of the network; the one before stays where this fails.

        Raises
        ------
        OSError
        """
        write_durably(self.folder / "network", _sealed(document))

    def checkpoint(self, algorithm: str) -> bytes | None:
        """Return what an algorithm asked to keep; None where there is nothing."""
        return self._read(self._checkpoints / algorithm)

    def keep_checkpoint(self, algorithm: str, state: bytes) -> None:
        """
        Keep an algorithm's state; the one before stays where this fails.

        Raises
        ------
        OSError
        """
        write_durably(self._checkpoints / algorithm, _sealed(state))

    def _newest(self, name: str, right: Callable[[bytes], bool] = _anything) -> bytes | None:
        """Return the newest of two generations that can be read and is `right`."""
        for path in (self.folder / name, self.folder / f"{name}.before"):
            content = self._read(path)
            if content is not None and right(content):
                return content
            if content is not None:
                self._complain(f"{path} is not what was signed, and is passed over")
        return None

    def _keep(self, name: str, document: bytes) -> None:
        """Keep a document, and the one before it."""
        current = self._read(self.folder / name)
        if current == document:
            return
        if current is not None:
            write_durably(self.folder / f"{name}.before", _sealed(current))
        write_durably(self.folder / name, _sealed(document))

    def _read(self, path: Path, most: int = MAXIMUM_LENGTH) -> bytes | None:
        try:
            with path.open("rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(f"{path} cannot be read: {error.strerror}")
            return None
        content = _opened(data, most)
        if content is None:
            self._complain(f"{path} was damaged and is put aside")
            with contextlib.suppress(OSError):  # a card that cannot be written: the complaint says enough
                move_aside(path)
        return content

    def _complain(self, text: str) -> None:
        if text not in self.complaints:  # what cannot be read is tried again with every start of an algorithm
            self.complaints.append(text)


def _sealed(content: bytes) -> bytes:
    """Put a checksum before the content: a card may return what was never written."""
    return b"%s%08x\n%s" % (_PREFIX, zlib.crc32(content), content)


def _opened(data: bytes, most: int) -> bytes | None:
    head, newline, content = data.partition(b"\n")
    right = newline and len(data) <= most and head == b"%s%08x" % (_PREFIX, zlib.crc32(content))
    return content if right else None
