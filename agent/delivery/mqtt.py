# ruff: noqa: ARG001, ARG002 - paho calls its callbacks with more than any one of them needs
"""
One connection to one broker: a paho client of its own, driven by the event loop without threads.

The blocking part of connecting (names, TCP, TLS) runs in an executor; from then on everything happens on the loop's
thread, and a publish is on the socket before the call returns. A client lives as long as its connection: what the
broker did not answer stays with the outbox, so paho never keeps a message that nobody else knows.

paho does not set TCP_NODELAY; without it, delayed acknowledgements cost up to 40 ms.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import msgspec
from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.delivery.endpoints import Endpoint
from agent.errors import AgentError

PROTOCOLS = {5: MQTTv5, 4: MQTTv311}
DEFAULT_WINDOW = 20
"""Messages in flight where the broker does not say how many it takes (what Mosquitto takes)."""
MISC_INTERVAL = 1.0
UNSUPPORTED_PROTOCOL = 0x84
SUBSCRIBE_AT_ONCE = 50


class Will(msgspec.Struct, frozen=True):
    """What the broker says for us when the connection breaks; retained."""

    topic: str
    payload: bytes


class Answer(msgspec.Struct, frozen=True):
    """The broker's answer to one publish."""

    subject: Any
    accepted: bool
    reason: str


class ConnectionRefused(AgentError):  # noqa: N818 - the name says what happened
    """
    The broker could not be reached or said no.

    Attributes
    ----------
    protocol_unsupported : bool
        Whether another version of the protocol might do.
    """

    def __init__(self, message: str, *, protocol_unsupported: bool = False) -> None:
        super().__init__(message)
        self.protocol_unsupported = protocol_unsupported


class Connection:
    """
    One connection, from CONNECT to its end.

    Parameters
    ----------
    endpoint : Endpoint
    client_id : str
    protocol : int
        5, or 4 for MQTT 3.1.1.
    keepalive : int
        [s]
    will : Will or None
    username, password : str or None
    tls : ssl.SSLContext or None
    on_answers : callable
        Called with the broker's answers to publishes, as they come.
    on_message : callable
        Called with topic, payload and whether retained.

    Attributes
    ----------
    window : int
        Messages the broker takes in flight.
    largest : int or None
        Largest packet the broker takes [bytes].
    ended : asyncio.Future
        Done with the reason once the connection is gone.
    """

    def __init__(
        self, endpoint: Endpoint, *, client_id: str, protocol: int = 5, keepalive: int = 15, will: Will | None = None,
        username: str | None = None, password: str | None = None, tls: ssl.SSLContext | None = None,
        on_answers: Callable[[list[Answer]], None], on_message: Callable[[str, bytes, bool], None],
    ) -> None:  # fmt: skip
        self.window = DEFAULT_WINDOW
        self.largest: int | None = None
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self._endpoint, self._protocol, self._keepalive = endpoint, protocol, keepalive
        self._on_answers, self._on_message = on_answers, on_message
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._subjects: dict[int, Any] = {}
        self._answers: list[Answer] = []
        self._subscribing: dict[int, list[str]] = {}
        self.refused_topics: dict[str, str] = {}
        self._descriptor: int | None = None
        self._writing = False
        self._misc: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=PROTOCOLS[protocol],
            reconnect_on_failure=False,
            clean_session=None if protocol == 5 else True,
        )
        client.connect_timeout = 5.0
        client.max_inflight_messages_set(0)  # the window is kept here
        if username is not None:
            client.username_pw_set(username, password)
        if endpoint.tls:
            client.tls_set_context(tls or ssl.create_default_context())
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_socket_open = _without_delay
        client.on_socket_close = self._on_socket_close
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_client_message
        self._client = client

    @property
    def in_flight(self) -> int:
        """Publishes not answered yet."""
        return len(self._subjects)

    async def open(self, *, within: float) -> None:
        """
        Connect, in at most `within` [s].

        Raises
        ------
        ConnectionRefused
        """
        try:
            async with asyncio.timeout(within):
                connecting = self._loop.run_in_executor(
                    None, self._client.connect, self._endpoint.host, self._endpoint.port, self._keepalive
                )
                try:
                    await asyncio.shield(connecting)
                except asyncio.CancelledError:
                    connecting.add_done_callback(self._abandon)
                    raise
                self._attach()
                await self._connected
        except TimeoutError as error:
            self.drop("no answer")
            raise ConnectionRefused(f"{self._endpoint.url}: no answer within {within:g} s") from error
        except (OSError, ValueError) as error:
            self.drop(str(error))
            raise ConnectionRefused(f"{self._endpoint.url}: {error}") from error
        except BaseException:
            self.drop("given up")
            raise

    def _abandon(self, connecting: "asyncio.Future[Any]") -> None:
        """Close what came of a connection that nobody waits for any more."""
        if not connecting.cancelled():
            connecting.exception()
        self._client._sock_close()  # noqa: SLF001 - paho has no other way to let go of a connection

    def publish(self, subject: Any, topic: str, payload: bytes, *, retain: bool) -> None:
        """Send a message now; its answer comes with `subject`."""
        if not self._subjects:
            self._heard_at = self._loop.time()
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        self._subjects[info.mid] = subject

    def subscribe(self, topics: list[str]) -> None:
        """Ask for `topics`."""
        for first in range(0, len(topics), SUBSCRIBE_AT_ONCE):
            part = topics[first : first + SUBSCRIBE_AT_ONCE]
            if self._protocol == 5:
                asked: Any = [(topic, SubscribeOptions(qos=1)) for topic in part]
            else:
                asked = [(topic, 1) for topic in part]
            _, mid = self._client.subscribe(asked)
            if mid is not None:
                self._subscribing[mid] = part
        self.flush()

    def unsubscribe(self, topics: list[str]) -> None:
        """Ask for `topics` no longer."""
        self._client.unsubscribe(topics)
        self.flush()

    def flush(self) -> None:
        """Hand everything to the socket, as far as it takes it now; the rest follows by itself."""
        if self._client.want_write():
            self._client.loop_write()
        self._watch_writable()

    def close(self) -> None:
        """Say goodbye; the broker forgets the will."""
        self._client.disconnect()
        self.flush()
        self.drop("closed")

    def drop(self, reason: str) -> None:
        """End without a word."""
        if self._misc is not None:
            self._misc.cancel()
            self._misc = None
        self._client.on_disconnect = None
        self._client._sock_close()  # noqa: SLF001 - paho has no other way to let go of a dead connection
        self._end(reason)

    # The event loop

    def _attach(self) -> None:
        sock = self._client.socket()
        if sock is None:
            raise OSError("the connection broke at once")
        self._descriptor = sock.fileno()
        self._loop.add_reader(self._descriptor, self._readable)
        self._misc = self._loop.call_later(MISC_INTERVAL, self._look)
        self._watch_writable()

    def _readable(self) -> None:
        self._heard_at = self._loop.time()
        try:
            self._client.loop_read()
            sock = self._client.socket()
            while isinstance(sock, ssl.SSLSocket) and sock.pending():
                self._client.loop_read()
                sock = self._client.socket()
        except Exception as error:  # noqa: BLE001 - whatever a broker sends ends this connection and no more
            self.drop(f"expected MQTT packets, found what cannot be read: {error!r}")
        if self._answers:
            answers, self._answers = self._answers, []
            self._on_answers(answers)
        self.flush()

    def _writable(self) -> None:
        self._client.loop_write()
        self._watch_writable()

    def _watch_writable(self) -> None:
        if self._descriptor is None:
            return
        wanted = self._client.want_write()
        if wanted and not self._writing:
            self._loop.add_writer(self._descriptor, self._writable)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._descriptor)
        self._writing = wanted

    def _look(self) -> None:
        """Keep the connection alive, or find that it is dead although nobody said so."""
        self._misc = self._loop.call_later(MISC_INTERVAL, self._look)
        if self._subjects and self._loop.time() - self._heard_at > self._keepalive:
            self.drop(f"no answer to a publish within {self._keepalive} s")
            return
        self._client.loop_misc()
        self.flush()

    def _end(self, reason: str) -> None:
        if not self._connected.done():
            self._connected.set_exception(ConnectionRefused(f"{self._endpoint.url}: {reason}"))
            self._connected.exception()  # whoever waits gets it; nobody needs to
        if not self.ended.done():
            self.ended.set_result(reason)

    # What paho tells

    def _on_socket_close(self, client: Client, userdata: Any, sock: Any) -> None:
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            self._descriptor = None
            self._writing = False

    def _on_connect(
        self, client: Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self._connected.done():
            return
        if reason.is_failure:
            unsupported = reason.value == UNSUPPORTED_PROTOCOL
            self._connected.set_exception(
                ConnectionRefused(f"{self._endpoint.url}: {reason}", protocol_unsupported=unsupported)
            )
            return
        self.window = int(getattr(properties, "ReceiveMaximum", self.window))
        self.largest = getattr(properties, "MaximumPacketSize", None)
        self._connected.set_result(None)

    def _on_disconnect(
        self, client: Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self._misc is not None:
            self._misc.cancel()
            self._misc = None
        if not self._connected.done() and self._protocol == 5:
            # Some brokers that know no MQTT 5 just hang up.
            self._connected.set_exception(
                ConnectionRefused(f"{self._endpoint.url}: hung up on", protocol_unsupported=True)
            )
        self._end(str(reason))

    def _on_publish(self, client: Client, userdata: Any, mid: int, reason: ReasonCode, properties: Properties) -> None:
        subject = self._subjects.pop(mid, None)
        if subject is not None:
            self._answers.append(Answer(subject, not reason.is_failure, str(reason) if reason.is_failure else ""))

    def _on_subscribe(
        self, client: Client, userdata: Any, mid: int, reasons: list[ReasonCode], properties: Properties
    ) -> None:
        for topic, reason in zip(self._subscribing.pop(mid, ()), reasons, strict=False):
            if reason.is_failure:
                self.refused_topics[topic] = str(reason)
            else:
                self.refused_topics.pop(topic, None)

    def _on_client_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # no topic of ours
        try:
            self._on_message(topic, bytes(message.payload), message.retain)
        except Exception as error:  # noqa: BLE001 - a receiver's bug is told, and costs no connection
            self._loop.call_exception_handler({"message": f"receiving from {topic}", "exception": error})


def _without_delay(client: Client, userdata: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
