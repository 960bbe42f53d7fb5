"""
What the catalog does: register, configure, watch and list devices, and take their reports.

One `Catalog` holds the register in memory: a small record for each device, with its credential's digest, its newest
revision and its lease. A poll touches only that; the database is read when a document must be handed out and
written when something changed. A change is written first and takes effect in memory after: what was answered is
durable. One process serves one database.

Calls that end in the database are coroutines; they run it in a thread, changes one after the other.
"""

import asyncio
import hashlib
import hmac
import secrets
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

import msgspec

from algorithms.api.errors import Problem
from device_catalog.contract.documents import (
    Configuration,
    Desired,
    DeviceDetail,
    DeviceKind,
    DeviceSummary,
    Page,
    Registered,
    Registration,
    Reported,
)
from device_catalog.contract.paths import MAXIMUM_DOCUMENT, etag
from device_catalog.contract.presence import Availability
from device_catalog.domain import NEVER, Guard, Lease, Presence, Reason, State, Transition
from device_catalog.errors import Conflict, DeviceUnknown, NotAuthorised, Overloaded, Refused, RevisionOutdated
from device_catalog.storage.store import Change, DeviceRow, Filters, Seen, Store, SummaryRow

NANOSECONDS = 1_000_000_000
MAXIMUM_PAGE = 1000
WAITING_READS = 512
"""Documents being read from the database at once; a device beyond that is asked to come back."""

DOCUMENT_CACHE = 16 * 2**20
"""Documents kept ready in memory [bytes]."""

_epoch = datetime(1970, 1, 1, tzinfo=UTC)
_hash = hashlib.sha256
_equal = hmac.compare_digest
Result = TypeVar("Result")


class Device(Lease):
    """A registered device, as it is kept in memory."""

    __slots__ = ("applied", "boot", "digest", "last_seen_ns", "revision", "tag", "tenant", "written")

    def __init__(self, row: DeviceRow, tag: bytes) -> None:
        super().__init__(row.device, row.interval, row.lease, expected=row.available)
        self.tenant = sys.intern(row.tenant)
        self.digest = row.digest
        self.revision = row.revision
        self.tag = tag
        self.applied = row.applied_revision
        self.boot = row.boot
        self.last_seen_ns = row.last_seen_ns
        self.written = NEVER


class Announcer(Protocol):
    """Whoever tells the grid brokers; every call returns at once."""

    def availability(self, tenant: str, availability: Availability, *, urgent: bool) -> None:
        """Say that a device came or went."""

    def notify(self, tenant: str, device: str, revision: int) -> None:
        """Ask a device to ask the catalog now."""

    def state(self, tenants: list[str], state: str, time_ns: int) -> None:
        """Say whether silence is judged."""


class Catalog:
    """
    The register and what can be done with it.

    Parameters
    ----------
    store : Store
    announcer : Announcer
    guard : Guard
    monotonic : callable
        Clock of the leases [s].
    wall : callable
        UTC [ns].
    """

    def __init__(
        self,
        store: Store,
        announcer: Announcer,
        guard: Guard,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self.devices: dict[str, Device] = {}
        self.polls = 0
        self.presence = Presence(monotonic(), guard)
        self._store = store
        self._announcer = announcer
        self._monotonic = monotonic
        self._wall = wall
        self._writer = ThreadPoolExecutor(1, "catalog-writer")
        self._readers = ThreadPoolExecutor(2, "catalog-reader")
        self._reading = 0
        self._documents: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._documents_size = 0
        self._tags: dict[int, bytes] = {}
        self._tenants: set[str] = set()
        self._waiting: bool | None = None
        self._sweep: list[Device] = []

    def load(self) -> None:
        """Read the register; to be called once, before anybody is served."""
        now = self._monotonic()
        for row in self._store.load():
            self._hold(row, now)
        self._tenants.update(self._store.tenants())

    def _hold(self, row: DeviceRow, now: float) -> Device:
        device = Device(row, self._tag(row.revision))
        self.devices[row.device] = device
        self.presence.add(device, now)
        return device

    def _tag(self, revision: int) -> bytes:
        """Write an entity tag; devices of one revision share it."""
        tag = self._tags.get(revision)
        if tag is None:
            tag = self._tags[revision] = etag(revision).encode()
        return tag

    # ------------------------------------------------------------------ the poll

    def authenticate(self, name: str, token: bytes) -> Device:
        """
        Find the device that `token` speaks for.

        Raises
        ------
        NotAuthorised
            When it is not `name`, or `name` is not registered: which of the two is not told.
        """
        device = self.devices.get(name)
        if device is None or not _equal(_hash(token).digest(), device.digest):
            raise NotAuthorised("expected this device's own credential, found another or an unregistered device")
        return device

    def heard(self, device: Device, boot: int, applied: int) -> None:
        """Take a poll as sign of life and acknowledgement."""
        self.polls += 1
        now = self._monotonic()
        if device.state is State.AVAILABLE:
            device.seen = now
        else:
            transition = self.presence.renew(device, now)
            if transition is not None:
                self._announce(transition)
        if boot >= 0:
            device.boot = boot
        if applied >= 0:
            device.applied = applied

    async def desired(self, name: str) -> tuple[bytes, bytes]:
        """
        Give a device's desired document and its entity tag.

        Raises
        ------
        DeviceUnknown
        Overloaded
            When too many documents are being read at this moment.
        """
        device = self._known(name)
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
        document = _desired(device, revision, configuration, issued_ns)
        self._keep(name, revision, document)
        return document, self._tag(revision)

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
        name, time_ns = registration.device, self._wall()
        present = self.devices.get(name)
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
        self._tenants.add(registration.tenant)
        self._loop_call(self._hold, row, self._monotonic())
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
        device = self._known(name)
        tags = [tag.strip() for tag in matches.split(",")]
        if matches.strip() != "*" and etag(device.revision) not in tags:
            raise RevisionOutdated(matches[:40], device.revision)
        # A device that applied more than is known here (the database was restored) must still see a newer one.
        revision = max(device.revision, device.applied) + 1
        self._store.set_configuration(Change(name, revision, configuration, self._wall(), author))
        self._loop_call(self._changed, device, revision, configuration.poll.interval, configuration.poll.lease)
        return revision

    def _changed(self, device: Device, revision: int, interval: float, lease: float) -> None:
        device.revision = revision
        device.tag = self._tag(revision)
        self.presence.change(device, interval, lease, self._monotonic())
        self._announcer.notify(device.tenant, device.device, revision)

    async def remove(self, name: str, author: str) -> None:
        """
        Take a device off the register.

        Raises
        ------
        DeviceUnknown
        """
        await self._write(self._remove, name, author)

    def _remove(self, name: str, author: str) -> None:
        device = self._known(name)
        self._store.remove(name, self._wall(), author)
        self._loop_call(self._removed, device)

    def _removed(self, device: Device) -> None:
        del self.devices[device.device]
        self.presence.remove(device)
        self._announce(Transition(device, False, Reason.REMOVED, self._monotonic()))

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
        device = self._known(name)
        self._store.set_credential(name, digest, self._wall(), author)
        device.digest = digest
        return device.revision

    async def report(self, name: str, patch: Any) -> Reported:
        """
        Merge what a device reports into what it reported before (RFC 7396).

        Raises
        ------
        DeviceUnknown
        Refused
            When the result is no report.
        """
        return await self._write(self._report, name, patch)

    def _report(self, name: str, patch: Any) -> Reported:
        self._known(name)
        before = self._store.reported(name)
        merged = merge(msgspec.json.decode(before) if before else {"schema": "reported/1", "device": name}, patch)
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
            self._store.set_reported(name, document, result.services, self._wall())
        return result

    # ------------------------------------------------------------------ questions

    async def configuration(self, name: str) -> tuple[bytes, bytes]:
        """
        Give a device's configuration as JSON text, and its entity tag.

        Raises
        ------
        DeviceUnknown
        """
        self._known(name)
        revision, document, _ = await self._read(self._store.configuration, name)
        return document, self._tag(revision)

    async def reported(self, name: str) -> bytes | None:
        """
        Give what a device reported last as JSON text.

        Raises
        ------
        DeviceUnknown
        """
        self._known(name)
        return await self._read(self._store.reported, name)

    async def detail(self, name: str) -> DeviceDetail:
        """
        Give all that is known of a device.

        Raises
        ------
        DeviceUnknown
        """
        self._known(name)
        return await self._read(self._detail, name)

    def _detail(self, name: str) -> DeviceDetail:
        device = self._known(name)
        rows = self._store.summaries_of(Filters(), [name])
        if not rows:
            raise DeviceUnknown(name)
        revision, configuration, issued_ns = self._store.configuration(name)
        report = self._store.reported(name)
        return DeviceDetail(
            self._summary(rows[0]),
            msgspec.json.decode(_desired(device, revision, configuration, issued_ns), type=Desired),
            None if report is None else msgspec.json.decode(report, type=Reported),
        )

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
                for device in list(self.devices.values())
                if device.device > after and self._available(device) is available
            )
            for start in range(0, len(names), MAXIMUM_PAGE):
                rows += self._store.summaries_of(filters, names[start : start + MAXIMUM_PAGE])
                if len(rows) > limit:
                    break
        items = tuple(self._summary(row) for row in rows[:limit])
        return Page(items, items[-1].device if len(rows) > limit else "")

    def _available(self, device: Device) -> bool | None:
        if device.state is State.LATE:
            return None if self.presence.waiting else True
        return None if device.state is State.UNKNOWN else device.state is State.AVAILABLE

    def _summary(self, row: SummaryRow) -> DeviceSummary:
        device = self.devices.get(row.device)
        seen_ns = self._seen_ns(device) if device else None
        return DeviceSummary(
            device=row.device,
            kind=DeviceKind(row.kind),
            tenant=row.tenant,
            description=row.description,
            available=self._available(device) if device else None,
            last_seen=None if seen_ns is None else _datetime(seen_ns),
            revision=row.revision,
            applied_revision=device.applied if device else 0,
            algorithms=tuple(row.algorithms.split()),
            network=row.network,
            area=row.area,
            terminal=row.terminal,
            services=msgspec.json.decode(row.services, type=dict[str, str]) if row.services else {},
        )

    # ------------------------------------------------------------------ time

    def tick(self) -> None:
        """Look at the leases; to be called ten times a second."""
        for transition in self.presence.advance(self._monotonic()):
            self._announce(transition)
        if self.presence.waiting is not self._waiting:
            self._waiting = self.presence.waiting
            self.announce_state()

    def announce_state(self) -> None:
        """Say whether silence is judged."""
        state = "waiting" if self.presence.waiting else "watching"
        self._announcer.state(sorted(self._tenants), state, self._wall())

    def everything(self) -> list[tuple[str, Availability]]:
        """Give every judged device's availability, for a broker that knows nothing."""
        return [
            (device.tenant, self._availability(device, device.state is not State.UNAVAILABLE, None, 0.0))
            for device in list(self.devices.values())
            if device.state is not State.UNKNOWN
        ]

    async def sweep(self, share: float) -> None:
        """Write the signs of life of a share of the fleet, so that a round takes ``1 / share`` calls."""
        if not self._sweep:
            self._sweep = list(self.devices.values())
        count = max(1, int(len(self.devices) * share) + 1)
        part, self._sweep = self._sweep[-count:], self._sweep[:-count]
        await self._write_seen(part)

    async def flush(self) -> None:
        """Write all signs of life; before the end."""
        everybody = list(self.devices.values())
        for start in range(0, len(everybody), 1000):
            await self._write_seen(everybody[start : start + 1000])

    async def _write_seen(self, part: list[Device]) -> None:
        changed = [device for device in part if device.seen > device.written or device.state is State.UNAVAILABLE]
        rows = [
            Seen(
                device.device,
                self._seen_ns(device),
                device.applied,
                device.boot,
                device.state in (State.AVAILABLE, State.LATE) or (device.state is State.UNKNOWN and device.expected),
            )
            for device in changed
        ]
        seen = [device.seen for device in changed]
        if rows:
            await self._write(self._store.write_seen, rows)
        for device, moment in zip(changed, seen, strict=True):
            device.written = moment

    async def close(self) -> None:
        """Write what is unwritten, and let go of the database."""
        await self.flush()
        self._writer.shutdown()
        self._readers.shutdown()
        self._store.close()

    # ------------------------------------------------------------------ helpers

    def _known(self, name: str) -> Device:
        device = self.devices.get(name)
        if device is None:
            raise DeviceUnknown(name[:80])
        return device

    def _seen_ns(self, device: Device) -> int | None:
        if device.seen == NEVER:
            return device.last_seen_ns
        return self._wall() - int((self._monotonic() - device.seen) * NANOSECONDS)

    def _announce(self, transition: Transition) -> None:
        device = transition.lease
        if not isinstance(device, Device):
            raise TypeError("the catalog watches its own devices only")
        ago = self._monotonic() - transition.time
        availability = self._availability(device, transition.available, transition.reason, ago)
        self._announcer.availability(device.tenant, availability, urgent=transition.news)

    def _availability(self, device: Device, available: bool, reason: Reason | None, ago: float) -> Availability:
        if reason is None:
            reason = Reason.POLLED if available else Reason.LEASE_EXPIRED
        since_ns = self._wall() - int(ago * NANOSECONDS)
        return Availability(device.device, available, reason.value, since_ns, self._seen_ns(device))

    def _loop_call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run what touches the register in the server's own thread, and wait for it."""
        done = asyncio.run_coroutine_threadsafe(_call(function, *arguments), self._loop)
        done.result(30)

    async def _write(self, function: Callable[..., Result], *arguments: Any) -> Result:
        self._loop = asyncio.get_running_loop()
        return await self._loop.run_in_executor(self._writer, lambda: function(*arguments))

    async def _read(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: function(*arguments))


async def _call(function: Callable[..., object], *arguments: Any) -> None:
    function(*arguments)


def merge(target: Any, patch: Any) -> Any:
    """
    Apply a merge patch (RFC 7396, section 2).

    >>> merge({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def _datetime(time_ns: int) -> datetime:
    return _epoch + timedelta(microseconds=time_ns // 1000)


def _desired(device: Device, revision: int, configuration: bytes, issued_ns: int) -> bytes:
    """Write a desired document around a configuration that is JSON already."""
    return msgspec.json.encode(
        {
            "schema": "desired/1",
            "device": device.device,
            "tenant": device.tenant,
            "revision": revision,
            "issued": _datetime(issued_ns),
            "configuration": msgspec.Raw(configuration),
            "expires": None,
        }
    )
