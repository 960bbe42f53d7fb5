"""
Who may see and use the commissioning page. Pure: time and randomness come in.

The page is plain HTTP on a cable or an access point that reaches no further than the installer's hand; what it guards
against is everybody else who can send it a request:

- **The PIN** on the card's label lets in. After a few wrong ones each further try from the same address must wait, ever
  longer, and after some more every try from an address that never was let in, since addresses are had for nothing; so
  guessing six digits takes months. Whoever was let in once waits for nobody's tries but their own.
- **A session** is a random cookie that scripts cannot read and other sites do not send, and ends by itself.
- **A form's token** is bound to its session, and its Origin must be the page's own: another site's form does nothing.
- **The Host** asked for must be the meter's name or the very address that was connected to: a name of somebody else's
  that was made to point here (DNS rebinding) gets nothing.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

Thing = TypeVar("Thing")

COOKIE = "commissioning"

FREE_TRIES = 5
FREE_FOR_ALL = 20
LONGEST_WAIT = 30.0
FORGIVEN = 3600.0
"""Wrong PINs that cost nothing, of one address and of all; the longest wait, and until all is forgotten [s]."""
MOST_ADDRESSES = 64
"""Addresses that are remembered for their wrong PINs, and for having been let in."""

SESSION = 4 * 3600.0
MOST_SESSIONS = 8
"""How long a login lasts [s], and how many there are at once; the oldest ends."""


class _Tries:
    """Wrong PINs one after the other."""

    def __init__(self) -> None:
        self._wrong = 0
        self._last = 0.0

    def wait(self, now: float, free: int) -> float:
        since = now - self._last
        if self._wrong and since > FORGIVEN:
            self._wrong = 0
        if self._wrong < free:
            return 0.0
        return max(0.0, min(LONGEST_WAIT, 2.0 ** min(self._wrong - free + 1, 16)) - since)

    def add(self, now: float) -> int:
        self._wrong, self._last = self._wrong + 1, now
        return self._wrong


class Pin:
    """
    The PIN, and how often it was guessed wrong by whom.

    Parameters
    ----------
    pin : str
    now : callable
        Monotonic time [s].
    """

    def __init__(self, pin: str, now: Callable[[], float]) -> None:
        self._pin = pin.encode()
        self._now = now
        self._all = _Tries()
        self._by: OrderedDict[str, _Tries] = OrderedDict()
        self._let_in: OrderedDict[str, None] = OrderedDict()

    def wait(self, address: str) -> float:
        """Say how long the next try from an address must wait [s]."""
        now = self._now()
        own = self._by[address].wait(now, FREE_TRIES) if address in self._by else 0.0
        return own if address in self._let_in else max(own, self._all.wait(now, FREE_FOR_ALL))

    def is_right(self, guess: str, address: str) -> bool:
        """Try a PIN; to be asked only where `wait` is 0."""
        if hmac.compare_digest(self._pin, "".join(guess.split()).encode()):
            self._by.pop(address, None)
            _remember(self._let_in, address, None)
            return True
        tries = self._by.get(address) or _Tries()
        wrong = tries.add(self._now())
        _remember(self._by, address, tries)
        # Whoever waits on their own account makes nobody else wait.
        if address not in self._let_in and wrong <= FREE_TRIES:
            self._all.add(self._now())
        return False


class Sessions:
    """
    Who is logged in.

    Parameters
    ----------
    now : callable
        Monotonic time [s].
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._key = secrets.token_bytes(32)
        self._ends: OrderedDict[str, float] = OrderedDict()

    def begin(self) -> str:
        """Make a session; return what the cookie holds."""
        session = secrets.token_urlsafe(24)
        while len(self._ends) >= MOST_SESSIONS:
            self._ends.popitem(last=False)
        self._ends[session] = self._now() + SESSION
        return session

    def is_open(self, session: str) -> bool:
        """Tell whether a cookie is that of a session."""
        return self._ends.get(session, 0.0) > self._now()

    def end(self, session: str) -> None:
        """End a session."""
        self._ends.pop(session, None)

    def form_token(self, session: str) -> str:
        """Make what a form of this session carries."""
        return hmac.new(self._key, session.encode(), hashlib.sha256).hexdigest()

    def is_own_form(self, session: str, token: str) -> bool:
        """Tell whether a form was made for this session."""
        return hmac.compare_digest(self.form_token(session).encode(), token.encode())


def _remember(among: OrderedDict[str, Thing], address: str, thing: Thing) -> None:
    """Keep what is known of an address; the oldest gives way."""
    among.pop(address, None)
    while len(among) >= MOST_ADDRESSES:
        among.popitem(last=False)
    among[address] = thing


def session_of(cookies: str) -> str:
    """
    Find the session in a Cookie header; empty for none.

    >>> session_of("other=1; commissioning=abc; x=2")
    'abc'
    """
    for part in cookies[:4096].split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def is_own_host(host: str, name: str, address: str, port: int) -> bool:
    """
    Tell whether a Host header means this meter.

    Parameters
    ----------
    host : str
        As the browser sent it.
    name : str
        The meter's, without ``.local``.
    address : str
        The meter's own, which was connected to.
    port : int
        Likewise.

    Examples
    --------
    >>> is_own_host("tresma-0042.local", "tresma-0042", "169.254.3.4", 80)
    True
    >>> is_own_host("169.254.3.4", "tresma-0042", "169.254.3.4", 80)
    True
    >>> is_own_host("evil.example", "tresma-0042", "169.254.3.4", 80)
    False
    >>> is_own_host("[fe80::1]:8080", "tresma-0042", "fe80::1%eth0", 8080)
    True
    """
    wanted, asked = _split(host.strip().lower())
    if asked != port:
        return False
    if wanted in (name, f"{name}.local", f"{name}.local."):
        return True
    try:
        meant = ipaddress.ip_address(wanted.partition("%")[0])
        own = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return wanted == "localhost" and _is_loopback(address)
    mapped = getattr(own, "ipv4_mapped", None)
    return meant in (own, mapped)


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Tell whether a form was sent by a page of this very address: by its Origin, else by what browsers say of it."""
    origin, host = headers.get("origin", ""), headers.get("host", "")
    if origin:
        return origin.lower() == f"http://{host.strip().lower()}"
    return headers.get("sec-fetch-site", "") == "same-origin"


def _split(host: str) -> tuple[str, int]:
    if host.startswith("["):
        address, _, rest = host[1:].partition("]")
        number = rest.removeprefix(":")
    else:
        address, _, number = host.partition(":")
    if not number:
        return address, 80
    return address, int(number) if number.isascii() and number.isdigit() and len(number) < 6 else -1


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
