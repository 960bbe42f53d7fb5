"""
The REST interface of the signed repository: two folders, served as they are, to anybody.

Nothing here is secret and nothing here is believed: whoever fetches verifies the signatures. The catalog has no key of
root or targets, so it cannot change what meters run; it can only serve, or not. A whole document or package is read
into memory, so only a few are read at once.
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from device_catalog.api.problems import HttpError
from device_catalog.contract.packages import MAXIMUM_PACKAGE
from device_catalog.contract.trust import MAXIMUM_TARGETS, METADATA_FILE, TARGET_FILE

AnyRequest = Request[Any, Any, Any]

AT_ONCE = 4
"""Files in memory at the same time."""

_metadata = re.compile(r"(?:[1-9][0-9]{0,9}\.)?[A-Za-z0-9_-]{1,64}\.json")
_algorithm = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_target = re.compile(r"[0-9a-f]{64}\.[A-Za-z0-9_.-]{1,150}\.whl")


def handlers(folder: Path) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    folder : pathlib.Path
        With ``metadata`` and ``targets``, as `tresma repository` keeps them; may appear later.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    @get(METADATA_FILE.replace("}", ":str}"))
    async def metadata(request: AnyRequest) -> Response[bytes]:
        name = str(request.path_params["file"])
        if not _metadata.fullmatch(name):
            raise _unknown(name)
        # A document with its version in its name never changes; the others are asked for again.
        fresh = "max-age=86400, immutable" if name[0].isdigit() else "no-cache"
        return await _answer(request, folder / "metadata" / name, MAXIMUM_TARGETS, "application/json", fresh)

    @get(TARGET_FILE.replace("}", ":str}"))
    async def target(request: AnyRequest) -> Response[bytes]:
        algorithm, name = str(request.path_params["algorithm"]), str(request.path_params["file"])
        if not _algorithm.fullmatch(algorithm) or not _target.fullmatch(name):
            raise _unknown(name)
        path = folder / "targets" / "algorithms" / algorithm / name
        return await _answer(request, path, MAXIMUM_PACKAGE, "application/octet-stream", "max-age=86400, immutable")

    async def _answer(request: AnyRequest, path: Path, most: int, media_type: str, fresh: str) -> Response[bytes]:
        async with turns:
            content = await asyncio.to_thread(_content, path, most)
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": fresh}
        if tag in request.headers.get("If-None-Match", ""):
            return Response(b"", status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    return [metadata, target]


def _content(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise _unknown(path.name) from error
    if len(content) > most:
        raise HttpError(404, f"expected a file of at most {most} bytes, found a longer one; no meter would read it")
    return content


def _unknown(name: str) -> HttpError:
    return HttpError(404, f"expected a file of the signed repository, found no {name[:100]}")
