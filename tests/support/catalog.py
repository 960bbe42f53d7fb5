"""A real catalog process on a free loopback port, for tests and benchmarks."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests

from tests.support.ports import free_port
from tests.support.started_process import StartedProcess
from tests.support.waiting import wait_until


class CatalogProcess(StartedProcess):
    """
    One catalog, as a context manager; it can be killed and started again over the same database.

    Parameters
    ----------
    grid_brokers : iterable of str
    options : iterable of str
        Further arguments of ``tresma-catalog serve``.
    state : Path, optional
        Folder of database and token; a temporary one unless given.
    prefix : iterable of str
        A command that runs it, such as one that lends it a small disk.
    tls : bool
        Whether it speaks TLS, with a certificate of its own authority.

    Attributes
    ----------
    url : str
        Without a slash at the end.
    log : Path
        What it said.
    """

    called = "the catalog"
    patience = 15.0

    def __init__(
        self,
        *,
        grid_brokers: Iterable[str] = (),
        options: Iterable[str] = (),
        state: Path | None = None,
        port: int | None = None,
        prefix: Iterable[str] = (),
        tls: bool = False,
    ) -> None:
        self._temporary = state is None
        self.state = state or Path(tempfile.mkdtemp(prefix="catalog-"))
        self.port = port or free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.log = self.state / "log"
        self._prefix = list(prefix)
        self._arguments = [f"--grid-broker={endpoint}" for endpoint in grid_brokers] + list(options)
        self._arguments += ["--tls"] if tls else []
        self._tls = tls
        super().__init__()
        self._session = requests.Session()

    @property
    def token(self) -> str:
        """The operator's token."""
        return (self.state / "operator.token").read_text().strip()

    @property
    def anchors(self) -> Path:
        """The authorities that vouch for it, PEM."""
        return self.state / "authority" / "anchors.pem"

    @property
    def verify(self) -> str | bool:
        """What `requests` needs to believe it."""
        return str(self.anchors) if self._tls else True

    def start(self, timeout: float = 30.0) -> None:
        """Start, and return once it can serve."""
        self.state.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._prefix,
                    *(sys.executable, "-m", "device_catalog", "serve"),
                    *(f"--state={self.state}", f"--port={self.port}"),
                    *self._arguments,
                ],
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
                env={**os.environ, "PYTHONWARNINGS": "error"},
            )
        wait_until(self._is_ready, f"the catalog at {self.url} being ready", timeout=timeout)

    def operator(self, method: str, path: str, **options: Any) -> requests.Response:
        """Ask something as the operator."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        options.setdefault("verify", self.verify)
        return self._session.request(method, self.url + path, headers=headers, timeout=10, **options)

    def register(self, device: str, *, interval: float = 60.0, lease: float = 195.0, **fields: Any) -> str:
        """Register a device and return its credential."""
        document = {"device": device, "configuration": {"poll": {"interval": interval, "lease": lease}}, **fields}
        answer = self.operator("POST", "/v1/devices", json=document)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["credential"])

    def poll(self, device: str, credential: str, known: str = "", **headers: str) -> requests.Response:
        """Poll as the device."""
        return self._session.get(
            f"{self.url}/v1/devices/{device}/desired",
            headers={"Authorization": f"Bearer {credential}", "If-None-Match": known, **headers},
            timeout=10,
            verify=self.verify,
        )

    def metric(self, name: str) -> float:
        """Read one of its counters."""
        text = self._session.get(f"{self.url}/metrics", timeout=10, verify=self.verify).text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, f"no {name} in {text}"
        return float(found[1])

    def _clear(self) -> None:
        self._session.close()
        if self._temporary:
            shutil.rmtree(self.state, ignore_errors=True)

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the catalog ended at once: {self.log.read_text()[-3000:]}")
        try:
            return self._session.get(f"{self.url}/readyz", timeout=5, verify=self.verify).status_code == 200
        except (requests.ConnectionError, OSError):  # not there yet, or its authority is not
            return False
