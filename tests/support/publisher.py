"""
A process that does nothing but publish: records at a steady rate through a real outbox and two real links.

``python tests/support/publisher.py '{"spool": ..., "grid": URL, "data": URL, "rate": 50}'``; every message is told on
standard output once it was put, as ``P boot number urgent monotonic_ns`` (of just before), so that who kills this
process knows what it had. With ``"tell": true`` it also tells what became durable (``D boot number``) and what was
acknowledged (``A boot number``). With ``"file_size": bytes`` no file can grow beyond that. Standard
input closing ends it politely.
"""

import asyncio
import json
import os
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

from agent.delivery.broker import Link, LinkOptions
from agent.delivery.endpoints import Patience
from agent.delivery.messages import Key, OutboxLimits, Range
from agent.delivery.outbox import Outbox
from agent.delivery.spool import Spool
from agent.delivery.spool_records import Commit
from agent.delivery.spool_thread import Worker
from algorithms.api.readings import ChannelReading, Estimate, Phasor, PowerReading, SequenceReading
from algorithms.api.records import AngleReference, MeasurementFrame, Result
from device_catalog.contract import topics
from device_catalog.contract.presence import Session
from device_catalog.contract.topics import BROKERS


def full_frame(time_ns: int) -> MeasurementFrame:
    """Return a frame with everything a meter measures, no round number in it, and none like those before."""
    noise = random.Random(time_ns)

    def some(value: float) -> float:
        return value * (1.0 + 1e-3 * noise.random())

    def channel(magnitude: float, angle: float) -> ChannelReading:
        return ChannelReading(some(magnitude), some(angle), 0.0123, 5.43e-05, some(magnitude), 0.0123)

    def sequence() -> SequenceReading:
        return SequenceReading(
            Phasor(some(0.12345678), some(-2.7182818), 0.0123, 0.0987),
            Phasor(some(230.98765), some(-1.2345678), 0.0123, 5.43e-05),
            Phasor(some(1.0123456), some(1.4142136), 0.0123, 0.0123),
        )

    angles = {"A": -1.2345678, "B": 2.9533325, "C": 0.85985727}
    return MeasurementFrame(
        terminal="feeder-7-terminal-12",
        time_ns=time_ns,
        time_uncertainty=1.23e-05,
        window=0.059987654,
        reference=AngleReference.UTC,
        frequency=Estimate(some(50.012346), 0.000123),
        rocof=Estimate(some(-0.012345678), 0.0123),
        voltage={phase: channel(230.12346, angle) for phase, angle in angles.items()},
        current={phase: channel(12.345678, angle - 0.31415927) for phase, angle in angles.items()},
        power={
            phase: PowerReading(
                some(2701.2346), 1.23, some(876.54321), 1.23, some(2839.8765), 1.23, some(0.95123457), 0.000123
            )
            for phase in (*angles, "total")
        },
        voltage_sequence=sequence(),
        current_sequence=sequence(),
    )


class TellingSpool(Spool):
    """A spool that says what it made durable, the moment it did."""

    def commit(self, commit: Commit) -> list[tuple[str, Range]]:
        """Commit, and say so."""
        dropped = super().commit(commit)
        lines = [f"D {message.boot} {message.number}\n" for _, part in commit.messages for message in part]
        if lines:
            os.write(1, "".join(lines).encode())
        return dropped


class TellingOutbox(Outbox):
    """An outbox that says what was acknowledged, before it forgets it."""

    def acknowledge(self, broker: str, key: Key) -> None:
        """Say it, and note it."""
        os.write(1, f"A {key[0]} {key[1]}\n".encode())
        super().acknowledge(broker, key)


def open_outbox(order: dict[str, Any], device: str, limits: OutboxLimits) -> Outbox:
    """Open the outbox as the agent does, or one that tells more."""
    path = Path(order["spool"])
    if not order.get("tell"):
        if order.get("file_size"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"], order["file_size"]))
        return Outbox.open(path, device=device, limits=limits, least_boot=1)
    loop = asyncio.get_running_loop()
    spool = TellingSpool(path, limits)
    opened = spool.open(BROKERS, least_boot=1)
    return TellingOutbox(spool, opened, Worker(loop), loop, device=device, tenant="default", limits=limits)


async def publish(order: dict[str, Any]) -> None:
    """Publish until standard input closes."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def on_input() -> None:
        if not os.read(0, 1):
            ended.set()

    loop.add_reader(0, on_input)
    device = order.get("device", "m-1")
    limits = OutboxLimits(**order.get("limits", {}))
    outbox = open_outbox(order, device, limits)
    options = LinkOptions(patience=Patience(shortest=0.05, longest=0.2))
    links = []
    for broker in ("grid", "data"):
        birth = (lambda: Session("online")) if broker == "grid" else None
        link = Link(broker, outbox, device=device, birth=birth, options=options)
        link.set_endpoints((order[broker],) if order.get(broker) else ())
        link.start()
        links.append(link)
    topic = topics.frames("default", device)
    events = topics.results("default", device, "count/1")
    period = 1 / order["rate"]
    due = loop.time()
    count = 0
    problem = ""
    while not ended.is_set():
        problem = outbox.report().problem or problem
        count += 1
        urgent = bool(order.get("urgent_every")) and count % order["urgent_every"] == 0
        at = time.monotonic_ns()
        if urgent:
            record = Result("count/1", device, time.time_ns(), {"count": count}, urgent=True)
            number = outbox.put("data", events, record, urgent=True)
        else:
            number = outbox.put("data", topic, full_frame(time.time_ns()))
        os.write(1, f"P {outbox.boot} {number} {int(urgent)} {at}\n".encode())
        due += period
        try:
            await asyncio.wait_for(ended.wait(), max(0.0, due - loop.time()))
        except TimeoutError:
            continue
    if order.get("settle"):
        deadline = loop.time() + order["settle"]
        while any(outbox.report().pending.values()) and loop.time() < deadline:  # noqa: ASYNC110 - a report is no event
            await asyncio.sleep(0.01)
    for link in links:
        await link.stop()
    report = outbox.report()
    outbox.close()
    told = {
        "pending": report.pending,
        "acknowledged": report.acknowledged,
        "commits": report.commits,
        "problem": problem,
    }
    sys.stderr.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    asyncio.run(publish(json.loads(sys.argv[1])))
