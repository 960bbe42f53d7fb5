"""Algorithms and samplers without processes: they do what a test tells them, at the calls `Workers` has."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.errors import AlgorithmRefused
from agent.processes.algorithm_messages import AlgorithmSpec
from agent.processes.process import Exit, ExitKind
from agent.processes.sampler_messages import SamplingPlan
from agent.running import RunningSet
from agent.store import Store
from algorithms.api.errors import Problem
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind

STOPPED = Exit(ExitKind.STOPPED, "stopped")
DIED = Exit(ExitKind.DIED, "went without a word")


class LoopClock:
    """The time of the event loop, as an agent's clock."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now_ns(self) -> int:
        return round(self.monotonic() * 1e9)


@dataclass(eq=False)
class FakeProcess:
    """A handle as `Workers` gives them; `calls` are what it was given to call."""

    what: Any
    calls: dict[str, Callable[..., None]]
    info: AlgorithmInfo | None = None
    plan: SamplingPlan = field(default_factory=lambda: SamplingPlan(6400.0, (), 64, history=12.0))
    exit: Exit | None = None
    fed: list[Any] = field(default_factory=list)
    state: bytes = b"state"
    note: str = ""

    def feed(self, record: Any) -> None:
        self.fed.append(record)

    async def checkpoint(self) -> bytes:
        return self.state

    def kill(self, reason: str = "") -> None:
        self.exit = Exit(ExitKind.KILLED, reason)

    async def stop(self) -> Exit:
        if self.exit is None:
            self.exit = STOPPED
            if "on_checkpoint" in self.calls:
                self.calls["on_checkpoint"](self.state)
        return self.exit

    def die(self) -> None:
        """End without being asked to."""
        self.exit = DIED
        self.calls["on_exit"](DIED)


class FakeWorkers:
    """
    Starts whatever is asked for.

    Attributes
    ----------
    faults : dict
        By name, or name and version of a package such as ``count 1.1.0``; ``sampler`` for the source: exceptions to
        raise at the next starts, one each, or a callable that is given the handle before its start returns.
    versions : dict
        What algorithms say they are.
    networked : set of str
        Algorithms that need a network.
    started : list of FakeProcess
    """

    def __init__(self) -> None:
        self.faults: dict[str, list[Any]] = {}
        self.versions: dict[str, str] = {}
        self.kinds: dict[str, tuple[tuple[Kind, ...], tuple[Kind, ...]]] = {}
        self.histories: dict[str, float] = {}
        self.contents: dict[str, tuple[str, ...]] = {}
        self.networked: set[str] = set()
        self.started: list[FakeProcess] = []

    async def start_algorithm(self, spec: AlgorithmSpec, sampler: Any, **calls: Any) -> FakeProcess:
        consumes, produces = self.kinds.get(spec.name, ((Kind.SAMPLES,), (Kind.RESULT,)))
        from_card = Path(spec.folder).name.partition("-")[0]
        version = from_card or self.versions.get(spec.name, "1.0.0")
        contents = self.contents.get(spec.name, ())
        history = self.histories.get(spec.name, 0.0)
        needs_network = spec.name in self.networked
        if needs_network and spec.network is None:
            problem = Problem("network", "a network model", "none", "assign the device to a network")
            raise AlgorithmRefused([problem], needs_network=True)
        info = AlgorithmInfo(
            spec.name, version, "A test.", consumes, produces, contents, history=history, needs_network=needs_network
        )
        named = f"{spec.name} {from_card}" if from_card else spec.name
        return await self._start(
            named if named in self.faults else spec.name, FakeProcess((spec, sampler), calls, info)
        )

    async def start_sampler(self, acquisition: Any, **calls: Any) -> FakeProcess:
        return await self._start("sampler", FakeProcess(acquisition, calls))

    def running(self) -> list[str]:
        """Name what was started and has not ended, in order."""
        alive = [process for process in self.started if process.exit is None]
        return [process.info.name if process.info is not None else "sampler" for process in alive]

    def last(self, name: str) -> FakeProcess:
        """Return the newest process of an algorithm, or of the ``sampler``."""
        return next(p for p in reversed(self.started) if (p.info.name if p.info else "sampler") == name)

    async def _start(self, name: str, process: FakeProcess) -> FakeProcess:
        await asyncio.sleep(0.01)
        faults = self.faults.get(name, [])
        if faults:
            fault = faults.pop(0)
            if isinstance(fault, BaseException):
                raise fault
            fault(process)
        self.started.append(process)
        return process


def running_set(folder: Path) -> tuple[RunningSet, FakeWorkers, list[Any]]:
    """Make a running set over fakes; the list takes what it publishes."""
    workers = FakeWorkers()
    published: list[Any] = []
    running = RunningSet(workers, Store(folder), LoopClock(), lambda *both: published.append(both))  # type: ignore[arg-type]
    return running, workers, published
