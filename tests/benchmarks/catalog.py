"""
What one catalog process bears: polls of 100,000 registered devices, over SQLite, with a grid broker.

Every poll names another device, carries that device's own credential, renews its lease, and may find a change: an
operator changes configurations while the polls come, and every change must reach its device. Some devices with a
short lease stop polling in the middle; the time until a listener on the broker hears of it is compared with the
lease. The generator is a process of its own, one request at a time on each of its kept-alive connections.
"""

import asyncio
import hashlib
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import insert

from device_catalog.storage import tables
from device_catalog.storage.database import migrate, open_engine
from tests.benchmarks.report import Report, arguments
from tests.support.catalog import CatalogProcess
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

DEVICES = 100_000
CONNECTIONS = 64
CHANGES_PER_SECOND = 20
SILENT = 20
SHORT_LEASE = 3.0
"""[s]"""

_channels = ",".join(
    f'{{"name":"{quantity[0]}{phase.lower()}","quantity":"{quantity}","phase":"{phase}","input":{number},'
    f'"ratio":{230.1 + number},"gain":1.0012,"offset":0.003}}'
    for number, (quantity, phase) in enumerate((q, p) for q in ("voltage", "current") for p in "ABC")
)
CONFIGURATION = (
    '{"brokers":{"grid":["mqtt://grid.example:1883"],"data":["mqtt://data.example:1883"]},'
    f'"acquisition":{{"driver":"uldaq","sample_rate":6400,"channels":[{_channels}]}},'
    '"algorithms":[{"algorithm":"phasors","settings":{"report_rate":50}}],'
    '"poll":{"interval":%s,"lease":%s},"terminal":"","topology":{"network":"n-1","area":"a-%d"}}'
)


def credential(number: int) -> str:
    """Name a device's credential; any text will do, the catalog keeps its digest."""
    return f"benchmark-credential-of-device-{number:06d}"


def fill(database: str, count: int) -> None:
    """Register `count` devices, the last `SILENT` of them with a short lease."""
    engine = open_engine(database)
    migrate(engine)
    now = time.time_ns()
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(insert(tables.tenants), [{"tenant": "default", "created_ns": now}])
        for start in range(0, count, 5000):
            numbers = range(start, min(start + 5000, count))
            terms = {n: (0.5, SHORT_LEASE) if n >= count - SILENT else (60.0, 195.0) for n in numbers}
            connection.execute(
                insert(tables.devices),
                [
                    {
                        "device": f"m-{n:06d}",
                        "tenant": "default",
                        "kind": "meter",
                        "description": "",
                        "revision": 1,
                        "interval": terms[n][0],
                        "lease": terms[n][1],
                        "terminal": "",
                        "network": "n-1",
                        "area": f"a-{n % 500}",
                        "algorithms": "phasors",
                        "created_ns": now,
                        "applied_revision": 1,
                        "boot": 1,
                        "available": False,
                    }
                    for n in numbers
                ],
            )
            connection.execute(
                insert(tables.configurations),
                [
                    {
                        "device": f"m-{n:06d}",
                        "revision": 1,
                        "document": CONFIGURATION % (*terms[n], n % 500),
                        "issued_ns": now,
                        "author": "benchmark",
                    }
                    for n in numbers
                ],
            )
            connection.execute(
                insert(tables.assignments), [{"algorithm": "phasors", "device": f"m-{n:06d}"} for n in numbers]
            )
            connection.execute(
                insert(tables.credentials),
                [
                    {
                        "device": f"m-{n:06d}",
                        "digest": hashlib.sha256(credential(n).encode()).digest(),
                        "created_ns": now,
                    }
                    for n in numbers
                ],
            )
    engine.dispose()


class Poller(asyncio.Protocol):
    """One connection of the generator: sends the next poll when the answer to the one before is complete."""

    def __init__(self, generator: "Generator") -> None:
        self._generator = generator
        self._received = b""
        self._sent = 0.0
        self._device = 0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        device = self._generator.take()
        if device is None:
            self._transport.close()
            return
        self._device = device
        self._sent = time.monotonic()
        self._transport.write(self._generator.request(device))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        status = head[9:12]
        if status != b"304":
            lower = head.lower()
            length = int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(rest) < length:
                return
        self._received = b""
        self._generator.answered(self._device, status, head, self._sent)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._generator.lost(error)


def _revision(tag: bytes) -> int:
    """Read which revision an entity tag is of; what follows says when it was signed."""
    return int(tag.strip(b'"').partition(b".")[0])


class Generator:
    """Polls device after device, and stops polling the silent ones at their time."""

    def __init__(self, port: int, count: int) -> None:
        self.count = count
        self.port = port
        self.known = [b'"1"'] * count
        self.latencies: list[float] = []
        self.errors = 0
        self.found = 0
        self.last_poll: dict[int, float] = {}
        self._cursor = 0
        self._end = 0.0
        self._limit = 0
        self._open = 0
        self._done = asyncio.Event()
        self._heads = [
            f"GET /v1/devices/m-{n:06d}/desired HTTP/1.1\r\nHost: catalog\r\nAuthorization: Bearer {credential(n)}\r\n"
            f"Agent-Boot: 1\r\nAgent-Applied-Revision: 1\r\nIf-None-Match: ".encode()
            for n in range(count)
        ]

    def request(self, device: int) -> bytes:
        return self._heads[device] + b"%s\r\n\r\n" % self.known[device]

    def take(self) -> int | None:
        if time.monotonic() >= self._end or self._limit == 0:
            return None
        self._limit -= 1
        device = self._cursor
        self._cursor = (device + 1) % (self.count - SILENT)
        return device

    def answered(self, device: int, status: bytes, head: bytes, sent: float) -> None:
        self.latencies.append(time.monotonic() - sent)
        if status == b"200":
            tag = head.lower().partition(b"etag: ")[2].partition(b"\r\n")[0]
            self.found += _revision(tag) > _revision(self.known[device])
            self.known[device] = tag
        elif status != b"304":
            self.errors += 1

    def lost(self, error: Exception | None) -> None:
        self.errors += error is not None
        self._open -= 1
        if self._open == 0:
            self._done.set()

    async def run(self, seconds: float, limit: int = -1) -> tuple[int, float, float]:
        """Poll for a time, or `limit` times; return polls, seconds and own processor time [s]."""
        self.latencies.clear()
        self._done.clear()
        self._limit = limit
        began, processor = time.monotonic(), time.process_time()
        self._end = began + seconds
        self._open = CONNECTIONS
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Poller(self), "127.0.0.1", self.port)
        await self._done.wait()
        return len(self.latencies), time.monotonic() - began, time.process_time() - processor

    async def fall_silent(self, seconds: float) -> None:
        """Keep the devices with the short lease alive, then stop each at another moment of the first half."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        began = time.monotonic()
        numbers = range(self.count - SILENT, self.count)
        ends = {n: began + (0.1 + 0.4 * (n - numbers[0]) / SILENT) * seconds for n in numbers}
        while any(time.monotonic() < end for end in ends.values()):
            for number, end in ends.items():
                if time.monotonic() < end:
                    sent = time.monotonic()
                    writer.write(self.request(number))
                    await reader.readuntil(b"\r\n\r\n")
                    self.last_poll[number] = sent
            await asyncio.sleep(0.3)
        writer.close()


def generate(port: int, count: int, seconds: float, pipe: Connection) -> None:
    """Be the generator's process."""

    async def work() -> dict[str, Any]:
        generator = Generator(port, count)
        first = await generator.run(300, count - SILENT)
        pipe.send({"first": first[0] / first[1], "errors": generator.errors})
        pipe.recv()  # the word to go on
        silence = asyncio.create_task(generator.fall_silent(seconds))
        polls, took, processor = await generator.run(seconds)
        await silence
        latencies = sorted(generator.latencies)
        pipe.send({"polls": polls, "took": took, "processor": processor})
        pipe.recv()
        await generator.run(60, count - SILENT)  # a last round finds the changes made after a device's last poll
        return {
            "p50": statistics.median(latencies),
            "p99": latencies[int(0.99 * len(latencies))],
            "worst": latencies[-1],
            "errors": generator.errors,
            "found": generator.found,
            "last_poll": generator.last_poll,
        }

    try:
        import uvloop

        pipe.send(uvloop.run(work()))
    except ImportError:
        pipe.send(asyncio.run(work()))


class Listener:
    """Notes when the broker tells that a device is no longer there."""

    def __init__(self, port: int) -> None:
        self.heard: dict[int, float] = {}
        self.told = 0
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("v1/default/meters/+/availability", qos=1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: Client, _data: Any, message: Any) -> None:
        self.told += 1
        if b'"available":false' in message.payload:
            self.heard[int(message.topic.split("/")[3][2:])] = time.monotonic()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def processor_time(pid: int) -> float:
    """Read a process's processor time, all threads [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Read a process's resident memory, and its peak [MiB]."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return max(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def change(catalog: CatalogProcess, count: int, until: threading.Event, made: list[float]) -> None:
    """Change configurations at a steady pace, as an operator would."""
    number = 0
    while not until.wait(1 / CHANGES_PER_SECOND):
        device = (number * 7919) % (count - SILENT)
        number += 1
        began = time.monotonic()
        answer = catalog.operator(
            "PUT",
            f"/v1/devices/m-{device:06d}/configuration",
            headers={"If-Match": "*"},
            data=CONFIGURATION % (60.0, 195.0, number % 500),
        )
        answer.raise_for_status()
        made.append(time.monotonic() - began)


def measure(report: Report, count: int, seconds: float, folder: Path) -> None:
    """Run the catalog, the broker and the generator."""
    fill(f"sqlite:///{folder / 'catalog.db'}", count)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with Mosquitto() as broker, CatalogProcess(grid_brokers=[broker.url], state=folder) as catalog:
        pid, began = catalog.pid, time.monotonic()
        catalog.kill()
        began = time.monotonic()
        catalog.start(timeout=120)
        report.figure("start with all devices registered", time.monotonic() - began, "s")
        pid = catalog.pid
        listener = Listener(broker.port)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=generate, args=(catalog.port, count, seconds, there))
        process.start()
        first = here.recv()
        report.figure("first round after the start, all announced", first["first"], "polls/s")
        wait_until(lambda: listener.told >= count - SILENT, "every device announced", timeout=120)
        ending, made = threading.Event(), []
        changer = threading.Thread(target=change, args=(catalog, count, ending, made))
        changer.start()
        before = processor_time(pid)
        here.send("go on")
        load = here.recv()
        used = processor_time(pid) - before
        ending.set()
        changer.join()
        here.send("go on")
        rest = here.recv()
        process.join()
        wait_until(lambda: len(listener.heard) >= len(rest["last_poll"]), "every silent device told", timeout=30)
        listener.stop()
        excess = sorted(listener.heard[n] - sent - SHORT_LEASE for n, sent in rest["last_poll"].items())
        report.figure("polls answered", load["polls"] / load["took"], "polls/s", ">= 10000")
        report.figure("poll, median as the generator sees it", rest["p50"] * 1e3, "ms")
        report.figure("poll, 99 % as the generator sees it", rest["p99"] * 1e3, "ms")
        report.figure("poll, slowest", rest["worst"] * 1e3, "ms")
        report.figure("catalog's processor time per poll", used / load["polls"] * 1e6, "us")
        report.figure("catalog's share of one core", used / load["took"], "1")
        report.figure("generator's share of one core", load["processor"] / load["took"], "1")
        report.figure("requests that failed", rest["errors"], "1", "== 0")
        report.figure("changes made while polled", len(made), "1")
        report.figure("changes that did not reach their device", len(made) - rest["found"], "1", "== 0")
        report.figure("change of a configuration, median", statistics.median(made) * 1e3, "ms")
        report.figure("resident memory, peak", resident(pid), "MiB", "<= 300")
        report.figure("silent device told after its lease, median", statistics.median(excess), "s")
        report.figure("silent device told after its lease, slowest", excess[-1], "s", "<= 1")
        report.figure("silent device told after its lease, earliest", excess[0], "s", ">= 0")


def main() -> None:
    """Measure and tell."""
    options = arguments(__doc__ or "").parse_args()
    seconds = 10.0 if options.quick else 30.0
    report = Report(
        "Device catalog: one process, SQLite",
        {"devices": DEVICES, "connections": CONNECTIONS, "seconds": seconds, "silent_devices": SILENT},
    )
    with tempfile.TemporaryDirectory(prefix="catalog-benchmark-") as folder:
        measure(report, DEVICES, seconds, Path(folder))
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
