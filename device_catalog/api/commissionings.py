"""
The REST interface of commissionings: a meter hands in its signed record, operators list, read and print them.

The report (PDF) is made from the record each time it is asked for, and carries the record with its signature.
"""

import asyncio
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
    CommissioningEntry,
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
        signed, _ = await _found(request)
        return _json(_encode(signed))

    @get(_route(COMMISSIONING_REPORT))
    async def paper(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        signed, entry = await _found(request)
        return await printed(signed, entry)

    async def _found(request: AnyRequest) -> Any:
        text = str(request.path_params["number"])
        if text != "newest" and not (text.isascii() and text.isdigit() and 0 < len(text) < 10):
            raise HttpError(404, f"expected the number of a commissioning, or newest, found {shortened(text)}")
        try:
            return await commissionings.signed(_device(request), 0 if text == "newest" else int(text))
        except CommissioningUnknown as error:
            raise HttpError(404, str(error)) from error

    return [hand_in, page, one, paper]


async def printed(signed: SignedRecord, entry: CommissioningEntry) -> Response[bytes]:
    """Answer with the report of a record."""
    name = f"{entry.device}_commissioning_{entry.number}.pdf"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    made = await asyncio.to_thread(_report, signed, entry)
    return Response(made, headers=headers, media_type="application/pdf")


def _report(signed: SignedRecord, entry: CommissioningEntry) -> bytes:
    """Make the report; takes half a second, and the library some memory that a catalog without reports does not pay."""
    from device_catalog.pages.commissioning_report import report  # noqa: PLC0415

    return report(signed, entry)


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
