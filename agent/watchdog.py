"""
What the service manager sees of a running agent: that sampling moves, and in one line how it goes.

Where it stands: asked by the housekeeping of `service`, about once a second; `notify` carries what is said. The
watchdog is fed for as long as samples come, or the supervisor knows that none do and does something about it. Where
sampling stands still and nobody knows why, it starves, and the service manager starts the agent anew.
"""

from collections.abc import Mapping

from agent.clock import Clock
from agent.delivery.broker import Link
from agent.notify import ServiceManager
from agent.running import RunningSet
from agent.settings_in_force import SettingsInForce
from device_catalog.contract.topics import BrokerName

STALL = 10.0
"""Sampling that stands still this long, without the supervisor knowing, starves the watchdog [s]."""


class Watchdog:
    """
    What is told of one agent.

    Parameters
    ----------
    manager : ServiceManager
    running : RunningSet
    settings : SettingsInForce
    links : mapping
        By broker; filled later.
    clock : Clock
    """

    def __init__(
        self,
        manager: ServiceManager,
        running: RunningSet,
        settings: SettingsInForce,
        links: Mapping[BrokerName, Link],
        clock: Clock,
    ) -> None:
        self._manager = manager
        self._running = running
        self._settings = settings
        self._links = links
        self._clock = clock
        self._progress = (0, clock.monotonic())
        self._told = ""

    def interval(self, longest: float) -> float:
        """Say how often to look [s]: `longest`, or oftener where the service manager bears less."""
        return min(longest, self._manager.watchdog / 3) if self._manager.watchdog else longest

    def ready(self) -> None:
        """Say that the agent runs."""
        self._manager.ready(self._status())

    def look(self) -> None:
        """Feed the watchdog where sampling moves, and say how it goes where that is news."""
        if self._samples_advance():
            self._manager.alive()
        status = self._status()
        if status != self._told:
            self._told = status
            self._manager.status(status)

    def _samples_advance(self) -> bool:
        """Tell whether sampling moves, or the supervisor knows that it does not."""
        now = self._clock.monotonic()
        samples, since = self._progress
        if self._running.sampler.samples != samples or self._running.sampler.current is None:
            self._progress = (self._running.sampler.samples, now)
            return True
        return now - since < STALL

    def _status(self) -> str:
        source = self._running.sampler.report()
        parts = [f"revision {self._settings.applied}" if self._settings.applied else "waiting for the catalog"]
        if source is not None:
            parts.append(f"source {source.state}")
        states = [report.state for report in self._running.algorithm_reports().values()]
        parts.append(f"{states.count('running')} of {len(states)} algorithms run")
        parts.extend(
            f"{name} broker {'up' if link.report().connected else 'away'}" for name, link in self._links.items()
        )
        return ", ".join(parts)
