"""
Messages between the agent and the processes it owns, over an inherited socket pair.

Where it stands: below `workers` (asyncio side) and the children (blocking side); `protocol` says what is carried.
There is no listener and no address: who was not handed an end cannot talk.

Rules:

- A frame is its length, the number of file descriptors that come with it, and one msgpack document.
- A frame longer than the receiver allows ends the conversation: the sender is broken or hostile.
- The agent's side never blocks and takes a bounded amount in one go, so that one talkative process starves no other.
- Queues are bounded. `offer` drops the oldest where the reader is slow, and counts it.
- From an untrusted sender no descriptors are taken: the kernel closes what it tries to send.
"""

import array
import asyncio
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

_header = struct.Struct("<IB")
_CHUNK = 64 * 1024
_MAXIMUM_FDS = 4
_TURN = 256 * 1024  # read in one go on the agent's side [bytes]
_BACKLOG = 64 * 1024 * 1024  # waiting to be sent on the agent's side [bytes]


class ChannelError(Exception):
    """The other side is gone, or does not keep to the protocol."""


class ChannelClosed(ChannelError):  # noqa: N818 - the name says what happened
    """The other side is gone."""


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends of a conversation."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class _Frames:
    """
    Bytes in, messages out; no input or output of its own.

    Parameters
    ----------
    message_type : type
        Union of the messages expected.
    maximum : int
        Longest frame allowed [bytes].
    """

    def __init__(self, message_type: Any, maximum: int) -> None:
        self._decode = msgspec.msgpack.Decoder(message_type).decode
        self._maximum = maximum
        self._data = bytearray()
        self._fds: deque[int] = deque()

    def add(self, data: bytes, fds: Sequence[int] = ()) -> None:
        self._data += data
        self._fds.extend(fds)

    def next(self) -> tuple[Any, list[int]] | None:
        """Return the next message with its descriptors; None where it has not arrived whole."""
        if len(self._data) < _header.size:
            return None
        length, n_fds = _header.unpack_from(self._data)
        if length > self._maximum:
            raise ChannelError(f"expected a message of at most {self._maximum} bytes, found one of {length}")
        end = _header.size + length
        if len(self._data) < end:
            return None
        payload = bytes(memoryview(self._data)[_header.size : end])
        del self._data[:end]
        if n_fds > len(self._fds):
            raise ChannelError(f"expected {n_fds} descriptors with a message, found {len(self._fds)}")
        fds = [self._fds.popleft() for _ in range(n_fds)]
        try:
            return self._decode(payload), fds
        except (msgspec.DecodeError, RecursionError) as error:
            for fd in fds:
                os.close(fd)
            raise ChannelError(f"expected a message of the protocol, found none: {error}") from error

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popleft())


def _frame(message: msgspec.Struct, n_fds: int) -> bytes:
    payload = msgspec.msgpack.encode(message)
    return _header.pack(len(payload), n_fds) + payload


def _rights(fds: Sequence[int]) -> list[tuple[int, int, bytes]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Read once, with descriptors; raise ChannelError where more of them come than any message carries."""
    item = array.array("i")
    data, ancillary, flags, _ = sock.recvmsg(
        _CHUNK, socket.CMSG_SPACE(_MAXIMUM_FDS * item.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            item.frombytes(content[: len(content) - len(content) % item.itemsize])
    if flags & socket.MSG_CTRUNC:
        for fd in item:
            os.close(fd)
        raise ChannelError(f"expected at most {_MAXIMUM_FDS} descriptors, found more")
    return data, list(item)


class Channel:
    """
    The blocking side, for processes that the agent owns.

    Parameters
    ----------
    sock : socket.socket
        Its own end; blocking.
    message_type : type
        Union of the messages expected.
    maximum : int
        Longest frame allowed [bytes].
    """

    def __init__(self, sock: socket.socket, message_type: Any, maximum: int) -> None:
        sock.setblocking(True)
        self._sock = sock
        self._frames = _Frames(message_type, maximum)
        self._rest = b""

    def fileno(self) -> int:
        """Return the descriptor, for polling."""
        return self._sock.fileno()

    def send(self, message: msgspec.Struct, fds: Sequence[int] = ()) -> None:
        """Send, waiting as long as the agent needs to take it; raise ChannelClosed where it is gone."""
        try:
            if self._rest:
                self._sock.sendall(self._rest)
                self._rest = b""
            data = _frame(message, len(fds))
            sent = self._sock.sendmsg([data], _rights(fds))
            if sent < len(data):
                self._sock.sendall(memoryview(data)[sent:])
        except (BrokenPipeError, ConnectionError) as error:
            raise ChannelClosed("the agent is gone") from error

    def offer(self, message: msgspec.Struct) -> bool:
        """Send only if that needs no waiting; say whether it was sent."""
        try:
            if self._rest:
                self._rest = self._rest[self._sock.send(self._rest, socket.MSG_DONTWAIT) :]
            if self._rest:
                return False
            data = _frame(message, 0)
            self._rest = data[self._sock.send(data, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionError) as error:
            raise ChannelClosed("the agent is gone") from error
        return True

    def receive(self, timeout: float | None) -> tuple[Any, list[int]] | None:
        """
        Return the next message with its descriptors, or None after `timeout` [s]; None waits for ever.

        Raises
        ------
        ChannelClosed
            When the agent is gone.
        ChannelError
            When it does not keep to the protocol.
        """
        while True:
            message = self._frames.next()
            if message is not None:
                return message
            if timeout is not None and not _readable(self._sock, timeout):
                return None
            try:
                data, fds = _receive(self._sock)
            except ConnectionError as error:
                raise ChannelClosed("the agent is gone") from error
            if not data:
                raise ChannelClosed("the agent is gone")
            self._frames.add(data, fds)

    def close(self) -> None:
        """Let go of this end."""
        self._frames.close()
        self._sock.close()


def _readable(sock: socket.socket, timeout: float) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(max(timeout, 0.0) * 1000))


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
        self._frames = _Frames(message_type, maximum)
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
        data = _frame(message, len(fds))
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
        self._offered.append(_frame(message, 0))
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
                data, fds = _receive(self._sock) if self._take_fds else (self._sock.recv(_CHUNK), [])
                if not data:
                    self._end(ChannelClosed("it closed its channel"))
                    return False
                taken += len(data)
                self._frames.add(data, fds)
                while self._open and (message := self._frames.next()) is not None:
                    self._on_message(*message)
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
                    sent = self._sock.sendmsg([data], _rights(fds))
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
