"""
What is in force, what was before it, what is on probation and what failed, of each algorithm that was ever updated.

Where it stands: read at the agent's start and written by `trial` and `updates`, whole and durably, before what it says
is relied upon. A power cut at any line therefore ends in one of the states that stand here, and each of them names
versions that are on the card.

States of algorithms have two places, so that a version on probation never overwrites what the one before counts:
`Entry.slot` says in which of them the one in force keeps its own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from algorithms.api.manifest import Limits
from device_catalog.contract.documents import Assignment, PackageReference
from device_catalog.contract.reports import UpdateReport

FAILURES = 8
"""So many versions that failed are remembered of each algorithm."""

SLOTS = ("", ".second")
"""Added to an algorithm's name where its states are kept."""


class Chosen(msgspec.Struct, frozen=True):
    """
    A version, and all that it is started with.

    Attributes
    ----------
    version : str
    package : PackageReference or None
        None for the version that came with the agent.
    settings : dict
    limits : Limits
    """

    version: str
    package: PackageReference | None
    settings: dict[str, Any]
    limits: Limits

    @classmethod
    def of(cls, assignment: Assignment) -> "Chosen":
        """Pick it from an assignment."""
        return cls(assignment.version, assignment.package, assignment.settings, assignment.limits)

    def is_version_of(self, other: "Chosen") -> bool:
        """Tell whether both are the same version, with whatever settings; that of the agent itself is what it is."""
        if self.package != other.package:
            return False
        return self.package is None or self.version == other.version

    def put_into(self, assignment: Assignment) -> Assignment:
        """Have it run in the place that `assignment` gives it."""
        return msgspec.structs.replace(
            assignment, version=self.version, package=self.package, settings=self.settings, limits=self.limits
        )


class OnTrial(msgspec.Struct, frozen=True):
    """
    A version that has not proved itself yet.

    Attributes
    ----------
    chosen : Chosen
    starts : int
        How often an agent began its probation.
    """

    chosen: Chosen
    starts: int = 0


class Failure(msgspec.Struct, frozen=True):
    """
    A version that is not tried again.

    Attributes
    ----------
    chosen : Chosen
    any_settings : bool
        Whether other settings would change nothing.
    report : UpdateReport
    """

    chosen: Chosen
    any_settings: bool
    report: UpdateReport

    def concerns(self, wanted: Chosen) -> bool:
        """Tell whether `wanted` is what failed."""
        if not self.chosen.is_version_of(wanted) or self.chosen.version != wanted.version:
            return False
        return self.any_settings or self.chosen == wanted


class Entry(msgspec.Struct, frozen=True):
    """
    What is known of one algorithm.

    Attributes
    ----------
    active : Chosen or None
        In force; None for an algorithm of which no version proved itself yet.
    before : Chosen or None
        In force before that.
    trial : OnTrial or None
    failures : tuple of Failure
        Oldest first.
    slot : str
        Where the one in force keeps its state, of `SLOTS`.
    """

    active: Chosen | None = None
    before: Chosen | None = None
    trial: OnTrial | None = None
    failures: tuple[Failure, ...] = ()
    slot: str = ""

    @property
    def other_slot(self) -> str:
        """Where a version on probation keeps its state."""
        return SLOTS[1] if self.slot == SLOTS[0] else SLOTS[0]

    def failure_of(self, wanted: Chosen) -> Failure | None:
        """Return how `wanted` failed; None where it did not."""
        return next((failure for failure in reversed(self.failures) if failure.concerns(wanted)), None)

    def was_before(self, chosen: Chosen) -> bool:
        """Tell whether a version was in force before the one that is."""
        return self.before is not None and self.before.is_version_of(chosen)

    def names(self, chosen: Chosen) -> bool:
        """Tell whether a version was verified and put on the card, and must still be there."""
        return any(one.is_version_of(chosen) for one in self.named())

    def named(self) -> list[Chosen]:
        """List the versions that must stay on the card, the newest first."""
        trial = None if self.trial is None else self.trial.chosen
        return [one for one in (trial, self.active, self.before) if one is not None]

    def tried(self, chosen: Chosen) -> "Entry":
        """Note that a probation begins."""
        starts = self.trial.starts if self.trial is not None and self.trial.chosen == chosen else 0
        return msgspec.structs.replace(self, trial=OnTrial(chosen, starts + 1))

    def confirmed(self) -> "Entry":
        """Note that the one on probation is in force for good."""
        if self.trial is None:
            return self
        return msgspec.structs.replace(
            self, active=self.trial.chosen, before=self.active, trial=None, slot=self.other_slot
        )

    def failed(self, failure: Failure) -> "Entry":
        """Note that a version is not tried again."""
        others = [one for one in self.failures if not one.concerns(failure.chosen)]
        return msgspec.structs.replace(self, trial=None, failures=(*others, failure)[-FAILURES:])


class Document(msgspec.Struct, frozen=True, tag_field="schema", tag="updates/1"):
    """The whole journal."""

    algorithms: dict[str, Entry] = {}


class Card(Protocol):
    """Where the journal is kept."""

    def updates(self) -> bytes | None:
        """Return the journal; None where there is none."""

    def keep_updates(self, document: bytes) -> None:
        """Keep the journal; raises `OSError`, and the one before stays, where that fails."""


Aside = Callable[..., Awaitable[Any]]


class Journal:
    """
    The journal of one agent.

    Parameters
    ----------
    card : Card
    aside : callable, optional
        Calls a function where it holds up nothing; in a thread by default.
    """

    def __init__(self, card: Card, aside: Aside = asyncio.to_thread) -> None:
        self._card = card
        self._aside = aside
        self._writing = asyncio.Lock()
        self._entries = _read(card.updates())

    def __getitem__(self, algorithm: str) -> Entry | None:
        return self._entries.get(algorithm)

    def entry(self, algorithm: str) -> Entry:
        """Return what is known of an algorithm, if nothing then that."""
        return self._entries.get(algorithm, Entry())

    def named(self) -> dict[str, list[Chosen]]:
        """List what must stay on the card, by algorithm."""
        return {name: entry.named() for name, entry in self._entries.items()}

    def state_name(self, algorithm: str) -> str:
        """Say under which name the version in force keeps its state."""
        return algorithm + self.entry(algorithm).slot

    async def change(self, algorithm: str, entry: Entry) -> None:
        """
        Replace what is known of an algorithm; durable when this returns.

        Raises
        ------
        OSError
            When it cannot be kept; nothing has changed then.
        """
        async with self._writing:
            if self._entries.get(algorithm) == entry:
                return
            entries = {**self._entries, algorithm: entry}
            await self._aside(self._card.keep_updates, msgspec.json.encode(Document(entries)))
            self._entries = entries


def _read(content: bytes | None) -> dict[str, Entry]:
    if content is None:
        return {}
    try:
        return msgspec.json.decode(content, type=Document).algorithms
    except (msgspec.DecodeError, RecursionError):
        return {}  # of a later agent, which has gone back: what a document asks for is begun anew
