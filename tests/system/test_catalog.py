"""A real catalog process: what devices and operators are answered, and what survives a kill -9."""

import json
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests

from tests.support.catalog import CatalogProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def catalog() -> Iterator[CatalogProcess]:
    with CatalogProcess() as running:
        yield running


def put(catalog, device, document, matches="*"):
    body = {"data": document} if isinstance(document, bytes) else {"json": document}
    return catalog.operator("PUT", f"/v1/devices/{device}/configuration", headers={"If-Match": matches}, **body)


def test_a_device_registers_polls_learns_of_a_change_and_acknowledges_it(catalog):
    credential = catalog.register("m-cycle")
    first = catalog.poll("m-cycle", credential)
    assert first.status_code == 200
    assert first.json()["schema"] == "desired/1"
    tag = first.headers["ETag"]

    same = catalog.poll("m-cycle", credential, tag)
    assert (same.status_code, same.content) == (304, b"")

    changed = put(catalog, "m-cycle", {"poll": {"interval": 10, "lease": 40}}, '"1"')
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    second = catalog.poll("m-cycle", credential, tag)
    assert second.json()["configuration"]["poll"] == {"interval": 10.0, "lease": 40.0}

    catalog.poll("m-cycle", credential, second.headers["ETag"], **{"Agent-Boot": "7", "Agent-Applied-Revision": "2"})
    summary = catalog.operator("GET", "/v1/devices/m-cycle").json()["summary"]
    assert (summary["revision"], summary["applied_revision"], summary["available"]) == (2, 2, True)


def test_a_device_that_polls_far_too_often_is_asked_to_wait_and_others_are_served(catalog):
    credentials = {name: catalog.register(name, interval=600, lease=2000) for name in ("m-hasty", "m-calm")}
    before = catalog.metric("tresma_polls_refused_total")
    tag = catalog.poll("m-hasty", credentials["m-hasty"]).headers["ETag"]
    answers = [catalog.poll("m-hasty", credentials["m-hasty"], tag) for _ in range(100)]
    assert [answer.status_code for answer in answers[:59]] == [304] * 59
    refused = answers[-1]
    assert (refused.status_code, refused.headers["Content-Type"]) == (429, "application/problem+json")
    assert refused.headers["Retry-After"] == "1"
    assert "every 600 s" in refused.json()["detail"]
    assert catalog.metric("tresma_polls_refused_total") > before
    assert catalog.poll("m-calm", credentials["m-calm"]).status_code == 200
    assert catalog.operator("GET", "/v1/devices/m-hasty").json()["summary"]["available"] is True
    assert catalog.operator("GET", "/v1/devices/m-hasty/desired").status_code == 200, "the operator may ask"


def test_a_device_reaches_its_own_documents_only(catalog):
    own = catalog.register("m-own")
    catalog.register("m-other")
    device = {"Authorization": f"Bearer {own}"}
    for path in ("m-other/desired", "m-other/configuration", "m-other/reported", "m-nobody/desired"):
        assert requests.get(f"{catalog.url}/v1/devices/{path}", headers=device, timeout=5).status_code == 401
    assert requests.get(f"{catalog.url}/v1/devices", headers=device, timeout=5).status_code == 401
    assert requests.get(f"{catalog.url}/v1/devices/m-own", timeout=5).status_code == 401
    assert requests.get(f"{catalog.url}/v1/devices/m-own/configuration", headers=device, timeout=5).status_code == 200


def test_a_new_credential_voids_the_one_before(catalog):
    before = catalog.register("m-credential")
    after = catalog.operator("POST", "/v1/devices/m-credential/credential").json()["credential"]
    assert catalog.poll("m-credential", before).status_code == 401
    assert catalog.poll("m-credential", after).status_code == 200


def test_bad_input_is_answered_once_with_every_problem_and_the_last_good_configuration_stays(catalog):
    credential = catalog.register("m-bad")
    bad = {
        "acquisition": {"driver": "simulated", "sample_rate": -5, "history": {"value": 5000, "unit": "ms"}},
        "algorithms": [{"algorithm": "phasors"}, {"algorithm": "phasors"}],
        "brokers": {"grid": ["http://broker.example"]},
        "poll": {"interval": 60, "lease": 30},
        "pols": {},
    }
    answer = put(catalog, "m-bad", bad)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert {problem["where"] for problem in answer.json()["problems"]} == {
        "configuration.pols",
        "configuration.acquisition.sample_rate",
        "configuration.acquisition.history",
        "configuration.algorithms",
        "configuration.brokers.grid[0]",
        "configuration.poll.lease",
    }
    assert put(catalog, "m-bad", b"{" + b" " * 10_000_000 + b"}").status_code == 413
    for text in (b"", b"[]", b"nonsense", b'{"poll":', b"[" * 100_000, b'{"terminal": "\xff"}'):
        assert put(catalog, "m-bad", text).status_code == 422, text[:20]
    assert catalog.poll("m-bad", credential).json()["revision"] == 1


def test_of_many_who_change_the_same_revision_one_succeeds(catalog):
    catalog.register("m-race")
    statuses: Counter[int] = Counter()

    def change(number: int) -> None:
        document = {"poll": {"interval": 10 + number, "lease": 100}}
        answer = requests.put(
            f"{catalog.url}/v1/devices/m-race/configuration",
            json=document,
            headers={"Authorization": f"Bearer {catalog.token}", "If-Match": '"1"'},
            timeout=20,
        )
        statuses[answer.status_code] += 1

    threads = [threading.Thread(target=change, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == {200: 1, 412: 11}
    assert put(catalog, "m-race", {}, "").status_code == 428


def test_a_registration_can_be_repeated_while_its_answer_may_have_been_lost(catalog):
    def register(device, key):
        return catalog.operator("POST", "/v1/devices", json={"device": device}, headers={"Idempotency-Key": key})

    assert register("m-lost", "key-1").status_code == 201
    repeated = register("m-lost", "key-1")
    assert repeated.status_code == 201
    assert catalog.poll("m-lost", repeated.json()["credential"]).status_code == 200
    assert register("m-lost", "key-1").status_code == 409, "the device uses its credential: no other is given"
    assert register("m-lost", "key-2").status_code == 409
    assert register("m-found", "key-1").status_code == 409, "one key for two requests"


def test_a_device_that_is_registered_again_gets_no_revision_it_has_seen(catalog):
    catalog.register("m-again")
    put(catalog, "m-again", {})
    assert catalog.operator("DELETE", "/v1/devices/m-again").status_code == 204
    assert catalog.operator("GET", "/v1/devices/m-again").status_code == 404
    changes = catalog.operator("GET", "/v1/devices/m-again/history").json()["changes"]
    assert [change["action"] for change in changes] == ["remove", "configure", "register"]
    credential = catalog.register("m-again")
    assert catalog.poll("m-again", credential).json()["revision"] == 3


def test_reports_are_merged_and_a_wrong_one_changes_nothing(catalog):
    credential = catalog.register("m-report")

    def report(document):
        return requests.patch(
            f"{catalog.url}/v1/devices/m-report/reported",
            data=json.dumps(document),
            headers={"Authorization": f"Bearer {credential}", "Content-Type": "application/merge-patch+json"},
            timeout=5,
        )

    first = {"schema": "reported/1", "device": "m-report", "boot": 2, "services": {"web": "http://m-report"}, "new": 1}
    assert report(first).status_code == 204
    assert report({"applied_revision": 1, "services": {"web": None, "ssh": "m-report:22"}}).status_code == 204
    assert report({"boot": "two"}).status_code == 422
    assert report({"device": "m-somebody-else"}).status_code == 422
    detail = catalog.operator("GET", "/v1/devices/m-report").json()
    whole = catalog.operator("PUT", "/v1/devices/m-report/reported", json={"agent_version": "2.0"})
    assert whole.status_code == 204
    assert catalog.operator("GET", "/v1/devices/m-report/reported").json() == {
        "schema": "reported/1",
        "device": "m-report",
        "agent_version": "2.0",
    }
    assert (detail["reported"]["boot"], detail["reported"]["applied_revision"]) == (2, 1)
    assert detail["summary"]["services"] == {"ssh": "m-report:22"}


def test_devices_are_found_by_what_they_are_and_lists_go_on_by_cursor(catalog):
    for number in range(7):
        configuration = {
            "algorithms": [{"algorithm": "estimator" if number % 2 else "phasors"}],
            "topology": {"network": "list-net", "area": f"a-{number % 2}"},
        }
        catalog.register(f"list-{number}", tenant="lists", kind="agent" if number > 4 else "meter")
        put(catalog, f"list-{number}", configuration)

    def names(**query):
        found, query = [], {"tenant": "lists", "limit": 2, **query}
        while True:
            page = catalog.operator("GET", "/v1/devices", params=query).json()
            assert len(page["items"]) <= 2
            found += [item["device"][5:] for item in page["items"]]
            if not page["next"]:
                return "".join(found)
            query["cursor"] = page["next"]

    assert names() == "0123456"
    assert names(kind="agent") == "56"
    assert names(algorithm="estimator") == "135"
    assert names(network="list-net", area="a-0") == "0246"
    assert names(available="true") == ""
    wrong = catalog.operator("GET", "/v1/devices", params={"available": "maybe", "limit": "0", "colour": "red"})
    assert wrong.status_code == 422
    assert len(wrong.json()["problems"]) == 3


def test_every_refusal_is_a_problem_document(catalog):
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("PUT", "/v1/devices", 405),
        ("GET", "/v1/devices/nobody", 404),
        ("GET", "/v1/devices/nobody/desired", 404),
        ("POST", "/v1/devices", 422),
    ):
        answer = catalog.operator(method, path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), path
        assert set(answer.json()) == {"type", "title", "status", "detail", "problems"}


def test_what_was_answered_survives_a_kill_and_nobody_is_declared_dead_at_once():
    with CatalogProcess() as catalog:
        credentials = {name: catalog.register(name, interval=1, lease=3) for name in ("m-1", "m-2")}
        for name, credential in credentials.items():
            catalog.poll(name, credential)
        assert put(catalog, "m-1", {"poll": {"interval": 1, "lease": 3}, "terminal": "t-9"}).status_code == 200
        catalog.kill()
        catalog.start()
        summaries = {item["device"]: item for item in catalog.operator("GET", "/v1/devices").json()["items"]}
        assert summaries["m-1"]["terminal"] == "t-9"
        assert {item["available"] for item in summaries.values()} == {None}
        assert catalog.poll("m-1", credentials["m-1"], '"1"').json()["revision"] == 2

        def available(name):
            return catalog.operator("GET", f"/v1/devices/{name}").json()["summary"]["available"]

        assert available("m-1") is True
        wait_until(lambda: catalog.poll("m-1", credentials["m-1"]) and available("m-2") is False, "m-2 missed", 8)
        assert available("m-1") is True


def test_a_polite_end_keeps_when_devices_were_last_seen_and_closes_the_database():
    with CatalogProcess() as catalog:
        credential = catalog.register("m-1")
        catalog.poll("m-1", credential, **{"Agent-Boot": "4", "Agent-Applied-Revision": "1"})
        seen = catalog.operator("GET", "/v1/devices/m-1").json()["summary"]["last_seen"]
        catalog.stop()
        assert not list(catalog.state.glob("*.db-wal")), "the log is merged into the database"
        catalog.start()
        summary = catalog.operator("GET", "/v1/devices/m-1").json()["summary"]
        assert summary["last_seen"][:19] == seen[:19]
        assert summary["applied_revision"] == 1


def test_a_database_made_by_a_newer_program_is_refused():
    with CatalogProcess() as catalog:
        catalog.stop()
        with closing(sqlite3.connect(catalog.state / "catalog.db")) as database, database:
            database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.close()
        with pytest.raises(AssertionError, match="made by a newer tresma"):
            catalog.start()


def test_the_operator_token_is_readable_by_its_owner_only_and_never_logged(catalog):
    file = catalog.state / "operator.token"
    assert file.stat().st_mode & 0o777 == 0o600
    log = catalog.log.read_text()
    assert str(file) in log
    assert catalog.token not in log


def test_a_stopped_catalog_goes_on_where_it_was(catalog):
    credential = catalog.register("m-pause")
    catalog.pause()
    with pytest.raises(requests.Timeout):
        requests.get(f"{catalog.url}/healthz", timeout=0.3)
    catalog.resume()
    assert catalog.poll("m-pause", credential).status_code == 200


def test_a_second_catalog_over_the_same_database_is_refused(catalog):
    with pytest.raises(AssertionError, match="another one running"):
        CatalogProcess(state=catalog.state).start()


def test_a_port_that_is_taken_is_told_in_a_sentence(catalog, tmp_path):
    command = [sys.executable, "-m", "device_catalog", "serve", f"--state={tmp_path}", f"--port={catalog.port}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 69
    assert f"port {catalog.port}, found: Address already in use; end what listens there" in ended.stderr
    assert "Traceback" not in ended.stderr
