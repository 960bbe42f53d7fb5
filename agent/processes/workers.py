"""
The agent's processes: one sampler, one process for each algorithm, and the fork server they come from.

Where it stands: the asyncio side, inside the agent; the supervisor starts and stops through `Workers`, and decides what
follows an `Exit`. Nothing here loads numpy: the agent stays small.

Use::

    workers = Workers(preload=["algorithms.builtin.phasors"], on_exit=fork_server_gone)
    await workers.start()
    sampler = await workers.start_sampler(acquisition, on_status, on_exit)
    worker = await workers.start_algorithm(
        spec, sampler, on_records=..., on_report=..., on_checkpoint=..., on_exit=...
    )
    worker.feed(record)
    await workers.stop()

Rules:

- Starting either succeeds or raises one clear `WorkerError` (`AlgorithmRefused` with all problems), within a limit.
- A sampler started after another goes on with its indices, and the algorithms that read the other's ring are handed
  the new one; those that its channels no longer fit are ended, with that reason, to be started again.
- `on_exit` tells of ends that nobody asked for; `stop` answers with the `Exit` itself.
- A recorder is like an algorithm that is not confined, and is there only while something is recorded.
- When the fork server goes, every process is gone; each `on_exit` is called, then the server's. The next start of
  anything begins with a new fork server.
- When the agent goes, however it goes, the fork server notices, kills every process and leaves.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from agent.errors import WorkerError
from agent.processes import box
from agent.processes.algorithm_messages import (
    CHECKPOINT_SIZE,
    AlgorithmSpec,
    AlgorithmStatus,
    FromAlgorithm,
    StartAlgorithm,
)
from agent.processes.algorithm_worker import AlgorithmCallbacks, AlgorithmWorker
from agent.processes.async_channel import AsyncChannel
from agent.processes.channel import ChannelError, socket_pair
from agent.processes.declared import declared_in
from agent.processes.entry_points import entry_of
from agent.processes.fork_client import ForkClient
from agent.processes.process import Exit, OnExit, Process
from agent.processes.protocol import Probe, Probed
from agent.processes.recorder_messages import FromRecorder, StartRecorder
from agent.processes.recorder_worker import OnAnswer, RecorderWorker
from agent.processes.ring_position import position_of
from agent.processes.sampler import Sampler
from agent.processes.sampler_messages import FromSampler, SamplingStatus, StartSampling
from algorithms.api.records import Record
from device_catalog.contract.documents import Acquisition

log = logging.getLogger(__name__)

START_TIME = 30.0
"""How long a sampler or an algorithm may take to start [s]: a Raspberry Pi, a slow board."""

_WATCH_INTERVAL = 0.5
_MESSAGE = 1024 * 1024  # longest message of a process the agent trusts [bytes]
_FIRST_USER = 0x70000000  # as in `sandbox`, which the agent does not load


class Workers:
    """
    Owner of the fork server and of everything forked from it.

    Parameters
    ----------
    preload : sequence of str
        Modules to load once, before algorithms are forked: each algorithm's own would otherwise load them again.
    on_exit : callable or None
        Called with the reason when the fork server is gone, after every process's own `on_exit`.

    Attributes
    ----------
    isolation : dict
        What the last `probe` found; empty before.
    """

    def __init__(self, *, preload: Sequence[str] = (), on_exit: Callable[[str], None] | None = None) -> None:
        self._server = ForkClient(preload, self._exited, self._gone)
        self._on_exit = on_exit
        self._workers: dict[int, Process] = {}
        self._next_number = 0
        self._sampler: Sampler | None = None
        self._ring = -1  # of the last sampler, also of one that died: what led to that is worth recording
        self._watching: asyncio.Task[None] | None = None
        self._wanted = False
        self._boxes_work = False
        self.isolation: dict[str, bool] = {}

    @property
    def not_loaded(self) -> dict[str, str]:
        """Modules of `preload` that could not be loaded, each with the reason."""
        return self._server.not_loaded

    @property
    def fork_server_pid(self) -> int:
        """The fork server's process; 0 without one."""
        return self._server.pid

    async def start(self) -> None:
        """
        Start the fork server; nothing happens where it runs.

        Raises
        ------
        WorkerError
            When it does not start.
        """
        await self._server.start()
        self._wanted = True
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch(), name="watch workers")

    async def stop(self) -> None:
        """Stop every process and the fork server; takes at most a few seconds, and may come twice."""
        self._wanted = False
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None
        algorithms = [worker for worker in self._workers.values() if isinstance(worker, AlgorithmWorker)]
        await _together([worker.stop() for worker in algorithms])
        await _together([worker.stop() for worker in self._workers.values() if isinstance(worker, Sampler)])
        for worker in list(self._workers.values()):
            worker.process_ended(None)
        self._workers.clear()
        self._keep_ring([])
        await self._server.stop()

    async def start_sampler(
        self,
        acquisition: Acquisition,
        on_status: Callable[[SamplingStatus], None],
        on_exit: OnExit,
        *,
        timeout: float = START_TIME,  # noqa: ASYNC109 - see `wait_for_start`
    ) -> Sampler:
        """
        Start to sample.

        Parameters
        ----------
        acquisition : Acquisition
        on_status : callable
            Takes the `SamplingStatus`, about once a second.
        on_exit : callable
            Takes the `Exit`, once, if sampling had started and ended without `stop`.
        timeout : float
            [s]

        Raises
        ------
        WorkerError
            When the source is not there, refuses, or does not start in time.
        """
        previous = self._sampler
        sampler = Sampler(self._number(), on_status, on_exit)
        await self._fork(sampler, "sampler", FromSampler, _MESSAGE, take_fds=True)
        index, time_ns = previous.position() if previous is not None else (0, 0)
        written_ns = previous.written_at() if previous is not None else 0
        sampler.channel.send(StartSampling(acquisition, index, time_ns, written_ns))
        await sampler.wait_for_start(timeout)
        self._sampler = sampler
        self._keep_ring(sampler.ring())
        for worker in list(self._workers.values()):
            if isinstance(worker, AlgorithmWorker) and worker.sampler is not None and worker.exit is None:
                self._hand_over(worker, worker.sampler, sampler)
            elif isinstance(worker, RecorderWorker) and worker.exit is None and self._ring >= 0:
                worker.attach([os.dup(self._ring)])
        return sampler

    async def start_algorithm(
        self,
        spec: AlgorithmSpec,
        sampler: Sampler | None,
        *,
        on_records: Callable[[list[Record]], None],
        on_report: Callable[[AlgorithmStatus], None],
        on_checkpoint: Callable[[bytes], None],
        on_exit: OnExit,
        timeout: float = START_TIME,  # noqa: ASYNC109 - see `wait_for_start`
    ) -> AlgorithmWorker:
        """
        Start an algorithm in a process of its own; see `AlgorithmCallbacks` for who is told what.

        Raises
        ------
        AlgorithmRefused
            With every problem of its settings.
        WorkerError
            When it cannot be loaded, raises, or does not start in time.
        """
        try:
            spec = msgspec.structs.replace(spec, entry=entry_of(spec.entry))
            declared = declared_in(spec.folder) if spec.folder else None
        except ImportError as error:
            raise WorkerError(f"algorithm {spec.name}: {error}") from error
        if spec.boxed:
            await self._expect_boxes(spec.name)
        worker = AlgorithmWorker(
            self._number(), spec, AlgorithmCallbacks(on_records, on_report, on_checkpoint, on_exit), declared
        )
        limit = max(spec.limits.record_size, CHECKPOINT_SIZE) + _MESSAGE
        folder = spec.folder if spec.boxed else ""
        await self._fork(worker, "algorithm", FromAlgorithm, limit, take_fds=False, folder=folder)
        try:
            fds = sampler.new_reader(worker.number) if sampler is not None else []
        except ChannelError as error:
            worker.kill(str(error))
            raise WorkerError(f"{worker.name} cannot start: {error}") from error
        worker.sampler = sampler
        worker.channel.send(StartAlgorithm(spec, sampler is not None, _FIRST_USER + worker.number), fds)
        await worker.wait_for_start(timeout)
        if sampler is not None and not worker.wants_samples:
            sampler.remove_reader(worker.number)
            worker.sampler = None
        return worker

    async def start_recorder(self, start: StartRecorder, *, on_answer: OnAnswer, on_exit: OnExit) -> RecorderWorker:
        """
        Start a recorder, which reads the newest ring there is, and those that follow.

        Parameters
        ----------
        start : StartRecorder
            Whether there is a ring is filled in here.
        on_answer : callable
            Takes `Recorded` or `NotRecorded` for each span.
        on_exit : callable
            Takes the `Exit`, once, if it ended without `stop`.

        Raises
        ------
        WorkerError
            When it does not start.
        """
        worker = RecorderWorker(self._number(), on_answer, on_exit)
        await self._fork(worker, "recorder", FromRecorder, _MESSAGE, take_fds=False)
        worker.begin(start, [os.dup(self._ring)] if self._ring >= 0 else [])
        await worker.wait_for_start(START_TIME)
        return worker

    def ring(self) -> list[int]:
        """Return a descriptor of the newest ring, which cannot be written through, for the caller; none without one."""
        return [os.dup(self._ring)] if self._ring >= 0 else []

    def position(self) -> tuple[int, int]:
        """Tell where the newest ring ends: index and UTC [ns] of the sample after its last; (0, 0) without one."""
        return position_of(self._ring) if self._ring >= 0 else (0, 0)

    async def probe(self) -> dict[str, bool]:
        """
        Try in a confined process what is forbidden to algorithms.

        Returns
        -------
        dict
            Each layer with whether the kernel accepted it, and each protection with whether it held.

        Raises
        ------
        WorkerError
            When the probe cannot be made.
        """
        answer: asyncio.Future[dict[str, bool]] = asyncio.get_running_loop().create_future()
        prober = _Prober(self._number(), answer)
        await self._fork(prober, "probe", Probed, _MESSAGE, take_fds=False)
        ring = self._sampler.ring() if self._sampler is not None else []
        prober.channel.send(Probe(_FIRST_USER + prober.number, bool(ring)), ring)
        await prober.wait_for_start(START_TIME)
        self.isolation = answer.result()
        return self.isolation

    # ---- within

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number

    async def _expect_boxes(self, name: str) -> None:
        """Raise where bubblewrap does not work on this machine; that it does is found out once."""
        if not self._boxes_work:
            problem = await box.problem()
            if problem:
                wanted = f"expected bubblewrap to run {name} in, as the policy wants it for code of publishers"
                raise WorkerError(f"{wanted}, {problem}")
            self._boxes_work = True

    async def _fork(
        self, worker: Process, role: str, message_type: Any, maximum: int, *, take_fds: bool, folder: str = ""
    ) -> None:
        if not self._wanted:
            raise WorkerError("the fork server is not running; start it first")
        await self._server.start()
        ours, theirs = socket_pair()
        self._workers[worker.number] = worker
        worker.connect(AsyncChannel(ours, message_type, maximum, worker.take, worker.channel_closed, take_fds=take_fds))
        try:
            await self._server.fork(worker.number, role, theirs, worker.forked, box=folder)
        except WorkerError as error:
            raise WorkerError(f"{worker.name} cannot start: {error}") from error
        finally:
            if worker.pid == 0:
                self._workers.pop(worker.number, None)
                worker.channel.close()

    def _exited(self, number: int, status: int) -> None:
        worker = self._workers.pop(number, None)
        if worker is not None:
            worker.process_ended(status)

    def _gone(self, reason: str) -> None:
        workers = list(self._workers.values())
        self._workers.clear()
        for worker in workers:
            try:
                worker.process_ended(None)
            except Exception:  # the others must not go on believing in processes that are gone
                log.exception("%s is gone, and that could not be dealt with", worker.name)
        if self._on_exit is not None:
            self._on_exit(reason)

    def _keep_ring(self, ring: list[int]) -> None:
        if self._ring >= 0:
            os.close(self._ring)
        self._ring = ring[0] if ring else -1

    def _hand_over(self, worker: AlgorithmWorker, old: Sampler, new: Sampler) -> None:
        if not new.like(old):
            worker.kill(f"{worker.name} must start again: the source now delivers other channels or another rate")
            return
        with suppress(ChannelError):  # the new sampler went already; the next one will be handed over
            worker.attach(new)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(_WATCH_INTERVAL)
            now = loop.time()
            late = now - before - _WATCH_INTERVAL
            before = now
            for worker in list(self._workers.values()):
                if late > _WATCH_INTERVAL:  # this process was held up itself: what they said is still to be read
                    worker.heard(now)
                worker.watch(now)


class _Prober(Process):
    def __init__(self, number: int, answer: asyncio.Future[dict[str, bool]]) -> None:
        super().__init__("the probe of the sandbox", number, lambda _: None)
        self._answer = answer

    def watch(self, now: float) -> None:
        """Nothing to watch: it lives for milliseconds, and its start is waited for with a limit."""

    def take(self, message: Probed, _fds: list[int]) -> None:
        if not self._started.done():
            self._answer.set_result(message.isolation)
            self._started.set_result(None)


async def _together(stops: Sequence[Coroutine[Any, Any, Exit]]) -> None:
    if stops:
        await asyncio.gather(*stops)
