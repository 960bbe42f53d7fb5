"""
What a memory card tells a meter before its first start: who it is, where its catalog is, how it reaches it.

``tresma flash`` puts the folder ``tresma`` onto the card's FAT partition, where any laptop can look at it and correct
it: ``card.yaml`` (`Card`), ``network.yaml`` (`NetworkSettings`) and, where the catalog's authorities are not the
system's, ``catalog-ca.pem``. The meter reads them at each start, keeps them on its data partition and takes what is
secret off the card (`agent.provisioning`). `card_files` reads and judges them for both sides. Pure.
"""

import hashlib
import re
from enum import StrEnum

import msgspec

from device_catalog.contract.documents import Strict

FOLDER = "tresma"
"""On the FAT partition."""
CARD, NETWORK, AUTHORITIES = "card.yaml", "network.yaml", "catalog-ca.pem"
PARTITION = "FIRMWARE"
"""Label of the FAT partition."""
MAXIMUM_FILE = 64 * 1024
"""Longest of these files [bytes]."""
MAXIMUM_AUTHORITIES = 256 * 1024
"""[bytes]"""

SECRETS = ("token", "page.pin", "wifi.psk", "lte.pin", "lte.password")
"""Fields whose content is never shown."""

_other = re.compile(r"[^a-z0-9]+")


class Method(StrEnum):
    """Where an interface has its addresses from."""

    DHCP = "dhcp"
    STATIC = "static"


class Page(Strict, frozen=True):
    """
    The page by which a meter is commissioned.

    Attributes
    ----------
    pin : str
        What it asks for, 6 to 12 digits; stands on the label. Empty: the page does not open.
    interfaces : tuple of str
        Where it answers on every address, such as ``eth0``; elsewhere on link-local addresses only.
    port : int
    """

    pin: str = ""
    interfaces: tuple[str, ...] = ()
    port: int = 80


class Card(Strict, frozen=True, tag_field="schema", tag="card/1"):
    """
    Who a meter is.

    Attributes
    ----------
    device : str
    catalog : str
        Address of the catalog.
    token : str
        Lets the device in once (`device_catalog.contract.enrolment.Token`); empty once it was taken off the card.
    tenant : str
    least_policy : int
        Revision of the DSO's policy below which nothing is believed; 0 for any.
    label : str
        What the label says of the place, at most 100 characters.
    host_name : str
        The machine's name in the network; empty for `host_name` of the device.
    page : Page
    """

    device: str
    catalog: str
    token: str = ""
    tenant: str = "default"
    least_policy: int = 0
    label: str = ""
    host_name: str = ""
    page: Page = Page()

    @property
    def host(self) -> str:
        """The machine's name in the network."""
        return self.host_name or host_name(self.device)

    def __repr__(self) -> str:
        return f"Card(device={self.device!r}, catalog={self.catalog!r})"


class Ethernet(Strict, frozen=True):
    """
    Addresses of a cable; of IPv4, while IPv6 configures itself.

    Attributes
    ----------
    method : Method
    address : str
        With the length of its network, such as ``192.0.2.10/24``.
    gateway : str
    dns : tuple of str
        Addresses of name servers, of IPv4 or IPv6.
    """

    method: Method = Method.DHCP
    address: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()


class WiFi(Strict, frozen=True):
    """
    A wireless network.

    Attributes
    ----------
    ssid : str
    psk : str
        Pass phrase of 8 to 63 characters, or 64 hexadecimal digits.
    country : str
        Two capital letters: which channels are allowed depends on it.
    hidden : bool
        Whether it does not say its name by itself.
    method, address, gateway, dns
        As of `Ethernet`.
    """

    ssid: str
    psk: str
    country: str
    hidden: bool = False
    method: Method = Method.DHCP
    address: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"WiFi(ssid={self.ssid!r}, country={self.country!r})"


class Lte(Strict, frozen=True):
    """
    A mobile network.

    Attributes
    ----------
    apn : str
        Access point name, as the contract of the SIM card says it.
    user, password : str
        Empty for most contracts.
    pin : str
        Of the SIM card, 4 to 8 digits; empty where it asks for none.
    roaming : bool
        Whether foreign networks may be used.
    """

    apn: str
    user: str = ""
    password: str = ""
    pin: str = ""
    roaming: bool = False

    def __repr__(self) -> str:
        return f"Lte(apn={self.apn!r})"


class NetworkSettings(Strict, frozen=True, tag_field="schema", tag="network/1"):
    """
    How a meter reaches its catalog: each way that is stated is used, a cable before Wi-Fi before LTE.

    Attributes
    ----------
    ethernet : Ethernet or None
        None leaves the cable alone.
    wifi : WiFi or None
    lte : Lte or None
    time_servers : tuple of str
        Names or addresses (NTP); empty for those of the image.
    """

    ethernet: Ethernet | None = Ethernet()
    wifi: WiFi | None = None
    lte: Lte | None = None
    time_servers: tuple[str, ...] = ()


def host_name(device: str) -> str:
    """
    Make a machine's name of a device's: one label of a domain name.

    >>> host_name("M_0042")
    'tresma-m-0042'
    >>> len(host_name("m" * 64))
    63
    """
    name = f"tresma-{_other.sub('-', device.lower()).strip('-')}".strip("-")
    if len(name) <= 63:
        return name
    return f"{name[:54]}-{hashlib.sha256(device.encode()).hexdigest()[:8]}"


def without_token(card: Card) -> Card:
    """Give what may stay on a card: all but the token."""
    return msgspec.structs.replace(card, token="")
