"""The addresses of the pages, and what answers each."""

from collections.abc import Callable, Sequence

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from device_catalog.access.audit import Audit
from device_catalog.access.operators import Operator
from device_catalog.api.callers import AnyRequest
from device_catalog.fleet.commissionings import Commissionings
from device_catalog.pages.fleet_pages import FleetPages, Sources
from device_catalog.pages.rollout_pages import RolloutPages
from device_catalog.pages.shell import Access, Shell
from device_catalog.rollouts.questions import RolloutQuestions


def handlers(  # noqa: C901 - a list of small handlers
    sources: Sources,
    rollouts: RolloutQuestions,
    audit: Audit,
    access: Access,
    find: Callable[[bytes], Operator | None],
    *,
    secure: bool,
    commissionings: Commissionings,
) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    sources : Sources
    rollouts : RolloutQuestions
    audit : Audit
    access : Access
    find : callable
        Tells whose token it is; None for nobody's.
    secure : bool
        Whether browsers come by TLS, so that the cookie may not travel otherwise.
    commissionings : Commissionings
    """
    shell = Shell(access, find, secure=secure)
    meters = FleetPages(shell, sources, commissionings)
    others = RolloutPages(shell, rollouts, audit)

    @get("/")
    async def fleet(request: AnyRequest) -> Response[bytes]:
        return await shell.shown(request, meters.fleet)

    @get("/fleet/{device:str}")
    async def meter(request: AnyRequest) -> Response[bytes]:
        return await shell.shown(request, meters.meter)

    @get("/fleet/{device:str}/commissionings/{number:str}")
    async def commissioning(request: AnyRequest) -> Response[bytes]:
        return await shell.shown(request, meters.report)

    @get("/rollouts")
    async def all_rollouts(request: AnyRequest) -> Response[bytes]:
        return await shell.shown(request, others.all)

    @get("/rollouts/{rollout:str}")
    async def one_rollout(request: AnyRequest) -> Response[bytes]:
        return await shell.shown(request, others.one)

    @get("/audit")
    async def trail(request: AnyRequest) -> Response[bytes]:
        return await shell.shown(request, others.audit)

    @get("/login")
    async def login(request: AnyRequest) -> Response[bytes]:
        return shell.login(request.query_params.get("next", "/"))

    @post("/login")
    async def enter(request: AnyRequest) -> Response[bytes]:
        return await shell.enter(request)

    @post("/logout")
    async def leave() -> Response[bytes]:
        return shell.leave()

    @get("/favicon.ico", status_code=204)
    async def icon() -> None:
        return None

    return [fleet, meter, commissioning, all_rollouts, one_rollout, trail, login, enter, leave, icon]
