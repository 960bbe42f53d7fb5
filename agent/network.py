"""
The part of the network that this agent looks after: fetched from the catalog, kept on the disk, handed on.

Where it stands: `service` says which part the settings name and whether an algorithm needs one; `running` starts
algorithms with it anew; `neighbourhood` says whom they hear because of it. The catalog's word counts: where switches
stand according to the grid broker only makes this agent ask, and only when one of its own part stands otherwise. So a
change elsewhere costs nothing, and a stranger on a broker moves nothing.

Rules:

- Nothing is fetched for an agent whose algorithms need no network.
- Requests block, so they run in a thread of their own. Failures back off with jitter up to the poll interval.
- What is fetched is read as far as its form goes, and kept before it is used: an agent that starts without its catalog
  goes on with it. Whether it is right is judged by the algorithm's process, which has numpy.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from agent.catalog import CatalogClient, next_delay
from agent.config import AgentConfig
from agent.errors import CatalogError
from agent.neighbourhood import Neighbourhood, neighbourhood_of
from agent.request_thread import Requests, RequestThread
from agent.store import Store
from algorithms.api.errors import shortened
from algorithms.api.network_document import NetworkDocument, SwitchStates
from device_catalog.contract import paths
from device_catalog.contract.documents import Poll, TopologyReference
from device_catalog.contract.networks import AREA_SCHEMA
from device_catalog.contract.reports import NetworkReport

log = logging.getLogger(__name__)


class NetworkClient(CatalogClient):
    """
    The part of the catalog's interface that is about a device's own network; every call blocks.

    Parameters
    ----------
    config : AgentConfig
    """

    def network(self, tag: str) -> tuple[bytes, str] | None:
        """
        Take the part of the network that the device's configuration names, and its entity tag.

        Parameters
        ----------
        tag : str
            Of what is known already; empty for nothing.

        Returns
        -------
        tuple or None
            None where that is the newest.

        Raises
        ------
        CatalogError
        """
        headers = {"If-None-Match": tag} if tag else {}
        status, answer, tag = self._exchange(
            "GET", paths.DEVICE_NETWORK, headers=headers, most=paths.MAXIMUM_NETWORK + paths.MAXIMUM_DOCUMENT
        )
        return None if status == 304 else (answer, tag)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkInUse:
    """
    A part of a network, as far as the agent reads it.

    Attributes
    ----------
    network, area : str
    model_revision, topology_revision : int
    document, states : bytes
        JSON text for the algorithms' processes.
    switches : dict
        Where those of it stand, and those that could join it to more.
    neighbourhood : Neighbourhood
    """

    network: str
    area: str
    model_revision: int
    topology_revision: int
    document: bytes
    states: bytes
    switches: dict[str, str]
    neighbourhood: Neighbourhood

    def is_named_by(self, reference: TopologyReference | None) -> bool:
        """Tell whether it is the part that settings name."""
        return reference is not None and (reference.network, reference.area) == (self.network, self.area)

    def is_contradicted_by(self, states: SwitchStates) -> bool:
        """Tell whether a switch of it stands otherwise by now."""
        newer = states.network == self.network and states.revision > self.topology_revision
        return newer and any(states.states.get(name, state) != state for name, state in self.switches.items())

    def report(self) -> NetworkReport:
        """Say which it is."""
        return NetworkReport(self.network, self.area, self.model_revision, self.topology_revision)


class _Envelope(msgspec.Struct, frozen=True, tag_field="schema", tag=AREA_SCHEMA):
    """An answer of the catalog's, its large parts unread."""

    network: str
    area: str
    document: msgspec.Raw
    states: msgspec.Raw


def read_network(answer: bytes, device: str) -> NetworkInUse:
    """
    Read the catalog's answer as far as its form goes.

    Raises
    ------
    ValueError
        Saying what it is instead.
    """
    try:
        envelope = msgspec.json.decode(answer, type=_Envelope)
        document = msgspec.json.decode(envelope.document, type=NetworkDocument)
        states = msgspec.json.decode(envelope.states, type=SwitchStates)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too deep
        raise ValueError(f"expected a part of a network, found: {shortened(str(error), 200)}") from error
    missing = [switch.id for switch in document.switches if switch.id not in states.states]
    if missing or states.network != document.network or document.network != envelope.network:
        found = f"none of {shortened(', '.join(missing))}" if missing else f"those of {shortened(states.network)}"
        raise ValueError(f"expected the states of all switches of {shortened(envelope.network)}, found {found}")
    return NetworkInUse(
        envelope.network,
        envelope.area,
        document.revision,
        states.revision,
        bytes(envelope.document),
        bytes(envelope.states),
        dict(states.states),
        neighbourhood_of(document, envelope.area, device),
    )


class Networks:
    """
    The network of one agent.

    Parameters
    ----------
    config : AgentConfig
    store : Store
    changed : callable
        Awaited when there is another part, or another revision of it.
    pace : callable
        Gives the pace at which the catalog wants to be asked.
    client : NetworkClient, optional
    requests : Requests, optional
        A thread of its own unless given.
    """

    def __init__(
        self,
        config: AgentConfig,
        store: Store,
        changed: Callable[[], Awaitable[None]],
        pace: Callable[[], Poll],
        *,
        client: NetworkClient | None = None,
        requests: Requests | None = None,
    ) -> None:
        self._device = config.device
        self._store = store
        self._changed = changed
        self._pace = pace
        self._client = client or NetworkClient(config)
        self._requests = requests or RequestThread("network")
        self._reference: TopologyReference | None = None
        self._checked: TopologyReference | None = None
        self._needed = False
        self._tag = ""
        self._kept: NetworkInUse | None = None
        self._wake = asyncio.Event()
        self._chance = random.Random()
        self._problem = ""
        self._unkept = ""

    def load(self) -> None:
        """Take what was kept before; once, at the start."""
        kept = self._store.network()
        if kept is None:
            return
        tag, _, answer = kept.partition(b"\n")
        try:
            self._kept, self._tag = read_network(answer, self._device), tag.decode("latin-1")
        except ValueError as error:
            self._problem = f"the network that was kept cannot be used: {error}"
            log.error("%s", self._problem)

    @property
    def current(self) -> NetworkInUse | None:
        """The part that settings name, where it is here."""
        kept = self._kept
        return kept if kept is not None and kept.is_named_by(self._reference) else None

    @property
    def reference(self) -> TopologyReference | None:
        """The part that settings name."""
        return self._reference

    def want(self, reference: TopologyReference | None, *, needed: bool) -> None:
        """Say which part is looked after, and whether an algorithm needs it."""
        self._reference = reference
        self._needed = needed or self.current is not None  # what was needed once is kept up to date
        if self._is_due():
            self._wake.set()
        elif reference is None or not needed:
            self._problem = ""

    async def hold(self) -> None:
        """Fetch, for ever, what is due."""
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._is_due():
                retry_after = None
                try:
                    await self._fetch()
                except CatalogError as error:
                    failures += 1
                    retry_after = error.retry_after
                    self._complain(f"the network of this device cannot be fetched: {error}")
                else:
                    failures, self._problem = 0, ""
                    continue
                delay = next_delay(self._pace(), failures, self._chance.random(), retry_after)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), delay)
                self._wake.clear()

    def problems(self) -> list[str]:
        """Say what an operator should know."""
        return [problem for problem in (self._problem, self._unkept) if problem]

    def close(self) -> None:
        """Fetch nothing more; an answer under way is not waited for."""
        self._requests.close()
        self._client.close()

    def _is_due(self) -> bool:
        return self._needed and self._reference is not None and self._reference != self._checked

    async def _fetch(self) -> None:
        reference, current = self._reference, self.current
        tag = self._tag if current is not None else ""
        found = await self._requests.run(partial(self._ask, tag))
        if found is not None:
            read, answer, tag = found
            if not read.is_named_by(reference):
                where = f"{read.network}/{read.area}"
                raise CatalogError(f"the catalog means {where}, which the settings in force do not name yet")
            self._kept, self._tag = read, tag
            self._keep(b"%s\n%s" % (tag.encode("latin-1", "replace"), answer))
            log.info(
                "network %s, area %s: revision %d, switches of revision %d",
                read.network, read.area or "all", read.model_revision, read.topology_revision,
            )  # fmt: skip
        self._checked = reference
        if found is not None:
            await self._changed()

    def _ask(self, tag: str) -> tuple[NetworkInUse, bytes, str] | None:
        found = self._client.network(tag)
        if found is None:
            return None
        try:
            return read_network(found[0], self._device), *found
        except ValueError as error:
            raise CatalogError(str(error)) from error

    def _keep(self, content: bytes) -> None:
        try:
            self._store.keep_network(content)
        except OSError as error:
            self._unkept = f"the network could not be kept for the next start: {error.strerror or error}"
            log.error("%s", self._unkept)
        else:
            self._unkept = ""

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("%s (what runs goes on)", problem)
