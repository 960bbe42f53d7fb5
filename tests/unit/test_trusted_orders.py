"""What a device believes of orders: signed by those who may give them, for what they may switch, and each once."""

import msgspec
import pytest

from agent.trust.fetching import FetchedPolicy
from agent.trust.signing import make_command_key, read_command_key, verifies
from algorithms.api.wire import NANOSECONDS
from device_catalog.contract.signatures import key_id, order_bytes
from tests.support.policies import Key, policy_bytes
from tests.support.trusting_device import (
    COMMANDER,
    DIRECTOR,
    MALLORY,
    NOW,
    Bench,
    heard,
    order,
)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    assert bench.refresh()
    return bench


def test_an_order_heard_once_is_worthless_also_when_the_clock_is_set_back_and_the_device_starts_again(bench):
    first = order("o-1")
    assert bench.trust.objection(first, "lv-1") == ""
    for _ in range(2):
        assert "given before" in bench.trust.objection(first, "lv-1")
        bench.start()
    later = order("o-2", issued=NOW + 3600)
    assert bench.trust.objection(later, "lv-1") == ""
    bench.clock.utc = NOW - 86_400
    bench.start()
    for old in (first, order("o-0", issued=NOW - 60)):
        assert "not expired when the newest" in bench.trust.objection(old, "lv-1")


def test_a_signed_order_is_obeyed_as_it_comes_from_the_broker(bench):
    assert bench.trust.objection(heard(order()), "lv-1") == ""
    assert bench.trust.report().refused_orders == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"signature": ""}, "found none; give a key"),
        ({"signature": "zz"}, "cannot be read"),
        ({"signature": "00" * 64}, "somebody else"),
        ({"key_id": MALLORY.id}, "policy lets command"),
        ({"key_id": DIRECTOR.id}, "policy lets command"),
        ({"recipient": "s-8"}, "over another order"),
        ({"verb": "close"}, "over another order"),
        ({"expires_ns": round((NOW + 3000) * NANOSECONDS)}, "over another order"),
        ({"issued_ns": round((NOW + 1) * NANOSECONDS)}, "over another order"),
        ({"id": "o-2"}, "over another order"),
        ({"arguments": {"network": "lv-1", "token": 5, "sequence": 1, "share": 0.3}}, "over another order"),
    ],
)
def test_an_order_that_is_not_as_it_was_signed_is_refused_and_told(bench, change, word):
    forged = msgspec.structs.replace(heard(order()), **change)
    assert word in bench.trust.objection(forged, "lv-1")
    report = bench.trust.report()
    assert report.refused_orders == 1
    assert word in report.last_refusal
    assert bench.trust.objection(heard(order()), "lv-1") == ""


@pytest.mark.parametrize("key", [MALLORY, DIRECTOR])
def test_neither_a_stranger_nor_a_catalog_gives_orders(bench, key):
    assert "policy lets command" in bench.trust.objection(heard(order(key=key)), "lv-1")


def test_a_key_commands_its_networks_and_devices_only(bench):
    assert "may command mv-1" in bench.trust.objection(order(), "mv-1")
    assert "may command" in bench.trust.objection(order(), "")
    assert bench.trust.objection(order(recipient="m-1"), None) == ""
    bench.config = msgspec.structs.replace(bench.config, device="m-2")
    bench.start()
    assert "may command m-2" in bench.trust.objection(order(recipient="m-2"), None)


def test_what_a_key_vouched_for_goes_with_that_key(bench):
    assert bench.trust.objection(order("o-9", issued=NOW + 3000), "lv-1") == ""
    other = [{"name": "anna", "public": Key(3).public, "networks": ["*"]}]
    bench.signed = FetchedPolicy(policy_bytes(revision=2, commanders=other), NOW + 1e6, NOW)
    bench.refresh()
    assert bench.trust.objection(order(key=Key(3)), "lv-1") == ""
    assert "policy lets command" in bench.trust.objection(order("o-10"), "lv-1")


def test_orders_are_obeyed_where_they_cannot_be_kept_and_that_is_told(bench):
    (bench.folder / "trust" / "orders.json.new").mkdir()
    assert bench.trust.objection(order(), "lv-1") == ""
    assert "given before" in bench.trust.objection(order(), "lv-1")
    assert any("cannot be kept" in one for one in bench.trust.problems())


def test_the_memory_of_orders_is_bounded_by_their_lives(bench):
    for number in range(50):
        assert bench.trust.objection(order(f"o-{number}", issued=NOW + 20 * number), "lv-1") == ""
    kept = msgspec.json.decode((bench.folder / "trust" / "orders.json").read_bytes())
    assert len(kept[COMMANDER.id]["orders"]) <= 2


def test_what_an_algorithm_proposes_is_signed_by_the_device_and_by_the_device_only(bench):
    key = make_command_key(bench.folder)
    assert (bench.folder / "command.key").stat().st_mode & 0o777 == 0o600
    assert make_command_key(bench.folder).public == key.public == read_command_key(bench.folder).public
    bench.start()
    proposed = order(key=MALLORY)
    _, objection = bench.trust.signed(proposed, "reconfiguration")
    assert "one that it does not name" in objection
    own = [{"name": "control-1", "public": key.public, "networks": ["lv-1"]}]
    bench.signed = FetchedPolicy(policy_bytes(revision=2, commanders=own), NOW + 1e6, NOW)
    bench.refresh()
    assert "an algorithm that the policy lets command, found spy" in bench.trust.signed(proposed, "spy")[1]
    signed, objection = bench.trust.signed(proposed, "reconfiguration")
    assert objection == ""
    assert signed.key_id == key_id(key.public)
    assert verifies(key.public, bytes.fromhex(signed.signature), order_bytes(heard(signed)))
    assert bench.trust.objection(heard(signed), "lv-1") == ""
    assert bench.trust.report().command_key == key.public


def test_a_device_without_a_key_sends_no_orders_where_a_policy_is_in_force(bench):
    assert "found none; see command-key" in bench.trust.signed(order(), "reconfiguration")[1]


def test_without_a_policy_orders_go_as_they_are(tmp_path):
    bench = Bench(tmp_path, root=b"")
    assert bench.trust.signed(order(), "anything") == (order(), "")
