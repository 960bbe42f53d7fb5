"""
Why the catalog cannot be asked, in one sentence, looked for from the cable upwards.

The cable, an address, the name, the way, whoever answers there, and its certificate: the first that is missing is what
an installer can put right. Nothing secret is said to anybody on the way.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from agent.provisioning.modem import PROBLEM
from agent.provisioning.status import CATALOG, CLOCK, NETWORK, Trouble
from agent.trust.decisions import RELEASED
from algorithms.api.errors import shortened
from device_catalog.contract.card import AUTHORITIES, NetworkSettings
from device_catalog.contract.enrolment import AUTHORITY, AuthorityDocument, digest
from device_catalog.contract.trust import MAXIMUM_ROOT

PATIENCE = 8.0
"""How long one step of the way may take [s]."""

_APN = "check the APN and the PIN in network.yaml, the SIM card and the aerial"


class Wanted(NamedTuple):
    """
    Whom a meter wants to reach, and how it may know it.

    Attributes
    ----------
    catalog : str
    anchors : str
        Digest of the authorities, as the token has it; empty where it is not known.
    ca : str
        File of authorities; empty for none.
    """

    catalog: str
    anchors: str = ""
    ca: str = ""


def look(
    wanted: Wanted, network: NetworkSettings, root: Path = Path("/"), wall: Callable[[], float] = time.time
) -> Trouble | None:
    """Look for what is in the way; None where nothing is."""
    parts = urlsplit(wanted.catalog)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    return (
        _interfaces(network, root, is_near=_is_near(host))
        or _clock(wall(), parts.scheme)
        or _way(host, port, network)
        or (_authorities(wanted) if parts.scheme == "https" else None)
        or _answer(wanted, host, port, is_secure=parts.scheme == "https")
    )


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _interfaces(network: NetworkSettings, root: Path, *, is_near: bool) -> Trouble | None:
    """Look whether anything is plugged in or joined."""
    folder = root / "sys/class/net"
    if is_near or not folder.is_dir():
        return None
    joined = [one.name for one in folder.iterdir() if one.name != "lo" and _line(one / "carrier") == "1"]
    if joined:
        return None
    ways: list[tuple[str, str]] = []
    if network.ethernet is not None:
        ways.append(("no network cable is plugged in", "plug it in, and look at its lights"))
    if network.wifi is not None:
        found = f"the Wi-Fi network {network.wifi.ssid} is not joined"
        ways.append((found, "check its name, pass phrase and country in network.yaml, and the distance"))
    if network.lte is not None:
        problem, _, remedy = _line(root / PROBLEM).partition("; ")
        ways.append((problem or "no mobile network is joined", remedy or _APN))
    problem = ", and ".join(problem for problem, _ in ways) or "no network is set up"
    return Trouble(NETWORK, problem, "; or ".join(remedy for _, remedy in ways))


def _line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # an interface that is not up has no carrier to tell of
        return ""


def _clock(now: float, scheme: str) -> Trouble | None:
    if now >= RELEASED or scheme != "https":
        return None
    problem = f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(now))}: no time server has answered yet"
    remedy = "let the network pass NTP (UDP port 123), or name time_servers in network.yaml; it goes on by itself then"
    return Trouble(CLOCK, problem, remedy)


def _way(host: str, port: int, network: NetworkSettings) -> Trouble | None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        problem = f"the name {host} cannot be looked up: {error.strerror or error}"
        return Trouble(
            NETWORK, problem, "check the catalog's address in card.yaml, and the network's name servers (dns)"
        )
    last: OSError | None = None
    for family, kind, protocol, _, address in found[:4]:
        with socket.socket(family, kind, protocol) as way:
            way.settimeout(PATIENCE)
            try:
                way.connect(address)
            except OSError as error:
                last = error
            else:
                return None
    if last is not None and last.errno in (101, 99):  # ENETUNREACH, EADDRNOTAVAIL
        static = network.ethernet is not None and network.ethernet.address
        remedy = (
            "check address and gateway in network.yaml" if static else "check that the network gives addresses (DHCP)"
        )
        return Trouble(NETWORK, f"there is no way to {host}: the meter has no address, or no gateway", remedy)
    words = (
        "nobody answers" if isinstance(last, TimeoutError) else (last.strerror if last is not None else "") or "no way"
    )
    problem = f"the catalog at {host}, port {port}, cannot be reached: {words}"
    return Trouble(NETWORK, problem, f"check that the network lets through to port {port}, and that the catalog runs")


def _authorities(wanted: Wanted) -> Trouble | None:
    """Look whether the meter's own file of authorities can be read: nobody is at the other end of that."""
    if not wanted.ca:
        return None
    try:
        ssl.create_default_context(cafile=wanted.ca)
    except OSError as error:  # an ssl.SSLError is one
        found = shortened(getattr(error, "reason", "") or error.strerror or str(error), 120)
        problem = f"the file of authorities ({AUTHORITIES}) on this card cannot be used: {found}"
        remedy = f"put {AUTHORITIES} onto the card anew, whole, as the operator gives it (certificates, PEM)"
        return Trouble(CATALOG, problem, remedy, needs_somebody=True)
    return None


def _answer(wanted: Wanted, host: str, port: int, *, is_secure: bool) -> Trouble | None:
    """Ask for the authorities, believing nobody, and look who answers."""
    captive = Trouble(
        CATALOG,
        f"something else answers in the place of the catalog at {host}: a log-in page (captive network), or a stranger",
        "use a network without a log-in page, and check the catalog's address in card.yaml",
    )
    try:
        status, content = _get(wanted, host, port, is_secure=is_secure, verify=False)
        anchors = msgspec.json.decode(content, type=AuthorityDocument).anchors if status == 200 else ""
    except (msgspec.MsgspecError, http.client.HTTPException, ssl.SSLError):
        return captive
    except OSError as error:
        problem = f"the catalog at {host} breaks off: {error.strerror or error}"
        return Trouble(CATALOG, problem, "it is tried again; tell the operator if it lasts")
    if status >= 500 and status != 511:
        return Trouble(CATALOG, f"the catalog at {host} is there and does not serve ({status})", "tell the operator")
    if status != 200:
        return captive
    if wanted.anchors and digest(anchors.encode()) != wanted.anchors:
        problem = f"the catalog at {host} is not the one that gave this card's token: it has other authorities"
        return Trouble(CATALOG, problem, "check the catalog's address; else ask the operator for a new token", True)
    return _certificate(wanted, host, port, anchors) if is_secure else None


def _certificate(wanted: Wanted, host: str, port: int, anchors: str) -> Trouble | None:
    try:
        _get(wanted, host, port, is_secure=True, verify=True, anchors=anchors)
    except ssl.SSLCertVerificationError as error:
        problem = f"the certificate of the catalog at {host} is not believed: {shortened(error.verify_message, 120)}"
        remedy = "check the catalog's address; else the operator renews it: tresma-catalog authority server"
        if "not yet valid" in error.verify_message:
            remedy = "the clock may be behind: let the network pass NTP, or name time_servers in network.yaml"
        return Trouble(CATALOG, problem, remedy)
    except (OSError, http.client.HTTPException):
        return None  # it answered a moment ago: asking tells
    return None


def _get(
    wanted: Wanted, host: str, port: int, *, is_secure: bool, verify: bool, anchors: str = ""
) -> tuple[int, bytes]:
    connection: http.client.HTTPConnection
    if is_secure:
        context = ssl.create_default_context(cafile=wanted.ca or None, cadata=None if wanted.ca else anchors or None)
        if not verify:  # what comes is compared with the token's digest
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", urlsplit(wanted.catalog).path.rstrip("/") + AUTHORITY)
        answer = connection.getresponse()
        return answer.status, answer.read(2 * MAXIMUM_ROOT)
    finally:
        connection.close()
