"""
A phasor data concentrator from elsewhere (`pyc37`, BSD), as an independent reader of C37.118.2.

Three slips of its own are worked around: it looks its words for time quality and unlocked time up by bits that it has
not shifted; it takes a frequency for a deviation also where it is a float, so streams for it have integers; and it
loses frames that come together, so they are told apart here by the size that each begins with.
"""

import socket
from types import TracebackType
from typing import Any, Self


class Concentrator:
    """
    A connection to a stream, as a context manager.

    Parameters
    ----------
    port : int
        On loopback.
    id_code : int
    """

    def __init__(self, port: int, id_code: int) -> None:
        from pyc37.frame import DataFrame

        DataFrame.TIME_QUALITY_WORDS.update({code << 6: word for word, code in DataFrame.TIME_QUALITY.items()})
        DataFrame.UNLOCKED_TIME_WORDS.update({code << 4: word for word, code in DataFrame.UNLOCKED_TIME.items()})
        self._id_code = id_code
        self._configuration: Any = None
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._stream = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._socket.close()

    def header(self) -> str:
        """Ask for the header and return its text."""
        self._ask("header")
        return str(self._next().get_header())

    def configuration(self) -> Any:
        """Ask for configuration 2 and return it; data frames are read by it from then on."""
        self._ask("cfg2")
        self._configuration = self._next()
        return self._configuration

    def measurements(self, count: int) -> list[Any]:
        """Start the stream, read so many data frames, and stop it."""
        self._ask("start")
        frames = [self._next() for _ in range(count)]
        self._ask("stop")
        return frames

    def _ask(self, command: str) -> None:
        from pyc37.frame import CommandFrame

        self._socket.sendall(CommandFrame(self._id_code, command).convert2bytes())

    def _next(self) -> Any:
        from pyc37.frame import CommonFrame

        head = self._exactly(4)
        return CommonFrame.convert2frame(head + self._exactly(int.from_bytes(head[2:]) - 4), self._configuration)

    def _exactly(self, count: int) -> bytes:
        data = self._stream.read(count)
        assert len(data) == count, f"expected {count} bytes, found the end after {len(data)}"
        return data
