"""
Messages between the agent and the processes it owns, over an inherited socket pair: the processes' side.

Where it stands: below the children; `async_channel` is the agent's side, and `protocol` says what is carried. They are
apart so that the children do not carry asyncio. There is no listener and no address: who was not handed an end cannot
talk.

Rules:

- A frame is its length, the number of file descriptors that come with it, and one msgpack document.
- A frame longer than the receiver allows ends the conversation: the sender is broken or hostile.
- `send` waits for the agent; `offer` never does.
"""

import array
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

_header = struct.Struct("<IB")
CHUNK = 64 * 1024
_MAXIMUM_FDS = 4


class ChannelError(Exception):
    """The other side is gone, or does not keep to the protocol."""


class ChannelClosed(ChannelError):  # noqa: N818 - the name says what happened
    """The other side is gone."""


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends of a conversation."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


@cache
def decoder_of(message_type: Any) -> msgspec.msgpack.Decoder[Any]:
    """Build the decoder of a type once: those that the fork server builds are there in every child."""
    return msgspec.msgpack.Decoder(message_type)


class Frames:
    """
    Bytes in, messages out; no input or output of its own. For both sides.

    Parameters
    ----------
    message_type : type
        Union of the messages expected.
    maximum : int
        Longest frame allowed [bytes].
    """

    def __init__(self, message_type: Any, maximum: int) -> None:
        self._decode = decoder_of(message_type).decode
        self._maximum = maximum
        self._data = bytearray()
        self._fds: deque[int] = deque()

    def add(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Take what has arrived."""
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
        """Close the descriptors that nobody took."""
        while self._fds:
            os.close(self._fds.popleft())


def frame(message: msgspec.Struct, n_fds: int) -> bytes:
    """Write a message as it is sent."""
    payload = msgspec.msgpack.encode(message)
    return _header.pack(len(payload), n_fds) + payload


def rights(fds: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """Write the ancillary data that hands over descriptors."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Read once, with descriptors; raise ChannelError where more of them come than any message carries."""
    item = array.array("i")
    data, ancillary, flags, _ = sock.recvmsg(
        CHUNK, socket.CMSG_SPACE(_MAXIMUM_FDS * item.itemsize), socket.MSG_CMSG_CLOEXEC
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
        self._frames = Frames(message_type, maximum)
        self._rest = b""
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def fileno(self) -> int:
        """Return the descriptor, for polling."""
        return self._sock.fileno()

    def send(self, message: msgspec.Struct, fds: Sequence[int] = ()) -> None:
        """Send, waiting as long as the agent needs to take it; raise ChannelClosed where it is gone."""
        try:
            if self._rest:
                self._sock.sendall(self._rest)
                self._rest = b""
            data = frame(message, len(fds))
            sent = self._sock.sendmsg([data], rights(fds))
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
            data = frame(message, 0)
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
            if timeout is not None and not self._poll.poll(max(timeout, 0.0) * 1000):
                return None
            try:
                data, fds = receive(self._sock)
            except ConnectionError as error:
                raise ChannelClosed("the agent is gone") from error
            if not data:
                raise ChannelClosed("the agent is gone")
            self._frames.add(data, fds)

    def close(self) -> None:
        """Let go of this end."""
        self._frames.close()
        self._sock.close()
