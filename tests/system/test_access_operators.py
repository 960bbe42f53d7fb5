"""Operators: what each role may do, what a tenant's operator sees, and what the audit trail keeps of it."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests

from device_catalog.api.operations import OPERATIONS
from device_catalog.api.roles import role_of
from tests.support.catalog import CatalogProcess
from tests.support.layered_network import layered_document, states_of
from tests.support.recording_labels import label

pytestmark = pytest.mark.slow

ROLES = ("viewer", "engineer", "releaser", "administrator")
NAMES = {"device": "m-ours", "network": "net-3", "operator": "nobody", "recording": "r-1", "algorithm": "voltage-band"}


@pytest.fixture(scope="module")
def catalog() -> Iterator[CatalogProcess]:
    with CatalogProcess() as running:
        for tenant, device in (("ours", "m-ours"), ("theirs", "m-theirs")):
            running.register(device, tenant=tenant)
            told = label(device, "r-1", b"samples")
            assert running.operator("PUT", f"/v1/devices/{device}/recordings/r-1", json=told).status_code == 204
            document = {**layered_document(), "network": f"net-{tenant}"}
            options = {"params": {"tenant": tenant}, "headers": {"If-None-Match": "*"}}
            assert running.operator("PUT", f"/v1/networks/net-{tenant}", json=document, **options).status_code == 200
        yield running


def operator(catalog, name, role, tenant="", **fields):
    """Take in an operator; return how to ask as he does."""
    body = {"operator": name, "role": role, "tenant": tenant, **fields}
    answer = catalog.operator("POST", "/v1/operators", json=body)
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]

    def ask(method, path, **options):
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return requests.request(method, catalog.url + path, headers=headers, timeout=10, **options)

    return ask


@pytest.fixture(scope="module")
def people(catalog):
    return {role: operator(catalog, f"a-{role}", role) for role in ROLES}


def test_every_route_is_closed_to_the_roles_below_the_one_it_states_and_names_that_one(people):
    asked = 0
    for operation in OPERATIONS:
        if operation.who not in ("operator", "device"):
            continue
        needed = role_of(operation.method, operation.path)
        path = re.sub(r"\{(\w+)\}", lambda found: NAMES.get(found[1], "x"), operation.path)
        for role in ROLES[: ROLES.index(needed.value)]:
            answer = people[role](operation.method.upper(), path, json={}, headers={"If-Match": "*"})
            where = (operation.method, operation.path, role)
            assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/problem+json"), where
            assert needed.value in answer.json()["detail"], where
            asked += 1
    assert asked >= 30, "the description states the routes"


def test_a_viewer_looks_an_engineer_changes_and_an_administrator_names_operators(catalog, people):
    assert people["viewer"]("GET", "/v1/devices").status_code == 200
    change = {"json": {}, "headers": {"If-Match": "*"}}
    assert people["engineer"]("PUT", "/v1/devices/m-ours/configuration", **change).status_code == 200
    assert people["administrator"]("GET", "/v1/operators").status_code == 200
    changes = catalog.operator("GET", "/v1/devices/m-ours/history").json()["changes"]
    assert changes[0]["actor"] == "a-engineer"


def test_the_description_states_the_role_of_every_operation(catalog):
    paths = requests.get(f"{catalog.url}/v1/openapi", timeout=5).json()["paths"]
    for operation in OPERATIONS:
        stated = paths[operation.path][operation.method]
        if operation.who in ("operator", "device"):
            assert stated["x-role"] == role_of(operation.method, operation.path).value
            assert {"401", "403", "429"} <= set(stated["responses"]), operation.path


def test_a_token_that_expired_or_was_revoked_is_nobodys(catalog):
    brief = operator(catalog, "brief", "viewer", seconds=0.001)
    assert brief("GET", "/v1/devices").status_code == 401
    gone = operator(catalog, "gone", "viewer")
    assert gone("GET", "/v1/devices").status_code == 200
    assert catalog.operator("DELETE", "/v1/operators/gone").status_code == 204
    assert gone("GET", "/v1/devices").status_code == 401
    assert catalog.operator("DELETE", "/v1/operators/nobody").status_code == 404
    taken = catalog.operator("POST", "/v1/operators", json={"operator": "a-viewer", "role": "viewer"})
    assert taken.status_code == 409
    wrong = catalog.operator("POST", "/v1/operators", json={"operator": "no good", "role": "king"})
    assert wrong.status_code == 422


def test_operators_survive_a_kill_and_their_tokens_are_neither_in_the_database_nor_in_the_log(catalog):
    ask = operator(catalog, "lasting", "viewer")
    token = ask("GET", "/v1/devices").request.headers["Authorization"].removeprefix("Bearer ")
    catalog.kill()
    catalog.start()
    assert ask("GET", "/v1/devices").status_code == 200
    held = b"".join(path.read_bytes() for path in catalog.state.glob("catalog.db*"))
    assert token.encode() not in held
    assert token not in catalog.log.read_text()


def test_a_tenants_operator_sees_nothing_of_another_on_any_list(catalog):
    ask = operator(catalog, "our-admin", "administrator", "ours")
    lists = [one for one in OPERATIONS if one.method == "get" and one.who == "operator" and "{" not in one.path]
    assert len(lists) >= 5
    for one in lists:
        answer = ask("GET", one.path)
        assert answer.status_code < 500, one.path
        for foreign in ("theirs", "m-theirs", "net-theirs"):
            assert foreign not in answer.text, (one.path, foreign)
    assert [item["device"] for item in ask("GET", "/v1/devices").json()["items"]] == ["m-ours"]
    assert ask("GET", "/v1/devices", params={"tenant": "theirs"}).text == ask("GET", "/v1/devices").text
    assert [item["network"] for item in ask("GET", "/v1/networks").json()["items"]] == ["net-ours"]
    assert len(ask("GET", "/v1/recordings").json()["items"]) == 1
    assert {item["operator"] for item in ask("GET", "/v1/operators").json()["items"]} == {"our-admin"}
    assert {item["tenant"] for item in ask("GET", "/v1/audit").json()["items"]} <= {"ours"}


def test_what_is_another_tenants_is_as_if_it_were_not_there(catalog):
    ask = operator(catalog, "our-second", "administrator", "ours")
    names = {"device": "m-theirs", "network": "net-theirs", "recording": "r-1", "area": "lv-1", "revision": "1"}
    asked = 0
    for one in OPERATIONS:
        if one.who not in ("operator", "device") or not ("{device}" in one.path or "{network}" in one.path):
            continue
        path = re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "x"), one.path)
        answer = ask(one.method.upper(), path, json={}, headers={"If-Match": "*"})
        assert answer.status_code == 404, (one.method, path, answer.text)
        asked += 1
    assert asked > 20
    assert ask("GET", "/v1/devices/m-theirs/desired").status_code == 404
    foreign = {"device": "m-new", "tenant": "theirs"}
    assert ask("POST", "/v1/devices", json=foreign).status_code == 403
    placed = {"device": "m-new", "tenant": "ours", "configuration": {"topology": {"network": "net-theirs"}}}
    assert ask("POST", "/v1/devices", json=placed).status_code == 422
    assert ask("POST", "/v1/operators", json={"operator": "x", "role": "viewer", "tenant": ""}).status_code == 403
    pushed = ask("PUT", "/v1/trust/metadata", json={"documents": {}})
    assert (pushed.status_code, "of all tenants" in pushed.json()["detail"]) == (403, True)
    assert catalog.operator("GET", "/v1/devices/m-theirs").status_code == 200, "nothing was taken away"


def test_a_network_neither_informs_nor_reaches_a_device_of_another_tenant_that_names_it(catalog):
    place = {"topology": {"network": "net-theirs", "area": "lv-1"}}
    credentials = {
        name: catalog.register(name, tenant=tenant, kind="agent", configuration=place)
        for name, tenant in (("a-ours", "ours"), ("a-theirs", "theirs"))
    }

    def told(name):
        return catalog.poll(name, credentials[name]).json()

    assert told("a-theirs")["configuration"]["topology"]["model_revision"] == 1
    assert told("a-ours")["configuration"]["topology"]["model_revision"] == 0
    before = {name: told(name)["revision"] for name in credentials}
    states = states_of({**layered_document(), "network": "net-theirs"}, 1, s_l2="open", tie_l="closed")
    path = "/v1/networks/net-theirs/topology"
    stored = catalog.operator("PUT", path, headers={"If-Match": "*"}, json=states)
    assert stored.status_code == 200, stored.text
    assert "a-theirs" in stored.json()["informed"]
    assert "a-ours" not in stored.text
    assert told("a-theirs")["revision"] == before["a-theirs"] + 1
    assert told("a-ours")["revision"] == before["a-ours"]
    body = {"holder": "a-ours", "seconds": 30}
    lease = f"{catalog.url}/v1/networks/net-theirs/lease"
    headers = {"Authorization": f"Bearer {credentials['a-ours']}"}
    refused = requests.post(lease, json=body, headers=headers, timeout=5)
    assert (refused.status_code, "expected the name of a network" in refused.json()["detail"]) == (404, True)
    asked = requests.get(f"{catalog.url}/v1/devices/a-ours/network", headers=headers, timeout=5)
    assert asked.status_code == 404


def test_a_tenants_operator_keeps_networks_of_his_own(catalog):
    ask = operator(catalog, "our-third", "engineer", "ours")
    network = {**layered_document(), "network": "net-new"}
    stored = ask("PUT", "/v1/networks/net-new", json=network, headers={"If-None-Match": "*"})
    assert stored.status_code == 200, stored.text
    moved = {**states_of(network, 2), "network": "net-new"}
    assert ask("PUT", "/v1/networks/net-new/topology", json=moved, headers={"If-Match": "*"}).status_code == 200
    theirs = operator(catalog, "their-first", "engineer", "theirs")
    assert theirs("GET", "/v1/networks/net-new").status_code == 404


def test_every_change_is_in_the_trail_with_who_from_where_and_from_which_revision_to_which(catalog):
    ask = operator(catalog, "traced", "engineer")
    tag = ask("GET", "/v1/devices/m-ours/configuration").headers["ETag"]
    changed = ask("PUT", "/v1/devices/m-ours/configuration", json={"terminal": "t-1"}, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert ask("POST", "/v1/operators", json={"operator": "x", "role": "viewer"}).status_code == 403
    refused, done = catalog.operator("GET", "/v1/audit", params={"limit": "2"}).json()["items"]
    assert (done["actor"], done["role"], done["method"], done["status"]) == ("traced", "engineer", "PUT", 200)
    assert done["address"] == "127.0.0.1"
    assert (done["before"], done["after"]) == (tag, changed.headers["ETag"])
    assert len(done["body"]) == 64
    assert (refused["status"], refused["path"]) == (403, "/v1/operators")


def test_the_trail_comes_in_pages_and_no_route_changes_it(catalog):
    first = catalog.operator("GET", "/v1/audit", params={"limit": "3"}).json()
    second = catalog.operator("GET", "/v1/audit", params={"limit": "3", "cursor": first["next"]}).json()
    numbers = [item["number"] for item in (*first["items"], *second["items"])]
    assert numbers == list(range(numbers[0], numbers[0] - 6, -1))
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert catalog.operator(method, "/v1/audit").status_code == 405
    assert catalog.operator("GET", "/v1/audit", params={"since": "yesterday"}).status_code == 422
    later = catalog.operator("GET", "/v1/audit", params={"since": "2999-01-01T00:00:00Z"}).json()
    assert later["items"] == []


def test_the_database_itself_refuses_to_change_the_trail(catalog):
    with closing(sqlite3.connect(catalog.state / "catalog.db")) as database:
        for change in ("UPDATE audit_trail SET actor = 'nobody'", "DELETE FROM audit_trail"):
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                database.execute(change)


def test_tokens_that_are_none_are_in_the_audit_trail_once_a_minute_with_how_many_there_were():
    headers = {"Authorization": "Bearer made-up"}
    secret = {"device": "m-1", "secret": "made-up", "request": "x"}
    with CatalogProcess() as catalog:
        for _ in range(5):
            assert requests.get(f"{catalog.url}/v1/devices", headers=headers, timeout=5).status_code == 401
        assert requests.post(f"{catalog.url}/v1/enrolments", json=secret, timeout=5).status_code in (403, 422)
        (told,) = catalog.operator("GET", "/v1/audit").json()["items"]
    assert (told["actor"], told["path"], told["status"]) == ("nobody known (1x)", "/v1/devices", 401)
    assert told["address"] == "127.0.0.1"
