"""
The REST interface of faults: the list, all that is known of one, with an entity tag of its content, and its repair.

Operators only; faults come by the grid broker (`device_catalog.grid.fault_listener`), not from here. What a person says
of one is based on the tag that was read, so that nobody ends a fault that has just come back.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from litestar import Response, get, patch
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import shortened
from device_catalog.api.callers import Access, AnyRequest
from device_catalog.api.parameters import part_of_list
from device_catalog.api.problems import HttpError
from device_catalog.contract.faults import FaultDetail, parse_change
from device_catalog.contract.paths import FAULT, FAULTS, MAXIMUM_DOCUMENT
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import FaultUnknown, RevisionOutdated
from device_catalog.grid.faults import MAXIMUM_PAGE, Faults

ReadBody = Callable[[AnyRequest, int], Awaitable[bytes]]


def handlers(faults: Faults, access: Access, read_body: ReadBody) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    faults : Faults
    access : Access
    read_body : callable
        Reads a request's body, at most so many bytes of it.
    """

    @get(FAULTS)
    async def page(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        network, cursor, limit = part_of_list(request, "network", MAXIMUM_PAGE)
        return _tagged(request, msgspec.json.encode(await faults.page(network, cursor, limit, operator.tenant)))

    @get(FAULT.replace("{fault}", "{fault:str}"))
    async def one(request: AnyRequest) -> Response[bytes]:
        return _tagged(request, msgspec.json.encode(await seen(request)))

    @patch(FAULT.replace("{fault}", "{fault:str}"))
    async def change(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        found = await seen(request)
        matches = [part.strip() for part in request.headers.get("If-Match", "").split(",") if part.strip()]
        if not matches:
            raise HttpError(428, "expected the header If-Match with the entity tag you read, or * for any; found none")
        wanted = parse_change(await read_body(request, MAXIMUM_DOCUMENT))
        revision, name = found.summary.revision, found.summary.id
        if "*" not in matches and _tag_of(msgspec.json.encode(found)) not in matches:
            raise RevisionOutdated("the entity tag that was sent", revision)
        await faults.change(name, wanted, None if "*" in matches else revision, operator.name, time.time_ns())
        body = msgspec.json.encode(await faults.one(name))
        return Response(body, headers={"ETag": _tag_of(body)}, media_type="application/json")

    async def seen(request: AnyRequest) -> FaultDetail:
        operator = access.operator(request)
        name = str(request.path_params["fault"])
        if not is_identifier(name):
            raise HttpError(404, f"expected letters, digits, _ and - (at most 64), found {shortened(name)}")
        found = await faults.one(name)
        if operator.tenant and not access.sees_network(operator, found.summary.network):
            raise FaultUnknown(f"expected a fault, found none called {shortened(name)}; list those there are")
        return found

    return [page, one, change]


def _tag_of(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _tagged(request: AnyRequest, body: bytes) -> Response[bytes]:
    tag = _tag_of(body)
    if tag in [part.strip() for part in request.headers.get("If-None-Match", "").split(",")]:
        return Response(b"", status_code=304, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag}, media_type="application/json")
