"""
What confining an algorithm costs: its start, its memory, and the processor time of its work.

The cost of the work is a ratio: the same phasors over the same samples, with a message in and out for each block as on
a meter, in pairs of processes of which one is confined. A pair runs one after the other, in changing order, and the
median of the pairs' ratios is told, so that what else the machine does falls on both.
"""

import asyncio
import os
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import Any

# Started by its path, a script sees its own folder first, where `agent` is another benchmark.
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from agent.processes import sandbox
from agent.processes.algorithm_messages import AlgorithmSpec
from agent.processes.workers import Workers
from algorithms.api.algorithm import Context
from algorithms.api.manifest import Limits
from algorithms.api.samples import SampleBlock
from algorithms.builtin.phasors import Phasors
from device_catalog.contract.documents import Acquisition
from tests.benchmarks.report import Report, arguments
from tests.benchmarks.workers import memory_of, nothing
from tests.support.sources import CHANNELS

RATE, BLOCK = 6400.0, 640
USER = sandbox.FIRST_USER + 77


def work(blocks: int, *, confined: bool) -> float:
    """Return the processor time that a process of its own takes for the phasors of so many blocks [s]."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        try:
            _serve(theirs, blocks, confined=confined)
        finally:
            os._exit(1)
    theirs.close()
    for number in range(blocks):
        ours.send(number.to_bytes(8, "little"))
        ours.recv(1 << 16)
    taken = float(np.frombuffer(ours.recv(8))[0])
    ours.close()
    os.waitpid(child, 0)
    return taken


def _serve(channel: socket.socket, blocks: int, *, confined: bool) -> None:
    algorithm = Phasors({"window": 4, "report_rate": 50})
    times = np.arange(BLOCK) / RATE
    angles = np.repeat([[0.0, -2.0, 2.0]], 2, axis=0).reshape(-1, 1) * np.pi / 3
    values = np.sqrt(2.0) * 230.0 * np.cos(2 * np.pi * 50.0 * times + angles)
    if confined and not all(sandbox.confine(Limits(), USER).values()):
        os._exit(1)
    algorithm.start(Context("m-1", "t-1", channels=CHANNELS, sample_rate=RATE, synchronised=True), None)
    usage = time.process_time
    begin = usage()
    for _ in range(blocks):
        first = int.from_bytes(channel.recv(8), "little") * BLOCK
        block = SampleBlock(values, CHANNELS, RATE, first, int(first / RATE * 1e9))
        channel.send(b"".join(repr(record).encode()[:200] for record in algorithm.process(block)))
    channel.send(np.array([usage() - begin]).tobytes())
    os._exit(0)


def cost(report: Report, pairs: int, blocks: int) -> None:
    """Compare confined work with work that is not."""
    work(blocks, confined=False)
    ratios = []
    for number in range(pairs):
        order = (True, False) if number % 2 else (False, True)
        taken = {confined: work(blocks, confined=confined) for confined in order}
        ratios.append(taken[True] / taken[False])
    quarter = statistics.quantiles(ratios, n=4)
    report.figure("processor time of confined work, more than unconfined", 100 * (quarter[1] - 1), "%", "<= 1")
    report.figure("half of the pairs between", 100 * (quarter[0] - 1), "%")
    report.figure("and", 100 * (quarter[2] - 1), "%")


def on_processor(pid: int) -> float:
    """Tell how long a process ran so far, whatever else the machine does meanwhile [s]."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def starts(report: Report, repeats: int) -> None:
    """Start confined algorithms on a meter's fork server."""
    workers = Workers(preload=["tests.support.algorithms"])
    await workers.start()
    sampler = await workers.start_sampler(Acquisition("tests.support.sources:Counting", RATE), nothing, nothing)

    async def start() -> Any:
        spec = AlgorithmSpec("watcher", "tests.support.algorithms:Watcher")
        return await workers.start_algorithm(
            spec, sampler, on_records=nothing, on_report=nothing, on_checkpoint=nothing, on_exit=nothing
        )

    taken, work_done = [], []
    server = _parent_of(sampler.pid)
    for _ in range(repeats + 1):
        before = on_processor(os.getpid()) + on_processor(server)
        begin = time.perf_counter()
        worker = await start()
        taken.append(1e3 * (time.perf_counter() - begin))
        after = on_processor(os.getpid()) + on_processor(server)
        work_done.append(1e3 * (after - before + on_processor(worker.pid)))
        memory = memory_of(worker.pid)[1]
        await worker.stop()
    report.figure("the first confined algorithm started", taken[0], "ms")
    report.figure("each further one, median", statistics.median(taken[1:]), "ms", "<= 10")
    report.figure("each further one, slowest", max(taken[1:]), "ms")
    report.figure("each further one, processor time of all processes, median", statistics.median(work_done[1:]), "ms")
    report.figure("private memory of an empty one", memory, "MiB", "<= 2")
    isolation = await workers.probe()
    report.conditions["isolation missing"] = ", ".join(name for name, held in isolation.items() if not held) or "none"
    await workers.stop()


def main() -> None:
    """Measure and tell."""
    options = arguments(__doc__.strip().splitlines()[0]).parse_args()
    report = Report("Isolation of algorithms")
    cost(report, *((11, 300) if options.quick else (41, 1000)))
    asyncio.run(starts(report, 20 if options.quick else 100))
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
