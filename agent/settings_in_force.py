"""
Which settings are in force, which were refused and why, and which get another chance.

Where it stands: documents come from the store at the start, then from the catalog through `conversation`; `service`
brings about what they say. A document is taken whole or not at all, and what was taken is kept for the next start
only once it is in force. It travels with its signatures (`device_catalog.contract.signatures.enveloped`); whether it is
believed is `trust`'s to say, before it is read.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec

from agent.clock import Clock
from agent.errors import ConfigError
from agent.store import Store
from algorithms.api.errors import Problem
from device_catalog.contract.documents import Desired
from device_catalog.contract.reports import Refusal
from device_catalog.contract.signatures import opened
from device_catalog.contract.validation import DocumentError, parse_desired

log = logging.getLogger(__name__)

SECOND_CHANCE = 60.0
"""A revision that a process or a source prevented from being applied is tried again after this [s]."""


class Trust(Protocol):
    """Who says what is believed; `known` is what was in force before, which goes on."""

    def is_forged(self, document: bytes, signature: str) -> bool:
        """Tell whether a document that was kept bears the name of somebody who did not sign it."""

    def problems_of_origin(self, document: bytes, signature: str, *, known: bool) -> list[Problem]:
        """Say why a document is not believed; nothing where it is."""

    def problems_of_document(self, desired: Desired, *, known: bool) -> list[Problem]:
        """Find everything in a believed document that is not allowed."""

    def in_force(self, desired: Desired, *, known: bool) -> None:
        """Take note of what is in force now."""


class _Numbered(msgspec.Struct):
    """As much of a document that is not believed as a refusal names."""

    revision: int = 0


class SettingsInForce:
    """
    The settings of one device.

    Parameters
    ----------
    device : str
    store : Store
    clock : Clock
    bring_about : callable
        Takes a document, and whether it is one that was in force before: then what can run runs. Raises `ConfigError`
        with every problem where everything stays as it was.
    trust : Trust, optional
        Everything is believed without it.
    heed : callable, optional
        Takes a new document that is believed, also where its settings are refused then: what it asks besides.

    Attributes
    ----------
    desired : Desired or None
        What is in force.
    refused : Refusal or None
        What was asked for last, where it was refused.
    """

    def __init__(
        self,
        device: str,
        store: Store,
        clock: Clock,
        bring_about: Callable[[Desired, bool], Awaitable[None]],
        trust: Trust | None = None,
        *,
        heed: Callable[[Desired], None] | None = None,
    ) -> None:
        self.desired: Desired | None = None
        self.refused: Refusal | None = None
        self._device = device
        self._store = store
        self._clock = clock
        self._bring_about = bring_about
        self._trust = trust
        self._heed = heed
        self._unapplied: tuple[bytes, float] | None = None
        self._unkept: tuple[bytes, str] | None = None

    @property
    def applied(self) -> int:
        """The revision in force; 0 for none."""
        return self.desired.revision if self.desired is not None else 0

    async def start_from_store(self) -> None:
        """Bring into force what was before."""
        document = self._store.settings(self._is_whole)
        for complaint in self._store.complaints:
            log.error("%s", complaint)
        if document is not None:
            await self._take(document, known=True)

    async def take(self, document: bytes) -> None:
        """Bring a new document into force and keep it, or refuse it whole; what ran goes on then."""
        if not await self._take(document, known=False):
            return
        self._keep(document)

    def reconsider(self) -> None:
        """Try what was refused again with the next poll: another policy is in force."""
        if self._unapplied is not None:
            self._unapplied = self._unapplied[0], self._clock.monotonic()

    def problems(self) -> list[str]:
        """Say what keeps the next start from beginning with what is in force."""
        return [] if self._unkept is None else [self._unkept[1]]

    def _keep(self, document: bytes) -> None:
        try:
            self._store.keep_settings(document)
        except OSError as error:
            problem = f"revision {self.applied} could not be kept for the next start: {error.strerror or error}"
            if self._unkept is None or self._unkept[1] != problem:
                log.error("%s", problem)
            self._unkept = document, problem
        else:
            self._unkept = None

    def second_chance(self) -> bytes | None:
        """Return a document that the world prevented from being applied, when it is time to; keep what is not kept."""
        if self._unkept is not None:
            self._keep(self._unkept[0])
        if self._unapplied is None or self._clock.monotonic() < self._unapplied[1]:
            return None
        return self._unapplied[0]

    async def _take(self, document: bytes, *, known: bool) -> bool:
        self._unapplied = None
        body, signature = opened(document)
        problems = [] if self._trust is None else self._trust.problems_of_origin(body, signature, known=known)
        if problems:
            self._refuse(_revision(body), problems, document)
            return False
        try:
            desired = parse_desired(body)
        except DocumentError as error:
            self._refuse(0, error.problems)
            return False
        problems = self._problems_with(desired)
        if problems:
            self._refuse(desired.revision, problems)
            return False
        if self._heed is not None and not known:
            self._heed(desired)
        problems = [] if self._trust is None else self._trust.problems_of_document(desired, known=known)
        if problems:
            self._refuse(desired.revision, problems, document)
            return False
        try:
            await self._bring_about(desired, known)
        except ConfigError as error:
            self._refuse(desired.revision, error.problems, document)
            return False
        self.refused = None
        self.desired = desired
        if self._trust is not None:
            self._trust.in_force(desired, known=known)
        log.info("revision %d is in force", desired.revision)
        return True

    def _problems_with(self, desired: Desired) -> list[Problem]:
        problems = []
        if desired.device != self._device:
            problems.append(Problem("device", self._device, desired.device, "this document is another device's"))
        if desired.revision < self.applied:
            expected = f"revision {self.applied} or newer"
            problems.append(Problem("revision", expected, str(desired.revision), "revisions only grow"))
        return problems

    def _is_whole(self, document: bytes) -> bool:
        return self._trust is None or not self._trust.is_forged(*opened(document))

    def _refuse(self, revision: int, problems: Iterable[Problem], again: bytes | None = None) -> None:
        """Refuse a document; `again` is tried later, because it may become right without being changed."""
        if again is not None:
            self._unapplied = again, self._clock.monotonic() + SECOND_CHANCE
        refused = Refusal(revision, tuple(problems))
        known, self.refused = self.refused == refused, refused
        for problem in () if known else refused.problems:
            log.error("revision %d is refused: %s", revision, problem)


def _revision(document: bytes) -> int:
    try:
        return max(0, msgspec.json.decode(document, type=_Numbered).revision)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return 0
