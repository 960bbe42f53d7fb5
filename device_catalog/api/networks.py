"""
The REST interface of networks: who may ask, what is read, what is answered.

Operators keep networks and switch states, and look at every revision and every part. A device reads its own part, by an
address of its own: the configuration that it was given says which.
"""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from litestar import Response, get, put
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from device_catalog.api.callers import Access, AnyRequest
from device_catalog.api.problems import HttpError
from device_catalog.contract.paths import (
    DEVICE_NETWORK,
    MAXIMUM_NETWORK,
    NETWORK,
    NETWORK_AREA,
    NETWORK_REVISION,
    NETWORK_REVISIONS,
    NETWORKS,
    TOPOLOGY,
    TOPOLOGY_REVISION,
    TOPOLOGY_REVISIONS,
)
from device_catalog.contract.rules import IDENTIFIER
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import Refused
from device_catalog.grid.networks import Networks
from device_catalog.grid.questions import MAXIMUM_PAGE, NetworkQuestions

QUERY = ("cursor", "limit")

ReadBody = Callable[[AnyRequest, int], Awaitable[bytes]]

_encode = msgspec.json.encode


def handlers(  # noqa: C901 - a list of small handlers
    networks: Networks, questions: NetworkQuestions, access: Access, read_body: ReadBody
) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    networks : Networks
    questions : NetworkQuestions
    access : Access
    read_body : callable
        Reads a request's body, at most so many bytes of it.
    """

    @get(NETWORKS)
    async def page(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        cursor, limit = _query(request, is_identifier)
        return _json(_encode(await questions.page(cursor, limit, operator.tenant)))

    @get(_route(NETWORK))
    async def document(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        return _tagged(request, *await questions.document(_name(request)))

    @put(_route(NETWORK))
    async def store(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        matches = _matches(request)
        tenant = operator.tenant or request.query_params.get("tenant", "")
        if tenant and not is_identifier(tenant):
            raise HttpError(400, f"expected the query tenant={IDENTIFIER}, found {shortened(tenant)}")
        body = await read_body(request, MAXIMUM_NETWORK)
        stored = await networks.put(_name(request), body, matches, operator.name, tenant)
        return _json(_encode(stored), {"ETag": f'"{stored.revision}"'})

    @get(_route(NETWORK_REVISIONS))
    async def revisions(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        cursor, limit = _query(request, _is_number)
        return _json(_encode(await questions.revisions(_name(request), cursor, limit)))

    @get(_route(NETWORK_REVISION))
    async def revision(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        return _tagged(request, *await questions.document(_name(request), _number(request)))

    @get(_route(NETWORK_AREA))
    async def area(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        return _tagged(request, *await questions.area(_name(request), _name(request, "area")))

    @get(_route(TOPOLOGY))
    async def states(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        return _tagged(request, *await questions.states(_name(request)))

    @put(_route(TOPOLOGY))
    async def switch(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        matches = _matches(request)
        body = await read_body(request, MAXIMUM_NETWORK)
        stored = await networks.put_states(_name(request), body, matches, operator.name)
        return _json(_encode(stored), {"ETag": f'"{stored.topology_revision}"'})

    @get(_route(TOPOLOGY_REVISIONS))
    async def state_revisions(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        cursor, limit = _query(request, _is_number)
        return _json(_encode(await questions.revisions(_name(request), cursor, limit, of_states=True)))

    @get(_route(TOPOLOGY_REVISION))
    async def state_revision(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        return _tagged(request, *await questions.states(_name(request), _number(request)))

    @get(_route(DEVICE_NETWORK))
    async def own(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        return _tagged(request, *await questions.area_of(_name(request, "device")))

    return [page, document, store, revisions, revision, area, states, switch, state_revisions, state_revision, own]


def _name(request: AnyRequest, part: str = "network") -> str:
    name = str(request.path_params[part])
    if not is_identifier(name):
        raise HttpError(404, f"expected {IDENTIFIER}, found {shortened(name)}")
    return name


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _number(request: AnyRequest) -> int:
    text = str(request.path_params["revision"])
    if not _is_number(text) or not int(text):
        raise HttpError(404, f"expected the number of a revision, found {shortened(text)}")
    return int(text)


def _matches(request: AnyRequest) -> str:
    """Read the tag that a change is based on; what must not be there yet is based on 0."""
    if request.headers.get("If-None-Match", "").strip() == "*":
        return '"0"'
    matches = request.headers.get("If-Match", "")
    if not matches:
        detail = 'expected the header If-Match with the entity tag you read, such as "7", or * to overwrite'
        raise HttpError(428, f"{detail}, or If-None-Match: * for what is new; found none")
    return str(matches)


def _query(request: AnyRequest, is_cursor: Callable[[str], bool]) -> tuple[str, int]:
    query = dict(request.query_params)
    problems = [
        Problem(f"query.{shortened(name, 40)}", ", ".join(QUERY), "an unknown parameter", "remove it")
        for name in query
        if name not in QUERY
    ]
    cursor, text = query.get("cursor", ""), query.get("limit", "100")
    limit = int(text) if _is_number(text) else 0
    if not 1 <= limit <= MAXIMUM_PAGE:
        problems.append(Problem("query.limit", f"a number from 1 to {MAXIMUM_PAGE}", shortened(text)))
    if cursor and not is_cursor(cursor):
        problems.append(Problem("query.cursor", "a cursor that a list ended with", shortened(cursor)))
    if problems:
        raise Refused(problems)
    return cursor, limit


def _tagged(request: AnyRequest, body: bytes, tag: str) -> Response[bytes]:
    known = [part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")]
    if tag in known or "*" in known:
        return Response(b"", status_code=304, headers={"ETag": tag}, media_type="application/json")
    return _json(body, {"ETag": tag})


def _json(body: bytes, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(body, headers=headers or {}, media_type="application/json")


def _route(path: str) -> str:
    for name in ("network", "area", "revision", "device"):
        path = path.replace(f"{{{name}}}", f"{{{name}:str}}")
    return path
