"""
What the demo runs: catalog, brokers, meters and a grid's agents, each a process of its own on free loopback ports.

Meters are registered the way an operator does it, through the REST API; each agent starts with the few lines its
registration gave, and nothing else.
"""

import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import demo_feeder
import demo_grid
import msgspec
import requests
import yaml
from demo_processes import DemoError, Household, find_mosquitto, free_port, is_listening
from demo_recording import Facts

from algorithms.api.network_document import NetworkDocument
from algorithms.api.wire import time_text
from device_catalog.operator.catalog import Catalog
from device_catalog.operator.network_store import NetworkCatalog
from device_catalog.operator.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

REPLAYING, SIMULATED, INTERRUPTED = "replaying", "simulated", "interrupted"
METERS = (REPLAYING, SIMULATED, INTERRUPTED)

POLL, LEASE = 0.5, 2.0
"""Of the demo's meters [s]; a real fleet polls every minute or so."""

LEAD = 6.0
"""From registration to the first sample of the recording: time for its agent, and five others, to start [s]."""

ROOT_OF_TRUST = "root-of-trust.json"
"""File of the root that meters with signed algorithms are given."""

ATTEMPTS = 3
"""A free port may be taken by somebody else before a broker gets it."""


@dataclass
class Plant:
    """
    Catalog, brokers and meters of one demo.

    Parameters
    ----------
    folder : pathlib.Path
        Logs, configurations and databases.
    household : Household
    facts : Facts
        Of the recording that is replayed.

    Attributes
    ----------
    origin_ns : int
        When the recording's first sample is taken [ns UTC].
    """

    folder: Path
    household: Household
    facts: Facts
    origin_ns: int = 0
    _ports: dict[str, int] = field(default_factory=dict)

    @property
    def catalog(self) -> str:
        """Address of the catalog."""
        return f"http://127.0.0.1:{self._ports['catalog']}"

    @property
    def data_port(self) -> int:
        """Port of the data broker."""
        return self._ports["data"]

    def broker(self, name: str) -> str:
        """Address of a broker."""
        return f"mqtt://127.0.0.1:{self._ports[name]}"

    @property
    def nominal_voltage(self) -> dict[str, float]:
        """Each meter's nominal voltage [V]."""
        return {REPLAYING: self.facts.nominal_voltage, SIMULATED: 230.0, INTERRUPTED: 230.0}

    def start_broker(self, name: str) -> None:
        """Start a broker; it keeps nothing on disk and listens on loopback only."""
        program = find_mosquitto()
        for attempt in range(1, ATTEMPTS + 1):
            self._ports[name] = port = free_port()
            lines = [
                f"listener {port} 127.0.0.1",
                "allow_anonymous true",
                "set_tcp_nodelay true",
                "persistence false",
                "max_queued_messages 100000",
            ]
            if os.geteuid() == 0:
                lines.append("user root")  # it would become another user, whom the kernel would not end with the demo
            config = self.folder / f"{name}-broker.conf"
            config.write_text("\n".join(lines) + "\n")
            self.household.start(f"{name}-broker", [program, "-c", str(config)])
            try:
                self.household.wait_for(partial(is_listening, port), f"the {name} broker's start", 10.0)
            except DemoError:
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    def start_catalog(self) -> None:
        """Start the catalog, and wait until it can serve."""
        self._ports["catalog"] = free_port()
        command = [
            *(sys.executable, "-m", "device_catalog", "serve"),
            *("--state", str(self.folder / "catalog")),
            *("--port", str(self._ports["catalog"])),
            *("--grid-broker", self.broker("grid")),
        ]
        self.household.start("catalog", command, {"PYTHONPATH": str(ROOT)})

        def ready() -> bool:
            try:
                return requests.get(f"{self.catalog}/readyz", timeout=2.0).ok
            except requests.RequestException:
                return False

        self.household.wait_for(ready, "the catalog's start", 30.0)

    def settings(self) -> Settings:
        """Where the catalog is, and who the operator is."""
        token = (self.folder / "catalog" / "operator.token").read_text().strip()
        return Settings(catalog=self.catalog, token=token)

    def register_meters(self, more: Mapping[str, dict[str, Any]], root: bytes) -> None:
        """
        Register the three meters, and write for each the few lines its agent needs.

        Parameters
        ----------
        more : mapping
            What some of them run besides, by device.
        root : bytes
            The root of trust for those.
        """
        self.origin_ns = time.time_ns() + round(LEAD * 1e9)
        (self.folder / ROOT_OF_TRUST).write_bytes(root)
        with Catalog(self.settings()) as catalog:
            for device, acquisition in self._acquisitions().items():
                phasors = {"algorithm": "phasors", "settings": {"window": 3, "report_rate": 50}}
                algorithms = [phasors, *([more[device]] if device in more else [])]
                self._register(catalog, device, f"the demo's {device} meter", acquisition, algorithms)
                if device in more:
                    with self._config(device).open("a") as lines:
                        lines.write(f"root_file: {self.folder / ROOT_OF_TRUST}\n")

    def register_grid(self) -> None:
        """Put the low-voltage grid into the catalog, and register an agent for each of its areas."""
        with NetworkCatalog(self.settings()) as catalog:
            catalog.put(msgspec.convert(demo_grid.document(), NetworkDocument), "*")
            for area, device in demo_grid.DEVICES.items():
                topology = {"network": demo_grid.NETWORK, "area": area}
                words = f"estimates {area} of the demo's grid"
                self._register(catalog, device, words, None, [demo_grid.algorithm_of(area)], topology=topology)

    def store_feeder(self) -> None:
        """Put the medium-voltage feeder into the catalog."""
        with NetworkCatalog(self.settings()) as catalog:
            catalog.put(msgspec.convert(demo_feeder.document(), NetworkDocument), "*")

    def add_feeder(self, devices: dict[str, dict[str, Any]]) -> None:
        """Register devices of the feeder, with what is special of each, and start their agents."""
        with Catalog(self.settings()) as catalog:
            for device, special in devices.items():
                fields = {"acquisition": None, **special}
                self._register(catalog, device, "of the demo's feeder", **fields)
        for device in devices:
            self.start_agent(device)

    def _register(
        self,
        catalog: Catalog,
        device: str,
        description: str,
        acquisition: dict[str, Any] | None,
        algorithms: list[dict[str, Any]],
        **more: Any,
    ) -> None:
        registered = catalog.register(
            {
                "device": device,
                "kind": "meter" if acquisition is not None else "agent",
                "description": description,
                "configuration": {
                    "brokers": {"grid": [self.broker("grid")], "data": [self.broker("data")]},
                    "acquisition": acquisition,
                    "algorithms": algorithms,
                    "poll": {"interval": POLL, "lease": LEASE},
                    **more,
                },
            }
        )
        lines = {
            "device": registered.device,
            "catalog": self.catalog,
            "credential": registered.credential,
            "state_dir": str(self.folder / f"{device}.state"),
        }
        path = self._config(device)
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(lines))

    def start_agent(self, device: str) -> None:
        """Start a device's agent."""
        command = [sys.executable, "-m", "agent", "run", "--config", str(self._config(device))]
        self.household.start(device, command, {"PYTHONPATH": str(ROOT)})

    def stop_agents(self) -> None:
        """Ask all agents to end, and wait until they have."""
        devices = (*METERS, *demo_grid.DEVICES.values(), *demo_feeder.DEVICES)
        children = [self.household.children[device] for device in devices if device in self.household.children]
        for child in children:
            child.ask_to_end()
        for child in children:
            self.household.end(child, 10.0)

    def stop_catalog(self) -> None:
        """Ask the catalog to end while the brokers are still there to be told."""
        self.household.end(self.household.children["catalog"], 5.0)

    def _config(self, device: str) -> Path:
        return self.folder / f"{device}.yaml"

    def _acquisitions(self) -> dict[str, dict[str, Any]]:
        house = {"driver": "simulated", "sample_rate": 6400.0, "nominal_voltage": 230.0, "nominal_frequency": 50.0}
        noise = {"voltage_noise": 0.05, "current_noise": 0.002}
        events = [
            {"kind": "sag", "start": 6.0, "duration": 0.5, "period": 12.0, "depth": 0.4, "phases": ["B"]},
            {"kind": "phase-jump", "start": 9.0, "duration": 6.0, "period": 12.0, "angle": math.radians(30.0)},
        ]
        load = {"apparent_power": 3450.0, "power_factor": 0.95}
        feeding = {"apparent_power": 2000.0, "power_factor": -0.98, "frequency": 49.97}
        recorded = {"path": str(self.facts.path), "repeat": True, "start_time": time_text(self.origin_ns)}
        if self.facts.currents:
            recorded["currents"] = list(self.facts.currents)
        return {
            REPLAYING: {
                "driver": "recorded",
                "sample_rate": self.facts.sample_rate,
                "nominal_voltage": round(self.facts.nominal_voltage, 1),
                "nominal_frequency": self.facts.nominal_frequency,
                "options": recorded,
            },
            SIMULATED: {**house, "options": {**load, **noise, "seed": 1, "events": events}},
            INTERRUPTED: {**house, "options": {**feeding, **noise, "seed": 2}},
        }
