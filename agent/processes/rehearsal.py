"""
What an algorithm's process does at its start, done beforehand in the process that it is forked from.

Where it stands: called by `fork_server` before anything is forked. CPython writes into the code that it runs for the
first times: it counts the calls, and then replaces instructions by quicker ones (PEP 659). A child that did this would
do it in memory of its own. So the server goes through a child's whole life a few times: it is told to start, reads a
ring, makes a result, keeps a state, is told to stop. All of it but the confinement, which cannot be undone; of that,
what can (`sandbox.rehearse`).
"""

import os
import socket
from collections.abc import Sequence

import numpy as np

from agent.processes import algorithm_host, sandbox
from agent.processes.algorithm_messages import AlgorithmSpec, StartAlgorithm, ToAlgorithm
from agent.processes.channel import Channel
from agent.processes.protocol import CONTROL_SIZE, Stop
from agent.processes.ring import RingWriter, layout_for
from agent.processes.ring_memory import SealedMemory
from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind, Record, Result
from algorithms.api.samples import Channel as Input
from algorithms.api.samples import Phase, Quantity, SampleBlock

TIMES = 20
"""So often each is done: code is replaced after its eighth run, and what is in it some runs later."""

_RATE, _BLOCK = 6400.0, 64


class Rehearsed(Algorithm):
    """Tells of each block that there was one."""

    info = AlgorithmInfo(
        name="rehearsed",
        version="1.0.0",
        summary="Runs before anything is forked.",
        consumes=(Kind.SAMPLES,),
        produces=(Kind.RESULT,),
        contents=("rehearsed/1",),
        history=1.0,
        checkpoint_interval=60.0,
    )

    def start(self, context: Context, restored: bytes | None) -> None:
        """Begin to count."""
        self.terminal, self.count = context.terminal, len(restored or b"")

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        """Count a block."""
        self.count += 1
        if not isinstance(record, SampleBlock):
            return []
        return [Result("rehearsed/1", self.terminal, record.time_ns, {"count": self.count}, urgent=True)]

    def checkpoint(self) -> bytes:
        """Write the count."""
        return self.count.to_bytes(8, "big")


def rehearse() -> None:
    """Go through the life of an algorithm's process, as far as that leaves this one as it was."""
    channels = tuple(
        Input(f"{quantity.value}_{phase.value}", quantity, phase)
        for quantity in (Quantity.VOLTAGE, Quantity.CURRENT)
        for phase in (Phase.A, Phase.B, Phase.C)
    )
    values = np.zeros((len(channels), _BLOCK), np.float32)
    writer = RingWriter(layout_for(_RATE, channels, _BLOCK, 1.0))
    try:
        for number in range(TIMES):
            writer.write(SampleBlock(values, channels, _RATE, number * _BLOCK, round(number * _BLOCK / _RATE * 1e9)))
            _live(writer, number)
            sandbox.rehearse()
    finally:
        writer.close()


def _live(writer: RingWriter, number: int) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    reading, writing = os.pipe()
    with ours, theirs:
        agent, channel = Channel(ours, ToAlgorithm, CONTROL_SIZE), Channel(theirs, ToAlgorithm, CONTROL_SIZE)
        memory = writer.memory
        if not isinstance(memory, SealedMemory):
            raise TypeError(f"expected sealed memory, found {type(memory).__name__}")
        spec = AlgorithmSpec("rehearsed", f"{__name__}:Rehearsed", restored=b"state" if number % 2 else None)
        agent.send(StartAlgorithm(spec, True, 0), [memory.fd, reading])
        os.close(reading)
        received = channel.receive(1.0)
        if received is None:
            raise OSError("expected what was sent over a socket pair, found nothing")
        os.write(writing, b"1")
        algorithm_host.rehearse(channel, *received, lambda: agent.send(Stop()))
    os.close(writing)
