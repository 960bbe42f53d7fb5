"""
The page's way to the agent: one question at a time over the agent's socket, each answered within a limit or not at all.

An agent that is not there, or goes, is no fault of the page: `ask` returns None, and the next question looks for it
anew.
"""

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path

from agent.commissioning.messages import MAXIMUM_STATE, Question, Reply
from agent.processes.async_channel import AsyncChannel
from agent.processes.channel import ChannelError

PATIENCE = 5.0
"""For a state [s]."""


class AgentLink:
    """
    The way to one agent.

    Parameters
    ----------
    path : pathlib.Path
        Of its socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel: AsyncChannel | None = None
        self._answer: asyncio.Future[tuple[Reply, list[int]]] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, question: Question, patience: float = PATIENCE) -> tuple[Reply, list[int]] | None:
        """Return the answer and the descriptors that came with it, for the caller to own; None without an agent."""
        async with self._one_at_a_time:
            try:
                channel = self._channel or self._connect()
                self._answer = asyncio.get_running_loop().create_future()
                channel.send(question)
                async with asyncio.timeout(patience):
                    return await self._answer
            except (OSError, TimeoutError, ChannelError):
                self.close()
                return None
            finally:
                self._answer = None

    def close(self) -> None:
        """Let go of the connection; the next question makes another."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _connect(self) -> AsyncChannel:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(1.0)
            sock.connect(str(self._path))
        except OSError:
            sock.close()
            raise
        self._channel = AsyncChannel(sock, Reply, MAXIMUM_STATE, self._take, self._gone, take_fds=True)
        return self._channel

    def _take(self, reply: Reply, fds: list[int]) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((reply, fds))
            return
        for fd in fds:  # too late
            with suppress(OSError):
                os.close(fd)

    def _gone(self, reason: ChannelError) -> None:
        self._channel = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(reason)
