"""
What the catalog does: register, configure, watch and list devices, and take their reports.

The database is read when a document must be handed out and written when something changed. A change is written
first and takes effect in memory (`device_catalog.fleet`) after: what was answered is durable. One process serves one
database.

Calls that end in the database are coroutines; they run it in a thread, changes one after the other.
"""

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from algorithms.api.errors import Problem
from device_catalog.contract.documents import Configuration, Desired
from device_catalog.contract.paths import MAXIMUM_DOCUMENT, etag
from device_catalog.contract.register import Change as HistoryEntry
from device_catalog.contract.register import (
    DeviceDetail,
    DeviceKind,
    DeviceSummary,
    History,
    Page,
    Registered,
    Registration,
)
from device_catalog.contract.reports import Reported
from device_catalog.documents import desired_document, merge, moment
from device_catalog.errors import Conflict, DeviceUnknown, Overloaded, Refused, RevisionOutdated, StorageError
from device_catalog.fleet import Device, Fleet
from device_catalog.leases import NEVER, State
from device_catalog.storage.database import first_line
from device_catalog.storage.store import Change, DeviceRow, Filters, Store, SummaryRow

MAXIMUM_PAGE = 1000
MAXIMUM_HISTORY = 100
WAITING_READS = 512
"""Documents being read from the database at once; a device beyond that is asked to come back."""

DOCUMENT_CACHE = 16 * 2**20
"""Documents kept ready in memory [bytes]."""

_hash = hashlib.sha256
Result = TypeVar("Result")


class Catalog:
    """
    The register and what can be done with it.

    Parameters
    ----------
    store : Store
    fleet : Fleet
    """

    def __init__(self, store: Store, fleet: Fleet) -> None:
        self.fleet = fleet
        self._store = store
        self._writer = ThreadPoolExecutor(1, "catalog-writer")
        self._readers = ThreadPoolExecutor(2, "catalog-reader")
        self._reading = 0
        self._documents: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._documents_size = 0
        self._sweep: list[Device] = []

    def load(self) -> None:
        """Read the register; to be called once, before anybody is served."""
        self.fleet.load(self._store.load(), self._store.tenants())

    # ------------------------------------------------------------------ the poll

    async def desired(self, name: str) -> tuple[bytes, bytes]:
        """
        Give a device's desired document and its entity tag.

        Raises
        ------
        DeviceUnknown
        Overloaded
            When too many documents are being read at this moment.
        """
        device = self.fleet.known(name)
        ready = self._documents.get(name)
        if ready is not None and ready[0] == device.revision:
            self._documents.move_to_end(name)
            return ready[1], device.tag
        if self._reading >= WAITING_READS:
            raise Overloaded("too many documents are being read; come back in a moment", 2 + secrets.randbelow(9))
        self._reading += 1
        try:
            revision, configuration, issued_ns = await self._read(self._store.configuration, name)
        finally:
            self._reading -= 1
        document = desired_document(device.device, device.tenant, revision, configuration, issued_ns)
        self._keep(name, revision, document)
        return document, self.fleet.tag(revision)

    def _keep(self, name: str, revision: int, document: bytes) -> None:
        before = self._documents.pop(name, None)
        self._documents_size += len(document) - (len(before[1]) if before else 0)
        self._documents[name] = (revision, document)
        while self._documents_size > DOCUMENT_CACHE:
            self._documents_size -= len(self._documents.popitem(last=False)[1][1])

    # ------------------------------------------------------------------ changes

    async def register(self, registration: Registration, author: str, key: str, request: bytes) -> Registered:
        """
        Register a device, or repeat the answer to the same request.

        Parameters
        ----------
        registration : Registration
        author : str
            Who asks, for the audit.
        key : str
            Idempotency key; empty for none.
        request : bytes
            The request's body, by which a repetition is told from another request under the same key.

        Raises
        ------
        Conflict
            When a device of that name is registered.
        """
        token = secrets.token_urlsafe(32)
        digest = _hash(token.encode()).digest()
        revision = await self._write(self._register, registration, author, key, _hash(request).digest(), digest)
        return Registered(registration.device, token, revision)

    def _register(self, registration: Registration, author: str, key: str, request: bytes, digest: bytes) -> int:
        name, time_ns = registration.device, self.fleet.wall()
        present = self.fleet.devices.get(name)
        if present is not None:
            remembered = self._store.remembered(key, time_ns) if key else None
            if remembered != (request, name) or present.boot or present.seen != NEVER:
                raise Conflict(f"expected a name that is free, found {name} registered; change or remove that device")
            # The answer to the first request was lost, and its credential is kept nowhere: give another.
            self._store.set_credential(name, digest, time_ns, author)
            present.digest = digest
            return present.revision
        if key:
            remembered = self._store.remembered(key, time_ns)
            if remembered is not None and remembered[0] != request:
                raise Conflict("expected a new Idempotency-Key for another request, found one that was used; change it")
        revision = self._store.floor(name) + 1
        change = Change(name, revision, registration.configuration, time_ns, author)
        self._store.register(change, registration.tenant, registration.kind, registration.description, digest)
        if key:
            self._store.remember(key, request, name, time_ns)
        poll = registration.configuration.poll
        row = DeviceRow(
            name, registration.tenant, registration.kind, revision, poll.interval, poll.lease, None, 0, 0, False, digest
        )
        self._loop_call(self.fleet.hold, row)
        return revision

    async def set_configuration(self, name: str, configuration: Configuration, matches: str, author: str) -> int:
        """
        Give a device another configuration; return its revision.

        Parameters
        ----------
        name : str
        configuration : Configuration
        matches : str
            Entity tag the change is based on, ``*`` for whatever is there.
        author : str

        Raises
        ------
        DeviceUnknown
        RevisionOutdated
            When somebody else changed it since.
        """
        return await self._write(self._set_configuration, name, configuration, matches, author)

    def _set_configuration(self, name: str, configuration: Configuration, matches: str, author: str) -> int:
        device = self.fleet.known(name)
        tags = [tag.strip() for tag in matches.split(",")]
        if matches.strip() != "*" and etag(device.revision) not in tags:
            raise RevisionOutdated(matches[:40], device.revision)
        # A device that applied more than is known here (the database was restored) must still see a newer one.
        revision = max(device.revision, device.applied) + 1
        self._store.set_configuration(Change(name, revision, configuration, self.fleet.wall(), author))
        self._loop_call(self.fleet.changed, device, revision, configuration.poll.interval, configuration.poll.lease)
        return revision

    async def remove(self, name: str, author: str) -> None:
        """
        Take a device off the register.

        Raises
        ------
        DeviceUnknown
        """
        await self._write(self._remove, name, author)

    def _remove(self, name: str, author: str) -> None:
        device = self.fleet.known(name)
        self._store.remove(name, self.fleet.wall(), author)
        self._loop_call(self.fleet.removed, device)

    async def renew_credential(self, name: str, author: str) -> Registered:
        """
        Give a device another credential; the one before is void at once.

        Raises
        ------
        DeviceUnknown
        """
        token = secrets.token_urlsafe(32)
        digest = _hash(token.encode()).digest()
        revision = await self._write(self._renew_credential, name, digest, author)
        return Registered(name, token, revision)

    def _renew_credential(self, name: str, digest: bytes, author: str) -> int:
        device = self.fleet.known(name)
        self._store.set_credential(name, digest, self.fleet.wall(), author)
        device.digest = digest
        return device.revision

    async def report(self, name: str, document: Any, *, whole: bool) -> Reported:
        """
        Take what a device reports.

        Parameters
        ----------
        name : str
        document : object
            Read from JSON.
        whole : bool
            Whether it is everything; otherwise it is merged into what was reported before (RFC 7396).

        Raises
        ------
        DeviceUnknown
        Refused
            When the result is no report.
        """
        return await self._write(self._report, name, document, whole)

    def _report(self, name: str, patch: Any, whole: bool) -> Reported:
        self.fleet.known(name)
        before = self._store.reported(name)
        known = msgspec.json.decode(before) if before and not whole else {"schema": "reported/1", "device": name}
        merged = merge(known, patch)
        problems = []
        result = None
        try:
            result = msgspec.convert(merged, Reported)
        except msgspec.ValidationError as error:
            problems.append(Problem("reported", "a report of the agreed shape", str(error)[:200]))
        if result is not None and result.device != name:
            problems.append(Problem("reported.device", name, result.device[:80], "report of yourself only"))
        document = msgspec.json.encode(merged)
        if len(document) > MAXIMUM_DOCUMENT:
            problems.append(Problem("reported", f"at most {MAXIMUM_DOCUMENT} bytes", f"{len(document)} bytes"))
        if problems or result is None:
            raise Refused(problems)
        if document != before:
            self._store.set_reported(name, document, result.services, self.fleet.wall())
        return result

    # ------------------------------------------------------------------ questions

    async def configuration(self, name: str) -> tuple[bytes, bytes]:
        """
        Give a device's configuration as JSON text, and its entity tag.

        Raises
        ------
        DeviceUnknown
        """
        self.fleet.known(name)
        revision, document, _ = await self._read(self._store.configuration, name)
        return document, self.fleet.tag(revision)

    async def reported(self, name: str) -> bytes | None:
        """
        Give what a device reported last as JSON text.

        Raises
        ------
        DeviceUnknown
        """
        self.fleet.known(name)
        return await self._read(self._store.reported, name)

    async def detail(self, name: str) -> DeviceDetail:
        """
        Give all that is known of a device.

        Raises
        ------
        DeviceUnknown
        """
        self.fleet.known(name)
        return await self._read(self._detail, name)

    def _detail(self, name: str) -> DeviceDetail:
        device = self.fleet.known(name)
        rows = self._store.summaries_of(Filters(), [name])
        if not rows:
            raise DeviceUnknown(name)
        revision, configuration, issued_ns = self._store.configuration(name)
        report = self._store.reported(name)
        return DeviceDetail(
            self._summary(rows[0]),
            msgspec.json.decode(
                desired_document(device.device, device.tenant, revision, configuration, issued_ns), type=Desired
            ),
            None if report is None else msgspec.json.decode(report, type=Reported),
        )

    async def history(self, name: str) -> History:
        """
        Give who changed what of a device, also of one that was removed.

        Raises
        ------
        DeviceUnknown
        """
        rows = await self._read(self._store.history, name, MAXIMUM_HISTORY)
        if not rows:
            raise DeviceUnknown(name[:80])
        return History(tuple(HistoryEntry(moment(row[0]), *row[1:]) for row in rows))

    async def page(self, filters: Filters, available: bool | None, after: str, limit: int) -> Page:
        """
        Give part of the list of devices, ordered by name.

        Parameters
        ----------
        filters : Filters
        available : bool or None
            Only those that are, or are not; None for all.
        after : str
            Cursor: the last name of the part before.
        limit : int
            Most devices in this part, 1 to `MAXIMUM_PAGE`.
        """
        return await self._read(self._page, filters, available, after, min(max(limit, 1), MAXIMUM_PAGE))

    def _page(self, filters: Filters, available: bool | None, after: str, limit: int) -> Page:
        rows: list[SummaryRow] = []
        if available is None:
            rows = self._store.summaries(filters, after, limit + 1)
        else:
            names = sorted(
                device.device
                for device in list(self.fleet.devices.values())
                if device.device > after and self.fleet.available(device) is available
            )
            for start in range(0, len(names), MAXIMUM_PAGE):
                rows += self._store.summaries_of(filters, names[start : start + MAXIMUM_PAGE])
                if len(rows) > limit:
                    break
        items = tuple(self._summary(row) for row in rows[:limit])
        return Page(items, items[-1].device if len(rows) > limit else "")

    def _summary(self, row: SummaryRow) -> DeviceSummary:
        device = self.fleet.devices.get(row.device)
        seen_ns = self.fleet.seen_ns(device) if device else None
        return DeviceSummary(
            device=row.device,
            kind=DeviceKind(row.kind),
            tenant=row.tenant,
            description=row.description,
            available=self.fleet.available(device) if device else None,
            last_seen=None if seen_ns is None else moment(seen_ns),
            revision=row.revision,
            applied_revision=device.applied if device else 0,
            algorithms=tuple(row.algorithms.split()),
            network=row.network,
            area=row.area,
            terminal=row.terminal,
            services=msgspec.json.decode(row.services, type=dict[str, str]) if row.services else {},
        )

    # ------------------------------------------------------------------ time

    async def sweep(self, share: float) -> None:
        """Write the signs of life of a share of the fleet, so that a round takes ``1 / share`` calls."""
        if not self._sweep:
            self._sweep = list(self.fleet.devices.values())
        count = max(1, int(len(self.fleet.devices) * share) + 1)
        part, self._sweep = self._sweep[-count:], self._sweep[:-count]
        await self._write_seen(part)

    async def flush(self) -> None:
        """Write all signs of life; before the end."""
        everybody = list(self.fleet.devices.values())
        for start in range(0, len(everybody), 1000):
            await self._write_seen(everybody[start : start + 1000])

    async def _write_seen(self, part: list[Device]) -> None:
        changed = [device for device in part if device.seen > device.written or device.state is State.UNAVAILABLE]
        seen = [device.seen for device in changed]
        if changed:
            await self._write(self._store.write_seen, [self.fleet.seen(device) for device in changed])
        for device, heard in zip(changed, seen, strict=True):
            device.written = heard

    async def close(self) -> None:
        """Write what is unwritten, and let go of the database."""
        await self.flush()
        self._writer.shutdown()
        self._readers.shutdown()
        self._store.close()

    # ------------------------------------------------------------------ helpers

    def _loop_call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run what touches the register in the server's own thread, and wait for it."""
        done = asyncio.run_coroutine_threadsafe(_call(function, *arguments), self._loop)
        done.result(30)

    async def _write(self, function: Callable[..., Result], *arguments: Any) -> Result:
        self._loop = asyncio.get_running_loop()
        return await self._in(self._writer, function, *arguments)

    async def _read(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return await self._in(self._readers, function, *arguments)

    @staticmethod
    async def _in(pool: ThreadPoolExecutor, function: Callable[..., Result], *arguments: Any) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, lambda: function(*arguments))
        except SQLAlchemyError as error:
            raise StorageError(f"expected a database that answers, found: {first_line(error)}") from error


async def _call(function: Callable[..., object], *arguments: Any) -> None:
    function(*arguments)
