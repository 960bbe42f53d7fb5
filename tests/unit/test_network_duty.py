"""Switch states are heard only while an algorithm needs the network; only its own part makes an agent ask."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from agent.network_duty import NetworkDuty
from tests.support.layered_network import layered_document, states_of

TOPIC = "v1/default/topology/net-3"


class Inbox:
    """Remembers who listens to what."""

    def __init__(self):
        self.listeners = {}

    def listen(self, broker, topic, callback):
        self.listeners[broker, topic] = callback

    def ignore(self, broker, topic):
        del self.listeners[broker, topic]


class Networks:
    """Has a network whose own switches are those told."""

    def __init__(self, **switches):
        self.reference = None
        self.current = SimpleNamespace(
            is_contradicted_by=lambda states: any(states.states[name] != state for name, state in switches.items()),
            report=lambda: "a report",
        )

    def want(self, reference, *, needed):
        self.reference, self.needed = reference, needed


class Running:
    """Needs a network, or not."""

    def __init__(self):
        self.needs_network = False
        self.network = None
        self.network_awaited = False
        self.outdated = []
        self.renewed = 0

    async def renew(self):
        self.renewed += 1
        self.outdated = []


@pytest.fixture
def plant():
    one = SimpleNamespace(inbox=Inbox(), running=Running(), networks=Networks(**{"tie-l": "open"}), asked=[])
    one.duty = NetworkDuty(one.networks, one.running, asyncio.Lock(), lambda: one.asked.append(True))
    one.duty.meet(one.inbox, "default")
    return one


def named(network="net-3"):
    return SimpleNamespace(network=network, area="lv-1")


def test_it_listens_while_an_algorithm_needs_the_network_and_to_no_other(plant):
    plant.duty.look_after(named())
    assert plant.inbox.listeners == {}
    assert plant.duty.report() is None
    plant.running.needs_network = True
    plant.duty.look_after(named())
    assert list(plant.inbox.listeners) == [("grid", TOPIC)]
    assert plant.duty.report() == "a report"
    plant.duty.look_after(named("net-4"))
    assert list(plant.inbox.listeners) == [("grid", "v1/default/topology/net-4")]
    plant.duty.look_after(None)
    assert plant.inbox.listeners == {}


def test_it_asks_only_where_its_own_part_is_concerned(plant):
    plant.running.needs_network = True
    plant.duty.look_after(named())
    hear = plant.inbox.listeners["grid", TOPIC]
    for payload in (b"", b"{", b"[]", b"[" * 100_000, b'{"schema": "topology/2"}', b'{"network": "\xff"}'):
        hear(payload, False)
    hear(json.dumps(states_of(layered_document(), 1, tie_m="closed")).encode(), True)
    assert plant.asked == []
    hear(json.dumps(states_of(layered_document(), 2, tie_l="closed")).encode(), False)
    assert plant.asked == [True]


def test_what_did_not_start_with_the_network_is_tried_again(plant):
    async def go():
        await plant.duty.refresh()
        assert plant.running.renewed == 0
        plant.running.outdated = ["estimate"]
        await plant.duty.refresh()
        await plant.duty.refresh()
        assert plant.running.renewed == 1

    asyncio.run(go())
