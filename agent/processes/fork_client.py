"""
The agent's side of the fork server: starts it, asks it for processes, hears of their ends, and notices its own.

Where it stands: below `workers`, which knows what the processes are for; above `fork_server`, in the other process.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

from agent.errors import WorkerError
from agent.processes.async_channel import AsyncChannel
from agent.processes.channel import ChannelError, socket_pair
from agent.processes.process import CLOSING_TIME
from agent.processes.protocol import Exited, Fork, Forked, ForkFailed, FromForkServer, Ready

START_TIME = 30.0
"""How long the fork server may take to start, or to answer [s]: a Raspberry Pi, under load."""

_MESSAGE = 64 * 1024  # longest message [bytes]

# What the children may need. The agent's environment may hold credentials, and is not passed on.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")


class ForkClient:
    """
    The fork server, seen from the agent.

    Parameters
    ----------
    preload : sequence of str
        Modules to load once, for all children.
    on_exited : callable
        Takes the number of a process that ended, and its exit code, negative for a signal.
    on_gone : callable
        Takes the reason when the fork server ended without being asked to; every child has ended with it.

    Attributes
    ----------
    not_loaded : dict
        Modules of `preload` that could not be loaded, each with the reason.
    """

    def __init__(
        self, preload: Sequence[str], on_exited: Callable[[int, int], None], on_gone: Callable[[str], None]
    ) -> None:
        self._preload = tuple(preload)
        self._on_exited = on_exited
        self._on_gone = on_gone
        self._server: subprocess.Popen[bytes] | None = None
        self._control: AsyncChannel | None = None
        self._ready: asyncio.Future[None] | None = None
        self._forking: dict[int, tuple[asyncio.Future[None], Callable[[int, int], None]]] = {}
        self._starting = asyncio.Lock()
        self.not_loaded: dict[str, str] = {}

    @property
    def pid(self) -> int:
        """The fork server's process; 0 without one."""
        return self._server.pid if self._server else 0

    async def start(self) -> None:
        """
        Start the fork server; nothing happens where it runs.

        Raises
        ------
        WorkerError
            When it does not start.
        """
        if sys.platform != "linux":
            raise WorkerError("expected Linux, which runs a meter's processes; elsewhere, recordings can be replayed")
        async with self._starting:
            if self._control is None:
                await self._start()

    async def stop(self) -> None:
        """End the fork server, which takes every child along; takes a few seconds at most, and may come twice."""
        if self._control is not None:
            self._control.close()
            self._control = None
        server, self._server = self._server, None
        if server is None:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CLOSING_TIME
        while server.poll() is None:
            if loop.time() > deadline:
                server.kill()
                server.wait()  # killed: immediate
                return
            await asyncio.sleep(0.005)

    async def fork(
        self, number: int, role: str, end: socket.socket, on_forked: Callable[[int, int], None], *, box: str = ""
    ) -> None:
        """
        Start a process.

        Parameters
        ----------
        number : int
            Names it from now on.
        role : str
        end : socket.socket
            The process's end of its channel; owned from now on.
        on_forked : callable
            Takes its process id and a process descriptor to own, before its end can be told.
        box : str
            As `Fork` has it.

        Raises
        ------
        WorkerError
            When the system refuses, or the fork server does not answer.
        """
        if self._control is None:
            end.close()
            raise WorkerError("the fork server is not running; start it first")
        future = asyncio.get_running_loop().create_future()
        self._forking[number] = (future, on_forked)
        self._control.send(Fork(number, role, box), [end.detach()])
        try:
            async with asyncio.timeout(START_TIME):
                await future
        except TimeoutError:
            raise WorkerError(f"the fork server did not answer within {START_TIME:g} s") from None
        finally:
            self._forking.pop(number, None)

    async def _start(self) -> None:
        ours, theirs = socket_pair()
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        command = [sys.executable, "-P", "-m", "agent.processes.fork_server", str(theirs.fileno()), *self._preload]
        with theirs:
            self._server = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program, a millisecond, once
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=environment
            )
        self._ready = asyncio.get_running_loop().create_future()
        self._control = AsyncChannel(ours, FromForkServer, _MESSAGE, self._take, self._gone, take_fds=True)
        try:
            async with asyncio.timeout(START_TIME):
                await self._ready
        except TimeoutError:
            await self.stop()
            raise WorkerError(f"the fork server did not start within {START_TIME:g} s") from None
        except asyncio.CancelledError:
            await self.stop()
            raise

    def _take(self, message: Ready | Forked | ForkFailed | Exited, fds: list[int]) -> None:
        match message:
            case Ready():
                self.not_loaded = message.failed
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(None)
            case Forked() if message.number in self._forking:
                future, on_forked = self._forking[message.number]
                on_forked(message.pid, fds[0])
                if not future.done():
                    future.set_result(None)
            case Forked():  # too late: without its other end it leaves by itself
                os.close(fds[0])
            case ForkFailed() if message.number in self._forking:
                future, _ = self._forking[message.number]
                if not future.done():
                    future.set_exception(WorkerError(message.message))
            case Exited():
                self._on_exited(message.number, message.status)

    def _gone(self, error: ChannelError) -> None:
        self._control = None
        reason = f"the fork server is gone ({error}), and every sampler and algorithm with it"
        started = self._ready is not None and self._ready.done()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(WorkerError(reason))
        for future, _ in self._forking.values():
            if not future.done():
                future.set_exception(WorkerError(reason))
        if self._server is not None:
            self._server.kill()
            self._server.wait()  # killed: immediate
            self._server = None
        if started:
            self._on_gone(reason)
