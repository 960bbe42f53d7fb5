"""A request for support that somebody ended stays so, whatever its device is just handing over, and over restarts."""

import asyncio
import contextlib
import hashlib
from types import SimpleNamespace

import pytest
from sqlalchemy import insert

from device_catalog.contract.support import BundleLabel, SupportKind, SupportWanted, SupportWish
from device_catalog.errors import Conflict
from device_catalog.storage.database import migrate, open_engine
from device_catalog.storage.recording_files import RecordingFiles
from device_catalog.storage.support import SupportStore
from device_catalog.storage.tables import devices, tenants
from device_catalog.storage.threads import StorageThreads
from device_catalog.support.requests import SupportRequests

DATA = b"a bundle " * 100
LABEL = BundleLabel(len(DATA), hashlib.sha256(DATA).hexdigest())


class Desk:
    """The requests of a catalog with one device; whoever ends one does so right before a write of this name."""

    def __init__(self, folder):
        self._folder = folder
        self.engine = open_engine(f"sqlite:///{folder / 'catalog.db'}")
        migrate(self.engine)
        plain = dict.fromkeys(("description", "terminal", "network", "area"), "") | {"algorithms": "[]"}
        counts = dict.fromkeys(("revision", "created_ns", "applied_revision", "boot"), 0)
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(insert(tenants).prefix_with("OR IGNORE").values(tenant="default", created_ns=1))
            connection.execute(
                insert(devices).values(
                    device="m-1", tenant="default", kind="meter", interval=60.0, lease=195.0, available=False,
                    **plain, **counts,
                )
            )  # fmt: skip
        self.ends_before = ""
        self.start()

    def start(self):
        """Start the catalog, after a power cut or for the first time."""
        self.wishes = {}
        self.threads = StorageThreads()
        write = self.threads.write

        async def racing(function, *arguments):
            if function.__name__ == self.ends_before:
                self.ends_before = ""
                await write(self.requests._end, 1, "anna")
            return await write(function, *arguments)

        self.threads.write = racing
        fleet = SimpleNamespace(
            wall=lambda: 10**18,
            known=lambda _name: None,
            help=lambda name, wish, **_: self.wishes.update({name: wish}),
            devices={"m-1": None},
            support=self.wishes,
        )
        files = RecordingFiles(self._folder / "support")
        self.requests = SupportRequests(SupportStore(self.engine), files, fleet, self.threads)
        self.requests.load()

    def stop(self):
        self.requests.close()
        self.threads.close()

    def files(self):
        return [path.name for path in (self._folder / "support").rglob("*") if path.is_file()]


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.stop()
    desk.engine.dispose()


@pytest.mark.parametrize("moment", ["_coming", "_arrived", "_failed"])
def test_what_was_ended_while_its_bundle_came_does_not_come_back(desk, moment):
    async def hand_over():
        await desk.requests.ask("m-1", SupportWanted(SupportKind.BUNDLE, "silent"), "anna")
        desk.ends_before = moment
        if moment == "_failed":
            await desk.requests.told("m-1", "s-1", BundleLabel(0, "", failed="no room"))
            return
        with contextlib.suppress(Conflict):
            await desk.requests.told("m-1", "s-1", LABEL)
            assert moment == "_arrived"
        with pytest.raises(Conflict, match="found s-1 ended"):
            await desk.requests.take("m-1", "s-1", 0, DATA)

    asyncio.run(hand_over())
    for _ in range(2):
        entry = asyncio.run(desk.requests.one("m-1", "s-1"))
        assert (entry.state, desk.files()) == ("ended", [])
        assert desk.wishes.get("m-1", SupportWish()) == SupportWish()
        desk.stop()
        desk.start()


def test_a_bundle_that_is_waited_for_arrives_as_ever(desk):
    async def hand_over():
        await desk.requests.ask("m-1", SupportWanted(SupportKind.BUNDLE, "silent"), "anna")
        await desk.requests.told("m-1", "s-1", LABEL)
        assert (await desk.requests.take("m-1", "s-1", 0, DATA)).complete
        assert (await desk.requests.file("m-1", "s-1", "anna"))[0] == DATA
        await desk.requests.end("m-1", "s-1", "anna")

    asyncio.run(hand_over())
    assert desk.files() == []
