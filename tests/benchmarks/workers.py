"""
What a meter's processes cost: starting a confined algorithm, its memory, and the way of samples to it and back.

A source that only counts stands in for the board, and an algorithm that only looks at its samples for the phasors:
what is measured is what lies between them.
"""

import asyncio
import os
import statistics
import sys
import time
import timeit
from pathlib import Path
from typing import Any

# Started by its path, a script sees its own folder first, where `agent` is another benchmark.
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from agent.processes.algorithm_messages import AlgorithmSpec
from agent.processes.ring import RingReader, RingWriter, layout_for
from agent.processes.ring_memory import SealedMemory
from agent.processes.workers import Workers
from algorithms.api.samples import SampleBlock
from device_catalog.contract.documents import Acquisition
from tests.benchmarks.report import Report, arguments
from tests.support.sources import CHANNELS

RATE = 6400.0
BLOCK = 128


def nothing(_: object) -> None:
    """Take what comes."""


def memory_of(pid: int) -> tuple[float, float]:
    """Return proportional and private memory [MiB]."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
    return kib["Pss"] / 1024, (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024


def processor_of(pid: int) -> float:
    """Return the processor time used [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ring(report: Report) -> None:
    """Time writing and reading one block."""
    writer = RingWriter(layout_for(RATE, CHANNELS, BLOCK, 5.0))
    memory = writer.memory
    assert isinstance(memory, SealedMemory)
    reader = RingReader(SealedMemory.open(os.dup(memory.fd)))
    values = np.random.default_rng(1).normal(size=(len(CHANNELS), BLOCK)).astype(np.float32)
    block = SampleBlock(values, CHANNELS, RATE, 0, 0)
    repeats = writer.layout.slots - 2
    writing, reading = [], []
    for _ in range(20):
        writing.append(timeit.timeit(lambda: writer.write(block), number=repeats) / repeats)
        reading.append(timeit.timeit(reader.read, number=repeats) / repeats)
    report.figure("ring: one block of 6 x 128 written", 1e6 * statistics.median(writing), "us")
    report.figure("ring: one block read and checked", 1e6 * statistics.median(reading), "us")


async def processes(report: Report, seconds: float) -> None:
    """Start, watch and stop real processes."""
    workers = Workers(preload=["tests.support.algorithms"])
    begin = time.perf_counter()
    await workers.start()
    report.figure("fork server started", 1e3 * (time.perf_counter() - begin), "ms")
    acquisition = Acquisition("tests.support.sources:Counting", RATE)
    sampler = await workers.start_sampler(acquisition, nothing, nothing)
    delays: list[float] = []

    def arrived(records: list[Any]) -> None:
        now = time.time_ns()
        delays.extend((now - record.time_ns) / 1e9 - BLOCK / RATE for record in records)

    async def start() -> Any:
        spec = AlgorithmSpec("watcher", "tests.support.algorithms:Watcher")
        return await workers.start_algorithm(
            spec, sampler, on_records=arrived, on_report=nothing, on_checkpoint=nothing, on_exit=nothing
        )

    starts = []
    for _ in range(15):
        begin = time.perf_counter()
        worker = await start()
        starts.append(1e3 * (time.perf_counter() - begin))
        await worker.stop()
    report.figure("confined algorithm started, median", statistics.median(starts[1:]), "ms", "<= 10")
    worker = await start()
    report.figure("private memory of an algorithm just started", memory_of(worker.pid)[1], "MiB", "<= 2")
    delays.clear()
    pids = {"fork server": workers.fork_server_pid, "sampler": sampler.pid, "algorithm": worker.pid}
    before = {name: processor_of(pid) for name, pid in pids.items()}
    begin = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - begin
    for name, pid in pids.items():
        report.figure(f"{name}: processor", 100 * (processor_of(pid) - before[name]) / elapsed, "%")
        report.figure(f"{name}: proportional memory", memory_of(pid)[0], "MiB")
    report.figure("last sample to record at the agent, p50", 1e3 * statistics.median(delays), "ms", "<= 5")
    report.figure(
        "last sample to record at the agent, p99", 1e3 * statistics.quantiles(delays, n=100)[98], "ms", "<= 20"
    )
    report.figure("samples lost", worker.status.lost_samples, "", "== 0")
    isolation = await workers.probe()
    report.conditions["isolation missing"] = ", ".join(name for name, held in isolation.items() if not held) or "none"
    begin = time.perf_counter()
    await workers.stop()
    report.figure("everything stopped", 1e3 * (time.perf_counter() - begin), "ms")


def main() -> None:
    """Measure and tell."""
    options = arguments(__doc__.strip().splitlines()[0]).parse_args()
    report = Report("The processes of a meter")
    ring(report)
    asyncio.run(processes(report, 5.0 if options.quick else 30.0))
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
