"""Somebody who listens to everything on a broker, in order."""

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Heard:
    """One message as it came."""

    topic: str
    payload: bytes
    retained: bool
    at_ns: int

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON object it is."""
        result: dict[str, Any] = msgspec.json.decode(self.payload)
        return result

    @property
    def key(self) -> tuple[int, int]:
        """Its boot and number."""
        fields = self.fields
        return fields["boot"], fields["number"]


class Listener:
    """
    Subscribed while in its context, also to a broker that goes and comes back.

    Parameters
    ----------
    port : int
    topic : str
    protocol : int
        5, or 4 for MQTT 3.1.1.

    Attributes
    ----------
    heard : list of Heard
    """

    def __init__(self, port: int, topic: str = "v1/#", *, protocol: int = 5) -> None:
        self.heard: list[Heard] = []
        self._topic = topic
        self._port = port
        self._subscribed = False
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"listener-{id(self)}", protocol=MQTTProtocolVersion(protocol)
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_disconnect = self._on_disconnect

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client._reset_sockets()  # it leaves them to the collector, in whatever order that comes

    def wait(self) -> None:
        """Return once subscribed."""
        wait_until(lambda: self._subscribed, "subscribing")

    @property
    def keys(self) -> list[tuple[int, int]]:
        """Boot and number of every numbered message, as they came."""
        return [key for key in (item.key for item in list(self.heard)) if key[1]]

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed = True

    def _on_disconnect(self, *_: Any) -> None:
        self._subscribed = False

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:  # noqa: ARG002 - as paho calls it
        payload = bytes(message.payload)
        self.heard.append(Heard(message.topic, payload, message.retain, time.monotonic_ns()))
