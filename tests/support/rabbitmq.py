"""
A real RabbitMQ with its MQTT plugin on a free loopback port: what stands for a cluster of brokers in tests.

The node is one of its own: name, folders, ports and the port mapper that Erlang's nodes meet at.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_port
from tests.support.waiting import wait_until


class RabbitMQ:
    """
    One node, as a context manager; it can be stopped and started again over the same data.

    Attributes
    ----------
    port : int
    url : str
    log : pathlib.Path
        What it said.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="rabbitmq-"))
        self.log = self._folder / "log"
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{free_port()}\n"
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "mqtt.tcp_listen_options.nodelay = true\n"
            "mqtt.allow_anonymous = true\n"
            "mqtt.default_user = guest\n"
            "mqtt.default_pass = guest\n"
            "mqtt.prefetch = 200\n"
        )
        (self._folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
        mapper = free_port()
        self._environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"tresma{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "logs"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
        }
        self._mapper: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._mapper = subprocess.Popen(
            ["epmd", "-address", "127.0.0.1", "-port", self._environment["ERL_EPMD_PORT"]], env=self._environment
        )
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._mapper is not None:
            self._mapper.terminate()
            self._mapper.wait(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and return once it takes connections."""
        with self.log.open("ab") as log:
            self._node = subprocess.Popen(
                [_program("rabbitmq-server")],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._folder,
            )
        wait_until(self._listens, f"RabbitMQ listening on {self.port}", timeout=60.0, interval=0.1)

    def stop(self) -> None:
        """End it with all it started."""
        if self._node is None:
            return
        if self._node.poll() is None:
            os.killpg(self._node.pid, signal.SIGTERM)
            try:
                self._node.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(self._node.pid, signal.SIGKILL)
                self._node.wait(timeout=10)
        self._node = None

    def admit(self, user: str, password: str) -> None:
        """Let somebody in who names themselves."""
        for arguments in (("add_user", user, password), ("set_permissions", user, ".*", ".*", ".*")):
            self._control(*arguments)

    def _control(self, *arguments: str) -> None:
        command = [_program("rabbitmqctl"), "--node", self._environment["RABBITMQ_NODENAME"], *arguments]
        subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=60)

    def _listens(self) -> bool:
        assert self._node is not None
        assert self._node.poll() is None, self.log.read_text(errors="replace")[-3000:]
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.5).close()
        except OSError:
            return False
        return True


def _program(name: str) -> Path:
    """Find a program itself: what stands on the path changes the user first."""
    (found,) = Path("/usr/lib/rabbitmq/lib").glob(f"rabbitmq_server-*/sbin/{name}")
    return found
