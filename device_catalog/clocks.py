"""
What the catalog does by the clock, beside answering: leases, signs of life, rollouts, tidying.

Each has a rhythm of its own, and none is ended by one bad round: that is logged, and the next one tried.
"""

import asyncio
import contextlib
import logging

from device_catalog.access.keys import Keys
from device_catalog.brokers.publisher import Publisher
from device_catalog.errors import StorageError
from device_catalog.fleet.fleet import Fleet
from device_catalog.fleet.signs_of_life import SignsOfLife
from device_catalog.grid.recordings import Recordings
from device_catalog.rollouts.ticking import Ticking
from device_catalog.support.requests import SupportRequests

TICK = 0.1
"""How often leases are looked at [s]."""

SWEEP_ROUND = 300.0
"""In this time the signs of life of the whole fleet are written once [s]."""

ROLLOUT_TICK = 1.0
"""How often rollouts are looked at [s]."""

TIDYING = 60.0
"""How often old recordings are looked for [s]."""

_log = logging.getLogger(__name__)


class Clocks:
    """
    The catalog's recurring duties, from `start` to `stop`.

    Parameters
    ----------
    fleet : Fleet
    publisher : Publisher
    signs_of_life : SignsOfLife
    rollouts : Ticking
    keys : Keys
    recordings : Recordings
    support : SupportRequests
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        publisher: Publisher,
        signs_of_life: SignsOfLife,
        rollouts: Ticking,
        keys: Keys,
        recordings: Recordings,
        support: SupportRequests,
    ) -> None:
        self._fleet = fleet
        self._publisher = publisher
        self._signs_of_life = signs_of_life
        self._rollouts = rollouts
        self._keys = keys
        self._recordings = recordings
        self._support = support
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._running = [asyncio.create_task(clock()) for clock in (self._tick, self._sweep, self._tidy, self._roll)]

    async def stop(self) -> None:
        """End all of them."""
        for clock in self._running:
            clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await clock

    async def _tick(self) -> None:
        while True:
            try:
                self._fleet.tick()
                self._publisher.insist()
            except Exception:  # noqa: BLE001 - one bad look must not end the watch; it is logged
                _log.exception("looking at the leases failed")
            await asyncio.sleep(TICK)

    async def _sweep(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(1)
            if not self._fleet.leads:
                continue
            try:
                written = await self._signs_of_life.write_share(1 / SWEEP_ROUND)
            except StorageError as error:
                if not failing:
                    _log.warning("signs of life are kept in memory only, until the database takes them: %s", error)
                failing = True
            except Exception:  # noqa: BLE001 - one bad round must not end the sweep; it is logged
                _log.exception("writing signs of life failed; trying again")
            else:
                if failing and written:
                    _log.warning("the database takes signs of life again")
                    failing = False

    async def _roll(self) -> None:
        while True:
            await asyncio.sleep(ROLLOUT_TICK)
            try:
                await self._rollouts.tick()
            except StorageError as error:
                _log.warning("rollouts stand still until the database takes them: %s", error)
            except Exception:  # noqa: BLE001 - one bad look must not end the watch; it is logged
                _log.exception("looking at the rollouts failed; trying again")

    async def _tidy(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._keys.renew)
                dropped = await self._recordings.tidy()
                await self._support.tidy()
                if dropped:
                    _log.info("%d recordings dropped for their age, or for want of room", dropped)
            except Exception:  # noqa: BLE001 - one bad round must not end the tidying; it is logged
                _log.exception("old recordings could not be dropped; trying again")
            await asyncio.sleep(TIDYING)
