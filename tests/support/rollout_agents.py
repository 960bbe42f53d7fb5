"""
Meters for rollouts that decide with the agent's own code: journal, trial, probation, supervision, reports.

What is not there is what costs a process or a card: algorithms are stand-ins that do what they are told, packages lie
in one folder for all, a fetch finds what the catalog chose, and the journal is kept in memory.
"""

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from agent.apply import apply
from agent.running import Place, RunningSet
from agent.updates.fetch_messages import FetchAnswer
from agent.updates.fetches import Fetches
from agent.updates.journal import Journal
from agent.updates.places import Places
from agent.updates.updates import Updates
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind
from device_catalog.contract.documents import Configuration, PackageReference
from device_catalog.contract.packages import contents, read_package
from device_catalog.contract.reports import Reported
from device_catalog.contract.validation import parse_desired
from tests.support.fake_workers import FakeProcess, FakeWorkers, LoopClock
from tests.support.packages import NAME, package_of

CAME = "0.0.1"
"""The version that came with the agent."""

LIFE = 0.3
"""A faulty version goes after this [s]."""


class Card:
    """Keeps in memory what a meter keeps on its card."""

    def __init__(self) -> None:
        self._journal: bytes | None = None
        self._states: dict[str, bytes] = {}

    def updates(self) -> bytes | None:
        return self._journal

    def keep_updates(self, document: bytes) -> None:
        self._journal = document

    def checkpoint(self, algorithm: str) -> bytes | None:
        return self._states.get(algorithm)

    def keep_checkpoint(self, algorithm: str, state: bytes) -> Future[None] | None:
        self._states[algorithm] = state
        return None


class OnePlace(Places):
    """One folder for all meters, from which nobody takes anything away."""

    def clear(self, named: Any) -> None:
        """Leave everything."""


def put_in_place(folder: Path, *versions: str) -> dict[str, PackageReference]:
    """Unpack versions where meters look for them; return what the catalog says of each."""
    places, references = Places(folder), {}
    for release, version in enumerate(versions, 1):
        name, data = package_of(version, release)
        package = read_package(name, data)
        references[version] = PackageReference(release, package.length, package.sha256)
        place = places.path(NAME, version, references[version])
        for path, content in contents(data).items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(content)
    return references


class MeterWorkers(FakeWorkers):
    """Starts stand-ins of the version that is meant; one of `faulty` goes soon after it was started."""

    def __init__(self) -> None:
        super().__init__()
        self.faulty: set[str] = set()
        self.ran: list[str] = []

    async def start_algorithm(self, spec: Any, sampler: Any, **calls: Any) -> FakeProcess:
        version = Path(spec.folder).name.partition("-")[0] if spec.folder else CAME
        info = AlgorithmInfo(spec.name, version, "A test.", (Kind.FRAME,), (Kind.RESULT,))
        process = FakeProcess((spec, sampler), calls, info)
        self.started = [one for one in self.started if one.exit is None] + [process]
        self.ran.append(version)
        if version in self.faulty:
            asyncio.get_running_loop().call_later(LIFE, lambda: process.exit or process.die())
        return process


class AgentMeter:
    """
    One meter.

    Parameters
    ----------
    name : str
    places : Places
    references : dict
        What is signed, by version.

    Attributes
    ----------
    workers : MeterWorkers
    applied : int
        The revision in force.
    """

    def __init__(self, name: str, places: Places, references: dict[str, PackageReference]) -> None:
        self.name = name
        self.workers = MeterWorkers()
        self.applied = 0
        card = Card()
        self._references = references
        self._configuration = Configuration()
        self._changing = asyncio.Lock()
        clock = LoopClock()
        self._running = RunningSet(self.workers, card, clock, lambda *_: None)  # type: ignore[arg-type]
        self._running.place = Place(name, "default", name)
        self._updates = Updates(
            self._running,
            Journal(card, _at_once),
            places=places,
            fetches=Fetches(self._ask),
            changing=self._changing,
            clock=clock,
            aside=_at_once,
        )

    async def take(self, document: bytes) -> None:
        """Bring a desired document into force, as `agent.service` does."""
        desired = parse_desired(document)
        wanted = desired.configuration
        async with self._changing:
            await self._updates.make_way(self._configuration, wanted)
            current, possible = self._updates.effective(self._configuration), self._updates.effective(wanted)
            await apply(current, possible, self._running, self, patient=False)
            self._configuration = wanted
            await self._updates.take(wanted, known=False)
        self.applied = desired.revision

    def set_endpoints(self, *_: object) -> None:
        """There are no brokers."""

    def set_poll(self, *_: object) -> None:
        """The pace is the test's."""

    def report(self) -> bytes:
        """Say what it does."""
        algorithms = self._updates.reports(self._running.algorithm_reports())
        return msgspec.json.encode(Reported(self.name, 1, "1", self.applied, algorithms=algorithms))

    def in_force(self) -> str:
        """Name the version whose records count."""
        one = self._running.in_force(NAME)
        return "" if one is None or one.info is None else one.info.version

    async def close(self) -> None:
        """End it."""
        await self._updates.close()
        await self._running.close()

    async def _ask(self, _name: str, version: str) -> FetchAnswer:
        await asyncio.sleep(0)
        reference = self._references[version]
        return FetchAnswer(release=reference.release, length=reference.length, sha256=reference.sha256)


async def _at_once(function: Any, *arguments: Any) -> Any:
    return function(*arguments)
