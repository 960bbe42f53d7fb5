"""
One connection of the catalog with a broker: made, answered or refused, lost, and let go.

Where it stands: made by `publisher`, in whichever of `protocols`, for as long as the broker is there; what is said and
heard on it is the publisher's business. The client's own thread calls back, and only notes what happened.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from device_catalog.brokers.protocols import UNSUPPORTED_PROTOCOL

IN_FLIGHT = 200
"""Words sent and not yet acknowledged."""

CONNECT_TIMEOUT = 10.0
"""[s]"""

TlsContext = Callable[[], ssl.SSLContext]


class Connection:
    """
    One connection.

    Parameters
    ----------
    protocol : MQTTProtocolVersion
    will : tuple of str and bytes, or None
        Topic and payload of the last will.
    acknowledged : callable
        Takes the number of a message and the reason of the broker's answer.
    hear : callable
        Takes what comes.
    wake : callable
        Called when the connection is lost.

    Attributes
    ----------
    client : paho.mqtt.client.Client
    lost : bool
        Whether it is lost, or was refused.
    too_new : bool
        Whether it was refused for its protocol, as far as the broker says.
    """

    def __init__(
        self,
        protocol: MQTTProtocolVersion,
        *,
        will: tuple[str, bytes] | None,
        acknowledged: Callable[[int, ReasonCode], None],
        hear: Callable[[MQTTMessage], None],
        wake: Callable[[], None],
    ) -> None:
        self.lost = self.too_new = False
        self._answered = threading.Event()
        self.client = client = Client(
            CallbackAPIVersion.VERSION2, client_id="", protocol=protocol, reconnect_on_failure=False
        )
        client.max_inflight_messages_set(IN_FLIGHT)
        if will is not None:
            client.will_set(*will, qos=1, retain=True)

        def on_connect(_client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
            if reason.is_failure:
                self.lost = True
                self.too_new = reason.value == UNSUPPORTED_PROTOCOL
            self._answered.set()

        def on_disconnect(_client: Client, _data: Any, _flags: Any, _reason: ReasonCode, _properties: Any) -> None:
            self.lost = True
            if not self._answered.is_set():  # some brokers that know no MQTT 5 just hang up
                self.too_new = True
                self._answered.set()
            wake()

        def on_publish(_client: Client, _data: Any, number: int, reason: ReasonCode, _properties: Any) -> None:
            acknowledged(number, reason)

        def on_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
            hear(message)

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish
        client.on_message = on_message
        client.on_socket_open = _without_delay

    def open(self, endpoint: str, tls: TlsContext) -> None:
        """
        Begin to connect.

        Parameters
        ----------
        endpoint : str
            ``mqtt://host:port`` or ``mqtts://host:port``.
        tls : callable
            Makes the context for the latter.

        Raises
        ------
        OSError, ValueError
        """
        parts = urlsplit(endpoint)
        if parts.scheme == "mqtts":
            self.client.tls_set_context(tls())
        default_port = 8883 if parts.scheme == "mqtts" else 1883
        self.client.connect_timeout = CONNECT_TIMEOUT
        self.client.connect(parts.hostname or "", parts.port or default_port, keepalive=15)
        self.client.loop_start()

    def wait(self) -> None:
        """
        Wait until the broker has let this in, or has refused it.

        Raises
        ------
        TimeoutError
        """
        if not self._answered.wait(CONNECT_TIMEOUT):
            raise TimeoutError(f"it did not answer within {CONNECT_TIMEOUT:g} s")

    def close(self) -> None:
        """Let it go."""
        self.client.disconnect()
        self.client.loop_stop()
        self.client._reset_sockets()  # noqa: SLF001 - it leaves them to the collector, in whatever order that comes


def _without_delay(_client: Client, _data: Any, opened: Any) -> None:
    """Let no small packet wait for the acknowledgement of the one before (Nagle, 40 ms)."""
    if isinstance(opened, socket.socket):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
