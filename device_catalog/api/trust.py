"""
The REST interface of the signed repository: two folders, served as they are to anybody, filled by operators.

Nothing here is secret and nothing here is believed: whoever fetches verifies the signatures. The catalog has no key of
root or targets, so it cannot change what meters run; it can only serve, or not. What an operator pushes is verified as
a meter would verify it before anything is stored (`device_catalog.packages.reception`). A whole document or package is
read into memory, so only a few are read at once.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
from litestar import Request, Response, get, put
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from device_catalog.api.problems import HttpError
from device_catalog.contract.packages import MAXIMUM_PACKAGE
from device_catalog.contract.policy import MAXIMUM_POLICY
from device_catalog.contract.trust import (
    MAXIMUM_PUSH,
    MAXIMUM_TARGETS,
    METADATA,
    METADATA_FILE,
    POLICY_FILE,
    TARGET_FILE,
    Push,
    Pushed,
)
from device_catalog.errors import Refused
from device_catalog.packages.errors import RepositoryError
from device_catalog.packages.storing import receive_package, receive_policy

AnyRequest = Request[Any, Any, Any]
ReadBody = Callable[[AnyRequest, int], Awaitable[bytes]]


class Access(Protocol):
    """Whoever tells who may do what."""

    def operator(self, request: AnyRequest) -> object:
        """Refuse whoever is no operator with the role this takes."""


AT_ONCE = 4
"""Files in memory at the same time."""

_metadata = re.compile(r"(?:[1-9][0-9]{0,9}\.)?[A-Za-z0-9_-]{1,64}\.json")
_algorithm = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_policy = re.compile(r"[0-9a-f]{64}\.policy\.json")
_target = re.compile(r"[0-9a-f]{64}\.[A-Za-z0-9_.-]{1,150}\.whl")


def handlers(  # noqa: C901 - a list of small handlers
    folder: Path, access: Access, read_body: ReadBody
) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    folder : pathlib.Path
        With ``metadata`` and ``targets``, as `tresma repository` keeps them; may appear later.
    access : Access
    read_body : callable
        Reads a request's body as far as it may go.
    """
    turns = asyncio.Semaphore(AT_ONCE)
    pushing = asyncio.Lock()

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

    @put(METADATA)
    async def push(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        async with pushing:
            documents = _documents(await read_body(request, MAXIMUM_PUSH))
            stored = await asyncio.to_thread(_received, folder, documents)
        return Response(msgspec.json.encode(Pushed(tuple(stored))), media_type="application/json")

    @put(TARGET_FILE.replace("}", ":str}"), status_code=204)
    async def push_target(request: AnyRequest) -> None:
        access.operator(request)
        algorithm, name = str(request.path_params["algorithm"]), str(request.path_params["file"])
        if not _algorithm.fullmatch(algorithm) or not _target.fullmatch(name):
            raise _unknown(name)
        async with turns:
            content = await read_body(request, MAXIMUM_PACKAGE)
            await asyncio.to_thread(receive_package, folder, algorithm, name, content)

    @get(POLICY_FILE.replace("}", ":str}"))
    async def policy(request: AnyRequest) -> Response[bytes]:
        name = str(request.path_params["file"])
        if not _policy.fullmatch(name):
            raise _unknown(name)
        path = folder / "targets" / "policy" / name
        return await _answer(request, path, MAXIMUM_POLICY, "application/json", "max-age=86400, immutable")

    @put(POLICY_FILE.replace("}", ":str}"), status_code=204)
    async def push_policy(request: AnyRequest) -> None:
        access.operator(request)
        name = str(request.path_params["file"])
        if not _policy.fullmatch(name):
            raise _unknown(name)
        content = await read_body(request, MAXIMUM_POLICY)
        await asyncio.to_thread(receive_policy, folder, name, content)

    async def _answer(request: AnyRequest, path: Path, most: int, media_type: str, fresh: str) -> Response[bytes]:
        async with turns:
            content = await asyncio.to_thread(_content, path, most)
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": fresh}
        if tag in request.headers.get("If-None-Match", ""):
            return Response(b"", status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    return [metadata, target, policy, push, push_target, push_policy]


def _documents(body: bytes) -> dict[str, bytes]:
    try:
        texts = msgspec.json.decode(body, type=Push).documents
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = Problem("body", "an object with `documents`: texts by file name", shortened(str(error), 200))
        raise Refused([problem]) from error
    return {name: text.encode() for name, text in texts.items()}


def _received(folder: Path, documents: dict[str, bytes]) -> list[str]:
    try:
        from device_catalog.packages.reception import receive_documents  # noqa: PLC0415 - TUF, for those who push
    except ModuleNotFoundError as error:
        raise HttpError(501, f"expected the library {error.name}, found none; install tresma[trust]") from error
    try:
        return receive_documents(folder, documents)
    except RepositoryError as error:
        raise Refused([Problem("documents", "a repository", str(error))]) from error


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
