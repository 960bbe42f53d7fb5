"""
HTTP for one page and few visitors: what a browser says is read within limits, answered, and forgotten.

Where it stands: `site` answers; this only carries, with h11 for the protocol. Everything has a bound: connections at
once, of one address and of all, the time one may take to ask and to listen, how long a head and a body are, how many
requests come over one connection. Beyond them a connection is closed; the meter's measuring is never touched. Where
there is no room for a new one, the one goes that has been silent longest: who only holds the line keeps nobody out.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import h11

log = logging.getLogger(__name__)

MAXIMUM_HEAD = 16 * 1024
MAXIMUM_BODY = 8 * 1024
"""Of a request [bytes]."""

ASKING = 10.0
LISTENING = 10.0
"""How long a whole request, and a whole answer, may take [s]; an open connection may be silent as long."""

_NO_CONTENT = 204

MOST_CONNECTIONS = 24
MOST_OF_ONE = 8
MOST_REQUESTS = 500
"""At once, at once from one address (browsers open six), and over one connection."""


class Asked(NamedTuple):
    """
    A request.

    Attributes
    ----------
    method, path : str
        The path without its query.
    headers : mapping
        By name in small letters; of one that comes twice the first.
    body : bytes
    address : str
        This machine's own, which was connected to.
    port : int
        Likewise.
    visitor : str
        The other end's address.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    address: str
    port: int
    visitor: str = ""


class Answered(NamedTuple):
    """An answer."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class NotServed(Exception):  # noqa: N818 - the name says what happened
    """A request goes beyond what is served; carries the answer."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.answer = Answered(status, said.encode(), (("Content-Type", "text/plain; charset=utf-8"),))


class _Visitor:
    """A connection: its socket until it is served, whose it is, since when it is silent [s], whether it ever asked."""

    def __init__(self, sock: socket.socket, address: str, now: float) -> None:
        self.sock: socket.socket | None = sock
        self.address = address
        self.silent_since: float | None = now
        self.has_asked = False
        self.task: asyncio.Task[None] | None = None


class WebServer:
    """
    Serves connections that others accepted.

    Parameters
    ----------
    answer : callable
        Takes what was asked, returns the answer; must not raise for what a browser did.
    """

    def __init__(self, answer: Callable[[Asked], Awaitable[Answered]]) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._visitors: list[_Visitor] = []

    def serve(self, sock: socket.socket) -> None:
        """Serve a connection, which this owns from now on; one too many takes the place of the longest silent one."""
        try:
            address = str(sock.getpeername()[0])
        except OSError:  # gone already
            sock.close()
            return
        own = [one for one in self._visitors if one.address == address]
        if not (self._room(own, MOST_OF_ONE) and self._room(self._visitors, MOST_CONNECTIONS)):
            sock.close()
            return
        loop = asyncio.get_running_loop()
        visitor = _Visitor(sock, address, loop.time())
        visitor.task = loop.create_task(self._serve(visitor), name="visitor")
        self._visitors.append(visitor)
        self._tasks.add(visitor.task)
        visitor.task.add_done_callback(partial(self._gone, visitor))

    def _room(self, among: list["_Visitor"], most: int) -> bool:
        """Make room for one more; tell whether there is."""
        if len(among) < most:
            return True
        silent = [one for one in among if one.silent_since is not None]
        if not silent:
            return False
        one = min(silent, key=lambda visitor: (visitor.has_asked, visitor.silent_since))
        self._visitors.remove(one)
        if one.task is not None:
            one.task.cancel()
        return True

    def _gone(self, visitor: "_Visitor", task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if visitor in self._visitors:
            self._visitors.remove(visitor)
        if visitor.sock is not None:  # it gave way before its turn
            visitor.sock.close()

    async def close(self) -> None:
        """End every connection."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, visitor: "_Visitor") -> None:
        sock, visitor.sock = visitor.sock, None
        if sock is None:
            return
        sock.setblocking(False)
        own = sock.getsockname()
        reader, writer = await asyncio.open_connection(sock=sock, limit=MAXIMUM_HEAD)
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAXIMUM_HEAD)
        try:
            for _ in range(MOST_REQUESTS):
                visitor.silent_since = asyncio.get_running_loop().time()
                ends = (str(own[0]), int(own[1]), visitor.address)
                async with asyncio.timeout(ASKING):
                    asked = await self._read(reader, writer, connection, ends)
                visitor.silent_since, visitor.has_asked = None, True
                if asked is None:
                    return
                answered = asked.answer if isinstance(asked, NotServed) else await self._answer(asked)
                head_only = isinstance(asked, Asked) and asked.method == "HEAD"
                async with asyncio.timeout(LISTENING):
                    await _write(writer, connection, answered, head_only=head_only)
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return
                connection.start_next_cycle()
        except (OSError, TimeoutError, h11.RemoteProtocolError):
            return  # whoever it was has gone, or is none that speaks HTTP
        finally:
            writer.transport.abort() if connection.our_state is h11.ERROR else writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()

    async def _read(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: h11.Connection,
        ends: tuple[str, int, str],
    ) -> Asked | NotServed | None:
        head: h11.Request | None = None
        body = b""
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as error:
                if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    return NotServed(error.error_status_hint, "expected a request of HTTP/1.1, found something else")
                raise
            if event is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                connection.receive_data(await reader.read(MAXIMUM_HEAD))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
                if len(body) > MAXIMUM_BODY:
                    return NotServed(413, f"expected at most {MAXIMUM_BODY} bytes, found more")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _asked(head, body, ends)
            else:  # the other end is done, or changes the protocol
                return None


def _asked(head: h11.Request, body: bytes, ends: tuple[str, int, str]) -> Asked | NotServed:
    headers: dict[str, str] = {}
    for name, value in head.headers:
        headers.setdefault(name.decode("ascii"), value.decode("latin-1"))
    try:
        path = head.target.decode("ascii").partition("?")[0]
    except UnicodeDecodeError:
        return NotServed(400, "expected an address of ASCII characters, found another")
    return Asked(head.method.decode("ascii"), path, headers, body, *ends)


async def _write(
    writer: asyncio.StreamWriter, connection: h11.Connection, answered: Answered, *, head_only: bool
) -> None:
    length = [] if answered.status == _NO_CONTENT else [("Content-Length", str(len(answered.body)))]
    headers = [*length, *answered.headers]
    if connection.their_state not in (h11.DONE, h11.MUST_CLOSE):
        headers.append(("Connection", "close"))
    sent = connection.send(h11.Response(status_code=answered.status, headers=headers)) or b""
    if not head_only and answered.body:
        sent += connection.send(h11.Data(data=answered.body)) or b""
    sent += connection.send(h11.EndOfMessage()) or b""
    writer.write(sent)
    await writer.drain()
