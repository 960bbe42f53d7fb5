"""
Entity tags of desired documents: what a poll compares to know that its device has the newest one.

A tag names the revision, the period in which the document stays as it is signed, and what is wanted of the device
besides its configuration. Whatever changes the document's bytes changes its tag, and nothing else does.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

import msgspec

from algorithms.api.wire import NANOSECONDS
from device_catalog.contract.paths import etag
from device_catalog.contract.support import SupportWish
from device_catalog.fleet.device import Device

MOST_TAGS = 65_536
"""Entity tags that devices share in memory."""

LOOK = 3600.0
"""Whether a document is to be signed anew is looked at this often at least: the catalog's clock may be set [s]."""


class Signer(Protocol):
    """Whoever signs desired documents (`device_catalog.fleet.director`)."""

    @property
    def series(self) -> str:
        """Tells its signatures from those of another, in entity tags."""

    def period(self, device: str, now_ns: int) -> "Period":
        """Tell within which time a device's document stays as it is signed."""

    def signature(self, document: bytes) -> str:
        """Sign a document."""


class Period(Protocol):
    """A time within which a device's document stays as it is signed [ns UTC]."""

    @property
    def number(self) -> int:
        """Which one it is."""

    @property
    def begins_ns(self) -> int:
        """Its first moment."""

    @property
    def ends_ns(self) -> int:
        """Its last moment."""

    @property
    def expires_ns(self) -> int:
        """Until when its signatures count."""


class EntityTags:
    """
    The entity tags of one fleet; equal ones are kept once.

    Parameters
    ----------
    signer : Signer or None
    monotonic : callable
        [s]
    wall : callable
        UTC [ns].
    """

    def __init__(self, signer: Signer | None, monotonic: Callable[[], float], wall: Callable[[], int]) -> None:
        self._signer = signer
        self._monotonic = monotonic
        self._wall = wall
        self._of_revisions: dict[int, bytes] = {}
        self._shared: dict[bytes, bytes] = {}

    def renew(self, device: Device, recordings: tuple[str, ...] | None, wish: SupportWish | None) -> None:
        """
        Write the entity tag of a device's desired document, which changes when it is to be signed anew.

        Parameters
        ----------
        device : Device
        recordings : tuple of str or None
            That it is asked for; None where it is asked for none.
        wish : SupportWish or None
            What is wanted to help it; None where nothing is.
        """
        series = ""
        if self._signer is not None:
            now_ns = self._wall()
            period = self._signer.period(device.device, now_ns)
            series = f".{self._signer.series}{period.number}"
            left = (period.ends_ns - now_ns) / NANOSECONDS
            device.renewal = self._monotonic() + min(max(left, 0.0), LOOK)
        if recordings is not None:
            series += f"+{zlib.crc32(' '.join(recordings).encode()):08x}"
        if wish is not None:
            series += f"+{zlib.crc32(msgspec.json.encode(wish)):08x}"
        if len(self._shared) > MOST_TAGS:
            self._shared.clear()
        tag = f'"{device.revision}{series}"'.encode() if series else self.of_revision(device.revision)
        device.tag = self._shared.setdefault(tag, tag)

    def of_revision(self, revision: int) -> bytes:
        """Write the tag of a revision that nothing is added to; devices of one revision share it."""
        tag = self._of_revisions.get(revision)
        if tag is None:
            tag = self._of_revisions[revision] = etag(revision).encode()
        return tag
