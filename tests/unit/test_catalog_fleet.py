"""The register in memory: who a credential speaks for, when a new lease counts, and what is announced."""

import hashlib

import pytest

from device_catalog.errors import DeviceUnknown, NotAuthorised
from device_catalog.fleet.domain import Guard
from device_catalog.fleet.fleet import BURST, NANOSECONDS, SLOWEST_PACE, Fleet
from device_catalog.storage.rows import DeviceRow

EPOCH = 1_700_000_000


class Notes:
    """An announcer that writes down what it is told."""

    def __init__(self):
        self.words = []

    def availability(self, tenant, availability, *, urgent):  # noqa: ARG002 - the protocol's arguments
        self.words.append((availability.device, availability.available, availability.reason, urgent))

    def notify(self, tenant, device, revision):  # noqa: ARG002 - as above
        self.words.append((device, "notify", revision))

    def state(self, tenants, state, time_ns):  # noqa: ARG002 - as above
        self.words.append(("catalog", state))


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def wall(self):
        return int((EPOCH + self.now) * NANOSECONDS)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def fleet(clock, notes):
    fleet = Fleet(notes, Guard(), clock.monotonic, clock.wall)
    digest = hashlib.sha256(b"credential").digest()
    fleet.load([DeviceRow("m-1", "default", "meter", 1, 60.0, 195.0, None, 0, 0, False, digest)], ["default"])
    return fleet


def run(fleet, clock, seconds):
    for _ in range(int(seconds * 2)):
        clock.now += 0.5
        fleet.tick()


def test_a_credential_speaks_for_its_own_device_only(fleet):
    assert fleet.authenticate("m-1", b"credential").device == "m-1"
    for name, token in (("m-1", b"credentia"), ("m-1", b""), ("m-2", b"credential")):
        with pytest.raises(NotAuthorised):
            fleet.authenticate(name, token)
    with pytest.raises(DeviceUnknown):
        fleet.known("m-2")


def test_a_poll_is_announced_once_and_remembered_with_its_time(fleet, clock, notes):
    device = fleet.known("m-1")
    for _ in range(3):
        fleet.heard(device, 4, 1, b'"1"')
    assert notes.words == [("m-1", True, "polled", False)]
    seen_ns = clock.wall()
    clock.now += 50
    assert fleet.seen_ns(device) == seen_ns
    assert fleet.seen(device) == ("m-1", seen_ns, 1, 4, True)


def test_a_device_that_polls_far_above_its_rate_is_told_how_long_to_wait_and_counts_as_there(fleet, clock):
    device = fleet.known("m-1")
    waits = [fleet.heard(device, 1, 1, b'"1"') for _ in range(BURST + 5)]
    assert waits[:BURST] == [0.0] * BURST
    assert waits[BURST:] == pytest.approx([SLOWEST_PACE] * 5)
    assert fleet.refused == 5
    assert fleet.available(device) is True
    clock.now += SLOWEST_PACE
    assert fleet.heard(device, 1, 1, b'"1"') == 0.0
    assert fleet.heard(device, 1, 1, b'"1"') > 0.0
    clock.now += 2 * BURST
    assert fleet.seen_ns(device) == clock.wall() - 2 * BURST * NANOSECONDS, "a refused poll is a sign of life too"
    assert [fleet.heard(device, 1, 1, b'"1"') for _ in range(BURST)] == [0.0] * BURST


def test_a_device_that_polls_as_told_never_has_to_wait(fleet, clock):
    device = fleet.known("m-1")
    for interval in (0.1, 1.0, 60.0):
        fleet.changed(device, device.revision + 1, interval, 3.25 * interval)
        fleet.heard(device, 1, 1, device.tag)
        for _ in range(1000):
            clock.now += interval / 5
            assert fleet.heard(device, 1, 1, device.tag) == 0.0


def test_a_shorter_lease_counts_once_the_device_has_the_document_that_says_so(fleet, clock, notes):
    device = fleet.known("m-1")
    fleet.heard(device, 1, 1, b'"1"')
    fleet.changed(device, 2, 1.0, 3.0)
    assert notes.words[-1] == ("m-1", "notify", 2)
    run(fleet, clock, 55)
    assert fleet.available(device) is True, "it still polls once a minute"
    fleet.heard(device, 1, 1, b'"1"')
    run(fleet, clock, 10)
    assert fleet.available(device) is True, "it has only just been given the document"
    fleet.heard(device, 1, 2, b'"2"')
    run(fleet, clock, 4)
    assert fleet.available(device) is False
    assert notes.words[-1] == ("m-1", False, "lease-expired", True)


def test_a_longer_lease_counts_at_once(fleet, clock):
    device = fleet.known("m-1")
    fleet.heard(device, 1, 1, b'"1"')
    fleet.changed(device, 2, 600.0, 2000.0)
    run(fleet, clock, 300)
    assert fleet.available(device) is True


def test_a_removed_device_is_told_as_gone_and_forgotten(fleet, notes):
    device = fleet.known("m-1")
    fleet.heard(device, 1, 1, b'"1"')
    fleet.removed(device)
    assert notes.words[-1] == ("m-1", False, "removed", True)
    with pytest.raises(DeviceUnknown):
        fleet.known("m-1")


def test_the_catalog_says_of_itself_when_it_begins_and_ceases_to_wait(fleet, clock, notes):
    fleet.tick()
    assert ("catalog", "watching") in notes.words, "nobody was there before, so nobody is waited for"
    clock.now += 60
    fleet.tick()
    assert notes.words[-1] == ("catalog", "waiting")
