"""
One assigned algorithm, kept going: its process while it has one, its history, and when it is started again.

Where it stands: owned by `running`, which says what it starts with and where its records go; `workers` makes the
process, `supervisor` says when it may be started again. A process that runs for an algorithm that is not in force, a
candidate or one that was replaced, changes nothing: its records go nowhere and its state is not kept. One that stands
beside the one in force (`agent.updates`) has its records taken by `through`, and keeps its state, if at all, under a
name of its own. Urgent results
wait for the state that counts them (`held_records`). Whether an algorithm needs a network is known once its process has
said so; one that needs it waits for it, where one is to come.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from agent.checkpoints import Keeper
from agent.clock import Clock
from agent.errors import AgentError, AlgorithmRefused, WorkerError
from agent.held_records import HeldRecords
from agent.processes.algorithm_messages import AlgorithmSpec, AlgorithmStatus
from agent.processes.algorithm_worker import AlgorithmWorker
from agent.processes.process import ExitKind
from agent.processes.sampler import Sampler
from agent.processes.workers import Workers
from agent.reporting import plausible
from agent.supervisor import ALGORITHM_POLICY, Restarts, State
from algorithms.api.errors import Problem, shortened
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Record
from device_catalog.contract.documents import Assignment
from device_catalog.contract.reports import AlgorithmReport

log = logging.getLogger(__name__)

WAITING = "waits for the source"
"""What is said of an algorithm that cannot start before there are samples."""

WAITING_FOR_NETWORK = "waits for the network model"
"""What is said of an algorithm that cannot start before the part of the network is here that it works on."""

UNREADABLE = ".unreadable"
"""Added to an algorithm's name: where a state is kept that it could not read."""

EARLY = 256
"""Records that wait at most for an algorithm that is starting beside the one in force."""


class Owner(Protocol):
    """What an algorithm needs of the set it runs in."""

    def beginning(self, assignment: Assignment) -> tuple[AlgorithmSpec, Sampler | None] | None:
        """Say what to start it with, but for its kept state; None while it has to wait for the source."""

    @property
    def network_awaited(self) -> bool:
        """Whether a network is to come that is not here yet."""

    def take(self, maker: str, records: Sequence[Record]) -> None:
        """Route what the algorithm `maker` made."""

    def began(self, one: "SupervisedAlgorithm") -> None:
        """Note that one runs which did not before."""


class SupervisedAlgorithm:
    """
    An algorithm that a document assigns.

    Parameters
    ----------
    assignment : Assignment
    owner : Owner
    workers : Workers
        Started already.
    store : Keeper
    clock : Clock
    chance : random.Random
        Spreads the times of new starts.
    state_name : str, optional
        Under which its state is kept; its own name by default.
    inherits : str, optional
        Under which name the state is kept that it starts from, until it was in force; its own by default.
    background : bool, optional
        Whether its process goes behind everything else.

    Attributes
    ----------
    assignment : Assignment
    info : AlgorithmInfo or None
        What it says of itself; None before it ran.
    in_force : bool
        Whether its records count, as far as `through` lets them pass, and its state is kept.
    through : callable or None
        Takes what it makes, and returns what of it goes out.
    ended : callable or None
        Takes why its process ended, instead of its being started again.
    note : str
        Why it runs without the state it was given; empty where it does not.
    status : AlgorithmStatus
        What its process said last.
    """

    def __init__(
        self,
        assignment: Assignment,
        owner: Owner,
        *,
        workers: Workers,
        store: Keeper,
        clock: Clock,
        chance: random.Random,
        state_name: str = "",
        inherits: str = "",
        background: bool = False,
    ) -> None:
        self.assignment = assignment
        self.info: AlgorithmInfo | None = None
        self.in_force = False
        self.through: Callable[[Sequence[Record]], Sequence[Record]] | None = None
        self.ended: Callable[[object], None] | None = None
        self.note = ""
        self.status = AlgorithmStatus()
        self.state_name = state_name or assignment.algorithm
        self._inherits = inherits
        self._background = background
        self._given: bytes | None = None
        self._early: deque[Record] = deque(maxlen=EARLY)
        self._owner = owner
        self._workers = workers
        self._store = store
        self._clock = clock
        self._chance = chance
        self._worker: AlgorithmWorker | None = None
        self._restarts = Restarts(ALGORITHM_POLICY)
        self._last_error = ""
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._resting = False
        self._needs_network = self._lacks_network = False
        self._network: tuple[bytes | None, bytes | None] = None, None
        self._held = HeldRecords(self._release, self._judge_keeping)
        self._keeping_problem = ""

    @property
    def name(self) -> str:
        """Its name; a device runs each algorithm at most once."""
        return self.assignment.algorithm

    @property
    def uses_network(self) -> bool:
        """Whether it works on a network where there is one, as far as it said so."""
        info = self.info
        return self._needs_network or (info is not None and (info.needs_network or info.uses_network))

    @property
    def runs(self) -> bool:
        """Whether it has a process."""
        return self._worker is not None

    def is_outdated(self, network: bytes | None, switches: bytes | None) -> bool:
        """Tell whether it works on another network than this."""
        return self.uses_network and self._network != (network, switches)

    async def start(self) -> bool:
        """
        Start it; tell whether that was possible, or it has to wait for the source or the network.

        Raises
        ------
        AlgorithmRefused
            With every problem of its settings, or that another version is installed.
        AgentError
            When its process cannot be started.
        """
        beginning = self._owner.beginning(self.assignment)
        if beginning is None:
            self._last_error = self._last_error or WAITING
            return False
        spec, sampler = beginning
        self._restarts.state = State.STARTING
        given, self._given = self._given, None
        restored = given if given is not None else self._store.checkpoint(self._inherits or self.state_name)
        try:
            worker = await self._workers.start_algorithm(
                msgspec.structs.replace(spec, restored=restored, background=self._background),
                sampler,
                on_records=self._take,
                on_report=self._note,
                on_checkpoint=self._keep,
                # An end before this start has returned is told by the start itself.
                on_exit=lambda reason: None if self._worker is None else self.retry(reason),
            )
        except OSError as error:
            raise WorkerError(f"{self.name} cannot be started: {error}") from error
        except AlgorithmRefused as refused:
            self._needs_network = refused.needs_network
            if spec.network is not None or not (refused.needs_network and self._owner.network_awaited):
                raise
            self._lacks_network = True
            self._last_error = WAITING_FOR_NETWORK
            return False
        if worker.exit is not None:
            raise WorkerError(worker.exit.reason, traceback=worker.exit.traceback)
        if self.assignment.version not in ("", worker.info.version):
            worker.kill(f"{self.name} is installed in another version than was asked for")
            remedy = "install it, or leave it empty"
            raise AlgorithmRefused([Problem("version", self.assignment.version, worker.info.version, remedy)])
        self._network = spec.network, spec.switches
        self._runs_now(worker, sampler, restored)
        return True

    def _runs_now(self, worker: AlgorithmWorker, sampler: Sampler | None, restored: bytes | None) -> None:
        """Note that its process has started."""
        self._worker = worker
        self._lacks_network = False
        self.info = worker.info
        self.status = AlgorithmStatus()
        self.note = worker.note if restored is not None else ""
        self._last_error = ""
        self._restarts.started(self._clock.monotonic())
        if sampler is not None and worker.info.history > sampler.plan.history:
            wanted = f"expected {worker.info.history:g} s of samples to look back on"
            self._last_error = f"{wanted}, found {sampler.plan.history:.3g} s; raise acquisition.history"
            log.warning("%s: %s", self.name, self._last_error)
        if worker.note and restored is not None and not self._inherits:
            self._put_aside(restored)
            self.complain(f"{worker.note}; that state is put aside as {self.name}{UNREADABLE}")
        if self.in_force:
            self._inherits = ""
        while self._early:
            worker.feed(self._early.popleft())

    def retry(self, reason: object) -> None:
        """Note that it has no process, and start it again when its policy allows."""
        self._worker = None
        self._last_error = shortened(str(reason), 500)
        if self._stopped:
            return
        if self.ended is not None:
            self.ended(reason)
            return
        delay = self._restarts.failed(self._clock.monotonic(), self._chance.random())
        log.error("%s does not run: %s; %s for %.1f s", self.name, reason, self._restarts.state, delay)
        self._timer = asyncio.get_running_loop().call_later(delay, self._again)

    def start_waiting(self) -> None:
        """Start it where it has neither a process nor a time at which it gets one."""
        begun = self._worker is not None or self._timer is not None or self._task is not None
        waits = self._lacks_network and self._owner.network_awaited
        if not begun and not self._stopped and not self._resting and not waits:
            self._again()

    async def rest(self) -> None:
        """End its process for a while, keeping its newest state, until `wake` or until a successor takes over."""
        self._resting = True
        await self._end()
        self._restarts.state = State.STARTING

    def wake(self) -> None:
        """End its rest; `start_waiting` starts it."""
        self._resting = False

    async def hand_over(self) -> bytes | None:
        """
        Keep its newest state for a successor, and return it; where it does not answer, what it gave before serves.

        It counts whatever was fed to it before this call, and nothing that was fed later.
        """
        if self._worker is None:
            return None
        try:
            state = await self._worker.checkpoint()
        except AgentError as error:
            log.warning("%s gave no state to its successor: %s", self.name, error)
            return None
        self._keep(state)
        return state

    def begin_with(self, state: bytes | None) -> None:
        """Let its next start go on from this state, instead of the one that is kept; None for the latter."""
        self._given = state

    async def stop(self) -> None:
        """Stop it, also a start that is under way; what it says last is kept where it is in force."""
        self._stopped = True
        await self._end()
        await self._held.settle()

    async def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        worker, self._worker = self._worker, None
        if worker is not None:
            end = await worker.stop()
            if end.kind is not ExitKind.STOPPED:
                log.warning("%s gave no last state, the one before serves: %s", self.name, end)

    def feed(self, record: Record) -> None:
        """Hand it a record; one that does not run misses it, but for one that starts beside the one in force."""
        if self._worker is not None:
            self._worker.feed(record)
        elif self._inherits:
            self._early.append(record)

    def go_behind(self, other: "SupervisedAlgorithm") -> None:
        """Let what it makes go out behind what another version made that is still held back."""
        self._held = other._held  # noqa: SLF001 - of its own kind
        self._held.judge = self._judge_keeping

    def release(self, records: Sequence[Record]) -> None:
        """Let records go out that it made before they counted."""
        if records:
            self._held.put(records)

    def complain(self, problem: str) -> None:
        """Note what is wrong with what it made."""
        if self._last_error != problem:
            self._last_error = problem
            log.error("%s: %s", self.name, problem)

    def report(self) -> AlgorithmReport:
        """Say how it is doing."""
        return AlgorithmReport(
            version=shortened(self.info.version) if self.info is not None else "",
            state=str(self._restarts.state),
            restarts=self._restarts.count,
            processed=self.status.processed,
            produced=self.status.produced,
            dropped=self.status.dropped,
            lost_samples=self.status.lost_samples,
            processor=self.status.processor,
            memory=self.status.memory,
            slowest=self.status.slowest,
            last_error=self._last_error,
        )

    def _take(self, records: Sequence[Record]) -> None:
        passed = records if self.through is None else self.through(records)
        if self.in_force and passed:
            self._held.put(passed)

    def _release(self, records: Sequence[Record]) -> None:
        self._owner.take(self.name, records)

    def _note(self, status: AlgorithmStatus) -> None:
        self.status = plausible(status)

    def _keep(self, state: bytes) -> None:
        if not self.in_force:
            return
        try:
            durable = self._store.keep_checkpoint(self.state_name, state)
        except OSError as error:
            self._judge_keeping(f"its state could not be kept, the one before stays: {error}")
            return
        if durable is not None:
            self._held.state_comes(durable)

    def _judge_keeping(self, problem: str) -> None:
        """Say what is wrong with keeping its state, and take that back when it is right again."""
        if problem:
            self.complain(problem)
        elif self._last_error == self._keeping_problem:
            self._last_error = ""
        self._keeping_problem = problem

    def _put_aside(self, state: bytes) -> None:
        """Keep a state that this version cannot read where nothing overwrites it: it may hold years of counting."""
        try:
            self._store.keep_checkpoint(self.name + UNREADABLE, state)
        except OSError as error:
            log.error("the unreadable state of %s could not be put aside: %s", self.name, error)

    def _again(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._start_again(), name=f"start {self.name}")

    async def _start_again(self) -> None:
        try:
            if await self.start():
                log.info("%s runs", self.name)
                self._owner.began(self)
        except AgentError as error:
            self.retry(error)
        finally:
            self._task = None
