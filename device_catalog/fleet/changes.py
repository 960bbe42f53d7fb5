"""
What changes the register: registering, configuring and removing devices, their credentials, what they report.

A change is written first and takes effect in memory (`device_catalog.fleet.fleet`) after: what was answered is durable.
Changes are made one after the other.
"""

import hashlib
import secrets
from typing import Any

import msgspec

from algorithms.api.errors import Problem
from device_catalog.contract.calibration import Calibration
from device_catalog.contract.documents import Configuration
from device_catalog.contract.paths import MAXIMUM_DOCUMENT, etag
from device_catalog.contract.register import Registered, Registration
from device_catalog.contract.report_bounds import printable, problems_of
from device_catalog.contract.reports import Reported
from device_catalog.documents import merge, moment
from device_catalog.errors import Conflict, Refused, RevisionOutdated
from device_catalog.fleet.leases import NEVER
from device_catalog.fleet.register import Register
from device_catalog.grid.networks import placed
from device_catalog.storage.networks import NetworkStore
from device_catalog.storage.rows import Change, DeviceRow, KeyedRequest

FUTURE_NS = 3600 * 1_000_000_000
"""How far a calibration's date may be ahead of the catalog's clock [ns]: one from the future would count for ever."""

_hash = hashlib.sha256


class Changes:
    """
    Makes changes to the register.

    Parameters
    ----------
    register : Register
    networks : NetworkStore
        Whose revisions are stated in configurations.
    """

    def __init__(self, register: Register, networks: NetworkStore) -> None:
        self._fleet, self._store, self._threads = register
        self._networks = networks

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
        keyed = KeyedRequest(key, _hash(request).digest())
        revision = await self._threads.write(self._register, registration, author, keyed, digest)
        return Registered(registration.device, token, revision)

    def _register(self, registration: Registration, author: str, request: KeyedRequest, digest: bytes) -> int:
        name, time_ns = registration.device, self._fleet.wall()
        present = self._fleet.devices.get(name)
        remembered = self._store.remembered(request.key, time_ns) if request.key else None
        if present is not None:
            if remembered != (request.digest, name) or present.boot or present.seen != NEVER:
                raise Conflict(f"expected a name that is free, found {name} registered; change or remove that device")
            # The answer to the first request was lost, and its credential is kept nowhere: give another.
            self._store.set_credential(name, digest, time_ns, author)
            present.digest = digest
            return present.revision
        if remembered is not None and remembered[0] != request.digest:
            raise Conflict("expected a new Idempotency-Key for another request, found one that was used; change it")
        revision = self._store.floor(name) + 1
        change = Change(
            name, revision, placed(self._networks, registration.configuration, registration.tenant), time_ns, author
        )
        self._store.register(change, registration.tenant, registration.kind, registration.description, digest, request)
        poll = registration.configuration.poll
        row = DeviceRow(
            name, registration.tenant, registration.kind, revision, poll.interval, poll.lease, None, 0, 0, False, digest
        )
        self._threads.in_loop(self._fleet.hold, row)
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
        return await self._threads.write(self._set_configuration, name, configuration, matches, author)

    def _set_configuration(self, name: str, configuration: Configuration, matches: str, author: str) -> int:
        device = self._fleet.known(name)
        tags = [tag.strip() for tag in matches.split(",")]
        if matches.strip() != "*" and etag(device.revision) not in tags:
            raise RevisionOutdated(matches[:40], device.revision)
        # A device that applied more than is known here (the database was restored) must still see a newer one.
        revision = max(device.revision, device.applied) + 1
        stated = placed(self._networks, configuration, device.tenant)
        self._store.set_configuration(Change(name, revision, stated, self._fleet.wall(), author))
        poll = configuration.poll
        self._threads.in_loop(self._fleet.changed, device, revision, poll.interval, poll.lease)
        return revision

    async def calibrate(self, name: str, calibration: Calibration, author: str) -> int:
        """
        Take a device's calibration; return the revision whose desired document carries it.

        The date is what an entity tag is elsewhere: the later one counts, and saying the same twice changes nothing.

        Raises
        ------
        DeviceUnknown
        Conflict
            When there is a later one.
        Refused
            When it was made in the future.
        """
        return await self._threads.write(self._calibrate, name, calibration, author)

    def _calibrate(self, name: str, calibration: Calibration, author: str) -> int:
        device, time_ns = self._fleet.known(name), self._fleet.wall()
        made_us = round(calibration.made.timestamp() * 1e6)
        if made_us * 1000 > time_ns + FUTURE_NS:
            now = moment(time_ns).isoformat()
            raise Refused(
                [
                    Problem(
                        "calibration.made", f"no later than now, {now}", calibration.made.isoformat(), "set the clock"
                    )
                ]
            )
        known = self._store.calibration(name)
        before = None if known is None else msgspec.json.decode(known, type=Calibration)
        if before == calibration:
            return device.revision
        if before is not None and before.made >= calibration.made:
            raise Conflict(
                f"expected a calibration made after {before.made.isoformat()}, by {before.by}, found one made at "
                f"{calibration.made.isoformat()}; the later one counts"
            )
        configuration = msgspec.json.decode(self._store.configuration(name)[1], type=Configuration)
        revision = max(device.revision, device.applied) + 1
        change = Change(name, revision, configuration, time_ns, author)
        self._store.set_calibration(change, made_us, msgspec.json.encode(calibration))
        poll = configuration.poll
        self._threads.in_loop(self._fleet.changed, device, revision, poll.interval, poll.lease)
        return revision

    async def remove(self, name: str, author: str) -> None:
        """
        Take a device off the register.

        Raises
        ------
        DeviceUnknown
        """
        await self._threads.write(self._remove, name, author)

    def _remove(self, name: str, author: str) -> None:
        device = self._fleet.known(name)
        self._store.remove(name, self._fleet.wall(), author)
        self._threads.in_loop(self._fleet.removed, device)

    async def renew_credential(self, name: str, author: str) -> Registered:
        """
        Give a device another credential; the one before is void at once.

        Raises
        ------
        DeviceUnknown
        """
        token = secrets.token_urlsafe(32)
        digest = _hash(token.encode()).digest()
        revision = await self._threads.write(self._renew_credential, name, digest, author)
        return Registered(name, token, revision)

    def _renew_credential(self, name: str, digest: bytes, author: str) -> int:
        device = self._fleet.known(name)
        self._store.set_credential(name, digest, self._fleet.wall(), author)
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
            When the result is no report, or has a number out of its bounds.
        """
        return await self._threads.write(self._report, name, document, whole)

    def _report(self, name: str, patch: Any, whole: bool) -> Reported:
        self._fleet.known(name)
        before = self._store.reported(name)
        known = msgspec.json.decode(before) if before and not whole else {"schema": "reported/1", "device": name}
        merged = printable(merge(known, patch))
        problems = []
        result = None
        try:
            result = msgspec.convert(merged, Reported)
        except msgspec.ValidationError as error:
            problems.append(Problem("reported", "a report of the agreed shape", str(error)[:200]))
        if result is not None:
            problems += problems_of(result)
        if result is not None and result.device != name:
            problems.append(Problem("reported.device", name, result.device[:80], "report of yourself only"))
        document = msgspec.json.encode(merged)
        if len(document) > MAXIMUM_DOCUMENT:
            problems.append(Problem("reported", f"at most {MAXIMUM_DOCUMENT} bytes", f"{len(document)} bytes"))
        if problems or result is None:
            raise Refused(problems)
        if document != before:
            self._store.set_reported(name, document, result.services, self._fleet.wall())
        return result
