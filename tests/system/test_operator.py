"""The command ``tresma`` against a real catalog and real brokers: what it prints, what it refuses, how it ends."""

import asyncio
import json
import os
import select
import subprocess
import sys
import time

import pytest
import requests
import yaml
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
from device_catalog.contract.presence import Session
from device_catalog.operator.subscriber import Subscriber
from tests.support.catalog import CatalogProcess
from tests.support.frames import frame
from tests.support.fronts import Front
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

METER = """
brokers: {grid: ["mqtt://127.0.0.1:1"], data: ["mqtt://127.0.0.1:2"]}
acquisition: {driver: simulated, sample_rate: 6400}
algorithms: [{algorithm: phasors, settings: {window: 3}}]
"""


@pytest.fixture(scope="module")
def catalog():
    with CatalogProcess() as running:
        yield running


@pytest.fixture
def tresma(catalog, tmp_path):
    """Run the command as an operator of the catalog would."""
    environment = operators_environment(tmp_path, TRESMA_CATALOG=catalog.url, TRESMA_TOKEN=catalog.token)

    def run(*words, status=0, text=None, **more):
        done = subprocess.run(
            [sys.executable, "-m", "device_catalog.operator", *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment | more,
            check=False,
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert catalog.token not in done.stdout + done.stderr
        return done

    return run


def operators_environment(folder, **values):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TRESMA_")}
    return plain | {"TRESMA_OPERATOR_FILE": str(folder / "operator.yaml"), "COLUMNS": "200"} | values


def test_a_registered_device_gets_the_few_lines_it_needs(tresma, catalog):
    done = tresma("devices", "add", "op-add", "--file", "-", "terminal=T17", text=METER)
    lines = yaml.safe_load(done.stdout)
    assert set(lines) == {"device", "catalog", "credential"}
    assert (lines["device"], lines["catalog"]) == ("op-add", catalog.url)
    assert catalog.poll("op-add", lines["credential"]).json()["configuration"]["terminal"] == "T17"
    assert "shown this once" in done.stderr


def test_the_lines_can_go_into_a_file_that_only_the_operator_reads(tresma, tmp_path):
    file = tmp_path / "op-file.yaml"
    done = tresma("devices", "add", "op-file", "--output", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(file.read_text())["credential"] not in done.stdout + done.stderr
    again = tresma("devices", "add", "op-file-2", "--output", str(file), status=2)
    assert "exists already" in again.stderr
    tresma("devices", "show", "op-file-2", status=1)


def test_a_device_that_is_there_already_is_refused(tresma):
    tresma("devices", "add", "op-twice")
    done = tresma("devices", "add", "op-twice", status=1)
    assert done.stdout == ""
    assert "op-twice" in done.stderr


def test_every_problem_of_a_configuration_is_said_with_its_remedy(tresma):
    document = "poll: {interval: -1}\nacquisition: {driver: simulated, sample_rate: fast}\npol: {}\n"
    done = tresma("devices", "add", "op-bad", "--file", "-", status=1, text=document)
    for said in ("poll.interval", "acquisition.sample_rate", "did you mean poll?"):
        assert said in done.stderr
    tresma("devices", "show", "op-bad", status=1)


def test_a_change_shows_what_changes_and_only_that(tresma):
    tresma("devices", "add", "op-set", "--file", "-", text=METER)
    done = tresma("devices", "set", "op-set", "poll.interval=5", "--json", "algorithms[phasors].publish=1")
    answer = json.loads(done.stdout)
    assert answer["changes"] == ["~ algorithms[phasors].publish: 0.0 -> 1.0", "~ poll.interval: 60.0 -> 5.0"]
    assert answer["revision"] == 2
    assert "nothing changes (revision 2)" in tresma("devices", "set", "op-set", "poll.interval=5").stdout
    dry = tresma("devices", "set", "op-set", "--dry-run", "poll.interval=6")
    assert dry.stdout.splitlines() == ["~ poll.interval: 5.0 -> 6.0", "nothing was changed (--dry-run)"]
    shown = json.loads(tresma("devices", "show", "op-set", "--json").stdout)
    assert shown["desired"]["revision"] == 2
    assert shown["desired"]["configuration"]["poll"]["interval"] == 5.0


def test_a_change_that_the_catalog_refuses_leaves_things_as_they_were(tresma):
    tresma("devices", "add", "op-keep", "--file", "-", text=METER)
    done = tresma("devices", "set", "op-keep", "poll.interval=500", "acquisition.sample_rate=-1", status=1)
    assert "poll.lease" in done.stderr
    assert "acquisition.sample_rate" in done.stderr
    assert json.loads(tresma("devices", "show", "op-keep", "--json").stdout)["desired"]["revision"] == 1


def test_a_name_that_is_nearly_right_is_asked_back(tresma):
    tresma("devices", "add", "op-near-0042")
    assert "did you mean op-near-0042?" in tresma("devices", "show", "op-near-042", status=1).stderr
    assert "`tresma devices list` shows all" in tresma("devices", "show", "zebra", status=1).stderr


def test_waiting_for_a_device_that_is_away_ends_with_a_reason(tresma):
    tresma("devices", "add", "op-away")
    done = tresma("devices", "set", "op-away", "poll.interval=5", "--wait", "0.5", status=1)
    assert "has not applied revision 2 within 0.5 s" in done.stderr


def test_lists_are_filtered_and_every_page_is_read(tresma, catalog):
    for index in range(205):
        catalog.register(f"op-many-{index:03d}", kind="service", description="one \x1b[31m of many")
    devices = [json.loads(line)["device"] for line in tresma("devices", "list", "--json").stdout.splitlines()]
    many = [device for device in devices if device.startswith("op-many-")]
    assert len(many) == len(set(many)) == 205
    table = tresma("devices", "list", "--kind", "service")
    assert table.stderr.strip() == "205 devices"
    assert "op-many-204" in table.stdout
    assert "\x1b" not in table.stdout
    assert tresma("devices", "list", "--kind", "agent").stderr.strip() == "0 devices"


def test_a_device_that_reported_is_shown_with_what_is_wrong(tresma, catalog):
    credential = catalog.register("op-show")
    catalog.poll("op-show", credential)
    report = {
        "schema": "reported/1",
        "device": "op-show",
        "boot": 3,
        "applied_revision": 0,
        "refused": {"revision": 1, "problems": [{"where": "acquisition", "expected": "a board", "found": "none"}]},
        "links": {"data": {"connected": False, "last_error": "connection refused"}},
        "time": {"synchronised": False},
    }
    answer = requests.patch(
        f"{catalog.url}/v1/devices/op-show/reported",
        headers={"Authorization": f"Bearer {credential}"},
        json=report,
        timeout=10,
    )
    assert answer.ok, answer.text
    shown = tresma("devices", "show", "op-show").stdout
    for said in ("it refused revision 1: acquisition: expected a board", "connection refused", "does not follow UTC"):
        assert said in shown


def test_removing_asks_first_and_voids_the_credential(tresma, catalog):
    credential = catalog.register("op-gone")
    refused = tresma("devices", "remove", "op-gone", status=2, text="")
    assert "--yes" in refused.stderr
    assert "removed" in tresma("devices", "remove", "op-gone", "--yes").stdout
    assert catalog.poll("op-gone", credential).status_code == 401
    missing = tresma("devices", "remove", "op-gone", "--yes", status=1)
    assert "knows no op-gone" in missing.stderr


def test_a_wrong_token_and_a_wrong_address_are_told_apart(tresma):
    wrong = tresma("devices", "list", status=1, TRESMA_TOKEN="wrong-token-wrong-token")
    assert "the token is not the one" in wrong.stderr
    none = tresma("devices", "list", status=1, TRESMA_TOKEN="")
    assert "set TRESMA_TOKEN" in none.stderr
    nobody = tresma("devices", "list", status=1, TRESMA_CATALOG="http://127.0.0.1:9")
    assert "cannot be reached" in nobody.stderr
    nowhere = tresma("devices", "list", "--json", status=2, TRESMA_CATALOG="")
    assert "which catalog?" in json.loads(nowhere.stdout)["error"]


@pytest.mark.parametrize("words", [["devices"], ["watch", "--seconds", "-1"], ["devices", "set", "x", "--wait", "y"]])
def test_what_is_not_understood_ends_with_status_2(tresma, words):
    assert "usage:" in tresma(*words, status=2).stderr


@pytest.mark.parametrize(
    "words", [["--help"], *([*words, "--help"] for words in (["watch"], ["devices", "add"], ["devices", "set"]))]
)
def test_help_teaches_by_examples(tresma, words):
    shown = tresma(*words).stdout
    assert "example" in shown
    assert "Exit status: 0 done" in shown


class Speaker:
    """Publishes as a meter would, one client for both brokers of a test."""

    def __init__(self, broker):
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def say(self, topic, payload, retain=False):
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)

    def frame(self, number):
        time_ns = time.time_ns()
        payload = encode(frame(time_ns), Header("m-1", 1, 1, number, time_ns))
        self.say(topics.frames("default", "m-1"), payload)

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def broker():
    with Mosquitto() as running:
        yield running


def start_watch(broker, tmp_path, *words):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "device_catalog.operator", "watch"),
            *("--grid", broker.url, "--data", broker.url),
            *words,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=operators_environment(tmp_path),
    )


def test_watching_gives_each_frame_once_and_accounts_for_the_others(broker, tmp_path):
    watching = start_watch(broker, tmp_path, "--json", "m-1")
    speaker = Speaker(broker)
    try:
        wait_until(lambda: speaks_until_heard(speaker, watching), "a first frame heard")
        for number in (101, 102, 102, 105):
            speaker.frame(number)
        lines = []
        while not lines or lines[-1]["number"] != 105:
            lines.append(json.loads(watching.stdout.readline()))
        watching.terminate()
        _, notes = watching.communicate(timeout=10)
    finally:
        speaker.close()
        watching.kill()
        watching.communicate()
    assert [line["number"] for line in lines if line["number"] > 100] == [101, 102, 105]
    assert lines[-1]["schema"] == "frame/1"
    assert lines[-1]["time"] <= lines[-1]["arrived"]
    assert "duplicates 1" in notes
    assert watching.returncode == 0


def speaks_until_heard(speaker, watching):
    """Repeat frame 100 until it is heard: subscriptions take effect some time after a client connects."""
    speaker.frame(100)
    if select.select([watching.stdout], [], [], 0.2)[0]:
        return json.loads(watching.stdout.readline())
    return None


def test_presence_is_told_on_a_pipe_and_the_time_is_kept(broker, tmp_path):
    speaker = Speaker(broker)
    header = Header("m-1", 1, 1, 0, time.time_ns())
    speaker.say(topics.session("default", "m-1"), encode(Session("online"), header), retain=True)
    speaker.close()
    began = time.monotonic()
    watching = start_watch(broker, tmp_path, "--seconds", "1")
    told, notes = watching.communicate(timeout=20)
    assert watching.returncode == 0, notes
    assert time.monotonic() - began < 10
    assert "m-1: " in told
    assert "online" in told


def test_a_broker_that_is_not_there_is_named(tmp_path):
    watching = subprocess.run(
        [sys.executable, "-m", "device_catalog.operator", "watch", "--data", "mqtt://127.0.0.1:9", "--seconds", "1"],
        capture_output=True,
        text=True,
        timeout=20,
        env=operators_environment(tmp_path),
        check=False,
    )
    assert watching.returncode == 1
    assert "data broker was never reached" in watching.stderr


def test_a_broker_without_mqtt_5_is_listened_to_all_the_same(broker):
    async def listen():
        front = Front(broker.port)
        front.only_311 = True
        endpoint = await front.start()
        with Subscriber({"data": [endpoint]}, {"data": ["v1/#"]}) as subscriber:
            link = subscriber.links["data"]
            await asyncio.to_thread(wait_until, lambda: link.connected, "a connection")
        await front.stop()
        return front.connections

    assert asyncio.run(asyncio.wait_for(listen(), 20)) == 2, "once with 5, once with 3.1.1"


def test_the_next_broker_is_taken_where_the_first_is_away(broker):
    with Subscriber({"data": ["mqtt://127.0.0.1:9", broker.url]}, {"data": ["v1/#"]}) as subscriber:
        link = subscriber.links["data"]
        wait_until(lambda: link.connected, "a connection to the second")
        assert link.endpoint == broker.url


def test_a_broker_that_comes_back_is_listened_to_again():
    with Mosquitto() as broker, Subscriber({"data": [broker.url]}, {"data": ["v1/#"]}) as subscriber:
        link = subscriber.links["data"]
        wait_until(lambda: link.connected, "a first connection")
        broker.kill()
        wait_until(lambda: not link.connected, "the loss noticed")
        broker.start()
        wait_until(lambda: link.connected and link.connections == 2, "a second connection")
        speaker = Speaker(broker)

        def heard():
            speaker.frame(1)
            return subscriber.arrivals(timeout=0.2)

        assert wait_until(heard, "a frame heard")[0].topic == topics.frames("default", "m-1")
        speaker.close()
