"""
The REST interface of recordings: who may ask, what is read, what is answered.

A device tells of its recordings, hands over those it was asked for, part by part, and says which are gone. An operator
lists them, asks for one, and fetches its file once it is here.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from litestar import Request, Response, delete, get, patch, put
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from device_catalog.access.operators import Operator
from device_catalog.api.problems import HttpError
from device_catalog.contract.paths import (
    OFFSET_HEADER,
    RECORDING,
    RECORDING_FILE,
    RECORDING_REQUEST,
    RECORDINGS,
)
from device_catalog.contract.recordings import RecordingInfo
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import Refused
from device_catalog.grid.recordings import MAXIMUM_PAGE, Recordings

AnyRequest = Request[Any, Any, Any]

QUERY = ("device", "cursor", "limit")

_encode = msgspec.json.encode


class Access(Protocol):
    """Whoever tells who may do what."""

    def operator(self, request: AnyRequest) -> Operator:
        """Refuse whoever is no operator with the role this takes; return who it is."""

    def own(self, request: AnyRequest) -> bool:
        """Refuse whoever is neither operator nor the device; tell whether it is the device."""


ReadBody = Callable[[AnyRequest], Any]


def handlers(recordings: Recordings, access: Access, read_body: ReadBody) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    recordings : Recordings
    access : Access
    read_body : callable
        Reads a request's body as far as it may go.
    """

    @get(RECORDINGS)
    async def page(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        device, cursor, limit = _query(request)
        return _json(_encode(await recordings.page(device, cursor, limit, operator.tenant)))

    @put(_route(RECORDING), status_code=204)
    async def tell(request: AnyRequest) -> None:
        access.own(request)
        await recordings.tell(*_names(request), _info(await read_body(request)))

    @get(_route(RECORDING))
    async def one(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        return _json(_encode(await recordings.one(*_names(request))))

    @delete(_route(RECORDING), status_code=204)
    async def remove(request: AnyRequest) -> None:
        if access.own(request):
            await recordings.gone(*_names(request))
        else:
            await recordings.forget(*_names(request))

    @put(_route(RECORDING_REQUEST), status_code=202)
    async def ask(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        return _json(_encode(await recordings.request(*_names(request))), 202)

    @patch(_route(RECORDING_FILE))
    async def take(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        offset = request.headers.get(OFFSET_HEADER, "0")
        if not (offset.isascii() and offset.isdigit() and len(offset) < 16):
            raise HttpError(
                400, f"expected the header {OFFSET_HEADER} with a count of bytes, found {shortened(offset)}"
            )
        return _json(_encode(await recordings.take(*_names(request), int(offset), await read_body(request))))

    @get(_route(RECORDING_FILE))
    async def file(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        device, name = _names(request)
        data, digest = await recordings.file(device, name)
        headers = {"ETag": f'"{digest}"', "Content-Disposition": f'attachment; filename="{device}_{name}.cff"'}
        return Response(data, headers=headers, media_type="application/octet-stream")

    return [page, tell, one, remove, ask, take, file]


def _names(request: AnyRequest) -> tuple[str, str]:
    device, name = (str(request.path_params[part]) for part in ("device", "recording"))
    for part in (device, name):
        if not is_identifier(part):
            raise HttpError(404, f"expected letters, digits, _ and - (at most 64), found {shortened(part)}")
    return device, name


def _info(body: bytes) -> RecordingInfo:
    try:
        return msgspec.json.decode(body, type=RecordingInfo)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Refused([Problem("recording", "the label of a recording", shortened(str(error), 200))]) from error


def _query(request: AnyRequest) -> tuple[str, str, int]:
    query = dict(request.query_params)
    problems = [
        Problem(f"query.{shortened(name, 40)}", ", ".join(QUERY), "an unknown parameter", "remove it")
        for name in query
        if name not in QUERY
    ]
    device, cursor, text = query.get("device", ""), query.get("cursor", ""), query.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= limit <= MAXIMUM_PAGE:
        problems.append(Problem("query.limit", f"a number from 1 to {MAXIMUM_PAGE}", shortened(text)))
    if device and not is_identifier(device):
        problems.append(Problem("query.device", "letters, digits, _ and - (at most 64)", shortened(device)))
    if problems:
        raise Refused(problems)
    return device, cursor, limit


def _json(body: bytes, status: int = 200) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json")


def _route(path: str) -> str:
    return path.replace("{device}", "{device:str}").replace("{recording}", "{recording:str}")
