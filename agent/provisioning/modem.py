"""
Keeps a meter joined to a mobile network: ModemManager has no file that says which, so somebody must tell it.

One step looks at the modem and does the next thing that is missing: a SIM card's PIN, registration, a connection, its
addresses. A PIN is sent only while all three tries are left: one that is wrong is never sent twice, whatever restarts,
and no SIM card is blocked by a meter. ModemManager is asked by its own program, mmcli, whose answers are JSON.
"""

import re
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from agent.provisioning.network_files import File
from agent.provisioning.status import NETWORK, Trouble
from algorithms.api.errors import shortened
from device_catalog.contract.card import Lte

NETWORK_FILE = "run/systemd/network/45-tresma-modem.network"
PROBLEM = "run/tresma-modem/problem"
"""What keeps it from being joined, for whoever asks why the catalog is away; below the root."""

PATIENCE = 180.0
"""How long joining a network may take [s]."""
PIN_PATIENCE = 30.0
"""How long a SIM card may take over its PIN [s]."""
FULL_TRIES = 3
"""As many wrong PINs a SIM card takes before it is blocked."""

_METRIC = 700
_tries = re.compile(r"sim-pin \((\d+)\)")

Mmcli = Callable[..., dict[str, Any]]
"""Runs mmcli with these words; gives its answer, empty where there is none. `ModemError` where it refuses."""


class ModemError(Exception):
    """ModemManager cannot do what it was asked; the message is its own, shortened."""


class Link(NamedTuple):
    """
    A connection to a mobile network.

    Attributes
    ----------
    interface : str
    method : str
        ``static`` or ``dhcp``.
    address, gateway : str
        With the length of the network; empty with ``dhcp``.
    dns : tuple of str
    mtu : str
        [bytes]; empty where the network says nothing of it.
    """

    interface: str
    method: str
    address: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()
    mtu: str = ""


def mmcli(*words: str) -> dict[str, Any]:
    """
    Run mmcli; see `Mmcli`.

    It takes PINs and passwords as words of its command line only, and who may look into /proc of this machine sees them
    there while it runs; tresma's own services may not, they see no processes but their own (ProtectProc). So that it is
    for a moment, a PIN's order, which nobody needs to wait for long, is ended early.
    """
    patience = PIN_PATIENCE if any(word.startswith("--pin=") for word in words) else PATIENCE + 10
    try:
        done = subprocess.run(  # noqa: S603 - words of ours, and what card_rules let through
            ["mmcli", *words, "--output-json"],  # noqa: S607 - wherever the system has it
            capture_output=True, timeout=patience, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise ModemError("ModemManager is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ModemError(f"no answer within {patience:g} s") from error
    if done.returncode:
        words_said = done.stderr.decode(errors="replace").strip().removeprefix("error: ")
        raise ModemError(shortened(words_said, 200) or "no reason given")
    try:
        answer = msgspec.json.decode(done.stdout or b"{}")
    except msgspec.DecodeError:  # some orders are answered by a sentence
        return {}
    return answer if isinstance(answer, dict) else {}


def step(lte: Lte, ask: Mmcli) -> Link | Trouble:
    """Do what is missing until the modem is joined; return its connection, or what stands in the way."""
    try:
        modems = ask("--list-modems").get("modem-list") or []
        if not modems:
            return Trouble(NETWORK, "no modem is found", "plug it in; it takes half a minute to start")
        return _join(lte, ask, modems[0])
    except ModemError as error:
        remedy = "check APN, user and password in network.yaml, and the aerial"
        return Trouble(NETWORK, f"the mobile network is not joined: {error}", remedy)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        return Trouble(NETWORK, f"ModemManager's answer is not understood: {error!r}", "report it with the log")


def _join(lte: Lte, ask: Mmcli, modem: str) -> Link | Trouble:
    facts = ask("--modem", modem)["modem"]
    generic = facts["generic"]
    if generic["state"] == "failed":
        if generic.get("state-failed-reason") == "sim-missing":
            return Trouble(NETWORK, "there is no SIM card in the modem", "put it in the right way round", True)
        return Trouble(NETWORK, f"the modem does not work: {generic.get('state-failed-reason')}", "plug it in anew")
    if generic["state"] == "locked":
        trouble = _unlock(lte, ask, generic)
        if trouble is not None:
            return trouble
    if facts.get("3gpp", {}).get("registration-state") == "denied":
        return Trouble(
            NETWORK, "the mobile network refuses this SIM card", "ask its provider whether it is active", True
        )
    if generic["state"] != "connected":
        ask("--modem", modem, f"--simple-connect={_wanted(lte)}", f"--timeout={PATIENCE:g}")
        generic = ask("--modem", modem)["modem"]["generic"]
    for bearer in generic["bearers"]:
        found = ask("--bearer", bearer)["bearer"]
        if found["status"]["connected"] == "yes":
            return _link(found)
    return Trouble(NETWORK, "the mobile network gave no connection", "it is tried again")


def _unlock(lte: Lte, ask: Mmcli, generic: dict[str, Any]) -> Trouble | None:
    required = generic["unlock-required"]
    if required != "sim-pin":
        problem = f"the SIM card is blocked ({required})"
        return Trouble(NETWORK, problem, "unblock it in a telephone with its PUK", needs_somebody=True)
    if not lte.pin:
        return Trouble(NETWORK, "the SIM card asks for a PIN", "write it into network.yaml (lte: pin)", True)
    found = [match for text in generic.get("unlock-retries", ()) if (match := _tries.fullmatch(text))]
    if not found:
        problem = "the SIM card asks for a PIN, and the modem does not say how many tries are left: none is spent"
        return Trouble(NETWORK, problem, "switch the PIN off in a telephone", needs_somebody=True)
    left = int(found[0][1])
    if left < FULL_TRIES:
        problem = f"the SIM card's PIN in network.yaml is wrong: {left} tries are left, and none is spent on it"
        remedy = "put the right PIN into network.yaml, and enter it once in a telephone"
        return Trouble(NETWORK, problem, remedy, needs_somebody=True)
    ask("--sim", generic["sim"], f"--pin={lte.pin}")
    return None


def _wanted(lte: Lte) -> str:
    words = [f"apn={lte.apn}", f"allow-roaming={'yes' if lte.roaming else 'no'}"]
    words += [f"{name}={text}" for name, text in (("user", lte.user), ("password", lte.password)) if text]
    return ",".join(words)


def _link(bearer: dict[str, Any]) -> Link | Trouble:
    addresses, interface = bearer["ipv4-config"], bearer["status"]["interface"]
    if addresses["method"] == "dhcp":
        return Link(interface, "dhcp")
    if addresses["method"] != "static":
        problem = f"this modem wants {addresses['method']}, which meters do not speak"
        return Trouble(NETWORK, problem, "use a modem with QMI or MBIM", needs_somebody=True)
    said = {name: "" if addresses.get(name, "--") == "--" else addresses[name] for name in ("gateway", "mtu")}
    dns = tuple(server for server in addresses.get("dns", ()) if server != "--")
    return Link(interface, "static", f"{addresses['address']}/{addresses['prefix']}", said["gateway"], dns, said["mtu"])


def file_of(link: Link) -> File:
    """Make the file by which networkd gives a connection its addresses."""
    lines = ["# Made by tresma-agent modem of what the mobile network gave.", "[Match]", f"Name={link.interface}"]
    lines += ["[Link]", f"MTUBytes={link.mtu}"] if link.mtu else []
    lines += ["[Network]", "LinkLocalAddressing=no", *(f"DNS={server}" for server in link.dns)]
    if link.method == "dhcp":
        lines += ["DHCP=ipv4", "[DHCPv4]", f"RouteMetric={_METRIC}"]
    else:
        lines.append(f"Address={link.address}")
        lines += ["[Route]", f"Gateway={link.gateway}" if link.gateway else "Scope=link", f"Metric={_METRIC}"]
        lines += [] if link.gateway else ["Destination=0.0.0.0/0"]
    return File("\n".join(lines) + "\n")
