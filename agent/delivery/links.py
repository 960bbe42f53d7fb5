"""
The links to both brokers, and the inbox that hears through them: made once, when the agent knows whose it is.

Where it stands: owned by `service`, which says who listens to what; `broker` keeps each link up. Where a device belongs
is fixed at its registration, so the first settings make the links and later ones change their endpoints only.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from agent.config import AgentConfig
from agent.delivery.broker import Credentials, Link
from agent.delivery.inbox import Inbox
from agent.delivery.outbox import Outbox
from agent.identity.tls import broker_context
from algorithms.api.records import Record
from algorithms.api.wire import Header
from device_catalog.contract.documents import Neighbours
from device_catalog.contract.presence import Session
from device_catalog.contract.topics import BROKERS, BrokerName


class Links:
    """
    The links of one agent.

    Parameters
    ----------
    config : AgentConfig
    outbox : Outbox
    birth : callable
        Gives the session that the grid broker is told of.
    hear : callable
        Takes the header of a neighbour's message, and its record.

    Attributes
    ----------
    by_broker : dict
        Empty until they are made.
    inbox : Inbox or None
        None until then.
    """

    def __init__(
        self, config: AgentConfig, outbox: Outbox, birth: Callable[[], Session], hear: Callable[[Header, Record], None]
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._birth = birth
        self._hear = hear
        self.by_broker: dict[BrokerName, Link] = {}
        self.inbox: Inbox | None = None

    def make(self, tenant: str) -> Inbox:
        """Make the links and their inbox; nothing is connected before `start`."""
        device = self._config.device
        self._outbox.tenant = tenant
        credentials = Credentials(device, self._config.credential or None)
        for broker in BROKERS:
            birth = self._birth if broker == "grid" else None
            self.by_broker[broker] = Link(
                broker,
                self._outbox,
                device=device,
                tenant=tenant,
                birth=birth,
                credentials=lambda: credentials,
                tls=lambda _: broker_context(self._config),
            )
        self.inbox = Inbox(device, tenant, self.by_broker, self._hear)
        return self.inbox

    def ask(self, wishes: Sequence[Neighbours], levels: Mapping[str, str]) -> None:
        """Hear these of neighbours, as soon as there is an inbox."""
        if self.inbox is not None:
            self.inbox.ask(wishes, levels)

    def start(self) -> None:
        """Begin to connect."""
        for link in self.by_broker.values():
            link.start()

    async def stop(self) -> None:
        """Say good-bye to both brokers."""
        await asyncio.gather(*(link.stop() for link in self.by_broker.values()))
