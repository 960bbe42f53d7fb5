"""
The REST interface of network leases: who may ask, what is read, what is answered.

A device asks in its own name, with its own credential; an operator may ask in anybody's, and take a lease away.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from litestar import Response, delete, get, post, put
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import shortened
from algorithms.api.forms import read_struct
from device_catalog.api.callers import AnyRequest
from device_catalog.api.problems import HttpError
from device_catalog.contract.network_leases import LeaseRequest, SwitchNewsDocument
from device_catalog.contract.paths import NETWORK_LEASE, NETWORK_LEASE_STATES
from device_catalog.contract.rules import IDENTIFIER
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import Refused
from device_catalog.grid.switch_news import SwitchNews
from device_catalog.grid.switching_leases import NetworkLeases

_encode = msgspec.json.encode
_states_path = NETWORK_LEASE_STATES.replace("{network}", "{network:str}")
_path = NETWORK_LEASE.replace("{network}", "{network:str}")


class Speakers(Protocol):
    """Whoever tells who speaks."""

    def operator(self, request: AnyRequest) -> object:
        """Refuse whoever is no operator with the role this takes."""

    def somebody(self, request: AnyRequest) -> None:
        """Refuse whoever brings no credential at all."""

    def speaks_for(self, request: AnyRequest, device: str) -> bool:
        """Refuse whoever is neither operator nor that device; tell whether it is the device."""


def handlers(  # noqa: C901 - a list of small handlers
    leases: NetworkLeases, news: SwitchNews, access: Speakers, decoded: Callable[[AnyRequest], Any]
) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    leases : NetworkLeases
    news : SwitchNews
    access : Speakers
    decoded : callable
        Reads a request's body as JSON.
    """

    @post(_path, status_code=201)
    async def acquire(request: AnyRequest) -> Response[bytes]:
        wanted = await _wanted(request)
        by_device = access.speaks_for(request, wanted.holder)
        return _json(_encode(await leases.acquire(_network(request), wanted, by_device=by_device)), 201)

    @put(_path)
    async def renew(request: AnyRequest) -> Response[bytes]:
        wanted = await _wanted(request)
        by_device = access.speaks_for(request, wanted.holder)
        return _json(_encode(await leases.renew(_network(request), wanted, by_device=by_device)))

    @delete(_path, status_code=204)
    async def release(request: AnyRequest) -> None:
        access.somebody(request)
        holder, token = request.query_params.get("holder", ""), request.query_params.get("token", "")
        if not holder and not token:
            access.operator(request)
            await leases.end(_network(request))
            return
        if not is_identifier(holder) or not (token.isascii() and token.isdigit() and len(token) < 19):
            found = shortened(f"holder={holder}&token={token}")
            raise HttpError(400, f"expected the query holder and token of the lease, found {found}")
        access.speaks_for(request, holder)
        await leases.release(_network(request), holder, int(token))

    @get(_path)
    async def holder(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        grant = await leases.holder(_network(request))
        if grant is None:
            raise HttpError(404, f"expected a network that is held, found that nobody holds {_network(request)}")
        return _json(_encode(grant))

    async def _wanted(request: AnyRequest) -> LeaseRequest:
        access.somebody(request)
        wanted, problems = read_struct(LeaseRequest, await decoded(request))
        if problems or wanted is None:
            raise Refused(problems)
        return wanted

    @post(_states_path, status_code=200)
    async def tell(request: AnyRequest) -> Response[bytes]:
        access.somebody(request)
        told, problems = read_struct(SwitchNewsDocument, await decoded(request))
        if problems or told is None:
            raise Refused(problems)
        access.speaks_for(request, told.holder)
        return _json(_encode(await news.take(_network(request), told)))

    return [acquire, renew, release, holder, tell]


def _network(request: AnyRequest) -> str:
    name = str(request.path_params["network"])
    if not is_identifier(name):
        raise HttpError(404, f"expected {IDENTIFIER}, found {shortened(name)}")
    return name


def _json(body: bytes, status: int = 200) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json")
