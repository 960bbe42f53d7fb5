"""
The agent's side of the commissioning page: answers over a local socket how everything is, and takes reports to sign.

Where it stands: owned by `service`; the page is another process without any credential (`commission`). Anybody on this
machine may knock; who is let in is told by the kernel (SO_PEERCRED): root, the agent's own user, and the page's. Giving
the socket to the page's group instead would need a call that the service's filter forbids. A few connections at once,
bounded messages, no answer without a question; a page that does not read is cut off.
"""

import asyncio
import logging
import os
import pwd
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from agent.allowance import Allowance
from agent.commissioning.messages import MAXIMUM_QUESTION, SOCKET, AgentState, HandIn, Look, Observed, Question, Taken
from agent.processes.async_channel import AsyncChannel

log = logging.getLogger(__name__)

USER = "tresma-page"
"""Whom the page runs as, where there is such a user."""

MOST = 4
"""Connections at once."""

QUESTIONS = 600
"""A minute; the page asks once a second."""


_credentials = struct.Struct("3i")  # process, user, group


class Desk:
    """
    Answers the page.

    Parameters
    ----------
    folder : pathlib.Path
        Where the socket is put.
    state : callable
        Says how everything is.
    ring : callable
        Gives a descriptor of the newest ring, for the caller to own; none where there is none.
    hand_in : callable
        Signs and keeps a report; returns why not, or nothing.
    """

    def __init__(
        self,
        folder: Path,
        state: Callable[[bool], AgentState],
        ring: Callable[[], list[int]],
        hand_in: Callable[[Observed], "asyncio.Future[str] | asyncio.Task[str]"],
    ) -> None:
        self._path = folder / SOCKET
        self._state = state
        self._ring = ring
        self._hand_in = hand_in
        self._questions = Allowance(QUESTIONS)
        self._sock: socket.socket | None = None
        self._channels: set[AsyncChannel] = set()

    def open(self) -> None:
        """Listen; where that is not possible the agent does without a page, and says so."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._path.unlink(missing_ok=True)
            sock.bind(str(self._path))
            self._path.chmod(0o666)
            sock.listen(MOST)
        except OSError as error:
            sock.close()
            log.warning("the commissioning page cannot be served: %s: %s", self._path, error.strerror or error)
            return
        self._sock = sock
        asyncio.get_running_loop().add_reader(sock, self._accept)

    def close(self) -> None:
        """Listen no more, and end every conversation."""
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
            with suppress(OSError):
                self._path.unlink()
        for channel in tuple(self._channels):
            channel.close()
        self._channels.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            if self._sock is None:
                return
            sock, _ = self._sock.accept()
            if len(self._channels) >= MOST or not is_let_in(_user_of(sock)):
                sock.close()
                return
            self._converse(sock)

    def _converse(self, sock: socket.socket) -> None:
        channel = AsyncChannel(
            sock,
            Question,
            MAXIMUM_QUESTION,
            lambda message, fds: self._take(channel, message, fds),
            lambda _reason: self._channels.discard(channel),
            take_fds=False,
            queue=2,
        )
        self._channels.add(channel)

    def _take(self, channel: AsyncChannel, question: Question, _fds: Sequence[int]) -> None:
        if not self._questions.take():
            self._channels.discard(channel)
            channel.close()
            return
        match question:
            case Look():
                fds = self._ring() if question.ring else []
                channel.send(self._state(bool(fds)), fds)
            case HandIn():
                handing = self._hand_in(question.observed)
                handing.add_done_callback(lambda done: channel.send(_taken(done)))


def is_let_in(user: int) -> bool:
    """Tell whether a user may ask."""
    if user in (0, os.geteuid()):
        return True
    try:
        return user == pwd.getpwnam(USER).pw_uid
    except KeyError:  # no page of another user's on this machine
        return False


def _user_of(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _credentials.size)
    return int(_credentials.unpack(credentials)[1])


def _taken(done: "asyncio.Future[str]") -> Taken:
    if done.cancelled():
        return Taken("the meter's agent ends")
    error = done.exception()
    if error is not None:
        log.error("a commissioning report cannot be handed in", exc_info=error)
        return Taken("the meter's agent cannot sign it; the reason is in its log")
    return Taken(done.result())
