"""
One process seen from the agent: what is common to samplers and algorithms.

Where it stands: base of the handles in `sampler` and `algorithm_worker`; made and driven by `workers`. Needs no numpy.

Rules:

- Every end has one `Exit`: a kind that decides what follows, and one sentence for people.
- What a process said before it went is read before its end is judged.
- Killing goes through the process descriptor, so that it can never hit a stranger who got the same number.
"""

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.errors import SourceAway, WorkerError
from agent.processes.async_channel import AsyncChannel
from agent.processes.channel import ChannelClosed, ChannelError
from agent.processes.protocol import Stop
from algorithms.api.errors import printable


class ExitKind(StrEnum):
    """Why a process ended."""

    STOPPED = "stopped"
    """As it was asked to."""
    ENDED = "ended"
    """A recording has no more samples."""
    LOST = "lost"
    """The source was there and is gone; it may come back."""
    REFUSED = "refused"
    """The source cannot do what is asked: trying again changes nothing until the settings or the board do."""
    FAILED = "failed"
    """The code in it raised."""
    KILLED = "killed"
    """The agent ended it, for exceeding a limit."""
    DIED = "died"
    """It went without a word: a crash, the system, or somebody's signal."""


@dataclass(frozen=True, slots=True)
class Exit:
    """
    How a process ended.

    Attributes
    ----------
    kind : ExitKind
    reason : str
        One sentence.
    traceback : str
        Where the code raised, for the log; empty otherwise.
    """

    kind: ExitKind
    reason: str
    traceback: str = ""

    def __str__(self) -> str:
        return self.reason


OnExit = Callable[[Exit], None]

CLOSING_TIME = 3.0
"""How long a process may take to end when asked to, before it is killed [s]."""


class Process(ABC):
    """
    A process of the agent's.

    Parameters
    ----------
    name : str
        For messages.
    number : int
        Names it towards the fork server and the sampler.
    on_exit : callable
        Called once, with the `Exit`, if the process had started and ended without `stop`; whoever stops it gets the
        `Exit` as the answer.

    Attributes
    ----------
    pid : int
    exit : Exit or None
        None while it runs.
    """

    def __init__(self, name: str, number: int, on_exit: OnExit) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.number = number
        self.pid = 0
        self.exit: Exit | None = None
        self._on_exit = on_exit
        self._pidfd = -1
        self._channel: AsyncChannel | None = None
        self._verdict: Exit | None = None
        self._stopping = False
        self._started: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[Exit] = loop.create_future()
        self._heard = loop.time()

    @property
    def channel(self) -> AsyncChannel:
        """The conversation with the process."""
        if self._channel is None:
            raise RuntimeError(f"{self.name} has no process yet")
        return self._channel

    def kill(self, reason: str = "the agent ended it") -> None:
        """End the process at once; the first reason counts."""
        self._end_with(Exit(ExitKind.KILLED, reason))
        self._signal()

    async def wait(self) -> Exit:
        """Wait for the end."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> Exit:
        """Ask the process to end, and force it where it does not; takes a few seconds at most, and may come twice."""
        self._stopping = True
        if self.exit is None:
            self.channel.send(Stop())
        try:
            async with asyncio.timeout(CLOSING_TIME):
                return await self.wait()
        except TimeoutError:
            self.kill(f"{self.name} did not stop within {CLOSING_TIME:g} s")
        try:
            async with asyncio.timeout(CLOSING_TIME):
                return await self.wait()
        except TimeoutError:  # it cannot even be killed: stuck in the kernel
            self.process_ended(None)
            return await self.wait()

    # ---- for `workers` and the channel

    def connect(self, channel: AsyncChannel) -> None:
        """Take the agent's end of the conversation."""
        self._channel = channel

    def forked(self, pid: int, pidfd: int) -> None:
        """Note the process."""
        self.pid, self._pidfd = pid, pidfd

    @abstractmethod
    def take(self, message: Any, fds: list[int], /) -> None:
        """Take what the process says."""

    @abstractmethod
    def watch(self, now: float) -> None:
        """Look whether the process keeps its limits, at loop time `now` [s]."""

    def heard(self, now: float) -> None:
        """Note that silence until `now` was not the process's fault."""
        self._heard = now

    def channel_closed(self, error: ChannelError) -> None:
        """Judge the end of the conversation."""
        if not isinstance(error, ChannelClosed):
            self.kill(f"{self.name} broke the protocol: {error}")
        else:
            # It is ending; whoever closes its channel and lives on is no use to anybody.
            reason = f"{self.name} closed its channel and went on"
            asyncio.get_running_loop().call_later(CLOSING_TIME, self.kill, reason)

    def process_ended(self, status: int | None) -> None:
        """
        Judge the end.

        Parameters
        ----------
        status : int or None
            Exit code, negative for a signal; None where nobody could tell.
        """
        if self.exit is not None:
            return
        if self._channel is not None:
            self._channel.drain()
            self._channel.close()
        if self._pidfd >= 0:
            if status is None:
                self._signal()
            os.close(self._pidfd)
            self._pidfd = -1
        self.exit = self._verdict or Exit(ExitKind.DIED, _describe(self.name, status))
        self._release()
        self._ended.set_result(self.exit)
        if not self._started.done():
            away = self.exit.kind is ExitKind.LOST
            kind = SourceAway if away else WorkerError
            self._started.set_exception(kind(self.exit.reason, traceback=self.exit.traceback))
            self._started.exception()  # taken note of, also where nobody waits
        elif not self._stopping and not self._started.cancelled() and self._started.exception() is None:
            self._on_exit(self.exit)

    async def wait_for_start(self, timeout: float) -> None:  # noqa: ASYNC109 - what does not start is ended here
        """Wait until the process says it has started; end it, and raise `WorkerError`, where it does not."""
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._started)
        except TimeoutError:
            self.kill(f"{self.name} did not start within {timeout:g} s")
            self._started.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_TIME):
                    await self.wait()
            raise WorkerError(f"{self.name}: expected to start within {timeout:g} s, and did not") from None
        except asyncio.CancelledError:
            self.kill()
            self._started.cancel()
            raise

    # ---- for the handles

    def _end_with(self, verdict: Exit) -> None:
        """Note why the process is about to end, and see to it that it does; the first reason counts."""
        if self._verdict is None:
            # What raised is somebody else's code, and so are the words: they go to logs and terminals.
            self._verdict = Exit(verdict.kind, printable(verdict.reason), printable(verdict.traceback))
            asyncio.get_running_loop().call_later(CLOSING_TIME, self._signal)

    def _release(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of what belongs to the handle."""

    def _signal(self) -> None:
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


def _describe(name: str, status: int | None) -> str:
    if status is None:
        return f"{name} went down with the process it was forked from"
    if status < 0:
        try:
            cause = signal.Signals(-status).name
        except ValueError:
            cause = f"signal {-status}"
        return f"{name} was ended by {cause}"
    return f"{name} ended with status {status} and without a word"
