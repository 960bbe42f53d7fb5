"""
Desired documents on their way to the devices that poll: read once, kept ready in memory, handed out often.

How much memory they take and how many are read from the database at once is limited: when a whole fleet asks for
something new at the same moment, those beyond the limit are asked to come back.
"""

import secrets
from collections import OrderedDict

from device_catalog.documents import desired_document
from device_catalog.errors import Overloaded
from device_catalog.fleet.register import Register
from device_catalog.rollouts.overlay import overlaid_text

WAITING_READS = 512
"""Documents being read from the database at once; a device beyond that is asked to come back."""

READY_SIZE = 16 * 2**20
"""Documents kept ready in memory [bytes]."""


class DesiredDocuments:
    """
    Answers what a device should do.

    Parameters
    ----------
    register : Register
    """

    def __init__(self, register: Register) -> None:
        self._fleet, self._store, self._threads = register
        self._reading = 0
        self._ready: OrderedDict[str, tuple[bytes, bytes, bytes]] = OrderedDict()
        self._size = 0

    async def signed(self, name: str, known: bytes = b"") -> tuple[bytes, bytes, bytes]:
        """
        Give a device's desired document, its entity tag, and its signature; empty where none is signed.

        Parameters
        ----------
        name : str
        known : bytes
            Entity tag of what the device has. Another catalog may have given it a newer one than is known here yet:
            then what is kept ready is not handed out.

        Raises
        ------
        DeviceUnknown
        Overloaded
            When too many documents are being read at this moment.
        StorageError
        """
        device = self._fleet.known(name)
        ready = self._ready.get(name)
        if ready is not None and ready[0] == device.tag and _revision(known) <= device.revision:
            self._ready.move_to_end(name)
            return ready[1], device.tag, ready[2]
        if self._reading >= WAITING_READS:
            raise Overloaded("too many documents are being read; come back in a moment", 2 + secrets.randbelow(9))
        self._reading += 1
        try:
            (revision, configuration, issued_ns), calibration = await self._threads.read(self._read, name)
        finally:
            self._reading -= 1
        wanted, support = self._fleet.wanted.get(name, ()), self._fleet.support.get(name)
        signer, expires_ns = self._fleet.signer, None
        if signer is not None:
            period = signer.period(name, self._fleet.wall())
            issued_ns, expires_ns = max(issued_ns, period.begins_ns), period.expires_ns
        document = desired_document(
            device.device, device.tenant, revision, configuration, issued_ns, wanted, calibration, expires_ns, support
        )
        signature = b"" if signer is None else signer.signature(document).encode()
        # Where it was changed while it was read, the tag is of neither: the next poll brings the newest.
        tag = device.tag if revision == device.revision else self._fleet.tag(revision)
        self._keep(name, tag, document, signature)
        return document, tag, signature

    def _read(self, name: str) -> tuple[tuple[int, bytes, int], bytes | None]:
        (revision, configuration, issued_ns), calibration, choices = self._store.desired(name)
        return (revision, overlaid_text(configuration, choices), issued_ns), calibration

    def _keep(self, name: str, tag: bytes, document: bytes, signature: bytes) -> None:
        before = self._ready.pop(name, None)
        self._size += len(document) - (len(before[1]) if before else 0)
        self._ready[name] = (tag, document, signature)
        while self._size > READY_SIZE:
            self._size -= len(self._ready.popitem(last=False)[1][1])


def _revision(tag: bytes) -> int:
    """
    Read which revision an entity tag is of; 0 where it says none.

    >>> _revision(b'"12.3f+77"'), _revision(b"*"), _revision(b"")
    (12, 0, 0)
    """
    digits = tag.removeprefix(b"W/").strip(b'"').partition(b".")[0].partition(b"+")[0]
    return int(digits) if digits.isdigit() and len(digits) < 20 else 0
