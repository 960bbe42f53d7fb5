"""A real agent with its part of a network: switches move whom it hears, without a restart of the agent."""

import json
import time

import pytest
from paho.mqtt import publish

from algorithms.api.grid_records import GridState
from algorithms.api.records import AngleReference, MeasurementFrame
from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
from tests.support.agent import AgentProcess, Plant
from tests.support.area_listener import installed_in
from tests.support.layered_network import layered_document, states_of
from tests.support.listener import Listener
from tests.support.networks import element
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NETWORK = "net-3"
MOVED = {"s_l2": "open", "tie_l": "closed"}


@pytest.fixture
def plant(tmp_path):
    with Plant() as one:
        one.prefix = installed_in(tmp_path / "packages")
        yield one


def store(plant, document=None, matches="*"):
    path = f"/v1/networks/{NETWORK}"
    answer = plant.catalog.operator("PUT", path, json=document or layered_document(), headers={"If-Match": matches})
    assert answer.status_code == 200, answer.text
    return answer.json()["informed"]


def switch(plant, revision, **states):
    path, document = f"/v1/networks/{NETWORK}/topology", states_of(layered_document(), revision, **states)
    answer = plant.catalog.operator("PUT", path, json=document, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text
    return set(answer.json()["informed"])


def add(plant, area, device="agent-x", *algorithms, interval=1.0):
    assigned = [{"algorithm": name} for name in algorithms or ("area-listener",)]
    return plant.add(
        device,
        prefix=plant.prefix,
        acquisition=None,
        algorithms=assigned,
        poll={"interval": interval, "lease": 4 * interval},
        topology={"network": NETWORK, "area": area},
    )


def say(plant, device, record, number=1, *, retain=False):
    """Publish a record in the name of a device, as its agent would."""
    broker, topic, _ = topics.route(record, "default", device)
    payload = encode(record, Header(device, 1, 1, number, time.time_ns()))
    port = getattr(plant, broker).port
    publish.single(topic, payload, qos=1, retain=retain, hostname="127.0.0.1", port=port)


def state(area, level):
    return GridState(area, level, time.time_ns(), 1, 0, ())


def frame(terminal):
    return MeasurementFrame(terminal, time.time_ns(), 0.0, 0.08, AngleReference.OWN, None, None, {}, {}, {})


def heard(listener, content="heard"):
    payloads = [item.fields["payload"] for item in list(listener.heard) if item.topic.endswith(content)]
    return payloads[-1] if payloads else {}


def wait_for(listener, what, condition, timeout=20.0):
    wait_until(lambda: (now := heard(listener)) and condition(now), what, timeout=timeout)


def test_switches_move_what_an_algorithm_hears_without_a_restart_of_agent_or_neighbours(plant):
    store(plant)
    for number, (area, level) in enumerate((("c-1", "concentrator"), ("c-2", "concentrator")), start=1):
        say(plant, f"agent-{area}", state(area, level), 100_000 * number, retain=True)
    with Listener(plant.data.port, "v1/default/meters/agent-x/results/+") as results:
        agent = add(plant, "lv-1", "agent-x", "area-listener", "ticker")
        wait_for(results, "the retained state of the concentrator below", lambda now: now["states"] == {"c-1": 1})
        assert heard(results)["nodes"] == ["l10", "l11", "l12", "m1"]
        say(plant, "meter-shop", frame("at-shop"))
        say(plant, "meter-l22", frame("at-l22"))
        wait_for(results, "a frame of a meter in the area", lambda now: now["frames"] == {"at-shop": 1})
        ticks, pid = heard(results, "ticks")["ticks"], agent.pid

        assert switch(plant, 1, **MOVED) == {"agent-x"}
        wait_for(results, "the new part", lambda now: now["topology_revision"] == 1)
        assert heard(results)["nodes"] == ["l10", "l11", "l12", "l22", "m1"]
        wait_for(results, "both concentrators' states", lambda now: now["states"] == {"c-1": 1, "c-2": 1})
        say(plant, "meter-l22", frame("at-l22"), 2)
        wait_for(results, "the meter that moved here", lambda now: now["frames"] == {"at-l22": 1})
        assert agent.pid == pid
        assert heard(results, "ticks")["ticks"] > ticks, "what needs no network goes on"

        say(plant, "agent-c-2", state("c-2", "concentrator"), 200_001, retain=True)
        wait_for(results, "the next state", lambda now: now["states"]["c-2"] == 2)
        plant.data.stop()
        plant.data.start()
        results.wait()
        wait_until(lambda: plant.reported("agent-x")["links"]["data"]["connected"], "the broker being back")
        say(plant, "meter-shop", frame("at-shop"), 2)
        wait_for(results, "frames after the broker came back", lambda now: "at-shop" in now["frames"])
        assert heard(results)["states"] == {"c-1": 1, "c-2": 2}, "what it knows is not told again"

        switch(plant, 2)
        wait_for(results, "the part as before", lambda now: now["topology_revision"] == 2)
        say(plant, "agent-c-2", state("c-2", "concentrator"), 200_002, retain=True)
        say(plant, "agent-c-1", state("c-1", "concentrator"), 100_001, retain=True)
        wait_for(results, "states after that", lambda now: now["states"].get("c-1", 0) == 2)
        assert "c-2" not in heard(results)["states"]


def test_a_restarted_algorithm_is_given_the_newest_state_of_each_source(plant):
    store(plant)
    with Listener(plant.data.port, "v1/default/meters/agent-x/results/+") as results:
        agent = add(plant, "mv")
        wait_for(results, "the first tick", lambda now: now["area"] == "mv")
        for number, area in enumerate(("lv-1", "lv-2"), start=1):
            say(plant, f"agent-{area}", state(area, "lv"), number, retain=True)
        wait_for(results, "both states", lambda now: now["states"] == {"lv-1": 1, "lv-2": 1})
        before = agent.workers()
        document = layered_document(revision=2)
        element(document, "b-m2")["length"] = 510.0
        assert store(plant, document) == ["agent-x"]
        wait_for(results, "the new revision", lambda now: now["revision"] == 2)
        wait_for(results, "both states again", lambda now: now["states"] == {"lv-1": 1, "lv-2": 1})
        assert agent.workers() != before
        wait_until(
            lambda: (plant.reported("agent-x")["network"] or {}).get("model_revision") == 2, "the report", timeout=20
        )


def test_an_agent_that_was_away_gets_it_at_its_next_poll_and_one_that_is_not_concerned_gets_nothing(plant):
    store(plant)
    with Listener(plant.data.port, "v1/default/meters/+/results/+") as results:
        away = add(plant, "lv-1")
        other = plant.catalog.register("agent-y", configuration={"topology": {"network": NETWORK, "area": "c-1"}})
        wait_for(results, "the first tick", lambda now: now["area"] == "lv-1")
        tag = plant.catalog.poll("agent-y", other).headers["ETag"]
        away.stop()
        assert switch(plant, 1, **MOVED) == {"agent-x"}
        assert plant.catalog.poll("agent-y", other, tag).status_code == 304
        plant.grid.stop()  # nobody tells it
        results.heard.clear()
        away.start()
        wait_for(results, "the part with its new switches", lambda now: now["topology_revision"] == 1)


def test_an_agent_that_starts_without_its_catalog_goes_on_with_the_network_it_had(plant):
    store(plant)
    with Listener(plant.data.port, "v1/default/meters/agent-x/results/+") as results:
        agent: AgentProcess = add(plant, "lv-2")
        wait_for(results, "the first tick", lambda now: now["area"] == "lv-2")
        plant.wait_for_revision("agent-x", 1)
        agent.kill()
        plant.catalog.stop()
        results.heard.clear()
        agent.start()
        wait_for(results, "ticks without a catalog", lambda now: now["area"] == "lv-2")


def test_an_algorithm_waits_for_a_network_that_the_catalog_does_not_have_yet(plant):
    with Listener(plant.data.port, "v1/default/meters/agent-x/results/+") as results:
        add(plant, "lv-1", "agent-x", "area-listener", "ticker")
        wait_until(lambda: heard(results, "ticks"), "the other algorithm's ticks", timeout=20)
        reported = wait_until(
            lambda: (found := plant.reported("agent-x")) and found["problems"] and found, "the report", timeout=20
        )
        assert "waits for the network" in reported["algorithms"]["area-listener"]["last_error"]
        assert any("net-3" in problem for problem in reported["problems"])
        store(plant)
        wait_for(results, "the first tick with a network", lambda now: now["area"] == "lv-1")
        wait_until(lambda: not plant.reported("agent-x")["problems"], "the problem being gone")


def test_states_heard_on_the_broker_make_an_agent_ask_where_a_switch_of_its_own_part_stands_otherwise(plant):
    store(plant)
    with Listener(plant.data.port, "v1/default/meters/agent-x/results/+") as results:
        add(plant, "lv-1", interval=300.0)
        wait_for(results, "the first tick", lambda now: now["area"] == "lv-1")
        wait_until(lambda: (plant.reported("agent-x").get("network") or {}).get("area") == "lv-1", "the report")
        polls = plant.catalog.metric("tresma_polls_total")

        def tell(revision, **states):
            payload = json.dumps(states_of(layered_document(), revision, **states))
            topic = topics.topology("default", NETWORK)
            publish.single(topic, payload, qos=1, retain=True, hostname="127.0.0.1", port=plant.grid.port)

        tell(7, tie_m="closed", s_m3="open")  # elsewhere
        publish.single(topics.topology("default", NETWORK), "{", qos=1, hostname="127.0.0.1", port=plant.grid.port)
        say(plant, "meter-shop", frame("at-shop"))
        wait_for(results, "a frame after that", lambda now: now["frames"])
        assert plant.catalog.metric("tresma_polls_total") == polls
        tell(8, tie_l="closed", s_l2="open")
        wait_until(lambda: plant.catalog.metric("tresma_polls_total") > polls, "the catalog being asked")
        say(plant, "meter-shop", frame("at-shop"), 2)
        wait_for(results, "another frame", lambda now: now["frames"]["at-shop"] == 2)
        assert heard(results)["topology_revision"] == 0, "what a broker says is not applied"
