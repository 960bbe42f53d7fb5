"""
The only place that knows which parts an agent is made of.

It imports no numpy: what needs numbers runs in processes of its own, and the agent stays small.
"""

import asyncio
import fcntl
import logging
import os
import sys
from pathlib import Path

from agent.catalog import CatalogClient
from agent.clock import SystemClock
from agent.config import AgentConfig, read_config
from agent.delivery.outbox import Outbox
from agent.errors import ConfigError
from agent.identity.keeper import enrol_if_due
from agent.identity.keeper import keep as keep_identity
from agent.notify import ServiceManager
from agent.processes.workers import Workers
from agent.service import Service
from agent.store import Store
from agent.support.kept_log import KeptLog
from agent.support.scrubbing import Scrubber
from algorithms.api.errors import Problem, printable

PRELOAD = ("algorithms.builtin.phasors", "hardware.registry")
"""Loaded once, before anything is forked: what nearly every meter runs would otherwise be loaded by each process."""


def run(config_file: Path | None) -> int:
    """Run an agent until it is told to stop; returns the exit status."""
    config = read_config(config_file)
    kept = _log_to(config)
    lock = _sole(config)
    try:
        enrol_if_due(config, ServiceManager())
        config = read_config(config_file)  # the root of trust may have come with the certificate
        asyncio.run(_serve(config, config_file, kept))
    finally:
        os.close(lock)
    return 0


async def _serve(config: AgentConfig, file: Path | None, kept: KeptLog) -> None:
    service = Service(
        config,
        store=Store(config.state_dir),
        outbox=Outbox.open(config.state_dir / "outbox.db", device=config.device),
        workers=Workers(preload=PRELOAD),
        catalog=CatalogClient(config),
        clock=SystemClock(),
        manager=ServiceManager(),
        file=file,
        kept_log=kept,
    )
    renewing = asyncio.create_task(keep_identity(config), name="identity")
    try:
        await service.run()
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


def _sole(config: AgentConfig) -> int:
    """Make sure that no other agent uses the same state; return the lock that says so."""
    try:
        config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(config.state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        expected = "a folder that the agent may write"
        found = f"{config.state_dir}: {error.strerror}"
        raise ConfigError([Problem("state_dir", expected, found, "set state_dir, or run as another user")]) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        expected = "a folder of this agent's own"
        remedy = "stop the other agent, or set another state_dir"
        raise ConfigError([Problem("state_dir", expected, f"{config.state_dir} is in use", remedy)]) from None
    return lock


class _Formatter(logging.Formatter):
    """Lines whose words partly come from brokers, catalogs and algorithms: shown, never obeyed, without secrets."""

    def __init__(self, form: str, scrubber: Scrubber | None = None) -> None:
        super().__init__(form)
        self._scrubber = scrubber or Scrubber()

    def format(self, record: logging.LogRecord) -> str:
        return printable(self._scrubber.text(super().format(record)))


def _log_to(config: AgentConfig) -> KeptLog:
    """Log to the journal with fields where the service manager's library is there, else to standard error."""
    logging.raiseExceptions = False  # a log that cannot be written must not stop a meter
    scrubber = Scrubber([config.credential])
    kept = KeptLog(scrubber)
    handler: logging.Handler
    if os.environ.get("JOURNAL_STREAM"):
        try:
            from systemd.journal import JournalHandler  # noqa: PLC0415 - optional, and only useful there

            handler = JournalHandler(SYSLOG_IDENTIFIER="tresma-agent", DEVICE_ID=config.device)
            handler.setFormatter(_Formatter("%(message)s", scrubber))
        except ImportError:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(_Formatter("%(levelname)s %(message)s", scrubber))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Formatter(f"%(asctime)s {config.device} %(levelname)s %(message)s", scrubber))
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler, kept])
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    return kept
