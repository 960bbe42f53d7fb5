"""Recordings through the catalog: told of, asked for in the desired document, handed over in parts, fetched."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import requests

from device_catalog.contract.documents import Desired
from tests.support import recorder_meter
from tests.support.agent import Plant
from tests.support.catalog import CatalogProcess
from tests.support.postgresql import PostgreSQL
from tests.support.recorder_meter import recording, sag
from tests.support.recording_labels import label
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

DATA = bytes(range(256)) * 600  # three parts of 64 KiB at most
PART = 65_536


@pytest.fixture(scope="module")
def catalog():
    with CatalogProcess() as one:
        yield one


class Device:
    """A device that tells of a recording, without being a meter."""

    def __init__(self, catalog, name, data=DATA):
        self.catalog, self.name, self.data = catalog, name, data
        self.credential = catalog.register(name)

    def call(self, method, path, **options):
        headers = {"Authorization": f"Bearer {self.credential}", **options.pop("headers", {})}
        url = f"{self.catalog.url}/v1/devices/{self.name}{path}"
        return requests.request(method, url, headers=headers, timeout=10, **options)

    def tell(self, name="r-1", **fields):
        return self.call("PUT", f"/recordings/{name}", json={**label(self.name, name, self.data), **fields})

    def send(self, offset, data, name="r-1"):
        return self.call("PATCH", f"/recordings/{name}/file", data=data, headers={"Upload-Offset": str(offset)})

    def ask(self, name="r-1"):
        return self.catalog.operator("PUT", f"/v1/devices/{self.name}/recordings/{name}/request")

    def entry(self, name="r-1"):
        return self.catalog.operator("GET", f"/v1/devices/{self.name}/recordings/{name}").json()

    def poll(self, tag=""):
        return self.call("GET", "/desired", headers={"If-None-Match": tag} if tag else {})


def test_a_wish_stands_in_the_desired_document_until_the_file_is_here(catalog):
    device = Device(catalog, "m-wish")
    tag = device.poll().headers["ETag"]
    assert device.tell().status_code == 204
    assert device.entry()["state"] == "on-device"
    assert device.poll(tag).status_code == 304, "telling asks for nothing"
    assert device.ask().status_code == 202
    answer = device.poll(tag)
    assert msgspec.json.decode(answer.content, type=Desired).recordings == ("r-1",)
    assert device.poll(answer.headers["ETag"]).status_code == 304, "it is said once"
    for offset in range(0, len(DATA), PART):
        received = device.send(offset, DATA[offset : offset + PART]).json()
    assert received == {"received": len(DATA), "complete": True}
    assert device.entry()["state"] == "here"
    settled = device.poll(answer.headers["ETag"])
    assert settled.headers["ETag"] == tag
    assert msgspec.json.decode(settled.content, type=Desired).recordings == ()
    assert catalog.operator("GET", "/v1/devices/m-wish/recordings/r-1/file").content == DATA


def test_a_hand_over_goes_on_where_it_broke_off_and_may_be_repeated(catalog):
    device = Device(catalog, "m-resume")
    device.tell()
    device.ask()
    assert device.send(0, DATA[:PART]).json()["received"] == PART
    assert device.entry()["received"] == PART
    assert device.send(0, DATA[:PART]).json()["received"] == PART, "repeated"
    assert device.send(2 * PART, DATA[2 * PART :]).json()["received"] == PART, "too early"
    assert device.send(PART, DATA[PART : 2 * PART]).json()["received"] == 2 * PART
    assert device.send(2 * PART, DATA[2 * PART :]).json()["complete"]
    assert device.send(0, DATA[:PART]).json()["complete"], "it is here already"


def test_what_nobody_asked_for_what_is_too_long_and_what_is_something_else_is_refused(catalog):
    device = Device(catalog, "m-refused", b"right")
    device.tell()
    assert device.send(0, b"right").status_code == 409
    device.ask()
    assert device.send(0, bytes(PART + 1)).status_code == 422
    assert device.send(0, b"right!").json()["received"] == 0, "longer than told"
    assert device.send(0, b"wrong").status_code == 422
    assert device.entry()["received"] == 0, "to be sent anew"
    assert device.send(0, b"right").json()["complete"]
    assert device.send(0, b"x", "r-2").status_code == 404
    assert device.call("GET", "/recordings/r-1/file").status_code == 401, "files are for operators"
    assert device.ask("r-2").status_code == 404


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"device": "m-other"}, "recording.device"),
        ({"sha256": "0"}, "recording.sha256"),
        ({"bytes": 10**9}, "recording.bytes"),
        ({"start": "yesterday"}, "recording.start"),
        ({"duration": -1.0}, "recording.duration"),
        ({"lacks": ["x" * 70_000]}, "recording.events"),
    ],
)
def test_a_label_that_cannot_be_is_refused_with_its_problem(catalog, fields, where):
    name = f"m-label-{where[10:]}".replace("_", "-")
    answer = Device(catalog, name).tell(**fields)
    assert answer.status_code == 422
    assert [problem["where"] for problem in answer.json()["problems"]] == [where]


def test_a_device_speaks_of_its_own_recordings_only(catalog):
    one, other = Device(catalog, "m-own"), Device(catalog, "m-stranger")
    one.tell()
    one.name = "m-stranger"
    assert one.tell().status_code == 401
    assert one.call("DELETE", "/recordings/r-1").status_code == 401
    assert other.call("GET", "/recordings/r-1").status_code == 404


def test_what_a_device_dropped_is_gone_and_the_wish_with_it(catalog):
    device = Device(catalog, "m-gone")
    device.tell()
    device.ask()
    device.send(0, DATA[:PART])
    assert device.call("DELETE", "/recordings/r-1").status_code == 204
    assert (device.entry()["state"], device.entry()["received"]) == ("gone", 0)
    assert msgspec.json.decode(device.poll().content, type=Desired).recordings == ()
    assert device.ask().status_code == 409


def test_the_list_is_newest_first_and_comes_in_pages(catalog):
    device, other = Device(catalog, "m-list"), Device(catalog, "m-list-2")
    for number in range(5):
        device.tell(f"r-{number}", start=f"2026-11-21T0{number}:00:00.000000000Z")
    other.tell("r-0")
    query, found = {"device": "m-list", "limit": 2}, []
    while True:
        page = catalog.operator("GET", "/v1/recordings", params=query).json()
        assert len(page["items"]) <= 2
        found += [item["info"]["id"] for item in page["items"]]
        if not page["next"]:
            break
        query["cursor"] = page["next"]
    assert found == ["r-4", "r-3", "r-2", "r-1", "r-0"]
    wrong = catalog.operator("GET", "/v1/recordings", params={"limit": "0", "colour": "red"})
    assert (wrong.status_code, len(wrong.json()["problems"])) == (422, 2)
    assert catalog.operator("GET", "/v1/recordings", params={"cursor": "x"}).status_code == 422


def test_an_operator_forgets_a_recording_and_its_file(catalog):
    device = Device(catalog, "m-forget", b"forget me")
    device.tell()
    device.ask()
    device.send(0, b"forget me")
    files = list((catalog.state / "recordings").glob("??/*.cff"))
    assert catalog.operator("DELETE", "/v1/devices/m-forget/recordings/r-1").status_code == 204
    assert len(list((catalog.state / "recordings").glob("??/*.cff"))) == len(files) - 1
    assert catalog.operator("GET", "/v1/devices/m-forget/recordings/r-1").status_code == 404
    assert catalog.operator("DELETE", "/v1/devices/m-forget/recordings/r-1").status_code == 404


def test_wishes_parts_and_files_survive_a_kill_of_the_catalog():
    with CatalogProcess() as catalog:
        device = Device(catalog, "m-1")
        device.tell("r-1")
        device.tell("r-2")
        device.ask("r-1")
        device.ask("r-2")
        device.send(0, DATA[:PART], "r-1")
        for offset in range(0, len(DATA), PART):
            device.send(offset, DATA[offset : offset + PART], "r-2")
        tag = device.poll().headers["ETag"]
        catalog.kill()
        catalog.start()
        assert device.poll(tag).status_code == 304, "the same wish has the same tag"
        assert device.entry("r-1")["received"] == PART
        assert catalog.operator("GET", "/v1/devices/m-1/recordings/r-2/file").content == DATA
        device.send(PART, DATA[PART : 2 * PART], "r-1")
        assert device.send(2 * PART, DATA[2 * PART :], "r-1").json()["complete"]
        assert len(list((catalog.state / "recordings").glob("??/*.cff"))) == 1, "the same content is kept once"


def test_recordings_are_the_same_over_postgresql():
    with PostgreSQL() as server, CatalogProcess(options=[f"--database={server.url}"]) as catalog:
        device = Device(catalog, "m-1", b"samples")
        for number in range(3):
            device.tell(f"r-{number}", start=f"2026-11-21T0{number}:00:00.000000000Z")
        first = catalog.operator("GET", "/v1/recordings", params={"limit": 2}).json()
        query = {"limit": 2, "cursor": first["next"]}
        second = catalog.operator("GET", "/v1/recordings", params=query).json()
        assert [item["info"]["id"] for item in first["items"] + second["items"]] == ["r-2", "r-1", "r-0"]
        assert device.ask("r-1").status_code == 202
        catalog.kill()
        catalog.start()
        assert msgspec.json.decode(device.poll().content, type=Desired).recordings == ("r-1",)
        assert device.send(0, b"samples", "r-1").json()["complete"]
        assert device.call("DELETE", "/recordings/r-0").status_code == 204
        states = [item["state"] for item in catalog.operator("GET", "/v1/recordings").json()["items"]]
        assert states == ["on-device", "here", "gone"]
        assert catalog.operator("DELETE", "/v1/devices/m-1/recordings/r-1").status_code == 204


def test_files_beyond_the_budget_go_the_oldest_first(tmp_path):
    """The least budget is 16 MiB, so files are as long as they may be."""
    (tmp_path / "catalog.yaml").write_text(f"recordings_budget: {2**24}\n")
    state = tmp_path / "state"
    state.mkdir()
    with CatalogProcess(state=state, options=["--config", str(tmp_path / "catalog.yaml")]) as catalog:
        for number in (1, 2):
            data = bytes([number]) * (9 * 2**20)
            device = Device(catalog, f"m-{number}", data)
            device.tell()
            device.ask()
            for offset in range(0, len(data), PART):
                device.send(offset, data[offset : offset + PART])
            assert device.entry()["state"] == "here"
        catalog.stop()
        catalog.start()

        def states():
            items = catalog.operator("GET", "/v1/recordings").json()["items"]
            return {item["info"]["device"]: item["state"] for item in items}

        wait_until(lambda: states() == {"m-1": "on-device", "m-2": "here"}, "the tidying")
        wait_until(lambda: len(list((state / "recordings").glob("??/*.cff"))) == 1, "the file being gone, too")


@pytest.fixture
def plant(tmp_path, monkeypatch):
    recorder_meter.install(tmp_path, monkeypatch)
    with Plant() as one:
        yield one


@pytest.fixture
def tresma(plant, tmp_path):
    """Run the command as an operator of the catalog would, in a folder of their own."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TRESMA_")}
    environment = plain | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TRESMA_OPERATOR_FILE": str(tmp_path / "operator.yaml"),
        "TRESMA_CATALOG": plant.catalog.url,
        "TRESMA_TOKEN": plant.catalog.token,
    }

    def run(*words, status=0):
        command = [sys.executable, "-m", "device_catalog.operator", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=tmp_path
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def first_recording(plant):
    """Wait until the catalog knows of one; return its name."""

    def items():
        return plant.catalog.operator("GET", "/v1/recordings").json()["items"]

    return wait_until(items, "a recording", timeout=30.0)[0]["info"]["id"]


def test_a_meters_recording_is_listed_fetched_and_drawn_by_the_operators_commands(plant, tresma, tmp_path):
    acquired = recording(sag(2.0), upload_rate=1e6) | {"algorithms": [{"algorithm": "power_quality"}]}
    agent = plant.add("m-1", **acquired)
    name = first_recording(plant)
    assert json.loads(tresma("recordings", "list", "m-1", "--json").stdout)["info"]["id"] == name
    said = tresma("recordings", "list")
    assert said.stderr == "1 recording\n"
    assert f"m-1/{name}" in said.stdout
    assert "voltage-dip" in said.stdout
    assert tresma("recordings", "fetch", f"m-1/{name}", "-o", ".").stdout == f"m-1_{name}.cff\n"
    own = agent.state / "recordings" / f"{name}.cff"
    assert (tmp_path / f"m-1_{name}.cff").read_bytes() == own.read_bytes()
    assert json.loads((tmp_path / f"m-1_{name}.json").read_text())["id"] == name
    assert tresma("recordings", "plot", f"m-1/{name}", "-o", "dip.png").stdout == "dip.png\n"
    assert (tmp_path / "dip.png").read_bytes()[:4] == b"\x89PNG"
    assert "tresma recordings list m-1" in tresma("recordings", "fetch", "m-1/nothing", status=1).stderr
    assert "DEVICE/ID" in tresma("recordings", "fetch", "nothing", status=2).stderr
    assert "found no such file" in tresma("recordings", "plot", "nothing.cff", status=1).stderr
    mark = agent.state / "recordings" / f"{name}.json"
    wait_until(lambda: json.loads(mark.read_text())["handed_over"], "the mark")


def test_an_operator_has_a_meter_record_now(plant, tresma):
    plant.add("m-1", **{**recording(), "recorder": None})
    wait_until(lambda: plant.reported("m-1").get("source"), "a meter that runs", timeout=20.0)
    refused = tresma("recordings", "record", "m-1", status=1)
    assert "tresma devices set m-1 'recorder={}'" in refused.stderr
    tresma("devices", "set", "m-1", "recorder={}", "--wait", "20")
    name = tresma("recordings", "record", "m-1", "--seconds", "0.5").stdout.strip()
    assert name == f"m-1/{first_recording(plant)}"
    entry = plant.catalog.operator("GET", "/v1/recordings").json()["items"][0]
    assert entry["info"]["kind"] == "request"
    assert entry["info"]["duration"] == pytest.approx(1.5, abs=0.001)
    assert tresma("recordings", "record", "m-1", "--seconds", "61", status=1).stderr.count("from 0 to 60") == 1


def test_a_hand_over_outlives_the_catalog_and_the_meter(plant):
    """The upload takes 4 s; both are killed on the way, one after the other."""
    agent = plant.add("m-1", **recording(sag(1.2), upload_rate=45_000.0))
    name = first_recording(plant)
    one = f"/v1/devices/m-1/recordings/{name}"
    assert plant.catalog.operator("PUT", f"{one}/request").status_code == 202

    def entry():
        return plant.catalog.operator("GET", one).json()

    wait_until(lambda: entry()["received"], "the first part", timeout=20.0)
    plant.catalog.kill()
    plant.catalog.start()
    assert entry()["received"] >= PART
    agent.kill()
    agent.start()
    found = wait_until(lambda: entry()["state"] == "here" and entry(), "the file", timeout=40.0)
    content = plant.catalog.operator("GET", f"{one}/file").content
    assert hashlib.sha256(content).hexdigest() == found["info"]["sha256"]


def test_a_recording_that_is_damaged_on_the_meter_is_told_to_be_gone(plant):
    agent = plant.add("m-1", **recording(sag(1.2)))
    name = first_recording(plant)
    path = agent.state / "recordings" / f"{name}.cff"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    one = f"/v1/devices/m-1/recordings/{name}"
    assert plant.catalog.operator("PUT", f"{one}/request").status_code == 202
    wait_until(lambda: plant.catalog.operator("GET", one).json()["state"] == "gone", "its end")
    assert not path.exists()


def test_who_gets_a_removed_meter_s_name_gets_neither_its_recordings_nor_its_past(catalog):
    device = Device(catalog, "m-moved", DATA + b"of one")
    device.tell()
    device.ask()
    for offset in range(0, len(device.data), PART):
        device.send(offset, device.data[offset : offset + PART])
    assert device.entry()["state"] == "here"
    digest = hashlib.sha256(device.data).hexdigest()
    files = list((catalog.state / "recordings").rglob(f"{digest}*"))
    assert len(files) == 1
    assert catalog.operator("DELETE", "/v1/devices/m-moved").status_code == 204
    assert not files[0].exists()
    catalog.register("m-moved", tenant="other")
    made = catalog.operator(
        "POST", "/v1/operators", json={"operator": "eve", "role": "engineer", "tenant": "other"}
    ).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    found = requests.get(f"{catalog.url}/v1/recordings?device=m-moved", headers=headers, timeout=10).json()
    assert found["items"] == []
    past = requests.get(f"{catalog.url}/v1/devices/m-moved/history", headers=headers, timeout=10).json()
    assert [one["action"] for one in past["changes"]] == ["register"]
    whole = catalog.operator("GET", "/v1/devices/m-moved/history").json()
    assert [one["action"] for one in whole["changes"]] == ["register", "remove", "register"]
