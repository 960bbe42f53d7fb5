"""
What runs: the sampler, the algorithms, and the way of records between them.

`apply` changes it, `supervisor` says when something that died is started again, `pipeline` says where a record goes.
Everything here happens in the agent's event loop, and nothing here waits for a process that does not answer longer
than `workers` allows.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from agent.algorithm_worker import AlgorithmWorker
from agent.clock import Clock
from agent.errors import AgentError, SourceAway, WorkerError
from agent.pipeline import Pipeline, Publication
from agent.process import Exit, ExitKind
from agent.protocol import AlgorithmSpec, AlgorithmStatus, SamplingStatus
from agent.sampler import Sampler
from agent.store import Store
from agent.supervisor import ALGORITHM_POLICY, SAMPLER_POLICY, Restarts, State
from agent.workers import Workers
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Record
from device_catalog.contract.documents import Acquisition, Assignment
from device_catalog.contract.reports import AlgorithmReport, SourceReport

log = logging.getLogger(__name__)

WAITING = "waits for the source"
"""What is said of an algorithm that cannot start before there are samples."""

Publish = Callable[[Record, Publication], None]


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where an agent stands.

    Attributes
    ----------
    device, tenant : str
    terminal : str
        What its algorithms are told they measure.
    """

    device: str
    tenant: str
    terminal: str


@dataclass(slots=True, eq=False)
class Slot:
    """One assigned algorithm: its process while it has one, and its history."""

    assignment: Assignment
    restarts: Restarts = field(default_factory=lambda: Restarts(ALGORITHM_POLICY))
    worker: AlgorithmWorker | None = None
    info: AlgorithmInfo | None = None
    status: AlgorithmStatus = field(default_factory=AlgorithmStatus)
    last_error: str = ""
    timer: asyncio.TimerHandle | None = None
    starting: bool = False
    active: bool = False

    @property
    def name(self) -> str:
        """The algorithm's name; a device runs each at most once."""
        return self.assignment.algorithm


class RunningSet:
    """
    The sampler and the algorithms of one agent.

    Parameters
    ----------
    workers : Workers
        Started already.
    store : Store
    clock : Clock
    publish : callable
        Takes a record and where it goes.
    """

    def __init__(self, workers: Workers, store: Store, clock: Clock, publish: Publish) -> None:
        self._workers = workers
        self._store = store
        self._clock = clock
        self._publish = publish
        self._random = random.Random()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pipeline = Pipeline("", "", {}, {})
        self._place = Place("", "", "")
        self._sampler: Sampler | None = None
        self._acquisition: Acquisition | None = None
        self._sampler_restarts = Restarts(SAMPLER_POLICY)
        self._sampler_timer: asyncio.TimerHandle | None = None
        self._sampler_error = ""
        self._sampler_status = SamplingStatus()
        self._slots: dict[str, Slot] = {}
        self._closing = False
        self._forking = asyncio.Lock()
        self._sampling = asyncio.Lock()  # a board has one owner: samplers are started and stopped one after the other

    # ---- what is asked of it by `apply`

    @property
    def infos(self) -> dict[str, AlgorithmInfo]:
        """What the assigned algorithms say of themselves, by name."""
        return {name: slot.info for name, slot in self._slots.items() if slot.info is not None}

    @property
    def assignments(self) -> dict[str, Assignment]:
        """What is assigned, by name."""
        return {name: slot.assignment for name, slot in self._slots.items()}

    @property
    def place(self) -> Place:
        """Where the agent stands."""
        return self._place

    def stand(self, place: Place) -> None:
        """Say where the agent stands, before anything is started there."""
        self._place = place

    async def replace_sampler(self, acquisition: Acquisition | None) -> None:
        """
        Sample as told from now on; algorithms that run go on with the new samples.

        Raises
        ------
        AgentError
            When the source refuses; nothing is sampled then. A source that is merely not there is waited for.
        """
        async with self._sampling:
            self._cancel_sampler_timer()
            old, self._sampler = self._sampler, None
            self._acquisition = None
            if old is not None:
                await old.stop()
            self._sampler_restarts = Restarts(SAMPLER_POLICY)
            self._sampler_error = ""
            self._sampler_status = SamplingStatus()
            if acquisition is not None:
                try:
                    await self._start_sampler(acquisition)
                except SourceAway as error:
                    self.retry_sampler(acquisition, str(error))

    async def restamp(self) -> None:
        """Start the sampler again where it stamps by this machine's clock, because that was stepped."""
        if self._sampler is None or self._acquisition is None or not self._sampler.plan.live:
            return
        acquisition = self._acquisition
        try:
            await self.replace_sampler(acquisition)
        except AgentError as error:
            self.retry_sampler(acquisition, str(error))

    def retry_sampler(self, acquisition: Acquisition | None, reason: str) -> None:
        """Go on trying to sample as told, after a start that failed with `reason`."""
        self._acquisition = acquisition
        self._sampler_gone(reason)

    async def start_candidate(self, assignment: Assignment) -> Slot:
        """
        Start an algorithm beside whatever runs; its records go nowhere until it is adopted.

        Raises
        ------
        AlgorithmRefused
            With every problem of its settings.
        AgentError
            When its process cannot be started.
        """
        slot = Slot(assignment)
        if self._awaits_source:
            slot.last_error = WAITING
            return slot
        predecessor = self._slots.get(slot.name)
        if predecessor is not None and predecessor.worker is not None:
            await self._keep_checkpoint(predecessor)
        await self._start(slot)
        return slot

    async def discard(self, slot: Slot) -> None:
        """Stop a candidate that is not wanted after all."""
        await self._stop(slot)

    async def adopt(self, candidates: Sequence[Slot], removed: Sequence[str], updated: Sequence[Assignment]) -> None:
        """Let candidates take the place of their predecessors, drop `removed`, and take over `updated`."""
        replaced = []
        for slot in candidates:
            predecessor = self._slots.pop(slot.name, None)
            if predecessor is not None:
                replaced.append(predecessor)
            self._slots[slot.name] = slot
        replaced.extend(self._slots.pop(name) for name in removed if name in self._slots)
        for assignment in updated:
            self._slots[assignment.algorithm].assignment = assignment
        for slot in replaced:
            slot.active = False
        for slot in candidates:
            slot.active = True
        self._reroute()
        self._start_waiting()
        await asyncio.gather(*(self._stop(slot) for slot in replaced))

    def deliver(self, sender: str, record: Record) -> None:
        """Hand a neighbour's record to the algorithms that asked for it."""
        for name in self._pipeline.consumers_of_neighbour(sender, record):
            worker = self._slots[name].worker
            if worker is not None:
                worker.feed(record)

    # ---- what others look at

    def source_report(self) -> SourceReport | None:
        """Say how sampling is doing; None on an agent without a source."""
        if self._acquisition is None:
            return None
        return SourceReport(
            driver=self._acquisition.driver,
            state=str(self._sampler_restarts.state),
            sample_rate=self._sampler.plan.sample_rate if self._sampler is not None else 0.0,
            samples=self._sampler_status.samples,
            lost=self._sampler_status.lost,
            restarts=self._sampler_restarts.count,
            last_error=self._sampler_error,
        )

    def algorithm_reports(self) -> dict[str, AlgorithmReport]:
        """Say how each algorithm is doing."""
        return {
            name: AlgorithmReport(
                version=slot.info.version if slot.info is not None else "",
                state=str(slot.restarts.state),
                restarts=slot.restarts.count,
                processed=slot.status.processed,
                produced=slot.status.produced,
                dropped=slot.status.dropped,
                lost_samples=slot.status.lost_samples,
                processor=slot.status.processor,
                memory=slot.status.memory,
                slowest=slot.status.slowest,
                last_error=slot.last_error,
            )
            for name, slot in self._slots.items()
        }

    @property
    def samples(self) -> int:
        """Samples delivered since the sampler started: what the watchdog looks at."""
        return self._sampler_status.samples

    @property
    def is_sampling(self) -> bool:
        """Whether a sampler runs, so that samples ought to come."""
        return self._sampler is not None

    async def close(self) -> None:
        """Stop everything, keeping the checkpoints."""
        self._closing = True
        self._cancel_sampler_timer()
        await asyncio.gather(*(self._stop(slot) for slot in self._slots.values()))
        if self._sampler is not None:
            await self._sampler.stop()
            self._sampler = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- algorithms

    async def _start(self, slot: Slot) -> None:
        slot.restarts.state = State.STARTING
        acquisition = self._acquisition
        spec = AlgorithmSpec(
            name=slot.name,
            entry=slot.name,
            settings=slot.assignment.settings,
            device=self._place.device,
            terminal=self._place.terminal,
            nominal_frequency=acquisition.nominal_frequency if acquisition is not None else 50.0,
            nominal_voltage=acquisition.nominal_voltage if acquisition is not None else 230.0,
            synchronised=True,  # as far as each block says so
            restored=self._store.checkpoint(slot.name),
            limits=slot.assignment.limits,
        )
        await self._fork_server()
        try:
            worker = await self._workers.start_algorithm(
                spec,
                self._sampler,
                on_records=lambda records: self._take(slot, records),
                on_report=lambda status: self._note(slot, status),
                on_checkpoint=lambda state: self._keep(slot, state),
                # An end before this start has returned is told by the start itself.
                on_exit=lambda reason: None if slot.worker is None else self._gone(slot, reason),
            )
        except OSError as error:
            raise WorkerError(f"{slot.name} cannot be started: {error}") from error
        if worker.exit is not None:
            raise WorkerError(worker.exit.reason)
        slot.worker = worker
        slot.info = worker.info
        slot.status = AlgorithmStatus()
        slot.restarts.started(self._clock.monotonic())

    async def _stop(self, slot: Slot) -> None:
        slot.active = False
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None
        worker, slot.worker = slot.worker, None
        if worker is not None:
            await worker.stop()

    def _take(self, slot: Slot, records: Sequence[Record]) -> None:
        """Route what an algorithm made; a candidate's records go nowhere."""
        if not slot.active:
            return
        for record in records:
            for name in self._pipeline.consumers(slot.name, record):
                consumer = self._slots[name].worker
                if consumer is not None:
                    consumer.feed(record)
            try:
                publication = self._pipeline.publication(slot.name, record)
                if publication is not None:
                    self._publish(record, publication)
            except (TypeError, ValueError, RecursionError) as error:  # what a plug-in put into a record
                problem = f"a record was not published: {error}"
                if slot.last_error != problem:
                    slot.last_error = problem
                    log.error("%s: %s", slot.name, problem)

    def _note(self, slot: Slot, status: AlgorithmStatus) -> None:
        slot.status = status

    def _keep(self, slot: Slot, state: bytes) -> None:
        if self._slots.get(slot.name) is not slot:  # a candidate's, or that of one that was replaced
            return
        try:
            self._store.keep_checkpoint(slot.name, state)
        except OSError as error:
            log.error("the state of %s could not be kept, the one before stays: %s", slot.name, error)

    async def _keep_checkpoint(self, slot: Slot) -> None:
        """Take a fresh checkpoint for the successor; without an answer the last one kept serves."""
        if slot.worker is None:
            return
        try:
            self._keep(slot, await slot.worker.checkpoint())
        except AgentError as error:
            log.warning("%s gave no checkpoint to its successor: %s", slot.name, error)

    def _gone(self, slot: Slot, reason: object) -> None:
        """Note that an algorithm's process died, and start it again when its policy allows."""
        slot.worker = None
        slot.last_error = str(reason)
        if self._closing or self._slots.get(slot.name) is not slot:
            return
        delay = slot.restarts.failed(self._clock.monotonic(), self._random.random())
        log.error("%s died: %s; %s for %.1f s", slot.name, reason, slot.restarts.state, delay)
        slot.timer = asyncio.get_running_loop().call_later(delay, self._again, slot)

    def _again(self, slot: Slot) -> None:
        slot.timer = None
        self._spawn(self._start_again(slot))

    async def _start_again(self, slot: Slot) -> None:
        if slot.starting or slot.worker is not None:
            return
        if self._awaits_source:  # it is started with the source
            slot.last_error = slot.last_error or WAITING
            return
        slot.starting = True
        try:
            await self._start(slot)
        except AgentError as error:
            self._gone(slot, error)
            return
        finally:
            slot.starting = False
        slot.last_error = ""
        log.info("%s runs", slot.name)
        self._reroute()
        if self._closing or self._slots.get(slot.name) is not slot:
            await self._stop(slot)

    @property
    def _awaits_source(self) -> bool:
        """Whether there ought to be samples, and is no sampler."""
        ended = self._sampler_restarts.state is State.ENDED
        return self._acquisition is not None and self._sampler is None and not ended

    def _start_waiting(self) -> None:
        """Start the algorithms that have neither a process nor a time at which they get one."""
        for slot in self._slots.values():
            if slot.worker is None and slot.timer is None and slot.active:
                self._spawn(self._start_again(slot))

    def _reroute(self) -> None:
        self._pipeline = Pipeline(self._place.tenant, self._place.device, self.infos, self.assignments)

    # ---- the sampler

    async def _start_sampler(self, acquisition: Acquisition) -> None:
        self._sampler_restarts.state = State.STARTING
        await self._fork_server()
        gone: list[Exit] = []
        sampler: Sampler | None = None

        def on_exit(reason: Exit) -> None:
            gone.append(reason)
            if sampler is not None and self._sampler is sampler:  # not one that was replaced meanwhile
                self._sampler_gone(reason)

        try:
            sampler = await self._workers.start_sampler(acquisition, on_status=self._note_sampling, on_exit=on_exit)
        except OSError as error:
            raise WorkerError(f"the sampler cannot be started: {error}") from error
        self._acquisition = acquisition
        if gone:
            self._sampler_gone(gone[0])
            return
        self._sampler = sampler
        self._sampler_restarts.started(self._clock.monotonic())
        self._start_waiting()

    def _note_sampling(self, status: SamplingStatus) -> None:
        self._sampler_status = status

    def _sampler_gone(self, reason: object) -> None:
        self._sampler = None
        self._sampler_error = str(reason)
        if self._closing or self._acquisition is None:
            return
        if isinstance(reason, Exit) and reason.kind is ExitKind.ENDED:
            self._sampler_restarts.state = State.ENDED
            log.info("no more samples: %s", reason)
            return
        delay = self._sampler_restarts.failed(self._clock.monotonic(), self._random.random())
        log.error("the sampler ended: %s; it starts again in %.1f s", reason, delay)
        self._sampler_timer = asyncio.get_running_loop().call_later(delay, self._sample_again, self._acquisition)

    def _sample_again(self, acquisition: Acquisition) -> None:
        self._sampler_timer = None
        self._spawn(self._start_sampler_again(acquisition))

    async def _start_sampler_again(self, acquisition: Acquisition) -> None:
        async with self._sampling:
            if self._closing or self._acquisition is not acquisition or self._sampler is not None:
                return
            try:
                await self._start_sampler(acquisition)
            except AgentError as error:
                self._sampler_gone(error)
            else:
                log.info("sampling again")

    async def _fork_server(self) -> None:
        """Make sure that there is one: it may have been killed, and everything with it."""
        async with self._forking:
            await self._workers.start()

    def _cancel_sampler_timer(self) -> None:
        if self._sampler_timer is not None:
            self._sampler_timer.cancel()
            self._sampler_timer = None

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
