"""
Where the page listens: on cables and access points of this machine, never on what leads to everybody.

For each network interface that looks like Ethernet (also Wi-Fi and access points, never a modem's) there is one socket,
bound to that interface, so that no packet from another one reaches it. A connection is served where the interface is
one of the installer's (`interfaces` in the settings), or where both ends have link-local addresses, which no router
forwards: a laptop or a phone plugged in directly. Cables come and go; the list is looked at again and again.
"""

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

BACKLOG = 64
_ETHERNET = "1"
"""ARPHRD_ETHER, which Wi-Fi and bridges have, too."""

_NET = Path("/sys/class/net")


def local_interfaces(folder: Path = _NET) -> list[str]:
    """Name the interfaces that are up and look like Ethernet."""
    found = []
    with suppress(OSError):
        for one in sorted(folder.iterdir()):
            with suppress(OSError):
                flags = int((one / "flags").read_text(), 16)
                if (one / "type").read_text().strip() == _ETHERNET and flags & 1:
                    found.append(one.name)
    return found


def open_on(interface: str, port: int) -> socket.socket:
    """
    Listen on one interface, with IPv6 and IPv4.

    Raises
    ------
    OSError
    """
    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::", port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def open_at(host: str, port: int) -> socket.socket:
    """
    Listen at one address and nothing beside it.

    Raises
    ------
    OSError
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def is_served(interface: str, installers: Iterable[str], own: str, other: str) -> bool:
    """
    Tell whether a connection is served.

    Parameters
    ----------
    interface : str
        On which it came.
    installers : iterable of str
        Interfaces where everybody is served.
    own, other : str
        Addresses of this end and of the other.

    Examples
    --------
    >>> is_served("eth0", (), "fe80::1%eth0", "fe80::2%eth0"), is_served("eth0", (), "192.0.2.1", "192.0.2.2")
    (True, False)
    >>> is_served("ap0", ("ap0",), "192.0.2.1", "192.0.2.2")
    True
    """
    return interface in tuple(installers) or (is_link_local(own) and is_link_local(other))


def is_link_local(address: str) -> bool:
    """Tell whether an address counts on its own link only."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_link_local)
