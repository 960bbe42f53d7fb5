"""
What an agent does because of its part of the network: which it works on, whom it hears, when it asks again.

Where it stands: owned by `service`, between what the settings name, `network`, which fetches it, `running`, whose
algorithms work on it, and the topic of the grid broker that tells where switches stand. That topic is listened to only
while an algorithm needs the network, and moves nothing: it makes the agent ask the catalog.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from agent.allowance import Allowance
from agent.delivery.inbox import Inbox
from agent.network import Networks
from agent.running import RunningSet
from algorithms.api.errors import shortened
from algorithms.api.network_document import SwitchStates
from device_catalog.contract import topics
from device_catalog.contract.documents import TopologyReference
from device_catalog.contract.paths import MAXIMUM_NETWORK
from device_catalog.contract.reports import NetworkReport

log = logging.getLogger(__name__)

UNREADABLE = 10
"""Lines a minute in the log about switch states that cannot be read."""


class NetworkDuty:
    """
    The network in the life of one agent.

    Parameters
    ----------
    networks : Networks
    running : RunningSet
    changing : asyncio.Lock
        Held while what runs is changed.
    ask_now : callable
        Has the catalog asked without waiting for the next poll.
    """

    def __init__(
        self, networks: Networks, running: RunningSet, changing: asyncio.Lock, ask_now: Callable[[], None]
    ) -> None:
        self._networks = networks
        self._running = running
        self._changing = changing
        self._ask_now = ask_now
        self._inbox: Inbox | None = None
        self._tenant = ""
        self._topic = ""
        self._unreadable = Allowance(UNREADABLE)

    @property
    def reference(self) -> TopologyReference | None:
        """The part that is looked after."""
        return self._networks.reference

    def meet(self, inbox: Inbox, tenant: str) -> None:
        """Take note of where switch states are heard."""
        self._inbox, self._tenant = inbox, tenant

    def look_after(self, reference: TopologyReference | None) -> None:
        """Work on this part of the network, as far as it is here; have it fetched where an algorithm needs it."""
        self._networks.want(reference, needed=self._running.needs_network)
        self._running.reference = reference
        self._running.network = self._networks.current
        self._running.network_awaited = reference is not None and self._running.network is None
        self._listen()

    async def changed(self) -> None:
        """Go on with another network, without touching what does not need one."""
        async with self._changing:
            self.look_after(self.reference)
            await self._running.renew()

    async def refresh(self) -> None:
        """Do what is due: have fetched what is needed by now, and try again what did not start with it."""
        self._networks.want(self.reference, needed=self._running.needs_network)
        self._listen()
        if self._running.outdated:
            await self.changed()

    def report(self) -> NetworkReport | None:
        """Say which network algorithms work on; None where none needs one."""
        network = self._running.network if self._running.needs_network else None
        return network.report() if network is not None else None

    def _listen(self) -> None:
        """Hear where the switches stand of the network that an algorithm works on, and of no other."""
        reference = self.reference if self._running.needs_network else None
        topic = topics.topology(self._tenant, reference.network) if reference is not None else ""
        if self._inbox is None or topic == self._topic:
            return
        if self._topic:
            self._inbox.ignore("grid", self._topic)
        if topic:
            self._inbox.listen("grid", topic, self._hear)
        self._topic = topic

    def _hear(self, payload: bytes, _retained: bool) -> None:
        """Ask the catalog at once where a switch of this agent's part stands otherwise by now; it alone is believed."""
        network = self._running.network
        if network is None or len(payload) > MAXIMUM_NETWORK:
            return
        try:
            states = msgspec.json.decode(payload, type=SwitchStates)
        except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too deep
            if self._unreadable.take():
                log.warning("switch states on %s cannot be read: %s", self._topic, shortened(str(error)))
            return
        if network.is_contradicted_by(states):
            self._ask_now()
