"""
The outbox: what it costs the card and the caller, and what survives kills and power cuts.

1. Wear: a publisher process under ``strace`` counts the syncs of the spool's folder and the bytes written there, with
   the brokers there and away, at 1 and 50 frames/s; per day, with one urgent message a minute. The first seconds
   (opening) are left out.
2. Append: the time `put` takes in this process, with real brokers, streams and urgent messages mixed.
3. Kills: a publisher process is killed (SIGKILL) again and again at random moments, the broker sometimes away. Every
   message it had told must have arrived, or be younger than 0.5 s at the kill; in order; urgent ones once durable.
4. Power cuts: the recorded writes and syncs of a run, cut after every single one, with what was not synced gone, there,
   or there in part. Each remaining file is opened; nothing that was durable may be missing, nor any stream message
   older than 0.5 s that the broker had not acknowledged, and the next boot number must be new.
"""

import asyncio
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent.delivery.broker import Link
from agent.delivery.messages import NOTHING, OutboxLimits
from agent.delivery.outbox import Outbox
from agent.delivery.spool import Spool
from algorithms.api.records import Result
from device_catalog.contract.topics import BROKERS
from tests.benchmarks.report import Report, arguments
from tests.support.listener import Listener
from tests.support.mosquitto import Mosquitto
from tests.support.powercut import LEFTOVERS, Disk, calls, strace
from tests.support.publisher import full_frame, publish

DAY = 86_400.0
SETTLED = 2.0
"""Seconds at the start that are not counted as wear."""
LOSS = 0.5
"""The most of a stream that may be lost [s]."""


def _publisher(order: dict[str, Any], before: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*before, sys.executable, "-m", "tests.support.publisher", json.dumps(order)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip


def wear(folder: Path, seconds: float, rate: float, urgent_every: int, data: str | None) -> tuple[float, float]:
    """Tell syncs and bytes written per second by a publisher."""
    order = {"spool": str(folder / "spool.db"), "data": data, "grid": data, "rate": rate, "urgent_every": urgent_every}
    process = _publisher(order, strace(folder / "trace"))
    time.sleep(SETTLED + seconds)
    process.communicate(timeout=60)
    recorded = list(calls(folder / "trace"))
    told = [call.at for call in recorded if call.name == "write" and call.data.startswith(b"P ")]
    inside = [call for call in recorded if told[0] + SETTLED < call.at < told[-1] and "/spool.db" in call.path]
    duration = told[-1] - told[0] - SETTLED
    syncs = sum(call.name == "sync" for call in inside)
    return syncs / duration, sum(len(call.data) for call in inside if call.name == "write") / duration


def measure_wear(report: Report, seconds: float) -> None:
    """State fsyncs and bytes a day."""
    figures = {}
    with Mosquitto() as broker:
        for name, rate, urgent_every, data in (
            ("there, urgent", 50.0, 25, broker.url),
            ("there, 50", 50.0, 0, broker.url),
            ("there, 1", 1.0, 0, broker.url),
            ("away, 50", 50.0, 0, None),
            ("away, 1", 1.0, 0, None),
        ):
            folder = Path(tempfile.mkdtemp(prefix="wear-"))
            figures[name] = wear(folder, seconds, rate, urgent_every, data)
            shutil.rmtree(folder)
    urgent_a_day = DAY / 60
    per_urgent = [figures["there, urgent"][index] / 2.0 for index in (0, 1)]  # 50 / 25 a second
    for name in ("50", "1"):
        syncs = figures[f"there, {name}"][0] * DAY + per_urgent[0] * urgent_a_day
        size = figures[f"there, {name}"][1] * DAY + per_urgent[1] * urgent_a_day
        reach = "<= 90000" if name == "50" else ""
        report.figure(f"{name} frames/s, brokers there: fsyncs", syncs, "1/day", reach)
        report.figure(f"{name} frames/s, brokers there: written", size / 1e6, "MB/day")
    for name in ("50", "1"):
        syncs, size = figures[f"away, {name}"]
        report.figure(f"{name} frames/s, broker away: fsyncs", syncs * 3600, "1/h")
        report.figure(f"{name} frames/s, broker away: written", size * 3600 / 1e6, "MB/h")
    spared = figures["there, 50"][0] * DAY + per_urgent[0] * urgent_a_day
    hours = (90_000 - spared) / (figures["away, 50"][0] * 3600)
    report.figure("50 frames/s: absence a day within 90,000 fsyncs", hours, "h")


def measure_append(report: Report, seconds: float) -> None:
    """State how long `put` takes."""

    async def run() -> list[float]:
        folder = Path(tempfile.mkdtemp(prefix="append-"))
        times = []
        with Mosquitto() as broker:
            outbox = Outbox.open(folder / "spool.db", device="m-1")
            links = [Link("grid", outbox, device="m-1"), Link("data", outbox, device="m-1")]
            for link in links:
                link.set_endpoints((broker.url,))
                link.start()
                await link.connected.wait()
            for count in range(int(seconds * 50)):
                frame = full_frame(time.time_ns())
                event = Result("count/1", "m-1", time.time_ns(), {"count": count}, urgent=True)
                started = time.perf_counter()
                if count % 25 == 0:
                    outbox.put("data", "v1/default/meters/m-1/results/count", event, urgent=True)
                else:
                    outbox.put("data", "v1/default/meters/m-1/frames", frame)
                times.append(time.perf_counter() - started)
                if count == seconds * 25:
                    broker.kill()  # the second half fills a backlog
                await asyncio.sleep(0.02)
            for link in links:
                await link.stop()
            outbox.close()
        shutil.rmtree(folder)
        return sorted(times)

    times = asyncio.run(run())
    report.figure("append p50 (encoding and sending included)", times[len(times) // 2] * 1e3, "ms")
    report.figure("append p99", times[int(0.99 * (len(times) - 1))] * 1e3, "ms", "<= 5")


def _start_forked(order: dict[str, Any]) -> tuple[int, int, int]:
    """Fork a publisher, which starts at once because everything is imported; gives pid, its output, its input."""
    reader, writer = os.pipe()
    stdin_reader, stdin_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        with suppress(BaseException):
            os.dup2(stdin_reader, 0)
            os.dup2(writer, 1)
            for descriptor in (reader, writer, stdin_reader, stdin_writer):
                os.close(descriptor)
            sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the process ends with it
            asyncio.run(publish(order))
            status = 0
        os._exit(status)
    os.close(writer)
    os.close(stdin_reader)
    return pid, reader, stdin_writer


def _read_all(descriptor: int) -> list[bytes]:
    data = b""
    while part := os.read(descriptor, 1 << 20):
        data += part
    os.close(descriptor)
    return data.splitlines()


def measure_kills(report: Report, kills: int) -> None:
    """State what kill -9 at random moments takes."""
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    chance = random.Random(20261121)
    order = {"rate": 250, "urgent_every": 5, "settle": 30, "tell": True, "spool": str(folder / "spool.db")}
    put: dict[tuple[int, int], tuple[bool, float]] = {}  # -> urgent, age at the kill [s]
    durable: set[tuple[int, int]] = set()
    with Mosquitto() as broker:
        listening = subprocess.Popen(
            [sys.executable, __file__, "--listen", str(broker.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert listening.stdout is not None
        listening.stdout.readline()
        for attempt in range(kills + 1):
            last = attempt == kills
            away = attempt % 4 == 3 and not last
            # Away: nobody listens on port 1.
            pid, output, end = _start_forked({**order, "data": "mqtt://127.0.0.1:1" if away else broker.url})
            time.sleep(0.03 + 0.25 * chance.random() + (0.6 if attempt % 20 == 3 else 0.0))
            if not last:
                os.kill(pid, 9)
            now = time.monotonic_ns()
            os.close(end)
            for line in _read_all(output):
                words = line.split()
                if words[0] == b"P" and len(words) == 5:
                    boot, number, urgent, at = map(int, words[1:])
                    put[boot, number] = (bool(urgent), (now - at) / 1e9)
                elif words[0] == b"D" and len(words) == 3:
                    durable.add((int(words[1]), int(words[2])))
            os.waitpid(pid, 0)
        heard_text, _ = listening.communicate(timeout=60)
    shutil.rmtree(folder)
    heard = [tuple(key) for key in json.loads(heard_text)]
    first = list(dict.fromkeys(heard))
    missing = [key for key in put if key not in set(first)]
    report.figure("kills: how many", kills, "1", ">= 200" if kills >= 200 else "")
    report.figure("kills: messages put", len(put), "1")
    report.figure("kills: repeated, recognisably", len(heard) - len(first), "1")
    report.figure("kills: durable messages lost", sum(key in durable for key in missing), "1", "<= 0")
    report.figure("kills: urgent lost (put, not yet durable)", sum(put[key][0] for key in missing), "1")
    oldest = {True: 0.0, False: 0.0}
    for urgent, age in (put[key] for key in missing):
        oldest[urgent] = max(oldest[urgent], age)
    report.figure("kills: oldest urgent lost", 1e3 * oldest[True], "ms")
    report.figure("kills: streams lost", sum(not put[key][0] for key in missing), "1")
    report.figure("kills: oldest stream lost", 1e3 * oldest[False], "ms", "<= 500")
    report.figure(
        "kills: out of order", sum(before > after for before, after in itertools.pairwise(first)), "1", "<= 0"
    )


def measure_power_cuts(report: Report, seconds: float, step: int) -> None:
    """State what is left after a power cut at every recorded write and sync."""
    folder = Path(tempfile.mkdtemp(prefix="powercut-"))
    spool_folder = folder / "spool"
    spool_folder.mkdir()
    with Mosquitto() as broker:
        broker.stop()
        order = {
            "spool": str(spool_folder / "spool.db"),
            "data": broker.url,
            "rate": 50,
            "urgent_every": 10,
            "tell": True,
        }
        process = _publisher(order, strace(folder / "trace"))
        time.sleep(0.6 * seconds)
        broker.start()  # the backlog drains, and what was written is forgotten again
        time.sleep(0.4 * seconds)
        process.communicate(timeout=60)
    disk = Disk(spool_folder)
    chance = random.Random(7)
    put: dict[tuple[int, int], float] = {}
    durable: set[tuple[int, int]] = set()
    acknowledged: set[tuple[int, int]] = set()
    cuts = lost_durable = lost_old = reused = unreadable = 0
    changes = 0
    for call in calls(folder / "trace"):
        if call.name == "write" and call.path.startswith("pipe:"):
            for line in call.data.splitlines():
                words = line.split()
                key = (int(words[1]), int(words[2]))
                if words[0] == b"P":
                    put[key] = call.at
                elif words[0] == b"D":
                    durable.add(key)
                else:
                    acknowledged.add(key)
            continue
        if not disk.apply(call):
            continue
        changes += 1
        if changes % step:
            continue
        for leftover in LEFTOVERS:
            cuts += 1
            left, boot, readable = _after_cut(disk, leftover, chance, folder / "cut")
            unreadable += bool(put) and not readable
            missing_ones = {key for key in put if key not in left and key not in acknowledged}
            lost_durable += len(missing_ones & durable)
            lost_old += sum(call.at - put[key] > LOSS for key in missing_ones)
            reused += bool(put) and boot <= 1
    shutil.rmtree(folder)
    report.figure("power cuts: recorded changes", changes, "1")
    report.figure("power cuts: how many", cuts, "1")
    report.figure("power cuts: durable messages lost", lost_durable, "1", "<= 0")
    report.figure("power cuts: messages older than 0.5 s lost", lost_old, "1", "<= 0")
    report.figure("power cuts: boot numbers used twice", reused, "1", "<= 0")
    report.figure("power cuts: spools damaged", unreadable, "1", "<= 0")


def _after_cut(
    disk: Disk, leftover: str, chance: random.Random, target: Path
) -> tuple[set[tuple[int, int]], int, bool]:
    """Open what a cut leaves; tell the messages in it, the next boot number, and whether it was readable."""
    target.mkdir()
    disk.cut(target, leftover, chance)
    spool = Spool(target / "spool.db", OutboxLimits())
    opened = spool.open(BROKERS, least_boot=1)
    left: set[tuple[int, int]] = set()
    after = NOTHING
    while True:
        loaded = spool.load("data", after)
        left.update(message.key for message in loaded.messages)
        if loaded.exhausted or not loaded.messages:
            break
        after = loaded.messages[-1].key
    spool.close()
    shutil.rmtree(target)
    return left, opened.boot, not opened.notes and not loaded.damaged


def listen(port: int) -> None:
    """Be the subscriber, until standard input closes."""
    with Listener(port) as listener:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
        time.sleep(0.5)
        sys.stdout.write(json.dumps(listener.keys))


def main() -> None:
    """Measure and tell."""
    parser = arguments("what the outbox costs, and what survives")
    parser.add_argument("--listen", type=int, help="be the subscriber on this port")
    options = parser.parse_args()
    if options.listen:
        listen(options.listen)
        return
    report = Report(
        "Outbox", {"file system": "the temporary folder's", "urgent": "one a minute in the figures per day"}
    )
    if shutil.which("strace"):
        measure_wear(report, 2.0 if options.quick else 20.0)
        measure_power_cuts(report, 5.0 if options.quick else 12.0, 12 if options.quick else 1)
    else:
        report.conditions["wear, power cuts"] = "not measured: strace is needed (apt install strace)"
    measure_append(report, 4.0 if options.quick else 30.0)
    measure_kills(report, 40 if options.quick else 220)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
