"""
The REST interface of images of root slots: manifests and payloads, served to anybody, brought by operators.

Beside `trust`, with the same rules: nothing here is secret, nothing is believed, and whoever fetches verifies. A
payload is hundreds of megabytes: it is brought in parts and goes on after a cut, it is served from any byte on, and
neither way is it ever in memory. So many are served at once; who comes then is told to come again.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec
from litestar import Request, Response, get, patch, put
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from algorithms.api.errors import shortened
from device_catalog.api.problems import HttpError
from device_catalog.contract.images import IMAGE_FILE, MAXIMUM_MANIFEST, MAXIMUM_PART
from device_catalog.contract.paths import OFFSET_HEADER
from device_catalog.contract.recordings import Received
from device_catalog.packages.image_storing import receive_manifest, receive_part

AnyRequest = Request[Any, Any, Any]
ReadBody = Callable[[AnyRequest, int], Awaitable[bytes]]

AT_ONCE = 100
"""Payloads that are served at the same time."""
READ = 256 * 1024
BRINGING = 2
"""Parts in memory at the same time."""

_image = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_manifest = re.compile(r"[0-9a-f]{64}\.[A-Za-z0-9_.-]{1,150}\.json")
_payload = re.compile(r"[0-9a-f]{64}\.[A-Za-z0-9_.-]{1,150}\.image")
_range = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")


class Access(Protocol):
    """Whoever tells who may do what."""

    def operator(self, request: AnyRequest) -> object:
        """Refuse whoever is no operator with the role this takes."""


def handlers(folder: Path, access: Access, read_body: ReadBody) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    folder : pathlib.Path
        With ``targets``, as `tresma repository` keeps them; may appear later.
    access : Access
    read_body : callable
        Reads a request's body as far as it may go.
    """
    serving, bringing = _Places(AT_ONCE), asyncio.Semaphore(BRINGING)
    receiving = asyncio.Lock()

    @get(_route(IMAGE_FILE))
    async def image(request: AnyRequest) -> Response[Any]:
        name, file = _names(request)
        path = folder / "targets" / "images" / name / file
        if _manifest.fullmatch(file):
            content = await asyncio.to_thread(_content, path)
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            headers = {"ETag": tag, "Cache-Control": "max-age=86400, immutable"}
            if tag in request.headers.get("If-None-Match", ""):
                return Response(b"", status_code=304, headers=headers)
            return Response(content, headers=headers, media_type="application/octet-stream")
        return await _streamed(request, path, serving)

    @patch(_route(IMAGE_FILE))
    async def bring(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        name, file = _names(request)
        if not _payload.fullmatch(file):
            raise HttpError(404, f"expected a payload to be brought in parts, found {shortened(file)}")
        text = request.headers.get(OFFSET_HEADER, "")
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise HttpError(400, f"expected the header {OFFSET_HEADER} with a count of bytes, found {shortened(text)}")
        async with bringing:
            body = await read_body(request, MAXIMUM_PART)
            async with receiving:
                here = await asyncio.to_thread(receive_part, folder, name, file, int(text), body)
        return Response(msgspec.json.encode(Received(here)), media_type="application/json")

    @put(_route(IMAGE_FILE), status_code=204)
    async def finish(request: AnyRequest) -> None:
        access.operator(request)
        name, file = _names(request)
        if not _manifest.fullmatch(file):
            raise HttpError(404, f"expected a manifest, found {shortened(file)}; a payload is brought in parts")
        body = await read_body(request, MAXIMUM_MANIFEST)
        async with receiving:
            await asyncio.to_thread(receive_manifest, folder, name, file, body)

    return [image, bring, finish]


class _Places:
    """Counts who is served."""

    def __init__(self, most: int) -> None:
        self.free = most


async def _streamed(request: AnyRequest, path: Path, places: _Places) -> Response[Any]:
    """Serve a payload from the byte that is asked for."""
    file = await asyncio.to_thread(_opened, path)
    length = file.seek(0, 2)
    asked = request.headers.get("Range", "")
    found = _range.fullmatch(asked)
    first = int(found[1]) if found else 0
    last = min(int(found[2]) if found and found[2] else length - 1, length - 1)
    if (asked and not found) or first > last:
        file.close()
        headers = {"Content-Range": f"bytes */{length}"}
        raise HttpError(416, f"expected one range within {length} bytes, found {shortened(asked)}", headers)
    if not places.free:
        file.close()
        raise HttpError(503, f"expected fewer than {AT_ONCE} at once, found as many; come again", {"Retry-After": "60"})
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
        "Cache-Control": "max-age=86400, immutable",
        **({"Content-Range": f"bytes {first}-{last}/{length}"} if found else {}),
    }
    parts = _parts(file, first, last, places)
    return Stream(parts, status_code=206 if found else 200, headers=headers, media_type="application/octet-stream")


async def _parts(file: BinaryIO, first: int, last: int, places: _Places) -> AsyncIterator[bytes]:
    places.free -= 1
    try:
        file.seek(first)
        left = last - first + 1
        while left:
            part = await asyncio.to_thread(file.read, min(READ, left))
            if not part:
                return
            left -= len(part)
            yield part
    finally:
        places.free += 1
        file.close()


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unknown(path.name) from error


def _content(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read(MAXIMUM_MANIFEST)


def _names(request: AnyRequest) -> tuple[str, str]:
    name, file = str(request.path_params["image"]), str(request.path_params["file"])
    if not _image.fullmatch(name) or not (_manifest.fullmatch(file) or _payload.fullmatch(file)):
        raise _unknown(file)
    return name, file


def _unknown(name: str) -> HttpError:
    return HttpError(404, f"expected a file of the signed repository, found no {name[:100]}")


def _route(path: str) -> str:
    return path.replace("{image}", "{image:str}").replace("{file}", "{file:str}")
