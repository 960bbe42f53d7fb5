"""
How a browser is known: the operator's token in a cookie that scripts cannot read and other sites cannot send.

No session is kept here, so that any of several catalogs can answer, and a token that is revoked or has expired ends
every login with it at once. The cookie lasts for half a day.
"""

import re
from http.cookies import CookieError, SimpleCookie

NAME = "tresma-operator"
SECONDS = 12 * 3600
"""How long a browser keeps it [s]."""
LONGEST = 512
"""Longest token [characters]."""

_token = re.compile(r"[A-Za-z0-9_.~+/=-]{1,512}")
_places = re.compile(
    r"/(?:(?:fleet/[A-Za-z0-9_-]{1,64}|rollouts(?:/[A-Za-z0-9_.-]{1,64})?|audit)?(?:\?[A-Za-z0-9_=&.%-]*)?)"
)


def is_token(text: str) -> bool:
    """Tell whether a text can be a token, and stand in a cookie."""
    return bool(_token.fullmatch(text))


def token_in(header: str) -> bytes:
    """
    Read the token of a Cookie header; empty for none.

    >>> token_in("a=b; tresma-operator=abc")
    b'abc'
    """
    try:
        morsel = SimpleCookie(header[:8192]).get(NAME)
    except CookieError:
        return b""
    return morsel.value.encode() if morsel is not None and is_token(morsel.value) else b""


def cookie(token: str, *, secure: bool) -> str:
    """Write the header that gives a browser its token, or takes it away where the token is empty."""
    words = [f"{NAME}={token}", "Path=/", "HttpOnly", "SameSite=Strict", f"Max-Age={SECONDS if token else 0}"]
    return "; ".join([*words, "Secure"] if secure else words)


def place(text: str) -> str:
    """
    Tell where to go after a login: a page of ours, whatever somebody wrote into an address.

    >>> place("/fleet/m-1"), place("//evil.example"), place("/?available=false")
    ('/fleet/m-1', '/', '/?available=false')
    """
    return text if len(text) < 1000 and _places.fullmatch(text) else "/"
