"""
What meters say of their commissioning: believed by its signature, kept for good, given back as it came.

A record is refused unless it was signed by a certificate of this device that is in force; who brings it does not
matter then. The same record again is the same number. Nothing is ever changed or removed.
"""

import asyncio
import sys
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.access.certificates import Certificates
from device_catalog.authority.signed_record import verify
from device_catalog.contract.commissioning import (
    MAXIMUM_RECORD,
    CommissioningEntry,
    CommissioningPage,
    Kept,
    SignedRecord,
    digest_of,
    problems_of,
    read_record,
)
from device_catalog.documents import moment
from device_catalog.errors import AskedTooOften, CatalogError, Overloaded, Refused
from device_catalog.fleet.register import Register
from device_catalog.storage.commissionings import CommissioningRow, CommissioningStore

MOST = 200
"""Records kept of one device; a meter is not commissioned more often."""

SHOWN = 50
"""Of a list, the newest."""


AT_ONCE = 2
PATIENCE = 60.0
"""Reports made at the same time, and how long one may take [s]."""


class Paper(NamedTuple):
    """A report: the name of its file, and the PDF."""

    name: str
    content: bytes


class CommissioningUnknown(CatalogError):  # noqa: N818 - reads as the sentence it is
    """No such record is kept."""


class Commissionings:
    """
    Keeps records.

    Parameters
    ----------
    register : Register
    store : CommissioningStore
    certificates : Certificates
    anchors : str
        Authorities that meters' certificates are of, PEM.
    wait : callable
        Says how long a device must wait before it hands in another one [s].
    """

    def __init__(
        self,
        register: Register,
        store: CommissioningStore,
        certificates: Certificates,
        anchors: str,
        wait: Callable[[str], float],
    ) -> None:
        self._fleet, _, self._threads = register
        self._store = store
        self._certificates = certificates
        self._anchors = anchors
        self._wait = wait
        self._printing = 0

    async def hand_in(self, device: str, signed: SignedRecord) -> Kept:
        """
        Keep a record.

        Raises
        ------
        DeviceUnknown, AskedTooOften
        Refused
            With every problem found.
        """
        self._fleet.known(device)
        wait = self._wait(device)
        if wait:
            raise AskedTooOften(ceil(wait))
        fingerprint = self._believed(device, signed)
        document = msgspec.json.encode(signed).decode()
        row = CommissioningRow(device, 0, digest_of(signed.record), fingerprint, self._fleet.wall(), document)
        kept = await self._threads.write(self._store.add, row, MOST)
        if kept is None:
            raise Refused([Problem("record", f"at most {MOST} records of one device", "one more")])
        return Kept(kept.number, kept.sha256)

    async def page(self, device: str) -> CommissioningPage:
        """List a device's records, the newest first."""
        self._fleet.known(device)
        rows = await self._threads.read(self._store.of, device, SHOWN)
        return CommissioningPage(tuple(map(_entry, rows)))

    async def signed(self, device: str, number: int) -> tuple[SignedRecord, CommissioningEntry]:
        """
        Give a record back as it came; number 0 for the newest.

        Raises
        ------
        DeviceUnknown, CommissioningUnknown
        """
        self._fleet.known(device)
        if number:
            row = await self._threads.read(self._store.find, device, number)
        else:
            row = next(iter(await self._threads.read(self._store.of, device, 1)), None)
        if row is None:
            found = f"none of number {number}" if number else "none yet"
            raise CommissioningUnknown(f"expected a commissioning of {device}, found {found}")
        return msgspec.json.decode(row.document, type=SignedRecord), _entry(row)

    async def paper(self, device: str, number: int) -> Paper:
        """
        Make the report of a record; number 0 for the newest.

        Raises
        ------
        DeviceUnknown, CommissioningUnknown
        Overloaded
            When too many are being made.
        """
        signed, entry = await self.signed(device, number)
        if self._printing >= AT_ONCE:
            raise Overloaded(f"expected fewer than {AT_ONCE} reports being made, found as many; ask again", 5)
        self._printing += 1
        try:
            content = await _printed(msgspec.json.encode({"signed": signed, "entry": entry}))
        finally:
            self._printing -= 1
        return Paper(f"{entry.device}_commissioning_{entry.number}.pdf", content)

    def _believed(self, device: str, signed: SignedRecord) -> bytes:
        """Return the fingerprint of the certificate that signed; refuse what is not signed or not right."""
        length = len(signed.record.encode())
        if length > MAXIMUM_RECORD:
            raise Refused([Problem("record", f"at most {MAXIMUM_RECORD} bytes", f"{length} bytes")])
        try:
            verified = verify(signed, self._anchors)
        except ValueError as error:
            raise Refused([Problem("record", "one that the meter signed", shortened(str(error), 300))]) from error
        problems = problems_of(verified.record, device)
        if self._certificates.holder(verified.fingerprint, self._fleet.wall()) != device:
            found = "one that is void, has ended, or is another device's"
            problems.append(Problem("certificate", f"one of {device} that is in force", found, "commission it again"))
        if problems:
            raise Refused(problems)
        return verified.fingerprint


async def _printed(order: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "device_catalog.pages.commissioning_report"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            content, complaints = await process.communicate(order)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"a report could not be made: {shortened(complaints[-2000:].decode(errors='replace'), 500)}")
    return content


def _entry(row: CommissioningRow) -> CommissioningEntry:
    signed = msgspec.json.decode(row.document, type=SignedRecord)
    record = read_record(signed.record)
    return CommissioningEntry(
        row.device, row.number, moment(row.received_ns), row.sha256, row.fingerprint.hex(), record
    )
