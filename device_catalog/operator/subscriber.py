"""
The two brokers, listened to: every message with its topic and its time of arrival, in one queue.

Each broker is listened to in a thread of its own, so one that is silent does not hold up the other. Endpoints are
tried in order of preference, again and again with growing pauses; MQTT 5 first, 3.1.1 where a broker has no more.
TCP_NODELAY is set: without it, acknowledgements wait for the next packet and latency is not what the meters cause.

The queue has a limit; what does not fit is counted, never waited for.
"""

import queue
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from algorithms.api.errors import shortened
from device_catalog.operator.errors import UsageError
from device_catalog.operator.fleet import Arrival
from device_catalog.operator.settings import Trust

LONGEST_QUEUE = 50_000
"""Messages waiting to be looked at."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Between two attempts to connect [s]."""

ANSWER = 10.0
"""Longest wait for a broker's answer to CONNECT [s]."""

KEEPALIVE = 15
"""[s]"""

_UNSUPPORTED_PROTOCOL = ("Unsupported protocol version", "Unacceptable protocol version")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One broker.

    Attributes
    ----------
    host : str
    port : int
    tls : bool
    user, password : str
        Empty where the broker asks for none.
    """

    host: str
    port: int
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def parse_endpoint(address: str) -> Endpoint:
    """
    Read a broker's address.

    Raises
    ------
    UsageError
        When it is none.

    Examples
    --------
    >>> str(parse_endpoint("mqtt://localhost"))
    'mqtt://localhost:1883'
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise UsageError(f"expected a broker such as mqtt://host:1883 or mqtts://host:8883, found {shortened(address)}")
    tls = parts.scheme == "mqtts"
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Endpoint(parts.hostname, port or (8883 if tls else 1883), tls, user, password)


@dataclass
class Link:
    """How one broker is doing; written by its own thread only."""

    connected: bool = False
    endpoint: str = ""
    connections: int = 0
    last_error: str = ""


class Subscriber:
    """
    Listens to brokers until closed.

    Parameters
    ----------
    brokers : mapping of str to sequence of str
        Endpoints by the broker's name, in order of preference.
    topics : mapping of str to sequence of str
        What to listen to, by the broker's name.
    trust : Trust, optional
        File of the authorities that vouch for the brokers; empty for the system's own.
    """

    def __init__(
        self, brokers: Mapping[str, Sequence[str]], topics: Mapping[str, Sequence[str]], trust: Trust | None = None
    ) -> None:
        self.links = {name: Link() for name in brokers}
        self.overflowed = 0
        self._arrivals: queue.Queue[Arrival] = queue.Queue(LONGEST_QUEUE)
        self._stopping = threading.Event()
        self._trust = trust or Trust()
        self._listeners = [
            threading.Thread(
                target=self._listen,
                args=(self.links[name], [parse_endpoint(address) for address in addresses], tuple(topics[name])),
                name=f"listener-{name}",
                daemon=True,
            )
            for name, addresses in brokers.items()
        ]

    def __enter__(self) -> Self:
        for listener in self._listeners:
            listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for listener in self._listeners:
            listener.join(timeout=5.0)

    def arrivals(self, timeout: float) -> list[Arrival]:
        """Return what arrived, waiting for at most `timeout` [s] for the first message."""
        arrived: list[Arrival] = []
        with suppress(queue.Empty):
            arrived.append(self._arrivals.get(timeout=timeout) if timeout > 0.0 else self._arrivals.get_nowait())
            while len(arrived) < LONGEST_QUEUE:
                arrived.append(self._arrivals.get_nowait())
        return arrived

    def _listen(self, link: Link, endpoints: Sequence[Endpoint], topics: Sequence[str]) -> None:
        protocols = dict.fromkeys(endpoints, MQTTProtocolVersion.MQTTv5)
        pause = FIRST_PAUSE
        while True:
            for endpoint in endpoints:
                session = _Session(self, link, endpoint, topics, protocols[endpoint])
                session.run(self._stopping, self._trust)
                link.connected = False
                if self._stopping.is_set():
                    return
                if session.accepted:
                    pause = FIRST_PAUSE
                    break  # it was good until now: begin again with the one preferred most
                if session.too_new:
                    protocols[endpoint] = MQTTProtocolVersion.MQTTv311
            if self._stopping.wait(pause):
                return
            pause = min(LONGEST_PAUSE, 2 * pause)

    def take(self, arrival: Arrival) -> None:
        """Put a message into the queue, or count that it did not fit."""
        try:
            self._arrivals.put_nowait(arrival)
        except queue.Full:
            self.overflowed += 1


class _Session:
    """One connection to one broker, from CONNECT to its end."""

    def __init__(
        self,
        subscriber: Subscriber,
        link: Link,
        endpoint: Endpoint,
        topics: Sequence[str],
        protocol: MQTTProtocolVersion,
    ) -> None:
        self.accepted = False
        self.too_new = False
        self._answered = False
        self._subscriber = subscriber
        self._link = link
        self._endpoint = endpoint
        self._topics = topics
        self._protocol = protocol

    def run(self, stopping: threading.Event, trust: Trust) -> None:
        """Connect and listen until the connection ends or `stopping` is set."""
        client = self._client(trust)
        began = time.monotonic()
        try:
            client.connect(self._endpoint.host, self._endpoint.port, keepalive=KEEPALIVE)
            while not stopping.is_set():
                result = client.loop(timeout=0.2)
                if result != mqtt.MQTT_ERR_SUCCESS:
                    if self.accepted:
                        self._link.last_error = f"{self._endpoint}: {mqtt.error_string(result)}"
                    break
                if not self._answered and time.monotonic() - began > ANSWER:
                    self._link.last_error = f"{self._endpoint} did not answer within {ANSWER:g} s"
                    break
            client.disconnect()
        except (OSError, ValueError) as error:
            self._link.last_error = f"{self._endpoint}: {getattr(error, 'strerror', None) or error}"
            return
        if not self._answered and self._protocol == MQTTProtocolVersion.MQTTv5 and not stopping.is_set():
            # some brokers of MQTT 3.1.1 close the connection instead of saying that 5 is too new for them
            self.too_new = True

    def _client(self, trust: Trust) -> mqtt.Client:
        clean = None if self._protocol == MQTTProtocolVersion.MQTTv5 else True  # 5 says it at CONNECT
        client = mqtt.Client(CallbackAPIVersion.VERSION2, clean_session=clean, protocol=self._protocol)
        if self._endpoint.tls:
            client.tls_set_context(trust.context())
        if self._endpoint.user:
            client.username_pw_set(self._endpoint.user, self._endpoint.password)
        client.on_socket_open = _no_delay
        client.on_connect = self._connected
        client.on_message = self._message
        return client

    def _connected(
        self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._answered = True
        if reason.is_failure:
            self.too_new = str(reason) in _UNSUPPORTED_PROTOCOL
            self._link.last_error = f"{self._endpoint} refuses: {reason}"
            return
        self.accepted = True
        self._link.connections += 1
        self._link.endpoint = str(self._endpoint)
        self._link.last_error = ""
        self._link.connected = True
        client.subscribe([(topic, 1) for topic in self._topics])

    def _message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._subscriber.take(Arrival(message.topic, bytes(message.payload), message.retain, time.time_ns()))


def _no_delay(_client: mqtt.Client, _userdata: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
