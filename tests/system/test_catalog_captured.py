"""
Somebody has the whole catalog: its database, its director's key, and the online keys of the repository.

He can let meters be silent. He cannot run code on them, move them to other brokers, loosen what binds them, or operate
a switch; the people with keys still can.
"""

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime

import msgspec
import pytest
from paho.mqtt import publish

from algorithms.api.records import Command
from algorithms.api.wire import NANOSECONDS, Header, encode
from device_catalog.contract import topics
from device_catalog.contract.signatures import key_id, order_bytes
from device_catalog.packages.keys import load_commander, new_key
from tests.support.agent import Plant
from tests.support.feeder_pair import feeder_pair_document
from tests.support.listener import Listener
from tests.support.policies import Key, director_of, policy_bytes, trusting
from tests.support.trust import Dso
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NETWORK, SWITCH, DEVICE = "pair", "tie", "rtu-tie"
STATE = topics.switch_state("default", SWITCH)
SETTINGS = {"switch": SWITCH, "network": NETWORK, "state": "open", "operating_time": 0.1, "report_interval": 1.0}
PASSPHRASE = b"correct horse battery"


class Captured(Plant):
    """A catalog with everything it knows, a DSO beside it, and one meter at a switch."""

    def begin(self, folder):
        self.now = datetime.now(UTC)
        self.passphrase = folder / "passphrase"
        self.passphrase.write_bytes(PASSPHRASE)
        self.key = folder / "anna.key"
        public = new_key(self.key, PASSPHRASE).keyval["public"]
        self.director = director_of(self.catalog.state)
        self.dso = trusting(
            self,
            folder,
            commanders=[{"name": "anna", "public": public, "networks": [NETWORK]}],
            bounds=[
                {"setting": "algorithms.switch.switch", "allowed": [SWITCH], "stated": True, "devices": [DEVICE]},
                {"setting": "algorithms.switch.trips_on", "allowed": [[]]},
                {"setting": "outputs.c37_118", "allowed": [None]},
            ],
        )
        network = feeder_pair_document()
        for switch in network["switches"]:
            switch["operation"] = "remote" if switch["id"] == SWITCH else "local"
        answer = self.catalog.operator("PUT", f"/v1/networks/{NETWORK}", json=network, headers={"If-None-Match": "*"})
        assert answer.status_code == 200, answer.text
        self.document = {
            "acquisition": None,
            "algorithms": [self.switch()],
            "poll": {"interval": 0.5, "lease": 3.0},
            "topology": {"network": NETWORK},
        }
        self.add(DEVICE, **self.document)

    def switch(self, **settings):
        neighbours = [{"kind": "command", "areas": [SWITCH]}]
        return {"algorithm": "switch", "settings": {**SETTINGS, **settings}, "neighbours": neighbours}

    def trust(self):
        return self.reported(DEVICE).get("trust", {})


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    with Captured() as one:
        one.begin(tmp_path_factory.mktemp("captured"))
        yield one


@pytest.fixture(scope="module")
def grid(plant):
    with Listener(plant.grid.port) as listener:
        wait_until(lambda: newest(listener), "the switch reporting", timeout=60)
        yield listener


def newest(listener):
    found = [message.fields for message in listener.heard if message.topic == STATE]
    return found[-1]["payload"] if found else {}


def order(number, life=20.0):
    now = time.time_ns()
    arguments = {"network": NETWORK, "token": now, "sequence": 1}
    return Command(f"evil-{number}", SWITCH, "close", now, now + round(life * NANOSECONDS), arguments)


def send(plant, command, number):
    payload = encode(command, Header("intruder", 1, 1, number, time.time_ns()))
    publish.single(topics.switch_command("default", SWITCH), payload, qos=1, hostname="127.0.0.1", port=plant.grid.port)


def serve_forged_policy(plant):
    """Serve a policy of the catalog's own, with targets that other keys signed, under the true online keys."""
    folder = plant.catalog.state / "trust"
    forger = Dso(plant.dso.folder.parent / "forged", plant.now)
    for revision in (1, 2):
        policy = policy_bytes(revision=revision, directors=[{"name": "mallory", "public": Key(66).public}])
        forger.at(plant.now).set_policy(policy)
        forger.confirm(plant.now)
    shutil.copy(forger.folder / "metadata" / "3.targets.json", folder / "metadata")
    for path in (forger.folder / "targets" / "policy").iterdir():
        shutil.copy(path, folder / "targets" / "policy")
    plant.dso.folder = folder
    (folder / "pending").mkdir(exist_ok=True)
    plant.dso.at(plant.now).publish([plant.dso.keys["online"]])


def by_director(plant, command):
    """Sign an order by the best key a captured catalog has."""
    named = msgspec.structs.replace(command, key_id=key_id(plant.director.public_key().public_bytes_raw().hex()))
    return msgspec.structs.replace(named, signature=plant.director.sign(order_bytes(named)).hex())


def operate(plant, *words):
    environment = {
        **os.environ,
        "TRESMA_CATALOG": plant.catalog.url,
        "TRESMA_TOKEN_FILE": str(plant.catalog.state / "operator.token"),
    }
    command = [sys.executable, "-m", "device_catalog.operator", "network", "operate", NETWORK, *words, "--yes"]
    command += ["--grid", plant.grid.url, "--tenant", "default"]  # the catalog would name another broker
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_the_meter_says_whom_it_believes(plant, grid):
    wait_until(lambda: plant.trust().get("state") == "policy", "the policy being told", timeout=20)
    assert plant.trust()["policy"] == 1
    assert newest(grid)["state"] == "open"


def test_the_catalog_moves_no_meter_to_other_brokers_and_loosens_no_bound(plant, grid):
    serve_forged_policy(plant)
    leak = {"c37_118": {"address": "127.0.0.1", "udp_to": ["127.0.0.2:4713"], "algorithm": "switch"}}
    revision = plant.configure(
        DEVICE,
        brokers={"grid": ["mqtt://127.0.0.2:1883"], "data": ["mqtt://elsewhere.example"]},
        algorithms=[plant.switch(switch="s-9", trips_on=["anything"])],
        outputs=leak,
    )
    reported = plant.wait_for_revision(DEVICE, revision)
    assert reported["applied_revision"] < revision
    assert [problem["where"] for problem in reported["refused"]["problems"]] == [
        "brokers.grid[0]",
        "brokers.data[0]",
        "algorithms[0].settings.switch",
        "algorithms[0].settings.trips_on",
        "outputs.c37_118",
    ]
    wait_until(lambda: "signed by enough" in plant.trust()["last_error"], "the forged policy told", timeout=30)
    assert plant.trust()["policy"] == 1
    command = [sys.executable, "-m", "agent", "check", "--config", str(plant.agents[0].config), "--seconds", "0.1"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "a broker that the policy allows" in checked.stdout  # nor does it show others the installer's credentials
    links = plant.reported(DEVICE)["links"]
    assert links["grid"]["endpoint"] == plant.grid.url
    assert newest(grid)["state"] == "open"


def test_the_catalog_and_whoever_listens_operate_no_switch_and_the_people_with_keys_do(plant, grid):
    before = plant.trust().get("refused_orders", 0)
    send(plant, order(1), 1)
    send(plant, by_director(plant, order(2)), 2)
    forged = msgspec.structs.replace(by_director(plant, order(3)), key_id=Key(9).id)
    send(plant, forged, 3)
    agent = plant.agents[0]
    wait_until(lambda: agent.said().count("is not obeyed") >= 3, "three orders being refused", timeout=20)
    assert newest(grid)["state"] == "open"
    by_hand = operate(plant, f"{SWITCH}=closed", "--key", str(plant.key), "--passphrase-file", str(plant.passphrase))
    assert by_hand.returncode == 0, by_hand.stderr
    wait_until(lambda: newest(grid)["state"] == "closed", "the switch closing", timeout=10)
    heard = [message for message in grid.heard if message.topic.endswith("/command")][-1].payload
    publish.single(topics.switch_command("default", SWITCH), heard, qos=1, hostname="127.0.0.1", port=plant.grid.port)
    own = load_commander(plant.key, PASSPHRASE)(order(4))
    send(plant, msgspec.structs.replace(own, verb="open"), 4)
    wait_until(lambda: agent.said().count("is not obeyed") >= 4, "the changed order being refused", timeout=20)
    assert newest(grid)["state"] == "closed"
    told = wait_until(
        lambda: (found := plant.trust()).get("refused_orders", 0) > before and found, "the refusals told", timeout=20
    )
    assert "expected" in told["last_refusal"]


def test_a_catalog_with_another_key_decides_nothing(plant, grid):
    before = newest(grid)["state"]
    plant.catalog.stop()
    (plant.catalog.state / "director.key").unlink()
    plant.catalog.start()
    revision = plant.configure(DEVICE, **plant.document)
    reported = plant.wait_for_revision(DEVICE, revision)
    assert [problem["where"] for problem in reported["refused"]["problems"]] == ["signature"]
    assert reported["links"]["grid"]["endpoint"] == plant.grid.url
    assert newest(grid)["state"] == before
