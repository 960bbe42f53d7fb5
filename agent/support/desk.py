"""
Where wishes for support arrive: makes a bundle and hands it over, lets the log be watched, keeps log and health.

Where it stands: owned by `service`, which hands on the wish of every document that it believes, also of one whose
settings it refuses: a meter that refuses its settings is one that needs help. A wish says only that something is
wanted; what is in it is fixed here. Whatever is asked, a meter gives `BUNDLES_A_DAY` and `TAIL_A_DAY` at most, since
whoever has the catalog must not be able to wear out its card or use up its line.

Nothing of a wish is kept: after a restart the next poll brings it again, if it is still wanted.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from pathlib import Path
from typing import Any

from agent.clock import Clock, synchronisation
from agent.config import AgentConfig
from agent.delivery.outbox import Outbox
from agent.errors import CatalogError
from agent.request_thread import RequestThread
from agent.support.health import HealthHistory
from agent.support.kept_log import KeptLog, LogFile
from agent.support.making import Making, MakingError, Place
from agent.support.scrubbing import Scrubber
from agent.support.tail import LogTail
from agent.support.upload import RATE, SupportClient
from algorithms.api.records import Result
from device_catalog.contract import topics
from device_catalog.contract.recordings import PART, Received
from device_catalog.contract.reports import Reported
from device_catalog.contract.support import LINES, BundleLabel, SupportWish, problems_of_wish

log = logging.getLogger(__name__)

FOLDER = "support"
"""In the agent's state."""
BUNDLES_A_DAY = 6
TAIL_A_DAY = 6 * 3600.0
"""Most log tail within a day [s]."""
DAY = 86_400.0
TAIL_STEP = 1.0
"""How often lines are sent [s]."""
KEEPING = 5.0
"""How often log and health are written down, where there is something new [s]."""
FIRST_WAIT, LONGEST_WAIT = 2.0, 300.0
"""Waits after the catalog could not be told [s]."""

_over = (404, 409, 410)
_refused = 422


class _Refused(Exception):  # noqa: N818 - reads as what it says
    """The catalog does not take what it is told, and would not the next time."""


class SupportDesk:
    """
    The desk of one device.

    Parameters
    ----------
    config : AgentConfig
    outbox : Outbox
    clock : Clock
    file : pathlib.Path or None
        The agent's own lines.
    kept : KeptLog, optional
        Its log; without one nothing can be watched.
    """

    def __init__(
        self, config: AgentConfig, outbox: Outbox, clock: Clock, file: Path | None, kept: KeptLog | None = None
    ) -> None:
        folder = config.state_dir / FOLDER
        self._config = config
        self._outbox = outbox
        self._clock = clock
        self._making = Making(folder, file)
        self._kept = kept
        self._log_file = LogFile(folder, kept) if kept is not None else None
        self._health = HealthHistory(folder, Scrubber([config.credential]))
        self._wish = SupportWish()
        self._tenant = ""
        self._settled: deque[str] = deque(maxlen=32)
        self._made: deque[float] = deque(maxlen=BUNDLES_A_DAY)
        self._tailed: deque[tuple[float, float]] = deque(maxlen=1000)
        self._bundle_task: asyncio.Task[None] | None = None
        self._tail_task: asyncio.Task[None] | None = None
        self._kept_at = 0.0
        self._random = random.Random()

    # ---- what is wanted

    def heed(self, wish: SupportWish | None, tenant: str) -> None:
        """Take note of what is wanted now; of what is wanted no more nothing goes on."""
        wish = wish or SupportWish()
        problems = problems_of_wish(wish)
        if problems:
            log.warning("a wish for support is not heeded: %s", "; ".join(map(str, problems)))
            wish = SupportWish()
        self._wish, self._tenant = wish, tenant
        loop = asyncio.get_running_loop()
        if not wish.bundle and self._bundle_task is None:
            self._making.clear()  # what was made before a restart, and is waited for no more
        if wish.bundle and wish.bundle not in self._settled and self._bundle_task is None:
            self._bundle_task = loop.create_task(self._hand_over_bundles(), name="support")
        if wish.logs is not None and wish.logs.request not in self._settled and self._tail_task is None:
            self._tail_task = loop.create_task(self._tell_log(), name="log tail")

    async def close(self) -> None:
        """End; what was not handed over is asked for again after the next start."""
        tasks = [task for task in (self._bundle_task, self._tail_task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._log_file is not None:
            await asyncio.to_thread(self._log_file.write)

    # ---- what is kept

    def is_due(self) -> bool:
        """Tell whether it is time to write down log and health; asked every second or so."""
        return self._clock.monotonic() - self._kept_at >= KEEPING

    async def keep(self, report: Reported) -> None:
        """Write down what is new; beside everything else, since a card may take its time."""
        now = self._kept_at = self._clock.monotonic()
        if self._log_file is not None:
            await asyncio.to_thread(self._log_file.write)
        if self._health.due(report, now):
            await asyncio.to_thread(self._health.note, report)

    # ---- a bundle

    async def _hand_over_bundles(self) -> None:
        client, requests = SupportClient(self._config), RequestThread("support")
        try:
            while self._wish.bundle and self._wish.bundle not in self._settled:
                request = self._wish.bundle
                log.info("a support bundle is asked for (%s)", request)
                try:
                    await self._hand_over(request, client, requests)
                finally:
                    self._making.clear()
                self._settled.append(request)
        finally:
            self._bundle_task = None
            requests.close()
            client.close()

    async def _hand_over(self, request: str, client: SupportClient, requests: RequestThread) -> None:
        self._making.clear(keep=request)
        place: Place | None = None
        try:
            label = BundleLabel(0, "", failed=self._objection())
            if not label.failed:
                self._made.append(self._clock.monotonic())
                if self._log_file is not None:
                    await asyncio.to_thread(self._log_file.write)
                place = await self._making.make(request)
                label = place.label
        except MakingError as error:
            label = BundleLabel(0, "", failed=str(error))
        try:
            if label.failed:
                log.warning("no support bundle is made: %s", label.failed)
            received = await self._patiently(requests, request, client.announce, request, label)
            turns = 0
            while received is not None and place is not None and not received.complete:
                turns += 1
                _count(turns, label)
                began = time.monotonic()
                part = await asyncio.to_thread(place.part, received.received, PART)
                received = await self._patiently(requests, request, client.hand_over, request, received.received, part)
                await asyncio.sleep(max(0.0, len(part) / RATE - (time.monotonic() - began)))
            if received is not None and not label.failed:
                log.info("support bundle %s is handed over, %d bytes", request, label.bytes)
        except (_Refused, OSError) as error:  # the card gave something else than it was told, or nothing
            log.error("support bundle %s is given up: %s", request, error)
            why = BundleLabel(0, "", failed=f"expected a bundle that is as it was told of, found: {error}")
            with contextlib.suppress(_Refused):
                await self._patiently(requests, request, client.announce, request, why)
        finally:
            if place is not None:
                place.close()

    def _objection(self) -> str:
        """Say why no bundle is made now; empty where one is."""
        now = self._clock.monotonic()
        lately = [when for when in self._made if now - when < DAY]
        if len(lately) < BUNDLES_A_DAY:
            return ""
        return f"expected at most {BUNDLES_A_DAY} bundles in a day, found as many made already; ask again tomorrow"

    async def _patiently(self, requests: RequestThread, request: str, call: Any, *words: Any) -> Received | None:
        """Ask the catalog until it answers; None where it wants the bundle no more; `_Refused` where it says no."""
        failures = 0
        while self._wish.bundle == request:
            try:
                return await requests.run(lambda: call(*words))
            except CatalogError as error:
                if error.status == _refused:
                    raise _Refused(str(error)) from error
                if error.status in _over:
                    log.warning("support bundle %s is given up: %s", request, error)
                    return None
                failures += 1
                if failures in (1, 10) or failures % 100 == 0:
                    log.warning("a support bundle waits for the catalog: %s", error)
                wait = min(FIRST_WAIT * 2.0 ** min(failures - 1, 20), LONGEST_WAIT)
                await asyncio.sleep(max(wait * (0.5 + self._random.random() / 2), error.retry_after or 0.0))
        return None

    # ---- a log tail

    async def _tell_log(self) -> None:
        try:
            while (wish := self._wish.logs) is not None and wish.request not in self._settled:
                now = self._clock.monotonic()
                self._settled.append(wish.request)
                spent = sum(seconds for when, seconds in self._tailed if now - when < DAY)
                if self._kept is None or spent >= TAIL_A_DAY:
                    log.warning("the log is not told: %g s of it were told within a day", spent)
                    continue
                log.info("the log is told until %s (%s, %s and above)", wish.until, wish.request, wish.level)
                tail = LogTail(wish, self._kept, self._send, now)
                await self._tell_until_over(tail)
                tail.end()
                self._tailed.append((now, self._clock.monotonic() - now))
                log.info("the log is told no more (%s)", wish.request)
        finally:
            self._tail_task = None

    async def _tell_until_over(self, tail: LogTail) -> None:
        while self._wish.logs is not None and self._wish.logs.request == tail.wish.request:
            now = self._clock.monotonic()
            if tail.is_over(now, self._clock.now_ns(), synchronised=synchronisation().synchronised):
                return
            if self._outbox.lane("grid").connected:
                tail.advance(now)
            await asyncio.sleep(TAIL_STEP)

    def _send(self, payload: dict[str, Any]) -> None:
        record = Result(LINES, self._config.device, self._clock.now_ns(), payload)
        self._outbox.put("grid", topics.log(self._tenant, self._config.device), record)


def _count(turns: int, label: BundleLabel) -> None:
    """Whoever has the catalog may not keep a meter's line busy for ever."""
    if turns > 2 * (label.bytes // PART + 2):
        raise _Refused("a catalog that asks for the same parts again and again")
