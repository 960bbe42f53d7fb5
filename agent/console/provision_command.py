"""``tresma-agent provision``: at each start of a meter, from its card to its certificate."""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from functools import partial

import msgspec

from agent.notify import ServiceManager
from agent.provisioning import diagnosis, status
from agent.provisioning.card_folder import CardFolder
from agent.provisioning.enrolling import Enrolling, is_enrolled, settle, start_agent
from agent.provisioning.places import Places
from agent.provisioning.status import CARD, DONE, ENROLLED, FAILED, WAITING, Status, Trouble
from agent.provisioning.taking_up import Taken, take_up
from device_catalog.contract.card import Card, NetworkSettings
from device_catalog.contract.card_files import read_network
from device_catalog.contract.validation import DocumentError

log = logging.getLogger(__name__)

_NOBODY = Trouble(
    CARD,
    "this card does not say who this meter is: there is no usable card.yaml on it",
    "write it with `tresma flash`, or put card.yaml into the folder tresma of its first partition",
    needs_somebody=True,
)


def run(options: argparse.Namespace) -> int:
    """Provision; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    places = Places(options.root)
    folder = CardFolder(options.card)
    return Provisioning(places, folder, ServiceManager(), once=options.once or options.offline).run(
        offline=options.offline
    )


class Provisioning:
    """
    One start of a meter.

    Parameters
    ----------
    places : Places
    folder : CardFolder
    manager : ServiceManager
    once : bool
        Whether the catalog is asked once only.
    sleep : callable, optional
    """

    def __init__(
        self,
        places: Places,
        folder: CardFolder,
        manager: ServiceManager,
        *,
        once: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._places, self._folder, self._manager = places, folder, manager
        self._once, self._sleep = once, sleep
        self._taken = Taken(None, [])
        self._told = ""

    def run(self, *, offline: bool = False) -> int:
        """Take up the card, and ask for a certificate until there is one; returns the exit status."""
        try:
            self._taken = take_up(self._places, self._folder)
        except OSError as error:
            place = error.filename or self._places.settings
            self._tell(_unwritable(place, error), 0, 0.0)
            return 1  # the service manager tries again
        card = self._taken.card
        if card is None:
            self._manager.ready("this card does not say who this meter is")
            self._tell(_NOBODY, 0, 0.0)
            return 0 if not self._once else 1
        if is_enrolled(self._places, card):
            changed = settle(self._places, card)
            self._manager.ready(f"{card.device} is enrolled")
            if changed and self._places.is_machine:  # a start that was broken off had left the agent nobody to be
                start_agent()
            self._done()
            return 0
        self._manager.ready(f"{card.device} is not enrolled yet")
        if offline:
            self._tell(Trouble(status.NETWORK, ""), 0, 0.0)
            return 0
        return self._enrol(card)

    def _enrol(self, card: Card) -> int:
        look = partial(diagnosis.look, network=self._network(), root=self._places.root)
        enrolling = Enrolling(self._places, card, look)
        attempts = times = 0
        step = ""
        while True:
            attempts += 1
            try:
                trouble = enrolling.once()
            except OSError as error:
                trouble = _unwritable(error.filename or self._places.settings, error)
            if trouble is None:
                log.info("%s is enrolled", card.device)
                self._done()
                if self._places.is_machine:
                    start_agent()
                return 0
            times = times + 1 if trouble.step == step else 1
            step = trouble.step
            pause = enrolling.pause(trouble, times)
            self._tell(trouble, attempts, 0.0 if self._once else pause)
            if self._once:
                return 1
            self._sleep(pause)

    def _network(self) -> NetworkSettings:
        try:
            return read_network(self._places.network.read_bytes())
        except (OSError, DocumentError):  # told by taking_up
            return NetworkSettings()

    def _done(self) -> None:
        problems = [str(problem) for problem in self._taken.problems]
        problem = self._taken.warning or (problems[0] if problems else "")
        remedy = ""
        if self._taken.warning:
            remedy = "where the board was exchanged for good, put a card.yaml with a new token onto the card"
        self._write(self._status(DONE, ENROLLED, problem, remedy))

    def _tell(self, trouble: Trouble, attempts: int, retry: float) -> None:
        state = FAILED if trouble.needs_somebody else WAITING
        problems = self._taken.problems
        if trouble is _NOBODY and problems:
            first = problems[0]
            words = str(msgspec.structs.replace(first, remedy=""))
            trouble = Trouble(CARD, words, first.remedy or trouble.remedy, needs_somebody=True)
        now = self._status(state, trouble.step, trouble.problem, trouble.remedy)
        self._write(msgspec.structs.replace(now, attempts=attempts, retry=round(retry, 1)))

    def _status(self, state: str, step: str, problem: str, remedy: str) -> Status:
        card = self._taken.card
        problems = tuple(str(one) for one in self._taken.problems)
        if card is None:
            return Status(state, step, problem, remedy, problems)
        return Status(state, step, problem, remedy, problems, card.device, card.label, card.host, card.catalog)

    def _write(self, now: Status) -> None:
        """Tell the journal what changed, the service manager and everybody else how it stands."""
        sentence = "; ".join(part for part in (now.problem, now.remedy) if part)
        if sentence != self._told and sentence:
            log.warning("%s", sentence)
        self._told = sentence
        self._manager.status(sentence[:200] or ("enrolled" if now.state == DONE else "not enrolled yet"))
        try:
            status.write(now, self._places.root)
        except OSError as error:
            log.error("how far this meter is cannot be told: %s", error.strerror or error)


def _unwritable(place: object, error: OSError) -> Trouble:
    problem = f"the data partition cannot be written ({place}): {error.strerror or error}"
    return Trouble(
        CARD, problem, "the card is worn out or full: write a new one with `tresma flash`", needs_somebody=True
    )
