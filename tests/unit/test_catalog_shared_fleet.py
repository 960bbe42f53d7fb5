"""One fleet in two catalogs: who tells what, what a new leader still has to tell, what is followed."""

import hashlib

import pytest

from device_catalog.brokers.words import Word, Words
from device_catalog.fleet.device import Shared
from device_catalog.fleet.domain import Guard
from device_catalog.fleet.fleet import NANOSECONDS, Fleet
from device_catalog.storage.rows import DeviceRow

DIGEST = hashlib.sha256(b"credential").digest()


def row(device, revision=1, interval=60.0, lease=195.0, *, tenant="default", available=False, digest=DIGEST):
    return DeviceRow(device, tenant, "meter", revision, interval, lease, None, 0, 0, available, digest)


class Notes:
    """An announcer that writes down what it is told of devices."""

    def __init__(self):
        self.words = []

    def availability(self, tenant, availability, *, urgent):  # noqa: ARG002 - the protocol's arguments
        self.words.append((availability.device, availability.available, availability.reason))

    def notify(self, tenant, device, revision):  # noqa: ARG002 - as above
        self.words.append((device, "notify", revision))

    def state(self, tenants, state, time_ns):
        """Of the catalog itself nothing is written down."""


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def wall(self):
        return int(self.now * NANOSECONDS)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def fleet(clock, notes):
    fleet = Fleet(notes, Guard(), clock.monotonic, clock.wall)
    fleet.load([row("m-1"), row("m-2", available=True)], ["default"])
    fleet.shared = Shared()
    return fleet


def run(fleet, clock, seconds):
    for _ in range(int(seconds * 2)):
        clock.now += 0.5
        fleet.tick()


def lead(fleet):
    untold = fleet.untold(6.0)
    fleet.shared.leads_until = float("inf")
    fleet.take_lead(untold)


def test_a_catalog_that_does_not_lead_watches_the_leases_and_says_nothing(fleet, clock, notes):
    fleet.heard(fleet.devices["m-1"], 1, 1, b"")
    run(fleet, clock, 400)
    assert fleet.available(fleet.devices["m-1"]) is False
    assert notes.words == []
    assert list(fleet.shared.fresh) == ["m-1"]


def test_who_takes_the_lead_tells_what_was_not_told_and_nothing_else(fleet, notes):
    for name in ("m-1", "m-2"):
        fleet.heard(fleet.devices[name], 1, 1, b"")
    lead(fleet)
    assert notes.words == [("m-1", True, "polled")]
    lead(fleet)
    assert notes.words == [("m-1", True, "polled")]


def test_a_lead_that_ended_by_the_clock_says_nothing_more(fleet, clock, notes):
    fleet.shared.leads_until = clock.now + 3.0
    fleet.heard(fleet.devices["m-1"], 1, 1, b"")
    clock.now += 3.0
    run(fleet, clock, 400)
    assert notes.words == [("m-1", True, "polled")]


def test_a_device_that_was_removed_while_nobody_led_is_told_by_the_next_leader(fleet, notes):
    fleet.follow("m-2", None)
    assert "m-2" not in fleet.devices
    lead(fleet)
    assert notes.words == [("m-2", False, "removed")]


def test_what_another_catalog_changed_is_followed_and_the_device_is_not_asked_twice(fleet, notes):
    fleet.follow("m-1", row("m-1", 2, 30.0, 400.0, digest=b"other"))
    fleet.follow("m-3", row("m-3", tenant="north"))
    fleet.follow("m-3", row("m-3", tenant="north"))
    device = fleet.devices["m-1"]
    assert (device.revision, device.interval, device.duration, device.digest) == (2, 30.0, 400.0, b"other")
    assert fleet.devices["m-3"].tenant == "north"
    assert len(fleet.devices) == 3
    assert notes.words == []


def test_a_shorter_lease_counts_once_another_catalog_saw_the_device_have_it(fleet, clock):
    device = fleet.devices["m-1"]
    fleet.heard(device, 1, 1, b"")
    fleet.shared.early["m-1"] = 2
    fleet.follow("m-1", row("m-1", 2, 10.0, 60.0))
    assert device.duration == 60.0
    fleet.follow("m-1", row("m-1", 3, 10.0, 30.0))
    assert device.duration == 60.0
    clock.now += 1.0
    fleet.heard(device, 1, 3, device.tag)
    assert device.duration == 30.0
    assert fleet.shared.settled == {"m-1": 3}


def test_words_that_are_no_longer_ones_own_to_say_are_forgotten_also_those_under_way():
    words = Words(10, 1.0)
    for topic in ("a", "b", "c"):
        words.say(Word(topic, b"1", retain=True), urgent=topic == "a")
    sent = words.take(lambda: False, lambda: False)
    assert words.sent(1, sent) is False
    words.acknowledge(2)
    assert words.sent(2, Word("d", b"1", retain=True)) is True
    assert [word.topic for word in words.forget(lambda word: word.topic != "c")] == ["a", "b"]
    assert [word.topic for word in words.pending()] == ["c"]
