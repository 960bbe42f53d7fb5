"""A real InfluxDB (Debian's 1.6) on free loopback ports, in a temporary folder."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from tests.support.ports import free_port
from tests.support.waiting import wait_until

CONFIGURATION = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  index-version = "inmem"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
"""


class InfluxDB:
    """
    One server, as a context manager; it can be stopped and started again over the same data.

    Attributes
    ----------
    url : str
        Where lines are posted.
    """

    def __init__(self, database: str = "tresma") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="influxdb-"))
        self._port, self._database = free_port(), database
        self.url = f"http://127.0.0.1:{self._port}/write?db={database}"
        text = CONFIGURATION.format(folder=self._folder, port=self._port, rpc=free_port())
        (self._folder / "influxdb.conf").write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        self._ask("POST", f'CREATE DATABASE "{self._database}"')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start, and return once it answers."""
        program = shutil.which("influxd")
        assert program is not None, "InfluxDB is needed: apt install influxdb"
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-config", str(self._folder / "influxdb.conf")], stdout=log, stderr=log
            )
        wait_until(self._answers, "InfluxDB answering", timeout=30)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(15)
            self._process = None

    def query(self, text: str) -> list[dict[str, Any]]:
        """Ask something; give the series of the answer."""
        answer = self._ask("GET", text)
        assert "error" not in answer["results"][0], answer
        return list(answer["results"][0].get("series", []))

    def _ask(self, method: str, text: str) -> dict[str, Any]:
        parameters = {"q": text, "db": self._database, "epoch": "ns"}
        answer = requests.request(method, f"http://127.0.0.1:{self._port}/query", params=parameters, timeout=10)
        assert answer.ok, answer.text
        return dict(answer.json())

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
        try:
            return requests.get(f"http://127.0.0.1:{self._port}/ping", timeout=5).status_code == 204
        except requests.ConnectionError:
            return False
