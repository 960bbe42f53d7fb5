"""
The way in: answers a device's poll itself and hands everything else on.

A poll is most of what a catalog does, thousands a second, so it takes the shortest way: headers are read once, the
register in memory is asked, and the answer is two small messages to the web server. Everything else is looked at
(`callers`), slowed down where it comes too often, and handed to the application behind, which is made for many
different requests rather than for many. What is changed by whom is written with the change itself, and into the audit
trail before the answer goes out.
"""

import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from math import ceil
from typing import Any, Protocol

from device_catalog.api.callers import VISIT, Reception, Visit, bearer
from device_catalog.api.limits import Buckets, Failures
from device_catalog.api.problems import MEDIA_TYPE, answer
from device_catalog.contract.enrolment import ENROLMENTS
from device_catalog.contract.paths import APPLIED_HEADER, BOOT_HEADER, DEVICES, REPORTED
from device_catalog.contract.signatures import HEADER
from device_catalog.errors import AskedTooOften, CatalogError, DeviceUnknown, NotAuthorised, PolledTooOften
from device_catalog.fleet.desired import DesiredDocuments
from device_catalog.fleet.device import Device
from device_catalog.fleet.fleet import Fleet
from device_catalog.storage.audit_trail import CUT_OFF, Act
from device_catalog.storage.deeds import Deed, under_way

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

WRITES = ("POST", "PUT", "PATCH", "DELETE")

_prefix = f"{DEVICES}/"
_suffix = "/desired"
_reported = REPORTED.rpartition("}")[2]
_handed_in = ("/recordings/", "/support/")
_boot = BOOT_HEADER.lower().encode()
_applied = APPLIED_HEADER.lower().encode()
_signature = HEADER.lower().encode()
_no_body: Message = {"type": "http.response.body", "body": b""}
_log = logging.getLogger(__name__)


class Trail(Protocol):
    """Where it is written who did what."""

    async def note(self, act: Act, begun: str = "", *, always: bool = True) -> None:
        """Add an act, in the place of the row that its change wrote of it, or only then; it is durable afterwards."""


class Gateway:
    """
    The ASGI application that the web server runs.

    Parameters
    ----------
    fleet : Fleet
    documents : DesiredDocuments
    reception : Reception
    trail : Trail
    limits : tuple of Buckets
        For operators, for devices, and for addresses of whoever has no certificate.
    changed : callable
        Called after every change.
    application : callable
        For everything but polls.
    """

    def __init__(  # noqa: PLR0917 - one part each
        self,
        fleet: Fleet,
        documents: DesiredDocuments,
        reception: Reception,
        trail: Trail,
        limits: tuple[Buckets, Buckets, Buckets],
        changed: Callable[[], None],
        application: Application,
    ) -> None:
        self._fleet = fleet
        self._documents = documents
        self._reception = reception
        self._trail = trail
        self._operator_limit, self._device_limit, self._address_limit = limits
        self._changed = changed
        self._application = application
        self._failures = Failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        path: str = scope["path"]
        if path.endswith(_suffix) and path.startswith(_prefix) and scope["method"] == "GET":
            name = path[len(_prefix) : -len(_suffix)]
            if "/" not in name:
                await self._poll(name, scope, send)
                return
        visit = scope[VISIT] = self._reception.visit(scope)
        wait = self._too_early(visit)
        if wait:
            await say(AskedTooOften(ceil(wait)), send)
        elif scope["method"] in WRITES:
            await self._written(visit, scope, receive, send)
        elif visit.token and visit.operator is None:
            await self._application(scope, receive, self._watching(visit, scope, send))
        else:
            await self._application(scope, receive, send)

    def _watching(self, visit: Visit, scope: Scope, send: Send) -> Send:
        """Have it noted where a token turns out to be none."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_failed_entry(visit, scope, message["status"]):
                await self._note_failure(visit, scope, message)
            await send(message)

        return sending

    async def _note_failure(self, visit: Visit, scope: Scope, message: Message) -> None:
        """Write down that somebody was not let in: at most once a minute for an address, with how many there were."""
        count = self._failures.count(visit.address, time.monotonic())
        if not count:
            return
        act = _act(visit, scope, message, "")._replace(actor=f"nobody known ({count}x)", role="")
        with contextlib.suppress(CatalogError):  # the answer is a refusal whether it is written down or not
            await self._trail.note(act)

    def _too_early(self, visit: Visit) -> float:
        now = time.monotonic()
        if visit.operator is not None:
            return self._operator_limit.wait(visit.operator.name, now)
        if visit.device:
            return self._device_limit.wait(visit.device, now)
        # Whoever has no certificate may be made up: a whole address is slowed down, and each token for itself.
        wait = self._address_limit.wait(visit.address, now)
        if not wait and visit.token:
            wait = self._device_limit.wait(hashlib.sha256(visit.token).digest(), now)
        return wait

    # ------------------------------------------------------------------ polls

    async def _poll(  # noqa: C901 - the shortest way: a call for each header would cost a tenth of it
        self, name: str, scope: Scope, send: Send
    ) -> None:
        authorization = known = b""
        boot = applied = -1
        for key, value in scope["headers"]:
            if key == b"authorization":
                authorization = value
            elif key == b"if-none-match":
                known = value
            elif key == _boot:
                boot = _count(value)
            elif key == _applied:
                applied = _count(value)
        try:
            device = self._who(name, authorization, scope)
            if device is not None:
                wait = self._fleet.heard(device, boot, applied, known)
                if wait:
                    await say(PolledTooOften(device.interval, ceil(wait)), send)
                    return
                if known == device.tag:
                    await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", known)]})
                    await send(_no_body)
                    return
            document, tag, signature = await self._documents.signed(name, known)
        except CatalogError as error:
            await say(error, send)
        except Exception as error:  # noqa: BLE001 - the last line of defence, which logs and answers
            _log.exception("a poll of %s failed", name[:80])
            await say(error, send)
        else:
            await _hand_out(document, tag, signature, known, send)

    def _who(self, name: str, authorization: bytes, scope: Scope) -> Device | None:
        """Find the device that asks; None for an operator."""
        if not authorization:
            device, certified = self._reception.device(scope)
            if device == name and device in self._fleet.devices:
                return self._fleet.devices[device]
            if certified:
                raise NotAuthorised("expected this device's own certificate, found another, or one that is void")
        if authorization[:7].lower() != b"bearer ":
            raise NotAuthorised("expected the header Authorization: Bearer CREDENTIAL or a certificate, found neither")
        try:
            return self._fleet.authenticate(name, authorization[7:])
        except NotAuthorised:
            operator = self._reception.operator(bearer(authorization))
            if operator is None:
                raise
            known = self._fleet.devices.get(name)
            if operator.tenant and (known is None or known.tenant != operator.tenant):
                raise DeviceUnknown(name[:80]) from None
            return None

    # ------------------------------------------------------------------ changes

    async def _written(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a change on; who made it is written down before the answer goes out."""
        body = hashlib.sha256()
        length = 0
        noted: CatalogError | None = None
        deed = Deed(lambda: _begun(visit, scope, body.hexdigest() if length else ""))

        async def receiving() -> Message:
            nonlocal length
            message = await receive()
            part = message.get("body", b"")
            length += len(part)
            body.update(part)
            return message

        async def sending(message: Message) -> None:
            nonlocal noted
            if message["type"] == "http.response.start" and _is_failed_entry(visit, scope, message["status"]):
                await self._note_failure(visit, scope, message)
            elif message["type"] == "http.response.start" and (
                deed.noted or _is_audited(visit, scope, message["status"])
            ):
                act = _act(visit, scope, message, body.hexdigest() if length else "")
                deed.is_over = True  # the entry takes its row's place
                try:
                    always = _is_audited(visit, scope, message["status"])
                    await self._trail.note(act, deed.name if deed.noted else "", always=always)
                except CatalogError as error:
                    noted = error
                    await say(error, send)
            if noted is None:
                await send(message)
            if message["type"] == "http.response.start" and message["status"] < 300:
                self._changed()

        token = under_way.set(deed)
        try:
            await self._application(scope, receiving, sending)
        finally:
            under_way.reset(token)
            deed.is_over = True  # what goes on behind the answer is the catalog's own doing


def _is_failed_entry(visit: Visit, scope: Scope, status: int) -> bool:
    """Tell whether somebody tried a token that is none, an operator's or one that lets a device in."""
    if visit.actor:
        return False
    return (status == 401 and bool(visit.token)) or (400 <= status < 500 and scope["path"] == ENROLMENTS)


def _is_audited(visit: Visit, scope: Scope, status: int) -> bool:
    """Tell whether an act is for the trail: what changed something, and what a known operator was not allowed."""
    if not visit.actor or not (status < 300 or status == 403):
        return False
    path: str = scope["path"]
    # What a device says of itself all day long is no act of anybody's.
    return visit.role != "device" or not (path.endswith(_reported) or any(map(path.__contains__, _handed_in)))


def _begun(visit: Visit, scope: Scope, body: str) -> Act | None:
    """Say who is about to change something; None where that is not for the trail."""
    if visit.actor and not _is_audited(visit, scope, 200):
        return None
    act = _act(visit, scope, {"status": CUT_OFF}, body)
    return act if visit.actor else act._replace(actor=visit.claimed, role="device") if visit.claimed else None


def _act(visit: Visit, scope: Scope, message: Message, body: str) -> Act:
    sent = dict(scope["headers"])
    answered = {bytes(key).lower(): bytes(value) for key, value in message.get("headers", ())}
    return Act(
        time.time_ns(),
        visit.actor,
        visit.role,
        visit.tenant,
        visit.address[:64],
        scope["method"],
        scope["path"][:1000],
        message["status"],
        sent.get(b"if-match", b"").decode("latin-1")[:128],
        answered.get(b"etag", b"").decode("latin-1")[:128],
        body,
    )


async def _hand_out(document: bytes, tag: bytes, signature: bytes, known: bytes, send: Send) -> None:
    tags = [part.strip().removeprefix(b"W/") for part in known.split(b",")]
    if tag in tags or b"*" in tags:
        await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", tag)]})
        await send(_no_body)
        return
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(document)).encode()),
        (b"etag", tag),
        (b"cache-control", b"no-cache"),
    ]
    if signature:
        headers.append((_signature, signature))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": document})


async def say(error: Exception, send: Send) -> None:
    """Answer with a problem document."""
    status, body, headers = answer(error)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", MEDIA_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
                *((key.lower().encode(), value.encode()) for key, value in headers.items()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


def _count(value: bytes) -> int:
    return int(value) if len(value) <= 15 and value.isdigit() else -1
