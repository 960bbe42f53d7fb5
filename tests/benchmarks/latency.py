"""
From the last sample of a window to a subscriber: how old a frame is when it arrives.

A whole agent runs against a catalog and two real Mosquitto brokers on loopback, QoS 1. Its source is the simulated
one, which also writes down when each block was read. A frame's age counts from when the block with the last sample of
its window was read to when a subscriber in a process of its own has the frame, both on the machine's monotonic clock:
ring, estimation, routing, outbox, link, broker and the subscriber's own client are in it; waiting for the block to
fill is not. The second run delays every fsync and fdatasync of the agent by 20 ms (``strace -e inject``), as a slow
card would; the third leaves strace attached without the delay, to tell its cost.
"""

import bisect
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from algorithms.api.records import MeasurementFrame
from algorithms.api.wire import decode
from tests.benchmarks.report import Report, arguments
from tests.support.agent import PHASORS, Plant
from tests.support.listener import Listener
from tests.support.stamped_source import install, read_stamps
from tests.support.waiting import wait_until

WARM_UP = 50
"""Frames at the start that are not counted: connections, first use."""


def run(seconds: float, prefix: tuple[str, ...]) -> dict[str, float]:
    """Publish for `seconds`; returns figures in ms, and the largest frame in bytes."""
    folder = Path(tempfile.mkdtemp(prefix="latency-"))
    stamps = folder / "stamps"
    prefix = (shutil.which("env") or "env", f"PYTHONPATH={install(folder)}", *prefix)
    acquisition = {"driver": "stamped", "sample_rate": 6400, "options": {"stamps": str(stamps)}}
    try:
        with Plant() as plant:
            listening = subprocess.Popen(
                [sys.executable, __file__, "--listen", str(plant.data.port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert listening.stdout is not None
            listening.stdout.readline()
            plant.add("m-1", algorithms=[PHASORS], acquisition=acquisition, prefix=prefix)
            wait_until(lambda: len(read_stamps(stamps)) > WARM_UP if stamps.exists() else False, "samples", timeout=30)
            time.sleep(seconds)
            heard, _ = listening.communicate(timeout=30)
        read = read_stamps(stamps)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ends = [end for end, _ in read]
    frames = json.loads(heard)
    ages = sorted(
        (at - read[bisect.bisect_right(ends, last)][1]) / 1e6
        for _, _, last, at, _ in frames[WARM_UP:]
        if last < ends[-1]
    )
    numbers = [number for number, *_ in frames]
    missed = sum(previous not in (0, before) for (_, previous, *_), before in zip(frames[1:], numbers, strict=False))
    return {
        "p50": ages[len(ages) // 2],
        "p99": ages[int(0.99 * (len(ages) - 1))],
        "max": ages[-1],
        "frames": len(ages),
        "lost": missed,
        "size": max(size for *_, size in frames),
    }


def listen(port: int) -> None:
    """Be the subscriber, until standard input closes."""
    with Listener(port, "v1/default/meters/+/frames") as listener:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
        time.sleep(0.3)
        found = []
        for item in listener.heard:
            header, frame = decode(item.payload)
            assert isinstance(frame, MeasurementFrame)
            last_ns = frame.time_ns + round(0.5e9 * frame.window)
            found.append((header.number, header.previous, last_ns, item.at_ns, len(item.payload)))
    sys.stdout.write(json.dumps(found))


def main() -> None:
    """Measure and tell."""
    parser = arguments("latency from the last sample of a window to a subscriber")
    parser.add_argument("--listen", type=int, help="be the subscriber on this port")
    options = parser.parse_args()
    if options.listen:
        listen(options.listen)
        return
    seconds = 10.0 if options.quick else 60.0
    report = Report("Frame latency of a whole agent, QoS 1, local brokers, 50 frames/s", {"seconds": seconds})
    strace = shutil.which("strace")
    runs: list[tuple[str, tuple[str, ...]]] = [("plain", ())]
    if strace:
        # -D: the agent stays this process's child, and ends when it is told to
        traced = (strace, "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e")
        runs += [
            ("fsync + 20 ms", (*traced, "inject=fsync,fdatasync:delay_exit=20000")),
            ("strace alone", (*traced, "trace=fsync,fdatasync")),
        ]
    for name, prefix in runs:
        figures = run(seconds, prefix)
        judged = name != "strace alone"
        report.figure(f"{name}: p50", figures["p50"], "ms", "<= 5" if judged else "")
        report.figure(f"{name}: p99", figures["p99"], "ms", "<= 20" if judged else "")
        report.figure(f"{name}: longest", figures["max"], "ms")
        report.figure(f"{name}: frames", figures["frames"], "1")
        report.figure(f"{name}: lost", figures["lost"], "1", "<= 0")
        report.figure(f"{name}: largest frame", figures["size"], "bytes", "<= 1400")
    if not strace:
        report.conditions["fsync + 20 ms"] = "not measured: strace is needed (apt install strace)"
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
