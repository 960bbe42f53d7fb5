"""
How far a faulty version comes: a rollout to 1,000 meters of a version that dies on every tenth of them.

The catalog is a real process over SQLite, with a signed repository. The meters are in the benchmark's process: their
updates are the agent's own code (journal, trial, probation, supervision, reports), their algorithms' processes,
downloads and cards are stand-ins. Each polls over HTTP and reports what changed.

Faulty is every tenth meter in the order in which the rollout takes them, so that each stage has its tenth. Were chance
to decide, a first stage of ten meters would now and then have none of them; how often is told, too.
"""

import asyncio
import hashlib
import logging
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import insert

from device_catalog.rollouts.plan import place
from device_catalog.storage import tables
from device_catalog.storage.database import migrate, open_engine
from tests.benchmarks.report import Report, arguments
from tests.support.catalog import CatalogProcess
from tests.support.packages import NAME, package_of
from tests.support.rollout_agents import CAME, AgentMeter, OnePlace, put_in_place
from tests.support.trust import Dso

METERS = 1000
CONNECTIONS = 16
POLL = 2.0
"""How often each meter asks [s]."""
PROBATION = 1.0
"""How long a version has to prove itself on a meter [s]."""
SOAK = 3.0
"""How long a stage is watched [s]."""
FAULTY, GOOD = "1.1.0", "1.2.0"
TRIALS = 2000

CONFIGURATION = (
    '{"algorithms":[{"algorithm":"%s","probation":%s}],"poll":{"interval":2,"lease":60},'
    '"topology":{"network":"n-1","area":"a-%d"}}'
)


def name_of(number: int) -> str:
    """Name a meter."""
    return f"m-{number:04d}"


def credential(number: int) -> str:
    """Name a meter's credential; any text will do, the catalog keeps its digest."""
    return f"benchmark-credential-of-meter-{number:06d}"


def fill(database: str) -> None:
    """Register the meters, five of each area."""
    engine = open_engine(database)
    migrate(engine)
    now = time.time_ns()
    fixed = {"tenant": "default", "kind": "meter", "description": "", "revision": 1, "interval": 2.0, "lease": 60.0}
    fixed |= {"terminal": "", "network": "n-1", "algorithms": NAME, "created_ns": now, "applied_revision": 0, "boot": 0}
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(insert(tables.tenants), [{"tenant": "default", "created_ns": now}])
        devices = [{"device": name_of(n), "area": f"a-{n // 5}", "available": False, **fixed} for n in range(METERS)]
        connection.execute(insert(tables.devices), devices)
        documents = [
            {
                "device": name_of(n),
                "revision": 1,
                "document": CONFIGURATION % (NAME, PROBATION, n // 5),
                "issued_ns": now,
                "author": "benchmark",
            }
            for n in range(METERS)
        ]
        connection.execute(insert(tables.configurations), documents)
        connection.execute(
            insert(tables.assignments), [{"algorithm": NAME, "device": name_of(n)} for n in range(METERS)]
        )
        digests = [
            {"device": name_of(n), "digest": hashlib.sha256(credential(n).encode()).digest(), "created_ns": now}
            for n in range(METERS)
        ]
        connection.execute(insert(tables.credentials), digests)
    engine.dispose()


class Fleet:
    """The meters, and their way to the catalog."""

    def __init__(self, port: int, meters: list[AgentMeter]) -> None:
        self.meters = meters
        self.latencies: list[float] = []
        self._port = port
        self._tags = [""] * len(meters)
        self._said = [b""] * len(meters)
        self._ending = False

    async def poll(self) -> None:
        """Poll and report until told to end."""
        numbers = range(len(self.meters))
        await asyncio.gather(*(self._serve(numbers[start::CONNECTIONS]) for start in range(CONNECTIONS)))

    def end(self) -> None:
        """Let everybody poll no more."""
        self._ending = True

    def versions(self) -> Counter[str]:
        """Count the versions in force."""
        return Counter(meter.in_force() for meter in self.meters)

    async def _serve(self, numbers: range) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while not self._ending:
            began = time.monotonic()
            for number in numbers:
                await self._visit(number, reader, writer)
            await asyncio.sleep(max(0.0, POLL - (time.monotonic() - began)))
        writer.close()

    async def _visit(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meter = self.meters[number]
        head = f"Host: catalog\r\nAuthorization: Bearer {credential(number)}\r\n"
        known = f"Agent-Boot: 1\r\nAgent-Applied-Revision: {meter.applied}\r\nIf-None-Match: {self._tags[number]}\r\n"
        sent = time.monotonic()
        writer.write(f"GET /v1/devices/{meter.name}/desired HTTP/1.1\r\n{head}{known}\r\n".encode())
        status, tag, document = await _answer(reader)
        self.latencies.append(time.monotonic() - sent)
        if status == 200:
            self._tags[number] = tag
            await meter.take(document)
        report = meter.report()
        if report != self._said[number]:
            length = f"Content-Type: application/json\r\nContent-Length: {len(report)}\r\n\r\n"
            writer.write(f"PUT /v1/devices/{meter.name}/reported HTTP/1.1\r\n{head}{length}".encode() + report)
            status, _, answer = await _answer(reader)
            if status != 204:
                raise RuntimeError(f"expected a report to be taken, found {status}: {answer[:300]!r}")
            self._said[number] = report


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    fields = dict(line.lower().partition(": ")[::2] for line in head.split("\r\n")[1:] if line)
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    return int(head.split(" ", 2)[1]), fields.get("etag", ""), body


def push(catalog: CatalogProcess, folder: Path) -> None:
    """Sign the versions, and bring them."""
    dso = Dso(folder, datetime.now(UTC))
    for release, version in enumerate((FAULTY, GOOD), 1):
        dso.release(version, release, datetime.now(UTC))
        name, data = package_of(version, release)
        path = f"/v1/trust/targets/algorithms/{NAME}/{hashlib.sha256(data).hexdigest()}.{name}"
        catalog.operator("PUT", path, data=data).raise_for_status()
    documents = {path.name: path.read_text() for path in (dso.folder / "metadata").iterdir()}
    catalog.operator("PUT", "/v1/trust/metadata", json={"documents": documents}).raise_for_status()


def start(catalog: CatalogProcess, version: str, percents: tuple[float, ...]) -> str:
    """Start a rollout."""
    stages = [{"percent": percent, "soak": SOAK} for percent in percents]
    body = {"algorithm": NAME, "version": version, "to": {"kind": "meter"}, "stages": stages, "deadline": 60}
    answer = catalog.operator("POST", "/v1/rollouts", json=body)
    answer.raise_for_status()
    return str(answer.json()["summary"]["rollout"])


async def until(condition: Any, what: str, limit: float) -> float:
    """Wait; return how long it took [s]."""
    began = time.monotonic()
    while not await asyncio.to_thread(condition):
        if time.monotonic() - began > limit:
            raise TimeoutError(f"expected {what} within {limit:g} s")
        await asyncio.sleep(0.1)
    return time.monotonic() - began


def summary(catalog: CatalogProcess, rollout: str) -> Any:
    """Ask where a rollout stands."""
    return catalog.operator("GET", f"/v1/rollouts/{rollout}").json()["summary"]


async def measure(report: Report, catalog: CatalogProcess, meters: list[AgentMeter], *, quick: bool) -> None:
    """Run a faulty version, then a good one."""
    fleet = Fleet(catalog.port, meters)
    polling = asyncio.create_task(fleet.poll())
    await until(lambda: fleet.versions() == {CAME: METERS}, "every meter running", 60)
    # The first rollout is r-1: its order, and with it who is faulty, is known before it begins.
    order = sorted(meters, key=lambda meter: place("r-1", meter.name))
    for meter in order[4::10]:
        meter.workers.faulty.add(FAULTY)
    rollout = start(catalog, FAULTY, (1, 10, 100))
    stopped = await until(lambda: summary(catalog, rollout)["state"] != "running", "the rollout stopped", 60)
    end = summary(catalog, rollout)
    back = await until(
        lambda: summary(catalog, rollout)["counts"]["back"] >= 1 and fleet.versions() == {CAME: METERS}, "all back", 60
    )
    touched = sum(FAULTY in meter.workers.ran for meter in meters)
    report.figure("stage at which the faulty version was stopped", end["stage"] + 1, "1", "<= 1")
    report.figure("meters that ever ran it", 100 * touched / METERS, "%", "<= 1")
    report.figure("meters on the last good version at the end", fleet.versions()[CAME], "1", f">= {METERS}")
    report.figure("from its start to the stop", stopped, "s")
    report.figure("from the stop until all were back", back, "s")
    if not quick:
        rollout = start(catalog, GOOD, (1, 10, 100))
        took = await until(
            lambda: summary(catalog, rollout)["counts"]["done"] >= 0.99 * METERS, "the good version", 300
        )
        report.figure("a good version on 99 % of all, in three stages", took, "s")
        report.figure("of these, watched on purpose", 2 * SOAK, "s")
    if polling.done():
        polling.result()
    latencies = sorted(fleet.latencies)
    report.figure("poll, median meanwhile", statistics.median(latencies) * 1e3, "ms")
    report.figure("poll, 99 % meanwhile", latencies[int(0.99 * len(latencies))] * 1e3, "ms")
    fleet.end()
    await polling
    for meter in meters:
        await meter.close()


def chance() -> float:
    """Tell how often a first stage has a faulty meter where chance decides which are, by the catalog's own order."""
    chooser = random.Random(1)
    names = [name_of(number) for number in range(METERS)]
    hits = 0
    for number in range(TRIALS):
        bad = set(chooser.sample(names, METERS // 10))
        keyed = sorted(bad, key=lambda name: place(f"r-{number}", name))
        least = place(f"r-{number}", keyed[0])
        hits += sum(place(f"r-{number}", name) < least for name in names) < METERS // 100
    return hits / TRIALS


def main() -> None:
    """Measure and tell."""
    options = arguments(__doc__ or "").parse_args()
    logging.disable(logging.CRITICAL)
    conditions = {"meters": METERS, "poll_s": POLL, "probation_s": PROBATION, "soak_s": SOAK, "max_failures": "1%"}
    report = Report("Rollout: a version that fails on every tenth of 1,000 meters", conditions)
    with tempfile.TemporaryDirectory(prefix="rollout-benchmark-") as temporary:
        folder = Path(temporary)
        state = folder / "catalog"
        state.mkdir()
        fill(f"sqlite:///{state / 'catalog.db'}")
        references = put_in_place(folder / "algorithms", FAULTY, GOOD)
        with CatalogProcess(state=state) as catalog:
            push(catalog, folder / "trust")

            async def run() -> None:
                places = OnePlace(folder / "algorithms")
                meters = [AgentMeter(name_of(number), places, references) for number in range(METERS)]
                await measure(report, catalog, meters, quick=options.quick)

            asyncio.run(run())
    if not options.quick:
        report.figure("stopped at the first stage, were chance to choose who is faulty", chance(), "1")
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
