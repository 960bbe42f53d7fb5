"""`tresma rollout` and `tresma group` against a real catalog over SQLite and PostgreSQL: what people type and read."""

import hashlib
import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from unittest import mock

import msgspec
import pytest
import requests

from device_catalog.contract.documents import Desired
from device_catalog.operator.__main__ import main
from tests.support.catalog import CatalogProcess
from tests.support.packages import NAME, package_of
from tests.support.postgresql import PostgreSQL
from tests.support.rollout_world import SimulatedMeter
from tests.support.trust import Dso
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


class Meters:
    """Meters that poll a real catalog and report, all from one thread."""

    def __init__(self, catalog: CatalogProcess, names: list[str]) -> None:
        self._catalog = catalog
        self.meters = {name: SimulatedMeter(name, {NAME: "0.0.1"}, probation=0.2) for name in names}
        document = {"configuration": {"algorithms": [{"algorithm": NAME}], "poll": {"interval": 1, "lease": 10}}}
        self._credentials = {}
        for name in names:
            answer = catalog.operator("POST", "/v1/devices", json={"device": name, **document})
            self._credentials[name] = answer.json()["credential"]
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def versions(self) -> set[str]:
        return {meter.in_force[NAME] for meter in self.meters.values()}

    def _run(self) -> None:
        tags, told, clock = {}, {}, 0.0
        session = requests.Session()
        while not self._ending.wait(0.2):
            clock += 0.2
            for name, meter in self.meters.items():
                headers = {"Authorization": f"Bearer {self._credentials[name]}"}
                known = {"If-None-Match": tags.get(name, ""), "Agent-Applied-Revision": str(meter.applied)}
                path = f"{self._catalog.url}/v1/devices/{name}"
                answer = session.get(f"{path}/desired", headers={**headers, **known}, timeout=10)
                if answer.status_code == 200:
                    desired = msgspec.json.decode(answer.content, type=Desired)
                    tags[name] = answer.headers["ETag"]
                    meter.take(desired.configuration, desired.revision, clock)
                meter.step(clock)
                report = msgspec.json.encode(meter.report())
                if told.get(name) != report:
                    session.put(f"{path}/reported", data=report, headers=headers, timeout=10).raise_for_status()
                    told[name] = report


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    with PostgreSQL() as running:
        yield running


@pytest.fixture
def catalog() -> Iterator[CatalogProcess]:
    with CatalogProcess() as running:
        yield running


def run(catalog: CatalogProcess, *arguments: str, status: int = 0) -> str:
    """Type a command; return what it said."""
    said = io.StringIO()
    with mock.patch.dict(os.environ, TRESMA_TOKEN=catalog.token), redirect_stdout(said), redirect_stderr(said):
        ended = main([*arguments, "--catalog", catalog.url])
    assert ended == status, said.getvalue()
    return said.getvalue()


def push(catalog: CatalogProcess, folder: Path, *versions: str) -> str:
    """Sign versions of an algorithm, and bring them."""
    dso = Dso(folder, datetime.now(UTC))
    for number, version in enumerate(versions, 1):
        dso.release(version, number, datetime.now(UTC))
    return run(catalog, "repository", "push", str(folder))


def test_a_version_reaches_all_and_a_broken_one_only_the_first(catalog, tmp_path):
    said = push(catalog, tmp_path / "trust", "0.1.0", "0.2.0")
    assert f"tresma rollout start {NAME}==0.2.0 --to GROUP" in said
    names = [f"m-{number}" for number in range(5)]
    with Meters(catalog, names) as meters:
        available = {"params": {"available": "true"}}
        wait_until(lambda: len(catalog.operator("GET", "/v1/devices", **available).json()["items"]) == 5, "all there")
        assert "5 joined pilot; 5 belong to it now" in run(catalog, "group", "add", "pilot", *names)
        assert run(catalog, "group", "show", "pilot").split() == names
        start = ["rollout", "start", f"{NAME}==0.1.0", "--to", "pilot", "--percent", "20,100", "--soak", "1s"]
        said = run(catalog, *start)
        assert "r-1 brings voltage-band 0.1.0 to 5 devices" in said
        assert "stage 1: 20 %, 1 device, no failure, then watched for 1 s" in said
        said = run(catalog, "rollout", "status", "r-1", "--watch")
        assert said.strip().splitlines()[-1].endswith("r-1 finished, stage 2 of 2, 5 of 5 devices done")
        assert meters.versions() == {"0.1.0"}
        status = json.loads(run(catalog, "rollout", "status", "--json"))
        assert [item["action"] for item in status["transitions"]][-1] == "start"

        for meter in meters.meters.values():
            meter.fault = lambda _algorithm, version: "it reads a file" if version == "0.2.0" else ""
        start[2] = f"{NAME}==0.2.0"
        said = run(catalog, *start, "--watch", status=1)
        assert "r-2 failed, stage 1 of 2" in said
        assert "1 of the 1 devices of this stage failed, allowed are 0" in said
        assert meters.versions() == {"0.1.0"}
        said = run(catalog, "rollout", "status")
        assert "it reads a file" in said
        assert "is back on what it had" in said
        told = run(catalog, "rollout", "status", "r-2", "--devices", "failed")
        assert "1 device" in told
        told = json.loads(run(catalog, "rollout", "status", "r-2", "--devices", "--json"))
        history = catalog.operator("GET", f"/v1/devices/{told['device']}/history").json()
        assert history["changes"][0]["actor"] == "r-2"
        said = run(catalog, "rollout", "abort", "r-1", "--reason", "not needed after all")
        assert "aborted" in said
        wait_until(lambda: meters.versions() == {"0.0.1"}, "every meter back on what came with its agent", 20)
        listed = run(catalog, "rollout", "list")
        assert listed.index("r-2") < listed.index("r-1")


def test_over_postgresql_a_broken_version_comes_back_as_well(postgresql, tmp_path):
    with CatalogProcess(options=[f"--database={postgresql.url}"]) as catalog:
        push(catalog, tmp_path / "trust", "0.1.0", "0.2.0")
        with Meters(catalog, ["m-1", "m-2"]) as meters:
            wait_until(lambda: all(meter.applied for meter in meters.meters.values()), "all meters polling")
            said = {
                "algorithm": NAME,
                "to": {"kind": "meter"},
                "stages": [{"percent": 50, "soak": 0}, {"percent": 100}],
            }
            started = catalog.operator("POST", "/v1/rollouts", json={**said, "version": "0.1.0"})
            assert started.status_code == 201, started.text
            wait_until(lambda: meters.versions() == {"0.1.0"}, "the version everywhere", 30)
            for meter in meters.meters.values():
                meter.fault = lambda *_: "it does not start"
            bad = {**said, "version": "0.2.0", "supersede": True, "shadow": {"percent": 50}}
            assert catalog.operator("POST", "/v1/rollouts", json=bad).status_code == 201

            def is_back():
                summary = catalog.operator("GET", "/v1/rollouts/r-2").json()["summary"]
                return (summary["state"], summary["counts"]["back"]) == ("failed", 1)

            wait_until(is_back, "the shadow gone", 30)
            assert meters.versions() == {"0.1.0"}
        change = catalog.operator("POST", "/v1/groups/pilot/members", json={"add": ["m-1"]})
        assert change.json() == {"group": "pilot", "added": ["m-1"], "removed": [], "devices": 1}
        page = catalog.operator("GET", "/v1/rollouts", params={"limit": 1}).json()
        assert (page["items"][0]["rollout"], page["next"]) == ("r-2", "r-2")


def test_requests_are_told_apart_by_key_and_orders_are_based_on_what_was_read(catalog, tmp_path):
    push(catalog, tmp_path / "trust", "0.1.0")
    catalog.register("m-1", configuration={"algorithms": [{"algorithm": NAME}]})
    body = {"algorithm": NAME, "version": "0.1.0", "to": {"devices": ["m-1"]}}
    first = catalog.operator("POST", "/v1/rollouts", json=body, headers={"Idempotency-Key": "k-1"})
    assert (first.status_code, first.headers["Location"]) == (201, "/v1/rollouts/r-1")
    again = catalog.operator("POST", "/v1/rollouts", json=body, headers={"Idempotency-Key": "k-1"})
    assert again.json()["summary"]["rollout"] == "r-1"
    other = {**body, "deadline": 60}
    assert catalog.operator("POST", "/v1/rollouts", json=other, headers={"Idempotency-Key": "k-1"}).status_code == 409

    read = catalog.operator("GET", "/v1/rollouts/r-1")
    tag = read.headers["ETag"]
    known = catalog.operator("GET", "/v1/rollouts/r-1", headers={"If-None-Match": tag})
    assert (known.status_code, known.content) == (304, b"")

    def order(word, matches):
        headers = {"If-Match": matches} if matches else {}
        return catalog.operator("POST", "/v1/rollouts/r-1/orders", json={"order": word}, headers=headers)

    assert order("pause", "").status_code == 428
    assert order("pause", tag).json()["summary"]["state"] == "paused"
    assert order("resume", tag).status_code == 412, "somebody paused it since"
    assert order("resume", "*").status_code == 200
    assert order("promote", "*").status_code == 409
    assert catalog.operator("GET", "/v1/rollouts/r-9").status_code == 404
    assert catalog.operator("GET", "/v1/rollouts", params={"state": "sleeping"}).status_code == 422
    own = catalog.operator("GET", "/v1/devices/m-1/configuration").json()["algorithms"][0]
    assert own["version"] == "", "what an operator configured is as it was"


def test_a_choice_survives_a_kill_and_is_in_the_desired_document_after_it(catalog, tmp_path):
    push(catalog, tmp_path / "trust", "0.1.0")
    with Meters(catalog, ["m-1"]) as meters:
        wait_until(lambda: meters.meters["m-1"].applied, "the meter polls")
        body = {"algorithm": NAME, "version": "0.1.0", "to": {"devices": ["m-1"]}, "stages": [{"percent": 100}]}
        assert catalog.operator("POST", "/v1/rollouts", json=body).status_code == 201
        wait_until(lambda: meters.versions() == {"0.1.0"}, "the version in force", 20)
    catalog.kill()
    catalog.start()
    chosen = catalog.operator("GET", "/v1/devices/m-1/desired").json()["configuration"]["algorithms"][0]
    sha256 = hashlib.sha256(package_of("0.1.0", 1)[1]).hexdigest()
    assert (chosen["version"], chosen["package"]["sha256"], chosen["rollout"]) == ("0.1.0", sha256, "r-1")
    assert catalog.operator("GET", "/v1/rollouts/r-1").json()["summary"]["counts"]["members"] == 1


def test_bad_input_is_told_in_one_sentence_each_and_all_at_once(catalog):
    said = run(catalog, "rollout", "start", "band", "--percent", "1,ten", "--soak", "30", "--deadline", "5", status=2)
    unit = "expected a duration with its unit, such as 90s, 30m, 1h or 2d, found"
    assert said.splitlines() == [
        "tresma: nothing was started; what is wrong with the command line:",
        "  - what: expected ALGORITHM==VERSION such as voltage-band==1.2.0, found band",
        f"  - --soak: {unit} 30; which unit is meant? 30m are minutes, 30h hours",
        "  - --percent: expected a number, found ten",
        f"  - --deadline: {unit} 5; which unit is meant? 5m are minutes, 5h hours",
    ]
    said = run(catalog, "rollout", "start", "band==1.0.0", "--to", "nobody", "--percent", "10,5", status=1)
    assert "rollout.stages[1].percent: expected more than the 10 of the stage before, found 5" in said
    said = run(catalog, "rollout", "start", "band==1.0.0", "--to", "nobody", status=1)
    assert "expected one of the signed repository, found no repository here; bring one: tresma repository push" in said
    assert "rollout.to.groups[0]: expected a group (there is none yet), found nobody" in said
    assert "expected the name of a rollout such as r-7, found r-99" in run(
        catalog, "rollout", "pause", "r-99", status=1
    )
    assert "no device belongs to nobody" in run(catalog, "group", "show", "nobody", status=2)
    said = run(catalog, "group", "add", "pilot", "m-77", status=1)
    assert "change.add: expected registered devices, found m-77" in said
