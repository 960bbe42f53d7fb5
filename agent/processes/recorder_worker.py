"""
The recorder's process seen from the agent; made by `workers.start_recorder`, driven by `recorder`.

Rules: it is the agent's own code and trusted, but watched: one that says nothing for `SILENCE` is ended. A disk may
take its time.
"""

import asyncio
import os
from collections.abc import Callable

import msgspec

from agent.processes.process import OnExit, Process
from agent.processes.recorder_messages import (
    FromRecorder,
    NewRing,
    NotRecorded,
    Record,
    Recorded,
    RecorderAlive,
    RecorderStarted,
    Span,
    StartRecorder,
)

SILENCE = 60.0
"""A recorder that is at work and says nothing for so long hangs [s]."""

OnAnswer = Callable[[Recorded | NotRecorded], None]


class RecorderWorker(Process):
    """
    A running recorder.

    Parameters
    ----------
    number : int
    on_answer : callable
        Takes what became of each span.
    on_exit : callable
    """

    def __init__(self, number: int, on_answer: OnAnswer, on_exit: OnExit) -> None:
        super().__init__("the event recorder", number, on_exit)
        self._on_answer = on_answer
        self._at_work: set[str] = set()
        self._told = False

    def begin(self, start: StartRecorder, ring: list[int]) -> None:
        """Say what to stand by for; owns the ring's descriptor, where there is one."""
        self._told = True
        self.channel.send(msgspec.structs.replace(start, ring=bool(ring)), ring)

    def record(self, span: Span) -> None:
        """Record a span; said again with another end, that counts."""
        if not self._at_work:
            self.heard(asyncio.get_running_loop().time())
        self._at_work.add(span.id)
        self.channel.send(Record(span))

    def attach(self, ring: list[int]) -> None:
        """Read from this ring from now on; owns the descriptor."""
        if self._told:
            self.channel.send(NewRing(), ring)
        else:  # `begin` brings the newest
            os.close(ring[0])

    def watch(self, now: float) -> None:
        """End a recorder that hangs."""
        if self._started.done() and self._at_work and now - self._heard > SILENCE:
            self.kill(f"{self.name} said nothing for {SILENCE:g} s: the disk does not answer")

    def take(self, message: FromRecorder, _fds: list[int]) -> None:
        """Take what the recorder says."""
        self.heard(asyncio.get_running_loop().time())
        match message:
            case RecorderStarted():
                if not self._started.done():
                    self._started.set_result(None)
            case Recorded():
                self._at_work.discard(message.span.id)
                self._on_answer(message)
            case NotRecorded():
                self._at_work.discard(message.id)
                self._on_answer(message)
            case RecorderAlive():
                pass
