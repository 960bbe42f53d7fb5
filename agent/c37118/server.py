"""
A C37.118.2 stream on the network: concentrators command it by TCP or UDP, or are sent to without asking.

Where it stands: in the agent's event loop; `outputs` starts and stops it, and hands over measurement frames.

Rules:

- Bound to the one address configured. Whoever is not among the clients allowed is closed at once, unheard.
- Nothing here waits for a client: frames go into the system's buffers, and a client whose buffer holds more than
  `BACKLOG` is dropped. As many clients as configured by TCP, as many by UDP, no more: neither takes the other's places.
- Who commands by UDP leaves no sign when it is gone. One that has said nothing for `SILENCE` gives its place to whoever
  asks for it, and after `EXPIRY` is sent nothing more until it commands again.
- What is read is a command of at most `LONGEST_COMMAND` bytes with our id; whatever else a client says by TCP closes
  the connection, by UDP it is passed over. Configuration and header asked for before they are known follow later.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, cast

from agent.c37118.frames import CommandCode, FrameError, read_command, size_of
from agent.c37118.stream import Stream
from algorithms.api.records import MeasurementFrame
from device_catalog.contract.documents import SynchrophasorStream
from device_catalog.contract.outputs import network, udp_target

log = logging.getLogger(__name__)

BACKLOG = 64 * 1024
"""A client that lets so much wait is dropped [bytes]: some ten seconds of frames."""
LONGEST_COMMAND = 512
CONFIGURATION_INTERVAL = 60.0
"""How often those who do not ask are told the layout [s]."""
KEEPALIVE = 60
"""A TCP client that is gone without a word is found out after twice this [s]."""
SILENCE = 60.0
"""A UDP client that commanded within this keeps its place, however many others want it [s]."""
EXPIRY = 3600.0
"""A UDP client silent for longer is taken for gone [s]: concentrators that miss data command again within seconds."""

Send = Callable[[bytes], None]


class Client:
    """Whoever commands: what was asked for, when it last spoke [s], and how to answer."""

    def __init__(self, name: str, stream: Stream, send: Send) -> None:
        self.name = name
        self.wants_data = False
        self.heard_at = 0.0
        self._stream = stream
        self._send = send
        self._owed: list[CommandCode] = []

    @property
    def waits(self) -> bool:
        """Whether anything is still to be sent."""
        return self.wants_data or bool(self._owed)

    def obey(self, frame: bytes, id_code: int) -> None:
        """
        Do what a command frame says; unknown commands and those for another stream change nothing.

        Raises
        ------
        FrameError
            When it is no command frame.
        """
        recipient, code = read_command(frame)
        if recipient != id_code:
            return
        match code:
            case CommandCode.STOP:
                self.wants_data = False
            case CommandCode.START:
                self.wants_data = True
            case CommandCode.SEND_HEADER | CommandCode.SEND_CONFIGURATION_1 | CommandCode.SEND_CONFIGURATION_2:
                self._owed = [*(owed for owed in self._owed if owed != code), CommandCode(code)]
                self.pay()

    def take(self, data: bytes) -> None:
        """Send what is owed, and a data frame where it is wanted."""
        self.pay()
        if self.wants_data:
            self._send(data)

    def pay(self) -> None:
        """Send what was asked for, as far as it is known."""
        left = []
        for code in self._owed:
            if code is CommandCode.SEND_HEADER:
                answer = self._stream.header()
            else:
                answer = self._stream.configuration(first_kind=code is CommandCode.SEND_CONFIGURATION_1)
            if answer is None:
                left.append(code)
            else:
                self._send(answer)
        self._owed = left


class Server:
    """
    One stream and all who listen to it.

    Parameters
    ----------
    settings : SynchrophasorStream
    stream : Stream

    Attributes
    ----------
    dropped : int
        Clients dropped because they were too slow.
    refused : int
        Connections refused.
    congested : bool
        Whether the system takes no more datagrams for now.
    """

    def __init__(self, settings: SynchrophasorStream, stream: Stream) -> None:
        self.settings = settings
        self.stream = stream
        self.dropped = self.refused = 0
        self.congested = False
        self._allowed = [found for text in settings.clients if (found := network(text)) is not None]
        self._targets = [target for text in settings.udp_to if (target := udp_target(text)) is not None]
        self._tcp: dict[_TcpClient, Client] = {}
        self._udp: dict[Any, Client] = {}
        self._listener: asyncio.Server | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self._told_at = -CONFIGURATION_INTERVAL
        self._told_changes = 0

    @property
    def address(self) -> tuple[str, int] | None:
        """Where TCP clients connect."""
        if self._listener is None:
            return None
        return cast("tuple[str, int]", self._listener.sockets[0].getsockname()[:2])

    @property
    def udp_address(self) -> tuple[str, int] | None:
        """Where datagrams come from, and commands go to."""
        if self._datagrams is None:
            return None
        return cast("tuple[str, int]", self._datagrams.get_extra_info("sockname")[:2])

    @property
    def clients(self) -> int:
        """How many are connected or have commanded by UDP."""
        return len(self._tcp) + len(self._udp)

    async def start(self) -> None:
        """
        Bind what is configured.

        Raises
        ------
        OSError
            When the address cannot be had; nothing is bound then.
        """
        loop = asyncio.get_running_loop()
        settings = self.settings
        try:
            if settings.port:
                self._listener = await loop.create_server(
                    lambda: _TcpClient(self), settings.address, settings.port, backlog=8
                )
            if settings.udp_port or self._targets:
                self._datagrams, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(settings.address, settings.udp_port)
                )
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of everything."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for client in tuple(self._tcp):
            client.abort()
        self._tcp.clear()
        self._udp.clear()
        if self._datagrams is not None:
            self._datagrams.abort()
            self._datagrams = None
        await asyncio.sleep(0)  # transports close their sockets in the next turn of the loop

    def take(self, frame: MeasurementFrame) -> None:
        """Send a measurement to all who want it."""
        data = self.stream.take(frame)
        if data is None:
            return
        if self._udp:
            self._forget_silent()
        for client in (*self._tcp.values(), *self._udp.values()):
            client.take(data)
        if self._targets:
            self._tell(data)

    def _tell(self, data: bytes) -> None:
        """Send to those who do not ask: the layout when it is new and once a minute, and the data."""
        now = asyncio.get_running_loop().time()
        changes = self.stream.layout.changes if self.stream.layout is not None else 0
        if now >= self._told_at + CONFIGURATION_INTERVAL or changes != self._told_changes:
            self._told_at, self._told_changes = now, changes
            configuration = self.stream.configuration()
            if configuration is not None:
                for target in self._targets:
                    self._send_to(target, configuration)
        for target in self._targets:
            self._send_to(target, data)

    def _send_to(self, target: Any, data: bytes) -> None:
        """Send a datagram, or leave it where the system takes no more."""
        if self._datagrams is not None and not self.congested:
            self._datagrams.sendto(data, target)

    # ---- what the connections say

    def allows(self, host: str) -> bool:
        """Tell whether somebody at `host` may command."""
        found = network(host.partition("%")[0])
        return not self._allowed or any(
            found is not None and found.version == each.version and found.network_address in each
            for each in self._allowed
        )

    def connected(self, connection: "_TcpClient", host: str, send: Send) -> Client | None:
        """Take a TCP client in; None where it is not allowed, or one too many."""
        if not self.allows(host) or len(self._tcp) >= self.settings.maximum_clients:
            self.refused += 1
            log.warning("C37.118: %s is not let in: %s", host, "too many" if self.allows(host) else "not allowed")
            return None
        client = self._tcp[connection] = Client(host, self.stream, send)
        log.info("C37.118: %s is connected", host)
        return client

    def gone(self, connection: "_TcpClient") -> None:
        """Forget a TCP client."""
        client = self._tcp.pop(connection, None)
        if client is not None:
            log.info("C37.118: %s is gone", client.name)

    def commanded(self, frame: bytes, sender: Any) -> None:
        """Obey a command that came by UDP; whoever stops is forgotten."""
        if not self.settings.udp_port or not self._allowed or not self.allows(sender[0]):
            return
        try:
            recipient, _ = read_command(frame)
        except FrameError:
            return
        if recipient != self.settings.id_code:
            return
        client = self._udp.pop(sender, None)
        if client is None:
            if not self._has_place():
                self.refused += 1
                return
            client = Client(f"{sender[0]}:{sender[1]}", self.stream, lambda data: self._send_to(sender, data))
        client.heard_at = asyncio.get_running_loop().time()
        client.obey(frame, recipient)
        if client.waits:
            self._udp[sender] = client  # behind those that spoke before

    def _has_place(self) -> bool:
        """Tell whether one more may command by UDP, in the place of one that is silent if need be."""
        return len(self._udp) < self.settings.maximum_clients or self._forget_silent(SILENCE)

    def _forget_silent(self, silence: float = EXPIRY) -> bool:
        """Forget the UDP client that has been silent for longest, if for so long [s]; tell whether there was one."""
        sender, client = next(iter(self._udp.items()))
        if asyncio.get_running_loop().time() < client.heard_at + silence:
            return False
        del self._udp[sender]
        log.info("C37.118: %s has said nothing for long and is forgotten", client.name)
        return True


class _TcpClient(asyncio.Protocol):
    """One connection: commands come in, frames go out."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client: Client | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        host = str(transport.get_extra_info("peername")[0])
        self._client = self._server.connected(self, host, self._send)
        if self._client is None:
            self._transport.abort()
            return
        _keep_alive(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - gone is gone
        self._server.gone(self)

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        try:
            while self._client is not None and (frame := self._next()):
                self._client.obey(frame, self._server.settings.id_code)
        except FrameError as error:
            log.warning("C37.118: %s is closed: %s", self._client.name if self._client else "a client", error)
            self.abort()

    def _next(self) -> bytes:
        """Return the next frame that has come whole; nothing while there is none."""
        if len(self._waiting) < 4:
            return b""
        size = size_of(self._waiting)
        if size > LONGEST_COMMAND:
            raise FrameError(f"a command of at most {LONGEST_COMMAND} bytes expected, found {size}")
        if len(self._waiting) < size:
            return b""
        frame, self._waiting = self._waiting[:size], self._waiting[size:]
        return frame

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _send(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > BACKLOG:
            self._server.dropped += 1
            log.warning("C37.118: %s is too slow and is dropped", self._client.name if self._client else "a client")
            self._transport.abort()
            return
        self._transport.write(data)


class _Datagrams(asyncio.DatagramProtocol):
    """Commands that come by UDP; errors of sending (nobody listens) are nobody's business."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.commanded(data, addr)

    def pause_writing(self) -> None:
        self._server.congested = True

    def resume_writing(self) -> None:
        self._server.congested = False


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", KEEPALIVE), ("TCP_KEEPINTVL", KEEPALIVE // 4), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
