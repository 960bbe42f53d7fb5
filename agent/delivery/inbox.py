"""
The way in: what neighbours, and those who ask this device, publish becomes records for its algorithms.

``broker -> Link -> Inbox -> deliver``. The inbox subscribes to what the assigned algorithms ask for and to the
device's own requests and replies. A broker watches who may publish on which topic, so the topic is what is believed:
a record is taken only where the one who signs it would have published it. What is too long, unreadable or elsewhere
is refused, and so are more requests than are allowed a minute: an answer costs more than a question. Repetitions are
dropped and gaps noticed. All of that is counted, and nothing of it is ever raised.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from agent.allowance import Allowance
from agent.delivery.senders import Gap, Senders
from algorithms.api.errors import WireError, shortened
from algorithms.api.records import Command, Kind, Record, Reply, Request, kind_of
from algorithms.api.wire import Header, decode
from device_catalog.contract import topics
from device_catalog.contract.documents import Neighbours
from device_catalog.contract.topics import BROKERS, BrokerName

MAXIMUM_LENGTH = 256 * 1024
"""Longest message taken [bytes]."""
REQUESTS = 240
"""Requests taken a minute, of all senders together: whom a request names as its sender nobody has checked."""


class Subscriber(Protocol):
    """The part of a link that the inbox needs."""

    on_message: Callable[[str, bytes, bool], None] | None

    def set_subscriptions(self, wanted: Iterable[str]) -> None:
        """Ask the broker for these topics and no others."""


class InboxReport(msgspec.Struct, frozen=True):
    """Messages taken, repeated, refused, and gaps found; the last reason for a refusal."""

    received: int
    duplicates: int
    refused: int
    missed: int
    last_error: str


def subscriptions(
    tenant: str, device: str, asked: Iterable[Neighbours], levels: Mapping[str, str] | None = None
) -> dict[BrokerName, set[str]]:
    """
    Tell which topics of which broker bring the records that are asked for.

    Where the level of an area is not known, the broker is asked for any: some are slow to find what they retain then.

    Parameters
    ----------
    tenant, device : str
    asked : iterable of Neighbours
    levels : mapping, optional
        Of areas that are known, by their names.

    >>> subscriptions("default", "m-1", [Neighbours(Kind.FRAME, devices=("m-2",))])["data"]
    {'v1/default/meters/m-2/frames'}
    """
    wanted: dict[BrokerName, set[str]] = {
        "grid": {topics.requests(tenant, device), topics.replies(tenant, device)},
        "data": set(),
    }
    for item in asked:
        for name in item.devices:
            if item.kind is Kind.FRAME:
                wanted["data"].add(topics.frames(tenant, name))
            elif item.kind is Kind.EVENT:
                wanted["data"].add(topics.events(tenant, name))
            elif item.kind is Kind.RESULT:
                wanted["data"] |= {topics.results(tenant, name, content) for content in ("energy", "quality", "+")}
        for name in item.areas:
            broker, topic = _by_place(tenant, item.kind, name, levels or {})
            if topic:
                wanted[broker].add(topic)
    return wanted


def _by_place(tenant: str, kind: Kind, name: str, levels: Mapping[str, str]) -> tuple[BrokerName, str]:
    """Tell where what is said of a place can be heard: an area, a network, a switch; no topic for nowhere."""
    match kind:
        case Kind.GRID_STATE:
            return "data", topics.states(tenant, levels.get(name, "+"), name)
        case Kind.PROPOSAL:
            return "grid", topics.proposals(tenant, name)
        case Kind.EVENT:
            return "grid", topics.faults(tenant, name)
        case Kind.RESULT:
            return "grid", topics.switch_state(tenant, name)
        case Kind.COMMAND:
            return "grid", topics.switch_command(tenant, name)
        case _:
            return "grid", ""


class Inbox:
    """
    Records from elsewhere.

    Parameters
    ----------
    device, tenant : str
    links : mapping
        A link for each broker.
    deliver : callable
        Called with header and record, once for each.
    on_gap : callable, optional
        Called when messages of a sender were missed.
    requests : Allowance, optional
    """

    def __init__(
        self, device: str, tenant: str, links: Mapping[BrokerName, Subscriber],
        deliver: Callable[[Header, Record], None], *, on_gap: Callable[[Gap], None] | None = None,
        requests: Allowance | None = None,
    ) -> None:  # fmt: skip
        self._device, self._tenant, self._links = device, tenant, links
        self._deliver, self._on_gap = deliver, on_gap
        self._senders = Senders()
        self._requests = requests or Allowance(REQUESTS)
        self._asked: tuple[Neighbours, ...] = ()
        self._levels: Mapping[str, str] = {}
        self._wanted: dict[BrokerName, set[str]] = {name: set() for name in BROKERS}
        self._listeners: dict[BrokerName, dict[str, Callable[[bytes, bool], None]]] = {name: {} for name in BROKERS}
        self._subjects: dict[str, Callable[[Request], None]] = {}
        self._received = 0
        self._refused = 0
        self._last_error = ""
        for name, link in links.items():
            link.on_message = self._receiver(name)

    def ask(self, asked: Iterable[Neighbours], levels: Mapping[str, str] | None = None) -> None:
        """
        Subscribe to what the algorithms that run now ask for, and to nothing else.

        Parameters
        ----------
        asked : iterable of Neighbours
        levels : mapping, optional
            Of areas that are known, by their names.
        """
        self._asked, self._levels = tuple(asked), levels or {}
        self._subscribe()

    def listen(self, broker: BrokerName, topic: str, callback: Callable[[bytes, bool], None]) -> None:
        """Have `callback` called with payload and whether retained, for one topic that carries no records."""
        self._listeners[broker][topic] = callback
        self._subscribe()

    def ignore(self, broker: BrokerName, topic: str) -> None:
        """Listen no more to a topic that carries no records."""
        if self._listeners[broker].pop(topic, None) is not None:
            self._subscribe()

    def answer(self, subject: str, callback: Callable[[Request], None]) -> None:
        """Have requests of this `subject` answered by the agent itself instead of an algorithm."""
        self._subjects[subject] = callback

    def missing(self) -> list[Gap]:
        """Tell what was missed and has not come since."""
        return self._senders.missing()

    def report(self) -> InboxReport:
        """Tell how it is doing."""
        return InboxReport(
            self._received, self._senders.duplicates, self._refused, self._senders.missed, self._last_error
        )

    def receive(self, broker: BrokerName, topic: str, payload: bytes, retained: bool) -> None:
        """Take one message."""
        try:
            header, record = decode(payload, MAXIMUM_LENGTH)
            self._check(broker, topic, header, record)
        except WireError as error:
            self._refuse(topic, str(error))
            return
        if header.device == self._device:
            return
        if retained and isinstance(record, Command):
            self._refuse(topic, "expected a command that is not retained: it would come again with every connection")
            return
        if isinstance(record, Request) and not self._requests.take():
            self._refuse(topic, f"expected at most {self._requests.count} requests a minute, found more")
            return
        new, gap = self._senders.is_new(header, topic, retained=retained)
        if gap is not None and self._on_gap is not None:
            self._on_gap(gap)
        if not new:
            return
        self._received += 1
        if isinstance(record, Request) and record.subject in self._subjects:
            self._subjects[record.subject](record)
            return
        self._deliver(header, record)

    def _refuse(self, topic: str, reason: str) -> None:
        self._refused += 1
        self._last_error = shortened(f"{topic}: {reason}", 300)

    def _check(self, broker: BrokerName, topic: str, header: Header, record: Record) -> None:
        """Refuse what its maker would not have published here."""
        maker = header.device
        if not topics.is_identifier(maker):
            raise WireError(f"expected a device's id, found {shortened(maker)}")
        if isinstance(record, Request | Reply) and record.sender != maker:
            raise WireError(f"expected a {kind_of(record)} of {maker}, found one of {shortened(record.sender)}")
        own = topics.route(record, self._tenant, maker)
        if own is None:
            raise WireError(f"expected a record that travels, found a {kind_of(record)}")
        if own[:2] != (broker, topic):
            raise WireError(f"expected a {kind_of(record)} of {maker} on {shortened(own[1], 200)} only, found it here")

    def _receiver(self, broker: BrokerName) -> Callable[[str, bytes, bool], None]:
        def receive(topic: str, payload: bytes, retained: bool) -> None:
            listener = self._listeners[broker].get(topic)
            if listener is not None:
                listener(payload, retained)
            else:
                self.receive(broker, topic, payload, retained)

        return receive

    def _subscribe(self) -> None:
        wanted = subscriptions(self._tenant, self._device, self._asked, self._levels)
        self._senders.forget(set().union(*self._wanted.values()) - set().union(*wanted.values()))
        self._wanted = wanted
        for name, link in self._links.items():
            link.set_subscriptions(wanted[name] | set(self._listeners[name]))
