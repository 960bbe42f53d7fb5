"""
RabbitMQ, which speaks MQTT 3.1.1 and can be a cluster, as grid and data broker of a whole plant.

Heavier than Mosquitto by far, so not part of the ordinary suite: ``make test-brokers``.
"""

import itertools
import signal
import time

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from tests.support.agent import AgentProcess, configuration
from tests.support.catalog import CatalogProcess
from tests.support.history import SECOND, HistoryProcess, Speaker
from tests.support.history import frames as frames_of
from tests.support.listener import Listener
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def broker():
    with RabbitMQ() as one:
        yield one


@pytest.fixture(scope="module")
def numbers():
    """Each test has a meter of its own: a broker remembers whom it let in."""
    return itertools.count(1)


@pytest.fixture
def meter(broker, numbers):
    """A meter whose catalog and brokers know no MQTT but 3.1.1, and somebody who listens to its frames."""
    with CatalogProcess(grid_brokers=[broker.url]) as catalog:
        device = f"m-{next(numbers)}"
        credential = catalog.register(device, configuration=configuration(broker.url, broker.url))
        broker.admit(device, credential)
        with (
            Listener(broker.port, f"v1/default/meters/{device}/frames", protocol=4) as frames,
            AgentProcess(device, catalog.url, credential) as agent,
        ):
            wait_until(lambda: len(frames.heard) > 100, "frames", timeout=60)
            yield agent, frames


def retained(broker, topic):
    """What a topic holds for whoever asks for it by name: RabbitMQ hands nothing out for wildcards."""
    with Listener(broker.port, topic, protocol=4) as listener:
        wait_until(lambda: listener.heard, f"what is retained on {topic}")
        return listener.heard[0].fields


def test_frames_arrive_in_order_and_presence_is_retained_by_name(broker, meter):
    agent, frames = meter
    heard = [number for _, number in frames.keys]
    assert heard == list(range(heard[0], heard[0] + len(heard)))
    session = f"v1/default/meters/{agent.device}/session"
    assert retained(broker, session)["state"] == "online"
    assert retained(broker, f"v1/default/meters/{agent.device}/availability")["available"] is True
    agent.kill()
    wait_until(lambda: retained(broker, session)["state"] != "online", "the last will", timeout=60)


def test_the_history_keeps_what_is_said_also_while_it_is_away(broker):
    start, old = time.time_ns() - 900 * SECOND, MQTTProtocolVersion.MQTTv311
    with HistoryProcess(broker.url) as history, Speaker(broker.port, "m-history", protocol=old) as meter:
        messages = list(meter.messages(frames_of(start, 800)))
        before = history.count("kept")
        meter.repeat(messages[:500])
        wait_until(lambda: history.count("kept") >= before + 500, "the first being kept", timeout=60)
        history.end(signal.SIGTERM)
        meter.repeat(messages[500:])
        history.start()
        wait_until(lambda: len(kept(history)) == 800, "what was said meanwhile", timeout=60)
        assert [one.number for one in kept(history)] == list(range(1, 801))


def kept(history):
    (number,) = history.store.series_of("m-history")
    return history.store.rows(number, 0, 0, 2**62, 10_000)


def test_a_broker_that_was_away_gets_what_was_measured_meanwhile(broker, meter):
    _, frames = meter
    before = len(frames.heard)
    broker.stop()
    begin = time.monotonic()
    broker.start()
    wait_until(lambda: len(frames.heard) > before + 50 * (time.monotonic() - begin), "what was missed", timeout=120)
    heard = sorted({number for _, number in frames.keys})
    assert heard == list(range(heard[0], heard[-1] + 1))
