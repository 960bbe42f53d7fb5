"""A real catalog keeps networks and switch states, cuts each agent's part, and tells only those it concerns."""

import msgspec
import pytest
import requests

from algorithms.api.network_area import areas_below
from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_problems import problems
from device_catalog.contract.networks import AreaDocument
from tests.support.catalog import CatalogProcess
from tests.support.layered_network import layered_document, states_of
from tests.support.listener import Listener
from tests.support.mosquitto import Mosquitto
from tests.support.networks import element
from tests.support.postgresql import PostgreSQL
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

AREAS = ("mv", "lv-1", "lv-2", "c-1", "c-2")


@pytest.fixture(scope="module")
def broker():
    with Mosquitto() as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def catalog(request, broker):
    if request.param == "sqlite":
        with CatalogProcess(grid_brokers=[broker.url]) as running:
            yield running
        return
    with (
        PostgreSQL() as server,
        CatalogProcess(options=[f"--database={server.url}"], grid_brokers=[broker.url]) as running,
    ):
        yield running


def put(catalog, document, matches="*", path="", **headers):
    body = {"data": document} if isinstance(document, bytes) else {"json": document}
    name = document["network"] if isinstance(document, dict) else "net-bytes"
    headers = headers or {"If-Match": matches}
    return catalog.operator("PUT", f"/v1/networks/{name}{path}", headers=headers, **body)


def switch(catalog, document, revision, matches="*", **other):
    return put(catalog, states_of(document, revision, **other), matches, "/topology")


def agents(catalog, network):
    """Register an agent for each area, and one for the whole network; return their credentials."""
    places = {f"{network}-{area or 'all'}": area for area in (*AREAS, "")}
    return {
        name: catalog.register(name, kind="agent", configuration={"topology": {"network": network, "area": area}})
        for name, area in places.items()
    }


def tags(catalog, credentials):
    return {name: catalog.poll(name, credential).headers["ETag"] for name, credential in credentials.items()}


def test_a_document_with_five_faults_is_answered_with_five_findings_and_stored_nowhere(catalog):
    document = layered_document("net-faults")
    element(document, "b-m2")["to_node"] = "m9"
    element(document, "b-l12")["length"] = -3.0
    element(document, "t1")["rated_power"] = 0.0
    element(document, "grid")["voltage"] = 20.0
    element(document, "at-h1")["phases"] = "X"
    answer = put(catalog, document)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    found = {problem["where"] for problem in answer.json()["problems"]}
    faults = ("branches[b-m2]", "branches[b-l12]", "transformers[t1]", "sources[grid]", "terminals[at-h1]")
    assert all(any(where.startswith(fault) for where in found) for fault in faults), found
    assert catalog.operator("GET", "/v1/networks/net-faults").status_code == 404


def test_every_revision_is_kept_and_listed_and_changes_name_what_they_are_based_on(catalog):
    document = layered_document("net-revisions")
    assert put(catalog, document, **{"If-None-Match": "*"}).status_code == 200
    assert put(catalog, document, **{"If-None-Match": "*"}).status_code == 412
    same = put(catalog, document, '"1"')
    assert (same.status_code, same.json()["informed"], same.headers["ETag"]) == (200, [], '"1"')
    assert catalog.operator("PUT", "/v1/networks/net-revisions", json=document).status_code == 428
    changed = {**document, "name": "Another name"}
    old = put(catalog, changed, '"1"')
    assert [problem["where"] for problem in old.json()["problems"]] == ["revision"]
    for revision in range(2, 5):
        assert put(catalog, {**changed, "revision": revision}, f'"{revision - 1}"').status_code == 200
    assert put(catalog, {**changed, "revision": 9}, '"3"').status_code == 412
    path = "/v1/networks/net-revisions"
    page = catalog.operator("GET", f"{path}/revisions", params={"limit": "3"}).json()
    rest = catalog.operator("GET", f"{path}/revisions", params={"cursor": page["next"]}).json()
    assert [item["revision"] for item in (*page["items"], *rest["items"])] == [4, 3, 2, 1]
    assert rest["next"] == ""
    assert catalog.operator("GET", f"{path}/revisions/1").json().get("name") == document.get("name")
    assert catalog.operator("GET", path).json()["name"] == "Another name"
    assert catalog.operator("GET", path, headers={"If-None-Match": '"4"'}).status_code == 304
    assert catalog.operator("GET", f"{path}/revisions/7").status_code == 404
    names = [item["network"] for item in catalog.operator("GET", "/v1/networks").json()["items"]]
    assert "net-revisions" in names


def test_a_document_under_another_name_or_too_long_is_refused(catalog):
    document = layered_document("net-name")
    answer = catalog.operator("PUT", "/v1/networks/other", json=document, headers={"If-Match": "*"})
    assert answer.json()["problems"][0]["where"] == "network"
    headers = {"Authorization": f"Bearer {catalog.token}", "If-Match": "*", "Content-Length": str(17 * 2**20)}
    long = requests.put(f"{catalog.url}/v1/networks/net-name", data=b"", headers=headers, timeout=10)
    assert long.status_code == 413
    assert put(catalog, b"{").status_code == 422
    assert put(catalog, b"[" * 100_000).status_code == 422


def test_no_utf8_and_no_revision_are_findings_not_faults_of_the_catalog(catalog):
    document = layered_document("net-bytes")
    text = msgspec.json.encode({**document, "name": "Te#"})
    assert put(catalog, text.replace(b"#", b"\xff")).json()["problems"][0]["where"] == "document"
    for revision in (b"null", b"0", b"9007199254740992", b"9223372036854775808", b"1" + b"0" * 30):
        answer = put(catalog, text.replace(b'"revision":1', b'"revision":' + revision))
        assert [problem["where"] for problem in answer.json()["problems"]] == ["revision"]
    assert put(catalog, text.replace(b'"revision":1', b'"revision":9007199254740991')).status_code == 200
    states = msgspec.json.encode(states_of(document, 1))
    assert put(catalog, states.replace(b"net-bytes", b"\xff"), path="/topology").status_code == 422


def test_an_agent_gets_its_own_part_only_and_it_is_a_right_network(catalog):
    document = layered_document("net-parts")
    credentials = agents(catalog, "net-parts")
    assert put(catalog, document).status_code == 200
    for name, credential in credentials.items():
        own = {"Authorization": f"Bearer {credential}"}
        answer = requests.get(f"{catalog.url}/v1/devices/{name}/network", headers=own, timeout=10)
        part = msgspec.json.decode(answer.content, type=AreaDocument)
        assert problems(part.document) == []
        known = {**own, "If-None-Match": answer.headers["ETag"]}
        again = requests.get(f"{catalog.url}/v1/devices/{name}/network", headers=known, timeout=10)
        assert (again.status_code, again.content) == (304, b"")
        for path in ("/v1/networks/net-parts", "/v1/networks/net-parts/areas/mv", "/v1/devices/net-parts-mv/network"):
            if name not in path:
                assert requests.get(catalog.url + path, headers=own, timeout=10).status_code == 401
    whole = catalog.operator("GET", "/v1/devices/net-parts-all/network").json()
    assert len(whole["document"]["nodes"]) == len(document["nodes"])
    part = catalog.operator("GET", "/v1/networks/net-parts/areas/lv-1").json()
    assert {node["id"] for node in part["document"]["nodes"]} == {"m1", "l10", "l11", "l12"}
    assert set(part["states"]["states"]) == {"tie-l"}
    assert catalog.operator("GET", "/v1/networks/net-parts/areas/lv-9").status_code == 404
    catalog.register("net-parts-none")
    assert catalog.operator("GET", "/v1/devices/net-parts-none/network").status_code == 404


def test_only_those_whose_part_changed_are_told_and_the_states_are_retained(catalog, broker):
    document = layered_document("net-told")
    assert put(catalog, document).status_code == 200
    credentials = agents(catalog, "net-told")
    first = catalog.poll("net-told-mv", credentials["net-told-mv"]).json()
    assert first["configuration"]["topology"]["model_revision"] == 1
    before = tags(catalog, credentials)
    with Listener(broker.port, "v1/default/devices/+/notify") as notices:
        answer = switch(catalog, document, 1, '"0"', s_l2="open", tie_l="closed")
        informed = {"net-told-lv-1", "net-told-lv-2", "net-told-c-2", "net-told-mv", "net-told-all"}
        assert set(answer.json()["informed"]) == informed
        wait_until(lambda: len(notices.heard) >= len(informed), "notices")
    assert {item.topic.split("/")[3] for item in notices.heard} == informed
    after = tags(catalog, credentials)
    assert {name for name, tag in after.items() if tag != before[name]} == informed
    desired = catalog.poll("net-told-lv-1", credentials["net-told-lv-1"]).json()
    assert desired["configuration"]["topology"]["topology_revision"] == 1
    with Listener(broker.port, "v1/default/topology/net-told") as retained:
        heard = wait_until(lambda: retained.heard, "the retained states")[0]
    assert heard.retained
    assert (heard.fields["revision"], heard.fields["states"]["tie-l"]) == (1, "closed")

    part = catalog.operator("GET", "/v1/networks/net-told/areas/lv-1").json()["document"]
    below = areas_below(msgspec.convert(part, NetworkDocument).areas)
    assert {area.id for area in below} == {"c-1", "c-2"}

    element(document, "h1")["p"] = {"A": 1000.0}
    informed = put(catalog, {**document, "revision": 2}).json()["informed"]
    assert set(informed) == {f"net-told-{area}" for area in ("c-1", "lv-1", "mv", "all")}


def test_states_are_judged_against_the_network(catalog):
    document = layered_document("net-states")
    assert switch(catalog, document, 1).status_code == 404
    put(catalog, document)
    path = "/v1/networks/net-states/topology"
    first = catalog.operator("GET", path)
    assert (first.json()["revision"], first.headers["ETag"]) == (0, '"0"')
    wrong = states_of(document, 0, tie_m="closed", nobody="open")
    del wrong["states"]["tie-l"]
    answer = put(catalog, wrong, path="/topology")
    found = sorted(problem["where"].removeprefix("topology.") for problem in answer.json()["problems"])
    assert found == ["revision", "states.nobody", "states.tie-l", "states.tie-m"]
    assert answer.status_code == 422
    assert switch(catalog, document, 4, '"0"', tie_m="closed", s_m3="open").status_code == 200
    assert switch(catalog, document, 5, '"0"').status_code == 412
    same = switch(catalog, document, 4, '"4"', tie_m="closed", s_m3="open")
    assert (same.status_code, same.json()["informed"]) == (200, [])
    assert switch(catalog, document, 4, '"4"').status_code == 422
    assert switch(catalog, document, 6, '"4"').status_code == 200
    listed = catalog.operator("GET", f"{path}/revisions").json()["items"]
    assert [item["revision"] for item in listed] == [6, 4]
    assert catalog.operator("GET", f"{path}/revisions/4").json()["states"]["s-m3"] == "open"


def test_what_was_answered_survives_a_kill_and_is_told_again_to_a_broker_that_forgot(tmp_path):
    document = layered_document("net-kept")
    with Mosquitto() as broker, CatalogProcess(state=tmp_path / "state", grid_brokers=[broker.url]) as catalog:
        credentials = agents(catalog, "net-kept")
        put(catalog, document)
        switch(catalog, document, 1, s_l2="open", tie_l="closed")
        before = tags(catalog, credentials)
        catalog.kill()
        broker.stop()
        broker.start()
        catalog.start()
        assert tags(catalog, credentials) == before
        with Listener(broker.port, "v1/default/topology/net-kept") as retained:
            wait_until(lambda: retained.heard, "the states being told again")
        assert catalog.operator("GET", "/v1/networks/net-kept/topology").json()["states"]["tie-l"] == "closed"
        element(document, "tie-l")["id"] = "tie-new"
        assert put(catalog, {**document, "revision": 2}, '"1"').json()["topology_revision"] == 2
        states = catalog.operator("GET", "/v1/networks/net-kept/topology").json()
        assert (states["revision"], states["states"]["tie-new"], states["states"]["s-l2"]) == (2, "open", "open")
