"""Support through the catalog: asked for, told in the desired document, handed over, fetched, watched, written down."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest
import requests

from device_catalog.contract.documents import Desired
from tests.support.agent import Plant
from tests.support.catalog import CatalogProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

DATA = bytes(range(256)) * 600  # three parts of 64 KiB at most
PART = 65_536
LABEL = {"bytes": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest(), "missing": {"log/kernel.txt": "no journal"}}
PLAIN = {"acquisition": None, "algorithms": []}


@pytest.fixture(scope="module")
def catalog():
    with CatalogProcess() as one:
        yield one


class Device:
    """A device that is asked for support, without being a meter."""

    def __init__(self, catalog, name, **fields):
        self.catalog, self.name = catalog, name
        self.credential = catalog.register(name, **fields)

    def call(self, method, path, **options):
        headers = {"Authorization": f"Bearer {self.credential}", **options.pop("headers", {})}
        url = f"{self.catalog.url}/v1/devices/{self.name}{path}"
        return requests.request(method, url, headers=headers, timeout=10, **options)

    def ask(self, ask=None, **wanted):
        ask = ask or self.catalog.operator
        return ask("POST", f"/v1/devices/{self.name}/support", json={"kind": "bundle", "reason": "silent", **wanted})

    def one(self, request, ask=None):
        return (ask or self.catalog.operator)("GET", f"/v1/devices/{self.name}/support/{request}")

    def wish(self):
        return msgspec.json.decode(self.call("GET", "/desired").content, type=Desired).support

    def send(self, request, offset, data):
        return self.call("PATCH", f"/support/{request}/file", data=data, headers={"Upload-Offset": str(offset)})


def operator(catalog, name, role, **fields):
    answer = catalog.operator("POST", "/v1/operators", json={"operator": name, "role": role, **fields})
    token = answer.json()["token"]
    return lambda method, path, **options: requests.request(
        method, catalog.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=10, **options
    )


def test_a_bundle_is_wanted_until_it_is_here_and_then_fetched_by_people_whose_names_are_kept(catalog):
    device = Device(catalog, "m-bundle")
    before = device.call("GET", "/desired")
    assert b"support" not in before.content, "agents from before know no such field"
    asked = device.ask()
    assert asked.status_code == 201
    request = asked.json()["request"]
    assert device.ask().status_code == 409, "one at a time"
    assert device.wish().bundle == request
    assert device.call("GET", "/desired", headers={"If-None-Match": before.headers["ETag"]}).status_code == 200
    assert device.call("PUT", f"/support/{request}", json=LABEL).json() == {"received": 0, "complete": False}
    assert device.send(request, 0, DATA[:PART]).json()["received"] == PART
    assert device.call("PUT", f"/support/{request}", json=LABEL).json()["received"] == PART, (
        "after a restart it goes on"
    )
    assert device.one(request).json()["state"] == "coming"
    assert device.send(request, PART, DATA[PART : 2 * PART]).json()["received"] == 2 * PART
    assert device.send(request, 0, DATA[:PART]).json()["received"] == 2 * PART, "a part that came is not taken again"
    assert device.send(request, 2 * PART, DATA[2 * PART :]).json() == {"received": len(DATA), "complete": True}
    assert device.wish() is None
    entry = device.one(request).json()
    assert (entry["state"], entry["reason"], entry["missing"]) == ("here", "silent", LABEL["missing"])
    assert catalog.operator("GET", f"/v1/devices/m-bundle/support/{request}/file").content == DATA
    trail = catalog.operator("GET", "/v1/audit?limit=10").json()["items"]
    fetched = next(one for one in trail if one["method"] == "GET")
    assert (fetched["actor"], fetched["path"]) == ("operator", f"/v1/devices/m-bundle/support/{request}/file")
    assert not [one for one in trail if one["role"] == "device"], "parts are no acts of anybody's"
    changes = catalog.operator("GET", "/v1/devices/m-bundle/history").json()["changes"]
    assert [(one["action"], one["detail"]) for one in changes[:2]] == [
        ("support-fetched", request),
        ("support-bundle", "silent"),
    ]
    assert catalog.operator("DELETE", f"/v1/devices/m-bundle/support/{request}").status_code == 204
    assert catalog.operator("GET", f"/v1/devices/m-bundle/support/{request}/file").status_code == 404


def test_a_bundle_is_believed_by_its_digest_and_limited(catalog):
    device = Device(catalog, "m-lying")
    request = device.ask().json()["request"]
    assert device.send(request, 0, b"x").status_code == 409, "the label comes first"
    for wrong in ({"bytes": 2**40}, {"sha256": "x"}, {"bytes": "many"}):
        assert device.call("PUT", f"/support/{request}", json={**LABEL, **wrong}).status_code == 422
    device.call("PUT", f"/support/{request}", json={**LABEL, "bytes": 100})
    assert device.send(request, 0, bytes(PART + 1)).status_code == 422
    assert device.send(request, 0, bytes(200)).json()["received"] == 0, "no more than was told of"
    assert device.send(request, 0, bytes(100)).status_code == 422, "another digest"
    failed = {"bytes": 0, "sha256": "", "failed": "the card is worn out\x1b[2J"}
    assert device.call("PUT", f"/support/{request}", json=failed).json()["complete"]
    entry = device.one(request).json()
    assert (entry["state"], entry["failed"]) == ("failed", "the card is worn out?[2J")
    assert device.wish() is None
    assert device.call("PUT", f"/support/{request}", json=LABEL).status_code == 409


def test_a_request_is_for_engineers_of_the_device_s_tenant_and_one_device_sees_no_other_s(catalog):
    ours, theirs = Device(catalog, "m-ours"), Device(catalog, "m-theirs", tenant="other")
    viewer = operator(catalog, "sue-viewer", "viewer")
    engineer = operator(catalog, "sue-engineer", "engineer", tenant="default")
    request = theirs.ask().json()["request"]
    assert ours.ask(viewer).status_code == 403
    assert ours.ask(engineer).json()["author"] == "sue-engineer"
    assert theirs.ask(engineer).status_code == 404
    assert theirs.one(request, engineer).status_code == 404
    assert ours.one(request).status_code == 404, "a request is under its own device only"
    listed = engineer("GET", "/v1/support").json()["items"]
    assert {one["device"] for one in listed} <= {"m-ours", "m-bundle", "m-lying"}
    assert [one["device"] for one in viewer("GET", "/v1/support").json().get("items", [])] == []
    assert ours.call("PUT", f"/support/{request}", json=LABEL).status_code == 404
    assert ours.call("GET", f"/support/{request}/file").status_code == 401
    body = {"kind": "logs", "seconds": 1e6, "reason": "x" * 301, "level": "loud"}
    wrong = ours.ask(seconds=1e6, kind="logs")
    assert wrong.status_code == 422
    assert "3600" in json.dumps(wrong.json())
    assert catalog.operator("POST", "/v1/devices/m-ours/support", json=body).status_code == 422


def test_a_restarted_catalog_wants_what_was_wanted_and_forgets_a_device_with_its_requests(catalog):
    device = Device(catalog, "m-restart")
    request = device.ask().json()["request"]
    device.call("PUT", f"/support/{request}", json=LABEL)
    device.send(request, 0, DATA[:PART])
    catalog.kill()
    catalog.start()
    assert device.wish().bundle == request
    assert device.one(request).json()["received"] == PART
    assert catalog.operator("DELETE", "/v1/devices/m-restart", headers={"If-Match": "*"}).status_code == 204
    Device(catalog, "m-restart")
    assert device.one(request).status_code == 404


def tresma(plant, *words):
    """Begin an operator's command."""
    return subprocess.Popen(
        [sys.executable, "-m", "device_catalog.operator", "support", *map(str, words)],
        env={**os.environ, "TRESMA_CATALOG": plant.catalog.url, "TRESMA_TOKEN": plant.catalog.token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_a_meter_hands_over_what_is_wrong_with_it_and_tells_its_log_until_that_is_ended(tmp_path):
    """Also one that refuses its settings: the wish is heeded by whoever believes the document."""
    with Plant() as plant:
        plant.add("m-1", **PLAIN)
        plant.wait_for_revision("m-1", 1)
        revision = plant.configure("m-1", algorithms=[{"algorithm": "of-nobody-here"}])
        assert plant.wait_for_revision("m-1", revision)["refused"]["revision"] == revision
        logs = tresma(plant, "logs", "m-1", "--for", "2m", "--follow", "--json")
        wait_until(lambda: "the log is told until" in plant.agents[0].said(), "the log being told", timeout=20)
        request = tresma(plant, "request", "m-1", "--reason", "refuses", "--wait", "40", "-o", tmp_path / "b.tar.gz")
        words = request.communicate(timeout=60)[1]
        assert request.returncode == 0, words
        assert "not in it: settings/calibration.json" in words
        with tarfile.open(fileobj=io.BytesIO((tmp_path / "b.tar.gz").read_bytes())) as tar:
            files = {one.name.partition("/")[2]: tar.extractfile(one).read().decode() for one in tar.getmembers()}
        assert json.loads(files["settings/settings.json"])["document"]["revision"] == 1
        assert f"revision {revision} is refused" in files["log/agent.log"]
        assert json.loads(files["isolation.json"])["layers"]
        assert json.loads(files["health/health.jsonl"].splitlines()[-1])["boot"] > 0
        credential = plant.agents[0].config.read_text().partition("credential: ")[2].split()[0]
        assert not [name for name, content in files.items() if credential in content]
        path = "/v1/devices/m-1/support/s-1"
        asked = "a support bundle is asked for"
        wait_until(lambda: asked in plant.catalog.operator("GET", f"{path}/lines").text, "the line", timeout=20)
        assert plant.catalog.operator("DELETE", path).status_code == 204
        said, words = logs.communicate(timeout=40)
        texts = [json.loads(line)["text"] for line in said.splitlines()]
        assert any(f"revision {revision} is refused" in text for text in texts), words
        assert any(text.startswith(asked) for text in texts), texts
        listed = tresma(plant, "list", "m-1", "--json").communicate(timeout=20)[0]
        assert [json.loads(line)["kind"] for line in listed.splitlines()] == ["bundle", "logs"]
        wait_until(lambda: "is told no more" in plant.agents[0].said(), "the end of the log tail", timeout=20)
        page = plant.catalog.operator("GET", "/fleet/m-1").text
        assert "Newest lines of its log" in page
        assert "refuses" in page
