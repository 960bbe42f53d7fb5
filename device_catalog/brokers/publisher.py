"""
Tells the grid broker who is there, and devices that their configuration changed.

What is to be said waits in `words`, so a broker that was away for hours is told how things are, not how they came
about. A broker that lost its retained messages (it no longer knows the catalog's own state), or another broker than
before, is told everything again.

Of several catalogs that serve one fleet, one speaks for all (`lead`): it alone says who is there and how the catalog
is, with a last will; what the others change themselves, they say. One that begins to speak asks the broker first what
it remembers of the devices that it has something to say of: what a leader that died said in its last moment, nobody
else knows, and it is not said twice.

One thread owns the connection; every public call returns at once.
"""

import logging
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from algorithms.api import wire
from algorithms.api.network_document import SwitchStates
from device_catalog.brokers.connection import CONNECT_TIMEOUT, IN_FLIGHT, Connection, TlsContext
from device_catalog.brokers.protocols import PROTOCOLS
from device_catalog.brokers.words import Word, Words
from device_catalog.contract import topics
from device_catalog.contract.presence import Availability, CatalogState

ACKNOWLEDGE_TIMEOUT = 20.0
MAXIMUM_BACKOFF = 60.0
"""[s]"""

NOTICE_EXPIRY = 3600
"""A notice that could not be delivered is void after this; the poll finds the change anyway [s]."""

MOST_DOUBTFUL = 1000
"""Devices of which is asked whether the broker knows already; beyond that some may be told twice."""

INSIST = 1.0
"""How often at most the catalog says again how it is, where another one says otherwise [s]."""

_log = logging.getLogger(__name__)
_encode = msgspec.json.encode


class Publisher:
    """
    The catalog's voice on the grid broker.

    Parameters
    ----------
    endpoints : sequence of str
        In order of preference.
    tenant : str
        On whose topic the last will is left.
    tls : callable
        Makes the context for an endpoint ``mqtts://``.

    Attributes
    ----------
    connected : bool
        Whether a broker is being told at this moment.
    """

    def __init__(self, endpoints: Sequence[str], tenant: str, tls: TlsContext = ssl.create_default_context) -> None:
        self._tls = tls
        self._endpoints = tuple(endpoints)
        self._tenant = tenant
        self._everything: Callable[[], list[tuple[str, Availability]]] = list
        self._words = Words(IN_FLIGHT, ACKNOWLEDGE_TIMEOUT)
        self._stopping = threading.Event()
        self._last_endpoint = ""
        self._states: dict[str, bytes] = {}
        self._topologies: dict[str, bytes] = {}
        self._remembered = threading.Event()
        self._fence = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_shared, self._leads = False, True
        self._beginning = threading.Lock()
        self._acknowledged: deque[_Told] = deque()
        self._insisted, self._contradicted = 0.0, False
        self._known: dict[str, bytes] = {}
        self.connected = False

    def start(self, everything: Callable[[], list[tuple[str, Availability]]]) -> None:
        """
        Begin to connect.

        Parameters
        ----------
        everything : callable
            Gives every device's availability, for a broker that knows nothing; called from the publisher's thread.
        """
        self._everything = everything
        if self._endpoints:
            self._thread = threading.Thread(target=self._run, name="catalog-publisher", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Say good-bye, and end."""
        self._stopping.set()
        self._words.wake()
        if self._thread is not None:
            self._thread.join(timeout)

    def lead(self, *, leads: bool, say: Callable[[], None] = lambda: None) -> list[str]:
        """
        Begin or end to speak for all catalogs; the connection is made anew, since its last will is another.

        Parameters
        ----------
        leads : bool
        say : callable
            Says what is to be said at the beginning. All of it waits before the broker is asked what it knows already:
            a word that came behind the question would be told whether it is news or not.

        Returns
        -------
        list of str
            Devices of which the broker may not have been told what was said last.
        """
        if leads is self._leads:
            say()
            return []
        with self._beginning:
            self._is_shared, self._leads = True, leads
            say()
        forgotten = [] if leads else self._words.forget(self._is_of_device)
        self._words.wake()
        return [_read(word.payload).device for word in forgotten]

    def insist(self) -> None:
        """Say again how the catalog is, where another one said otherwise; to be called now and then."""
        now = time.monotonic()
        if self._contradicted and now - self._insisted > INSIST:
            self._insisted, self._contradicted = now, False
            for topic, payload in list(self._states.items()) if self._leads else ():
                self._say(topic, payload, retain=True, urgent=True)

    def acknowledged(self) -> dict[str, bool]:
        """Tell which devices' being there the broker acknowledged since this was called before, by name."""
        said = {}
        while self._acknowledged:
            one = self._acknowledged.popleft()
            said[one.device] = one.available
        return said

    def availability(self, tenant: str, availability: Availability, *, urgent: bool) -> None:
        """Say that a device came or went."""
        topic = topics.availability(tenant, availability.device)
        # After a start a whole fleet is heard for the first time: no news may wait behind that.
        self._say(topic, _bytes(availability), retain=True, urgent=urgent)

    def topology(self, tenants: Iterable[str], states: SwitchStates) -> None:
        """Say where the switches of a network stand; every broker is told again when it is met."""
        payload = _bytes(states)
        for tenant in tenants:
            topic = topics.topology(tenant, states.network)
            self._topologies[topic] = payload
            self._say(topic, payload, retain=True, urgent=True)

    def notify(self, tenant: str, device: str, revision: int) -> None:
        """Ask a device to ask the catalog now."""
        self._say(
            topics.notify(tenant, device),
            _encode({"schema": "notify/1", "revision": revision}),
            retain=False,
            urgent=True,
        )

    def state(self, tenants: list[str], state: str, time_ns: int) -> None:
        """Say whether silence is judged."""
        payload = _bytes(CatalogState(state, time_ns))
        for tenant in {*tenants, self._tenant}:
            topic = topics.catalog_state(tenant)
            self._states[topic] = payload
            self._say(topic, payload, retain=True, urgent=True)

    def waiting(self) -> int:
        """Count the words that no broker has acknowledged yet."""
        return len(self._words)

    def _say(self, topic: str, payload: bytes, *, retain: bool, urgent: bool) -> None:
        if self._endpoints:
            self._words.say(Word(topic, payload, retain), urgent=urgent)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            endpoint = self._endpoints[attempt % len(self._endpoints)]
            began = time.monotonic()
            led = self._leads
            try:
                self._serve(endpoint)
                reason = "the connection was lost"
                if led is not self._leads:
                    self._words.give_back()
                    continue
            except (OSError, ValueError, TimeoutError) as error:
                reason = str(error)
            except Exception:  # noqa: BLE001 - a bug in one connection must not silence the catalog; it is logged
                _log.exception("the connection to grid broker %s failed", endpoint)
                reason = "a fault of the catalog's own"
            self._words.give_back()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > MAXIMUM_BACKOFF:
                attempt = 0  # it was stable: begin again with the preferred one
            else:
                attempt += 1
            rounds = attempt // len(self._endpoints)
            pause = random.uniform(0.1, min(MAXIMUM_BACKOFF, 0.5 * 2.0 ** min(rounds, 10)))
            _log.warning("grid broker %s: %s; trying again in %.1f s", endpoint, reason, pause)
            self._stopping.wait(pause)

    def _serve(self, endpoint: str) -> None:
        """Connect, and tell what there is to tell until the connection is lost."""
        leads = self._leads
        for protocol in PROTOCOLS:
            self._remembered.clear()
            self._fence.clear()
            connection = self._connection(protocol, leads=leads)
            connection.open(endpoint, self._tls)
            try:
                connection.wait()
                if connection.lost and connection.too_new and protocol != PROTOCOLS[-1]:
                    continue
                if connection.lost:
                    raise ConnectionError("it refuses the catalog")
                self._greet(connection.client, endpoint, leads=leads)
                while self._tell(connection, leads=leads):
                    pass
                if leads and (self._stopping.is_set() or not self._leads) and not connection.lost:
                    self._part(connection.client)
                return
            finally:
                self.connected = False
                connection.close()

    def _connection(self, protocol: MQTTProtocolVersion, *, leads: bool) -> Connection:
        offline = _bytes(CatalogState("offline", time.time_ns()))
        return Connection(
            protocol,
            will=(topics.catalog_state(self._tenant), offline) if leads else None,
            acknowledged=lambda number, reason: self._answered(self._words.acknowledge(number), reason),
            hear=self._hear,
            wake=self._words.wake,
        )

    def _was_told(self, word: Word) -> None:
        """Note for the other catalogs that a broker knows of a device."""
        if self._is_of_device(word):
            self._acknowledged.append(_read(word.payload))

    def _answered(self, word: Word | None, reason: ReasonCode) -> None:
        if reason.is_failure:
            _log.error("grid broker refused %s: %s", word.topic if word else "a word", reason)
        elif word is not None:
            self._was_told(word)

    def _hear(self, message: MQTTMessage) -> None:
        """Hear what is said of the catalog: first what the broker remembered, then its own word, then another's."""
        if message.topic != topics.catalog_state(self._tenant):
            self._known[message.topic] = bytes(message.payload)
            return
        if message.retain:
            self._remembered.set()
            return
        if not self._fence.is_set():
            self._fence.set()
            return
        # Another one's last will, or its good-bye, may come after this one took over.
        if self._states.get(message.topic) not in (None, message.payload):
            self._contradicted = True

    def _greet(self, client: Client, endpoint: str, *, leads: bool) -> None:
        """Have said what a broker that was just met is to be told."""
        if leads:
            self._say_everything(client, endpoint)
        for topic, payload in self._topologies.items():
            self._words.again(Word(topic, payload, retain=True))
        self.connected = True
        _log.info("connected to grid broker %s; messages to send: %d", endpoint, len(self._words))

    def _say_everything(self, client: Client, endpoint: str) -> None:
        """Say that the catalog is here; find out what the broker remembers of it."""
        own = topics.catalog_state(self._tenant)
        doubtful = self._doubtful()
        if doubtful:
            client.subscribe([(topic, 1) for topic in doubtful])
        client.subscribe(own, qos=1)
        birth = self._states.get(own) or _bytes(CatalogState("waiting", time.time_ns()))
        client.publish(own, birth, qos=1, retain=True)
        if not self._fence.wait(CONNECT_TIMEOUT):
            _log.warning("grid broker %s does not let the catalog read its own state; telling everything", endpoint)
        if doubtful:  # what the leader before this one said, and nobody else knew
            client.unsubscribe(doubtful)
            for word in self._words.forget(self._is_known):
                self._was_told(word)
        if not self._is_shared:
            client.unsubscribe(own)
        known = self._remembered.is_set() and self._last_endpoint in ("", endpoint)
        self._last_endpoint = endpoint
        for topic, payload in self._states.items():
            self._words.again(Word(topic, payload, retain=True))
        if not known:
            for tenant, availability in self._everything():
                topic = topics.availability(tenant, availability.device)
                self._words.again(Word(topic, _bytes(availability), retain=True))

    def _doubtful(self) -> list[str]:
        """Name the topics of devices of which another leader may have said the same already."""
        self._known.clear()
        with self._beginning:
            return [word.topic for word in self._words.pending() if self._is_of_device(word)][:MOST_DOUBTFUL]

    def _is_known(self, word: Word) -> bool:
        before = self._known.get(word.topic, b"")
        try:
            return bool(before) and _read(before).available is _read(word.payload).available
        except msgspec.DecodeError:  # somebody else said something there
            return False

    def _is_of_device(self, word: Word) -> bool:
        stated = word.topic in self._states or word.topic in self._topologies
        return self._is_shared and word.retain and not stated

    def _tell(self, connection: Connection, *, leads: bool) -> bool:
        """Send one word; return False when there will be no more."""
        word = self._words.take(lambda: connection.lost or self._leads is not leads, self._stopping.is_set)
        if word is None:
            return False
        client, properties = connection.client, None
        if not word.retain and client.protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = NOTICE_EXPIRY
        information = client.publish(word.topic, word.payload, qos=1, retain=word.retain, properties=properties)
        if self._words.sent(information.mid, word):
            self._was_told(word)
        if information.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            connection.lost = True
        return True

    def _part(self, client: Client) -> None:
        offline = _bytes(CatalogState("offline", time.time_ns()))
        waits = [client.publish(topic, offline, qos=1, retain=True) for topic in self._states]
        for information in waits:
            information.wait_for_publish(2)


class _Told(msgspec.Struct):
    """What of `Availability` other catalogs need."""

    device: str
    available: bool


def _read(payload: bytes) -> _Told:
    return msgspec.json.decode(payload, type=_Told)


def _bytes(document: msgspec.Struct) -> bytes:
    return wire.text(document).encode()
