"""
A real Mosquitto broker on a free loopback port, for tests and benchmarks.

It can be started, stopped, killed and started again on the same port, and told what to refuse. Written for the
options that both 2.0.11 (bookworm) and 2.0.21 (trixie) understand.
"""

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.support.ports import free_port
from tests.support.started_process import StartedProcess
from tests.support.waiting import wait_until


class Mosquitto(StartedProcess):
    """
    One broker, as a context manager.

    Parameters
    ----------
    acl : iterable of str, optional
        Lines of an access control list, such as ``topic deny v1/#``; anything is allowed without one.
    persistent : bool
        Whether retained messages survive a stop.
    options : iterable of str
        Further lines of its configuration.
    port : int, optional
        A free one unless given.

    Attributes
    ----------
    port : int
    url : str
    log : pathlib.Path
        What it said.
    """

    called = "the broker"

    def __init__(
        self,
        *,
        acl: Iterable[str] | None = None,
        persistent: bool = False,
        options: Iterable[str] = (),
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="mosquitto-"))
        self.log = self._folder / "log"
        self._options = tuple(options)
        further = (line.split() for line in self._options if line.startswith("listener "))
        self._ports = (self.port, *(int(words[1]) for words in further if int(words[1])))
        self._persistent = persistent
        super().__init__()
        self.set_acl(acl)

    def start(self) -> None:
        """Start, and return once it takes connections wherever it is to."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [_program(), "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        wait_until(self._is_listening, f"Mosquitto listening on port {self.port}", timeout=10)

    def set_acl(self, acl: Iterable[str] | None) -> None:
        """Set what it refuses; a running broker reads it at once."""
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "set_tcp_nodelay true",
            "max_queued_messages 100000",
            "user root",
            *self._options,
        ]
        if self._persistent:
            lines += ["persistence true", f"persistence_location {self._folder}/"]
        else:
            lines += ["persistence false"]
        if acl is not None:
            (self._folder / "acl").write_text("\n".join(acl) + "\n")
            lines += [f"acl_file {self._folder / 'acl'}"]
        (self._folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def _clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_listening(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"Mosquitto ended at once: {self.log.read_text(errors='replace')[-2000:]}")
        return all(_is_open(port) for port in self._ports)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _program() -> str:
    """Find it also where sbin is not on the path of users."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    assert found is not None, "Mosquitto is needed: apt install mosquitto"
    return found
