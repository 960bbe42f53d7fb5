"""
Networks: judged, kept with every revision, cut into the parts that agents look after; where their switches stand.

A change is judged whole, written together with the new configurations of the devices it concerns, and told after: the
states retained on the grid broker, the devices by a notice each. Whom it concerns is found by cutting each agent's part
before and after (`algorithms.api.network_area`): whose part is the same is not told, and its desired document stays as
it was. The revisions in a configuration's topology are the catalog's to state, whatever people write there. A network
that is a tenant's concerns devices of that tenant only: to others that name it, it is as if it were not there.

Documents are large, so they are judged in a thread of their own. `questions` answers what is asked of them.
"""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_problems import problems
from algorithms.api.network_schema import read_form
from algorithms.api.network_states import carried_over, normal_states, read_states
from device_catalog.contract.documents import Configuration, TopologyReference
from device_catalog.contract.networks import NetworkStored
from device_catalog.contract.paths import etag
from device_catalog.errors import Refused, RevisionOutdated
from device_catalog.fleet.register import Register
from device_catalog.grid.parts import Loaded, Shelf
from device_catalog.storage.networks import NetworkRow, NetworkStore
from device_catalog.storage.rows import Change

PAGE = 100
"""Networks read at once at the start."""

MAXIMUM_PROBLEMS = 200
"""Problems named in one answer; what is wrong beyond them is found when these are mended."""

_replace = msgspec.structs.replace
_encode = msgspec.json.encode


class Crier(Protocol):
    """Whoever tells the grid brokers; every call returns at once."""

    def topology(self, tenants: Iterable[str], states: SwitchStates) -> None:
        """Say where the switches of a network stand."""


class Networks:
    """
    The networks of a catalog.

    Parameters
    ----------
    register : Register
    store : NetworkStore
    shelf : Shelf
    crier : Crier
    tenant : str
        On whose topics the states of a network are said besides those of its devices' tenants.
    """

    def __init__(self, register: Register, store: NetworkStore, shelf: Shelf, crier: Crier, tenant: str) -> None:
        self._fleet, self._register, self._threads = register
        self._store = store
        self._shelf = shelf
        self._crier = crier
        self._tenant = tenant
        self._judge = ThreadPoolExecutor(1, "catalog-judge")
        self._owners: dict[str, str] = {}
        self._said: dict[str, int] = {}

    def load(self) -> None:
        """Say where all switches stand; once, after the register was read, before anybody is served."""
        after = ""
        while rows := self._store.page(after, PAGE):
            for row in rows:
                self._take(row)
            after = rows[-1].network

    def follow(self, names: Sequence[str] | None) -> None:
        """Take over some networks that another catalog changed, or all; called while writing."""
        if names is None:
            self.load()
        for name in names or ():
            row = self._store.find(name)
            if row is not None:
                self._take(row)

    def _take(self, row: NetworkRow) -> None:
        self._owners[row.network] = row.tenant
        if row.topology_revision <= self._said.get(row.network, 0):
            return
        self._said[row.network] = row.topology_revision
        document = self._store.states(row.network, row.topology_revision)
        if document is not None:
            self._crier.topology(self._tenants(row.network), msgspec.json.decode(document, type=SwitchStates))

    def tenant_of(self, network: str) -> str | None:
        """Tell whose a network is: empty for nobody's in particular, None for one that is not there."""
        return self._owners.get(network)

    def close(self) -> None:
        """Finish what was begun."""
        self._judge.shutdown()

    # ------------------------------------------------------------------ changes

    async def put(self, name: str, body: bytes, matches: str, author: str, tenant: str = "") -> NetworkStored:
        """
        Keep a revision of a network; saying the same twice changes nothing.

        Parameters
        ----------
        name : str
        body : bytes
            The document, JSON.
        matches : str
            Entity tag of the revision it was made from, ``*`` for whatever is there.
        author : str
        tenant : str
            Whose it is, where it is new; empty for nobody's in particular.

        Raises
        ------
        Refused
            With every problem of the document, or of its switches as they stand at present.
        RevisionOutdated
        """
        document = await asyncio.get_running_loop().run_in_executor(self._judge, self._judged, name, body)
        return await self._threads.write(self._put, document, matches, author, tenant)

    def _judged(self, name: str, body: bytes) -> NetworkDocument:
        found = problems(body)
        document = read_form(body).document
        if document is not None and document.network != name:
            found.insert(0, Problem("network", name, shortened(document.network), "store it under its own name"))
        if found or document is None:
            raise Refused(found[:MAXIMUM_PROBLEMS])
        return document

    def _put(self, document: NetworkDocument, matches: str, author: str, tenant: str) -> NetworkStored:
        before = self._shelf.find(document.network)
        _expect(matches, before.row.revision if before else 0)
        if before is not None and document == before.document:
            return self._stored(before, ())
        if before is not None and document.revision <= before.row.revision:
            expected, remedy = f"{before.row.revision + 1} or more", f"revision {before.row.revision} is in force"
            raise Refused([Problem("revision", expected, str(document.revision), remedy)])
        states = normal_states(document)
        if before is not None and before.row.topology_revision:
            states = carried_over(before.states, document)
            _, wrong = read_states(states, document)
            if wrong:
                raise Refused(wrong)
        tenant = before.row.tenant if before is not None else tenant
        after = Loaded(self._row(document, states, author, tenant), document, states)
        return self._write(before, after, "network")

    async def put_states(self, name: str, body: bytes, matches: str, author: str) -> NetworkStored:
        """
        Keep where the switches of a network stand, and tell.

        Parameters
        ----------
        name : str
        body : bytes
            The document, JSON.
        matches : str
            Entity tag of the states it was made from, ``*`` for whatever is there.
        author : str

        Raises
        ------
        NetworkUnknown
        Refused
            With every problem of the document.
        RevisionOutdated
        """
        return await self._threads.write(self._put_states, name, body, matches, author)

    def _put_states(self, name: str, body: bytes, matches: str, author: str) -> NetworkStored:
        before = self._shelf.known(name)
        _expect(matches, before.row.topology_revision)
        if read_states(body, before.document)[0] == before.states:
            return self._stored(before, ())
        states, wrong = read_states(body, before.document, before.row.topology_revision)
        if wrong or states is None:
            raise Refused(wrong[:MAXIMUM_PROBLEMS])
        after = Loaded(self._row(before.document, states, author, before.row.tenant), before.document, states)
        return self._write(before, after, "topology")

    def _row(self, document: NetworkDocument, states: SwitchStates, author: str, tenant: str) -> NetworkRow:
        name, time_ns = document.network, self._fleet.wall()
        return NetworkRow(name, document.name, document.revision, states.revision, time_ns, author, tenant)

    def _write(self, before: Loaded | None, after: Loaded, action: str) -> NetworkStored:
        """Write a change, with what the devices it concerns are told; called while writing."""
        row = after.row
        changes = list(self._concerned(before, after))
        new_document = before is None or before.row.revision != row.revision
        new_states = row.topology_revision > (before.row.topology_revision if before else 0)
        document = _encode(after.document) if new_document else None
        self._store.write(row, document, _encode(after.states) if new_states else None, changes, action)
        self._shelf.keep(after)
        tenants = self._tenants(row.network)
        self._threads.in_loop(self._owners.__setitem__, row.network, row.tenant)
        self._threads.in_loop(self._tell, changes, tenants, after.states if new_states else None)
        return self._stored(after, [change.device for change in changes])

    def _concerned(self, before: Loaded | None, after: Loaded) -> Iterable[Change]:
        """Give the configurations of the devices whose part a change makes another."""
        changed: dict[str, bool] = {}
        for name, area in self._store.devices_in(after.row.network, after.row.tenant):
            if area not in changed:
                changed[area] = (before.likeness(area) if before else None) != after.likeness(area)
            device = self._fleet.devices.get(name)
            if not changed[area] or device is None:
                continue
            configuration = msgspec.json.decode(self._register.configuration(name)[1], type=Configuration)
            stated = _stating(configuration, after.row)
            revision = max(device.revision, device.applied) + 1
            yield Change(name, revision, stated, after.row.stored_ns, after.row.author)

    def _stored(self, loaded: Loaded, informed: Iterable[str]) -> NetworkStored:
        row, known = loaded.row, {"", *(area.id for area in loaded.document.areas)}
        without = tuple(name for name, area in self._store.devices_in(row.network, row.tenant) if area not in known)
        return NetworkStored(row.network, row.revision, row.topology_revision, tuple(informed), without)

    def _tell(self, changes: list[Change], tenants: set[str], states: SwitchStates | None) -> None:
        if states is not None:
            self._said[states.network] = states.revision
            self._crier.topology(tenants, states)
        for change in changes:
            device = self._fleet.devices.get(change.device)
            if device is not None:
                poll = change.configuration.poll
                self._fleet.changed(device, change.revision, poll.interval, poll.lease)

    def _tenants(self, network: str) -> set[str]:
        owner = self._owners.get(network)
        if owner:
            return {owner}
        names = [name for name, _ in self._store.devices_in(network, "")]
        there = [self._fleet.devices[name].tenant for name in names if name in self._fleet.devices]
        return {self._tenant, *there}


def placed(store: NetworkStore, configuration: Configuration, tenant: str) -> Configuration:
    """State, in a configuration that names a network of its device's tenant, the revisions in force."""
    topology = configuration.topology
    row = store.find(topology.network) if topology is not None else None
    return configuration if row is None or row.tenant not in ("", tenant) else _stating(configuration, row)


def _stating(configuration: Configuration, row: NetworkRow) -> Configuration:
    topology = configuration.topology or TopologyReference(row.network)
    stated = _replace(topology, model_revision=row.revision, topology_revision=row.topology_revision)
    return _replace(configuration, topology=stated)


def _expect(matches: str, revision: int) -> None:
    tags = [tag.strip() for tag in matches.split(",")]
    if "*" not in tags and etag(revision) not in tags:
        raise RevisionOutdated(matches[:40], revision)
