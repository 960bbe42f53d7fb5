"""
``tresma-agent commission``: the process that serves the commissioning page, from its start to its end.

It is apart from the agent, which measures on whatever happens here: it has numpy, a port and visitors, and neither a
credential nor a key. It ends by itself when the catalog has accepted a report, and does not begin again until somebody
reopens it.
"""

import argparse
import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from agent.commissioning.access import Pin, Sessions
from agent.commissioning.agent_link import AgentLink
from agent.commissioning.listening import is_served, local_interfaces, open_at, open_on
from agent.commissioning.messages import SOCKET, WANTED
from agent.commissioning.settings import PageSettings, read_settings
from agent.commissioning.site import Site
from agent.commissioning.state import PageState
from agent.commissioning.watching import Watching
from agent.commissioning.web import WebServer
from agent.errors import AgentError, ConfigError
from agent.notify import ServiceManager
from algorithms.api.errors import Problem, shortened

log = logging.getLogger(__name__)

UNIT = "tresma-commissioning.service"
RUNTIME = Path("/run/tresma")
SETTINGS = Path("/etc/tresma/commissioning.yaml")
STATE = Path("/var/lib/tresma-commissioning")
LOOK = 2.0
"""How often interfaces are looked at [s]."""


def run(options: argparse.Namespace) -> int:
    """Serve the page until the commissioning is over, or open it again."""
    runtime = options.runtime or RUNTIME
    state = PageState(options.state_dir or _folder("STATE_DIRECTORY", STATE), runtime / WANTED)
    if options.reopen:
        return _reopen(state)
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(levelname)s %(message)s")
    if state.is_over:
        sys.stderr.write("tresma-agent: this meter is commissioned; tresma-agent commission --reopen opens the page\n")
        return 0
    settings = read_settings(options.settings or _folder("CREDENTIALS_DIRECTORY", SETTINGS.parent) / SETTINGS.name)
    asyncio.run(_serve(settings, state, runtime, _address(options.listen)))
    return 0


def _reopen(state: PageState) -> int:
    """Begin another commissioning, and have the service manager start the page where there is one."""
    try:
        state.reopen(time.time())
    except OSError as error:
        found = error.strerror or str(error)
        raise ConfigError([Problem("state", "a folder that may be written", found, "run as root")]) from error
    systemctl = shutil.which("systemctl")
    if systemctl is None or not Path("/run/systemd/system").is_dir():
        sys.stdout.write("The page may be opened: tresma-agent commission\n")
        return 0
    command = [systemctl, "restart", UNIT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own unit
    if done.returncode:
        raise AgentError(f"expected {UNIT} to start, found: {shortened(done.stderr, 200)}")
    sys.stdout.write("The page is open.\n")
    return 0


async def _serve(settings: PageSettings, state: PageState, runtime: Path, address: tuple[str, int] | None) -> None:
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


def _folder(variable: str, otherwise: Path) -> Path:
    given = os.environ.get(variable, "").partition(":")[0]
    return Path(given) if given else otherwise


def _address(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and len(port) < 6):
        raise ConfigError([Problem("--listen", "an address and a port, such as 127.0.0.1:8090", shortened(text))])
    return host.strip("[]"), int(port)
