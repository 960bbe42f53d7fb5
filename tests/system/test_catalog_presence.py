"""What the catalog says on a real grid broker: who came, who went, and of itself."""

import json
import threading
import time
from collections import defaultdict
from typing import Any, Self

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.catalog import CatalogProcess
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


class Ear:
    """Everything said below v1/, by topic, with the moment it was heard."""

    def __init__(self, port: int) -> None:
        self.said: dict[str, list[tuple[float, Any]]] = defaultdict(list)
        ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("v1/#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Client, _data: Any, message: Any) -> None:
        self.said[message.topic].append((time.monotonic(), json.loads(message.payload)))

    def last(self, topic: str) -> Any:
        words = self.said.get(topic)
        return words[-1][1] if words else {}

    def available(self, device: str) -> bool | None:
        return self.last(f"v1/default/meters/{device}/availability").get("available")

    def catalog(self) -> str | None:
        return self.last("v1/default/catalog").get("state")


class Polls:
    """Polls devices every 0.3 s until told to stop."""

    def __init__(self, catalog: CatalogProcess, credentials: dict[str, str]) -> None:
        self._catalog = catalog
        self._credentials = credentials
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.last = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.3):
            for device, credential in self._credentials.items():
                moment = time.monotonic()
                self._catalog.poll(device, credential)
                self.last = moment


def test_a_device_that_comes_goes_and_returns_is_told_retained_within_its_lease_and_a_second():
    with Mosquitto() as broker, CatalogProcess(grid_brokers=[broker.url]) as catalog, Ear(broker.port) as ear:
        credential = catalog.register("m-1", interval=0.5, lease=1.5)
        with Polls(catalog, {"m-1": credential}) as polls:
            wait_until(lambda: ear.available("m-1"), "m-1 told as available")
        wait_until(lambda: ear.available("m-1") is False, "m-1 told as gone", timeout=5)
        heard, word = ear.said["v1/default/meters/m-1/availability"][-1]
        assert 0 <= heard - polls.last - 1.5 <= 1
        assert (word["schema"], word["reason"]) == ("availability/1", "lease-expired")
        assert word["last_seen"] < word["time"]
        with Ear(broker.port) as late:
            wait_until(lambda: late.available("m-1") is False, "the retained word heard by a newcomer")
        catalog.poll("m-1", credential)
        wait_until(lambda: ear.available("m-1"), "m-1 told as back")
        catalog.operator("DELETE", "/v1/devices/m-1")
        wait_until(lambda: ear.last("v1/default/meters/m-1/availability").get("reason") == "removed", "removal told")


def test_a_change_of_configuration_is_told_to_the_device():
    with Mosquitto() as broker, CatalogProcess(grid_brokers=[broker.url]) as catalog, Ear(broker.port) as ear:
        catalog.register("m-1")
        catalog.operator("PUT", "/v1/devices/m-1/configuration", headers={"If-Match": "*"}, json={})
        wait_until(lambda: ear.last("v1/default/devices/m-1/notify").get("revision") == 2, "the notice")


def test_the_catalog_says_of_itself_whether_it_is_there():
    with Mosquitto() as broker, Ear(broker.port) as ear:
        with CatalogProcess(grid_brokers=[broker.url]) as catalog:
            wait_until(lambda: ear.catalog() in ("waiting", "watching"), "the birth")
            catalog.kill()
            wait_until(lambda: ear.catalog() == "offline", "the last will")
            catalog.start()
            wait_until(lambda: ear.catalog() in ("waiting", "watching"), "the second birth")
        wait_until(lambda: ear.catalog() == "offline", "the good-bye")


def test_a_broker_that_was_away_or_forgot_is_told_how_things_are():
    with Mosquitto() as broker, CatalogProcess(grid_brokers=[broker.url]) as catalog:
        credentials = {name: catalog.register(name, interval=0.5, lease=1.5) for name in ("m-1", "m-2")}
        with Ear(broker.port) as ear:
            for name, credential in credentials.items():
                catalog.poll(name, credential)
            wait_until(lambda: ear.available("m-1") and ear.available("m-2"), "both told")
        with Polls(catalog, {"m-1": credentials["m-1"]}):
            broker.kill()
            wait_until(lambda: catalog.metric('tresma_devices{state="unavailable"}') == 1, "m-2 missed")
            assert catalog.metric("tresma_grid_broker_connected") == 0
            assert catalog.metric("tresma_words_waiting") >= 1
            broker.start()
            with Ear(broker.port) as ear:
                wait_until(lambda: ear.available("m-2") is False, "what changed meanwhile", timeout=20)
                wait_until(lambda: ear.available("m-1") is True, "what the broker forgot")
                wait_until(lambda: catalog.metric("tresma_words_waiting") == 0, "every word acknowledged")
                assert catalog.metric("tresma_grid_broker_connected") == 1


def test_the_second_broker_is_used_where_the_first_is_not_there():
    with Mosquitto() as broker, Ear(broker.port) as ear:
        absent = f"mqtt://127.0.0.1:{free_port()}"
        with CatalogProcess(grid_brokers=[absent, broker.url]) as catalog:
            catalog.poll("m-1", catalog.register("m-1"))
            wait_until(lambda: ear.available("m-1"), "m-1 told through the second broker")


def test_a_fleet_that_was_there_is_not_declared_gone_after_a_restart_of_the_catalog():
    options = ["--suspicious-minimum=5"]
    with Mosquitto() as broker, CatalogProcess(grid_brokers=[broker.url], options=options) as catalog:
        credentials = {f"m-{number}": catalog.register(f"m-{number}", interval=0.5, lease=1.5) for number in range(20)}
        for name, credential in credentials.items():
            catalog.poll(name, credential)
        with Ear(broker.port) as ear:
            wait_until(lambda: all(ear.available(name) for name in credentials), "all told")
            catalog.stop()
            catalog.start()
            wait_until(lambda: ear.catalog() == "waiting", "the catalog says that it waits")
            # The time of two leases passes by the catalog's own clock, and nobody polls.
            began = time.monotonic()
            wait_until(lambda: time.monotonic() - began > 3.2, "two leases over", timeout=5)
            assert all(ear.available(name) for name in credentials)
            assert catalog.metric("tresma_waiting") == 1
            with Polls(catalog, {name: credentials[name] for name in list(credentials)[:18]}):
                wait_until(lambda: ear.available("m-19") is False, "the two that stay away", timeout=10)
                assert ear.available("m-0") is True
