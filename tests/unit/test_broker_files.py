"""The brokers' files: written where they differ, and the brokers told of it."""

import asyncio
import logging
import sys
from datetime import UTC, datetime

import pytest

from device_catalog.authority.authority import Authority, now
from device_catalog.brokers.files import BrokerFiles
from device_catalog.brokers.rights import Member, Part
from device_catalog.config import CatalogConfig
from device_catalog.contract.documents import Configuration
from tests.support.waiting import wait_until


class Rights:
    """Whatever devices it is given."""

    def __init__(self):
        self.devices = ["m-1"]
        self.changes = 0

    def version(self):
        return self.changes

    def members(self):
        return [Member(name, "default", Configuration(), Part()) for name in self.devices]


@pytest.fixture
def world(tmp_path):
    authority, rights, void = Authority.open(tmp_path / "authority"), Rights(), []
    folder, told = tmp_path / "brokers", tmp_path / "told"
    hook = f"open({str(told)!r}, 'a').write('x')"

    def files(command=(sys.executable, "-c", hook)):
        words = " ".join(f'"{word}"' for word in command)
        config = CatalogConfig(state=str(tmp_path), broker_files=str(folder), broker_reload=words)
        return BrokerFiles(config, rights, authority.anchors, lambda: authority.revocations(void, now()))

    return files, rights, void, folder, told


def run(files, script):
    """Run the keeper of the files while a script changes the world."""

    async def whole():
        files.start()
        try:
            await asyncio.to_thread(script)
        finally:
            await files.close()

    asyncio.run(whole())


def test_files_are_written_and_the_brokers_told_once_for_each_change(world):
    make, rights, void, folder, told = world
    files = make()

    def count():
        return len(told.read_text()) if told.exists() else 0

    def script():
        wait_until(lambda: count() == 1, "the brokers being told")
        assert {path.name for path in folder.iterdir()} == {"grid.acl", "data.acl", "anchors.pem", "revocations.pem"}
        rights.devices.append("m-2")
        files.changed()
        wait_until(lambda: count() == 2, "the brokers being told of a device")
        assert "user m-2" in (folder / "grid.acl").read_text()
        before = (folder / "revocations.pem").read_bytes()
        void.append((7, datetime.now(UTC)))
        files.changed()
        wait_until(lambda: count() == 3, "the brokers being told of a revocation")
        assert (folder / "revocations.pem").read_bytes() != before
        stamps = [path.stat().st_mtime_ns for path in folder.iterdir()]
        files.changed()
        wait_until(lambda: not files.due, "the change being looked at")
        assert ([path.stat().st_mtime_ns for path in folder.iterdir()], count()) == (stamps, 3), "nothing differs"

    run(files, script)


def test_a_broker_that_cannot_be_told_is_named_in_the_log_and_the_files_are_there(world, caplog):
    make, _, _, folder, _ = world
    files = make((sys.executable, "-c", "raise SystemExit('no broker here')"))

    def script():
        wait_until(lambda: "could not be told" in caplog.text, "the log saying so")

    with caplog.at_level(logging.ERROR):
        run(files, script)
    assert "no broker here" in caplog.text
    assert (folder / "grid.acl").exists()


def test_damaged_lists_of_clients_stop_nothing_but_are_told(world, caplog, tmp_path):
    make, *_ = world
    (tmp_path / "authority" / "clients.json").write_bytes(b"[{")
    with caplog.at_level(logging.ERROR):
        run(make(), lambda: wait_until(lambda: "not up to date" in caplog.text, "the log saying so"))
