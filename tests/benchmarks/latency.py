"""
From the last sample of a window to a subscriber: how old a frame is when it arrives.

A producer stands in for sampling and estimation: on a grid of 20 ms it marks the moment the last sample of a window
was read, makes a frame and puts it into the outbox; two links, two real Mosquitto brokers on loopback, QoS 1; a
subscriber in a process of its own notes when each frame arrives (both on the machine's monotonic clock). One urgent
message a second goes the same way. The second run delays every fsync and fdatasync of the publisher by 20 ms
(``strace -e inject``), as a slow card would; the third leaves strace attached without the delay, to tell its cost.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from algorithms.api.wire import decode
from tests.benchmarks.report import Report, arguments
from tests.support.listener import Listener
from tests.support.mosquitto import Mosquitto

RATE = 50.0
WARM_UP = 50
"""Frames at the start that are not counted: connections, first use."""


def run(seconds: float, tracer: list[str]) -> dict[str, float]:
    """Publish for `seconds`; returns figures in ms, and the largest frame in bytes."""
    folder = Path(tempfile.mkdtemp(prefix="latency-"))
    try:
        with Mosquitto() as grid, Mosquitto() as data:
            listening = subprocess.Popen(
                [sys.executable, __file__, "--listen", str(data.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert listening.stdout is not None
            listening.stdout.readline()
            order = {
                "spool": str(folder / "spool.db"),
                "grid": grid.url,
                "data": data.url,
                "rate": RATE,
                "urgent_every": 50,
                "settle": 5,
            }
            told = folder / "told"  # a pipe that nobody reads would stop the publisher when it is full
            with told.open("wb") as output:
                publishing = subprocess.Popen(
                    [*tracer, sys.executable, "-m", "tests.support.publisher", json.dumps(order)],
                    stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                time.sleep(seconds)
                publishing.communicate(timeout=30)
            said = told.read_bytes()
            heard, _ = listening.communicate(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    put = {}
    urgent = set()
    for line in said.splitlines():
        _boot, number, is_urgent, at = map(int, line.split()[1:])
        put[number] = at
        if is_urgent:
            urgent.add(number)
    arrived = json.loads(heard)
    frames = sorted(
        (at - put[number]) / 1e6 for number, at, _size in arrived if number not in urgent and number > WARM_UP
    )
    events = sorted((at - put[number]) / 1e6 for number, at, _size in arrived if number in urgent)
    return {
        "p50": frames[len(frames) // 2],
        "p99": frames[int(0.99 * (len(frames) - 1))],
        "max": frames[-1],
        "frames": len(frames),
        "lost": len(set(put) - {number for number, _, _ in arrived}),
        "urgent_p50": events[len(events) // 2],
        "size": max(size for number, _, size in arrived if number not in urgent),
    }


def listen(port: int) -> None:
    """Be the subscriber, until standard input closes."""
    with Listener(port) as listener:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
        time.sleep(0.3)
        heard = [(decode(item.payload)[0].number, item.at_ns, len(item.payload)) for item in listener.heard]
    sys.stdout.write(json.dumps(heard))


def main() -> None:
    """Measure and tell."""
    parser = arguments("latency from the last sample of a window to a subscriber")
    parser.add_argument("--listen", type=int, help="be the subscriber on this port")
    options = parser.parse_args()
    if options.listen:
        listen(options.listen)
        return
    seconds = 12.0 if options.quick else 60.0
    report = Report(
        "Frame latency, QoS 1, local brokers, 50 frames/s and one urgent message/s",
        {"seconds": seconds, "producer": "stand-in: a fixed frame; sampling and estimation are not in the path"},
    )
    strace = shutil.which("strace")
    runs: list[tuple[str, list[str]]] = [("plain", [])]
    if strace:
        traced = [strace, "-f", "-qq", "-o", "/dev/null", "-e"]
        runs += [
            ("fsync + 20 ms", [*traced, "inject=fsync,fdatasync:delay_exit=20000"]),
            ("strace alone", [*traced, "trace=fsync,fdatasync"]),
        ]
    for name, tracer in runs:
        figures = run(seconds, tracer)
        judged = name != "strace alone"
        report.figure(f"{name}: p50", figures["p50"], "ms", "<= 5" if judged else "")
        report.figure(f"{name}: p99", figures["p99"], "ms", "<= 20" if judged else "")
        report.figure(f"{name}: longest", figures["max"], "ms")
        report.figure(f"{name}: urgent p50", figures["urgent_p50"], "ms")
        report.figure(f"{name}: frames", figures["frames"], "1")
        report.figure(f"{name}: lost", figures["lost"], "1", "<= 0")
        report.figure(f"{name}: largest frame", figures["size"], "bytes", "<= 1400")
    if not strace:
        report.conditions["fsync + 20 ms"] = "not measured: strace is needed (apt install strace)"
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
