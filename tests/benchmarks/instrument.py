"""
What a whole measuring instrument costs: phasors, power quality, energy and the event recorder in one agent.

    python tests/benchmarks/instrument.py [--json] [--quick]

Six channels at 6.4 kHz in real time, with noise, 12 bits, harmonics and a voltage sag every 30 s, so that events are
found, recorded and announced; fifty frames a second, all published to a broker and served as IEEE C37.118.2 to a client
that reads them; energy registers kept every 9 s and published every minute. A catalog, two brokers, the client and a
subscriber run beside the agent; only the agent's own processes are counted. Algorithms are assigned one after the other
to learn which process is whose. Processor time is what the kernel accounts to each, start-up left out; memory is the
proportional set size, the largest seen.
"""

import asyncio
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent.c37118.frames import CommandCode, FrameType, sealed, size_of
from tests.benchmarks.report import Report, arguments
from tests.support.agent import PHASORS, AgentProcess, Plant, _memory, _processor
from tests.support.listener import Listener
from tests.support.ports import free_port
from tests.support.waiting import wait_until

ALGORITHMS = {
    "phasors": PHASORS,
    "power_quality": {"algorithm": "power_quality", "settings": {}},
    "energy": {"algorithm": "energy", "settings": {}},
}
SIMULATED = {
    "driver": "simulated",
    "sample_rate": 6400,
    "options": {
        "bits": 12,
        "voltage_range": 813.0,
        "current_range": 40.0,
        "voltage_noise": 0.2,
        "current_noise": 0.01,
        "harmonics": [{"order": 5, "share": 0.03}, {"order": 7, "share": 0.02}],
        "events": [{"kind": "sag", "start": 20.0, "duration": 0.2, "period": 30.0, "depth": 0.4}],
    },
}
ID_CODE = 7


class Reader(threading.Thread):
    """A concentrator that reads a stream and counts its data frames."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.frames = 0
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        """Read until stopped."""
        asyncio.set_event_loop(self._loop)
        task = self._loop.create_task(self._read())
        self._loop.run_forever()
        task.cancel()
        self._loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        self._loop.close()

    def stop(self) -> None:
        """Stop reading and wait for it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join(10.0)

    async def _read(self) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                break
            except OSError:
                await asyncio.sleep(0.2)
        writer.write(sealed(FrameType.COMMAND, ID_CODE, time.time_ns(), CommandCode.START.to_bytes(2)))
        while True:
            head = await reader.readexactly(4)
            await reader.readexactly(size_of(head) - 4)
            self.frames += 1


class Account:
    """Processor time and memory of an agent's processes by name, also of those that come and go."""

    def __init__(self, agent: AgentProcess) -> None:
        self._agent = agent
        self._names: dict[int, str] = {}
        self._used: dict[int, float] = {}
        self._first: dict[int, float] = {}
        self.memory = 0
        self.by_name: dict[str, int] = {}

    def name(self, worker: str) -> None:
        """Call the one process that is there for the first time after `worker`."""

        def new() -> list[int]:
            return [pid for pid in self._agent.workers() if pid not in self._names]

        wait_until(lambda: len(new()) == 1, f"the process of {worker}", timeout=30.0, interval=0.1)
        self._names[new()[0]] = worker

    def begin(self) -> None:
        """Leave out what was used until now."""
        self.look()
        self._first = dict(self._used)

    def look(self) -> None:
        """Note what each process has used, and holds."""
        tree = self._agent.tree()
        sizes: Counter[str] = Counter()
        for pid in tree:
            self._used[pid] = max(_processor(pid), self._used.get(pid, 0.0))
            sizes[self._called(pid, tree)] += _memory(pid)
        self.memory = max(self.memory, sizes.total())
        self.by_name = dict(Counter(self.by_name) | sizes)  # the larger of both

    def used(self) -> dict[str, float]:
        """Return processor time since `begin` by name [s]."""
        tree = self._agent.tree()
        sums: Counter[str] = Counter()
        for pid, used in self._used.items():
            sums[self._called(pid, tree)] += used - self._first.get(pid, 0.0)
        return dict(sums)

    def _called(self, pid: int, tree: dict[int, str]) -> str:
        if pid in self._names:
            return self._names[pid]
        role = tree.get(pid, "worker")
        return role if role != "worker" else "recorder"


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__.splitlines()[1]).parse_args()
    seconds = 25.0 if options.quick else 120.0
    report = Report("instrument: everything at once, 6 x 6.4 kHz", {"seconds": seconds})
    port = free_port()
    stream = {"c37_118": {"address": "127.0.0.1", "port": port, "id_code": ID_CODE}}
    reader = Reader(port)
    with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/frames") as frames:
        recordings = Listener(plant.data.port, "v1/default/meters/+/results/recording")
        with recordings:
            agent = plant.add("m-1", algorithms=[], acquisition=SIMULATED)
            account = Account(agent)
            wait_until(lambda: plant.reported("m-1").get("source"), "the source", timeout=30.0, interval=0.2)
            account.name("sampler")
            assigned = []
            for name, assignment in ALGORITHMS.items():
                assigned.append(assignment)
                plant.wait_for_revision("m-1", plant.configure("m-1", algorithms=assigned))
                account.name(name)
            revision = plant.configure("m-1", outputs=stream, recorder={})
            reported = plant.wait_for_revision("m-1", revision)
            assert reported["refused"] is None, reported["refused"]
            reader.start()
            wait_until(lambda: len(frames.heard) > 50 and reader.frames > 50, "frames", timeout=30.0)
            account.begin()
            heard, read, begin = len(frames.heard), reader.frames, time.monotonic()
            while time.monotonic() < begin + seconds:
                time.sleep(1.0)
                account.look()
            elapsed = time.monotonic() - begin
            used = account.used()
            heard, read = len(frames.heard) - heard, reader.frames - read
            reported = plant.reported("m-1")
            events = len(recordings.heard)
        reader.stop()
    report.figure("processor, all processes", 100 * sum(used.values()) / elapsed, "% of core", "<= 25")
    report.figure("memory (PSS), all processes", account.memory / 2**20, "MiB", "<= 160")
    for name in ("agent", "fork server", "sampler", *ALGORITHMS, "recorder"):
        report.figure(f"  {name}: processor", 100 * used.get(name, 0.0) / elapsed, "% of core")
        report.figure(f"  {name}: memory (PSS)", account.by_name.get(name, 0) / 2**20, "MiB")
    report.figure("frames heard from the broker", heard / elapsed, "frames/s", ">= 49")
    report.figure("frames read as C37.118", read / elapsed, "frames/s", ">= 49")
    report.figure("recordings announced", events, "")
    report.figure("samples lost", reported["source"]["lost"], "", "<= 0")
    report.figure("restarts", sum(one["restarts"] for one in reported["algorithms"].values()), "", "<= 0")
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
