"""
The recorder's process: it copies the samples of a span out of the ring as they come, and writes them to the disk.

Where it stands: forked by `fork_server` when there is something to record and ended by the agent soon after, so that
a meter where nothing happens has no such process; told by `recorder`; reads the ring that `sampling` writes, like an
algorithm, but is not woken for each block: it looks a few times a second, which the ring's history allows.

Rules:

- It never waits for the agent, and nobody waits for it: a slow disk delays only what it writes.
- Samples it could not read in time, or that no sampler delivered, are missing in the recording, and counted.
- When another sampler takes over, what is left of the old ring is read first. When no samples come any more for
  `PATIENCE`, or the agent says stop, what there is gets written.
"""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from agent.processes import ring
from agent.processes.channel import Channel, ChannelClosed, ChannelError
from agent.processes.protocol import CONTROL_SIZE, Stop
from agent.processes.recorder_messages import (
    NewRing,
    NotRecorded,
    Record,
    Recorded,
    RecorderAlive,
    RecorderStarted,
    Span,
    StartRecorder,
    ToRecorder,
)
from agent.processes.ring_memory import SealedMemory
from agent.recording import recorder_comtrade
from agent.recording.recordings import NoRoom, Recordings
from algorithms.api.samples import NANOSECONDS, SampleBlock
from hardware.comtrade import encode_combined

LOOK = 0.25
"""How often the ring is looked at while something is recorded, unless its history asks for more [s]."""

PATIENCE = 5.0
"""Without any new sample for so long, a span ends where it is [s]."""

_ALIVE = 1.0


def main(sock: socket.socket) -> int:
    """Record until the agent says stop, or goes."""
    channel = Channel(sock, ToRecorder, CONTROL_SIZE)
    try:
        received = channel.receive(None)
        if received is None or not isinstance(received[0], StartRecorder):
            return 70
        return _Host(channel, *received).run()
    except ChannelError:
        return 0


class _Host:
    def __init__(self, channel: Channel, start: StartRecorder, fds: list[int]) -> None:
        self._channel = channel
        self._start = start
        self._recordings = Recordings(Path(start.folder))
        self._ring = fds[0] if start.ring else -1
        self._jobs: dict[str, _Job] = {}
        self._alive_at = 0.0

    def run(self) -> int:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 5)  # writing can wait, measuring cannot
        self._channel.send(RecorderStarted())
        going = True
        try:
            while going:
                going = self._obey(self._wait())
                self._work(finish=not going)
        except ChannelClosed:  # the agent is gone, and would not know of anything written now
            return 0
        return 0

    def _wait(self) -> float | None:
        """Say how long to wait for a message [s]; None for ever."""
        return min((job.look for job in self._jobs.values()), default=None)

    def _obey(self, timeout: float | None) -> bool:
        while (received := self._channel.receive(timeout)) is not None:
            timeout = 0.0
            message, fds = received
            match message:
                case Record():
                    self._record(message.span)
                case NewRing():
                    self._attach(fds[0])
                case Stop():
                    return False
        return True

    def _record(self, span: Span) -> None:
        job = self._jobs.get(span.id)
        if job is not None:
            job.span = span
            return
        self._jobs[span.id] = job = _Job(span)
        if self._ring >= 0:
            job.attach(os.dup(self._ring))

    def _attach(self, fd: int) -> None:
        for job in self._jobs.values():
            job.attach(os.dup(fd))
        if self._ring >= 0:
            os.close(self._ring)
        self._ring = fd

    def _work(self, *, finish: bool) -> None:
        for job in list(self._jobs.values()):
            job.collect()
            if finish:
                job.end("end")
            if job.over:
                del self._jobs[job.span.id]
                self._channel.send(self._written(job))
        now = time.monotonic()
        if now >= self._alive_at:
            self._alive_at = now + _ALIVE
            self._channel.send(RecorderAlive())

    def _written(self, job: "_Job") -> Recorded | NotRecorded:
        span = job.span
        try:
            recording = recorder_comtrade.make_recording(job.blocks, span, self._start)
            data = encode_combined(recording)
            info = recorder_comtrade.label_of(recording, data, job.blocks, span, job.lacks)
            dropped = self._recordings.keep(info, data, self._start.budget)
        except NoRoom as error:
            return NotRecorded(span.id, str(error), error.dropped)
        except OSError as error:
            return NotRecorded(span.id, f"expected a disk that can be written, found: {error.strerror or error}")
        except (ValueError, IndexError) as error:
            return NotRecorded(span.id, f"expected samples to record, found none: {error}")
        finally:
            job.close()
        return Recorded(span, info, dropped)


class _Job:
    """
    One span while it is recorded.

    Attributes
    ----------
    blocks : list of SampleBlock
    lacks : list of str
        What is known to be missing.
    over : bool
    look : float
        How often it wants to read the ring [s].
    """

    def __init__(self, span: Span) -> None:
        self.span = span
        self.blocks: list[SampleBlock] = []
        self.lacks: list[str] = []
        self.over = False
        self.look = LOOK
        self._reader: ring.RingReader | None = None
        self._most = 0
        self._heard = time.monotonic()

    def attach(self, fd: int) -> None:
        """Read from this ring from now on; owns `fd`."""
        self.collect()
        successor = bool(self.blocks)
        self.close()
        reader = ring.RingReader(SealedMemory.open(fd), history=float("inf"))
        layout = reader.layout
        if successor and (
            layout.channels != self.blocks[0].channels
            or abs(layout.sample_rate / self.blocks[0].sample_rate - 1.0) > 1e-3
        ):
            reader.close()
            self.end("end")
            return
        capacity = layout.slots * layout.block_samples / layout.sample_rate
        self.look = min(LOOK, capacity / 4)
        self._most = recorder_comtrade.most_samples(len(layout.channels))
        self._reader = reader

    def collect(self) -> None:
        """Take what has come."""
        while self._reader is not None and not self.over and (block := self._reader.read()) is not None:
            self._heard = time.monotonic()
            if block.end_ns <= self.span.start_ns:
                continue
            if not self.blocks and block.time_ns > self.span.start_ns + NANOSECONDS / block.sample_rate:
                self.lacks.append("beginning")
            if block.time_ns < self.span.end_ns:
                self.blocks.append(block)
            if self.blocks and block.end_index - self.blocks[0].first_index > self._most:
                self.end("end")
            if block.end_ns >= self.span.end_ns:
                self.over = True
        if time.monotonic() - self._heard > PATIENCE:
            self.end("end")

    def end(self, lack: str) -> None:
        """End it here, whatever is missing."""
        if not self.over:
            self.lacks.append(lack)
            self.over = True

    def close(self) -> None:
        """Let go of the ring."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
