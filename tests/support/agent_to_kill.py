"""A small agent for a test to kill: starts a sampler and two algorithms, prints every process id, and waits."""

import asyncio
import json
import sys

from agent.processes.algorithm_messages import AlgorithmSpec
from agent.processes.workers import Workers
from device_catalog.contract.documents import Acquisition


def nothing(_: object) -> None:
    """Take what comes."""


async def main() -> None:
    workers = Workers(preload=["tests.support.algorithms"])
    await workers.start()
    sampler = await workers.start_sampler(Acquisition("tests.support.sources:Counting", 6400.0), nothing, nothing)
    pids = [workers.fork_server_pid, sampler.pid]
    for entry in ("Watcher", "Misbehaving"):
        settings = {"how": "hang"} if entry == "Misbehaving" else {}
        spec = AlgorithmSpec(entry, f"tests.support.algorithms:{entry}", settings)
        worker = await workers.start_algorithm(
            spec, sampler, on_records=nothing, on_report=nothing, on_checkpoint=nothing, on_exit=nothing
        )
        pids.append(worker.pid)
    sys.stdout.write(json.dumps({"pids": pids, "numpy": "numpy" in sys.modules}) + "\n")
    sys.stdout.flush()
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main())
