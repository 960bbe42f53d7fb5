"""A meter without processes and network: everything an update goes through but those."""

import asyncio

from agent.apply import apply
from agent.running import Place
from agent.trust.staging import judge, stage
from agent.updates.fetch_messages import FetchAnswer
from agent.updates.fetches import Fetches
from agent.updates.journal import Journal
from agent.updates.places import Places
from agent.updates.updates import Updates
from algorithms.api.records import Kind, Result
from device_catalog.contract.documents import Assignment, Configuration, PackageReference
from tests.support.fake_workers import LoopClock, running_set
from tests.support.quick_loop import until
from tests.support.versions import count_version

PACKAGES = {version: count_version(version, release) for version, release in (("1.0.0", 1), ("1.1.0", 2), ("1.2.0", 3))}


def assignment(version, *, name="count", **fields):
    package, _ = PACKAGES[version]
    reference = PackageReference(package.manifest.release, package.length, package.sha256)
    return Assignment(name, version=version, package=reference, **{"probation": 30.0, **fields})


def result(number):
    return Result("count/1", "t-1", number * 1000, {"n": number})


async def at_once(function, *arguments):
    """Call a function here and now: a quick loop has no threads."""
    return function(*arguments)


class Meter:
    """Everything an update goes through but processes and network."""

    def __init__(self, folder):
        self.folder = folder
        self.running, self.workers, self.published = running_set(folder)
        self.workers.kinds["count"] = ((Kind.FRAME,), (Kind.RESULT,))
        self.workers.contents["count"] = ("count/1",)
        self.running.place = Place("m-1", "default", "t-1")
        self.refusals = {}
        self.asked = []
        self.places = Places(folder / "algorithms")
        self.changing = asyncio.Lock()
        self.journal = Journal(self.running._store, at_once)
        self.updates = Updates(
            self.running,
            self.journal,
            places=self.places,
            fetches=Fetches(self.fetch),
            changing=self.changing,
            clock=LoopClock(),
            aside=at_once,
        )
        self.current = Configuration()
        self.poll = None

    async def fetch(self, _, version):
        self.asked.append(version)
        await asyncio.sleep(0.01)
        if self.refusals.get(version):
            return self.refusals[version].pop(0)
        package, data = PACKAGES[version]
        stage(judge(package.file_name, data, "x86_64"), data, self.folder / "algorithms")
        return FetchAnswer(release=package.manifest.release, length=package.length, sha256=package.sha256)

    async def apply(self, *assignments, known=False, **fields):
        wanted = Configuration(algorithms=assignments, **fields)
        async with self.changing:
            await self.updates.make_way(self.current, wanted)
            current, possible = self.updates.effective(self.current), self.updates.effective(wanted)
            await apply(current, possible, self.running, self, patient=known)
            self.current = wanted
            await self.updates.take(wanted, known=known)

    def set_endpoints(self, broker, endpoints):
        """Nothing to set."""

    def set_poll(self, poll):
        self.poll = poll

    def report(self, name="count"):
        return self.updates.reports(self.running.algorithm_reports())[name]

    async def reach(self, step, version="", name="count"):
        await until(lambda: self.report(name).update and self.report(name).update.step == step
                    and version in ("", self.report(name).update.version))  # fmt: skip

    def processes(self):
        """Name what runs, by version."""
        return [process.info.version for process in self.workers.started if process.exit is None]

    def process(self, version):
        return next(p for p in reversed(self.workers.started) if p.info.version == version)

    def tell(self, version, *numbers):
        self.process(version).calls["on_records"]([result(number) for number in numbers])

    def told(self):
        return [record.payload["n"] for record, _ in self.published]

    async def close(self):
        await self.updates.close()
        await self.running.close()


async def in_force(meter, version="1.0.0"):
    await meter.apply(assignment(version))
    await meter.reach("active", version)
