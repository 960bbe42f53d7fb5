"""
Has certificates asked for when they are due: the first one before the agent starts, later ones while it runs.

The asking is done by a short-lived process (`exchange`). What runs never waits for it: a renewal that fails is tried
again, ever later, and said in the log; a certificate that ended says what to do.
"""

import asyncio
import logging
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.config import AgentConfig
from agent.errors import ConfigError
from agent.identity.__main__ import Order, Outcome
from agent.identity.files import Facts, Identity, token_digest
from agent.notify import ServiceManager
from agent.processes.asking import ask_process
from algorithms.api.errors import Problem

log = logging.getLogger(__name__)

TIMEOUT = 90.0
"""How long one asking may take [s]."""
FIRST_RETRY = 5.0
LONGEST_RETRY = 3600.0
"""Bounds of the wait after a failure, which doubles each time [s]."""
LEAST_APART = 3600.0
"""Least time between two renewals [s]."""
LONGEST_SLEEP = 6 * 3600.0
"""A clock that was set meanwhile is noticed after this [s]."""


def enrol_if_due(config: AgentConfig, manager: ServiceManager, sleep: Callable[[float], None] = time.sleep) -> None:
    """
    Get the first certificate before anything else, where a token is there that was not used yet.

    A catalog that is away is waited for, unless an earlier identity can go on.

    Raises
    ------
    ConfigError
        When the catalog says no, and there is no earlier identity.
    """
    identity = Identity(config.state_dir)
    try:
        if identity.heal():
            log.error("the certificate on the card was damaged; the one before is used")
    except OSError as error:
        log.error("the certificate is damaged, and the one before cannot be put back: %s", error.strerror)
    if not config.token_file or not _is_new(Path(config.token_file), identity.facts()):
        return
    order = Order(config.device, config.catalog, str(config.state_dir), config.ca, config.token_file)
    has_another = identity.stamp() or config.credential
    manager.ready("asking to be enrolled")
    failures = 0
    while True:
        outcome = _ask(order)
        if not outcome.problem:
            log.info("enrolled as %s", config.device)
            return
        if has_another:
            log.error("not enrolled anew: %s; what let this device in before is used", outcome.problem)
            return
        if outcome.final:
            problem = Problem("token_file", "a token that lets this device in", outcome.problem)
            raise ConfigError([problem])
        failures += 1
        if failures in (1, 10) or failures % 100 == 0:
            log.warning("not enrolled yet: %s (%d times)", outcome.problem, failures)
        _wait(_pause(failures, 60.0), manager, sleep)


async def keep(config: AgentConfig, wall: Callable[[], float] = time.time) -> None:
    """Renew the certificate whenever it is due, for ever; to be cancelled."""
    identity = Identity(config.state_dir)
    order = Order(config.device, config.catalog, str(config.state_dir), config.ca)
    failures = 0
    told = ""
    while True:
        facts = identity.facts()
        wait = LONGEST_SLEEP if facts is None else facts.renew_at - wall()
        if facts is None or wait > 0:
            failures = 0
            await asyncio.sleep(min(wait, LONGEST_SLEEP))
            continue
        outcome = await asyncio.to_thread(_ask, order)
        if not outcome.problem:
            log.info("the certificate was renewed")
            await asyncio.sleep(LEAST_APART)  # a clock that is ahead by years must not have it renewed without end
            continue
        failures += 1
        if outcome.problem != told or failures % 24 == 0:
            told = outcome.problem
            left = (facts.not_after - wall()) / 86_400
            remedy = f"it ends in {left:.1f} days" if left > 0 else "it has ended: enrol the device anew"
            log.warning("the certificate is not renewed: %s; %s", outcome.problem, remedy)
        await asyncio.sleep(_pause(failures, LONGEST_RETRY))


def _pause(failures: int, longest: float) -> float:
    return float(min(longest, FIRST_RETRY * 2.0 ** min(failures - 1, 20)) * (0.5 + 0.5 * random.random()))


def _is_new(path: Path, facts: Facts | None) -> bool:
    """Tell whether a token is there that did not bring the certificate in force."""
    try:
        token = path.read_text(encoding="utf-8")[:4096]
    except (OSError, UnicodeDecodeError):
        return facts is None  # the asking process says what is wrong with it
    return facts is None or facts.token != token_digest(token)


def _ask(order: Order) -> Outcome:
    try:
        done = ask_process("agent.identity", order, TIMEOUT)
        return msgspec.json.decode(done.stdout, type=Outcome)
    except subprocess.TimeoutExpired:
        return Outcome(f"no answer within {TIMEOUT:g} s")
    except (OSError, msgspec.DecodeError):
        return Outcome("the process that asks for certificates ended without an answer")


def _wait(seconds: float, manager: ServiceManager, sleep: Callable[[float], None]) -> None:
    """Wait, and keep the service manager's watchdog fed."""
    step = min(seconds, manager.watchdog / 3) if manager.watchdog else seconds
    while seconds > 0:
        manager.alive()
        sleep(min(step, seconds))
        seconds -= step
