"""
Commissioning in the agent: what `service` owns of it, in one piece.

It joins `desk` (the page's questions), `reports` (signed and handed in) and what the agent knows of itself. It costs
nothing while no page asks. Where the settings want another commissioning after the last one, it leaves a file that the
service manager watches, so that the page's process begins again.
"""

import asyncio
import logging
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from agent.clock import Clock
from agent.commissioning.desk import Desk
from agent.commissioning.messages import WANTED, AgentState, CatalogState, Observed, Settings
from agent.commissioning.reports import Facts, Reports
from agent.config import AgentConfig
from agent.files import write_durably
from agent.identity.files import Identity
from algorithms.api.errors import shortened
from algorithms.api.wire import time_from_text
from device_catalog.contract.documents import Acquisition, Configuration
from device_catalog.contract.reports import Reported, TimeReport

log = logging.getLogger(__name__)

IMPATIENCE = 5.0
"""While somebody looks, a catalog that is away is asked this often [s]."""

_os_release = Path("/etc/os-release")


class Asking(Protocol):
    """The conversation with the catalog."""

    answered: float | None
    problem: str
    ahead: float | None

    def ask_now(self) -> None:
        """Ask without waiting for the next poll."""


class Office:
    """
    Everything about commissioning that the agent does.

    Parameters
    ----------
    config : AgentConfig
    clock : Clock
    reported : callable
        Says how the device is.
    configuration : callable
        Gives the configuration in force.
    ring : callable
        Gives a descriptor of the newest ring, for the caller to own; none where there is none.
    asking : Asking
    """

    def __init__(
        self,
        config: AgentConfig,
        clock: Clock,
        *,
        reported: Callable[[], Reported],
        configuration: Callable[[], Configuration],
        ring: Callable[[], list[int]],
        asking: Asking,
    ) -> None:
        self._config = config
        self._clock = clock
        self._reported = reported
        self._configuration = configuration
        self._asking = asking
        self._folder = _runtime(config, os.environ)
        self._impatient_at = 0.0
        self._reports = Reports(config, clock, self._facts)
        self._desk = Desk(self._folder, self._state, ring, self._hand_in)

    def open(self) -> None:
        """Begin to answer, and go on with reports that wait for the catalog."""
        self._reports.load()
        self._desk.open()

    async def close(self) -> None:
        """End."""
        self._desk.close()
        await self._reports.close()

    def configure(self, configuration: Configuration) -> None:
        """Take note of settings: whether they want another commissioning."""
        wanted = _reopened(configuration)
        handed = self._reports.handed
        made = time_from_text(handed.made) / 1e9 if handed.made else 0.0
        path = self._folder / WANTED
        if wanted <= made or _read(path) == wanted:
            return
        try:
            write_durably(path, f"{wanted:.3f}".encode())
            path.chmod(0o644)  # the page's user reads it, whatever the service's mask is
        except OSError as error:
            log.error("the commissioning page cannot be opened again: %s: %s", path, error.strerror or error)

    def _hand_in(self, observed: Observed) -> "asyncio.Task[str]":
        return self._reports.make(observed)

    def _state(self, has_ring: bool) -> AgentState:
        reported, configuration = self._reported(), self._configuration()
        self._ask_again()
        left, begins = self._certificate()
        monotonic, asking = self._clock.monotonic(), self._asking
        refused = reported.refused.problems if reported.refused is not None else ()
        return AgentState(
            self._config.device,
            reported.agent_version,
            boot=reported.boot,
            revision=reported.applied_revision,
            refused=tuple(str(problem) for problem in refused[:8]),
            settings=_settings(configuration, self._config.device),
            catalog=CatalogState(
                self._config.catalog,
                None if asking.answered is None else monotonic - asking.answered,
                asking.problem,
                asking.ahead,
            ),
            links=reported.links,
            source=reported.source,
            time=reported.time or TimeReport(False),
            certificate_left=left,
            certificate_begins=begins,
            algorithms={name: one.state for name, one in reported.algorithms.items()},
            software=_software(reported),
            problems=reported.problems[:16],
            handed=self._reports.handed,
            reopened=_reopened(configuration),
            has_ring=has_ring,
        )

    def _ask_again(self) -> None:
        """Have a catalog that is away asked again soon: somebody is putting that right just now."""
        now = self._clock.monotonic()
        if self._asking.problem and now >= self._impatient_at:
            self._impatient_at = now + IMPATIENCE
            self._asking.ask_now()

    def _certificate(self) -> tuple[float | None, float]:
        facts = Identity(self._config.state_dir).facts()
        if facts is None:
            return None, 0.0
        now = self._clock.now_ns() / 1e9
        return facts.not_after - now, facts.not_before - now

    def _facts(self) -> Facts:
        reported, configuration = self._reported(), self._configuration()
        settings, source = _settings(configuration, self._config.device), reported.source
        return Facts(
            settings.terminal,
            reported.time is not None and reported.time.synchronised,
            reported.time.uncertainty if reported.time is not None else None,
            settings.nominal_voltage,
            settings.nominal_frequency,
            f"{source.driver}, {source.sample_rate:g} Hz" if source is not None else "",
            settings.channels,
            _software(reported),
            reported.applied_revision,
            reported.boot,
        )


def _settings(configuration: Configuration, device: str) -> Settings:
    acquisition = configuration.acquisition
    if acquisition is None:
        return Settings(configuration.terminal or device)
    return Settings(
        configuration.terminal or device,
        has_source=True,
        nominal_voltage=acquisition.nominal_voltage,
        nominal_frequency=acquisition.nominal_frequency,
        direction=acquisition.direction.value,
        sample_rate=acquisition.sample_rate,
        channels=_channels(acquisition),
    )


def _channels(acquisition: Acquisition) -> tuple[str, ...]:
    return tuple(
        f"{one.name}: {one.quantity} {one.phase}, input {one.input}, ratio {one.ratio:g}"
        f"{', reversed' if one.reversed else ''}"
        for one in acquisition.channels
    )


def _software(reported: Reported) -> dict[str, str]:
    versions = {"agent": reported.agent_version, "python": platform.python_version(), "kernel": platform.release()}
    image = _image()
    if image:
        versions["image"] = image
    versions.update((name, one.version) for name, one in reported.algorithms.items())
    return versions


def _image() -> str:
    """Say which image runs, as os-release(5) has it; empty for a machine that was installed in another way."""
    try:
        lines = _os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    words = dict(line.partition("=")[::2] for line in lines)
    parts = (words.get("IMAGE_ID", "").strip('"'), words.get("IMAGE_VERSION", "").strip('"'))
    return shortened(" ".join(part for part in parts if part), 100)


def _reopened(configuration: Configuration) -> float:
    wanted = configuration.commissioning
    return 0.0 if wanted is None or wanted.reopened is None else wanted.reopened.timestamp()


def _runtime(config: AgentConfig, environment: Mapping[str, str]) -> Path:
    """Name the folder of the agent's socket: what the service manager made, else the agent's own."""
    given = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(given) if given else config.state_dir


def _read(path: Path) -> float:
    try:
        with path.open("rb") as file:
            return float(file.read(64))
    except (OSError, ValueError):
        return 0.0
