"""
The one sampler of an agent, kept going: started, replaced, and started again when it ends.

Where it stands: owned by `running`; `workers` makes the process, `supervisor` says when it may be started again. A
board has one owner, so a sampler is always gone before the next one is started. A source that is not there is waited
for without end: a meter without samples is no meter.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable

from agent.clock import Clock
from agent.errors import AgentError, SourceAway, WorkerError
from agent.processes.process import Exit, ExitKind
from agent.processes.sampler import Sampler
from agent.processes.sampler_messages import SamplingStatus
from agent.processes.workers import Workers
from agent.supervisor import SAMPLER_POLICY, Restarts, State
from algorithms.api.errors import shortened
from device_catalog.contract.documents import Acquisition
from device_catalog.contract.reports import SourceReport

log = logging.getLogger(__name__)


class SupervisedSampler:
    """
    Samples as told, and goes on trying.

    Parameters
    ----------
    workers : Workers
        Started already.
    clock : Clock
    chance : random.Random
        Spreads the times of new starts.
    on_started : callable
        Called whenever there are samples again, of the first sampler or of another.

    Attributes
    ----------
    acquisition : Acquisition or None
        How it samples, or tries to; None for not at all.
    current : Sampler or None
        None while there is no process.
    """

    def __init__(self, workers: Workers, clock: Clock, chance: random.Random, on_started: Callable[[], None]) -> None:
        self.acquisition: Acquisition | None = None
        self.current: Sampler | None = None
        self._workers = workers
        self._clock = clock
        self._chance = chance
        self._on_started = on_started
        self._restarts = Restarts(SAMPLER_POLICY)
        self._status = SamplingStatus()
        self._last_error = ""
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._one_at_a_time = asyncio.Lock()

    @property
    def waited_for(self) -> bool:
        """Whether there ought to be samples, and is no sampler."""
        return self.acquisition is not None and self.current is None and self._restarts.state is not State.ENDED

    @property
    def samples(self) -> int:
        """Samples delivered since the sampler started: what the watchdog looks at."""
        return self._status.samples

    async def replace(self, acquisition: Acquisition | None) -> None:
        """
        Sample as told from now on; algorithms that run go on with the new samples.

        Raises
        ------
        AgentError
            When the source refuses; nothing is sampled then. A source that is merely not there is waited for.
        """
        async with self._one_at_a_time:
            self._cancel_timer()
            old, self.current = self.current, None
            self.acquisition = None
            if old is not None:
                await old.stop()
            self._restarts = Restarts(SAMPLER_POLICY)
            self._last_error = ""
            self._status = SamplingStatus()
            if acquisition is not None:
                try:
                    await self._start(acquisition)
                except SourceAway as error:
                    self.retry(acquisition, str(error))

    async def restamp(self) -> None:
        """Start again where samples are stamped by this machine's clock and nothing else, because that was stepped."""
        if self.current is None or self.acquisition is None:
            return
        if not self.current.plan.live or self.current.plan.judges_time:
            return
        log.info("sampling starts anew, with the right time")
        acquisition = self.acquisition
        try:
            await self.replace(acquisition)
        except AgentError as error:
            self.retry(acquisition, str(error))

    def retry(self, acquisition: Acquisition | None, reason: str) -> None:
        """Go on trying to sample as told, after a start that failed with `reason`."""
        self.acquisition = acquisition
        self._gone(reason)

    def report(self) -> SourceReport | None:
        """Say how sampling is doing; None on an agent without a source."""
        if self.acquisition is None:
            return None
        rate = self.current.plan.sample_rate if self.current is not None else 0.0
        return SourceReport(
            driver=self.acquisition.driver,
            state=str(self._restarts.state),
            sample_rate=rate if math.isfinite(rate) else 0.0,
            samples=self._status.samples,
            lost=self._status.lost,
            restarts=self._restarts.count,
            last_error=self._last_error,
        )

    async def close(self) -> None:
        """Stop, also a start that is under way."""
        self._closing = True
        self._cancel_timer()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        old, self.current = self.current, None
        if old is not None:
            await old.stop()

    async def _start(self, acquisition: Acquisition) -> None:
        self._restarts.state = State.STARTING
        ends: list[Exit] = []
        sampler: Sampler | None = None

        def on_exit(reason: Exit) -> None:
            ends.append(reason)
            if sampler is not None and self.current is sampler:  # not one that was replaced meanwhile
                self._gone(reason)

        try:
            sampler = await self._workers.start_sampler(acquisition, on_status=self._note, on_exit=on_exit)
        except OSError as error:
            raise WorkerError(f"the sampler cannot be started: {error}") from error
        self.acquisition = acquisition
        if ends:
            self._gone(ends[0])
            return
        self.current = sampler
        self._restarts.started(self._clock.monotonic())
        self._on_started()

    def _note(self, status: SamplingStatus) -> None:
        self._status = status

    def _gone(self, reason: object) -> None:
        self.current = None
        self._last_error = shortened(str(reason), 500)
        if self._closing or self.acquisition is None:
            return
        if isinstance(reason, Exit) and reason.kind is ExitKind.ENDED:
            self._restarts.state = State.ENDED
            log.info("no more samples: %s", reason)
            return
        delay = self._restarts.failed(self._clock.monotonic(), self._chance.random())
        log.error("the sampler ended: %s; it starts again in %.1f s", reason, delay)
        self._timer = asyncio.get_running_loop().call_later(delay, self._again, self.acquisition)

    def _again(self, acquisition: Acquisition) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._start_again(acquisition), name="sampler")

    async def _start_again(self, acquisition: Acquisition) -> None:
        async with self._one_at_a_time:
            if self._closing or self.acquisition is not acquisition or self.current is not None:
                return
            try:
                await self._start(acquisition)
            except AgentError as error:
                self._gone(error)
            else:
                log.info("sampling again")

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
