"""What the fields of a memory card's files may say (`card`); `card_files` reads them and asks here. Pure."""

import ipaddress
import re
from urllib.parse import urlsplit

from algorithms.api.errors import Problem
from device_catalog.contract.card import Card, Ethernet, Lte, Method, NetworkSettings, WiFi
from device_catalog.contract.enrolment import Token
from device_catalog.contract.rules import IDENTIFIER, Problems
from device_catalog.contract.topics import is_identifier

LONGEST_LABEL = 100
LARGEST = 2**53
"""[1]"""

_part = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_host = re.compile(rf"(?=.{{1,253}}$){_part}(\.{_part})*")
_label = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_interface = re.compile(r"[A-Za-z0-9_-]{1,15}")
_hexadecimal = re.compile(r"[0-9A-Fa-f]{64}")
_apn = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,98}[A-Za-z0-9])?")


def problems_of_card(card: Card, where: str) -> list[Problem]:
    """Find everything wrong with who a meter is said to be; `where` begins the path of each problem."""
    rules = Problems()
    named = rules.expect(is_identifier(card.device), f"{where}.device", IDENTIFIER, card.device)
    rules.expect(is_identifier(card.tenant), f"{where}.tenant", IDENTIFIER, card.tenant)
    example = "an address such as https://catalog.example.org"
    rules.expect(_is_address(card.catalog), f"{where}.catalog", example, card.catalog)
    rules.expect(0 <= card.least_policy < LARGEST, f"{where}.least_policy", "0 or more", card.least_policy)
    fits = len(card.label) <= LONGEST_LABEL and card.label.isprintable()
    rules.expect(fits, f"{where}.label", f"one line of at most {LONGEST_LABEL} characters", card.label)
    one = not card.host_name or bool(_label.fullmatch(card.host_name))
    rules.expect(one, f"{where}.host_name", "small letters, digits and - (at most 63)", card.host_name)
    pin = card.page.pin
    right = not pin or (pin.isascii() and pin.isdigit() and 6 <= len(pin) <= 12)
    rules.expect(right, f"{where}.page.pin", "6 to 12 digits in quotes", "something else")
    rules.expect(0 < card.page.port < 65_536, f"{where}.page.port", "a port from 1 to 65535", card.page.port)
    for index, name in enumerate(card.page.interfaces):
        right = bool(_interface.fullmatch(name))
        rules.expect(right, f"{where}.page.interfaces[{index}]", "an interface such as eth0", name)
    if card.token:
        _token(rules, card, f"{where}.token", named=named)
    return rules.found


def _token(rules: Problems, card: Card, where: str, *, named: bool) -> None:
    try:
        token = Token.read(card.token)
    except ValueError:
        remedy = "copy it whole, four parts with dots between"
        rules.expect(False, where, "a token as `tresma devices enrol` prints it", "something else", remedy)
        return
    if card.least_policy and not token.root:
        remedy = "have one made with --root or --trust, or leave least_policy out"
        rules.found.append(Problem(where, "a token that names a root of trust", "one without", remedy))
    if named and token.device != card.device:
        remedy = f"have one made for {card.device}, or write this card for {token.device}"
        rules.found.append(Problem(where, f"a token for {card.device}", f"one for {token.device}", remedy))


def is_here(catalog: str) -> bool:
    """
    Tell whether an address means the very machine that uses it.

    >>> is_here("http://127.0.0.1:8080"), is_here("https://localhost"), is_here("https://catalog.example.org")
    (True, True, False)
    """
    try:
        host = (urlsplit(catalog).hostname or "").rstrip(".")
    except ValueError:
        return False
    address = _address(host)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return host == "localhost" or host.endswith(".localhost")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return right and not parts.username and not parts.query and text.isprintable() and " " not in text


def problems_of_network(network: NetworkSettings, where: str) -> list[Problem]:
    """Find everything wrong with the ways to the catalog."""
    rules = Problems()
    ways = (network.ethernet, network.wifi, network.lte)
    rules.expect(any(ways), where, "ethernet, wifi or lte", "none of them", "without a network no meter is let in")
    if network.ethernet is not None:
        _addresses(rules, network.ethernet, f"{where}.ethernet")
    if network.wifi is not None:
        _wifi(rules, network.wifi, f"{where}.wifi")
    if network.lte is not None:
        _lte(rules, network.lte, f"{where}.lte")
    for index, server in enumerate(network.time_servers):
        right = bool(_host.fullmatch(server)) or _address(server) is not None
        rules.expect(right, f"{where}.time_servers[{index}]", "a name such as ntp.example.org, or an address", server)
    return rules.found


def _wifi(rules: Problems, wifi: WiFi, where: str) -> None:
    length = len(wifi.ssid.encode())
    rules.expect(1 <= length <= 32 and wifi.ssid.isprintable(), f"{where}.ssid", "a name of 1 to 32 bytes", wifi.ssid)
    phrase = 8 <= len(wifi.psk) <= 63 and wifi.psk.isascii() and wifi.psk.isprintable()
    right = phrase or bool(_hexadecimal.fullmatch(wifi.psk))
    rules.expect(right, f"{where}.psk", "a pass phrase of 8 to 63 characters (no umlauts)", "something else")
    right = len(wifi.country) == 2 and wifi.country.isascii() and wifi.country.isalpha() and wifi.country.isupper()
    rules.expect(right, f"{where}.country", "two capital letters such as DE", wifi.country)
    _addresses(rules, wifi, where)


def _lte(rules: Problems, lte: Lte, where: str) -> None:
    rules.expect(bool(_apn.fullmatch(lte.apn)), f"{where}.apn", "letters, digits, dots and - (at most 100)", lte.apn)
    right = not lte.pin or (lte.pin.isascii() and lte.pin.isdigit() and 4 <= len(lte.pin) <= 8)
    rules.expect(right, f"{where}.pin", "4 to 8 digits in quotes", "something else")
    for name in ("user", "password"):
        text = getattr(lte, name)
        right = len(text) <= 64 and text.isascii() and text.isprintable() and not set(text) & {'"', ",", "\\"}
        rules.expect(right, f"{where}.{name}", "at most 64 letters, digits and signs", "something else")


def _addresses(rules: Problems, way: Ethernet | WiFi, where: str) -> None:
    for index, server in enumerate(way.dns):
        rules.expect(_address(server) is not None, f"{where}.dns[{index}]", "an address such as 192.0.2.53", server)
    if way.method is Method.DHCP:
        for name in ("address", "gateway"):
            remedy = "write `method: static` as well, or take it out"
            value = getattr(way, name)
            rules.expect(not value, f"{where}.{name}", "no address with `method: dhcp`", value, remedy)
        return
    expected = "an address with the length of its network, such as 192.0.2.10/24"
    try:
        own = ipaddress.IPv4Interface(way.address)
        edges = own.network.prefixlen < 31 and own.ip in (own.network.network_address, own.network.broadcast_address)
        odd = own.ip.is_multicast or own.ip.is_loopback or own.ip.is_unspecified
        usable = "/" in way.address and not edges and not odd and 8 <= own.network.prefixlen <= 31
    except ValueError:
        rules.expect(False, f"{where}.address", expected, way.address)
        return
    if not rules.expect(usable, f"{where}.address", expected, way.address) or not way.gateway:
        return
    try:
        gateway = ipaddress.IPv4Address(way.gateway)
    except ValueError:
        rules.expect(False, f"{where}.gateway", "an address such as 192.0.2.1", way.gateway)
        return
    right = gateway in own.network and gateway != own.ip
    rules.expect(right, f"{where}.gateway", f"another address in {own.network}", way.gateway)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
