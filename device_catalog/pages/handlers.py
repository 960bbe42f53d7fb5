"""
The addresses of the pages: who may see them, what is asked for them, which template shows it.

Pages ask the same services as the REST interface and are let in by the same rules. Whoever is not logged in is sent to
the login and back; a problem is a page, with the status that the interface would give it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, quote, urlencode

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import ProblemsError, shortened
from device_catalog.api.callers import AnyRequest, visit_of
from device_catalog.api.problems import HttpError, answer
from device_catalog.contract.history import HistoryPage
from device_catalog.contract.register import DeviceDetail, DeviceKind, ProblemDocument
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import CatalogError, DeviceUnknown, HistoryUnknown, NotAuthorised
from device_catalog.fleet import Fleet
from device_catalog.history.arrival import Content
from device_catalog.history.questions import History, Range
from device_catalog.leases import State
from device_catalog.operators import Operator
from device_catalog.pages import sessions
from device_catalog.pages.fleet_page import presence_of, row_of
from device_catalog.pages.meter_page import (
    STEP,
    algorithm_rows,
    charts_of,
    facts_of,
    frame_of,
    frame_view,
    kept_rows,
    recording_rows,
    states_of,
)
from device_catalog.pages.rendering import Renderer
from device_catalog.pages.words import NANOSECONDS
from device_catalog.questions import Questions
from device_catalog.recordings import Recordings
from device_catalog.storage.rows import Filters

PAGE = 50
"""Meters of one page."""
MOST_FOUND = 200
"""Meters that are shown of those whose name contains something."""
RECORDINGS = 10
LIVELY = 10
"""How often a page that is asked to is renewed [s]."""
MAXIMUM_FORM = 4096
"""Longest form that is read [bytes]."""

HOUR_NS = 3600 * NANOSECONDS
FILTERS = ("kind", "tenant", "algorithm", "network", "area")
MENU = (("/", "Meters"),)

Handler = Callable[[AnyRequest], Awaitable[Response[bytes]]]


class Access(Protocol):
    """Whoever tells who may do what."""

    def operator(self, request: AnyRequest) -> Operator:
        """Refuse whoever may not; tell who it is."""


class Sources(NamedTuple):
    """What the pages ask."""

    fleet: Fleet
    questions: Questions
    recordings: Recordings
    history: History


def handlers(
    sources: Sources, access: Access, find: Callable[[bytes], Operator | None], *, secure: bool
) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    sources : Sources
    access : Access
    find : callable
        Tells whose token it is; None for nobody's.
    secure : bool
        Whether browsers come by TLS, so that the cookie may not travel otherwise.
    """
    pages = _Pages(sources, access, find, secure=secure)

    @get("/")
    async def fleet(request: AnyRequest) -> Response[bytes]:
        return await pages.shown(request, pages.fleet)

    @get("/fleet/{device:str}")
    async def meter(request: AnyRequest) -> Response[bytes]:
        return await pages.shown(request, pages.meter)

    @get("/login")
    async def login(request: AnyRequest) -> Response[bytes]:
        return pages.login(request.query_params.get("next", "/"))

    @post("/login")
    async def enter(request: AnyRequest) -> Response[bytes]:
        return await pages.enter(request)

    @post("/logout")
    async def leave() -> Response[bytes]:
        return pages.leave()

    @get("/favicon.ico", status_code=204)
    async def icon() -> None:
        return None

    return [fleet, meter, login, enter, leave, icon]


class _Pages:
    def __init__(
        self, sources: Sources, access: Access, find: Callable[[bytes], Operator | None], *, secure: bool
    ) -> None:
        self._fleet, self._questions, self._recordings, self._history = sources
        self._access, self._find, self._secure = access, find, secure
        self._renderer = Renderer()

    async def shown(
        self, request: AnyRequest, show: Callable[[AnyRequest, Operator], Awaitable[Response[bytes]]]
    ) -> Response[bytes]:
        """Show a page to whoever may see it; the login, or what is wrong, to others."""
        visit = visit_of(request)
        if visit.operator is None:
            token = sessions.token_in(request.headers.get("Cookie", ""))
            visit.operator = self._find(token) if token else None
        if visit.operator is None:
            where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return _sent_to(f"/login?next={quote(sessions.place(where), safe='')}")
        try:
            return await show(request, self._access.operator(request))
        except NotAuthorised:
            return _sent_to("/login")
        except (CatalogError, ProblemsError) as error:
            status, body, _ = answer(error)
            said = msgspec.json.decode(body, type=ProblemDocument)
            values = {"title": said.title, "detail": said.detail, "problems": said.problems}
            return self._page("error.html", values, request, visit.operator, status)

    async def fleet(self, request: AnyRequest, who: Operator) -> Response[bytes]:
        """Show all meters, or those that are asked for."""
        asked = {name: request.query_params.get(name, "")[:64] for name in (*FILTERS, "find", "available", "cursor")}
        tenant = who.tenant or asked["tenant"]
        filtered = [f"{name} {asked[name]}" for name in (*FILTERS, "find", "available") if asked[name]]
        bad = any(asked[name] and not is_identifier(asked[name]) for name in (*FILTERS, "cursor"))
        if bad or asked["kind"] not in ("", *DeviceKind) or asked["available"] not in ("", "true", "false"):
            raise HttpError(422, "expected names of letters, digits, _ and -, found something else in the filters")
        filters = Filters(asked["kind"], tenant, asked["algorithm"], asked["network"], asked["area"])
        available = {"true": True, "false": False}.get(asked["available"])
        if asked["find"]:
            names, following = self._found(asked["find"], tenant, asked["cursor"])
            page = [(await self._detail(name)) for name in names]
            details = [one for one in page if one is not None and _fits(one, filters, available)]
        else:
            listed = await self._questions.page(filters, available, asked["cursor"], PAGE)
            found = await asyncio.gather(*(self._detail(item.device) for item in listed.items))
            details, following = [one for one in found if one is not None], listed.next
        kept = {name: value for name, value in asked.items() if value and name != "cursor"}
        values = {
            "tiles": self._tiles(who),
            "waiting": self._fleet.presence.waiting,
            "filtered": filtered,
            "asked": asked,
            "kinds": [kind.value for kind in DeviceKind],
            "rows": [row_of(detail, self._fleet.wall() / NANOSECONDS) for detail in details],
            "first": f"/?{urlencode(kept)}" if asked["cursor"] else "",
            "next": f"/?{urlencode({**kept, 'cursor': following})}" if following else "",
        }
        return self._page("fleet.html", values, request, who)

    async def meter(self, request: AnyRequest, who: Operator) -> Response[bytes]:
        """Show one meter."""
        name = str(request.path_params["device"])
        if not is_identifier(name):
            raise DeviceUnknown(shortened(name))
        detail = await self._questions.detail(name)
        tenant, now_ns = detail.summary.tenant, self._fleet.wall()
        changes = await self._questions.history(name)
        recordings = await self._recordings.page(name, "", RECORDINGS)
        newest = await self._history.newest(tenant, name, Content.FRAMES, 1)
        frame = frame_of(newest[0]) if newest else None
        steps = await self._last_hour(tenant, name, now_ns)
        values = {
            "summary": detail.summary,
            "presence": presence_of(detail.summary),
            "problems": row_of(detail, now_ns / NANOSECONDS).problems,
            "frame": None if frame is None else frame_view(frame, now_ns),
            "history": (await self._history.status()).kept,
            "charts": [] if steps is None else charts_of(steps, now_ns - HOUR_NS, now_ns),
            "algorithms": algorithm_rows(detail),
            "facts": facts_of(detail),
            "states": states_of(detail, now_ns / NANOSECONDS),
            "recordings": recording_rows(recordings.items),
            "kept": await self._kept(tenant, name),
            "changes": [(f"{one.time:%Y-%m-%d %H:%M:%S}", one) for one in changes.changes],
        }
        return self._page("meter.html", values, request, who)

    def login(self, where: str, problem: str = "", status: int = 200) -> Response[bytes]:
        """Show the login."""
        values = {"next": sessions.place(where), "problem": problem, "hours": sessions.SECONDS // 3600}
        return self._renderer.page("login.html", {**values, "who": None, "refresh": 0}, status)

    async def enter(self, request: AnyRequest) -> Response[bytes]:
        """Take a token, and go where the visitor wanted to."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAXIMUM_FORM:
                return self.login("/", "That is no token.", 413)
        form = parse_qs(body.decode("utf-8", "replace"))
        token, where = form.get("token", [""])[0].strip(), form.get("next", ["/"])[0]
        if not sessions.is_token(token) or self._find(token.encode()) is None:
            return self.login(where, "This token is not known here, or has expired.", 401)
        return _sent_to(sessions.place(where), sessions.cookie(token, secure=self._secure))

    def leave(self) -> Response[bytes]:
        """Take the token away."""
        return _sent_to("/login", sessions.cookie("", secure=self._secure))

    def _page(
        self, template: str, values: dict[str, Any], request: AnyRequest, who: Operator, status: int = 200
    ) -> Response[bytes]:
        query = {name: value for name, value in request.query_params.items() if name != "refresh"}
        path = request.url.path
        common = {
            "who": who,
            "menu": MENU,
            "here": path,
            "now": time.time_ns(),
            "refresh": LIVELY if request.query_params.get("refresh") else 0,
            "calm": f"{path}?{urlencode(query)}" if query else path,
            "lively": f"{path}?{urlencode({**query, 'refresh': LIVELY})}",
        }
        return self._renderer.page(template, {**common, **values}, status)

    async def _detail(self, name: str) -> DeviceDetail | None:
        try:
            return await self._questions.detail(name)
        except DeviceUnknown:  # taken off the register a moment ago
            return None

    def _found(self, text: str, tenant: str, cursor: str) -> tuple[list[str], str]:
        """Look for names in memory; give a page of them and the cursor of the next."""
        wanted = text.lower()
        names = sorted(
            device.device
            for device in list(self._fleet.devices.values())
            if wanted in device.device.lower() and device.device > cursor and tenant in ("", device.tenant)
        )[: MOST_FOUND + 1]
        return names[:PAGE], names[PAGE - 1] if len(names) > PAGE else ""

    def _tiles(self, who: Operator) -> list[dict[str, Any]]:
        counts = dict.fromkeys(State, 0)
        for device in list(self._fleet.devices.values()):
            if who.sees(device.tenant):
                counts[device.state] += 1
        there, silent = counts[State.AVAILABLE] + counts[State.LATE], counts[State.UNAVAILABLE]
        return [
            {"name": "registered", "count": sum(counts.values()), "tone": "", "address": "/"},
            {"name": "available", "count": there, "tone": "good" if there else "", "address": "/?available=true"},
            {"name": "silent", "count": silent, "tone": "bad" if silent else "", "address": "/?available=false"},
            {"name": "not judged yet", "count": counts[State.UNKNOWN], "tone": "", "address": "/"},
        ]

    async def _last_hour(self, tenant: str, name: str, now_ns: int) -> HistoryPage | None:
        asked = Range(now_ns - HOUR_NS, now_ns, ("voltage", "power.total.p"), STEP, limit=100)
        try:
            return await self._history.page(tenant, name, Content.FRAMES, asked)
        except HistoryUnknown:
            return None

    async def _kept(self, tenant: str, name: str) -> list[dict[str, str]]:
        try:
            return kept_rows(await self._history.device(tenant, name))
        except HistoryUnknown:
            return []


def _fits(detail: DeviceDetail, filters: Filters, available: bool | None) -> bool:
    summary = detail.summary
    same = all(
        not wanted or wanted == found
        for wanted, found in (
            (filters.kind, summary.kind.value),
            (filters.tenant, summary.tenant),
            (filters.network, summary.network),
            (filters.area, summary.area),
        )
    )
    runs = not filters.algorithm or filters.algorithm in summary.algorithms
    return same and runs and (available is None or summary.available is available)


def _sent_to(address: str, set_cookie: str = "") -> Response[bytes]:
    headers = {"Location": address, "Cache-Control": "no-store"}
    if set_cookie:
        headers["Set-Cookie"] = set_cookie
    return Response(b"", status_code=303, headers=headers, media_type="text/plain")
