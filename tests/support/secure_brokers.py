"""Two real Mosquittos with TLS that know devices by their certificates, and obey the lists the catalog writes."""

import ssl
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.support.catalog import CatalogProcess
from tests.support.enrolment import catalog_command
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port
from tests.support.waiting import wait_until


class SecureBrokers:
    """
    A catalog that speaks TLS, with a grid and a data broker; as a context manager.

    Parameters
    ----------
    folder : Path
        For keys, lists and the catalog's state.
    names : tuple of str
        By which all three are reached besides 127.0.0.1.

    Attributes
    ----------
    catalog : CatalogProcess
    grid, data : str
        Addresses, ``mqtts://``.
    files : pathlib.Path
        Folder of lists, authorities and revocations that the catalog writes.
    """

    def __init__(self, folder: Path, names: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._names = ("127.0.0.1", *names)
        self._files = self.files = folder / "brokers"
        self._stack = ExitStack()
        ports = {"grid": free_port(), "data": free_port()}
        self.grid, self.data = (f"mqtts://127.0.0.1:{ports[name]}" for name in ("grid", "data"))
        pid_files = [f"--broker-pid-file={folder / name}.pid" for name in ports]
        self.catalog = CatalogProcess(
            state=folder / "catalog",
            tls=True,
            grid_brokers=[self.grid],
            options=[f"--broker-files={self._files}", *pid_files, *(f"--name={name}" for name in names)],
        )
        self._ports = ports
        self.brokers: dict[str, Mosquitto] = {}

    def __enter__(self) -> Self:
        self._stack.enter_context(self.catalog)
        for name in self._ports:
            keys = self._folder / f"{name}.pem"
            catalog_command(self.catalog, "authority", "server", *self._names, f"--output={keys}")
        wait_until((self._files / "revocations.pem").exists, "the brokers' files being written", timeout=20)
        for name, port in self._ports.items():
            keys = self._folder / f"{name}.pem"
            options = (
                f"cafile {self.catalog.anchors}",
                f"certfile {keys}",
                f"keyfile {keys}",
                f"crlfile {self._files / 'revocations.pem'}",
                "require_certificate true",
                "use_identity_as_username true",
                f"acl_file {self._files / name}.acl",
                f"pid_file {self._folder / name}.pid",
            )
            self.brokers[name] = self._stack.enter_context(Mosquitto(port=port, options=options))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def keys(self, broker: str) -> Path:
        """Tell where a broker's certificate and key are."""
        return self._folder / f"{broker}.pem"

    def acl(self, broker: str) -> str:
        """Read a broker's list as it is on the disk."""
        return (self._files / f"{broker}.acl").read_text()


class Peer:
    """A client of a broker with a certificate; what it hears is in `heard`, what it is refused in `refused`."""

    def __init__(self, catalog: CatalogProcess, address: str, identity: Path | None, client_id: str = "") -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.answers: dict[int, int] = {}
        self.ended = False
        version = MQTTProtocolVersion.MQTTv5
        client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=version, reconnect_on_failure=False)
        context = ssl.create_default_context(cafile=str(catalog.anchors))
        if identity is not None:
            context.load_cert_chain(identity)
        client.tls_set_context(context)
        client.on_message = lambda _client, _data, message: self.heard.append((message.topic, message.payload))
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        self._client = client
        host, _, port = address.removeprefix("mqtts://").partition(":")
        client.connect(host, int(port))
        client.loop_start()
        wait_until(lambda: client.is_connected() or self.ended, f"an answer of the broker at {address}", timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        """Whether the broker took it."""
        return self._client.is_connected()

    def listen(self, topic: str) -> None:
        """Ask for a topic."""
        self._client.subscribe([(topic, SubscribeOptions(qos=1))])

    def say(self, topic: str, payload: bytes = b"x", patience: float = 10.0) -> bool:
        """Publish; tell whether the broker took it."""
        number = self._client.publish(topic, payload, qos=1).mid
        wait_until(lambda: number in self.answers, f"the broker's answer about {topic}", timeout=patience)
        return self.answers[number] < 0x80

    def _on_publish(self, _client: Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        self.answers[number] = reason.value

    def _on_disconnect(self, *_: Any) -> None:
        self.ended = True
