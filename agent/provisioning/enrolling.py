"""
Asks the catalog for a meter's certificate until it has one, and then lets the agent begin.

What is asked is asked by the short-lived process of `agent.identity`, as the service's own user. A token that is used
or expired, and a catalog that is another's, need somebody; all the same they are tried again every few minutes, since
what is put right elsewhere (a catalog's certificate, a proxy, a clock) must not need a second visit.
"""

import logging
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import yaml

from agent.identity.__main__ import Order, Outcome
from agent.identity.files import Facts, Identity, token_digest
from agent.processes.asking import ask_process
from agent.provisioning.diagnosis import Wanted
from agent.provisioning.places import Places, service_user
from agent.provisioning.status import CATALOG, CLOCK, NETWORK, TOKEN, Trouble
from algorithms.api.errors import shortened
from device_catalog.contract.card import Card, without_token
from device_catalog.contract.card_files import write
from device_catalog.contract.enrolment import Token

log = logging.getLogger(__name__)

TIMEOUT = 90.0
"""How long one asking may take [s]."""
FIRST, LONGEST = 2.0, 300.0
"""Bounds of the wait after a failure, which doubles each time [s]."""
SOON, NEAR = 0.5, 15.0
"""The same while the way to the catalog is looked for, which asks nothing of it; somebody may stand there [s]."""
_LENT = "enrolment-token"


Ask = Callable[[Order], Outcome]
"""Carries out an order; see `ask`."""


def is_enrolled(places: Places, card: Card) -> bool:
    """Tell whether the certificate in force is this device's, brought by the card's token where that is still there."""
    facts = _facts(places)
    return (
        facts is not None
        and facts.device == card.device
        and (not card.token or facts.token == token_digest(card.token))
    )


def _facts(places: Places) -> Facts | None:
    return Identity(places.state).facts()


def wanted(places: Places, card: Card) -> Wanted:
    """Say whom a meter wants to reach."""
    anchors = Token.read(card.token).anchors if card.token else ""
    return Wanted(card.catalog, anchors, str(places.authorities) if places.authorities.exists() else "")


def ask(order: Order) -> Outcome:
    """Have the catalog asked by a process of the service's user."""
    owner = service_user()
    who = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    try:
        done = ask_process("agent.identity", order, TIMEOUT, **who)
    except subprocess.TimeoutExpired:
        return Outcome(f"the catalog gave no answer within {TIMEOUT:g} s")
    except OSError as error:
        return Outcome(f"the process that asks for certificates cannot be started: {error.strerror or error}")
    try:
        return msgspec.json.decode(done.stdout, type=Outcome)
    except msgspec.DecodeError:
        last = shortened(done.stderr.decode(errors="replace").strip().rpartition("\n")[2], 200)
        return Outcome(f"the process that asks for certificates ended without an answer: {last or done.returncode}")


class Enrolling:
    """
    One meter's way to its certificate.

    Parameters
    ----------
    places : Places
    card : Card
        With a token, or enrolled already.
    ask : callable, optional
    look : callable
        Finds out what is in the way, or that nothing is (`diagnosis.look`).
    """

    def __init__(self, places: Places, card: Card, look: Callable[[Wanted], Trouble | None], ask: Ask = ask) -> None:
        self._places, self._card = places, card
        self._look, self._ask = look, ask
        self._chance = random.Random()

    def once(self) -> Trouble | None:
        """
        Ask once; None where the meter is enrolled, and everything is written that the agent begins with.

        Raises
        ------
        OSError
            When the data partition cannot be written.
        """
        if not is_enrolled(self._places, self._card):
            whom = wanted(self._places, self._card)
            trouble = self._look(whom)
            if trouble is not None:
                return trouble
            outcome = self._ask_with_token(whom)
            if outcome.problem:
                return _trouble(outcome, self._card.device)
        self._settle()
        return None

    def pause(self, trouble: Trouble, times: int) -> float:
        """Say how long to wait before the next look [s], where the same step has failed so many times on end."""
        near = trouble.step in (NETWORK, CLOCK)
        wait = min(NEAR, SOON * 1.2 ** min(times - 1, 40)) if near else min(LONGEST, FIRST * 2.0 ** min(times - 1, 20))
        return wait * (0.5 + 0.5 * self._chance.random())

    def _ask_with_token(self, whom: Wanted) -> Outcome:
        """Lend the token to the asking process in memory: what is on the data partition is root's alone."""
        self._places.make_state()
        token = self._places.lent / _LENT
        try:
            self._places.lend(_LENT, self._card.token.encode())
            order = Order(self._card.device, self._card.catalog, str(self._places.state), whom.ca, str(token))
            return self._ask(order)
        finally:
            token.unlink(missing_ok=True)

    def _settle(self) -> None:
        """Write what the agent begins with, then forget the token: a power cut between leaves nothing undone."""
        self._places.make_state()
        settle(self._places, self._card)
        self._places.keep(self._places.card, write(without_token(self._card)))
        (self._places.lent / _LENT).unlink(missing_ok=True)  # of a process that was killed


def settle(places: Places, card: Card) -> bool:
    """Write the agent's few lines, keeping those that somebody added; tell whether they changed."""
    try:
        before = yaml.safe_load(places.config.read_bytes())
    except (FileNotFoundError, yaml.YAMLError):
        before = None
    lines = dict(before) if isinstance(before, dict) else {}
    for name in ("token_file", "credential", "credential_file", "ca_file", "least_policy"):
        lines.pop(name, None)
    lines |= {"device": card.device, "catalog": card.catalog, "state_dir": str(places.seen(places.state))}
    if not places.is_machine:
        lines["state_dir"] = str(places.state)
    if places.authorities.exists():
        lines["ca_file"] = places.authorities.name
    if card.least_policy:
        lines["least_policy"] = card.least_policy
    content = yaml.safe_dump(lines, sort_keys=False).encode()
    return places.keep(places.config, content, mode=0o640, for_service=True)


def start_agent(manager: Path = Path("/run/systemd/system")) -> None:
    """Have the agent started, which was skipped while there was nobody to be, or started anew as who it is now."""
    if not manager.is_dir():
        return
    try:
        subprocess.run(
            ["systemctl", "restart", "--no-block", "tresma-agent.service"],  # noqa: S607 - the system's own
            capture_output=True, timeout=30, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        log.error("the agent could not be started: %s; it begins with the next start of the machine", error)


def _trouble(outcome: Outcome, device: str) -> Trouble:
    """Say what a refusal means to whoever stands before the meter."""
    problem = outcome.problem
    again = f"ask the operator for a new token (tresma devices enrol {device}), and put it into card.yaml"
    if "found one used at" in problem:
        twice = "another meter may have this one's identity, or this one has lost its data"
        return Trouble(TOKEN, f"this card's token was used before: {problem}", f"{twice}; {again}", needs_somebody=True)
    if "no certificate:" in problem and outcome.final:
        return Trouble(TOKEN, problem, again, needs_somebody=True)
    return Trouble(CATALOG, problem, "it is tried again; tell the operator if it lasts", needs_somebody=outcome.final)
