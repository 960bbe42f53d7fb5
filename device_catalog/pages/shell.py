"""
What all pages share: who is let in, the login, the way a page and a problem are shown.

Pages ask the same services as the REST interface and are let in by the same rules. Whoever is not logged in is sent to
the login and back; a problem is a page, with the status that the interface would give it.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, urlencode

import msgspec
from litestar import Response

from algorithms.api.errors import ProblemsError
from device_catalog.access.operators import Operator
from device_catalog.api.callers import AnyRequest, visit_of
from device_catalog.api.problems import answer
from device_catalog.api.roles import role_of
from device_catalog.contract.operators import AUDIT
from device_catalog.contract.register import ProblemDocument
from device_catalog.errors import CatalogError, NotAuthorised
from device_catalog.pages import sessions
from device_catalog.pages.rendering import Renderer

LIVELY = 10
"""How often a page that is asked to is renewed [s]."""
MAXIMUM_FORM = 4096
"""Longest form that is read [bytes]."""

Show = Callable[[AnyRequest, Operator], Awaitable[Response[bytes]]]


class Access(Protocol):
    """Whoever tells who may do what."""

    def operator(self, request: AnyRequest) -> Operator:
        """Refuse whoever may not; tell who it is."""


class Shell:
    """
    Shows pages.

    Parameters
    ----------
    access : Access
    find : callable
        Tells whose token it is; None for nobody's.
    secure : bool
        Whether browsers come by TLS, so that the cookie may not travel otherwise.
    """

    def __init__(self, access: Access, find: Callable[[bytes], Operator | None], *, secure: bool) -> None:
        self._access, self._find, self._secure = access, find, secure
        self._renderer = Renderer()

    async def shown(self, request: AnyRequest, show: Show) -> Response[bytes]:
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
            return self.page("error.html", values, request, visit.operator, status)

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

    def page(
        self, template: str, values: dict[str, Any], request: AnyRequest, who: Operator, status: int = 200
    ) -> Response[bytes]:
        """Make a page with what every page has."""
        query = {name: value for name, value in request.query_params.items() if name != "refresh"}
        path = request.url.path
        common = {
            "who": who,
            "menu": _menu(who),
            "here": path,
            "now": time.time_ns(),
            "refresh": LIVELY if request.query_params.get("refresh") else 0,
            "calm": f"{path}?{urlencode(query)}" if query else path,
            "lively": f"{path}?{urlencode({**query, 'refresh': LIVELY})}",
        }
        return self._renderer.page(template, {**common, **values}, status)


def _menu(who: Operator) -> list[tuple[str, str]]:
    places = [("/", "Meters"), ("/rollouts", "Rollouts")]
    return [*places, ("/audit", "Audit")] if who.role.includes(role_of("get", AUDIT)) else places


def _sent_to(address: str, set_cookie: str = "") -> Response[bytes]:
    headers = {"Location": address, "Cache-Control": "no-store"}
    if set_cookie:
        headers["Set-Cookie"] = set_cookie
    return Response(b"", status_code=303, headers=headers, media_type="text/plain")
