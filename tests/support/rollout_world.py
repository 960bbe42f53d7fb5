"""
A catalog's rollouts over a real database with a clock that is turned by hand, and meters that behave as told.

A `SimulatedMeter` says what `device_catalog.contract.reports` describes: it takes its desired document, runs another
version beside the one in force for its probation, and keeps or drops it.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
from sqlalchemy import event

from device_catalog.contract.documents import Assignment, Configuration, PackageReference, Poll, TopologyReference
from device_catalog.contract.register import Registration
from device_catalog.contract.reports import AlgorithmReport, Reported, ShadowReport, UpdateReport
from device_catalog.contract.rollout_rules import parse_group_change, parse_order, parse_rollout
from device_catalog.fleet.changes import Changes
from device_catalog.fleet.domain import Guard
from device_catalog.fleet.fleet import NANOSECONDS, Fleet
from device_catalog.fleet.register import Register
from device_catalog.rollouts.orders import RolloutOrders
from device_catalog.rollouts.overlay import overlaid_text
from device_catalog.rollouts.questions import RolloutQuestions
from device_catalog.rollouts.releases import Release, Releases
from device_catalog.rollouts.ticking import Ticking
from device_catalog.storage.database import migrate, open_engine
from device_catalog.storage.groups import GroupStore
from device_catalog.storage.networks import NetworkStore
from device_catalog.storage.rollouts import RolloutStore
from device_catalog.storage.store import Store

EPOCH = 1_800_000_000
PROBATION = 3.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> int:
        return int((EPOCH + self.now) * NANOSECONDS)


class Silence:
    """An announcer that tells nobody."""

    def availability(self, *_: object, **__: object) -> None: ...

    def notify(self, *_: object) -> None: ...

    def state(self, *_: object) -> None: ...


class Inline:
    """Threads that are none: everything is done at once, where it is asked for."""

    failed_writes = 0

    async def write(self, function, *arguments):
        return function(*arguments)

    async def read(self, function, *arguments):
        return function(*arguments)

    def in_loop(self, function, *arguments) -> None:
        function(*arguments)


class SimulatedMeter:
    """
    What one meter makes of its desired documents.

    Attributes
    ----------
    fault : callable
        Tells why a version of an algorithm fails on this meter; empty for one that works.
    away : bool
        Whether it is out of reach; it goes on by itself meanwhile.
    """

    def __init__(self, name: str, running: dict[str, str], probation: float = PROBATION) -> None:
        self.name = name
        self.fault: Callable[[str, str], str] = lambda _algorithm, _version: ""
        self.away = False
        self.applied = 0
        self.came = dict(running)  # what came with the agent
        self.in_force = dict(running)
        self.restarts = dict.fromkeys(running, 0)
        self.states = dict.fromkeys(running, "running")
        self.shadow = ShadowReport("", "")
        self.seen: list[str] = []
        self._probation = probation
        self._wanted: dict[str, Assignment] = {}
        self._trials: dict[str, tuple[str, float]] = {}
        self._failed: dict[tuple[str, str], UpdateReport] = {}
        self._updates: dict[str, UpdateReport] = {}

    def take(self, configuration: Configuration, revision: int, now: float) -> None:
        """Take what it should do."""
        self.applied = revision
        self._wanted = {item.algorithm: item for item in configuration.algorithms}
        for name in [name for name in self.in_force if name not in self._wanted]:
            del self.in_force[name]
            self._updates.pop(name, None)
        self._trials = {name: trial for name, trial in self._trials.items() if name in self._wanted}
        self.step(now)

    def step(self, now: float) -> None:
        """Go on with what is under way."""
        for name, item in self._wanted.items():
            version = item.version or self.came.get(name, "")
            trial = self._trials.get(name)
            if trial is not None and trial[0] != version:
                trial = self._trials.pop(name, None) and None
            if version == self.in_force.get(name):
                if item.rollout or name in self._updates:
                    self._updates[name] = UpdateReport(item.version, "active", rollout=item.rollout)
                continue
            known = self._failed.get((name, version))
            if known is not None:
                self._updates[name] = msgspec.structs.replace(known, rollout=item.rollout)
                continue
            if trial is None:
                self._trials[name] = (version, now)
                self._updates[name] = UpdateReport(version, "probation", rollout=item.rollout)
            elif now - trial[1] >= self._probation:
                self._end(name, version, item.rollout)

    def _end(self, name: str, version: str, rollout: str) -> None:
        del self._trials[name]
        self.seen.append(version)
        reason = self.fault(name, version)
        if reason:
            failed = UpdateReport(version, "failed", reason, ("Traceback", reason), rollout)
            self._failed[name, version] = self._updates[name] = failed
        else:
            self.in_force[name] = version
            self.states[name], self.restarts[name] = "running", 0
            self._updates[name] = UpdateReport(version, "active", rollout=rollout)

    def report(self) -> Reported:
        """Say what it does."""
        algorithms = {}
        for name, item in self._wanted.items():
            shadow = None
            if item.shadow is not None:
                reason = self.fault(name, item.shadow.version)
                state = "quarantined" if reason else "running"
                changes = {"version": item.shadow.version, "state": state, "last_error": reason}
                shadow = msgspec.structs.replace(self.shadow, **changes)
            algorithms[name] = AlgorithmReport(
                self.in_force.get(name, ""),
                self.states.get(name, "running"),
                restarts=self.restarts.get(name, 0),
                update=self._updates.get(name),
                shadow=shadow,
            )
        return Reported(self.name, 1, "1.0", self.applied, algorithms=algorithms)


@cache
def _empty_database() -> bytes:
    """Make the tables once for all tests."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{folder}/catalog.db")
        migrate(engine)
        engine.dispose()
        return (Path(folder) / "catalog.db").read_bytes()


class World:
    """A catalog's rollouts, its meters and its clock."""

    def __init__(self, folder: Path, url: str = "", clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        if not url:
            (folder / "catalog.db").write_bytes(_empty_database())
        self.engine = open_engine(url or f"sqlite:///{folder / 'catalog.db'}")
        if url:
            migrate(self.engine)
        else:
            event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        self.meters: dict[str, SimulatedMeter] = {}
        self.signed = [("band", "1.0.0", 1), ("band", "1.1.0", 2), ("band", "1.2.0", 3)]
        self.expires = 10**9
        self._reports: dict[str, Reported] = {}
        self.begin()

    def begin(self) -> None:
        """Start a catalog over the database, as after a restart."""
        self.fleet = Fleet(Silence(), Guard(), self.clock.monotonic, self.clock.wall)
        self.store = Store(self.engine)
        self.fleet.load(self.store.load(), self.store.tenants())
        threads = Inline()
        register = Register(self.fleet, self.store, threads)
        self.changes = Changes(register, NetworkStore(self.engine))
        self.rollouts = RolloutStore(self.engine)
        self.groups = GroupStore(self.engine)
        self.ticking = Ticking(register, self.rollouts)
        self.orders = RolloutOrders(register, self.rollouts, self.groups, self.ticking, self.releases)
        self.questions = RolloutQuestions(self.rollouts, self.groups, threads)

    def releases(self) -> Releases:
        """Give what is signed."""
        packages = [
            Release(
                name,
                version,
                "py3-none-any",
                PackageReference(number, 1000, hashlib.sha256(version.encode()).hexdigest()),
            )
            for name, version, number in self.signed
        ]
        return Releases(tuple(packages), datetime.fromtimestamp(EPOCH + self.expires, UTC))

    def meter(
        self, name: str, *, area: str = "", network: str = "", running: str = "1.0.0", version: str = ""
    ) -> SimulatedMeter:
        """Register a meter that runs `band`."""
        place = TopologyReference(network or "net", area) if area or network else None
        algorithms = (Assignment("band", version=version),) if running else ()
        configuration = Configuration(algorithms=algorithms, poll=Poll(1.0, 5.0), topology=place)
        asyncio.run(self.changes.register(Registration(name, configuration=configuration), "operator", "", b""))
        self.meters[name] = SimulatedMeter(name, {"band": running} if running else {})
        return self.meters[name]

    def many(self, count: int, **fields: str) -> list[SimulatedMeter]:
        """Register meters."""
        return [self.meter(f"m-{number:04d}", **fields) for number in range(count)]

    def group(self, name: str, *devices: str) -> None:
        """Let devices join a group."""
        change = parse_group_change({"add": list(devices)})
        asyncio.run(self.orders.change_group(name, change, By()))

    def start(self, version: str = "1.1.0", **fields: object) -> str:
        """Start a rollout of `band`."""
        document = {"algorithm": "band", "version": version, "to": {"kind": "meter"}, "deadline": 30.0, **fields}
        return asyncio.run(self.orders.start(parse_rollout(document), "operator", "", b""))

    def order(self, name: str, order: str, **fields: object) -> None:
        """Do something with a rollout."""
        document = parse_order({"order": order, **fields})
        asyncio.run(self.orders.order(name, document, None, "operator"))

    def desired(self, name: str) -> Configuration:
        """Give what a meter should do."""
        text = overlaid_text(self.store.configuration(name)[1], self.store.choices(name))
        return msgspec.json.decode(text, type=Configuration)

    def configure(self, name: str, configuration: Configuration) -> None:
        """Give a meter another configuration."""
        asyncio.run(self.changes.set_configuration(name, configuration, "*", "operator"))

    def run(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass: meters poll and report, the catalog looks at its rollouts."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now += step
            asyncio.run(self._second())

    async def _second(self) -> None:
        for meter in self.meters.values():
            device = self.fleet.devices.get(meter.name)
            if device is None:
                continue
            if not meter.away:
                self.fleet.heard(device, 1, meter.applied, device.tag)
                if meter.applied != device.revision:
                    meter.take(self.desired(meter.name), device.revision, self.clock.now)
            meter.step(self.clock.now)
            if not meter.away:
                report = meter.report()
                if report != self._reports.get(meter.name):
                    self._reports[meter.name] = report
                    await self.changes.report(meter.name, msgspec.to_builtins(report), whole=True)
        self.fleet.tick()
        await self.ticking.tick(at_once=True)

    def detail(self, name: str):
        """Give all about a rollout."""
        return asyncio.run(self.questions.detail(name))[0]

    def summary(self, name: str):
        """Give where a rollout stands."""
        return self.detail(name).summary

    def versions(self) -> dict[str, int]:
        """Count the meters by the version in force."""
        counts: dict[str, int] = {}
        for meter in self.meters.values():
            version = meter.in_force.get("band", "none")
            counts[version] = counts.get(version, 0) + 1
        return counts


class By:
    """Who gives orders."""

    name = "operator"
    tenant = ""
