"""
Messages between the agent and the processes it owns: the agent's side of `channel`, in its event loop.

Rules:

- It never blocks, and takes a bounded amount in one go, so that one talkative process starves no other; what it does
  not take yet holds the sender up, not the agent.
- Queues are bounded. `offer` drops the oldest where the reader is slow, and counts it.
- From an untrusted sender no descriptors are taken: the kernel closes what it tries to send.
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from agent.processes.channel import CHUNK, ChannelClosed, ChannelError, Frames, frame, receive, rights

_TURN = 256 * 1024  # read in one go [bytes]
_BACKLOG = 64 * 1024 * 1024  # waiting to be sent [bytes]


class AsyncChannel:
    """
    The agent's side.

    Parameters
    ----------
    sock : socket.socket
        The agent's end.
    message_type : type
        Union of the messages expected.
    maximum : int
        Longest frame allowed [bytes].
    on_message : callable
        Takes each message and its descriptors, which it then owns.
    on_closed : callable
        Called once with the reason when the conversation is over, unless this side ended it.
    take_fds : bool
        False for an untrusted sender.
    queue : int
        Messages that `offer` keeps at most while the reader is busy.
    """

    def __init__(
        self,
        sock: socket.socket,
        message_type: Any,
        maximum: int,
        on_message: Callable[[Any, list[int]], None],
        on_closed: Callable[[ChannelError], None],
        *,
        take_fds: bool,
        queue: int = 256,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._frames = Frames(message_type, maximum)
        self._on_message = on_message
        self._on_closed = on_closed
        self._take_fds = take_fds
        self._control: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._control_size = 0
        self._offered: deque[bytes] = deque(maxlen=queue)
        self._rest: memoryview | None = None
        self._open = True
        self._writing = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read_turn)
        self.dropped = 0

    def send(self, message: msgspec.Struct, fds: Sequence[int] = ()) -> None:
        """Queue a message that must arrive, ahead of those offered; owns `fds` from now on."""
        data = frame(message, len(fds))
        if not self._open or self._control_size + len(data) > _BACKLOG:
            for fd in fds:
                os.close(fd)
            if self._open:
                self._end(ChannelError("it takes no messages any more"))
            return
        self._control.append((data, tuple(fds)))
        self._control_size += len(data)
        self._write()

    def offer(self, message: msgspec.Struct) -> None:
        """Queue a message that may be dropped, the oldest first, where the reader is too slow."""
        if not self._open:
            self.dropped += 1
            return
        if len(self._offered) == self._offered.maxlen:
            self.dropped += 1
        self._offered.append(frame(message, 0))
        self._write()

    def drain(self) -> None:
        """Read everything that has arrived, however much: for a process that is gone and can add no more."""
        while self._open and self._read_turn():
            pass

    def close(self) -> None:
        """End the conversation from this side."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._frames.close()
        self._forget()

    def _forget(self) -> None:
        for _, fds in self._control:
            for fd in fds:
                os.close(fd)
        self._control.clear()
        self._control_size = 0
        self._offered.clear()
        self._rest = None

    def _end(self, reason: ChannelError) -> None:
        if self._open:
            self.close()
            self._on_closed(reason)

    def _read_turn(self) -> bool:
        """Take what has arrived, up to a turn's worth; say whether there may be more."""
        taken = 0
        try:
            while self._open and taken < _TURN:
                data, fds = receive(self._sock) if self._take_fds else (self._sock.recv(CHUNK), [])
                if not data:
                    self._end(ChannelClosed("it closed its channel"))
                    return False
                taken += len(data)
                self._frames.add(data, fds)
                while self._open and (message := self._frames.next()) is not None:
                    self._on_message(*message)
                if len(data) < CHUNK:  # most likely all there is: to hear it from the kernel costs an exception
                    break
        except BlockingIOError:
            return False
        except ConnectionError:
            self._end(ChannelClosed("it closed its channel"))
            return False
        except ChannelError as error:
            self._end(error)
            return False
        return self._open

    def _write(self) -> None:
        try:
            while self._open:
                if self._rest is not None:
                    sent = self._sock.send(self._rest)
                    self._rest = self._rest[sent:] if sent < len(self._rest) else None
                elif self._control:
                    data, fds = self._control[0]
                    sent = self._sock.sendmsg([data], rights(fds))
                    self._control.popleft()
                    self._control_size -= len(data)
                    for fd in fds:
                        os.close(fd)
                    self._rest = memoryview(data)[sent:] if sent < len(data) else None
                elif self._offered:
                    data = self._offered[0]
                    sent = self._sock.send(data)
                    self._offered.popleft()
                    self._rest = memoryview(data)[sent:] if sent < len(data) else None
                else:
                    break
        except BlockingIOError:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._sock, self._write)
            return
        except (BrokenPipeError, ConnectionError):
            # What it said before it went is still to be read; the reading side notices the end.
            self._forget()
        if self._writing and self._open:
            self._writing = False
            with suppress(ValueError):
                self._loop.remove_writer(self._sock)
