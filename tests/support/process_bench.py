"""Real processes on a bench: a sampler, algorithms, and what each of them was seen to do."""

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.processes.algorithm_messages import AlgorithmSpec
from agent.processes.process import Exit
from agent.processes.workers import Workers
from device_catalog.contract.documents import Acquisition

ALGORITHMS = "tests.support.algorithms"


async def until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Seen:
    """What one algorithm was seen to do."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.reports: list[Any] = []
        self.checkpoints: list[bytes] = []
        self.exits: list[Exit] = []

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [record.payload for record in self.records]

    def gaps(self) -> list[tuple[int, int]]:
        spans = [(payload["first"], payload["end"]) for payload in self.payloads]
        return [(end, first) for (_, end), (first, _) in itertools.pairwise(spans) if first != end]

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_records": self.records.extend,
            "on_report": self.reports.append,
            "on_checkpoint": self.checkpoints.append,
            "on_exit": self.exits.append,
        }


class Bench:
    """Workers, and what is seen of them."""

    def __init__(self, workers: Workers, server_exits: list[str]) -> None:
        self.workers = workers
        self.server_exits = server_exits
        self.statuses: list[Any] = []
        self.sampler_exits: list[Exit] = []

    async def sampler(self, **options: Any):
        acquisition = Acquisition("tests.support.sources:Counting", 6400.0, options)
        return await self.workers.start_sampler(acquisition, self.statuses.append, self.sampler_exits.append)

    async def algorithm(self, entry: str, sampler: Any, settings: Any = None, **fields: Any):
        seen = Seen()
        spec = AlgorithmSpec(entry.lower(), f"{ALGORITHMS}:{entry}", settings or {}, **fields)
        worker = await self.workers.start_algorithm(spec, sampler, **seen.callbacks())
        return worker, seen


@asynccontextmanager
async def bench():
    server_exits: list[str] = []
    workers = Workers(preload=[ALGORITHMS], on_exit=server_exits.append)
    await workers.start()
    try:
        assert workers.not_loaded == {}
        yield Bench(workers, server_exits)
    finally:
        await workers.stop()
