"""A catalog whose disk is full: changes are refused with the remedy, devices are served, and it recovers by itself."""

import re
import sys
from pathlib import Path

import pytest
import requests

from tests.support.catalog import CatalogProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SMALL_DISK = Path(__file__).parents[1] / "support" / "small_disk.py"
LARGE = {"algorithms": [{"algorithm": "phasors", "settings": {"note": "x" * 60_000}}]}


class SmallDisk:
    """The file system that only the catalog sees, reached through its process."""

    def __init__(self, catalog, folder):
        self.filler = Path(f"/proc/{catalog.pid}/root{folder}/filler")

    def fill(self):
        with self.filler.open("wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self):
        self.filler.unlink()


@pytest.fixture
def small(tmp_path):
    """A catalog with its database on a file system of 4 MiB, a device registered and known to be there."""
    folder = tmp_path / "small"
    folder.mkdir()
    prefix = (sys.executable, str(SMALL_DISK), str(folder), "4m")
    options = (f"--database=sqlite:///{folder}/catalog.db",)
    with CatalogProcess(prefix=prefix, options=options, state=tmp_path / "state") as catalog:
        yield catalog, SmallDisk(catalog, folder)


def configure(catalog, device, document):
    return catalog.operator("PUT", f"/v1/devices/{device}/configuration", json=document, headers={"If-Match": "*"})


def test_a_full_disk_refuses_changes_with_the_remedy_and_serves_devices_meanwhile(small):
    catalog, disk = small
    credential = catalog.register("m-1", interval=1, lease=3)
    assert catalog.poll("m-1", credential).status_code == 200
    disk.fill()

    wait_until(lambda: configure(catalog, "m-1", LARGE).status_code == 507, "no room being left")
    known = catalog.operator("GET", "/v1/devices/m-1").json()["summary"]["revision"]
    refusals = [
        configure(catalog, "m-1", LARGE),
        catalog.operator("POST", "/v1/devices", json={"device": "m-2", "configuration": LARGE}),
        catalog.operator("PUT", "/v1/devices/m-1/reported", json={"problems": ["x" * 60_000]}),
    ]
    for answer in refusals:
        assert (answer.status_code, answer.headers["Content-Type"]) == (507, "application/problem+json")
        assert answer.json()["type"] == "/problems/storage-full"
        assert "free some space" in answer.json()["detail"]
        assert answer.headers["Retry-After"].isdigit()

    def summary():
        catalog.poll("m-1", credential)
        return catalog.operator("GET", "/v1/devices/m-1").json()["summary"]

    first = summary()
    assert (first["available"], first["revision"]) == (True, known), "what was there stays in force"
    wait_until(lambda: summary()["last_seen"][:19] > first["last_seen"][:19], "the lease being renewed in memory")
    assert catalog.operator("GET", "/v1/devices/m-2").status_code == 404
    assert requests.get(f"{catalog.url}/readyz", timeout=5).status_code == 200
    assert catalog.metric("tresma_failed_writes_total") >= 3

    disk.free()
    changed = configure(catalog, "m-1", LARGE)
    assert (changed.status_code, changed.json()["revision"]) == (200, known + 1), changed.text
    assert catalog.poll("m-1", credential, f'"{known}"').json()["revision"] == known + 1
    catalog.register("m-2")


def test_signs_of_life_that_found_no_room_are_written_later_and_told_of_once(small):
    catalog, disk = small
    credential = catalog.register("m-1", interval=1, lease=3)
    wait_until(lambda: catalog.poll("m-1", credential) and catalog.metric("tresma_polls_total"), "a sign of life")
    disk.fill()
    wait_until(lambda: configure(catalog, "m-1", LARGE).status_code == 507, "no room being left")

    def failed():
        catalog.poll("m-1", credential)
        return catalog.metric("tresma_failed_writes_total")

    before = failed()
    wait_until(lambda: failed() >= before + 2, "signs of life being refused")
    disk.free()
    wait_until(
        lambda: catalog.poll("m-1", credential) and "takes signs of life again" in catalog.log.read_text(), "recovery"
    )
    log = catalog.log.read_text()
    assert len(re.findall("kept in memory only", log)) == 1
    assert "Traceback" not in log


def test_a_registration_that_found_no_room_can_be_repeated_with_its_key(small):
    catalog, disk = small

    def register():
        return catalog.operator(
            "POST", "/v1/devices", json={"device": "m-3", "configuration": LARGE}, headers={"Idempotency-Key": "key-3"}
        )

    disk.fill()
    assert register().status_code == 507
    disk.free()
    answer = register()
    assert answer.status_code == 201
    assert catalog.poll("m-3", answer.json()["credential"]).status_code == 200


def test_an_end_on_a_full_disk_is_still_an_orderly_one(small):
    catalog, disk = small
    credential = catalog.register("m-1")
    catalog.poll("m-1", credential)
    disk.fill()
    catalog.stop()
    assert "Traceback" not in catalog.log.read_text()
