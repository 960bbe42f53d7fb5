"""
The trial of an image that was started: confirmed once the meter has been well in it, or left, and why.

Where it stands: part of `images`, which brings an image that far; `image_health` judges, `image_journal` keeps why, the
helper (`slots`) confirms or leaves. An image in which nobody was reached is tried again once the catalog is, a few
times; one that the meter came back from without a word, too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from agent.clock import Clock
from agent.errors import SlotError
from agent.updates.image_health import AWAY, GRACE, Health, ailment, verdict
from agent.updates.image_journal import ImageChoice, ImageEntry, ImageFailure, ImageJournal
from agent.updates.slots import messages
from agent.updates.slots.messages import SlotContent, SlotRequest, SlotStatus
from device_catalog.contract.reports import UpdateReport

log = logging.getLogger(__name__)

STARTS = 3
"""An image that was started so often and never said why it was left has failed."""
RESTART = 600.0
"""So long a restart may take before it counts as one that did not happen [s]."""
LOOK = 1.0
"""How often a trial is looked at [s]."""


class Meter(Protocol):
    """What `images` and its trial must know of the meter around it."""

    def health(self) -> Health:
        """Say how it is."""

    def is_flushed(self) -> bool:
        """Tell whether what was to be sent is delivered."""

    def utc(self) -> float | None:
        """Tell the time [s since 1970]; None while the clock is not set."""


class Tell(Protocol):
    """Whoever says in the meter's report where an image stands."""

    def __call__(self, chosen: ImageChoice, step: str, reason: str = "") -> None:
        """Say so."""


class ImageTrial:
    """
    The trials of one meter's images.

    Parameters
    ----------
    journal : ImageJournal
    meter : Meter
    clock : Clock
    ask : callable
        Asks the helper.
    tell : Tell
    note : callable
        Takes the report of an image that has failed.
    probation : callable
        Says how long an image has to prove itself [s].
    """

    def __init__(
        self,
        journal: ImageJournal,
        *,
        meter: Meter,
        clock: Clock,
        ask: Callable[[SlotRequest], Awaitable[SlotStatus]],
        tell: Tell,
        note: Callable[[UpdateReport], None],
        probation: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._meter = meter
        self._clock = clock
        self._ask = ask
        self._tell = tell
        self._note = note
        self._probation = probation

    async def settle(self) -> None:
        """Judge what was started on trial, or find out why the machine came back without it."""
        status = await self._ask(SlotRequest(messages.STATUS))
        entry = self._journal.entry
        if status.on_trial:
            await self._judge(status)
        elif entry.trial is not None and entry.trial.chosen.is_in(status.running):
            await self._journal.change(entry.confirmed(entry.trial.chosen, status.other))
        elif entry.trial is not None and entry.trial.armed and not status.trying:
            await self._came_back(status, entry)

    async def _judge(self, status: SlotStatus) -> None:
        """Confirm what runs once the meter has been well in it long enough; else leave it, which restarts."""
        entry, running = self._journal.entry, status.running
        trial = entry.trial
        chosen = trial.chosen if trial is not None and trial.chosen.is_in(running) else _named(running)
        troubled = frozenset(trial.troubled) if trial is not None else frozenset()
        self._tell(chosen, "probation")
        probation = self._probation()
        begin = well = self._clock.monotonic()
        while True:
            now, health = self._clock.monotonic(), self._meter.health()
            ill = ailment(health, troubled)
            well = now if ill else well
            good, reason = verdict(health, ill, well_for=now - well, since=now - begin, probation=probation)
            if good:
                refusal = await self._confirm(chosen)
                if not refusal:
                    return
                reason = refusal if now - begin > probation + AWAY + GRACE else ""
            if reason:
                await self._leave(chosen, reason, innocent=not ill and not health.catalog)
                return
            await asyncio.sleep(LOOK)

    async def _confirm(self, chosen: ImageChoice) -> str:
        """Have what runs confirmed; say why that was refused, as by the image's own watch of its health."""
        try:
            status = await self._ask(SlotRequest(messages.GOOD))
        except SlotError as error:
            self._tell(chosen, "probation", str(error))
            return str(error)
        await self._journal.change(self._journal.entry.confirmed(chosen, status.other))
        log.info("%s %s is in force", chosen.name, chosen.version)
        self._tell(chosen, "active")
        return ""

    async def _leave(self, chosen: ImageChoice, reason: str, *, innocent: bool) -> None:
        """Go back by a restart; an image in which nobody was reached is tried again once the catalog is."""
        log.error("%s %s is left: %s", chosen.name, chosen.version, reason)
        trial = self._journal.entry.trial
        if not innocent or trial is None or trial.starts >= STARTS:
            await self._quarantine(chosen, f"probation: {reason}")
        await self._ask(SlotRequest(messages.LEAVE, reason=reason))
        await restarting()

    async def _came_back(self, status: SlotStatus, entry: ImageEntry) -> None:
        trial, other = entry.trial, status.other
        if trial is None:
            return
        reason = other.reason if trial.chosen.is_in(other) and other.state == "failed" else ""
        unreached = reason.startswith("it reached neither")
        if trial.starts >= STARTS:
            reason = reason or f"it was started {trial.starts} times, and each time the meter came back without it"
        elif not reason or unreached:
            await self._journal.change(entry.returned())
            return
        await self._quarantine(trial.chosen, f"probation: {reason}")
        if other.state != "failed" and trial.chosen.is_in(other):
            await self._ask(SlotRequest(messages.SPOIL, reason=reason))

    async def _quarantine(self, chosen: ImageChoice, reason: str) -> None:
        report = UpdateReport(chosen.version, "failed", reason, rollout=chosen.rollout)
        await self._journal.change(self._journal.entry.failed(ImageFailure(chosen, report)))
        self._note(report)


async def restarting() -> None:
    """Wait for the restart that was asked for."""
    await asyncio.sleep(RESTART)
    raise SlotError("expected the machine to restart, found that it goes on", passing=True)


def _named(content: SlotContent) -> ImageChoice:
    """Name what runs on trial without anybody here having asked for it: the journal was lost."""
    return ImageChoice(content.name, content.version, content.release, content.sha256)
