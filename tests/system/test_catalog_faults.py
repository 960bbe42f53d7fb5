"""What is said of faults on the grid broker is kept by the catalog, over either database, and answered from."""

import os
import subprocess
import sys
import time

import pytest
from paho.mqtt import publish

from algorithms.api.records import Event, Severity
from algorithms.api.wire import NANOSECONDS, Header, decode, encode, time_text
from device_catalog.contract import topics
from tests.support.catalog import CatalogProcess
from tests.support.listener import Listener
from tests.support.mosquitto import Mosquitto
from tests.support.networks import feeder_document
from tests.support.postgresql import PostgreSQL
from tests.support.recording_labels import label
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NETWORK = "net-1"
PLACE = {
    "network": NETWORK, "branch": "cable-1", "from_node": "m1", "to_node": "m2", "distance": 140.0,
    "distance_uncertainty": 3.0, "fault_resistance": 2.0, "type": "LG", "trusted": True, "alternatives": [],
    "meters": ["m-2"], "missing": {"m-3": "no answer"},
}  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def plant(request):
    with Mosquitto(persistent=True) as grid:
        if request.param == "sqlite":
            with CatalogProcess(grid_brokers=[grid.url]) as catalog:
                yield put_network(catalog), grid
        else:
            database = PostgreSQL()
            with database, CatalogProcess(grid_brokers=[grid.url], options=[f"--database={database.url}"]) as catalog:
                yield put_network(catalog), grid


def put_network(catalog):
    stored = catalog.operator("PUT", f"/v1/networks/{NETWORK}", json=feeder_document(), headers={"If-Match": "*"})
    assert stored.status_code == 200, stored.text
    return catalog


def say(grid, kind, start_ns, number, *, end_ns=None, device="m-head", terminal="head", **evidence):
    event = Event(kind, terminal, start_ns, end_ns, Severity.CRITICAL, ("A",), {"network": NETWORK, **evidence})
    payload = encode(event, Header(device, 1, 1, number, time.time_ns()))
    publish.single(topics.faults("default", event.evidence["network"]), payload, qos=1, hostname="127.0.0.1",
                   port=grid.port)  # fmt: skip


def listed(catalog, **query):
    answer = catalog.operator("GET", "/v1/faults", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_fault_its_reclosure_its_restoration_and_its_recordings_are_one_record(plant):
    catalog, grid = plant
    credential = catalog.register("m-2")
    start = time.time_ns() - 30 * NANOSECONDS
    for name, at in (("r-1", start - NANOSECONDS), ("r-0", start - 500 * NANOSECONDS)):
        told = catalog.operator(
            "PUT", f"/v1/devices/m-2/recordings/{name}",
            json=label("m-2", name, b"x", start=time_text(at), duration=3.0),
            headers={"Authorization": f"Bearer {credential}"},
        )  # fmt: skip
        assert told.status_code == 204, told.text
    say(grid, "fault-located", start, 1, **{**PLACE, "distance": 150.0, "distance_uncertainty": 9.0})
    say(grid, "fault-located", start, 1, **{**PLACE, "distance": 150.0, "distance_uncertainty": 9.0})
    say(grid, "fault-located", start + NANOSECONDS, 2, **PLACE)
    say(grid, "fault-located", start, 3, **{**PLACE, "network": "elsewhere"})
    outcome = {"outcome": "restored", "steps": [], "restored_customers": 12, "unserved_customers": 3}
    say(
        grid, "restoration", start, 4, end_ns=start + 6 * NANOSECONDS, device="control-1", terminal="breaker", **outcome
    )
    wait_until(lambda: any(one["outcome"] for one in listed(catalog)["items"]), "the outcome being kept")
    (found,) = listed(catalog)["items"]
    assert (found["distance"], found["distance_uncertainty"], found["revision"]) == (140.0, 3.0, 3)
    assert (found["outcome"], found["minutes"], found["restored_customers"]) == ("restored", pytest.approx(0.1), 12)
    answer = catalog.operator("GET", f"/v1/faults/{found['id']}")
    assert [word["kind"] for word in answer.json()["news"]] == ["fault-located", "fault-located", "restoration"]
    assert [entry["info"]["id"] for entry in answer.json()["recordings"]] == ["r-1"]
    tag = answer.headers["ETag"]
    unchanged = catalog.operator("GET", f"/v1/faults/{found['id']}", headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    unknown = catalog.operator("GET", "/v1/faults/none")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/fault-unknown")


def test_what_was_said_while_the_catalog_was_away_is_kept_when_it_is_back(plant):
    catalog, grid = plant
    catalog.stop()
    first = time.time_ns() + 3600 * NANOSECONDS
    for number in range(3):
        say(grid, "earth-fault", first + number * 100 * NANOSECONDS, 10 + number, terminal="other", feeder="f-1")
    catalog.start()
    wait_until(lambda: len(listed(catalog, network=NETWORK)["items"]) == 4, "three faults more")
    page = listed(catalog, limit="2")
    rest = listed(catalog, limit="2", cursor=page["next"])
    starts = [item["start"] for item in (*page["items"], *rest["items"])]
    assert starts == sorted(starts, reverse=True)
    assert (len(starts), rest["next"]) == (4, "")
    assert listed(catalog, network="other")["items"] == []
    assert catalog.operator("GET", "/v1/faults", params={"cursor": "x", "limit": "0"}).status_code == 422


def test_an_operator_lists_shows_and_draws_faults(plant, tmp_path):
    catalog, grid = plant
    say(grid, "fault-located", time.time_ns(), 50, terminal="third", **{**PLACE, "branch": "b1"})
    wait_until(lambda: any(one["terminal"] == "third" for one in listed(catalog)["items"]), "the fault being kept")
    name = next(one["id"] for one in listed(catalog)["items"] if one["terminal"] == "third")

    def tresma(*words, status=0):
        environment = {
            **os.environ,
            "TRESMA_CATALOG": catalog.url,
            "TRESMA_TOKEN_FILE": str(catalog.state / "operator.token"),
        }
        command = [sys.executable, "-m", "device_catalog.operator", "faults", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        assert done.returncode == status, done.stderr
        return done

    assert f"{name}  " in tresma("list", "--network", NETWORK).stdout
    assert "b1, 140.0 m ± 6.0 m from m1" in tresma("show", name).stdout
    target = tmp_path / "fault.svg"
    drawn = tresma("plot", name, "-o", str(target))
    assert (drawn.stdout, "no recording of m-head" in drawn.stderr) == (f"{target}\n", True)
    assert "140 m from m1" in target.read_text()
    assert "knows no fault none" in tresma("show", "none", status=1).stderr


def test_a_person_ends_a_fault_and_whoever_handled_it_is_told(plant):
    catalog, grid = plant
    start = time.time_ns() - 5 * NANOSECONDS
    say(grid, "fault-located", start, 70, terminal="fourth", **{**PLACE, "branch": "b1"})
    steps = [{"switch": "s-1", "verb": "open"}]
    outcome = {"outcome": "restored", "steps": steps, "cases": ["fault-located-fourth-1"]}
    say(grid, "restoration", start, 71, end_ns=start + NANOSECONDS, device="control-1", terminal="fourth", **outcome)

    def found():
        return next((one for one in listed(catalog)["items"] if one["terminal"] == "fourth" and one["outcome"]), None)

    wait_until(found, "the outcome being kept")
    path = f"/v1/faults/{found()['id']}"
    assert catalog.operator("PATCH", path, json={"repaired": True}).status_code == 428
    stale = catalog.operator("PATCH", path, json={"repaired": True}, headers={"If-Match": '"old"'})
    assert stale.status_code == 412
    assert catalog.operator("PATCH", path, json={"fixed": 1}, headers={"If-Match": "*"}).status_code == 422
    with Listener(grid.port, topics.commands("default", "control-1")) as listener:
        environment = {
            **os.environ,
            "TRESMA_CATALOG": catalog.url,
            "TRESMA_TOKEN_FILE": str(catalog.state / "operator.token"),
        }
        command = [
            sys.executable, "-m", "device_catalog.operator", "faults", "repaired", found()["id"], "--note", "new joint",
            "--yes", "--grid", grid.url, "--tenant", "default",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: listener.heard, "the order")
        _, order = decode(listener.heard[0].payload)
    assert (order.verb, order.recipient, order.arguments) == (
        "repaired", "control-1", {"case": "fault-located-fourth-1"}
    )  # fmt: skip
    assert "repaired, 20" in done.stdout
    assert "may still be locked: s-1" in done.stderr
    summary = found()
    assert summary["repaired"]
    assert summary["repaired_by"]
    trail = catalog.operator("GET", "/v1/audit").json()
    assert ("PATCH", path) in [(entry["method"], entry["path"]) for entry in trail["items"]]
