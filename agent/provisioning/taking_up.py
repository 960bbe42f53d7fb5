"""
What needs no network: a card's folder is kept on the data partition, wiped, and made into the machine's settings.

A file that is wrong changes nothing: what was kept of an earlier one stays in force, and everything wrong is told. What
was kept is durable, and was read back, before anything is taken off the card.
"""

import logging
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from agent.files import write_durably
from agent.identity.files import Identity, token_digest
from agent.provisioning import network_files
from agent.provisioning.card_folder import CardFolder
from agent.provisioning.places import Places, make_folder
from algorithms.api.errors import Problem
from device_catalog.contract.card import AUTHORITIES, CARD, NETWORK, Card, NetworkSettings
from device_catalog.contract.card_files import problems_of_authorities, read_card, read_network, write
from device_catalog.contract.validation import DocumentError

log = logging.getLogger(__name__)

_SERIALS = ("sys/firmware/devicetree/base/serial-number", "sys/class/dmi/id/product_uuid")

_README = """\
This is the memory card of the tresma meter {device}.

What stood here was taken over by the meter at its first start. To change its network, put a file network.yaml beside
this one; to enrol it anew, a new card.yaml. Both are read at the next start. `tresma flash --help` shows all that they
may say, and an operator of the catalog gives what a card.yaml needs to let a meter in.

network.yaml, for example (a line for each way that is there; with DHCP the first is `ethernet: {{}}`):

schema: network/1
ethernet: {{method: static, address: 192.0.2.10/24, gateway: 192.0.2.1, dns: [192.0.2.53]}}
wifi: {{ssid: Cabinet, psk: "pass phrase", country: DE}}
lte: {{apn: internet.example, pin: "0123"}}
"""


class Taken(NamedTuple):
    """
    What is in force after the card was looked at.

    Attributes
    ----------
    card : Card or None
        None where nobody ever told this machine who it is.
    problems : list of Problem
        Everything wrong with the card's files.
    warning : str
        What should be looked into, though the meter works; empty for nothing.
    """

    card: Card | None
    problems: list[Problem]
    warning: str = ""


def take_up(places: Places, folder: CardFolder, set_host_name: Callable[[str], None] = socket.sethostname) -> Taken:
    """
    Take up a card's folder, and make the machine's settings of what is in force.

    Raises
    ------
    OSError
        When the data partition cannot be written: nothing was wiped then.
    """
    problems: list[Problem] = []
    try:
        files = folder.read()
    except OSError as error:
        files = {}
        problems.append(
            Problem(CARD, "a card that can be read", error.strerror or str(error), "look at it on a laptop")
        )
    kept = _kept_card(places)
    kept_names: list[str] = []
    if NETWORK in files:
        _try(problems, lambda: _keep_network(places, files[NETWORK]), NETWORK, kept_names)
    if CARD in files:
        _try(problems, lambda: _keep_card(places, files, kept), CARD, kept_names)
    if AUTHORITIES in files and (CARD in kept_names or CARD not in files):
        _try(problems, lambda: _keep_authorities(places, files[AUTHORITIES]), AUTHORITIES, kept_names)
    card = _kept_card(places)
    _wipe(folder, tuple(kept_names), card, problems)
    _make_network(places, problems)
    warning = ""
    if card is not None:
        _make_page(places, card)
        _name(places, card, set_host_name)
        warning = _other_machine(places, is_new=CARD in kept_names and kept != card)
    return Taken(card, problems, warning)


def _try(problems: list[Problem], keep: Callable[[], None], name: str, kept: list[str]) -> None:
    try:
        keep()
    except DocumentError as error:
        problems += error.problems
    else:
        kept.append(name)


def _kept_card(places: Places) -> Card | None:
    try:
        return read_card(places.card.read_bytes())
    except FileNotFoundError:
        return None
    except DocumentError as error:
        log.error("what was kept of the card cannot be used: %s", error)
        return None


def _keep_network(places: Places, content: bytes) -> None:
    places.keep(places.network, write(read_network(content)))


def _keep_authorities(places: Places, content: bytes) -> None:
    found = problems_of_authorities(content)
    if found:
        raise DocumentError(found)
    places.keep(places.authorities, content, mode=0o644)


def _keep_card(places: Places, files: dict[str, bytes], kept: Card | None) -> None:
    card = read_card(files[CARD])
    facts = Identity(places.state).facts()
    owner = facts.device if facts is not None else kept.device if kept is not None else card.device
    if owner != card.device:
        remedy = f"write the card anew with `tresma flash`, or put the card of {owner} back"
        raise DocumentError([Problem(f"{CARD}: device", f"{owner}, whose data is here", card.device, remedy)])
    used = facts is not None and bool(card.token) and facts.token == token_digest(card.token)
    if used:
        card = msgspec.structs.replace(card, token="")
    elif not card.token and kept is not None:
        card = msgspec.structs.replace(card, token=kept.token)
    if not card.token and facts is None:
        remedy = f"`tresma devices enrol {card.device}` gives one"
        raise DocumentError([Problem(f"{CARD}: token", "a token that lets this meter in", "nothing", remedy)])
    if kept is not None:  # a card that only brings a new token takes nothing away that was told before
        card = msgspec.structs.replace(
            card,
            page=card.page if card.page.pin else kept.page,
            label=card.label or kept.label,
            least_policy=max(card.least_policy, kept.least_policy),
        )
    is_new = card.token and (kept is None or kept.token != card.token)
    if is_new and AUTHORITIES not in files:
        places.drop(places.authorities)  # another catalog's, perhaps
    places.keep(places.card, write(card))
    if read_card(places.card.read_bytes()) != card:
        raise OSError(f"{places.card} does not hold what was written to it")


def _wipe(folder: CardFolder, names: tuple[str, ...], card: Card | None, problems: list[Problem]) -> None:
    words = _README.format(device=card.device if card is not None else "(not told yet)")
    try:
        folder.wipe(names, words)
    except (OSError, subprocess.TimeoutExpired) as error:
        found = getattr(error, "strerror", None) or str(error)
        remedy = "the meter goes on; replace the card soon"
        problems.append(Problem(CARD, "a card that secrets can be taken off", found, remedy))


def _make_network(places: Places, problems: list[Problem]) -> None:
    """Make the files of the network's settings; without usable ones, of a cable with DHCP."""
    network = NetworkSettings()
    try:
        network = read_network(places.network.read_bytes())
    except FileNotFoundError:
        pass
    except DocumentError as error:
        problems += error.problems
    made = network_files.files(network)
    for place in network_files.ALL:
        path = places.root / place
        if place not in made:
            path.unlink(missing_ok=True)
            continue
        make_folder(path.parent)
        write_durably(path, made[place].content.encode(), made[place].mode)
        path.chmod(made[place].mode)


def _make_page(places: Places, card: Card) -> None:
    if not card.page.pin:
        places.drop(places.commissioning)
        return
    lines = {"pin": card.page.pin, "name": card.host, "port": card.page.port}
    if card.page.interfaces:
        lines["interfaces"] = list(card.page.interfaces)
    places.keep(places.commissioning, yaml.safe_dump(lines, sort_keys=False).encode())


def _name(places: Places, card: Card, set_host_name: Callable[[str], None]) -> None:
    path = places.root / "etc/hostname"
    try:
        if places.is_machine and socket.gethostname() != card.host:
            set_host_name(card.host)
        make_folder(path.parent)
        write_durably(path, f"{card.host}\n".encode(), mode=0o644)
        path.chmod(0o644)
    except OSError as error:
        log.warning("the machine keeps its name, since it cannot be called %s: %s", card.host, error.strerror or error)


def _other_machine(places: Places, *, is_new: bool) -> str:
    """Notice that a card was put, or copied, into another machine; a new token says that it is meant."""
    serial = _serial(places.root)
    if not serial:
        return ""
    try:
        before = places.machine.read_text().strip()
    except OSError:
        before = ""
    if not before or is_new:
        places.keep(places.machine, f"{serial}\n".encode(), mode=0o644)
        return ""
    if before == serial:
        return ""
    return (
        f"this card was provisioned in another machine ({before}, this is {serial}): two meters may have one identity"
    )


def _serial(root: Path) -> str:
    for place in _SERIALS:
        try:
            text = (root / place).read_text(errors="replace").strip("\0\n ")
        except OSError:
            continue
        if text.isprintable() and text:
            return text[:80]
    return ""
