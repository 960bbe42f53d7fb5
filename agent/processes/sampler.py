"""
The sampler's process seen from the agent.

Where it stands: made by `workers.start_sampler`; hands its ring to algorithms through `algorithm_worker`.
"""

import asyncio
import os
from collections.abc import Callable

from agent.processes.channel import ChannelError
from agent.processes.process import Exit, ExitKind, OnExit, Process
from agent.processes.ring_position import position_of, written_at
from agent.processes.sampler_messages import (
    AddReader,
    RemoveReader,
    Sampled,
    SamplingEnded,
    SamplingPlan,
    SamplingStarted,
    SamplingStatus,
)

SILENCE = 5.0
"""A sampler that says nothing for this long hangs in its source [s]."""


class Sampler(Process):
    """
    A running sampler.

    Attributes
    ----------
    plan : SamplingPlan
        What the source granted.
    status : SamplingStatus
        The newest, about a second old at most.
    sealed : bool
        Whether the kernel keeps readers from writing to the ring.
    """

    plan: SamplingPlan

    def __init__(self, number: int, on_status: Callable[[SamplingStatus], None], on_exit: OnExit) -> None:
        super().__init__("the sampler", number, on_exit)
        self.status = SamplingStatus()
        self.sealed = False
        self._on_status = on_status
        self._ring = -1
        self._last = (0, 0)
        self._last_written = 0

    def position(self) -> tuple[int, int]:
        """Return `end_index` and `end_ns` of the last block written, also after the end; (0, 0) before the first."""
        return position_of(self._ring) if self._ring >= 0 else self._last

    def written_at(self) -> int:
        """Return when the last block was written, also after the end [ns, monotonic]; 0 before the first."""
        return written_at(self._ring) if self._ring >= 0 else self._last_written

    def new_reader(self, number: int) -> list[int]:
        """Make another reader known; return the ring's and the wake-up pipe's descriptors, for the reader to own."""
        if self.exit is not None or self._ring < 0:
            raise ChannelError("the sampler is gone")
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        ring = os.dup(self._ring)
        self.channel.send(AddReader(number), [writing])
        return [ring, reading]

    def ring(self) -> list[int]:
        """Return a descriptor of the ring, for the caller to own; none after the end."""
        return [os.dup(self._ring)] if self._ring >= 0 else []

    def remove_reader(self, number: int) -> None:
        """Say that a reader is gone."""
        if self.exit is None:
            self.channel.send(RemoveReader(number))

    def like(self, other: "Sampler") -> bool:
        """Whether algorithms can go on from `other`'s samples to these: same channels, same rate within 0.1 %."""
        same_rate = abs(self.plan.sample_rate / other.plan.sample_rate - 1.0) < 1e-3
        return same_rate and self.plan.channels == other.plan.channels

    def watch(self, now: float) -> None:
        """End a sampler whose source does not return."""
        if self._started.done() and now - self._heard > SILENCE:
            self.kill(f"the sampler said nothing for {SILENCE:g} s: the source does not return from reading")

    def take(self, message: SamplingStarted | Sampled | SamplingEnded, fds: list[int]) -> None:
        """Take what the sampler says."""
        self.heard(asyncio.get_running_loop().time())
        match message:
            case SamplingStarted():
                self.plan, self.sealed = message.plan, message.sealed
                self._ring = fds[0]
                if not self._started.done():
                    self._started.set_result(None)
            case Sampled():
                self.status = message.status
                self._on_status(message.status)
            case SamplingEnded():
                self.status = message.status
                self._end_with(Exit(ExitKind(message.kind), message.message, message.traceback))

    def _release(self) -> None:
        if self._ring >= 0:
            self._last, self._last_written = self.position(), self.written_at()
            os.close(self._ring)
            self._ring = -1
