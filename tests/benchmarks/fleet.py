"""
What two catalogs at one PostgreSQL bear: the polls of 100,000 devices, each every 60 s, over TLS.

The polls come at a steady pace whatever the answers take (open loop), and a poll's time counts from when it was due.
They come over kept connections, as real meters' do (the catalog keeps one for longer than a poll's interval) and as a
load balancer's do: 256 of them carry all devices, since as many connections as devices need a machine of their own;
what a connection costs at its beginning is measured apart. Each device polls either catalog as it comes. Meanwhile an
operator changes configurations through one of them, and every change must be found at either; some devices with a
short lease stop polling, and the time until the grid broker hears of it is compared with the lease. The generator is a
process of its own. PostgreSQL does not wait for the disk here (fsync=off).
"""

import asyncio
import multiprocessing
import resource
import socket
import ssl
import statistics
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from device_catalog.authority.authority import Authority
from device_catalog.config import CatalogConfig
from device_catalog.fleet.director import read_director
from tests.benchmarks.catalog import SHORT_LEASE, SILENT, Generator, Listener, Poller, change, fill, processor_time
from tests.benchmarks.catalog import resident as peak
from tests.benchmarks.report import Report, arguments
from tests.support.catalog import CatalogProcess
from tests.support.two_catalogs import TwoCatalogs
from tests.support.waiting import wait_until

DEVICES, INTERVAL = 100_000, 60.0
RATE = DEVICES / INTERVAL
"""Polls [1/s]."""

CONNECTIONS = 256
HANDSHAKES = 100
DAY = 86_400.0
WITHOUT_TRIGGERS = "&options=-c%20session_replication_role%3Dreplica"
"""The fleet is filled in before anybody serves: nobody has to be told."""


class Held(Poller):
    """A kept connection: it polls when it is told to."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._paced.free(self)

    def __init__(self, paced: "Paced") -> None:
        super().__init__(paced)
        self._paced = paced

    def poll(self, device: int, due: float) -> None:
        """Poll for a device; the time counts from `due` [s, monotonic]."""
        self._device, self._sent = device, due
        self._transport.write(self._generator.request(device))

    def _next(self) -> None:
        self._paced.free(self)


class Paced(Generator):
    """Polls as devices that have their documents: one after the other at a steady pace, over several catalogs."""

    def __init__(self, ports: list[int], count: int, state: Path) -> None:
        super().__init__(ports[0], count)
        director = read_director(state / "director.key", CatalogConfig().desired_days * DAY)
        periods = [director.period(f"m-{n:06d}", time.time_ns()).number for n in range(count)]
        self.known = [f'"1.{director.series}{number}"'.encode() for number in periods]
        self.idle: deque[Held] = deque()
        self._freed = asyncio.Event()
        self._ports = ports
        self._context = ssl.create_default_context(cafile=str(state / "authority" / "anchors.pem"))

    async def connect(self) -> None:
        """Open the connections, first all to one catalog and then to the next, in turns."""
        loop = asyncio.get_running_loop()
        for number in range(CONNECTIONS):
            port = self._ports[number % len(self._ports)]
            await loop.create_connection(lambda: Held(self), "127.0.0.1", port, ssl=self._context)

    async def once(self, devices: list[int]) -> float:
        """Poll some devices as fast as it goes; return how long it took [s]."""
        began = time.monotonic()
        for device in devices:
            await self._send(device, time.monotonic())
        await self._all_answered()
        return time.monotonic() - began

    async def steadily(self, seconds: float) -> tuple[int, float, float]:
        """Poll at the pace; return polls, seconds and own processor time [s]."""
        self.latencies.clear()
        began, processor, number = time.monotonic(), time.process_time(), 0
        while (now := time.monotonic()) < began + seconds:
            while number < (now - began) * RATE:
                await self._send(number % (self.count - SILENT), began + number / RATE)
                number += 1
            await asyncio.sleep(0.002)
        await self._all_answered()
        return number, time.monotonic() - began, time.process_time() - processor

    async def _send(self, device: int, due: float) -> None:
        if not self.idle:
            self._freed.clear()
            await self._freed.wait()
        self.idle.popleft().poll(device, due)

    async def _all_answered(self) -> None:
        while len(self.idle) < CONNECTIONS:
            self._freed.clear()
            await self._freed.wait()

    def free(self, connection: "Held") -> None:
        """Have a connection for the next poll."""
        self.idle.append(connection)
        self._freed.set()

    async def fall_silent(self, seconds: float) -> None:
        """Keep the devices with the short lease alive, then stop each at another moment of the first half."""
        streams = [await asyncio.open_connection("127.0.0.1", port, ssl=self._context) for port in self._ports]
        began, turn = time.monotonic(), 0
        numbers = range(self.count - SILENT, self.count)
        ends = {n: began + (0.1 + 0.4 * (n - numbers[0]) / SILENT) * seconds for n in numbers}
        while any(time.monotonic() < end for end in ends.values()):
            for number, end in ends.items():
                turn += 1
                reader, writer = streams[turn % len(streams)]
                if time.monotonic() < end:
                    sent = time.monotonic()
                    writer.write(self.request(number))
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                    await reader.readexactly(int(length or 0))
                    self.last_poll[number] = sent
            await asyncio.sleep(0.3)
            turn += 1
        for _, writer in streams:
            writer.close()


def generate(ports: list[int], count: int, state: Path, seconds: float, pipe: Connection) -> None:
    """Be the generator's process."""

    async def work() -> None:
        generator = Paced(ports, count, state)
        await generator.connect()
        pipe.send((count - SILENT) / await generator.once(list(range(count - SILENT))))
        pipe.recv()
        silence = asyncio.create_task(generator.fall_silent(seconds))
        polls, took, processor = await generator.steadily(seconds)
        await silence
        times = sorted(generator.latencies)
        pipe.send({"polls": polls, "took": took, "processor": processor})
        changed = sorted({(number * 7919) % (count - SILENT) for number in range(pipe.recv())})
        await generator.once(changed)
        revisions = sum(int(generator.known[device].strip(b'"').partition(b".")[0]) - 1 for device in changed)
        pipe.send(
            {
                "p50": statistics.median(times),
                "p99": times[int(0.99 * len(times))],
                "worst": times[-1],
                "errors": generator.errors,
                "found": revisions,
                "last_poll": generator.last_poll,
            }
        )

    try:
        import uvloop

        uvloop.run(work())
    except ImportError:
        asyncio.run(work())


def handshakes(report: Report, catalog: CatalogProcess, folder: Path) -> None:
    """Measure what a connection costs at its beginning, with a client's certificate."""
    identity = folder / "client.pem"
    identity.write_bytes(Authority.open(catalog.state / "authority").client("m-000000", datetime.now(UTC))[0])
    context = ssl.create_default_context(cafile=str(catalog.anchors))
    context.load_cert_chain(identity)
    request = b"GET /healthz HTTP/1.1\r\nHost: catalog\r\nConnection: close\r\n\r\n"

    def connect(session: ssl.SSLSession | None) -> tuple[float, ssl.SSLSession | None]:
        began = time.monotonic()
        plain = socket.create_connection(("127.0.0.1", catalog.port))
        with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secured:
            took = time.monotonic() - began
            secured.sendall(request)
            while secured.recv(4096):
                pass
            return took, secured.session

    for name, resumed in (("full", False), ("resumed", True)):
        session = connect(None)[1]
        before, own = processor_time(catalog.pid), time.process_time()
        times = [connect(session if resumed else None)[0] for _ in range(HANDSHAKES)]
        spent, own = processor_time(catalog.pid) - before, time.process_time() - own
        report.figure(f"one {name} TLS handshake and a request, catalog's processor", 1e3 * spent / HANDSHAKES, "ms")
        report.figure(f"one {name} TLS handshake and a request, client's processor", 1e3 * own / HANDSHAKES, "ms")
        report.figure(f"one {name} TLS handshake, median time", 1e3 * statistics.median(times), "ms")


def processors(postgresql: int) -> float:
    """Sum up the processor time of a server and of its children [s]."""
    children = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children += processor_time(int(stat.parent.name)) if parent == postgresql else 0.0
        except OSError:  # it ended meanwhile
            continue
    return processor_time(postgresql) + children


def measure(report: Report, both: TwoCatalogs, count: int, seconds: float) -> None:
    """Run catalogs, broker and generator."""
    catalogs = (both.first, both.second)
    listener = Listener(both.broker.port)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    ports = [catalog.port for catalog in catalogs]
    process = context.Process(target=generate, args=(ports, count, both.first.state, seconds, there))
    process.start()
    report.figure("first round after the start, as fast as it goes", here.recv(), "polls/s")
    wait_until(
        lambda: all(catalog.metric('tresma_devices{state="available"}') >= count - SILENT for catalog in catalogs),
        "every device known to be there at both",
    )
    wait_until(lambda: both.first.metric("tresma_words_waiting") == 0, "the broker told of all", timeout=120)
    ending, made = threading.Event(), []
    changer = threading.Thread(target=change, args=(both.first, count, ending, made))
    changer.start()
    before = [processor_time(catalog.pid) for catalog in catalogs]
    database = processors(both.postgresql.pid)
    here.send("go on")
    load = here.recv()
    used = [processor_time(catalog.pid) - begun for catalog, begun in zip(catalogs, before, strict=True)]
    database = processors(both.postgresql.pid) - database
    ending.set()
    changer.join()
    time.sleep(1.0)  # what is promised: changes are known everywhere within a second
    here.send(len(made))
    rest = here.recv()
    process.join()
    wait_until(lambda: len(listener.heard) >= len(rest["last_poll"]), "every silent device told", timeout=30)
    listener.stop()
    excess = sorted(listener.heard[n] - sent - SHORT_LEASE for n, sent in rest["last_poll"].items())
    report.figure("polls answered, at a steady pace", load["polls"] / load["took"], "polls/s", f">= {0.99 * RATE:.0f}")
    report.figure("poll, median from when it was due", rest["p50"] * 1e3, "ms")
    report.figure("poll, 99 % from when it was due", rest["p99"] * 1e3, "ms", "<= 250")
    report.figure("poll, slowest", rest["worst"] * 1e3, "ms")
    report.figure("requests that failed", rest["errors"], "1", "== 0")
    for name, spent, catalog in zip(("first", "second"), used, catalogs, strict=True):
        report.figure(f"{name} catalog's share of one core", spent / load["took"], "1")
        report.figure(f"{name} catalog's resident memory, peak", peak(catalog.pid), "MiB")
    report.figure("PostgreSQL's share of one core", database / load["took"], "1")
    report.figure("generator's share of one core (apart)", load["processor"] / load["took"], "1")
    report.figure("changes made through the first while polled", len(made), "1")
    report.figure("changes that did not reach their device", len(made) - rest["found"], "1", "== 0")
    report.figure("change of a configuration, median", statistics.median(made) * 1e3, "ms")
    report.figure("silent device announced after its lease, median", statistics.median(excess), "s")
    report.figure("silent device announced after its lease, slowest", excess[-1], "s", "<= 1")
    report.figure("silent device announced after its lease, earliest", excess[0], "s", ">= 0")


def main() -> None:
    """Measure and tell."""
    options = arguments(__doc__ or "").parse_args()
    count, seconds = (20_000, 10.0) if options.quick else (DEVICES, INTERVAL)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    report = Report(
        "Two device catalogs, one PostgreSQL, TLS over kept connections",
        {"devices": count, "pace": f"{RATE:.0f} polls/s", "connections": CONNECTIONS, "seconds": seconds},
    )
    both = TwoCatalogs(tls=True, before=lambda url: fill(url + WITHOUT_TRIGGERS, count))
    with both:
        measure(report, both, count, seconds)
        handshakes(report, both.second, both.first.state)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
