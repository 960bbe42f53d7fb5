"""
Hears on the grid broker what is said of faults, so that it is kept.

Where it stands: beside `publisher`, which only speaks; what is heard goes to `faults` on the server's own loop. The
session outlives a connection: what was said while the catalog was away comes afterwards, and what could not be kept is
not acknowledged, so that the broker says it again. One thread owns the connection.
"""

import asyncio
import hashlib
import logging
import random
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from device_catalog.brokers.protocols import PROTOCOLS, UNSUPPORTED_PROTOCOL
from device_catalog.contract import topics

REMEMBERED = 86_400
"""How long the broker keeps what was said while the catalog is away [s]."""
CONNECT_TIMEOUT = 10.0
KEEP_TIMEOUT = 10.0
"""How long one message may take to be kept [s]."""
MAXIMUM_BACKOFF = 60.0
"""[s]"""
SETTLED = 60.0
"""After this a connection counts as a good one [s]."""

TlsContext = Callable[[], ssl.SSLContext]

_log = logging.getLogger(__name__)

Keep = Callable[[str, bytes], Awaitable[object]]


class FaultListener:
    """
    Listens.

    Parameters
    ----------
    endpoints : sequence of str
        Of the grid broker, in order of preference.
    tenant : str
        The catalog's own; two catalogs at one broker have different ones.
    keep : callable
        Coroutine function of topic and payload; called on the loop that `start` was called on.
    tls : callable
        Makes the context for an endpoint ``mqtts://``.
    about, topic : str
        What is listened for, in a word, and where that is said; faults unless given.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        tenant: str,
        keep: Keep,
        tls: TlsContext = ssl.create_default_context,
        *,
        about: str = "faults",
        topic: str = "",
    ) -> None:
        self._tls = tls
        self._about, self._topic = about, topic or topics.faults("+", "+")
        self._endpoints, self._keep = tuple(endpoints), keep
        digest = hashlib.sha256(tenant.encode()).hexdigest()[:12]
        self._name = f"catalog-{about}-{digest}"
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen; called on the loop."""
        self._loop = asyncio.get_running_loop()
        if self._endpoints:
            self._thread = threading.Thread(target=self._run, name=f"catalog-{self._about}", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End; called from another thread than the loop's."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            endpoint = self._endpoints[attempt % len(self._endpoints)]
            try:
                reason = self._listen(endpoint)
            except (OSError, ValueError) as error:
                reason = str(error)
            if self._stopping.is_set():
                return
            attempt = 0 if reason == "" else attempt + 1
            rounds = attempt // len(self._endpoints)
            pause = random.uniform(0.1, min(MAXIMUM_BACKOFF, 0.5 * 2.0 ** min(rounds, 10)))
            said = (endpoint, reason or "lost", self._about, pause)
            _log.info("grid broker %s: %s; listening for %s again in %.1f s", *said)
            self._stopping.wait(pause)

    def _listen(self, endpoint: str) -> str:
        """Listen until the connection ends; return what was wrong, nothing where it had lasted."""
        reason = ""
        for protocol in PROTOCOLS:
            heard = _Heard()
            reason = self._listen_with(endpoint, protocol, heard)
            if not heard.is_too_new or self._stopping.is_set():
                break
        return reason

    def _listen_with(self, endpoint: str, protocol: MQTTProtocolVersion, heard: "_Heard") -> str:
        client = self._client(protocol, heard)
        parts = urlsplit(endpoint)
        if parts.scheme == "mqtts":
            client.tls_set_context(self._tls())
        client.connect_timeout = CONNECT_TIMEOUT
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        if protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = REMEMBERED
            client.connect(parts.hostname or "", port, keepalive=30, clean_start=False, properties=properties)
        else:
            client.connect(parts.hostname or "", port, keepalive=30)
        code, slept = MQTTErrorCode.MQTT_ERR_SUCCESS, 0
        while code == MQTTErrorCode.MQTT_ERR_SUCCESS and not self._stopping.is_set() and not heard.trouble:
            code = client.loop(timeout=0.5)
            slept += 1
        client.disconnect()
        if not heard.answered and code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            heard.is_too_new = True  # some brokers that know no MQTT 5 just hang up
        if heard.trouble:
            return heard.trouble
        return "" if slept * 0.5 > SETTLED else f"the connection ended ({code.name})"

    def _client(self, protocol: MQTTProtocolVersion, heard: "_Heard") -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=self._name, protocol=protocol, manual_ack=True,
            clean_session=None if protocol == MQTTProtocolVersion.MQTTv5 else False, reconnect_on_failure=False,
        )  # fmt: skip

        def on_connect(_client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
            heard.answered = True
            if reason.is_failure:
                heard.is_too_new = reason.value == UNSUPPORTED_PROTOCOL
                heard.trouble = f"it refuses the catalog: {reason}"
            else:
                client.subscribe(self._topic, qos=1)

        def on_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
            reason = self._kept(message.topic, bytes(message.payload))
            if reason:
                heard.trouble = f"something of {self._about} could not be kept and is to be said again: {reason}"
            else:
                client.ack(message.mid, message.qos)

        client.on_connect = on_connect
        client.on_message = on_message
        return client

    def _kept(self, topic: str, payload: bytes) -> str:
        """Have a message kept; return what was in the way."""
        if self._loop is None:
            raise RuntimeError("start comes before listening")

        async def keep() -> None:
            await self._keep(topic, payload)

        future = asyncio.run_coroutine_threadsafe(keep(), self._loop)
        try:
            future.result(KEEP_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - whatever it is, the broker says it again; it is logged
            future.cancel()
            return f"{type(error).__name__}: {error}"
        return ""


@dataclass(slots=True)
class _Heard:
    """What a broker said of one connection."""

    answered: bool = False
    is_too_new: bool = False
    trouble: str = ""
