"""A real agent process, with the processes it owns, for tests and benchmarks."""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.catalog import CatalogProcess
from tests.support.mosquitto import Mosquitto
from tests.support.started_process import StartedProcess
from tests.support.waiting import wait_until

PHASORS = {"algorithm": "phasors", "settings": {"window": 4, "report_rate": 50}}
"""Fifty frames a second."""

_ticks = os.sysconf("SC_CLK_TCK")


def configuration(grid: str, data: str, **fields: Any) -> dict[str, Any]:
    """Write the configuration of a simulated meter; `fields` replace whole parts of it."""
    return {
        "brokers": {"grid": [grid], "data": [data]},
        "acquisition": {"driver": "simulated", "sample_rate": 6400},
        "algorithms": [PHASORS],
        "poll": {"interval": 1.0, "lease": 3.0},
        **fields,
    }


class AgentProcess(StartedProcess):
    """
    One agent, as a context manager; it can be killed and started again over the same state.

    Parameters
    ----------
    device, catalog, credential : str
    state : Path, optional
        A temporary one unless given.
    prefix : sequence of str
        Put before the command, such as a tracer; ``{state}`` stands for the folder of its state, which exists.

    Attributes
    ----------
    log : Path
        What it said.
    """

    called = "the agent"
    patience = 20.0

    def __init__(
        self, device: str, catalog: str, credential: str, *, state: Path | None = None, prefix: tuple[str, ...] = ()
    ) -> None:
        self.device = device
        self._folder = Path(tempfile.mkdtemp(prefix="agent-"))
        self.state = state or self._folder / "state"
        self.config = self._folder / "agent.yaml"
        self.config.write_text(
            f"device: {device}\ncatalog: {catalog}\ncredential: {credential}\nstate_dir: {self.state}\n"
        )
        self.log = self._folder / "log"
        self._prefix = prefix
        super().__init__()

    def start(self) -> None:
        """Start it; it is not waited for."""
        self.state.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(part.format(state=self.state) for part in self._prefix),
                    sys.executable,
                    "-m",
                    "agent",
                    "run",
                    "--config",
                    str(self.config),
                ],
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )

    def said(self) -> str:
        """Return its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tree(self) -> dict[int, str]:
        """Return every process of the agent with its role: ``agent``, ``fork server`` or ``worker``."""
        found = {self.pid: "agent"}
        for server in _children(self.pid):
            found[server] = "fork server"
            found.update(dict.fromkeys(_children(server), "worker"))
        return found

    def workers(self) -> list[int]:
        """Return the sampler's and the algorithms' processes, in the order they were started."""
        return sorted(pid for pid, role in self.tree().items() if role == "worker")

    def processor(self) -> float:
        """Return the processor time of all its processes [s]."""
        return sum(_processor(pid) for pid in self.tree())

    def memory(self) -> int:
        """Return the proportional set size of all its processes [bytes]."""
        return sum(_memory(pid) for pid in self.tree())

    def _complain(self) -> None:
        sys.stderr.write(f"--- the agent said:\n{self.said()[-4000:]}\n")

    def _clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class Plant:
    """
    A catalog and two brokers, with agents as they are added; everything is gone afterwards.

    Attributes
    ----------
    catalog : CatalogProcess
    grid, data : Mosquitto
    root : Path or None
        Root of trust of the agents that are added.
    """

    def __init__(self) -> None:
        self.grid = Mosquitto(persistent=True)
        self.data = Mosquitto(persistent=True)
        self.catalog = CatalogProcess(grid_brokers=[self.grid.url])
        self.agents: list[AgentProcess] = []
        self.root: Path | None = None

    def __enter__(self) -> Self:
        with ExitStack() as begun:
            begun.enter_context(self.grid)
            begun.enter_context(self.data)
            begun.enter_context(self.catalog)
            begun.pop_all()  # from here on it is for `__exit__`
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for agent in self.agents:
            agent.__exit__(kind, error, trace)
        self.catalog.__exit__(kind, error, trace)
        self.data.__exit__(kind, error, trace)
        self.grid.__exit__(kind, error, trace)

    def add(
        self, device: str, *, prefix: tuple[str, ...] = (), state: Path | None = None, **fields: Any
    ) -> AgentProcess:
        """Register a device and start its agent."""
        document = configuration(self.grid.url, self.data.url, **fields)
        answer = self.catalog.operator("POST", "/v1/devices", json={"device": device, "configuration": document})
        assert answer.status_code == 201, answer.text
        agent = AgentProcess(device, self.catalog.url, answer.json()["credential"], prefix=prefix, state=state)
        if self.root is not None:
            agent.config.write_text(f"{agent.config.read_text()}root_file: {self.root}\n")
        self.agents.append(agent)
        agent.start()
        return agent

    def configure(self, device: str, **fields: Any) -> int:
        """Replace parts of a device's configuration; return the new revision."""
        answer = self.catalog.operator("GET", f"/v1/devices/{device}/desired")
        answer = self.catalog.operator("GET", f"/v1/devices/{device}") if answer.status_code != 200 else answer
        document = answer.json()
        current = document.get("configuration") or document["desired"]["configuration"]
        answer = self.catalog.operator(
            "PUT", f"/v1/devices/{device}/configuration", json={**current, **fields}, headers={"If-Match": "*"}
        )
        assert answer.status_code in (200, 204), answer.text
        return int(self.detail(device)["desired"]["revision"])

    def detail(self, device: str) -> dict[str, Any]:
        """Return all the catalog knows of a device."""
        found: dict[str, Any] = self.catalog.operator("GET", f"/v1/devices/{device}").json()
        return found

    def reported(self, device: str) -> dict[str, Any]:
        """Return what the device said of itself; empty before it did."""
        return self.detail(device)["reported"] or {}

    def wait_for_revision(self, device: str, revision: int, timeout: float = 20.0) -> dict[str, Any]:
        """Return what the device reports once it has applied or refused `revision`."""

        def answered() -> dict[str, Any] | None:
            reported = self.reported(device)
            refused = (reported.get("refused") or {}).get("revision")
            return reported if revision in (reported.get("applied_revision"), refused) else None

        found = wait_until(answered, f"{device} answering revision {revision}", timeout=timeout, interval=0.1)
        assert found is not None
        return found


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(child) for child in text.split()]


def _processor(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _ticks


def _memory(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except FileNotFoundError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
