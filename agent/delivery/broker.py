"""
A link keeps one broker supplied: it connects, announces the device, sends what the outbox has, and takes what comes.

``Outbox lane -> Link -> Connection -> broker``, and back: ``broker -> Connection -> Link -> on_message``. There is
one link for each broker, and neither knows of the other, so a silent one never holds up the other.

Every CONNECT has a session number. On the grid broker the device's birth is the first message of a session and the
will ends it; both carry that number, so a will that arrives late ends only its own session. The endpoints are tried
in order; a better one is returned to after a while; the list can be replaced at any time.
"""

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from agent.delivery.endpoints import Endpoint, Endpoints, Patience
from agent.delivery.messages import Message
from agent.delivery.mqtt import Answer, Connection, ConnectionRefused, Will
from agent.delivery.outbox import Outbox
from agent.delivery.suspicion import STRIKES, Suspicion
from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
from device_catalog.contract.presence import Session
from device_catalog.contract.reports import LinkReport
from device_catalog.contract.topics import BrokerName

FAREWELL = 2.0
"""How long a link waits for answers before it leaves a broker [s]."""
PACKET_OVERHEAD = 16
"""Most that MQTT adds to topic and payload [bytes]."""


class LinkOptions(msgspec.Struct, frozen=True):
    """
    How a link behaves.

    Attributes
    ----------
    keepalive : int
        A connection that is silent this long is asked; within twice that it is known to be dead [s].
    window : int
        Most messages in flight; fewer where the broker says so.
    patience : Patience
    """

    keepalive: int = 15
    window: int = 100
    patience: Patience = Patience()


class Credentials(msgspec.Struct, frozen=True):
    """What the broker knows a device by."""

    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r})"


class Link:
    """
    The connection to one broker, kept up.

    Parameters
    ----------
    name : str
        ``grid`` or ``data``.
    outbox : Outbox
    device, tenant : str
    birth : callable, optional
        Gives what the device says of itself; only on the grid broker.
    credentials : callable, optional
        Asked before each connection, so that they can change.
    tls : callable, optional
        Gives the context for an endpoint ``mqtts://``.
    on_message : callable, optional
        Called with topic, payload and whether retained.
    options : LinkOptions

    Attributes
    ----------
    connected : asyncio.Event
        Set while the broker takes messages.
    """

    def __init__(
        self, name: BrokerName, outbox: Outbox, *, device: str, tenant: str = "default",
        birth: Callable[[], Session] | None = None, credentials: Callable[[], Credentials] | None = None,
        tls: Callable[[Endpoint], ssl.SSLContext] | None = None,
        on_message: Callable[[str, bytes, bool], None] | None = None, options: LinkOptions | None = None,
    ) -> None:  # fmt: skip
        self.connected = asyncio.Event()
        self.on_message = on_message
        self._name, self._outbox, self._device, self._tenant = name, outbox, device, tenant
        self._birth, self._credentials, self._tls = birth, credentials or Credentials, tls
        self._options = options or LinkOptions()
        self._endpoints = Endpoints(self._options.patience)
        self._current: Endpoint | None = None
        self._connection: Connection | None = None
        self._sending = False
        self._subscriptions: frozenset[str] = frozenset()
        self._session = 0
        self._last_error = ""
        self._leave = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._suspicion = Suspicion()
        outbox.attach(name, self._pump)

    def start(self) -> None:
        """Begin; without endpoints it waits for some."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"link {self._name}")

    def set_endpoints(self, urls: tuple[str, ...]) -> None:
        """
        Take an ordered list of endpoints, at any time.

        Where the present one is still in the list it is kept, until the first is due to be tried again.

        Raises
        ------
        ValueError
            When one is none; nothing changes then.
        """
        if self._endpoints.replace(urls) and (self._connection is None or self._current not in self._endpoints):
            self._leave.set()

    def set_subscriptions(self, wanted: Iterable[str]) -> None:
        """Ask the broker for these topics and no others, now and after every connection."""
        new = frozenset(wanted)
        added, removed = sorted(new - self._subscriptions), sorted(self._subscriptions - new)
        self._subscriptions = new
        if self._connection is not None and self.connected.is_set():
            if removed:
                self._connection.unsubscribe(removed)
            if added:
                self._connection.subscribe(added)

    def announce(self) -> None:
        """Say again who the device is, because something of it changed."""
        if self._connection is not None and self._birth is not None and self.connected.is_set():
            self._publish_presence(self._connection, self._birth())
            self._connection.flush()

    async def stop(self) -> None:
        """Send what is in flight, say goodbye, and end."""
        self._stopping = True
        self._leave.set()
        if self._task is not None:
            _, pending = await asyncio.wait({self._task}, timeout=2 * FAREWELL + 1)
            for task in pending:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            if not pending:
                self._task.result()

    def report(self) -> LinkReport:
        """Tell how it is doing."""
        lane = self._outbox.lane(self._name)
        refused = self._connection.refused_topics if self._connection is not None else {}
        error = self._last_error
        if refused:
            topic, reason = next(iter(refused.items()))
            error = f"{len(refused)} subscriptions refused, such as {topic}: {reason}"
        return LinkReport(
            connected=self.connected.is_set(),
            endpoint=self._current.url if self._current is not None else "",
            session=self._session,
            pending=lane.pending,
            refused=lane.refused,
            dropped=lane.dropped,
            last_error=error,
        )

    # Keeping the connection up

    async def _run(self) -> None:
        while not self._stopping:
            self._leave.clear()
            wanted = self._endpoints.next()
            if wanted is None:
                await self._leave.wait()
                continue
            try:
                connection = await self._unless_left(self._connect(wanted))
            except ConnectionRefused as error:
                self._last_error = str(error)
                await self._pause(self._endpoints.failed(random.random()))
                continue
            if connection is None:
                continue
            began = asyncio.get_running_loop().time()
            try:
                await self._serve(connection, wanted)
            finally:
                self._end(connection)
            lasted = asyncio.get_running_loop().time() - began
            self._endpoints.lost(lasted)
            if not self._leave.is_set() and lasted < self._options.patience.stable:
                # A broker that takes connections and ends them at once is no reason to hurry.
                await self._pause(random.random() * min(1.0, self._options.patience.shortest))

    async def _unless_left(self, connecting: Coroutine[Any, Any, Connection]) -> Connection | None:
        """Wait for a connection, unless there is no more use for it."""
        task = asyncio.ensure_future(connecting)
        leave = asyncio.ensure_future(self._leave.wait())
        try:
            await asyncio.wait({task, leave}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leave.cancel()
            if not task.done():
                task.cancel()
        if task.done():
            return task.result()
        with suppress(asyncio.CancelledError, ConnectionRefused):
            (await task).drop("not wanted any more")
        return None

    async def _connect(self, wanted: Endpoint) -> Connection:
        """Connect with MQTT 5, or with 3.1.1 where the broker knows no more."""
        try:
            return await self._connect_with(wanted, 5)
        except ConnectionRefused as error:
            if not error.protocol_unsupported:
                raise
        return await self._connect_with(wanted, 4)

    async def _connect_with(self, wanted: Endpoint, protocol: int) -> Connection:
        self._session = self._outbox.connecting(self._name)
        self._current = wanted
        credentials = self._credentials()
        try:
            tls = self._tls(wanted) if self._tls is not None and wanted.tls else None
        except OSError as error:  # a certificate that cannot be used, which an ssl.SSLError says too
            raise ConnectionRefused(f"{wanted.url}: the certificate cannot be shown: {error}") from error
        connection = Connection(
            wanted,
            client_id=f"{self._device}-{self._name}",
            protocol=protocol,
            keepalive=self._options.keepalive,
            will=self._will(),
            username=credentials.username,
            password=credentials.password,
            tls=tls,
            on_answers=self._on_answers,
            on_message=self._on_connection_message,
        )
        await connection.open(within=self._options.patience.connect)
        return connection

    async def _serve(self, connection: Connection, current: Endpoint) -> None:
        """Send and receive until the connection ends or is to be left."""
        self._connection = connection
        self._suspicion.connected()
        if self._birth is not None:
            self._publish_presence(connection, self._birth())
        if self._subscriptions:
            connection.subscribe(sorted(self._subscriptions))
        connection.flush()
        self._sending = True
        self._last_error = ""
        self.connected.set()
        self._outbox.connected(self._name)
        self._pump()
        leave = asyncio.ensure_future(self._leave.wait())
        comeback = asyncio.ensure_future(self._wait_for_better(current))
        try:
            waiting: set[asyncio.Future[Any]] = {connection.ended, leave, comeback}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leave.cancel()
            comeback.cancel()
        if not connection.ended.done():
            await self._farewell(connection)

    async def _farewell(self, connection: Connection) -> None:
        self._sending = False
        if self._birth is not None:
            self._publish_presence(connection, Session(state="offline"))
            connection.flush()
        deadline = asyncio.get_running_loop().time() + FAREWELL
        while connection.in_flight and not connection.ended.done():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.wait({connection.ended}, timeout=min(left, 0.01))
        if not connection.ended.done():
            connection.close()

    def _end(self, connection: Connection) -> None:
        """Put the outbox in order after a connection, however it ended."""
        connection.drop("left")
        reason = connection.ended.result()
        self._connection = None
        self._sending = False
        self.connected.clear()
        if reason not in ("left", "closed"):
            self._last_error = f"{self._current.url if self._current else ''}: {reason}"
            oldest = self._outbox.lane(self._name).oldest_in_flight
            culprit = self._suspicion.hung_up(oldest, asyncio.get_running_loop().time())
            if culprit is not None:
                self._outbox.refuse(self._name, culprit, f"the broker hung up {STRIKES} times when it was sent")
        self._outbox.lose(self._name)

    async def _pause(self, duration: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(duration):
                await self._leave.wait()

    async def _wait_for_better(self, current: Endpoint) -> None:
        """Return once the preferred endpoint, which is not the current one, takes connections."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._endpoints.comeback())
            better = self._endpoints.preferred
            if better is None or better == current:
                continue
            self._endpoints.came_back()  # counted even if it succeeds: it may take connections and nothing more
            if await loop.run_in_executor(None, _reachable, better):
                return

    # Sending

    def _pump(self) -> None:
        """Send what there is, as far as the broker takes it."""
        connection = self._connection
        if connection is None or not self._sending:
            return
        window = 1 if self._suspicion.careful else min(connection.window, self._options.window)
        room = window - connection.in_flight
        if room <= 0:
            return
        for message in self._outbox.take(self._name, room):
            self._publish(connection, message)
        connection.flush()

    def _publish(self, connection: Connection, message: Message) -> None:
        size = len(message.payload) + len(message.topic) + PACKET_OVERHEAD
        if connection.largest is not None and size > connection.largest:
            reason = f"{size} bytes, and the broker takes {connection.largest}"
            self._outbox.refuse(self._name, message.key, reason)
            return
        self._suspicion.sent(asyncio.get_running_loop().time())
        try:
            connection.publish(message.key, message.topic, message.payload, retain=message.retain)
        except ValueError as error:  # no topic at all
            self._outbox.refuse(self._name, message.key, str(error))

    def _on_answers(self, answers: list[Answer]) -> None:
        for answer in answers:
            if answer.subject == "presence":
                if not answer.accepted:
                    self._last_error = f"presence refused by the broker: {answer.reason}"
                continue
            self._suspicion.answered()
            if answer.accepted:
                self._outbox.acknowledge(self._name, answer.subject)
            else:
                self._last_error = f"message {answer.subject[1]} refused by the broker: {answer.reason}"
                self._outbox.refuse(self._name, answer.subject, answer.reason)
        self._pump()

    def _on_connection_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if self.on_message is not None:
            self.on_message(topic, payload, retained)

    # Presence

    def _will(self) -> Will | None:
        if self._birth is None:
            return None
        return Will(topics.session(self._tenant, self._device), self._presence(Session(state="offline")))

    def _publish_presence(self, connection: Connection, session: Session) -> None:
        connection.publish("presence", topics.session(self._tenant, self._device), self._presence(session), retain=True)

    def _presence(self, session: Session) -> bytes:
        boot, number = self._outbox.previous
        header = Header(self._device, self._outbox.boot, self._session, 0, time.time_ns())
        return encode(msgspec.structs.replace(session, previous_boot=boot, previous_number=number), header)


def _reachable(wanted: Endpoint) -> bool:
    """Tell whether somebody takes connections there."""
    try:
        socket.create_connection((wanted.host, wanted.port), timeout=5.0).close()
    except OSError:
        return False
    return True
