"""A meter that is enrolled, and the commissioning page beside it, as real processes."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.agent import AgentProcess, configuration
from tests.support.catalog import CatalogProcess
from tests.support.enrolment import invite
from tests.support.started_process import StartedProcess
from tests.support.waiting import wait_until

PIN = "48151623"
NAME = "tresma-0042"
LOADED = {
    "driver": "simulated",
    "sample_rate": 6400,
    "direction": "load",
    "options": {"apparent_power": 5000.0, "power_factor": 0.95, "voltage_noise": 0.5},
}
"""A simulated board at which nothing is wrong."""


def enrolled_agent(catalog: CatalogProcess, device: str, broker: str, **acquisition: Any) -> AgentProcess:
    """Register a meter, and make an agent that enrols itself with a token."""
    document = configuration(broker, broker, acquisition={**LOADED, **acquisition})
    catalog.register(device, configuration=document)
    agent = AgentProcess(device, catalog.url, "none")
    (agent.config.parent / "token").write_text(invite(catalog, device).text())
    agent.config.write_text(f"device: {device}\ncatalog: {catalog.url}\ntoken_file: token\nstate_dir: {agent.state}\n")
    return agent


class PageProcess(StartedProcess):
    """
    The page, as a context manager; it can be started again over the same memory of what is over.

    Parameters
    ----------
    agent : AgentProcess
    folder : Path

    Attributes
    ----------
    url : str
        Without a slash at the end.
    """

    called = "the page"

    def __init__(self, agent: AgentProcess, folder: Path) -> None:
        self._agent = agent
        self._folder = folder
        self.log = folder / "page.log"
        self.url = ""
        super().__init__()
        (folder / "commissioning.yaml").write_text(f'pin: "{PIN}"\nname: {NAME}\n')

    def begin(self, *options: str) -> subprocess.Popen[bytes]:
        """Run the command."""
        where = [f"--runtime={self._agent.state}", f"--state-dir={self._folder / 'page'}"]
        settings = [f"--settings={self._folder / 'commissioning.yaml'}", "--listen=127.0.0.1:0"]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "agent", "commission", *where, *settings, *options],
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )

    def start(self) -> None:
        """Start it, and return once it can be reached."""
        self._process = self.begin()
        found = wait_until(self._address, "the page telling where it is", timeout=30)
        assert found is not None
        self.url = found

    def ended(self, timeout: float) -> int:
        """Wait until it ended by itself; return its exit status."""
        assert self._process is not None
        return self._process.wait(timeout)

    def stop(self) -> None:
        """End it politely."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(15)

    def _complain(self) -> None:
        sys.stderr.write(f"--- the page said:\n{self.log.read_text()[-3000:]}\n")

    def _address(self) -> str | None:
        found = re.search(r"http://\S+", self.log.read_text())
        return found[0] if found else None
