"""
What an image is judged by, gathered from the parts of a running agent; and the parts put together.

Where it stands: made by `service`. Nothing here decides; `image_health` does.
"""

from collections.abc import Mapping
from typing import Protocol

from agent.clock import Clock, synchronisation
from agent.config import AgentConfig
from agent.delivery.broker import Link
from agent.delivery.outbox import Outbox
from agent.running import RunningSet
from agent.store import Store
from agent.updates.image_fetches import ImageFetches
from agent.updates.image_health import Health
from agent.updates.image_journal import ImageJournal
from agent.updates.images import Images
from agent.updates.slots.client import SlotClient
from device_catalog.contract.topics import BrokerName

FEW = 20
"""Messages that are always under way where measuring goes on."""
AHEAD = 300.0
"""A clock this near to the catalog's is right enough to tell a time of the day [s]."""
_ill = ("backoff", "quarantined")


class Settings(Protocol):
    """What is in force."""

    @property
    def applied(self) -> int:
        """The revision in force; 0 for none."""


class Catalog(Protocol):
    """
    Who asks the catalog.

    Attributes
    ----------
    answered : float or None
        When it answered last [s, monotonic].
    problem : str
        Why not since.
    ahead : float or None
        By how much this machine's clock is ahead of the catalog's [s].
    """

    answered: float | None
    problem: str
    ahead: float | None


class AgentMeter:
    """
    A meter as its own agent sees it.

    Parameters
    ----------
    settings : Settings
    running : RunningSet
    outbox : Outbox
    links : mapping
        By broker; filled later.
    catalog : Catalog
    clock : Clock
    """

    def __init__(  # noqa: PLR0917 - one part each
        self,
        settings: Settings,
        running: RunningSet,
        outbox: Outbox,
        links: Mapping[BrokerName, Link],
        catalog: Catalog,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._running = running
        self._outbox = outbox
        self._links = links
        self._catalog = catalog
        self._clock = clock

    def health(self) -> Health:
        """Say how it is."""
        source = self._running.sampler.report()
        reports = self._running.algorithm_reports()
        return Health(
            applied=self._settings.applied > 0,
            sampling=source is None or source.state == "running",
            troubled=frozenset(name for name, report in reports.items() if report.state in _ill),
            catalog=self._catalog.answered is not None and not self._catalog.problem,
            broker=any(link.report().connected for link in self._links.values()),
        )

    def is_flushed(self) -> bool:
        """Tell whether hardly anything waits for a broker that is there."""
        pending = self._outbox.report().pending
        return all(pending.get(name, 0) <= FEW for name, link in self._links.items() if link.report().connected)

    def utc(self) -> float | None:
        """Tell the time [s since 1970]; None while neither kernel nor catalog says that the clock is set."""
        ahead = self._catalog.ahead
        is_set = synchronisation().synchronised or (ahead is not None and abs(ahead) < AHEAD)
        return self._clock.now_ns() / 1e9 if is_set else None


def images_of(config: AgentConfig, store: Store, meter: AgentMeter, clock: Clock) -> Images:
    """Put the parts together."""
    return Images(ImageJournal(store), slots=SlotClient(), fetches=ImageFetches(config), meter=meter, clock=clock)
