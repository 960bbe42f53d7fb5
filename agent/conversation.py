"""
The conversation with the catalog: asks at the pace it sets, hands on what is new, and reports what changed.

Where it stands: owned by `service`, which it asks what to say; below it the client (`catalog`), whose requests block
and so have a thread of their own. Whatever the catalog does, what runs goes on: failures are counted, said in the log
now and then, and tried again ever later.
"""

import asyncio
import contextlib
import logging
import random
from functools import partial
from typing import Protocol

from agent.calibration import Calibrations
from agent.catalog import CatalogClient, next_delay
from agent.clock import Clock
from agent.errors import CatalogError
from agent.reporting import ReportGate
from agent.request_thread import Requests, RequestThread
from device_catalog.contract.documents import Poll
from device_catalog.contract.reports import Reported

log = logging.getLogger(__name__)

FIRST_SPREAD = 1.0
"""With settings from before, the first poll waits for up to this, so that a fleet after a blackout is spread [s]."""

FIRST_SHARE = 0.1
"""And for no more than this share of the poll interval: a lease bears it."""

NOTIFY_GAP = 1.0
"""Being told to ask the catalog is heeded at most this often [s]."""


class Settings(Protocol):
    """Where documents go."""

    @property
    def applied(self) -> int:
        """The revision in force; 0 for none."""

    async def take(self, document: bytes) -> None:
        """Bring a new document into force, or refuse it."""

    def second_chance(self) -> bytes | None:
        """Return a document that the world prevented from being applied, when it is time to try it again."""


class Device(Protocol):
    """Whom the conversation is about."""

    async def refresh(self) -> None:
        """Do what is due on this side after each poll, whatever came of it."""

    def reported(self) -> Reported:
        """Say how everything is."""


class Conversation:
    """
    Polls and reports of one device.

    Parameters
    ----------
    catalog : CatalogClient
    settings : Settings
    device : Device
    calibrations : Calibrations
        What the catalog could not be told of yet.
    clock : Clock
    boot : int
        Of this start.
    requests : Requests, optional
        A thread of its own unless given.

    Attributes
    ----------
    pace : Poll
        As the catalog wants it.
    answered : float or None
        When it answered last [s, monotonic].
    problem : str
        Why the last poll was not answered; empty where it was.
    ahead : float or None
        By how much this machine's clock is ahead of the catalog's [s]; to a second or so.
    """

    def __init__(
        self,
        catalog: CatalogClient,
        settings: Settings,
        device: Device,
        calibrations: Calibrations,
        clock: Clock,
        *,
        boot: int,
        requests: Requests | None = None,
    ) -> None:
        self.pace = Poll()
        self.answered: float | None = None
        self.problem = ""
        self.ahead: float | None = None
        self._catalog = catalog
        self._settings = settings
        self._device = device
        self._calibrations = calibrations
        self._clock = clock
        self._boot = boot
        self._gate = ReportGate()
        self._requests = requests or RequestThread()
        self._ask_now = asyncio.Event()
        self._chance = random.Random()

    def ask_now(self) -> None:
        """Ask without waiting for the next poll."""
        self._ask_now.set()

    async def hold(self) -> None:
        """Ask for ever; at once where nothing is in force, and soon where something is."""
        spread = min(FIRST_SPREAD, FIRST_SHARE * self.pace.interval) if self._settings.applied else 0.0
        delay = spread * self._chance.random()
        failures = 0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ask_now.wait(), delay)
                await asyncio.sleep(NOTIFY_GAP * self._chance.random())
            self._ask_now.clear()
            retry_after = None
            try:
                document = await self._poll()
                if failures:
                    self._gate.reachable()
                failures = 0
                self._note_answer()
                if await self._hand_on(document):
                    self._ask_now.set()  # the acknowledgement of what was applied need not wait for the next poll
            except CatalogError as error:
                failures += 1
                self.problem = str(error)
                retry_after = error.retry_after
                await self._hand_on(None)
                if failures in (1, 10) or failures % 100 == 0:
                    log.warning("%s (%d in a row; what runs goes on)", error, failures)
            else:
                await self.report()
                await self._tell_calibration()
            await self._device.refresh()
            delay = next_delay(self.pace, failures, self._chance.random(), retry_after)

    def report_is_due(self) -> bool:
        """Tell whether there is something to report that no poll under way will bring."""
        return not self._ask_now.is_set() and self._gate.due(self._device.reported(), self._clock.monotonic())

    async def report(self) -> None:
        """Say what changed without waiting for the next poll; where that fails, it is said again later."""
        report = self._device.reported()
        now = self._clock.monotonic()
        if not self._gate.due(report, now):
            return
        try:
            await self._requests.run(partial(self._catalog.report, report))
        except CatalogError:
            self._gate.postpone(self._clock.monotonic())
        else:
            self._gate.sent(report, now)

    def _note_answer(self) -> None:
        self.answered, self.problem = self._clock.monotonic(), ""
        said = self._catalog.server_time
        self.ahead = None if said is None else self._clock.now_ns() / 1e9 - (said + 0.5)  # whole seconds only

    def close(self) -> None:
        """Say no more; an answer under way is not waited for."""
        self._requests.close()
        self._catalog.close()

    async def _poll(self) -> bytes | None:
        return await self._requests.run(partial(self._catalog.poll, self._boot, self._settings.applied))

    async def _hand_on(self, document: bytes | None) -> bool:
        document = document or self._settings.second_chance()
        if document is not None:
            await self._settings.take(document)
        return document is not None

    async def _tell_calibration(self) -> None:
        """Tell the catalog of a calibration that it could not be told of when it was made."""
        calibration = self._calibrations.unsent
        if calibration is None:
            return
        try:
            await self._requests.run(partial(self._catalog.calibrate, calibration))
        except CatalogError as error:
            if error.status not in (409, 422):
                return  # the next poll tries again
            log.error("the catalog does not take the calibration of %s: %s", calibration.made.isoformat(), error)
        self._calibrations.unsent = None
