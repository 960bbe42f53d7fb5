"""
The commissioning page's process while it runs: looks, listens, answers, and knows when it is over.

Where it stands: the only place that knows which parts the page is made of. `Doors` follows cables as they come and go.
"""

import asyncio
import logging
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from agent.commissioning.access import Pin, Sessions
from agent.commissioning.agent_link import AgentLink
from agent.commissioning.listening import is_served, local_interfaces, open_at, open_on
from agent.commissioning.messages import SOCKET
from agent.commissioning.settings import PageSettings
from agent.commissioning.site import Site
from agent.commissioning.state import PageState
from agent.commissioning.watching import Watching
from agent.commissioning.web import WebServer
from agent.errors import ConfigError
from agent.notify import ServiceManager
from algorithms.api.errors import Problem

log = logging.getLogger(__name__)

LOOK = 2.0
"""How often interfaces are looked at [s]."""


async def serve(settings: PageSettings, state: PageState, runtime: Path, address: tuple[str, int] | None) -> None:
    """
    Serve the page until the commissioning is over and whoever looks was told, or until told to stop.

    Parameters
    ----------
    settings : PageSettings
    state : PageState
    runtime : pathlib.Path
        Folder of the agent's socket.
    address : tuple or None
        One address and port to listen at, instead of where the settings say.

    Raises
    ------
    ConfigError
        When that address cannot be had.
    """
    watching = Watching(AgentLink(runtime / SOCKET), state, runtime / "provisioning.json")
    site = Site(settings.name, Pin(settings.pin, time.monotonic), Sessions(time.monotonic), watching)
    server = WebServer(site.answer)
    doors = Doors(settings, server, address)
    manager = ServiceManager()
    loop = asyncio.get_running_loop()
    watch, door = loop.create_task(watching.hold(), name="watch"), loop.create_task(doors.hold(), name="doors")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, watch.cancel)
    manager.ready("open")
    try:
        done, _ = await asyncio.wait([watch, door], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
    finally:
        manager.stopping()
        for task in (watch, door):
            task.cancel()
        await asyncio.gather(watch, door, return_exceptions=True)
        doors.close()
        await server.close()


class Doors:
    """
    The sockets on which the page is reached; they follow the cables.

    Parameters
    ----------
    settings : PageSettings
    server : WebServer
    address : tuple or None
        One address and port to listen at instead.
    """

    def __init__(self, settings: PageSettings, server: WebServer, address: tuple[str, int] | None) -> None:
        self._settings = settings
        self._server = server
        self._address = address
        self._open: dict[str, socket.socket] = {}
        self._told: dict[str, str] = {}

    async def hold(self) -> None:
        """
        Listen for ever.

        Raises
        ------
        ConfigError
            When the one address that was asked for cannot be had.
        """
        if self._address is not None:
            try:
                self._begin("", open_at(*self._address))
            except OSError as error:
                found = error.strerror or str(error)
                raise ConfigError([Problem("--listen", "an address that is free", found)]) from error
            told = f"{self._address[0]}:{self._open[''].getsockname()[1]}"
            log.info("the commissioning page is at http://%s", told)
            await asyncio.Event().wait()
        while True:
            self._follow(local_interfaces())
            await asyncio.sleep(LOOK)

    def close(self) -> None:
        """Listen no more."""
        for name in tuple(self._open):
            self._end(name)

    def _follow(self, there: list[str]) -> None:
        for name in tuple(self._open):
            if name not in there:
                self._end(name)
        for name in there:
            if name in self._open:
                continue
            try:
                self._begin(name, open_on(name, self._settings.port))
            except OSError as error:
                said = error.strerror or str(error)
                if self._told.get(name) != said:
                    self._told[name] = said
                    log.warning("the page cannot be reached on %s: %s", name, said)
            else:
                self._told.pop(name, None)
                log.info("the page is reached on %s, port %d", name, self._settings.port)

    def _begin(self, name: str, sock: socket.socket) -> None:
        self._open[name] = sock
        asyncio.get_running_loop().add_reader(sock, self._accept, name, sock)

    def _end(self, name: str) -> None:
        sock = self._open.pop(name)
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()

    def _accept(self, name: str, sock: socket.socket) -> None:
        with suppress(OSError):
            visitor, other = sock.accept()
            own = str(visitor.getsockname()[0])
            if name and not is_served(name, self._settings.interfaces, own, str(other[0])):
                visitor.close()
                return
            self._server.serve(visitor)
