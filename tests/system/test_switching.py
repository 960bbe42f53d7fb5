"""
A fault told on the grid broker; reconfigurator and switches are agents of their own; the catalog gives the lease.

The DSO's policy is in force: every order bears the signature of the reconfigurator's agent or of a person.
"""

import os
import subprocess
import sys
import time

import pytest
from paho.mqtt import publish

from agent.trust.signing import make_command_key
from algorithms.api.grid_records import GridState
from algorithms.api.records import Command, Event, Severity
from algorithms.api.wire import NANOSECONDS, Header, encode
from device_catalog.contract import topics
from device_catalog.contract.signatures import key_id
from device_catalog.packages.keys import load_commander, new_key
from tests.support.agent import Plant
from tests.support.feeder_pair import feeder_pair_document
from tests.support.listener import Listener
from tests.support.networks import element
from tests.support.policies import trusting
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NETWORK, PASSPHRASE = "pair", b"correct horse battery"
SWITCHES = {"breaker-p": "closed", "p1-far": "closed", "tie": "open"}


def document():
    """The two feeders, in which only three switches can be operated from afar."""
    made = feeder_pair_document()
    for switch in made["switches"]:
        if switch["id"] not in SWITCHES:
            switch["operation"] = "local"
    element(made, "p-line1")["length"] = 6000.0
    element(made, "tie")["operating_time"] = 1.0  # long enough to be killed in it
    return made


def say(plant, record, device="m-ph", number=1):
    broker, topic, _ = topics.route(record, "default", device)
    payload = encode(record, Header(device, 1, 1, number, time.time_ns()))
    publish.single(topic, payload, qos=1, hostname="127.0.0.1", port=getattr(plant, broker).port)


def add_switch(plant, name):
    protection = {"trips_on": ["fault-located"]} if name == "breaker-p" else {}
    settings = {
        "switch": name,
        "network": NETWORK,
        "state": SWITCHES[name],
        "operating_time": 1.0 if name == "tie" else 0.1,
        "report_interval": 2.0,
        **protection,
    }
    neighbours = [{"kind": "command", "areas": [name]}]
    if protection:
        neighbours.append({"kind": "event", "areas": [NETWORK]})
    plant.add(
        f"rtu-{name}",
        acquisition=None,
        algorithms=[{"algorithm": "switch", "settings": settings, "neighbours": neighbours}],
        topology={"network": NETWORK},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("keys")
    (made / "passphrase").write_bytes(PASSPHRASE)
    return made


@pytest.fixture(scope="module")
def plant(folder):
    with Plant() as one:
        own = make_command_key(folder / "control-1").public
        public = new_key(folder / "anna.key", PASSPHRASE).keyval["public"]
        commanders = {"control-1": own, "anna": public}
        trusting(
            one,
            folder,
            commanders=[{"name": name, "public": key, "networks": [NETWORK]} for name, key in commanders.items()],
        )
        answer = one.catalog.operator("PUT", f"/v1/networks/{NETWORK}", json=document(), headers={"If-None-Match": "*"})
        assert answer.status_code == 200, answer.text
        for name in SWITCHES:
            add_switch(one, name)
        one.add(
            "control-1",
            state=folder / "control-1",
            acquisition=None,
            algorithms=[
                {
                    "algorithm": "reconfiguration",
                    "settings": {
                        "closed_loop": True,
                        "proof": "breaker",
                        "response": 3.0,
                        "hearing": 0.0,
                        "hold": 0.0,
                        "interval": 0.0,
                    },
                    "neighbours": [
                        {"kind": "grid-state", "areas": ["mv"]},
                        {"kind": "result", "areas": list(SWITCHES)},
                        {"kind": "event", "areas": [NETWORK]},
                    ],
                }
            ],
            topology={"network": NETWORK},
        )
        yield one


def operate(plant, folder, *wishes):
    """Give orders as a person at a terminal."""
    environment = {
        **os.environ,
        "TRESMA_CATALOG": plant.catalog.url,
        "TRESMA_TOKEN_FILE": str(plant.catalog.state / "operator.token"),
    }
    return subprocess.run(
        [
            *(sys.executable, "-m", "device_catalog.operator", "network", "operate", NETWORK, *wishes, "--yes"),
            *("--key", str(folder / "anna.key"), "--passphrase-file", str(folder / "passphrase")),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )


def newest(listener, topic):
    found = [message.fields for message in listener.heard if message.topic == topic]
    return found[-1]["payload"] if found else {}


def state(plant):
    """Say that everybody draws what is expected: with so long a line at its head, p is better fed from q."""
    revision = plant.catalog.operator("GET", f"/v1/networks/{NETWORK}/topology").json()["revision"]
    return GridState("mv", "mv", time.time_ns(), 1, revision, ())


def orders(grid, name):
    topic = topics.switch_command("default", name)
    found = {message.fields["id"]: message.fields for message in grid.heard if message.topic == topic}  # once or twice
    return [(one["verb"], one["arguments"]["purpose"]) for one in found.values() if one["verb"] != "claim"]


def test_a_loop_whose_maker_is_killed_before_it_could_open_it_is_opened_when_that_is_back(plant):
    with Listener(plant.grid.port) as grid:
        where = {name: topics.switch_state("default", name) for name in SWITCHES}
        wait_until(lambda: all(newest(grid, topic) for topic in where.values()), "all switches reporting", timeout=60)
        control = plant.agents[-1]

        def ordered():
            say(plant, state(plant), "mv-1")
            return orders(grid, "tie")

        wait_until(ordered, "the order to close the tie", timeout=60, interval=0.3)
        control.kill()
        wait_until(lambda: newest(grid, where["tie"])["state"] == "closed", "the tie being closed", timeout=20)
        assert orders(grid, "tie") == [("close", "losses")]
        assert orders(grid, "breaker-p") == orders(grid, "p1-far") == []
        control.start()
        wait_until(lambda: newest(grid, where["tie"])["state"] == "open", "the tie being open again", timeout=60)
        assert orders(grid, "tie") == [("close", "losses"), ("open", "losses")]
        assert orders(grid, "breaker-p") == orders(grid, "p1-far") == []
        wait_until(
            lambda: plant.catalog.operator("GET", f"/v1/networks/{NETWORK}/lease").status_code == 404,
            "the lease being given back",
            timeout=10,
        )


def test_a_located_fault_is_enclosed_and_service_restored_by_agents_that_only_meet_on_the_broker(plant, folder):
    with Listener(plant.grid.port) as grid:
        where = {name: topics.switch_state("default", name) for name in SWITCHES}
        wait_until(lambda: all(newest(grid, topic) for topic in where.values()), "all switches reporting", timeout=60)
        control = plant.agents[-1]
        wait_until(
            lambda: (
                "reconfiguration" in str(plant.catalog.operator("GET", "/v1/devices/control-1").json())
                and "running" in str(plant.catalog.operator("GET", "/v1/devices/control-1").json()["reported"])
            ),
            "the reconfigurator running",
            timeout=60,
        )
        wait_until(lambda: newest(grid, where["tie"])["state"] == "open", "the tie's report", timeout=10)
        time_ns = time.time_ns()
        evidence = {"network": NETWORK, "branch": "p-line1", "alternatives": [], "trusted": True}
        say(plant, Event("fault-located", "t-ph", time_ns, None, Severity.CRITICAL, ("A",), evidence))
        told = topics.faults("default", NETWORK)
        wait_until(
            lambda: any(m.topic == told and m.fields["kind"] == "restoration" for m in grid.heard),
            "the outcome being told",
            timeout=60,
        )
        outcome = next(m.fields for m in grid.heard if m.topic == told and m.fields["kind"] == "restoration")[
            "evidence"
        ]
        assert outcome["outcome"] == "restored", (outcome, control.said())
        assert newest(grid, where["breaker-p"])["state"] == "open"
        assert newest(grid, where["breaker-p"])["tag"]
        assert newest(grid, where["p1-far"])["state"] == "open"
        assert newest(grid, where["tie"])["state"] == "closed"
        commands = [m for m in grid.heard if m.topic.endswith("/command")]
        assert not any(message.retained for message in commands)
        assert {message.fields["key_id"] for message in commands} == {
            key_id(make_command_key(folder / "control-1").public)
        }
        wait_until(
            lambda: plant.catalog.operator("GET", f"/v1/networks/{NETWORK}/lease").status_code == 404,
            "the lease being given back",
            timeout=10,
        )
        states = plant.catalog.operator("GET", f"/v1/networks/{NETWORK}/topology").json()["states"]
        assert {name: states[name] for name in SWITCHES} == {"breaker-p": "open", "p1-far": "open", "tie": "closed"}
        token = commands[0].fields["arguments"]["token"]
        stale = Command(
            "late-1",
            "tie",
            "open",
            time.time_ns(),
            time.time_ns() + 5 * NANOSECONDS,
            {"network": NETWORK, "token": token - 1, "sequence": 1},
        )
        say(plant, load_commander(folder / "anna.key", PASSPHRASE)(stale), "intruder", 1)
        wait_until(lambda: newest(grid, where["tie"])["outcome"] == "refused", "the refusal being told", timeout=10)
        assert newest(grid, where["tie"])["state"] == "closed"
        assert "is in force" in newest(grid, where["tie"])["reason"]
        expired = Command("late-2", "tie", "open", 0, NANOSECONDS, {"network": NETWORK, "token": 99, "sequence": 1})
        say(plant, expired, "intruder", 2)
        person = operate(plant, folder, "tie=open", "p1-far=unlocked", "p1-far=closed")
        assert person.returncode == 0, person.stderr
        assert [line for line in person.stdout.splitlines() if "p1-far" in line][-1] == "p1-far: closed"
        assert newest(grid, where["tie"])["state"] == "open"
        states = plant.catalog.operator("GET", f"/v1/networks/{NETWORK}/topology").json()["states"]
        assert {name: states[name] for name in SWITCHES} == {"breaker-p": "open", "p1-far": "closed", "tie": "open"}
        refused = operate(plant, folder, "breaker-p=closed", "tie=closed")
        assert refused.returncode == 1
        assert "locked open under" in refused.stderr
        assert newest(grid, where["tie"])["state"] == "open"  # nothing more was ordered
        assert plant.catalog.operator("GET", f"/v1/networks/{NETWORK}/lease").status_code == 404
        rtu = next(agent for agent in plant.agents if agent.device == "rtu-tie")
        wait_until(lambda: "expired" in rtu.said(), "the stale order being told", timeout=10)
        assert newest(grid, where["tie"])["state"] == "open"
