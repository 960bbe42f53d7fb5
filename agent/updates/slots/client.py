"""
The agent's side of the helper that writes slots: one connection for each request, in a thread.

Rules: every wait has a limit; where no socket of a helper is, there is a device without slots, which is said once.
One that is there and cannot be reached is a failure that may pass, and says nothing of the device or of an image.
Ending the connection ends what was asked: a slot that was half written stays marked as not to be booted.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.errors import SlotError
from agent.updates.slots.arguments import SOCKET
from agent.updates.slots.messages import MAXIMUM_LINE, SlotAnswer, SlotRequest, SlotStatus

QUIET = 180.0
"""Longest wait for the next line [s]."""


class NoSlots(SlotError):  # noqa: N818 - the name says what is found
    """A device without the helper, and so without slots."""


class SlotClient:
    """
    Asks the helper.

    Parameters
    ----------
    path : pathlib.Path
        Of its socket.
    """

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = path
        self._connection: socket.socket | None = None

    def ask(
        self, request: SlotRequest, files: tuple[BinaryIO, ...] = (), tell: Callable[[float], None] = lambda _: None
    ) -> SlotStatus:
        """
        Have something done; blocks.

        Parameters
        ----------
        request : SlotRequest
        files : tuple of files
            Handed over beside it.
        tell : callable
            Takes how far it is [1].

        Raises
        ------
        NoSlots
        SlotError
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(QUIET)
            try:
                connection.connect(str(self._path))
            except FileNotFoundError as error:
                raise NoSlots(f"expected a helper at {self._path}, found: {error.strerror}") from error
            except PermissionError as error:
                found = f"expected to be let in at {self._path}, found: {error.strerror}"
                remedy = "the agent's user has to be of that socket's group"
                raise SlotError(f"{found}; {remedy}", passing=True) from error
            except OSError as error:
                found = f"expected a helper that answers at {self._path}, found: {error.strerror or error}"
                raise SlotError(found, passing=True) from error
            self._connection = connection
            try:
                return self._conversation(connection, request, files, tell)
            except OSError as error:
                found = error.strerror or str(error)
                raise SlotError(f"expected an answer of the slots' helper, found: {found}", passing=True) from error
            finally:
                self._connection = None

    def close(self) -> None:
        """End what is under way."""
        connection = self._connection
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _conversation(
        self,
        connection: socket.socket,
        request: SlotRequest,
        files: tuple[BinaryIO, ...],
        tell: Callable[[float], None],
    ) -> SlotStatus:
        descriptors = [file.fileno() for file in files]
        socket.send_fds(connection, [msgspec.json.encode(request) + b"\n"], descriptors)
        with connection.makefile("rb") as lines:
            while line := lines.readline(MAXIMUM_LINE):
                answer = _read(line)
                if answer.error:
                    raise SlotError(answer.error, passing=answer.passing)
                if answer.status is not None:
                    return answer.status
                tell(answer.progress or 0.0)
        raise SlotError("expected an answer of the slots' helper, found that it ended", passing=True)


def _read(line: bytes) -> SlotAnswer:
    try:
        return msgspec.json.decode(line, type=SlotAnswer)
    except msgspec.DecodeError as error:
        raise SlotError(f"expected an answer of the slots' helper, found: {error}", passing=True) from error
