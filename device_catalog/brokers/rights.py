"""
Who may say and hear what at the two brokers, made from the register: one Mosquitto access list for each.

A device is known by the name in its certificate (``use_identity_as_username``). It speaks on its own topics and
nowhere else, and hears what its algorithms' neighbours say: those a person named, and those its part of a network
gives. Orders to switches come only from an agent that reconfigures that network, and reach only the agent at the
switch. What is not listed is refused. An algorithm that is not known here is taken for one that needs its network and
says nothing about it.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from algorithms.api.network_area import areas_below
from algorithms.api.network_operation import Operation
from algorithms.api.records import Kind
from device_catalog.contract import topics
from device_catalog.contract.documents import Configuration
from device_catalog.contract.topics import BrokerName
from device_catalog.errors import NetworkUnknown
from device_catalog.fleet.register import Register
from device_catalog.grid.parts import Shelf
from device_catalog.rollouts.overlay import overlaid_text

CATALOG = "catalog.tresma"
"""The catalog's own name; no device can be called so."""

ALONE = frozenset(("phasors", "power_quality", "energy", "fault_detection", "fault_voltages", "switch"))
"""Algorithms that need nothing of their network."""
RECONFIGURES = frozenset(("reconfiguration",))
"""Algorithms that order switches, and tell what became of faults."""
LOCATES = frozenset(("fault_location",))
"""Algorithms that tell where faults are."""
SWITCH = "switch"
"""The algorithm at a switch; its setting of the same name says which."""


_topic = re.compile(r"[A-Za-z0-9_/+#-]{1,400}")  # whatever a name holds, it adds no line and no wildcard by itself

CHECK = "check/1"
"""What `tresma-agent check` says at each broker."""


class Client(msgspec.Struct, frozen=True):
    """
    A program that was given a certificate for the brokers.

    Attributes
    ----------
    name : str
        With a dot, so that no device has it.
    tenant : str
        Whose topics it hears; empty for all.
    asks : bool
        Whether it may also send requests and commands to devices.
    operates : bool
        Whether it may also order switches, as people do who hold a network's lease (`tresma network operate`).
    """

    name: str
    tenant: str = ""
    asks: bool = False
    operates: bool = False


class Part(NamedTuple):
    """What a device sees of its network."""

    devices: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()


class Member(NamedTuple):
    """A device, as far as it concerns brokers."""

    device: str
    tenant: str
    configuration: Configuration
    part: Part


class Rights:
    """
    Reads what concerns brokers from the register, what did not change since only once.

    Parameters
    ----------
    register : Register
    shelf : Shelf
    enrolled : callable
        Tells whether a device has a certificate in force; one without is on no list, and refused everything.
    """

    def __init__(self, register: Register, shelf: Shelf, enrolled: Callable[[str], bool]) -> None:
        self._fleet, self._store, _ = register
        self._shelf = shelf
        self._enrolled = enrolled
        self._known: dict[str, tuple[int, Configuration]] = {}

    def version(self) -> int:
        """Tell one state of all configurations from another, roughly and at once: rollouts change them unasked."""
        return sum(device.revision for device in self._fleet.devices.values())

    def members(self) -> list[Member]:
        """Read every enrolled device; blocks on the database."""
        members, parts = [], dict[tuple[str, str, str], Part]()
        devices = sorted(self._fleet.devices.copy().values(), key=lambda one: one.device)
        for device in devices:
            if not self._enrolled(device.device):
                continue
            before = self._known.get(device.device)
            if before is None or before[0] != device.revision:
                revision, document, _ = self._store.configuration(device.device)
                overlaid = overlaid_text(document, self._store.choices(device.device))
                before = revision, msgspec.json.decode(overlaid, type=Configuration)
                self._known[device.device] = before
            part = self._part(before[1], device.tenant, parts)
            members.append(Member(device.device, device.tenant, before[1], part))
        for name in self._known.keys() - {one.device for one in devices}:
            del self._known[name]
        return members

    def _part(self, configuration: Configuration, tenant: str, parts: dict[tuple[str, str, str], Part]) -> Part:
        topology = configuration.topology
        if topology is None or all(one.algorithm in ALONE for one in configuration.algorithms):
            return Part()
        key = topology.network, topology.area, tenant
        if key not in parts:
            parts[key] = self._read_part(*key)
        return parts[key]

    def _read_part(self, network: str, area: str, tenant: str) -> Part:
        try:
            known = self._shelf.known(network)
            if known.row.tenant not in ("", tenant):
                return Part()
            document = known.part(area).document
        except NetworkUnknown:
            return Part()
        devices = tuple(dict.fromkeys(terminal.device for terminal in document.terminals if terminal.device))
        areas = document.areas if not area else areas_below(document.areas)
        remote = [switch.id for switch in document.switches if switch.operation is Operation.REMOTE]
        switches = tuple(switch.id for switch in document.switches)
        return Part(devices, tuple(one.id for one in areas), switches, tuple(remote))


def access_list(broker: BrokerName, members: Sequence[Member], clients: Iterable[Client] = ()) -> str:
    """
    Write a broker's access list, as Mosquitto reads it (``acl_file``).

    Parameters
    ----------
    broker : str
        ``grid`` or ``data``.
    members : sequence of Member
    clients : iterable of Client
    """
    lines = ["# Written by the device catalog; what is changed here is lost."]
    lines += _user(CATALOG, *_catalog(broker))
    for client in sorted(clients, key=lambda one: one.name):
        lines += _user(client.name, *_client(broker, client))
    heard = {one.device: _heard(one, members) for one in members} if broker == "grid" else {}
    askers = defaultdict[str, set[str]](set)
    for device, asked in heard.items():
        for name in asked:
            askers[name].add(device)
    for one in members:
        if broker == "grid":
            lines += _user(one.device, *_on_grid(one, heard[one.device], askers[one.device]))
        else:
            lines += _user(one.device, *_on_data(one))
    return "\n".join(lines) + "\n"


def _user(name: str, says: Iterable[str], hears: Iterable[str]) -> list[str]:
    says, hears = (sorted(topic for topic in set(some) if _topic.fullmatch(topic)) for some in (says, hears))
    return ["", f"user {name}", *(f"topic write {one}" for one in says), *(f"topic read {one}" for one in hears)]


def _catalog(broker: BrokerName) -> tuple[list[str], list[str]]:
    if broker == "data":
        return [], ["v1/#"]
    own = topics.catalog_state("+")
    says = [own, topics.availability("+", "+"), topics.topology("+", "+"), topics.notify("+", "+")]
    return says, [own, topics.availability("+", "+"), topics.faults("+", "+"), topics.log("+", "+")]


def _client(broker: BrokerName, client: Client) -> tuple[list[str], list[str]]:
    tenant = client.tenant or "+"
    says = []
    if broker == "grid" and client.asks:
        says += [topics.requests(tenant, "+"), topics.commands(tenant, "+")]
    if broker == "grid" and client.operates:
        says += [topics.switch_command(tenant, "+"), topics.faults(tenant, "+")]
    return says, [f"v1/{tenant}/#"]


def _on_grid(one: Member, heard: Iterable[str], askers: Iterable[str]) -> tuple[set[str], set[str]]:
    tenant, device = one.tenant, one.device
    says = {topics.session(tenant, device), topics.requests(tenant, device), topics.replies(tenant, device)}
    says |= {topics.results(tenant, device, CHECK), topics.log(tenant, device)}
    says |= {topics.requests(tenant, name) for name in heard} | {topics.replies(tenant, name) for name in askers}
    hears = {
        topics.notify(tenant, device),
        topics.commands(tenant, device),
        topics.requests(tenant, device),
        topics.replies(tenant, device),
        topics.catalog_state(tenant),
    }
    topology = one.configuration.topology
    if topology is not None:
        hears.add(topics.topology(tenant, topology.network))
    for assignment in one.configuration.algorithms:
        name = assignment.algorithm
        switch = str(assignment.settings.get("switch", ""))
        if name == SWITCH and topics.is_identifier(switch):
            says.add(topics.switch_state(tenant, switch))
            hears.add(topics.switch_command(tenant, switch))
        if topology is None or name in ALONE:
            continue
        hears.add(topics.faults(tenant, topology.network))
        hears |= {topics.switch_state(tenant, switch) for switch in one.part.switches}
        if name in LOCATES | RECONFIGURES:
            says.add(topics.faults(tenant, topology.network))
        if name in RECONFIGURES:
            says.add(topics.proposals(tenant, topology.network))
            says |= {topics.switch_command(tenant, switch) for switch in one.part.remote}
    wishes = [wish for assignment in one.configuration.algorithms for wish in assignment.neighbours]
    hears |= {_by_place[wish.kind](tenant, place) for wish in wishes if wish.kind in _by_place for place in wish.areas}
    return says, hears


_by_place: Mapping[Kind, Callable[[str, str], str]] = {
    Kind.PROPOSAL: topics.proposals,
    Kind.EVENT: topics.faults,
    Kind.RESULT: topics.switch_state,
    Kind.COMMAND: topics.switch_command,
}


def _on_data(one: Member) -> tuple[set[str], set[str]]:
    tenant, device = one.tenant, one.device
    own = f"{topics.frames(tenant, device).rpartition('/')[0]}/#"
    says, hears = {own}, {own}
    topology = one.configuration.topology
    foreign = [assignment for assignment in one.configuration.algorithms if assignment.algorithm not in ALONE]
    if topology is not None and foreign:
        areas = (topology.area,) if topology.area else one.part.areas
        says |= {topics.states(tenant, "+", area) for area in areas}
        hears |= {topics.states(tenant, "+", area) for area in (*areas, *one.part.areas)}
        for name in one.part.devices:
            hears |= {topics.frames(tenant, name), topics.events(tenant, name)}
    for assignment in one.configuration.algorithms:
        for wish in assignment.neighbours:
            for name in wish.devices:
                if wish.kind is Kind.FRAME:
                    hears.add(topics.frames(tenant, name))
                elif wish.kind is Kind.EVENT:
                    hears.add(topics.events(tenant, name))
                elif wish.kind is Kind.RESULT:
                    hears |= {topics.results(tenant, name, content) for content in ("energy", "quality", "+")}
            if wish.kind is Kind.GRID_STATE:
                hears |= {topics.states(tenant, "+", area) for area in wish.areas}
    return says, hears


def _heard(one: Member, members: Sequence[Member]) -> set[str]:
    """Tell which devices a device hears, and may therefore ask: those named, and those in its part of the network."""
    wishes = [wish for assignment in one.configuration.algorithms for wish in assignment.neighbours]
    named = {name for wish in wishes for name in wish.devices} | set(one.part.devices)
    topology = one.configuration.topology
    if topology is not None and one.part.areas:
        below = set(one.part.areas)
        named |= {
            other.device
            for other in members
            if other.tenant == one.tenant
            and other.configuration.topology is not None
            and other.configuration.topology.network == topology.network
            and other.configuration.topology.area in below
        }
    return named - {one.device}
