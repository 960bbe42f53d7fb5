"""A catalog that takes the lead asks the broker what it knows before it says anything of a device."""

import threading

import pytest

from device_catalog.brokers.publisher import Publisher
from device_catalog.contract.presence import Availability
from tests.support.listener import Listener
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

LONGER_THAN_A_CONNECTION = 0.5
"""So long a busy machine may take between the lead and the words for it [s]."""


def word(device, *, available):
    return Availability(device, available, "polled" if available else "lease-expired", 1)


@pytest.fixture
def broker():
    with Mosquitto() as running:
        yield running


@pytest.fixture
def catalogs(broker):
    """A leader, and another one that is connected and says nothing."""
    leader, other = Publisher([broker.url], "default"), Publisher([broker.url], "default")
    leader.lead(leads=False)
    leader.lead(leads=True)
    other.lead(leads=False)
    for one in (leader, other):
        one.start(list)
        wait_until(lambda one=one: one.connected, "the connection")
    yield leader, other
    for one in (leader, other):
        one.stop()


def heard(listener):
    return [(item.fields["device"], item.fields["available"]) for item in list(listener.heard)]


def test_what_only_the_leader_before_knew_to_be_told_is_not_said_again_however_late_the_words_come(broker, catalogs):
    leader, other = catalogs
    with Listener(broker.port, "v1/default/meters/+/availability") as listener:
        for device in ("m-1", "m-2"):
            leader.availability("default", word(device, available=True), urgent=True)
        wait_until(lambda: len(listener.heard) == 2, "both told as there")

        def say():
            other.notify("default", "m-3", 1)  # wakes the connection at once, which is then made anew
            threading.Event().wait(LONGER_THAN_A_CONNECTION)
            other.availability("default", word("m-1", available=True), urgent=True)
            other.availability("default", word("m-2", available=False), urgent=True)

        other.lead(leads=True, say=say)
        wait_until(lambda: other.waiting() == 0 and len(listener.heard) >= 3, "the news told")
        assert heard(listener)[2:] == [("m-2", False)]
        known = {}
        wait_until(lambda: known.update(other.acknowledged()) or len(known) == 2, "both known as told")
        assert known == {"m-1": True, "m-2": False}


def test_who_loses_the_lead_says_nothing_more_of_devices_also_not_what_was_under_way():
    loser = Publisher(["mqtt://127.0.0.1:1"], "default")
    loser.lead(leads=False)
    loser.lead(leads=True, say=lambda: loser.availability("default", word("m-1", available=True), urgent=True))
    assert loser.lead(leads=False) == ["m-1"]
    assert loser.waiting() == 0
