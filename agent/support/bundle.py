"""
The archive itself: one ``.tar.gz``, written as it is gathered, with limits and a digest of everything in it.

Where it stands: `gathering` says what goes in. It is a stream, so that it can leave a meter whose disk is full. Rules:
nothing beyond `MAXIMUM` bytes; what did not fit, or could not be had, is named with its reason in ``manifest.json``,
which comes last because it has the digests of all the rest.
"""

import gzip
import hashlib
import io
import tarfile
import time
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

import msgspec

from device_catalog.contract.support import BundleFile, BundleManifest

MAXIMUM = 14 * 1024 * 1024
"""Most that is put in, before it is compressed [bytes]."""

MANIFEST = "manifest.json"
_RESERVED = 256 * 1024  # for the manifest, the archive's own headers and what compression may add


class Missing(Exception):  # noqa: N818 - reads as what it says
    """Something could not be had; the message says what was expected and what was found."""


class Bundle:
    """
    A support bundle under way, as a context manager: left in order it is complete.

    Parameters
    ----------
    out : binary file
        Only written to, from the beginning to the end.
    device : str
    name : str
        Of the folder that everything is in.
    most : int
        [bytes]

    Attributes
    ----------
    files : list of BundleFile
    missing : dict
        What is not in it, and why.
    """

    def __init__(self, out: IO[bytes], device: str, name: str, most: int = MAXIMUM) -> None:
        self.files: list[BundleFile] = []
        self.missing: dict[str, str] = {}
        self._device, self._name = device, name
        self._left = most - _RESERVED
        self._made_ns = time.time_ns()
        self._packed = gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, filename="", mtime=0)
        self._tar = tarfile.open(fileobj=self._packed, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:  # it has no manifest, by which it is known to be none
            for part in (self._tar, self._packed):
                with suppress(OSError):
                    part.close()
        else:
            manifest = BundleManifest(self._device, self._made_ns, tuple(self.files), self.missing)
            self._write(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
            self._tar.close()
            self._packed.close()

    @property
    def left(self) -> int:
        """How much still fits [bytes]."""
        return self._left

    def add(self, name: str, content: bytes, about: str) -> None:
        """
        Put a file in.

        Raises
        ------
        Missing
            When it does not fit any more.
        OSError
            When the archive cannot be written.
        """
        room = len(content) + 2048
        if room > self._left:
            raise Missing(f"expected room for {len(content)} bytes in the bundle, found {max(0, self._left)} left")
        self._left -= room
        self._write(name, content)
        self.files.append(BundleFile(name, len(content), hashlib.sha256(content).hexdigest(), about))

    def _write(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(f"{self._name}/{name}")
        info.size, info.mode, info.mtime = len(content), 0o600, self._made_ns // 1_000_000_000
        self._tar.addfile(info, io.BytesIO(content))
