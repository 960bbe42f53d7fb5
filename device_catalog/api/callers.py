"""
Who asks, and whether they may: every request is looked at once, in the gateway, and each handler says what it expects.

Three ways to be known: an operator's token, a device's certificate (verified by this server's TLS, or by a proxy whose
address is trusted), a device's bearer credential (for development). A handler calls `Access.operator` or `Access.own`;
the role comes from one table (`roles`), and what is another tenant's is as if it were not there.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from litestar import Request

from algorithms.api.errors import shortened
from device_catalog.access.certificates import Certificates
from device_catalog.access.operators import Operator, Operators
from device_catalog.api.roles import SHARED, role_of
from device_catalog.errors import DeviceUnknown, NetworkUnknown, NotAllowed, NotAuthorised
from device_catalog.fleet.fleet import Fleet

AnyRequest = Request[Any, Any, Any]

VISIT = "tresma.visit"
"""Where in a request's scope its `Visit` is."""

STATE = "certificate"
"""Where the server's TLS leaves the fingerprint of a client's certificate, in the scope's state."""

MAXIMUM_CERTIFICATE = 16 * 1024
"""Longest certificate that a proxy hands on [bytes]."""


class Visit:
    """
    One request's author, as far as known before a handler looks.

    Attributes
    ----------
    address : str
        Where it comes from.
    operator : Operator or None
    device : str
        Whom its certificate lets in; empty for nobody.
    token : bytes
        Bearer token; empty for none.
    fingerprint : bytes
        Of the certificate that it brings, of whomever; empty for none.
    actor, role, tenant : str
        Who it turned out to be, for the audit trail; empty while unknown.
    claimed : str
        The device that it says it is and is let in as if its token is right; empty for none.
    """

    __slots__ = ("actor", "address", "claimed", "device", "fingerprint", "operator", "role", "tenant", "token")

    def __init__(self, address: str, operator: Operator | None, device: str, token: bytes, fingerprint: bytes) -> None:
        self.address = address
        self.operator = operator
        self.device = device
        self.token = token
        self.fingerprint = fingerprint
        self.actor = self.role = self.tenant = self.claimed = ""

    @property
    def certified(self) -> bool:
        """Whether it brings a certificate."""
        return bool(self.fingerprint)

    def is_operator(self, operator: Operator) -> None:
        """Note who it is."""
        self.actor, self.role, self.tenant = operator.name, operator.role.value, operator.tenant

    def is_device(self, name: str, tenant: str) -> None:
        """Note who it is."""
        self.actor, self.role, self.tenant = name, "device", tenant


class Reception:
    """
    Looks at who comes.

    Parameters
    ----------
    operators : Operators
    certificates : Certificates
    proxies : iterable of str
        Addresses whose word on a client's certificate and address is taken.
    wall : callable
        UTC [ns].
    """

    def __init__(
        self, operators: Operators, certificates: Certificates, proxies: Iterable[str], wall: Callable[[], int]
    ) -> None:
        self._operators = operators
        self._certificates = certificates
        self._proxies = frozenset(proxies)
        self._wall = wall

    def device(self, scope: MutableMapping[str, Any]) -> tuple[str, bool]:
        """Tell whom a certificate lets in (empty for nobody), and whether there is one at all; the short way."""
        fingerprint = self._fingerprint(scope)
        if not fingerprint:
            return "", False
        return self._certificates.holder(fingerprint, self._wall()), True

    def _fingerprint(self, scope: MutableMapping[str, Any]) -> bytes:
        fingerprint: bytes | None = scope.get("state", {}).get(STATE)
        if fingerprint is None and self._proxies and _address(scope) in self._proxies:
            fingerprint = _handed_on(_header(scope, b"client-cert"))
        return fingerprint or b""

    def visit(self, scope: MutableMapping[str, Any]) -> Visit:
        """Look at a request."""
        token = bearer(_header(scope, b"authorization"))
        operator = self._operators.find(token) if token else None
        fingerprint = self._fingerprint(scope)
        device = self._certificates.holder(fingerprint, self._wall()) if fingerprint else ""
        return Visit(self._origin(scope), operator, device, token, fingerprint)

    def operator(self, token: bytes) -> Operator | None:
        """Tell whose token it is."""
        return self._operators.find(token)

    def _origin(self, scope: MutableMapping[str, Any]) -> str:
        address = _address(scope)
        if address in self._proxies:
            said = _header(scope, b"x-forwarded-for").decode("latin-1").rpartition(",")[2].strip()
            return said[:64] or address
        return address


class Access:
    """
    Tells handlers who may do what.

    Parameters
    ----------
    fleet : Fleet
    tenant_of : callable
        Tells whose a network is; None for one that is not there, empty for nobody's.
    """

    def __init__(self, fleet: Fleet, tenant_of: Callable[[str], str | None]) -> None:
        self._fleet = fleet
        self._tenant_of = tenant_of

    def operator(self, request: AnyRequest) -> Operator:
        """
        Refuse whoever is no operator with the role this takes; return who it is.

        Raises
        ------
        NotAuthorised, NotAllowed
        DeviceUnknown, NetworkUnknown
            When the address names what is another tenant's.
        """
        visit = visit_of(request)
        operator = visit.operator
        if operator is None:
            _needs_something(visit)
            raise NotAuthorised("expected the operator's token, found another")
        visit.is_operator(operator)
        path = path_of(request)
        needed = role_of(request.method, path)
        if not operator.role.includes(needed):
            found = f"{operator.name}, {operator.role.value}"
            raise NotAllowed(f"expected an operator whose role is {needed.value} or above, found {found}")
        if operator.tenant and request.method != "GET" and path.startswith(SHARED):
            raise NotAllowed(f"expected an operator of all tenants, found {operator.name} of {operator.tenant}")
        self._within(operator, request.path_params)
        return operator

    def own(self, request: AnyRequest) -> bool:
        """Refuse whoever is neither operator nor the device of the address; tell whether it is the device."""
        return self.speaks_for(request, str(request.path_params["device"]))

    def somebody(self, request: AnyRequest) -> None:
        """Refuse whoever brings no credential at all, or is an operator without the role this takes."""
        visit = visit_of(request)
        _needs_something(visit)
        if visit.operator is not None:
            self.operator(request)

    def speaks_for(self, request: AnyRequest, device: str) -> bool:
        """Refuse whoever is neither operator nor `device`; tell whether it is the device."""
        visit = visit_of(request)
        if visit.operator is not None:
            operator = self.operator(request)
            self._within(operator, {"device": device})
            return False
        known = self.identified(visit, device)
        visit.is_device(device, known)
        return True

    def certified(self, request: AnyRequest) -> str:
        """Refuse whoever is not the device of the address with its own certificate; return its name."""
        visit, device = visit_of(request), str(request.path_params["device"])
        if visit.device != device:
            found = "another, or one that is void" if visit.certified else "none"
            raise NotAuthorised(f"expected this device's own certificate, found {found}; enrol the device anew")
        visit.is_device(device, self._fleet.known(device).tenant)
        return device

    def identified(self, visit: Visit, device: str) -> str:
        """Make sure that a visit is that of `device`; return its tenant."""
        if visit.certified and visit.device == device and device in self._fleet.devices:
            return self._fleet.devices[device].tenant
        _needs_something(visit)
        if not visit.token:
            raise NotAuthorised("expected this device's own certificate, found another device's, or one that is void")
        return self._fleet.authenticate(device, visit.token).tenant

    def sees_network(self, operator: Operator, network: str) -> bool:
        """Tell whether a network that is there concerns an operator."""
        tenant = self._tenant_of(network)
        return tenant is not None and operator.sees(tenant)

    def may_place(self, operator: Operator, network: str) -> bool:
        """Tell whether an operator may put a device into a network, which may come later."""
        tenant = self._tenant_of(network)
        return tenant is None or operator.sees(tenant)

    def _within(self, operator: Operator, names: Mapping[str, Any]) -> None:
        """Refuse what is another tenant's, in the words for what is not there."""
        if not operator.tenant:
            return
        device, network = names.get("device"), names.get("network")
        if device is not None:
            known = self._fleet.devices.get(str(device))
            if known is None or known.tenant != operator.tenant:
                raise DeviceUnknown(str(device)[:80])
        if network is not None:
            tenant = self._tenant_of(str(network))
            if tenant is not None and tenant != operator.tenant:  # one that is not there may be brought
                raise NetworkUnknown(
                    f"expected a network, found none called {shortened(str(network))}; list those there are"
                )


def visit_of(request: AnyRequest) -> Visit:
    """Give what the gateway found out about a request."""
    visit: Visit = request.scope[VISIT]  # type: ignore[literal-required]
    return visit


def path_of(request: AnyRequest) -> str:
    """Give a request's address as the description has it."""
    return min(request.route_handler.paths).replace(":str}", "}")


def bearer(header: bytes) -> bytes:
    """
    Read the token of an Authorization header; empty for none.

    A browser asks for name and password (Basic): the password is the token, the name does not matter.

    >>> bearer(b"Bearer abc"), bearer(b"Basic eDphYmM="), bearer(b"Digest abc")
    (b'abc', b'abc', b'')
    """
    scheme, _, token = header.partition(b" ")
    if scheme.lower() == b"bearer":
        return token
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(token, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""


def _needs_something(visit: Visit) -> None:
    if not visit.token and not visit.certified:
        raise NotAuthorised("expected the header Authorization: Bearer TOKEN or a device's certificate, found neither")


def _header(scope: MutableMapping[str, Any], name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")


def _address(scope: MutableMapping[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


@lru_cache(maxsize=16_384)
def _handed_on(header: bytes) -> bytes:
    """Read the fingerprint of a certificate that a proxy hands on: RFC 9440 (``:base64:``), or PEM, percent-encoded."""
    if not header or len(header) > MAXIMUM_CERTIFICATE:
        return b""
    text = header if header.startswith(b":") else unquote_to_bytes(header)
    if text.startswith(b":"):
        body = text.strip(b":")
    else:
        body = text.partition(b"-----BEGIN CERTIFICATE-----")[2].partition(b"-----END")[0]
    try:
        content = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        return b""
    return hashlib.sha256(content).digest() if content else b""
