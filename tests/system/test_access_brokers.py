"""At brokers with TLS, a device says and hears what is its own, and nothing once it is locked out."""

import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.support.agent import configuration
from tests.support.enrolment import catalog_command, identity, invite
from tests.support.layered_network import layered_document
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port
from tests.support.secure_brokers import Peer, SecureBrokers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[2] / "packaging" / "mosquitto"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with SecureBrokers(tmp_path_factory.mktemp("world")) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("identities")


def registered(world, device, folder, **fields):
    """Register and enrol a device; return its identity once the brokers know it."""
    world.catalog.register(device, **fields)
    made = identity(world.catalog, device, folder)
    wait_until(lambda: f"user {device}\n" in world.acl("grid") + world.acl("data"), f"{device} being in the lists")
    return made


def let_in(world, address, certificate):
    """Tell whether a broker takes a connection."""

    def tried():
        try:
            with Peer(world.catalog, address, certificate) as peer:
                return peer.connected
        except (ssl.SSLError, ConnectionError):
            return False

    # In a thread of its own: a refusal stays among its thread's errors of OpenSSL, and Python 3.13 takes it for one of
    # the thread's next connection, such as that to the catalog.
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(tried).result(timeout=60)


def accepted(peer, topic):
    """Publish until the broker has read the newest lists."""
    wait_until(lambda: peer.say(topic), f"the broker taking {topic}")


def test_a_meter_speaks_for_itself_and_neither_for_another_nor_to_switches(world, folder):
    ours = registered(world, "m-1", folder)
    registered(world, "m-2", folder)
    with Peer(world.catalog, world.data, ours) as peer:
        accepted(peer, "v1/default/meters/m-1/frames")
        for topic in ("v1/default/meters/m-2/frames", "v1/other/meters/m-1/frames", "v1/default/states/lv/a-1"):
            assert not peer.say(topic), topic
    with Peer(world.catalog, world.grid, ours) as peer:
        accepted(peer, "v1/default/meters/m-1/session")
        for topic in (
            "v1/default/meters/m-2/session",
            "v1/default/meters/m-1/availability",
            "v1/default/switches/s-1/command",
            "v1/default/switches/s-1/state",
            "v1/default/devices/m-2/notify",
            "v1/default/topology/net",
            "v1/default/replies/m-2",
            "v1/default/catalog",
        ):
            assert not peer.say(topic), topic


def test_a_meter_hears_its_neighbours_and_nobody_else(world, folder):
    wish = {"kind": "frame", "devices": ["m-near"]}
    configured = {"algorithms": [{"algorithm": "phasors", "neighbours": [wish]}]}
    near, far = (registered(world, name, folder) for name in ("m-near", "m-far"))
    listener = registered(world, "m-listener", folder, configuration=configured)
    with (
        Peer(world.catalog, world.data, listener) as ear,
        Peer(world.catalog, world.data, near) as one,
        Peer(world.catalog, world.data, far) as other,
    ):
        ear.listen("v1/default/meters/+/frames")
        accepted(one, "v1/default/meters/m-near/frames")
        accepted(other, "v1/default/meters/m-far/frames")
        one.say("v1/default/meters/m-near/frames", b"last")
        wait_until(lambda: any(payload == b"last" for _, payload in ear.heard), "the neighbour being heard")
        assert {topic for topic, _ in ear.heard} == {"v1/default/meters/m-near/frames"}


def test_only_an_agent_that_reconfigures_a_network_orders_its_switches(world, folder):

    network = layered_document()
    for switch in network["switches"]:
        switch["operation"] = "remote"
    stored = world.catalog.operator("PUT", "/v1/networks/net-3", json=network, headers={"If-None-Match": "*"})
    assert stored.status_code == 200, stored.text
    switch = network["switches"][0]["id"]
    placed = {"algorithms": [{"algorithm": "reconfiguration"}], "topology": {"network": "net-3"}}
    head = registered(world, "head", folder, configuration=placed)
    at_switch = {"algorithms": [{"algorithm": "switch", "settings": {"switch": switch}}]}
    box = registered(world, "box", folder, configuration=at_switch)
    order, state = f"v1/default/switches/{switch}/command", f"v1/default/switches/{switch}/state"
    with Peer(world.catalog, world.grid, head) as head_peer, Peer(world.catalog, world.grid, box) as box_peer:
        accepted(box_peer, state)
        box_peer.listen(order)
        wait_until(lambda: head_peer.say(order, b"open") and box_peer.heard, "the order reaching the switch")
        assert not box_peer.say(order)
        assert not head_peer.say(state)
        assert not head_peer.say("v1/default/switches/elsewhere/command")


def test_a_device_that_is_locked_out_says_and_hears_nothing_more(world, folder):
    ours = registered(world, "m-gone", folder)
    with Peer(world.catalog, world.data, ours) as peer:
        accepted(peer, "v1/default/meters/m-gone/frames")
        assert world.catalog.operator("POST", "/v1/devices/m-gone/revocation", json={}).status_code == 200
        wait_until(
            lambda: not peer.connected or not peer.say("v1/default/meters/m-gone/frames"), "its words being refused"
        )
    assert not let_in(world, world.data, ours), "its certificate is on the list of what is void"


def test_no_device_takes_over_the_session_of_another_at_a_broker_of_our_recipe(world, folder):
    ours, theirs = registered(world, "m-9", folder), registered(world, "evil", folder)
    outer, inner = free_port(), free_port()
    recipe = (RECIPES / "data.conf").read_text().replace("listener 8884\n", f"listener {outer}\n")
    recipe = recipe.replace("listener 8894 ", f"listener {inner} ")
    for name in ("anchors", "data", "revocations"):
        found = next(path for path in (world.keys(name), world.files / f"{name}.pem") if path.exists())
        recipe = recipe.replace(f"/etc/mosquitto/tresma/{name}.pem", str(found))
    recipe = recipe.replace("/etc/mosquitto/tresma", str(world.files)).replace("/var/lib/mosquitto/data/", f"{folder}/")
    recipe = recipe.replace("/run/mosquitto", str(folder))
    with Mosquitto(options=recipe.splitlines()):
        address = f"mqtts://127.0.0.1:{outer}"
        with Peer(world.catalog, address, ours, "m-9-data") as peer:
            peer.listen("v1/default/meters/m-9/#")
            with Peer(world.catalog, address, theirs, "m-9-data") as thief, Peer(world.catalog, address, theirs, "m-9"):
                wait_until(lambda: thief.ended, "one name having one connection")
            assert peer.say("v1/default/meters/m-9/frames")
            assert not peer.ended
            wait_until(lambda: peer.heard, "what the device listens to")
            heard = len(peer.heard)
            with pytest.raises(AssertionError):  # nothing endless is kept or handed on
                peer.say("v1/default/meters/m-9/frames", b"z" * 3_000_000, patience=1.0)
            assert len(peer.heard) == heard
        inside = f"mqtts://127.0.0.1:{inner}"
        with Peer(world.catalog, inside, ours, "one") as one, Peer(world.catalog, inside, ours, "two") as two:
            assert one.say("v1/default/meters/m-9/frames")
            assert two.connected


def test_without_a_certificate_nobody_gets_in(world):
    assert not let_in(world, world.data, None)
    assert not let_in(world, world.grid, None)


def test_the_catalog_tells_the_grid_broker_with_a_certificate_of_its_own(world, folder):
    program = folder / "reader.pem"
    catalog_command(world.catalog, "authority", "client", "reader", f"--output={program}")
    world.catalog.register("m-news")
    wait_until(lambda: "user reader.client" in world.acl("grid"), "the reader being in the lists")
    heard: list[bytes] = []

    def told() -> bool:
        with Peer(world.catalog, world.grid, program) as peer:
            peer.listen("v1/default/catalog")
            assert not peer.say("v1/default/commands/m-1")
            heard.extend(payload for _, payload in peer.heard)
        return any(b"wat" in payload or b"wait" in payload for payload in heard)

    wait_until(told, "the catalog's word on itself")


def test_a_whole_agent_enrols_by_one_command_and_measures_over_tls(world, folder):
    world.catalog.register("m-agent", configuration=configuration(world.grid, world.data))
    token = invite(world.catalog, "m-agent").text()
    state, config = folder / "state", folder / "agent.yaml"
    words = ["enrol", f"--catalog={world.catalog.url}", "--token-file=-", f"--state-dir={state}", f"--config={config}"]
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "agent", *words]
    done = subprocess.run(command, input=token, text=True, capture_output=True, timeout=60, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    assert "enrolled as m-agent" in done.stdout
    assert token not in done.stdout + done.stderr
    assert set(yaml.safe_load(config.read_text())) == {"device", "catalog", "state_dir"}
    assert (state / "identity" / "identity.pem").stat().st_mode & 0o777 == 0o600
    with (folder / "log").open("wb") as log:
        agent = subprocess.Popen(
            [sys.executable, "-m", "agent", "run", f"--config={config}"], stdout=log, stderr=log, cwd=root
        )
    try:
        detail = "/v1/devices/m-agent"

        def runs() -> bool:
            reported = world.catalog.operator("GET", detail).json()["reported"]
            return reported is not None and all(
                reported["links"].get(name, {}).get("connected") for name in ("grid", "data")
            )

        wait_until(runs, "the agent being connected to both brokers", timeout=40)
        assert world.catalog.operator("GET", detail).json()["summary"]["available"] is True
    finally:
        agent.terminate()
        agent.wait(20)
