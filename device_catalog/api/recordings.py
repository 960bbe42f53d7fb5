"""
The REST interface of recordings: who may ask, what is read, what is answered.

A device tells of its recordings, hands over those it was asked for, part by part, and says which are gone. An operator
lists them, asks for one, and fetches its file once it is here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from litestar import Response, delete, get, patch, put
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from device_catalog.api.callers import Access, AnyRequest
from device_catalog.api.parameters import names_of, offset_of, part_of_list
from device_catalog.contract.paths import RECORDING, RECORDING_FILE, RECORDING_REQUEST, RECORDINGS
from device_catalog.contract.recordings import RecordingInfo
from device_catalog.errors import Refused
from device_catalog.grid.recordings import MAXIMUM_PAGE, Recordings

_encode = msgspec.json.encode


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
        device, cursor, limit = part_of_list(request, "device", MAXIMUM_PAGE)
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
        offset = offset_of(request)
        return _json(_encode(await recordings.take(*_names(request), offset, await read_body(request))))

    @get(_route(RECORDING_FILE))
    async def file(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        device, name = _names(request)
        data, digest = await recordings.file(device, name)
        headers = {"ETag": f'"{digest}"', "Content-Disposition": f'attachment; filename="{device}_{name}.cff"'}
        return Response(data, headers=headers, media_type="application/octet-stream")

    return [page, tell, one, remove, ask, take, file]


def _names(request: AnyRequest) -> tuple[str, str]:
    return names_of(request, "device", "recording")


def _info(body: bytes) -> RecordingInfo:
    try:
        return msgspec.json.decode(body, type=RecordingInfo)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Refused([Problem("recording", "the label of a recording", shortened(str(error), 200))]) from error


def _json(body: bytes, status: int = 200) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json")


def _route(path: str) -> str:
    return path.replace("{device}", "{device:str}").replace("{recording}", "{recording:str}")
