"""
The image of this meter's root slots: how another one comes, is tried by a restart, and is kept or left.

Where it stands: `service` says what is asked for (`want`) and how the meter is (`Health`), and reports what is told
here. `image_fetches` brings an image to the card, the helper (`slots`) alone writes it and chooses what boots,
`image_trial` judges what was started, and `image_journal` keeps why.

How it goes: verified and downloaded while all goes on, written into the slot that does not run, then, at a time at
which the meter may restart and with what is urgent delivered, tried for exactly one start. In it the agent confirms it
once the meter has been well for its probation, or leaves it. Whatever does not get that far, the start after boots what
was confirmed last, and the image is not tried again, but where nobody knows why: then a few times.

Rules: at or above the floor only; the one way back is to what was in force before and still stands in the other slot.
Nothing is tried while the catalog cannot be reached: it may be the network that is away, and then nobody could judge.
"""

import asyncio
import logging
import random
from collections.abc import Coroutine

import msgspec

from agent.clock import Clock
from agent.errors import SlotError, TrustError
from agent.updates.image_fetches import ImageFetches
from agent.updates.image_journal import ImageChoice, ImageFailure, ImageJournal
from agent.updates.image_trial import LOOK, ImageTrial, Meter, restarting
from agent.updates.journal import Aside
from agent.updates.slots import messages
from agent.updates.slots.client import NoSlots, SlotClient
from agent.updates.slots.messages import SlotRequest, SlotStatus
from device_catalog.contract.documents import ImageSetting
from device_catalog.contract.image_rules import is_open
from device_catalog.contract.images import ImageManifest
from device_catalog.contract.reports import ImageReport, UpdateReport

log = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 5.0, 900.0
"""After a first failure that may pass, and at most [s]; half of it by chance."""
FLUSH = 120.0
"""So long a restart waits for messages to be delivered; what is urgent is on the card in any case [s]."""
FRESH = 900.0
"""Documents older than this are fetched anew before they are handed on [s]."""
WAIT = 20.0
"""How often a time at which the meter may restart is looked for [s]."""


class Failed(Exception):  # noqa: N818 - what was found, not an error of this program
    """An image is not taken, or did not prove itself; `lasting` where that is remembered over a start."""

    def __init__(self, step: str, reason: object, *, lasting: bool = True) -> None:
        self.report_reason = str(reason) if step == "downloading" else f"{step}: {reason}"
        self.lasting = lasting
        super().__init__(self.report_reason)


class Images:
    """
    The image of one meter.

    Parameters
    ----------
    journal : ImageJournal
    slots : SlotClient
    fetches : ImageFetches
    meter : Meter
    clock : Clock
    aside : callable, optional
        Calls a function where it holds up nothing; in a thread by default.
    """

    def __init__(
        self,
        journal: ImageJournal,
        *,
        slots: SlotClient,
        fetches: ImageFetches,
        meter: Meter,
        clock: Clock,
        aside: Aside = asyncio.to_thread,
    ) -> None:
        self._journal = journal
        self._slots = slots
        self._fetches = fetches
        self._meter = meter
        self._clock = clock
        self._aside = aside
        self._setting: ImageSetting | None = None
        self._changed = asyncio.Event()
        self._status: SlotStatus | None = None
        self._report: UpdateReport | None = None
        self._refused: ImageFailure | None = None
        self._loading: tuple[ImageChoice, ImageManifest] | None = None
        self._error = ""
        self._chance = random.Random()
        self._trial = ImageTrial(
            journal,
            meter=meter,
            clock=clock,
            ask=self._ask,
            tell=self._tell,
            note=self._note,
            probation=self._probation,
        )

    # ---- for the service

    def want(self, setting: ImageSetting | None) -> None:
        """Take note of what is asked for now."""
        if setting != self._setting:
            self._setting = setting
            self._changed.set()

    def report(self) -> ImageReport | None:
        """Say which image runs, and where a change of it stands; None where there are no slots and none was wanted."""
        status, setting = self._status, self._setting
        if status is None:
            if setting is None:
                return None
            return ImageReport("", "", update=self._report, last_error=self._error)
        running, other = status.running, status.other
        return ImageReport(
            running.name,
            running.version,
            running.release,
            status.booted,
            "trying" if status.on_trial else "running",
            before=other.version if other.state == "good" else "",
            downloaded=0.0 if self._loading is None else round(self._fetches.share(*self._loading), 3),
            update=self._report,
            last_error=self._error,
        )

    async def hold(self) -> None:
        """Do for ever what is due."""
        delay = FIRST_DELAY
        while True:
            self._changed.clear()
            again = 3600.0
            try:
                await self._trial.settle()
                await self._unless_changed(self._pursue())
                delay, self._error = FIRST_DELAY, ""
            except NoSlots as error:
                self._absent(error)
            except Exception as error:  # what the world does, or an error of this program: neither ends an agent
                self._error = str(error) or type(error).__name__
                is_ours = not isinstance(error, SlotError | TrustError | OSError)
                log.warning("the image: %s", self._error, exc_info=is_ours)
                again = delay * (0.5 + self._chance.random() / 2)
                delay = min(2.0 * delay, LONGEST_DELAY)
            try:
                async with asyncio.timeout(again):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def close(self) -> None:
        """End what is under way; the next start goes on from what the journal and the slots say."""
        self._slots.close()

    # ---- what is asked for

    async def _pursue(self) -> None:
        setting, status = self._setting, self._status
        if setting is None or status is None:
            self._report = None
            return
        chosen = ImageChoice.of(setting) or self._way_back(setting)
        if chosen is None:
            self._report = None
            return
        try:
            await self._bring(chosen, setting, status)
        except Failed as failed:
            log.error("%s %s is not taken: %s", chosen.name, chosen.version, failed)
            report = UpdateReport(chosen.version, "failed", str(failed), rollout=chosen.rollout)
            self._report, failure = report, ImageFailure(chosen, report)
            if failed.lasting:
                await self._journal.change(self._journal.entry.failed(failure))
            else:
                self._refused = failure
        self._loading = None

    def _way_back(self, setting: ImageSetting) -> ImageChoice | None:
        """Where no version is asked for any more, what a rollout brought gives way to what was before it."""
        entry = self._journal.entry
        is_brought = entry.active is not None and bool(entry.active.rollout)
        return entry.before if is_brought and entry.before is not None and entry.before.name == setting.name else None

    async def _bring(self, chosen: ImageChoice, setting: ImageSetting, status: SlotStatus) -> None:
        entry = self._journal.entry
        if chosen.is_in(status.running):
            await self._journal.change(entry.confirmed(chosen, status.other))
            self._tell(chosen, "active")
            await self._aside(self._fetches.clear, None)
            return
        refused = self._refused if self._refused is not None and self._refused.chosen.sha256 == chosen.sha256 else None
        failure = entry.failure_of(chosen) or refused
        if failure is not None:
            self._report = msgspec.structs.replace(failure.report, rollout=chosen.rollout)
            return
        if chosen.name != status.running.name:
            found = f"expected an image {status.running.name or 'of a known name'}, found {chosen.name} asked for"
            raise Failed("downloading", found, lasting=False)
        is_there = chosen.is_in(status.other) and status.other.state in ("written", "good")
        if not is_there:
            if chosen.release < status.floor:
                remedy = "a way back is a new release with the old content"
                found = f"expected release {status.floor} or a later one, found {chosen.release}; {remedy}"
                raise Failed("downloading", found, lasting=False)
            await self._install(chosen, setting, status)
        self._tell(chosen, "installed")
        await self._restart_into(chosen, setting)

    async def _install(self, chosen: ImageChoice, setting: ImageSetting, status: SlotStatus) -> None:
        """Bring an image to the card, and have it written into the slot that does not run."""
        if setting.package is None:
            raise Failed("downloading", "expected what was before in the other slot, found it gone", lasting=False)
        await self._aside(self._fetches.clear, chosen)
        self._tell(chosen, "downloading")
        try:
            manifest = await self._fetches.manifest(chosen, setting.package, status.floor)
            if status.compatible not in manifest.compatible:
                words = ", ".join(manifest.compatible)
                raise Failed("downloading", f"expected an image for {status.compatible}, found one for {words}")
            self._loading, begin = (chosen, manifest), self._clock.monotonic()
            await self._fetches.payload(chosen, manifest, setting.rate)
            if self._clock.monotonic() - begin > FRESH:
                await self._fetches.manifest(chosen, setting.package, status.floor)
        except TrustError as error:
            if error.passing:
                self._tell(chosen, "downloading", str(error))
                raise
            raise Failed("downloading", error, lasting=False) from error
        self._tell(chosen, "downloading", "it is here, and being written")
        try:
            await self._write(chosen)
        except SlotError as error:
            if error.passing or isinstance(error, NoSlots):
                self._tell(chosen, "downloading", str(error))
                raise
            raise Failed("installed", error) from error
        await self._aside(self._fetches.clear, None)

    async def _write(self, chosen: ImageChoice) -> None:
        offer, payload = self._fetches.files(chosen)
        request = SlotRequest(messages.WRITE, chosen.name, chosen.version)

        def write() -> SlotStatus:
            with offer.open("rb") as documents, payload.open("rb") as pieces:
                return self._slots.ask(request, (documents, pieces))

        try:
            self._status = await self._aside(write)
        except asyncio.CancelledError:
            self._slots.close()
            raise

    async def _restart_into(self, chosen: ImageChoice, setting: ImageSetting) -> None:
        """Wait until the meter may restart, then have the image tried."""
        since = self._clock.monotonic()
        while True:
            why = self._not_yet(setting, self._clock.monotonic() - since)
            if not why:
                break
            self._tell(chosen, "deferred", why)
            since = since if why.startswith("messages") else self._clock.monotonic()
            await asyncio.sleep(min(WAIT, LOOK if why.startswith("messages") else WAIT))
        troubled = tuple(sorted(self._meter.health().troubled))
        before = self._journal.entry
        await self._journal.change(before.armed(chosen, troubled))
        self._tell(chosen, "starting")
        try:
            await self._ask(SlotRequest(messages.TRY))
        except SlotError as error:
            self._tell(chosen, "installed", str(error))
            status = await self._ask(SlotRequest(messages.STATUS))
            if not status.trying:  # nothing boots but what runs: that was no start of it
                await self._journal.change(before)
            raise
        await restarting()

    def _not_yet(self, setting: ImageSetting, waited: float) -> str:
        """Say why the meter does not restart now; empty where it may."""
        time = self._meter.utc()
        if setting.windows and time is None:
            return "the clock is not set, and only at some times of the day it may restart"
        if time is not None and not is_open(setting.windows, time):
            return f"it may restart at {', '.join(setting.windows)} UTC"
        if not self._meter.health().catalog:
            return "the catalog is away, and nobody could judge the image"
        if waited < FLUSH and not self._meter.is_flushed():
            return "messages are to be delivered before it restarts"
        return ""

    # ---- within

    async def _ask(self, request: SlotRequest) -> SlotStatus:
        status: SlotStatus = await self._aside(self._slots.ask, request)
        self._status = status
        return status

    async def _unless_changed(self, work: Coroutine[None, None, None]) -> None:
        """Do something as long as nothing else is asked for."""
        doing = asyncio.create_task(work)
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait([doing, changed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            if not doing.done():
                doing.cancel()
            (outcome,) = await asyncio.gather(doing, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome

    def _absent(self, error: NoSlots) -> None:
        self._status, self._error = None, ""
        if self._setting is not None and self._setting.version:
            reason = f"expected a meter with two root slots, found none: {error}"
            self._report = UpdateReport(self._setting.version, "failed", reason, rollout=self._setting.rollout)

    def _probation(self) -> float:
        return (self._setting or ImageSetting("")).probation

    def _note(self, report: UpdateReport) -> None:
        self._report = report

    def _tell(self, chosen: ImageChoice, step: str, reason: str = "") -> None:
        report = UpdateReport(chosen.version, step, reason, rollout=chosen.rollout)
        if report != self._report:
            log.info("%s %s: %s", chosen.name, chosen.version, f"{step}: {reason}" if reason else step)
        self._report = report
