"""
The REST interface of support: who may ask, what is read, what is answered.

An engineer asks a device for a bundle or for its log, sees what became of it, and fetches it; a device hands over what
was asked of it. That somebody fetches a bundle is written into the audit trail before it goes out.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from litestar import Response, delete, get, patch, post, put
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from device_catalog.access.audit import Audit
from device_catalog.api.callers import Access, AnyRequest, visit_of
from device_catalog.api.parameters import names_of, offset_of, part_of_list
from device_catalog.contract.shape import comply
from device_catalog.contract.support import (
    DEVICE_SUPPORT,
    SUPPORT,
    SUPPORT_FILE,
    SUPPORT_LINES,
    SUPPORT_REQUEST,
    BundleLabel,
    SupportWanted,
)
from device_catalog.errors import Refused
from device_catalog.storage.audit_trail import Act
from device_catalog.support.requests import MAXIMUM_PAGE, SupportRequests

_encode = msgspec.json.encode


def handlers(  # noqa: C901 - a list of small handlers
    support: SupportRequests,
    audit: Audit,
    access: Access,
    read_body: Callable[[AnyRequest], Awaitable[bytes]],
    read_document: Callable[[AnyRequest], Awaitable[Any]],
) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    support : SupportRequests
    audit : Audit
    access : Access
    read_body, read_document : callable
        Read a request's body as far as it may go, and as a JSON object.
    """

    @get(SUPPORT)
    async def page(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        device, cursor, limit = part_of_list(request, "device", MAXIMUM_PAGE)
        return _json(_encode(await support.page(device, cursor, limit, operator.tenant)))

    @post(_route(DEVICE_SUPPORT))
    async def ask(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        wanted, problems = comply(SupportWanted, await read_document(request), "support")
        if problems or wanted is None:
            raise Refused(problems)
        entry = await support.ask(_device(request), wanted, operator.name)
        return _json(_encode(entry), 201)

    @get(_route(SUPPORT_REQUEST))
    async def one(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        return _json(_encode(await support.one(*_names(request))))

    @delete(_route(SUPPORT_REQUEST), status_code=204)
    async def end(request: AnyRequest) -> None:
        operator = access.operator(request)
        await support.end(*_names(request), operator.name)

    @put(_route(SUPPORT_REQUEST))
    async def told(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        return _json(_encode(await support.told(*_names(request), _label(await read_body(request)))))

    @patch(_route(SUPPORT_FILE))
    async def take(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        offset = offset_of(request)
        return _json(_encode(await support.take(*_names(request), offset, await read_body(request))))

    @get(_route(SUPPORT_FILE))
    async def file(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        device, name = _names(request)
        data, digest = await support.file(device, name, operator.name)
        await audit.note(_fetched(request, digest))
        disposition = f'attachment; filename="tresma-support-{device}-{name}.tar.gz"'
        headers = {"ETag": f'"{digest}"', "Content-Disposition": disposition}
        return Response(data, headers=headers, media_type="application/octet-stream")

    @get(_route(SUPPORT_LINES))
    async def lines(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise Refused([Problem("query.after", "the number of a line", shortened(after))])
        return _json(_encode(await support.lines(*_names(request), int(after))))

    return [page, ask, one, end, told, take, file, lines]


def _fetched(request: AnyRequest, digest: str) -> Act:
    """Write down who fetches a bundle; other reads are no entries, this one takes data of customers away."""
    visit = visit_of(request)
    return Act(
        time.time_ns(),
        visit.actor,
        visit.role,
        visit.tenant,
        visit.address[:64],
        request.method,
        request.url.path[:1000],
        200,
        "",
        f'"{digest}"',
        "",
    )


def _device(request: AnyRequest) -> str:
    return str(request.path_params["device"])


def _names(request: AnyRequest) -> tuple[str, str]:
    return names_of(request, "device", "support")


def _label(body: bytes) -> BundleLabel:
    try:
        return msgspec.json.decode(body, type=BundleLabel)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Refused([Problem("bundle", "the label of a bundle", shortened(str(error), 200))]) from error


def _json(body: bytes, status: int = 200) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json")


def _route(path: str) -> str:
    return path.replace("{device}", "{device:str}").replace("{support}", "{support:str}")
