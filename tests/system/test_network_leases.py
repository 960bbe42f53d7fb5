"""A real catalog gives a network to one holder at a time, each with a larger token, over SQLite and PostgreSQL."""

import threading

import pytest
import requests

from tests.support.catalog import CatalogProcess
from tests.support.layered_network import layered_document
from tests.support.postgresql import PostgreSQL
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NETWORK = "net-leases"
PATH = f"/v1/networks/{NETWORK}/lease"


def prepare(catalog):
    document = layered_document(NETWORK)
    catalog.operator("PUT", f"/v1/networks/{NETWORK}", json=document, headers={"If-Match": "*"})
    place = {"topology": {"network": NETWORK, "area": "mv"}}
    return {name: catalog.register(name, kind="agent", configuration=place) for name in ("control-1", "control-2")}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def placed(request):
    if request.param == "sqlite":
        with CatalogProcess() as catalog:
            yield catalog, prepare(catalog)
        return
    with PostgreSQL() as server, CatalogProcess(options=[f"--database={server.url}"]) as catalog:
        yield catalog, prepare(catalog)


def ask(placed, method, holder, path=PATH, **body):
    catalog, credentials = placed
    headers = {"Authorization": f"Bearer {credentials[holder]}"}
    document = {"holder": holder, **body} if method != "DELETE" else None
    query = {"holder": holder, **body} if method == "DELETE" else None
    return requests.request(method, catalog.url + path, headers=headers, json=document, params=query, timeout=10)


def acquire(placed, holder, seconds=60.0):
    answer = ask(placed, "POST", holder, seconds=seconds)
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


def give_back(placed):
    held = placed[0].operator("GET", PATH).json()
    assert ask(placed, "DELETE", held["holder"], token=held["token"]).status_code == 204


def test_one_at_a_time_and_every_token_is_larger(placed):
    first = acquire(placed, "control-1")
    refused = ask(placed, "POST", "control-2")
    assert refused.status_code == 409
    assert "held by control-1" in refused.json()["detail"]
    assert ask(placed, "DELETE", "control-1", token=first).status_code == 204
    second = acquire(placed, "control-2")
    assert second > first
    late = ask(placed, "PUT", "control-1", token=first)
    assert late.status_code == 409
    assert ask(placed, "DELETE", "control-1", token=first).status_code == 204  # takes nothing from control-2
    assert ask(placed, "PUT", "control-2", token=second).json()["token"] == second
    assert ask(placed, "DELETE", "control-2", token=second).status_code == 204


def test_the_same_holder_gets_a_new_token_and_its_old_one_is_worthless(placed):
    first = acquire(placed, "control-1")
    second = acquire(placed, "control-1")
    assert second == first + 1
    assert ask(placed, "PUT", "control-1", token=first).status_code == 409
    ask(placed, "DELETE", "control-1", token=second)


def test_a_lease_that_ended_is_had_by_another_and_not_renewed(placed):
    first = acquire(placed, "control-1", seconds=1.0)
    wait_until(lambda: ask(placed, "POST", "control-2").status_code == 201, "the lease of control-1 ending", timeout=10)
    answer = ask(placed, "PUT", "control-1", token=first)
    assert answer.status_code == 409
    give_back(placed)


def test_of_many_who_ask_at_once_one_succeeds(placed):
    answers = []

    def run(holder):
        answers.append(ask(placed, "POST", holder).status_code)

    threads = [threading.Thread(target=run, args=(f"control-{1 + number % 2}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    holder = placed[0].operator("GET", PATH).json()["holder"]
    assert sorted(set(answers)) in ([201], [201, 409])
    winners = {f"control-{number}": ask(placed, "POST", f"control-{number}").status_code for number in (1, 2)}
    assert winners[holder] == 201
    assert sorted(winners.values()) == [201, 409]
    give_back(placed)


def test_nobody_asks_in_the_name_of_another_or_for_a_network_that_is_not_its_own(placed):
    catalog, credentials = placed
    headers = {"Authorization": f"Bearer {credentials['control-1']}"}
    stolen = requests.post(catalog.url + PATH, headers=headers, json={"holder": "control-2"}, timeout=10)
    assert stolen.status_code == 401
    credentials["stranger"] = credentials.get("stranger") or catalog.register("stranger", kind="agent")
    assert ask(placed, "POST", "stranger").status_code == 401
    assert ask(placed, "POST", "control-1", path="/v1/networks/nowhere/lease").status_code == 404
    wrong = ask(placed, "POST", "control-1", seconds=1e9, colour="red")
    assert wrong.status_code == 422


def test_what_switches_are_heard_to_obey_is_gone_beyond(placed):
    heard = acquire(placed, "control-1") + 1000
    answer = ask(placed, "POST", "control-1", seen=heard).json()
    assert answer["token"] == heard + 1
    assert ask(placed, "POST", "control-1", seen=2**61).json()["token"] == heard + 2
    assert ask(placed, "POST", "control-1", seen=-1).status_code == 422
    give_back(placed)


def test_the_holder_says_where_switches_stand_and_nobody_else_does(placed):
    catalog, _ = placed
    path, topology = f"{PATH}/states", f"/v1/networks/{NETWORK}/topology"
    token = acquire(placed, "control-1")
    before = catalog.operator("GET", topology).json()
    moved = {"s-l2": "open", "tie-l": "closed"}
    news = {"token": token, "states": moved}
    assert ask(placed, "POST", "control-2", path=path, **news).status_code == 409
    assert ask(placed, "POST", "control-1", path=path, **{**news, "token": token - 1}).status_code == 409
    assert ask(placed, "POST", "control-1", path=path, token=token, states={"nobody": "open"}).status_code == 422
    answer = ask(placed, "POST", "control-1", path=path, **news)
    assert (answer.status_code, answer.json()["topology_revision"]) == (200, before["revision"] + 1), answer.text
    after = catalog.operator("GET", topology).json()
    assert after["states"] == {**before["states"], **moved}
    assert ask(placed, "POST", "control-1", path=path, **news).json()["topology_revision"] == after["revision"]
    ask(placed, "DELETE", "control-1", token=token)


def test_leases_survive_a_kill(tmp_path):
    with CatalogProcess(state=tmp_path / "state") as catalog:
        credentials = prepare(catalog)
        first = acquire((catalog, credentials), "control-1")
        catalog.kill()
        catalog.start()
        assert ask((catalog, credentials), "POST", "control-2").status_code == 409
        assert ask((catalog, credentials), "PUT", "control-1", token=first).status_code == 200
        history = catalog.operator("GET", "/v1/devices/control-1/history").json()
        assert any(entry["action"] == "lease" for entry in history["changes"])


def test_an_operator_sees_who_holds_a_network_and_takes_it_away():
    with CatalogProcess() as catalog:
        placed = catalog, prepare(catalog)
        token = acquire(placed, "control-1", seconds=1.0)
        held = catalog.operator("GET", PATH).json()
        assert (held["holder"], held["token"]) == ("control-1", token)
        assert catalog.operator("DELETE", PATH).status_code == 204
        kept = catalog.operator("GET", PATH).json()
        assert kept["holder"].startswith("ended-")
        assert kept["seconds"] > 50.0  # what was ordered before may move so long
        for holder in ("control-1", "control-2"):
            assert ask(placed, "POST", holder).status_code == 409
        assert ask(placed, "PUT", "control-1", token=token).status_code == 409
