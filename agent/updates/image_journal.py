"""
Which image is in force, which was before, which is on trial and which failed: the agent's own book, on the card.

Where it stands: read at the agent's start and written by `images` and `image_trial`, whole and durably, before what it
says is relied upon. What really stands in the slots the helper says (`slots.messages.SlotStatus`); here is why, and
what not to try again. A power cut anywhere ends in one of the states that stand here.
"""

import asyncio
from typing import Protocol

import msgspec

from agent.updates.journal import FAILURES, Aside
from agent.updates.slots.messages import SlotContent
from device_catalog.contract.documents import ImageSetting
from device_catalog.contract.reports import UpdateReport


class ImageChoice(msgspec.Struct, frozen=True):
    """
    An image that was asked for.

    Attributes
    ----------
    name, version : str
    release : int
    sha256 : str
        Of its signed manifest; empty for what came with the card.
    rollout : str
        Who asked; empty where a person did.
    """

    name: str
    version: str
    release: int
    sha256: str
    rollout: str = ""

    @classmethod
    def of(cls, setting: ImageSetting) -> "ImageChoice | None":
        """Pick it from a setting; None where that asks for whatever is there."""
        if setting.package is None or not setting.version:
            return None
        package = setting.package
        return cls(setting.name, setting.version, package.release, package.sha256.lower(), setting.rollout)

    def is_in(self, content: SlotContent) -> bool:
        """Tell whether it is what stands in a slot."""
        return content.is_same(SlotContent(self.name, self.version, self.release, self.sha256))


class ImageTrial(msgspec.Struct, frozen=True):
    """
    An image on its way.

    Attributes
    ----------
    chosen : ImageChoice
    armed : bool
        Whether the machine was told to restart into it.
    starts : int
        How often it was.
    troubled : tuple of str
        Algorithms that did not run before; that they do not run in it, either, says nothing.
    """

    chosen: ImageChoice
    armed: bool = False
    starts: int = 0
    troubled: tuple[str, ...] = ()


class ImageFailure(msgspec.Struct, frozen=True):
    """An image that is not tried again."""

    chosen: ImageChoice
    report: UpdateReport


class ImageEntry(msgspec.Struct, frozen=True, tag_field="schema", tag="image-journal/1"):
    """
    The whole journal.

    Attributes
    ----------
    active : ImageChoice or None
        What was asked for and confirmed last; None while nothing was.
    before : ImageChoice or None
        What was in force before that.
    trial : ImageTrial or None
    failures : tuple of ImageFailure
        Oldest first.
    """

    active: ImageChoice | None = None
    before: ImageChoice | None = None
    trial: ImageTrial | None = None
    failures: tuple[ImageFailure, ...] = ()

    def failure_of(self, chosen: ImageChoice) -> ImageFailure | None:
        """Return how an image failed; None where it did not."""
        same = (one for one in reversed(self.failures) if one.chosen.sha256 == chosen.sha256)
        return next(same, None)

    def armed(self, chosen: ImageChoice, troubled: tuple[str, ...]) -> "ImageEntry":
        """Note that the machine is about to restart into an image."""
        starts = self.trial.starts if self.trial is not None and self.trial.chosen == chosen else 0
        return msgspec.structs.replace(self, trial=ImageTrial(chosen, True, starts + 1, troubled))

    def returned(self) -> "ImageEntry":
        """Note that the machine came back without the image, and that nobody knows why."""
        return msgspec.structs.replace(self, trial=self.trial and msgspec.structs.replace(self.trial, armed=False))

    def confirmed(self, chosen: ImageChoice, before: SlotContent) -> "ImageEntry":
        """Note that an image is in force, and what stands in the other slot."""
        if self.active is not None and self.active.sha256 == chosen.sha256 and self.trial is None:
            return msgspec.structs.replace(self, active=chosen)
        kept = ImageChoice(before.name, before.version, before.release, before.sha256) if before.name else None
        failures = tuple(one for one in self.failures if one.chosen.sha256 != chosen.sha256)
        return ImageEntry(chosen, kept, None, failures)

    def failed(self, failure: ImageFailure) -> "ImageEntry":
        """Note that an image is not tried again."""
        others = [one for one in self.failures if one.chosen.sha256 != failure.chosen.sha256]
        return msgspec.structs.replace(self, trial=None, failures=(*others, failure)[-FAILURES:])


class Card(Protocol):
    """Where the journal is kept."""

    def image(self) -> bytes | None:
        """Return the journal; None where there is none."""

    def keep_image(self, document: bytes) -> None:
        """Keep the journal; raises `OSError`, and the one before stays, where that fails."""


class ImageJournal:
    """
    The journal of one agent.

    Parameters
    ----------
    card : Card
    aside : callable, optional
        Calls a function where it holds up nothing; in a thread by default.

    Attributes
    ----------
    entry : ImageEntry
    """

    def __init__(self, card: Card, aside: Aside = asyncio.to_thread) -> None:
        self._card = card
        self._aside = aside
        self.entry = _read(card.image())

    async def change(self, entry: ImageEntry) -> None:
        """
        Replace what is known; durable when this returns.

        Raises
        ------
        OSError
            When it cannot be kept; nothing has changed then.
        """
        if entry != self.entry:
            await self._aside(self._card.keep_image, msgspec.json.encode(entry))
            self.entry = entry


def _read(content: bytes | None) -> ImageEntry:
    if content is None:
        return ImageEntry()
    try:
        return msgspec.json.decode(content, type=ImageEntry)
    except (msgspec.DecodeError, RecursionError):
        return ImageEntry()  # of a later agent, which has gone back: the slots say what there is
