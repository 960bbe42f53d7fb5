"""What is said of faults is heard once it can be kept, whatever broker and database do meanwhile."""

import asyncio

import pytest
from paho.mqtt import publish

from device_catalog.contract import topics
from device_catalog.grid.fault_listener import FaultListener
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

TOPIC = topics.faults("default", "net-1")


def say(broker, text):
    publish.single(TOPIC, text, qos=1, hostname="127.0.0.1", port=broker.port)


def test_a_fault_that_could_not_be_kept_comes_again_and_listening_survives_the_broker():
    heard, refusals = [], ["the disk is full"]

    async def keep(topic, payload):
        if refusals:
            raise RuntimeError(refusals.pop())
        heard.append((topic, payload))

    async def use(broker):
        loop = asyncio.get_running_loop()
        listener = FaultListener([broker.url], "default", keep)
        listener.start()
        try:
            await loop.run_in_executor(None, tell, broker)
        finally:
            await loop.run_in_executor(None, listener.stop)

    def tell(broker):
        def until_heard(text):
            """Say it until it is heard: nobody can tell when the listener has subscribed for the first time."""
            say(broker, text)
            return (TOPIC, text.encode()) in heard

        wait_until(lambda: until_heard("one"), "the first fault", timeout=20, interval=0.3)
        broker.stop()
        broker.start()
        say(broker, "two")
        wait_until(lambda: (TOPIC, b"two") in heard, "what was said before the listener came back", timeout=20)

    with Mosquitto(persistent=True) as broker:
        asyncio.run(use(broker))
    assert not refusals
