"""
The REST interface of commissionings: a meter hands in its signed record, operators list, read and print them.

The report (PDF) is made from the record each time it is asked for, and carries the record with its signature.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from device_catalog.access.operators import Operator
from device_catalog.api.problems import HttpError
from device_catalog.contract.commissioning import (
    COMMISSIONING,
    COMMISSIONING_REPORT,
    COMMISSIONINGS,
    MAXIMUM_SIGNED,
    SignedRecord,
)
from device_catalog.errors import Refused
from device_catalog.fleet.commissionings import Commissionings, CommissioningUnknown

AnyRequest = Request[Any, Any, Any]

_encode = msgspec.json.encode


class Access(Protocol):
    """Whoever tells who may do what."""

    def operator(self, request: AnyRequest) -> Operator:
        """Refuse whoever is no operator with the role this takes; return who it is."""

    def own(self, request: AnyRequest) -> bool:
        """Refuse whoever is neither operator nor the device; tell whether it is the device."""


def handlers(
    commissionings: Commissionings, access: Access, read_body: Callable[[AnyRequest, int], Awaitable[bytes]]
) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    commissionings : Commissionings
    access : Access
    read_body : callable
        Reads a request's body up to a length.
    """

    @post(_route(COMMISSIONINGS), status_code=201)
    async def hand_in(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        kept = await commissionings.hand_in(_device(request), _signed(await read_body(request, MAXIMUM_SIGNED)))
        return _json(_encode(kept), 201)

    @get(_route(COMMISSIONINGS))
    async def page(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        return _json(_encode(await commissionings.page(_device(request))))

    @get(_route(COMMISSIONING))
    async def one(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        try:
            signed, _ = await commissionings.signed(_device(request), _number(str(request.path_params["number"])))
        except CommissioningUnknown as error:
            raise HttpError(404, str(error)) from error
        return _json(_encode(signed))

    @get(_route(COMMISSIONING_REPORT))
    async def paper(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        return await printed(commissionings, _device(request), str(request.path_params["number"]))

    return [hand_in, page, one, paper]


async def printed(commissionings: Commissionings, device: str, number: str) -> Response[bytes]:
    """
    Answer with the report of a record.

    Raises
    ------
    HttpError
        When there is none of that number.
    """
    try:
        paper = await commissionings.paper(device, _number(number))
    except CommissioningUnknown as error:
        raise HttpError(404, str(error)) from error
    headers = {"Content-Disposition": f'attachment; filename="{paper.name}"', "Cache-Control": "no-store"}
    return Response(paper.content, headers=headers, media_type="application/pdf")


def _number(text: str) -> int:
    if text == "newest":
        return 0
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise HttpError(404, f"expected the number of a commissioning, or newest, found {shortened(text)}")
    return int(text)


def _device(request: AnyRequest) -> str:
    return str(request.path_params["device"])


def _signed(body: bytes) -> SignedRecord:
    try:
        return msgspec.json.decode(body, type=SignedRecord)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Refused([Problem("body", "a signed commissioning record", shortened(str(error), 200))]) from error


def _json(body: bytes, status: int = 200) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json")


def _route(path: str) -> str:
    return path.replace("{device}", "{device:str}").replace("{number}", "{number:str}")
