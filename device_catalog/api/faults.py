"""
The REST interface of faults: the list, and all that is known of one, with an entity tag of its content.

Operators only; faults come by the grid broker (`device_catalog.fault_listener`), not from here.
"""

import hashlib
from collections.abc import Sequence

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from device_catalog.api.callers import Access, AnyRequest
from device_catalog.api.problems import HttpError
from device_catalog.contract.paths import FAULT, FAULTS
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import FaultUnknown, Refused
from device_catalog.faults import MAXIMUM_PAGE, Faults

QUERY = ("network", "cursor", "limit")


def handlers(faults: Faults, access: Access) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    faults : Faults
    access : Access
    """

    @get(FAULTS)
    async def page(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        return _tagged(request, msgspec.json.encode(await faults.page(*_query(request), operator.tenant)))

    @get(FAULT.replace("{fault}", "{fault:str}"))
    async def one(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        name = str(request.path_params["fault"])
        if not is_identifier(name):
            raise HttpError(404, f"expected letters, digits, _ and - (at most 64), found {shortened(name)}")
        found = await faults.one(name)
        if operator.tenant and not access.sees_network(operator, found.summary.network):
            raise FaultUnknown(f"expected a fault, found none called {shortened(name)}; list those there are")
        return _tagged(request, msgspec.json.encode(found))

    return [page, one]


def _query(request: AnyRequest) -> tuple[str, str, int]:
    query = dict(request.query_params)
    problems = [
        Problem(f"query.{shortened(name, 40)}", ", ".join(QUERY), "an unknown parameter", "remove it")
        for name in query
        if name not in QUERY
    ]
    network, cursor, text = query.get("network", ""), query.get("cursor", ""), query.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= limit <= MAXIMUM_PAGE:
        problems.append(Problem("query.limit", f"a number from 1 to {MAXIMUM_PAGE}", shortened(text)))
    if network and not is_identifier(network):
        problems.append(Problem("query.network", "letters, digits, _ and - (at most 64)", shortened(network)))
    if problems:
        raise Refused(problems)
    return network, cursor, limit


def _tagged(request: AnyRequest, body: bytes) -> Response[bytes]:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    if tag in [part.strip() for part in request.headers.get("If-None-Match", "").split(",")]:
        return Response(b"", status_code=304, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag}, media_type="application/json")
