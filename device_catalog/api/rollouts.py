"""
The REST interface of rollouts: who may ask, what is read, what is answered.

The entity tag of a rollout is its revision and a digest of what was answered, ``"3.9f86d081"``: the whole of it tells
whether anything is new, the revision alone whether an order is based on what is there, since mere progress is no reason
to refuse one.
"""

import re
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from device_catalog.api.problems import HttpError
from device_catalog.contract.paths import (
    MAXIMUM_DOCUMENT,
    ROLLOUT,
    ROLLOUT_DEVICES,
    ROLLOUT_ORDERS,
    ROLLOUTS,
)
from device_catalog.contract.rollout_progress import RolloutDetail
from device_catalog.contract.rollout_rules import parse_order, parse_rollout
from device_catalog.contract.rollouts import DeviceState, RolloutRequest, RolloutState
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import Refused, RolloutUnknown
from device_catalog.rollouts.orders import RolloutOrders
from device_catalog.rollouts.questions import MAXIMUM_PAGE, RolloutQuestions

AnyRequest = Request[Any, Any, Any]
ReadBody = Callable[[AnyRequest, int], Awaitable[bytes]]

_encode = msgspec.json.encode
_tag = re.compile(r'(?:W/)?"(\d{1,18})(?:\.[0-9a-f]{8})?"')


class Operator(Protocol):
    """Who asks."""

    @property
    def name(self) -> str:
        """For the audit."""

    @property
    def tenant(self) -> str:
        """Whose devices alone concern this one; empty for all."""


class Access(Protocol):
    """Whoever tells who may do what."""

    def operator(self, request: AnyRequest) -> Operator:
        """Refuse whoever is no operator; tell who it is."""


def handlers(
    orders: RolloutOrders, questions: RolloutQuestions, access: Access, read_body: ReadBody
) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    orders : RolloutOrders
    questions : RolloutQuestions
    access : Access
    read_body : callable
        Reads a request's body, at most so many bytes of it.
    """

    @get(ROLLOUTS)
    async def page(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        query, limit = read_query(request, {"algorithm": is_identifier, "state": _is_state, "cursor": is_identifier})
        found = await questions.page(operator.tenant, query, limit)
        return json_answer(_encode(found))

    @post(ROLLOUTS)
    async def start(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > 128 or not key.isprintable():
            raise HttpError(400, "expected an Idempotency-Key of at most 128 printable characters, found another")
        body = await read_body(request, MAXIMUM_DOCUMENT)
        wanted = _within(operator.tenant, parse_rollout(body))
        name = await orders.start(wanted, operator.name, key, body)
        detail, revision = await questions.detail(name)
        return _tagged(request, detail, revision, 201, {"Location": ROLLOUT.format(rollout=name)})

    @get(_route(ROLLOUT))
    async def one(request: AnyRequest) -> Response[bytes]:
        detail, revision = await _seen(request)
        return _tagged(request, detail, revision)

    @get(_route(ROLLOUT_DEVICES))
    async def devices(request: AnyRequest) -> Response[bytes]:
        await _seen(request)
        query, limit = read_query(request, {"state": _is_device_state, "cursor": is_identifier})
        return json_answer(_encode(await questions.devices(_name(request), query["state"], query["cursor"], limit)))

    @post(_route(ROLLOUT_ORDERS), status_code=200)
    async def order(request: AnyRequest) -> Response[bytes]:
        await _seen(request)
        matches = request.headers.get("If-Match", "")
        if not matches:
            detail = 'expected the header If-Match with the entity tag you read, such as "3.9f86d081", or * for any'
            raise HttpError(428, f"{detail}; found none")
        wanted = parse_order(await read_body(request, MAXIMUM_DOCUMENT))
        await orders.order(_name(request), wanted, _revision(matches), access.operator(request).name)
        told, revision = await questions.detail(_name(request))
        return _tagged(request, told, revision)

    async def _seen(request: AnyRequest) -> tuple[RolloutDetail, int]:
        """Read a rollout, unless it is another tenant's: then it is as if it were not there."""
        operator = access.operator(request)
        detail, revision = await questions.detail(_name(request))
        if operator.tenant and detail.request.to.tenant != operator.tenant:
            raise RolloutUnknown(_name(request))
        return detail, revision

    return [page, start, one, devices, order]


def read_query(request: AnyRequest, rules: dict[str, Callable[[str], bool]]) -> tuple[dict[str, str], int]:
    """
    Read what a list is asked for.

    Parameters
    ----------
    request : Request
    rules : dict
        What each parameter besides ``limit`` must be; one that is not given is empty.

    Raises
    ------
    Refused
        With every problem.
    """
    given = dict(request.query_params)
    known = (*rules, "limit")
    problems = [
        Problem(f"query.{shortened(name, 40)}", ", ".join(known), "an unknown parameter", "remove it")
        for name in given
        if name not in known
    ]
    query = {name: str(given.get(name, "")) for name in rules}
    expected = {"state": "a state that this description names", "cursor": "a cursor that a list ended with"}
    problems.extend(
        Problem(f"query.{name}", expected.get(name, "letters, digits, _ and - (at most 64)"), shortened(query[name]))
        for name, rule in rules.items()
        if query[name] and not rule(query[name])
    )
    text = str(given.get("limit", "100"))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= limit <= MAXIMUM_PAGE:
        problems.append(Problem("query.limit", f"a number from 1 to {MAXIMUM_PAGE}", shortened(text)))
    if problems:
        raise Refused(problems)
    return query, limit


def json_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Answer with a document."""
    return Response(body, status_code=status, headers=headers or {}, media_type="application/json")


def _within(tenant: str, request: RolloutRequest) -> RolloutRequest:
    """Keep what an operator of one tenant selects within that tenant."""
    if not tenant:
        return request
    if request.to.tenant not in ("", tenant):
        raise Refused([Problem("rollout.to.tenant", tenant, shortened(request.to.tenant), "leave it out")])
    return msgspec.structs.replace(request, to=msgspec.structs.replace(request.to, tenant=tenant))


def _tagged(
    request: AnyRequest, detail: RolloutDetail, revision: int, status: int = 200, headers: dict[str, str] | None = None
) -> Response[bytes]:
    body = _encode(detail)
    tag = f'"{revision}.{zlib.crc32(body):08x}"'
    known = [part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")]
    if tag in known or "*" in known:
        return Response(b"", status_code=304, headers={"ETag": tag}, media_type="application/json")
    return json_answer(body, status, {"ETag": tag, **(headers or {})})


def _revision(matches: str) -> int | None:
    if matches.strip() == "*":
        return None
    found = _tag.fullmatch(matches.strip())
    if found is None:
        raise HttpError(400, f'expected an entity tag such as "3.9f86d081" or *, found {shortened(matches)}')
    return int(found[1])


def _name(request: AnyRequest) -> str:
    return str(request.path_params["rollout"])


def _is_state(text: str) -> bool:
    return text in [state.value for state in RolloutState]


def _is_device_state(text: str) -> bool:
    return text in [state.value for state in DeviceState]


def _route(path: str) -> str:
    return path.replace("{rollout}", "{rollout:str}")
