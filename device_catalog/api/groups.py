"""The REST interface of groups of devices: which there are, who belongs to them, who joins and leaves."""

from collections.abc import Sequence

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import shortened
from device_catalog.api.problems import HttpError
from device_catalog.api.rollouts import Access, AnyRequest, ReadBody, json_answer, read_query
from device_catalog.contract.paths import GROUP, GROUP_MEMBERS, GROUPS, MAXIMUM_DOCUMENT
from device_catalog.contract.rollout_rules import parse_group_change
from device_catalog.contract.rules import IDENTIFIER
from device_catalog.contract.topics import is_identifier
from device_catalog.rollouts.orders import RolloutOrders
from device_catalog.rollouts.questions import RolloutQuestions

_encode = msgspec.json.encode


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

    @get(GROUPS)
    async def page(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        query, limit = read_query(request, {"cursor": is_identifier})
        return json_answer(_encode(await questions.groups(operator.tenant, query["cursor"], limit)))

    @get(_route(GROUP))
    async def one(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        query, limit = read_query(request, {"cursor": is_identifier})
        found = await questions.group(operator.tenant, _name(request), query["cursor"], limit)
        return json_answer(_encode(found))

    @post(_route(GROUP_MEMBERS), status_code=200)
    async def change(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        wanted = parse_group_change(await read_body(request, MAXIMUM_DOCUMENT))
        return json_answer(_encode(await orders.change_group(_name(request), wanted, operator)))

    return [page, one, change]


def _name(request: AnyRequest) -> str:
    name = str(request.path_params["group"])
    if not is_identifier(name):
        raise HttpError(404, f"expected {IDENTIFIER}, found {shortened(name)}")
    return name


def _route(path: str) -> str:
    return path.replace("{group}", "{group:str}")
