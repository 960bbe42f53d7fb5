"""
What `NetworkSettings` become on a meter: files of systemd-networkd, wpa_supplicant, chrony and of the modem's keeper.

They are made anew at each start from what is kept, in places that a restart empties, so that nothing is left of
settings that are gone. A cable is preferred to Wi-Fi, Wi-Fi to a mobile network, by the metric of its routes. Pure.
"""

import hashlib
from typing import NamedTuple

import msgspec

from device_catalog.contract.card import Ethernet, Method, NetworkSettings, WiFi

ETHERNET = "run/systemd/network/50-tresma-ethernet.network"
WIFI = "run/systemd/network/50-tresma-wifi.network"
LTE = "run/systemd/network/50-tresma-lte.network"
SUPPLICANT = "etc/wpa_supplicant/wpa_supplicant-wlan0.conf"
MODEM = "run/tresma-provision/modem.json"
TIME = "etc/chrony/sources.d/tresma.sources"
ALL = (ETHERNET, WIFI, LTE, SUPPLICANT, MODEM, TIME)
"""Below the root."""

_METRIC = {"ethernet": 100, "wifi": 300, "lte": 700}
_made = "# Made by tresma-agent provision at each start; network.yaml says what stands here.\n"


class File(NamedTuple):
    """
    A file.

    Attributes
    ----------
    content : str
    mode : int
        Permissions; what is secret is root's alone.
    """

    content: str
    mode: int = 0o644


def files(network: NetworkSettings) -> dict[str, File]:
    """Make the files of a network's settings, by their places; those of `ALL` that are missing are not to be there."""
    made: dict[str, File] = {}
    if network.ethernet is not None:
        match = "[Match]\nType=ether\nKind=!*\n"
        made[ETHERNET] = File(_made + match + _addresses(network.ethernet, "ethernet"))
    if network.wifi is not None:
        made[WIFI] = File(f"{_made}[Match]\nType=wlan\n{_addresses(network.wifi, 'wifi')}")
        made[SUPPLICANT] = File(_supplicant(network.wifi), 0o600)
    if network.lte is not None:
        made[LTE] = File(f"{_made}[Match]\nType=wwan\n{_addresses(Ethernet(), 'lte')}")
        made[MODEM] = File(msgspec.json.encode(network.lte).decode(), 0o600)
    if network.time_servers:
        lines = "".join(f"server {server} iburst\n" for server in network.time_servers)
        made[TIME] = File(f"{_made}{lines}")
    return made


def _addresses(way: Ethernet | WiFi, kind: str) -> str:
    # Each way counts for being online: where none did, whatever waits for the network would wait in vain.
    lines = ["[Network]", "LinkLocalAddressing=yes", "IPv6AcceptRA=yes"]
    lines += [f"DNS={server}" for server in way.dns]
    if way.method is Method.STATIC:
        lines.append(f"Address={way.address}")
        if way.gateway:
            lines += ["[Route]", f"Gateway={way.gateway}", f"Metric={_METRIC[kind]}"]
    else:
        lines += ["DHCP=yes", "[DHCPv4]", f"RouteMetric={_METRIC[kind]}", "ClientIdentifier=mac"]
        if way.dns:
            lines.append("UseDNS=no")
    lines += ["[IPv6AcceptRA]", f"RouteMetric={_METRIC[kind]}"]
    return "\n".join(lines) + "\n"


def _supplicant(wifi: WiFi) -> str:
    """Write name and pass phrase in hexadecimal: quotes and number signs in them mean something to wpa_supplicant."""
    keys, phrases = "WPA-PSK WPA-PSK-SHA256", f"  psk={wifi.psk.lower()}\n"
    if len(wifi.psk) < 64:
        keys = f"{keys} SAE"
        phrases = f"  psk={_key(wifi)}\n  sae_password={wifi.psk.encode().hex()}\n"
    return (
        f"{_made}ctrl_interface=DIR=/run/wpa_supplicant\ncountry={wifi.country}\nnetwork={{\n"
        f"  ssid={wifi.ssid.encode().hex()}\n  scan_ssid={int(wifi.hidden)}\n  key_mgmt={keys}\n"
        f"  ieee80211w=1\n{phrases}}}\n"
    )


def _key(wifi: WiFi) -> str:
    """Make the key of a pass phrase, as IEEE 802.11-2020 has it in J.4.1."""
    return hashlib.pbkdf2_hmac("sha1", wifi.psk.encode(), wifi.ssid.encode(), 4096, 32).hex()
