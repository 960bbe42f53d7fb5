"""
What algorithms and drivers declare, so that their settings can be told from what does not belong there.

Where it stands: asked by `gathering`, in a process that is not the agent: what came with the agent is imported for it,
which loads numpy. A package that was sent to the meter is never imported; its signed manifest says the same.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path

from agent.processes.declared import declared_in
from agent.processes.entry_points import entry_of
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.settings import Setting
from device_catalog.contract.topics import is_identifier

_drivers = {
    "simulated": "hardware.simulated_settings",
    "recorded": "hardware.recorded_source",
    "uldaq": "hardware.mcc_options",
    "mcculw": "hardware.mcc_options",
}


class Declarations:
    """
    What is declared on one meter.

    Parameters
    ----------
    packages : pathlib.Path
        Where algorithms are that were sent to it.
    """

    def __init__(self, packages: Path) -> None:
        self._packages = packages

    def of(self, kind: str, name: str) -> Sequence[Setting] | None:
        """Tell what an algorithm (``algorithms``) or a driver (``drivers``) declares; None where nobody knows."""
        try:
            if kind == "drivers":
                module = _drivers.get(name)
                return None if module is None else tuple(importlib.import_module(module).OPTIONS)
            return (*self._came(name), *self._sent(name)) or None
        except Exception:  # noqa: BLE001 - foreign code and broken installations: then nothing is let through
            return None

    def _came(self, name: str) -> Sequence[Setting]:
        """Ask an algorithm that came with the agent."""
        try:
            module, _, attribute = entry_of(name).partition(":")
            info = getattr(importlib.import_module(module), attribute).info
        except ImportError:
            return ()
        return tuple(info.settings) if isinstance(info, AlgorithmInfo) else ()

    def _sent(self, name: str) -> Sequence[Setting]:
        """Ask the manifests of its packages."""
        if not is_identifier(name) or not (self._packages / name).is_dir():
            return ()
        found: list[Setting] = []
        for folder in sorted((self._packages / name).iterdir()):
            try:
                found += declared_in(str(folder)).settings
            except ImportError:
                continue
        return found
