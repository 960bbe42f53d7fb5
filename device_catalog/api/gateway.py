"""
The way in: answers a device's poll itself and hands everything else on.

A poll is most of what a catalog does, thousands a second, so it takes the shortest way: headers are read once, the
register in memory is asked, and the answer is two small messages to the web server. Everything else goes to the
application behind, which is made for many different requests rather than for many.
"""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from math import ceil
from typing import Any, Protocol

from device_catalog.api.problems import MEDIA_TYPE, answer
from device_catalog.contract.paths import APPLIED_HEADER, BOOT_HEADER, DEVICES
from device_catalog.desired import DesiredDocuments
from device_catalog.errors import CatalogError, NotAuthorised, PolledTooOften
from device_catalog.fleet import Device, Fleet

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

_prefix = f"{DEVICES}/"
_suffix = "/desired"
_boot = BOOT_HEADER.lower().encode()
_applied = APPLIED_HEADER.lower().encode()
_no_body: Message = {"type": "http.response.body", "body": b""}
_log = logging.getLogger(__name__)


class Operators(Protocol):
    """Whoever tells an operator's token."""

    def recognises(self, token: bytes) -> bool:
        """Tell whether `token` is an operator's."""


class Gateway:
    """The ASGI application that the web server runs."""

    def __init__(
        self, fleet: Fleet, documents: DesiredDocuments, operators: Operators, application: Application
    ) -> None:
        self._fleet = fleet
        self._documents = documents
        self._operators = operators
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path: str = scope["path"]
            if path.endswith(_suffix) and path.startswith(_prefix) and scope["method"] == "GET":
                name = path[len(_prefix) : -len(_suffix)]
                if "/" not in name:
                    await self._poll(name, scope["headers"], send)
                    return
        await self._application(scope, receive, send)

    async def _poll(  # noqa: C901 - the shortest way: a call for each header would cost a tenth of it
        self, name: str, headers: list[tuple[bytes, bytes]], send: Send
    ) -> None:
        authorization = known = b""
        boot = applied = -1
        for key, value in headers:
            if key == b"authorization":
                authorization = value
            elif key == b"if-none-match":
                known = value
            elif key == _boot:
                boot = _count(value)
            elif key == _applied:
                applied = _count(value)
        try:
            device = self._who(name, authorization)
            if device is not None:
                wait = self._fleet.heard(device, boot, applied, known)
                if wait:
                    await say(PolledTooOften(device.interval, ceil(wait)), send)
                    return
                if known == device.tag:
                    await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", known)]})
                    await send(_no_body)
                    return
            document, tag = await self._documents.of(name)
        except CatalogError as error:
            await say(error, send)
        except Exception as error:  # noqa: BLE001 - the last line of defence, which logs and answers
            _log.exception("a poll of %s failed", name[:80])
            await say(error, send)
        else:
            await _hand_out(document, tag, known, send)

    def _who(self, name: str, authorization: bytes) -> Device | None:
        """Find the device that asks; None for an operator."""
        if authorization[:7].lower() != b"bearer ":
            raise NotAuthorised("expected the header Authorization: Bearer CREDENTIAL, found none")
        try:
            return self._fleet.authenticate(name, authorization[7:])
        except NotAuthorised:
            if not self._operators.recognises(authorization[7:]):
                raise
            return None


async def _hand_out(document: bytes, tag: bytes, known: bytes, send: Send) -> None:
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
