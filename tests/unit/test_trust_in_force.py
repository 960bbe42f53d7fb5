"""What a device believes: documents of a director within the policy, orders of those who may give them, each once."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from agent.config import AgentConfig
from agent.errors import TrustError
from agent.settings_in_force import SECOND_CHANCE, SettingsInForce
from agent.store import Store
from agent.trust.decisions import RELEASED
from agent.trust.fetching import FetchedPolicy
from agent.trust.in_force import TrustInForce
from agent.trust.policy_keeper import PolicyKeeper
from agent.trust.signing import make_command_key, read_command_key, verifies
from algorithms.api.records import Command
from algorithms.api.wire import NANOSECONDS, Header, decode, encode
from device_catalog.contract.calibration import Calibration, ChannelCalibration
from device_catalog.contract.documents import Brokers, Configuration, Desired, Poll
from device_catalog.contract.signatures import enveloped, key_id, order_bytes
from tests.support.policies import Key, policy_bytes

NOW = RELEASED + 40 * 86_400
DIRECTOR, COMMANDER, MALLORY = Key(1), Key(2), Key(66)
ALLOWED, EVIL = "mqtts://grid.example.org", "mqtts://grid.evil.example"
COMMANDERS = [{"name": "anna", "public": COMMANDER.public, "networks": ["lv-*"], "devices": ["m-1"]}]
DAY = timedelta(days=1)


class Clock:
    """Moved by hand."""

    def __init__(self):
        self.utc, self.steady = NOW, 100.0

    def now_ns(self):
        return round(self.utc * NANOSECONDS)

    def monotonic(self):
        return self.steady


class Now:
    """Runs requests at once."""

    async def run(self, call):
        return call()

    def close(self):
        """Nothing is open."""


class Bench:
    """A device with a root of trust, and the repository it asks."""

    def __init__(self, folder, root=b"root"):
        self.folder, self.clock = folder, Clock()
        self.synchronised = True
        self.config = AgentConfig("m-1", "http://catalog", "x", folder, root=root)
        self.signed: FetchedPolicy | str = FetchedPolicy(policy_bytes(commanders=COMMANDERS), NOW + 90 * 86_400, NOW)
        self.changes = 0
        self.start()

    def start(self):
        self.keeper = PolicyKeeper(
            self.config,
            self.clock,
            self.changed,
            requests=Now(),
            fetch=self.fetch,
            follows_utc=lambda: self.synchronised,
        )
        self.trust = TrustInForce(self.config, self.keeper)
        self.trust.load()
        self.store, self.brought = Store(self.folder), []
        self.settings = SettingsInForce("m-1", self.store, self.clock, self.bring_about, self.trust)
        asyncio.run(self.settings.start_from_store())

    def changed(self):
        self.changes += 1
        self.settings.reconsider()

    def fetch(self, **_):
        if isinstance(self.signed, str):
            raise TrustError(self.signed)
        return self.signed

    def refresh(self):
        return asyncio.run(self.keeper.refresh())

    async def bring_about(self, desired, _known):
        self.brought.append(desired.revision)

    def take(self, document, key=DIRECTOR):
        asyncio.run(self.settings.take(enveloped(document, key.header(document)) if key else document))
        return [problem.where for problem in self.settings.refused.problems] if self.settings.refused else []


def document(revision=1, *, device="m-1", broker=ALLOWED, issued=NOW, life=14 * DAY, **fields):
    begun = datetime.fromtimestamp(issued, UTC)
    configuration = Configuration(brokers=Brokers(grid=(broker,)), **fields)
    expires = None if life is None else begun + life
    return msgspec.json.encode(Desired(device, "default", revision, begun, configuration, expires))


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    assert bench.refresh()
    return bench


def test_a_signed_document_is_in_force_and_again_at_the_next_start(bench):
    assert bench.take(document(3)) == []
    assert bench.trust.report().state == "policy"
    bench.start()
    assert bench.brought == [3]
    assert bench.trust.problems() == []


@pytest.mark.parametrize(
    ("wrong", "key", "where"),
    [
        (document(9), None, "signature"),
        (document(9), MALLORY, "signature"),
        (document(9), COMMANDER, "signature"),
        (document(9, device="m-2"), DIRECTOR, "device"),
        (document(2), DIRECTOR, "revision"),
        (document(3, issued=NOW - 60), DIRECTOR, "issued"),
        (document(9, issued=NOW - 15 * 86_400), DIRECTOR, "expires"),
        (document(9, life=None), DIRECTOR, "expires"),
        (document(9, broker=EVIL), DIRECTOR, "brokers.grid[0]"),
    ],
)
def test_what_a_director_did_not_say_now_to_this_device_is_refused_and_what_runs_goes_on(bench, wrong, key, where):
    bench.take(document(3))
    assert bench.take(wrong, key)[0] == where
    assert bench.settings.applied == 3
    assert bench.settings.refused.revision in (2, 3, 9)
    bench.start()
    assert bench.settings.applied == 3


def test_a_signature_over_other_bytes_is_refused(bench):
    asyncio.run(bench.settings.take(enveloped(document(9), DIRECTOR.header(document(8)))))
    assert "over something else" in str(bench.settings.refused.problems[0])


def test_a_replayed_document_stays_refused_when_what_is_kept_is_lost(bench):
    bench.take(document(3))
    bench.take(document(4))
    for name in ("settings", "settings.before"):
        (bench.folder / name).unlink()
    bench.start()
    assert bench.take(document(3)) == ["revision"]
    assert bench.take(document(4)) == []


def test_a_kept_document_that_somebody_changed_is_passed_over_for_the_one_before(bench):
    bench.take(document(3))
    bench.take(document(4))
    body = document(4, broker=EVIL)
    bench.store.keep_settings(enveloped(body, DIRECTOR.header(document(4))))
    bench.start()
    assert bench.settings.applied == 4
    assert any("not what was signed" in one for one in bench.store.complaints)


def test_without_a_root_everything_is_believed_and_the_report_says_so(tmp_path):
    bench = Bench(tmp_path, root=b"")
    assert bench.take(document(3, broker=EVIL, life=None), None) == []
    assert bench.trust.objection(order(), "lv-1") == ""
    assert bench.trust.report().state == "none"


def test_nothing_new_is_believed_until_it_is_known_what_the_dso_signed(tmp_path):
    bench = Bench(tmp_path)
    bench.signed = "expected a repository that can be reached, found none"
    assert not bench.refresh()
    assert bench.take(document(3)) == ["trust"]
    assert "before any order is obeyed" in bench.trust.objection(order(), "lv-1")
    assert bench.trust.report().state == "awaited"
    bench.signed = FetchedPolicy(policy_bytes(), NOW + 1e6, NOW)
    bench.refresh()
    asyncio.run(bench.settings.take(bench.settings.second_chance()))
    assert bench.settings.applied == 3


def test_a_dso_without_a_policy_restricts_nothing_and_a_policy_cannot_be_taken_back(tmp_path):
    bench = Bench(tmp_path)
    policy, bench.signed = bench.signed, FetchedPolicy(b"", NOW + 1e6, NOW)
    bench.refresh()
    assert bench.trust.report().state == "unrestricted"
    assert bench.take(document(3), None) == []
    bench.signed = policy
    bench.refresh()
    assert bench.take(document(4), None) == ["signature"]
    bench.signed = FetchedPolicy(b"", NOW + 1e6, NOW)
    assert not bench.refresh()
    assert bench.trust.report().state == "policy"
    assert "withdrew" in bench.trust.report().last_error


def test_settings_from_before_the_policy_go_on_and_are_told(tmp_path):
    bench = Bench(tmp_path, root=b"")
    bench.take(document(3, broker=EVIL), None)
    bench = Bench(tmp_path)
    bench.refresh()
    bench.start()
    assert bench.settings.applied == 3
    assert any("from before: signature" in one for one in bench.trust.problems())
    bench.take(document(4))
    assert bench.trust.problems() == []


def test_a_new_policy_lets_in_what_was_refused_without_being_sent_again(bench):
    assert bench.take(document(3), MALLORY) == ["signature"]
    directors = [{"name": "catalog", "public": DIRECTOR.public}, {"name": "second", "public": MALLORY.public}]
    bench.signed = FetchedPolicy(policy_bytes(revision=2, directors=directors), NOW + 1e6, NOW)
    assert bench.refresh()
    assert bench.changes == 2
    asyncio.run(bench.settings.take(bench.settings.second_chance()))
    assert bench.settings.applied == 3
    bench.signed = "away"
    bench.refresh()
    assert bench.take(document(4), MALLORY) == []


def test_a_director_that_the_dso_removed_decides_nothing_more_and_what_it_said_goes_on(bench):
    bench.take(document(3))
    directors = [{"name": "new", "public": Key(7).public}]
    bench.signed = FetchedPolicy(policy_bytes(revision=2, directors=directors), NOW + 1e6, NOW)
    bench.refresh()
    assert bench.take(document(4)) == ["signature"]
    bench.start()
    assert bench.settings.applied == 3
    assert bench.take(document(4), Key(7)) == []


def test_a_policy_that_was_damaged_is_fetched_anew_and_until_then_nothing_new_is_believed(bench):
    bench.take(document(3))
    path = bench.folder / "trust" / "policy"
    path.write_bytes(path.read_bytes()[:-40])
    bench.start()
    assert bench.settings.applied == 3
    assert bench.take(document(4)) == ["trust"]
    bench.refresh()
    bench.clock.steady += SECOND_CHANCE
    asyncio.run(bench.settings.take(bench.settings.second_chance()))
    assert bench.settings.applied == 4


def test_signatures_of_the_dso_that_expired_stop_changes_only(bench):
    bench.take(document(3))
    bench.clock.utc = NOW + 91 * 86_400
    assert bench.take(document(4, issued=bench.clock.utc)) == ["policy"]
    assert any("have expired" in one for one in bench.trust.problems())
    assert bench.trust.objection(order(issued=bench.clock.utc), "lv-1") == ""
    bench.start()
    assert bench.settings.applied == 3


# ---- a clock that is wrong by months


def test_a_free_clock_that_is_behind_bricks_nothing_and_opens_nothing(bench):
    bench.synchronised = False
    bench.clock.utc = RELEASED - 300 * 86_400
    assert bench.take(document(3)) == []
    assert bench.take(document(2)) == ["revision"]
    assert bench.take(document(4, issued=RELEASED - 400 * 86_400)) == ["expires"]


def test_a_free_clock_that_is_ahead_bricks_nothing(bench):
    bench.synchronised = False
    bench.clock.utc = NOW + 300 * 86_400
    assert bench.take(document(3)) == []


def test_a_clock_that_follows_a_wrong_time_stops_changes_until_it_is_right_again(bench):
    bench.take(document(3))
    bench.clock.utc = NOW + 300 * 86_400
    assert "expires" in bench.take(document(4))
    bench.clock.utc = NOW
    bench.clock.steady += SECOND_CHANCE
    asyncio.run(bench.settings.take(bench.settings.second_chance()))
    assert bench.settings.applied == 4


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


# ---- orders


def order(name="o-1", key=COMMANDER, issued=NOW, recipient="s-7", **fields):
    issued_ns = round(issued * NANOSECONDS)
    arguments = {"network": "lv-1", "token": 4, "sequence": 1, "share": 0.1 + 0.2}
    command = Command(name, recipient, "open", issued_ns, issued_ns + 30 * NANOSECONDS, arguments)
    command = msgspec.structs.replace(command, **fields, key_id=key.id)
    return msgspec.structs.replace(command, signature=key.sign(order_bytes(command)).hex())


def heard(command):
    """Send an order by the broker."""
    return decode(encode(command, Header("anna", 1, 1, 1, command.issued_ns)))[1]


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


# ---- this device's own orders


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


def test_poll_within_the_bounds_is_taken_and_beyond_them_refused(bench):
    bounds = [{"setting": "poll.interval", "minimum": 5, "maximum": 900}]
    bench.signed = FetchedPolicy(policy_bytes(revision=2, bounds=bounds), NOW + 1e6, NOW)
    bench.refresh()
    assert bench.take(document(3, poll=Poll(1.0, 10.0))) == ["poll.interval"]
    assert bench.take(document(4, poll=Poll(60.0, 195.0))) == []


def test_what_is_in_force_beyond_a_new_policy_goes_on_and_is_told(bench):
    bench.take(document(3))
    bench.signed = FetchedPolicy(policy_bytes(revision=2, brokers=["mqtts://other.example"]), NOW + 1e6, NOW)
    bench.refresh()
    assert bench.trust.problems_of_document(bench.settings.desired, known=True) == []
    assert any("from before: brokers.grid[0]" in one for one in bench.trust.problems())
    assert bench.take(document(4)) == ["brokers.grid[0]"]
    assert bench.settings.applied == 3


def test_without_the_library_no_signature_is_right_and_that_is_told(bench, monkeypatch):
    bench.take(document(3))
    for name in ("cryptography", "cryptography.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "agent.trust.signing")
    bench.start()
    assert bench.settings.applied == 3
    assert bench.take(document(4)) == ["signature"]
    assert any("found none: install python3-cryptography" in one for one in bench.trust.problems())


def test_a_calibration_that_a_catalog_hands_out_beyond_the_policys_bounds_is_refused_with_its_settings(tmp_path):
    bench = Bench(tmp_path)
    bound = {"setting": "calibration.gain", "minimum": 0.9, "maximum": 1.1}
    bench.signed = FetchedPolicy(policy_bytes(bounds=[bound]), NOW + 1e6, NOW)
    bench.refresh()
    plain = msgspec.json.decode(document(3), type=Desired)
    for gain, refused in ((1.3, ["calibration.channels[0].gain"]), (1.05, [])):
        channel = ChannelCalibration("u_a", 0, 1.0, gain=gain)
        found = Calibration("m-1", datetime.fromtimestamp(NOW, UTC), "anna", channels=(channel,))
        assert bench.take(msgspec.json.encode(msgspec.structs.replace(plain, calibration=found))) == refused


def test_what_was_measured_at_the_meter_itself_comes_back_from_the_catalog_whatever_the_policy_bounds(tmp_path):
    bench = Bench(tmp_path)
    bounds = [{"setting": "calibration.gain", "maximum": 1.1}, {"setting": "calibration", "allowed": [None]}]
    bench.signed = FetchedPolicy(policy_bytes(bounds=bounds), NOW + 1e6, NOW)
    bench.refresh()
    found = Calibration(
        "m-1", datetime.fromtimestamp(NOW, UTC), "anna", channels=(ChannelCalibration("u_a", 0, 1.0, gain=1.3),)
    )
    with_it = msgspec.structs.replace(msgspec.json.decode(document(3), type=Desired), calibration=found)
    assert bench.take(msgspec.json.encode(with_it)) == ["calibration.channels[0].gain", "calibration"]
    bench.store.keep_calibration(msgspec.json.encode(found))
    assert bench.take(msgspec.json.encode(with_it)) == []
