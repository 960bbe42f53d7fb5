"""A real history process on a broker, and what it is told: for tests and benchmarks."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sqlalchemy.exc import SQLAlchemyError

from algorithms.api.records import MeasurementFrame, Record
from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
from device_catalog.errors import StorageError
from device_catalog.history.store import HistoryStore
from device_catalog.storage.database import open_engine
from tests.support.frames import frame
from tests.support.waiting import wait_until

SECOND = 1_000_000_000


class HistoryProcess:
    """
    One history, as a context manager; it can be killed and started again over the same database.

    Parameters
    ----------
    broker : str
        Endpoint of the data broker.
    options : iterable of str
        Further arguments of ``tresma-catalog history``.
    state : Path, optional
        Folder of the database; a temporary one unless given.
    database : str
        Address of the database; a file in `state` unless given.
    """

    def __init__(self, broker: str, options: Iterable[str] = (), state: Path | None = None, database: str = "") -> None:
        self._temporary = state is None
        self.state = state or Path(tempfile.mkdtemp(prefix="history-"))
        self.database = database or f"sqlite:///{self.state / 'history.db'}"
        self.log = self.state / "history.log"
        self._arguments = [f"--data-broker={broker}", f"--history-database={self.database}", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self.store = HistoryStore(open_engine(self.database))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(signal.SIGTERM)
        self.store.close()
        if self._temporary:
            shutil.rmtree(self.state, ignore_errors=True)

    def start(self) -> None:
        """Start, and return once it listens."""
        self.state.mkdir(exist_ok=True)
        before = self.log.read_text().count("listening to") if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "device_catalog", "history", f"--state={self.state}", *self._arguments],
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
                env={**os.environ, "PYTHONWARNINGS": "error"},
            )
        wait_until(lambda: self._listens(before), "the history listening", timeout=30)

    def end(self, number: int) -> None:
        """End it by a signal."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=15)
            self._process = None

    def count(self, name: str) -> int:
        """Read one of its counters."""
        try:
            return self.store.counts().get(name, 0)
        except (StorageError, SQLAlchemyError):
            return 0

    def _listens(self, before: int) -> bool:
        assert self._process is not None
        said = self.log.read_text()
        assert self._process.poll() is None, f"the history ended at once: {said[-3000:]}"
        return said.count("listening to") > before


class Speaker:
    """
    Says records on a broker as devices do: numbered, each naming the one before on its topic.

    Parameters
    ----------
    port : int
    device : str
    boot : int
    tenant : str
    protocol : MQTTProtocolVersion
    """

    def __init__(
        self,
        port: int,
        device: str,
        boot: int = 1,
        tenant: str = "default",
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
    ) -> None:
        self.device, self.boot, self._tenant = device, boot, tenant
        self.number, self._before = 0, dict[str, int]()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, records: Iterable[Record]) -> list[tuple[str, bytes]]:
        """Say records, and return once the broker has them; give topics and messages."""
        said = list(self.messages(records))
        self.repeat(said)
        return said

    def repeat(self, said: Iterable[tuple[str, bytes]]) -> None:
        """Say messages again as they were."""
        for sent in [self._client.publish(topic, payload, qos=1) for topic, payload in said]:
            sent.wait_for_publish(10)

    def messages(self, records: Iterable[Record]) -> Iterator[tuple[str, bytes]]:
        """Write records without saying them."""
        for record in records:
            place = topics.route(record, self._tenant, self.device)
            assert place is not None
            self.number += 1
            time_ns = getattr(record, "time_ns", None) or record.start_ns  # type: ignore[union-attr]
            header = Header(self.device, self.boot, 1, self.number, time_ns, self._before.get(place[1], 0))
            self._before[place[1]] = self.number
            yield place[1], encode(record, header)


def frames(first_ns: int, count: int, step: float = 1.0, voltage: float = 230.0) -> list[MeasurementFrame]:
    """Make frames whose voltage of phase A grows by 0.1 V from each to the next."""
    return [
        msgspec.structs.replace(
            frame(first_ns + round(number * step * SECOND), voltage=(voltage + 0.1 * number, voltage, voltage)),
        )
        for number in range(count)
    ]
