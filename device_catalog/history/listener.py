"""
Hears what the data broker carries, and has it kept before it says so.

The session outlives a connection: what was said meanwhile comes afterwards, as far as the broker's queue goes. One
thread does everything, in turn: read, write the batch, acknowledge it, then pack and drop a little. A message that
could not be written is not acknowledged, so that the broker says it again.
"""

import contextlib
import hashlib
import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from device_catalog.errors import StorageError
from device_catalog.history.arrival import TOPICS, Arrival
from device_catalog.history.keeper import Keeper

REMEMBERED = 7 * 86_400
"""How long the broker keeps the session while nobody listens [s]."""
IN_FLIGHT = 4000
"""Messages the broker may send before the first of them is acknowledged."""
BATCH = 1000
"""Messages written at once, at most."""
PATIENCE = 0.25
"""How long a message waits for others to be written with it [s]."""
SLICE = 0.05
"""How long packing may keep the reading waiting [s]."""
CONNECT_TIMEOUT = 10.0
MAXIMUM_BACKOFF = 60.0
"""[s]"""
SETTLED = 60.0
"""After this a connection counts as a good one [s]."""

_too_new = ("Unsupported protocol version", "Unacceptable protocol version")
_log = logging.getLogger(__name__)


TlsContext = Callable[[], ssl.SSLContext]


class HistoryListener:
    """
    Listens.

    Parameters
    ----------
    endpoints : sequence of str
        Of the data broker, in order of preference.
    tenant : str
        The catalog's own; two histories at one broker have different ones.
    keeper : Keeper
    hand_on : callable
        Is handed every message that is kept, and returns at once.
    tls : callable
        Makes the context for an endpoint ``mqtts://``.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        tenant: str,
        keeper: Keeper,
        hand_on: Callable[[Arrival], None],
        tls: TlsContext = ssl.create_default_context,
    ) -> None:
        self._tls = tls
        self._endpoints, self._keeper, self._hand_on = tuple(endpoints), keeper, hand_on
        self._name = f"catalog-history-{hashlib.sha256(tenant.encode()).hexdigest()[:12]}"
        self._protocols = dict.fromkeys(self._endpoints, MQTTProtocolVersion.MQTTv5)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End `run`, from a signal's handler or another thread."""
        self._stopping.set()

    def run(self) -> None:
        """Listen until `stop` is called."""
        attempt = 0
        while not self._stopping.is_set():
            endpoint = self._endpoints[attempt % len(self._endpoints)]
            connection = _Connection(endpoint, self._protocols[endpoint], self._keeper, self._hand_on)
            try:
                connection.listen(self._name, self._tls, self._stopping)
            except (OSError, ValueError, StorageError) as error:
                connection.trouble = connection.trouble or str(error)
            if connection.too_new:
                self._protocols[endpoint] = MQTTProtocolVersion.MQTTv311
            if self._stopping.is_set():
                return
            attempt = 0 if connection.was_good else attempt + 1
            rounds = attempt // len(self._endpoints)
            pause = random.uniform(0.1, min(MAXIMUM_BACKOFF, 0.5 * 2.0 ** min(rounds, 10)))
            _log.warning("data broker %s: %s; again in %.1f s", endpoint, connection.trouble or "lost", pause)
            self._pause(pause)

    def _pause(self, seconds: float) -> None:
        """Wait, and use the time: what was heard before is packed all the same."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0.0 and not self._stopping.is_set():
            with contextlib.suppress(StorageError):  # told by whoever writes next
                self._keeper.tend(SLICE)
            self._stopping.wait(min(left, 0.2))


class _Connection:
    """One connection, from CONNECT to its end."""

    def __init__(
        self,
        endpoint: str,
        protocol: MQTTProtocolVersion,
        keeper: Keeper,
        hand_on: Callable[[Arrival], None],
    ) -> None:
        self.trouble = ""
        self.too_new = self.was_good = False
        self._endpoint, self._protocol = endpoint, protocol
        self._keeper, self._hand_on = keeper, hand_on
        self._taken: list[tuple[int, int]] = []
        self._arrivals: list[Arrival] = []
        self._since = 0.0
        self._answered = False

    def listen(self, name: str, tls: TlsContext, stopping: threading.Event) -> None:
        """Listen until the connection ends; `trouble` says why where it was not asked to."""
        client = self._client(name)
        self._connect(client, tls)
        began, code = time.monotonic(), MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            while code == MQTTErrorCode.MQTT_ERR_SUCCESS and not stopping.is_set() and not self.trouble:
                before = len(self._taken)
                code = client.loop(timeout=0.02 if self._taken else 0.2)
                waited = time.monotonic() - self._since
                # A broker of MQTT 3.1.1 may send ten messages and wait: silence says that it does.
                silent = self._protocol == MQTTProtocolVersion.MQTTv311 and len(self._taken) == before
                if self._taken and (len(self._taken) >= BATCH or waited > PATIENCE or silent):
                    self._write(client)
                self._keeper.tend(SLICE)
                if not self._answered and time.monotonic() - began > CONNECT_TIMEOUT:
                    self.trouble = f"it did not answer within {CONNECT_TIMEOUT:g} s"
            if stopping.is_set() or code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._write(client)
        except StorageError as error:
            self.trouble = f"what it says cannot be kept and is to be said again: {error}"
        finally:
            self._keeper.let_go()
            client.disconnect()
        self.was_good = time.monotonic() - began > SETTLED
        if not self._answered and not stopping.is_set() and code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.too_new = self._protocol == MQTTProtocolVersion.MQTTv5  # some close without a word
        self.trouble = self.trouble or f"the connection ended ({code.name})"

    def _write(self, client: Client) -> None:
        self._keeper.commit()
        for mid, qos in self._taken:
            client.ack(mid, qos)
        for arrival in self._arrivals:
            self._hand_on(arrival)
        self._taken, self._arrivals = [], []

    def _connect(self, client: Client, tls: TlsContext) -> None:
        parts = urlsplit(self._endpoint)
        if parts.scheme == "mqtts":
            client.tls_set_context(tls())
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        client.connect_timeout = CONNECT_TIMEOUT
        if self._protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = REMEMBERED
            properties.ReceiveMaximum = IN_FLIGHT
            client.connect(parts.hostname or "", port, keepalive=60, clean_start=False, properties=properties)
        else:
            client.connect(parts.hostname or "", port, keepalive=60)

    def _client(self, name: str) -> Client:
        is_new = self._protocol == MQTTProtocolVersion.MQTTv5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            clean_session=None if is_new else False,
            protocol=self._protocol,
            manual_ack=True,
            reconnect_on_failure=False,
        )

        def on_connect(_client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
            self._answered = True
            if reason.is_failure:
                self.too_new = is_new and str(reason) in _too_new
                self.trouble = f"it refuses the history: {reason}"
                return
            if is_new:  # what is retained is said once, not at every connection
                options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
                client.subscribe([(topic, options) for topic in TOPICS])
            else:
                client.subscribe([(topic, 1) for topic in TOPICS])

        def on_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
            if not self._taken:
                self._since = time.monotonic()
            self._taken.append((message.mid, message.qos))
            found = self._keeper.take(message.topic, bytes(message.payload))
            if found is not None:
                self._arrivals.append(found)

        def on_subscribe(_client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
            refused = [str(reason) for reason in reasons if reason.is_failure]
            if refused:
                self.trouble = f"it does not let the history listen: {', '.join(refused)}"
            else:
                _log.info("listening to %s", self._endpoint)

        client.on_connect = on_connect
        client.on_message = on_message
        client.on_subscribe = on_subscribe
        client.on_socket_open = _no_delay
        return client


def _no_delay(_client: Client, _data: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
