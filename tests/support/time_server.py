"""A time server (NTP, RFC 5905) on this host's loopback: it answers with the host's own time, as the first stratum."""

import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

PORT = 123
"""A meter's network settings name a time server without a port."""
_LENGTH = 48
_BEGIN = 2_208_988_800
"""From the era of NTP to that of Unix [s]."""
_ANSWER = 0x24
"""No leap second ahead, version 4, a server."""


def stamp(seconds: float) -> bytes:
    """Write a time [s since 1970] as NTP does: 32 bits of seconds since 1900, 32 bits of a second's fraction."""
    whole = int(seconds)
    return struct.pack("!II", (whole + _BEGIN) & 0xFFFFFFFF, int((seconds - whole) * (1 << 32)))


class TimeServer:
    """
    Answers in a thread of its own, as a context manager.

    Parameters
    ----------
    port : int
        0 takes a free one; those below 1024 are root's.

    Attributes
    ----------
    port : int
    answered : int
        Requests so far.
    """

    def __init__(self, port: int = PORT) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self.answered = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="time server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=10)
        self._socket.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                asked, sender = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            came = stamp(time.time())
            if len(asked) >= _LENGTH:
                # Stratum 1, the interval that was asked for, a precision of 2^-20 s, no delay and 1 ms of dispersion.
                head = struct.pack("!BBBbII4s", _ANSWER, 1, asked[2], -20, 0, 66, b"TEST")
                self._socket.sendto(head + came + asked[40:48] + came + stamp(time.time()), sender)
                self.answered += 1
