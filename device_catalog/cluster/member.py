"""
One catalog among several at one database: hears with their ears, and knows who leads.

Where it stands: between `fleet`, which watches the leases, and `rounds`. Every catalog watches every lease, by what all
of them heard; the one that has the lead tells the grid broker. Rules:

1. The lead is a row with an end, moved on with every round. Who stands still or has lost the database has lost it by
   its own clock before another can take it.
2. Whoever takes the lead tells what the broker was not told, and nothing else: what it acknowledged is in the rounds,
   and what only a leader that died knew, the broker itself remembers (`publisher`). A device that came back in the last
   moment of that leader, which alone heard it, is still gone to the others; its next poll has the same word said again.
3. While a catalog that was there is not heard, or the database does not answer, silence means nothing. When it is
   given up, silence counts from then: polls that it alone heard may be lost.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from device_catalog.cluster.news import News
from device_catalog.cluster.rounds import Received, Round, Rounds, Told
from device_catalog.errors import StorageError
from device_catalog.fleet.device import Device, Shared
from device_catalog.fleet.fleet import Fleet
from device_catalog.fleet.leases import State
from device_catalog.storage.database import storage_error
from device_catalog.storage.threads import StorageThreads

PAUSE = 0.25
"""Between two rounds [s]."""

LEAD = 3.0
"""For how long the lead is asked for [s]."""

QUIET = 1.5
"""Another catalog that says nothing for so long may have heard what this one did not [s]."""

GONE = 4.0
"""After this it counts as ended [s]."""

CUT_OFF = 5.0
"""After this much time without the others this catalog is not ready to serve [s]."""

TIDYING = 30.0
"""How often what is old is dropped [s]."""

_log = logging.getLogger(__name__)


class Leading(Protocol):
    """Whoever does what only one of all catalogs does."""

    def __call__(self, *, leads: bool, say: Callable[[], None]) -> None:
        """Begin, with what is to be said, or end."""


class Member:
    """
    Takes part.

    Parameters
    ----------
    fleet : Fleet
    threads : StorageThreads
    news : News
    rounds : Rounds
    leading : callable
        Called with whether this catalog has the lead, when that changes, and with what says the first words; in the
        server's own thread.
    acknowledged : callable
        Gives which devices the grid broker acknowledged being told of since it was called before, by name.
    """

    def __init__(  # noqa: PLR0917 - one part each
        self,
        fleet: Fleet,
        threads: StorageThreads,
        news: News,
        rounds: Rounds,
        leading: Leading,
        acknowledged: Callable[[], dict[str, bool]],
    ) -> None:
        self._fleet = fleet
        self._threads = threads
        self._news = news
        self._rounds = rounds
        self._leading = leading
        self._acknowledged = acknowledged
        self._shared = Shared()
        self._thread = ThreadPoolExecutor(1, "catalog-rounds")
        self._marks: dict[str, tuple[int, int]] = {}
        self._told: dict[str, bool] = {}
        self._members: dict[str, float] = {}
        self._leads = False
        self._good = self._tidied = fleet.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def missing(self) -> str:
        """What is in the way of serving; empty for nothing."""
        cut_off = self._fleet.monotonic() - self._good > CUT_OFF
        return "the other catalogs are out of reach with the database" if cut_off and self._members else ""

    def load(self) -> None:
        """Read what the grid broker was told; once, after the register was read, before anybody is served."""
        self._fleet.shared = self._shared
        for name, there in self._rounds.begin().items():
            device = self._fleet.devices.get(name)
            if device is not None:
                device.told = there

    async def start(self) -> None:
        """Begin, with a first round: it tells whether this catalog leads."""
        await self._round()
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="rounds with other catalogs")

    async def close(self) -> None:
        """End: tell the others the last, and give the lead back."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        own = self._collect(ends=True)
        self._shared.leads_until = float("-inf")
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._part, own)
        except SQLAlchemyError as error:
            _log.warning("the other catalogs find out by themselves that this one ends: %s", storage_error(error))
        self._thread.shutdown()

    def _part(self, own: Round) -> None:
        self._rounds.exchange(own, LEAD)
        self._rounds.resign()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(PAUSE)
            try:
                await self._round()
            except Exception:  # noqa: BLE001 - one bad round must not end them; it is logged
                _log.exception("a round with the other catalogs failed; trying again")

    async def _round(self) -> None:
        fleet = self._fleet
        began = fleet.monotonic()
        own = self._collect()
        try:
            told = await asyncio.get_running_loop().run_in_executor(self._thread, self._exchange, own, began)
        except SQLAlchemyError as error:
            self._say_again(own)
            self._failed(storage_error(error))
        else:
            if began - self._good > CUT_OFF:
                _log.warning("the database answers again")
            self._good = fleet.monotonic()
            self._marks.update(own.marks)
            self._shared.leads_until = began + LEAD if told.leads else float("-inf")
            self._take_over(told)
        self._watch_members()
        self._look_who_leads()

    def _collect(self, *, ends: bool = False) -> Round:
        """Sum up what is new here."""
        fleet, shared = self._fleet, self._shared
        fresh, shared.fresh = shared.fresh, {}
        settled, shared.settled = shared.settled, {}
        told, self._told = {**self._told, **self._acknowledged()}, {}
        now = fleet.monotonic()
        ages = [round(1000 * (now - device.seen)) for device in fresh.values()]
        marks = {
            name: (device.boot, device.applied)
            for name, device in fresh.items()
            if self._marks.get(name) != (device.boot, device.applied)
        }
        return Round(list(fresh), ages, marks, settled, told, ends)

    def _exchange(self, own: Round, collected: float) -> Told:
        # Waiting for this thread makes what was heard older.
        late = round(1000 * (self._fleet.monotonic() - collected))
        if late > 0:
            own = Round(own.heard, [age + late for age in own.ages], own.marks, own.settled, own.told, own.ends)
        told = self._rounds.exchange(own, LEAD)
        if told.leads and collected - self._tidied > TIDYING:
            self._tidied = collected
            self._rounds.drop_old()
            self._news.drop_old()
        return told

    def _say_again(self, own: Round) -> None:
        """Put back what the others could not be told."""
        devices = self._fleet.devices
        self._shared.fresh = {**{name: devices[name] for name in own.heard if name in devices}, **self._shared.fresh}
        self._shared.settled = {**own.settled, **self._shared.settled}
        self._told = {**own.told, **self._told}

    def _failed(self, error: StorageError) -> None:
        now = self._fleet.monotonic()
        if now - self._good < CUT_OFF <= now - self._good + PAUSE:
            _log.warning("nobody is judged silent until the database answers: %s", error)
        if self._members and now - self._good > QUIET:
            self._fleet.presence.deaf(now)

    def _take_over(self, told: Told) -> None:
        if told.news > self._news.last and (self._following is None or self._following.done()):
            self._following = asyncio.get_running_loop().create_task(self._follow(), name="following other catalogs")
        now = self._fleet.monotonic()
        for received in told.rounds:
            if received.content.ends:
                self._members.pop(received.member, None)
            else:
                self._members[received.member] = now - received.age
            self._hear(received, now)
        if self._shared.gone and self._shared.gone[0][0] < now - 2 * LEAD:
            self._shared.gone = [item for item in self._shared.gone if item[0] >= now - 2 * LEAD]

    async def _follow(self) -> None:
        try:
            await self._threads.follow(self._news.catch_up)
        except StorageError as error:
            _log.warning("what other catalogs changed is taken over later: %s", error)
        except Exception:  # noqa: BLE001 - it is tried again with the next round; it is logged
            _log.exception("what other catalogs changed could not be taken over; trying again")

    def _hear(self, received: Received, now: float) -> None:
        """Take what another one heard as heard."""
        content, devices = received.content, self._fleet.devices
        written = now - received.age
        for name, age in zip(content.heard, content.ages, strict=True):
            device = devices.get(name)
            if device is not None:
                self._renew(device, written - age / 1000, now)
        for name, (boot, applied) in content.marks.items():
            if name in devices:
                devices[name].boot, devices[name].applied = boot, applied
        for name, revision in content.settled.items():
            device = devices.get(name)
            if device is not None and device.terms is not None and device.revision == revision:
                self._fleet.presence.change(device, *device.terms, now)
                device.terms = None
            elif device is not None and device.revision < revision:
                self._shared.early[name] = revision
        for name, there in content.told.items():
            if name in devices and not self._leads:
                devices[name].told = there

    def _renew(self, device: Device, seen: float, now: float) -> None:
        if seen <= device.seen:
            return
        if device.state is State.AVAILABLE or seen + device.duration <= now:
            device.seen = seen
        else:
            self._fleet.heard_elsewhere(device, seen)

    def _watch_members(self) -> None:
        """While one that was there is not heard, silence means nothing."""
        now = self._fleet.monotonic()
        for member, last in list(self._members.items()):
            if now - last > QUIET:
                self._fleet.presence.deaf(now)
            if now - last > GONE and now - self._good < QUIET:
                del self._members[member]
                _log.warning("catalog %s ended without a word", member)

    def _look_who_leads(self) -> None:
        leads = self._fleet.leads
        if leads is self._leads:
            return
        self._leads = leads
        _log.info("this catalog %s who is there", "tells now" if leads else "no longer tells")
        untold = self._fleet.untold(2 * LEAD) if leads else []
        self._leading(leads=leads, say=partial(self._fleet.take_lead, untold) if leads else _nothing)


def _nothing() -> None:
    """Whoever ends to lead says nothing."""
