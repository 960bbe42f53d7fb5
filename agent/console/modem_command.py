"""``tresma-agent modem``: joins the mobile network that network.yaml names, and keeps it joined."""

import argparse
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.errors import ConfigError
from agent.files import write_durably
from agent.notify import ServiceManager
from agent.provisioning import modem
from agent.provisioning.modem import Link, Mmcli, mmcli
from agent.provisioning.network_files import MODEM
from agent.provisioning.places import make_folder
from agent.provisioning.status import Trouble
from algorithms.api.errors import Problem
from device_catalog.contract.card import Lte

log = logging.getLogger(__name__)

LOOK_EVERY = 30.0
"""A connection is looked at as often [s]."""
FIRST, LONGEST = 10.0, 300.0
"""Bounds of the wait after a failure, which doubles each time [s]."""


def run(options: argparse.Namespace) -> int:
    """Keep the modem joined until told to stop; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    path = options.root / MODEM
    try:
        lte = msgspec.json.decode(path.read_bytes(), type=Lte)
    except (OSError, msgspec.MsgspecError) as error:
        remedy = "`tresma-agent provision` writes it where network.yaml names a mobile network"
        raise ConfigError([Problem(str(path), "settings of a mobile network", shorten(error), remedy)]) from error
    keeper = Keeper(lte, options.root, ServiceManager())
    while True:
        time.sleep(keeper.once())


def shorten(error: Exception) -> str:
    """Say what is wrong with a file without showing what is in it."""
    return getattr(error, "strerror", None) or "something else"


def reload() -> None:
    """Have networkd read its files again."""
    try:
        subprocess.run(
            ["networkctl", "reload"],  # noqa: S607 - the system's own
            capture_output=True, timeout=30, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        log.error("networkd does not read its files again: %s", error)


class Keeper:
    """
    Keeps one modem joined.

    Parameters
    ----------
    lte : Lte
    root : pathlib.Path
    manager : ServiceManager
    ask : callable, optional
        As `mmcli`.
    reload : callable, optional
        As `reload`.
    """

    def __init__(
        self,
        lte: Lte,
        root: Path,
        manager: ServiceManager,
        ask: Mmcli = mmcli,
        reload: Callable[[], None] = reload,
    ) -> None:
        self._lte, self._root, self._manager = lte, root, manager
        self._ask, self._reload = ask, reload
        self._link: Link | None = None
        self._told = ""
        self._failures = 0

    def once(self) -> float:
        """Look, and do what is missing; return how long to wait [s]."""
        found = modem.step(self._lte, self._ask)
        if isinstance(found, Trouble):
            self._failures += 1
            self._tell(f"{found.problem}; {found.remedy}")
            return min(LONGEST, FIRST * 2.0 ** min(self._failures - 1, 10))
        self._failures = 0
        if found != self._link:
            self._write(modem.NETWORK_FILE, modem.file_of(found).content)
            self._reload()
            self._link = found
            log.info("joined a mobile network by %s", found.interface)
        self._tell("")
        return LOOK_EVERY

    def _tell(self, sentence: str) -> None:
        if sentence and sentence != self._told:
            log.warning("%s", sentence)
        self._told = sentence
        self._manager.ready(sentence or "joined")
        self._write(modem.PROBLEM, sentence)

    def _write(self, place: str, content: str) -> None:
        path = self._root / place
        make_folder(path.parent)
        write_durably(path, content.encode(), mode=0o644)
        path.chmod(0o644)
