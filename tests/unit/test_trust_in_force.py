"""What a device believes of what it should do: documents of a director within the policy, and what the DSO signed."""

import asyncio
import sys
from datetime import UTC, datetime

import msgspec
import pytest

from agent.settings_in_force import SECOND_CHANCE
from agent.trust.decisions import RELEASED
from agent.trust.fetching import FetchedPolicy
from device_catalog.contract.calibration import Calibration, ChannelCalibration
from device_catalog.contract.documents import Desired, Poll
from device_catalog.contract.signatures import enveloped
from tests.support.policies import Key, policy_bytes
from tests.support.trusting_device import (
    COMMANDER,
    DIRECTOR,
    EVIL,
    MALLORY,
    NOW,
    Bench,
    document,
    order,
)


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
