"""
Which page a request gets, and whether: the host asked for, the session, the form, the PIN.

Where it stands: `web` carries requests here; `watching` knows how everything is and hands in what is finished; `page`
writes. Nothing is worked out for a request: what is shown was judged once a second, however many ask.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Protocol
from urllib.parse import parse_qsl

from agent.commissioning.access import COOKIE, SESSION, Pin, Sessions, is_own_host, is_same_origin, session_of
from agent.commissioning.markup import Markup
from agent.commissioning.page import (
    View,
    closed_page,
    finish_page,
    live,
    login_page,
    main_page,
    problem_page,
)
from agent.commissioning.web import Answered, Asked
from device_catalog.contract.commissioning import MAXIMUM_TEXT, Answer

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_headers = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_fresh = ("Cache-Control", "no-store")
_files = {"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"}


class Watch(Protocol):
    """Who knows how everything is."""

    @property
    def view(self) -> View:
        """What there is to show, at most a few seconds old."""

    @property
    def is_over(self) -> bool:
        """Whether the commissioning is finished, and the page to close."""

    def wanted(self) -> None:
        """Note that somebody looks."""

    async def hand_in(self, installer: str, place: str, note: str) -> str:
        """Have the report signed and handed in; return why that was not possible, or nothing."""


class Site:
    """
    The pages of one meter.

    Parameters
    ----------
    name : str
        Its host name, without ``.local``.
    pin : Pin
    sessions : Sessions
    watch : Watch
    """

    def __init__(self, name: str, pin: Pin, sessions: Sessions, watch: Watch) -> None:
        self._name = name
        self._pin = pin
        self._sessions = sessions
        self._watch = watch
        folder = files("agent.commissioning")
        self._files = {path: (folder / path.removeprefix("/")).read_bytes() for path in _files}
        self._routes: Mapping[tuple[str, str], Callable[[Asked, str], Awaitable[Answered]]] = {
            ("GET", "/"): self._main,
            ("GET", "/live"): self._live,
            ("GET", "/finish"): self._finish,
            ("POST", "/finish"): self._hand_in,
            ("POST", "/logout"): self._leave,
        }

    async def answer(self, asked: Asked) -> Answered:
        """Answer a request."""
        method = "GET" if asked.method == "HEAD" else asked.method
        refusal = self._refusal(asked, method)
        if refusal is not None:
            return refusal
        if method == "GET" and asked.path in self._files:
            kind = (("Content-Type", _files[asked.path]), ("Cache-Control", "no-cache"))
            return Answered(200, self._files[asked.path], (*_headers, *kind))
        if (method, asked.path) == ("POST", "/login"):
            return self._enter(asked)
        session = session_of(asked.headers.get("cookie", ""))
        if self._sessions.is_open(session):
            return await self._routed(asked, method, session)
        if method == "POST":
            return _elsewhere("/")
        return _page(200 if asked.path == "/" else 401, login_page(self._name))

    def _refusal(self, asked: Asked, method: str) -> Answered | None:
        """Refuse what was not meant for this meter, or was sent by another site's page."""
        if not is_own_host(asked.headers.get("host", ""), self._name, asked.address, asked.port):
            return _page(421, problem_page(self._name, f"Expected http://{self._name}.local, found another address."))
        if method == "POST" and not is_same_origin(asked.headers):
            return _page(403, problem_page(self._name, "Expected a form of this page, found one of another."))
        return None

    async def _routed(self, asked: Asked, method: str, session: str) -> Answered:
        handler = self._routes.get((method, asked.path))
        if handler is None:
            known = any(path == asked.path for _, path in self._routes)
            return _page(405 if known else 404, problem_page(self._name, "There is no such page."))
        if method == "POST" and not self._sessions.is_own_form(session, _form(asked).get("form", "")):
            return _page(403, problem_page(self._name, "Expected a form of this login, found an older one."))
        self._watch.wanted()
        return await handler(asked, session)

    # ---- pages

    async def _main(self, _asked: Asked, session: str) -> Answered:
        if self._watch.is_over:
            return _page(200, closed_page(self._name, self._watch.view.handed))
        return _page(200, main_page(self._name, self._watch.view, self._sessions.form_token(session)))

    async def _live(self, _asked: Asked, _session: str) -> Answered:
        if self._watch.is_over:
            return _page(204, Markup(""))
        return _page(200, live(self._watch.view))

    async def _finish(self, _asked: Asked, session: str) -> Answered:
        token = self._sessions.form_token(session)
        return _page(200, finish_page(self._name, self._watch.view, token, {}, {}))

    async def _hand_in(self, asked: Asked, session: str) -> Answered:
        said = {name: " ".join(text.split()) for name, text in _form(asked).items()}
        view = self._watch.view
        problems = {
            name: f"Expected {what}."
            for name, what in (("installer", "your name"), ("place", "where this meter is"))
            if not said.get(name)
        }
        problems |= {
            name: f"Expected at most {MAXIMUM_TEXT} characters."
            for name in ("installer", "place", "note")
            if len(said.get(name, "")) > MAXIMUM_TEXT
        }
        answer = view.judgement.answer
        if said.get("seen") != answer.value:
            problems["known"] = " The answer has changed meanwhile; look again."
        elif answer is not Answer.PASSED and said.get("known") != answer.value:
            problems["known"] = " Say that you know."
        if not problems:
            refused = await self._watch.hand_in(said["installer"], said["place"], said.get("note", ""))
            if not refused:
                return _elsewhere("/")
            problems["note"] = f"The report was not taken: {refused}"
        token = self._sessions.form_token(session)
        return _page(422, finish_page(self._name, view, token, said, problems))

    async def _leave(self, _asked: Asked, session: str) -> Answered:
        self._sessions.end(session)
        return _elsewhere("/", f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")

    def _enter(self, asked: Asked) -> Answered:
        wait = self._pin.wait(asked.visitor)
        if wait:
            said = f"Too many wrong PINs. Try again in {wait + 1:.0f} s."
            return _page(429, login_page(self._name, said), ("Retry-After", f"{wait + 1:.0f}"))
        if not self._pin.is_right(_form(asked).get("pin", ""), asked.visitor):
            log.warning("a wrong PIN was tried")
            return _page(401, login_page(self._name, "That is not the PIN on the label."))
        log.info("somebody logged in")
        cookie = f"{COOKIE}={self._sessions.begin()}; Path=/; Max-Age={SESSION:.0f}; HttpOnly; SameSite=Strict"
        return _elsewhere("/", cookie)


def _form(asked: Asked) -> dict[str, str]:
    if not asked.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    try:
        return dict(parse_qsl(asked.body.decode("ascii"), keep_blank_values=True, max_num_fields=20))
    except (UnicodeDecodeError, ValueError):
        return {}


def _page(status: int, text: Markup, *headers: tuple[str, str]) -> Answered:
    kind = ("Content-Type", "text/html; charset=utf-8")
    return Answered(status, text.encode(), (*_headers, _fresh, kind, *headers))


def _elsewhere(path: str, cookie: str = "") -> Answered:
    headers = (*_headers, _fresh, ("Location", path))
    return Answered(303, b"", (*headers, ("Set-Cookie", cookie)) if cookie else headers)
