"""
The event recorder: what it costs while nothing happens, while it records, and how soon a recording is announced.

    python tests/benchmarks/recorder.py [--json] [--quick]

A real agent with a simulated source of 6 x 6.4 kHz and dips of known length. The announcement is timed by this
process, against the instant at which the last sample of the recording was taken.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from algorithms.api.wire import time_from_text
from tests.benchmarks.report import Report, arguments
from tests.support import recorder_meter
from tests.support.agent import AgentProcess, Plant
from tests.support.listener import Listener
from tests.support.recorder_meter import recording, sag
from tests.support.waiting import wait_until

MIB = 1024 * 1024
LENGTH = 6.0
"""Of a dip [s]."""

TICKS = os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Return a process's proportional set size [bytes]; 0 once it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def processor(pid: int) -> float:
    """Return a process's processor time [s]; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def watch(agent: AgentProcess, listener: Listener, before: set[int]) -> tuple[int, int, float]:
    """Wait for an announcement; return memory without and with the recorder [bytes], and its processor time [s]."""
    idle = agent.memory()
    (recorder,) = wait_until(lambda: set(agent.workers()) - before, "a recorder", timeout=30.0)
    most, used = 0, 0.0
    while not listener.heard:
        most = max(most, memory(recorder))
        used = max(used, processor(recorder))
        time.sleep(0.05)
    return idle, max(most, memory(recorder)), max(used, processor(recorder))


def main() -> None:
    """Measure and print."""
    options = arguments((__doc__ or "").splitlines()[1]).parse_args()
    report = Report("event recorder", {"channels": 6, "sample_rate": 6400, "dip": LENGTH})
    patch = pytest.MonkeyPatch()
    topic = "v1/default/meters/m-1/results/recording"
    with tempfile.TemporaryDirectory() as folder:
        recorder_meter.install(Path(folder), patch)
        with Plant() as plant, Listener(plant.data.port, topic) as listener:
            agent = plant.add("m-1", **recording(sag(4.0, duration=LENGTH)))
            before = set(wait_until(lambda: len(agent.workers()) == 2 and agent.workers(), "sampler and algorithm"))
            idle, most, used = watch(agent, listener, before)
            heard = listener.heard[0]
            said = heard.fields["payload"]
            ended = time_from_text(said["start"]) + round(said["duration"] * 1e9)
            arrived = time.time_ns() - (time.monotonic_ns() - heard.at_ns)
    patch.undo()
    report.figure("processes while nothing happens, besides sampler and algorithm", len(before) - 2, "1", "== 0")
    report.figure("memory of all processes while nothing happens (PSS)", idle / MIB, "MiB", "<= 80")
    report.figure("most memory of the recorder at work (PSS)", most / MIB, "MiB", "<= 30")
    report.figure("processor time a second of recording", used / said["duration"], "s/s", "<= 0.05")
    report.figure("from the last sample to the announcement", (arrived - ended) / 1e9, "s", "<= 1")
    report.figure("samples missing", said["missing"], "1", "== 0")
    report.figure("size a second of recording", said["bytes"] / said["duration"] / 1e3, "kB/s")
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
