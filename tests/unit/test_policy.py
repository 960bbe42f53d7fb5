"""A policy names everything wrong with it at once, and everything that a configuration does beyond it."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_catalog.contract.documents import Configuration
from device_catalog.contract.policy import MAXIMUM_POLICY, problems_with
from device_catalog.contract.policy_rules import PolicyError, parse_policy
from device_catalog.contract.signatures import enveloped, key_id, opened, read_signatures, signature_text
from device_catalog.contract.validation import parse_calibration, parse_configuration
from device_catalog.operator.__main__ import main
from tests.support.policies import Key, policy_bytes, policy_of


def refused(**fields):
    with pytest.raises(PolicyError) as caught:
        parse_policy(policy_bytes(**fields))
    return [str(problem) for problem in caught.value.problems]


def beyond(configuration, device="m-1", **fields):
    found = problems_with(policy_of(**fields), device, parse_configuration(configuration))
    return [problem.where for problem in found]


def test_every_problem_of_a_policy_is_told_at_once():
    found = refused(
        revision=0,
        directors=[{"name": "a b", "public": "00"}],
        commanders=[{"name": "anna", "public": Key(2).public}, {"name": "anna", "public": Key(2).public}],
        brokers=["http://x", "mqtts://*example.org"],
        authorities=["AB"],
        bounds=[
            {"setting": "pol.interval", "minimum": 1},
            {"setting": "poll.intervall", "minimum": 3, "maximum": 2},
            {"setting": "brokers.grid", "allowed": []},
            {"setting": "algorithms.phasors", "stated": True},
            {"setting": "poll.lease", "devices": ["m [x]"]},
        ],
        colour="red",
    )
    places = [problem.partition(":")[0] for problem in found]
    assert set(places) == {
        "policy",
        "policy.authorities[0]",
        "policy.bounds[0].setting",
        "policy.bounds[1].minimum",
        "policy.bounds[1].setting",
        "policy.bounds[2].setting",
        "policy.bounds[3].setting",
        "policy.bounds[4]",
        "policy.bounds[4].devices[0]",
        "policy.brokers[0]",
        "policy.brokers[1]",
        "policy.colour",
        "policy.commanders[0]",
        "policy.commanders[1]",
        "policy.commanders[1].public",
        "policy.directors[0].name",
        "policy.directors[0].public",
        "policy.revision",
    }


def test_a_key_has_one_task():
    (problem,) = refused(commanders=[{"name": "anna", "public": Key(1).public, "networks": ["*"]}])
    assert "expected another key than that of policy.directors[0], found the same" in problem


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b"[" * 100_000, b" " * (MAXIMUM_POLICY + 1), b'{"schema": 1}']
)
def test_what_is_no_policy_is_refused_in_words(content):
    with pytest.raises(PolicyError, match="expected"):
        parse_policy(content)


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [
        ("mqtts://grid.example.org", True),
        ("mqtts://a.b.example.org:8884", True),
        ("mqtt://127.0.0.1:18830", True),
        ("mqtts://GRID.EXAMPLE.ORG", True),
        ("mqtt://grid.example.org", False),
        ("mqtts://example.org", False),
        ("mqtts://evilexample.org", False),
        ("mqtts://example.org.evil.example", False),
        ("mqtts://127.0.0.1", False),
    ],
)
def test_brokers_are_allowed_by_scheme_and_host(endpoint, allowed):
    assert beyond({"brokers": {"grid": [endpoint]}}) == ([] if allowed else ["brokers.grid[0]"])
    assert beyond({"brokers": {"data": ["mqtt://127.0.0.1", endpoint]}}) == ([] if allowed else ["brokers.data[1]"])


def test_a_port_counts_where_one_is_stated():
    only = ["mqtts://broker:8883"]
    assert beyond({"brokers": {"grid": ["mqtts://broker:8883"]}}, brokers=only) == []
    assert beyond({"brokers": {"grid": ["mqtts://broker:9999"]}}, brokers=only) == ["brokers.grid[0]"]


def test_bounds_hold_for_every_part_of_a_configuration():
    bounds = [
        {"setting": "poll.interval", "minimum": 5, "maximum": 900},
        {"setting": "acquisition.driver", "allowed": ["uldaq"]},
        {"setting": "outputs.c37_118", "allowed": [None]},
        {"setting": "algorithms", "allowed": ["switch", "phasors"]},
        {"setting": "algorithms.switch.trips_on", "allowed": [[]], "stated": True, "devices": ["rtu-*"]},
        {"setting": "algorithms.switch.dead_times", "maximum": 5},
        {"setting": "algorithms.switch.closed", "allowed": [True]},
    ]
    switch = {"trips_on": ["x"], "dead_times": [1, 30], "closed": 1}
    wild = {
        "poll": {"interval": 1, "lease": 10},
        "acquisition": {"driver": "simulated", "sample_rate": 6400},
        "outputs": {"c37_118": {"address": "192.0.2.7"}},
        "algorithms": [{"algorithm": "spy"}, {"algorithm": "switch", "settings": switch}, {"algorithm": "phasors"}],
    }
    assert beyond(wild, "rtu-7", bounds=bounds) == [
        "poll.interval",
        "acquisition.driver",
        "outputs.c37_118",
        "algorithms[0]",
        "algorithms[1].settings.trips_on",
        "algorithms[1].settings.dead_times",
        "algorithms[1].settings.closed",
    ]
    assert "algorithms[1].settings.trips_on" not in beyond(wild, "m-1", bounds=bounds)
    tame = {
        "poll": {"interval": 60, "lease": 195},
        "acquisition": {"driver": "uldaq", "sample_rate": 6400},
        "algorithms": [{"algorithm": "switch", "settings": {"trips_on": [], "dead_times": [1], "closed": True}}],
    }
    assert beyond(tame, "rtu-7", bounds=bounds) == []
    assert beyond({}, "rtu-7", bounds=[bounds[1]]) == []
    unstated = {"algorithms": [{"algorithm": "switch"}]}
    assert beyond(unstated, "rtu-7", bounds=[bounds[4]]) == ["algorithms[0].settings.trips_on"]


def test_a_shadow_stays_within_the_bounds_too():
    shadow = {"version": "1.0.0", "settings": {"dead_times": [99]}}
    bounds = [{"setting": "algorithms.switch.dead_times", "maximum": 5}]
    found = beyond({"algorithms": [{"algorithm": "switch", "shadow": shadow}]}, bounds=bounds)
    assert found == ["algorithms[0].shadow.settings.dead_times"]


def test_keys_are_found_by_their_id():
    policy = policy_of(commanders=[{"name": "anna", "public": Key(2).public, "networks": ["lv-*"]}])
    assert policy.director(Key(1).id).name == "catalog"
    assert policy.commander(Key(2).id).name == "anna"
    assert policy.director(Key(2).id) is None
    assert policy.commander(Key(1).id) is None


@given(st.binary(max_size=200), st.sampled_from([0, 1, 3]))
def test_a_document_and_its_signatures_come_apart_as_they_were_put_together(document, count):
    document = b"{" + document
    text = signature_text([(key_id(f"{number:064x}"), bytes([number]) * 64) for number in range(count)])
    assert opened(enveloped(document, text)) == (document, text)
    assert len(read_signatures(text)) == count


def test_a_policy_is_written_judged_and_shown_by_commands(tmp_path, capsys):
    file, meter = tmp_path / "policy.json", tmp_path / "meter.yaml"
    new = ["policy", "new", str(file), "--director", f"catalog={Key(1).public}", "--broker", "mqtts://*.example.org"]
    assert main([*new, "--commander", f"anna={Key(2).public}", "--network", "lv-1", "lv-2"]) == 0
    assert parse_policy(file.read_bytes()).commanders[0].networks == ("lv-1", "lv-2")
    assert main(new) == 1
    assert "expected a new file" in capsys.readouterr().err
    assert main(["policy", "show", str(file)]) == 0
    assert "orders are signed by anna" in capsys.readouterr().out
    meter.write_text("brokers: {grid: ['mqtts://evil.example']}\npoll: {interval: 0.1}\n")
    assert main(["policy", "check", str(file), "--configuration", str(meter)]) == 1
    said = capsys.readouterr().err
    assert "found mqtts://evil.example" in said
    assert "poll.interval: expected what the policy allows: 1 to 3600, found 0.1" in said
    assert main(["policy", "check", str(file), "--configuration", str(meter), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 2
    assert main([*new[:3], "--director", "x", "--broker", "mqtts://b"]) == 2
    file.write_bytes(msgspec.json.encode({"schema": "policy/1", "colour": 1}))
    assert main(["policy", "check", str(file)]) == 1
    assert "policy.colour" in capsys.readouterr().err


def test_a_policy_without_bounds_allows_what_only_names_allowed_brokers():
    assert problems_with(policy_of(), "m-1", Configuration()) == []


def test_what_must_be_stated_is_stated_by_the_one_in_force_and_by_settings_that_a_shadow_has_of_its_own():
    bounds = [{"setting": "algorithms.switch.switch", "allowed": ["s-12"], "stated": True}]
    stated = {"switch": "s-12"}

    def places(settings, shadow):
        one = {"algorithm": "switch", "settings": settings, "shadow": {"version": "1.0.0", **shadow}}
        return beyond({"algorithms": [one]}, bounds=bounds)

    assert places({}, {"settings": stated}) == ["algorithms[0].settings.switch"]
    assert places(stated, {"settings": {}}) == ["algorithms[0].shadow.settings.switch"]
    assert places(stated, {"settings": stated}) == places(stated, {}) == []  # it inherits what it does not have


@pytest.mark.parametrize("empty", [[], [[]], [5, []]])
def test_a_list_of_nothing_is_not_between_two_limits(empty):
    bounds = [{"setting": "algorithms.x.v", "minimum": 1, "maximum": 9}]
    found = beyond({"algorithms": [{"algorithm": "x", "settings": {"v": empty}}]}, bounds=bounds)
    assert found == ["algorithms[0].settings.v"]


CHANNEL = {"name": "u_a", "quantity": "voltage", "phase": "A", "input": 0}
GAIN = {"setting": "calibration.gain", "minimum": 0.9, "maximum": 1.1}


def calibration_of(**fields):
    channel = {"name": "u_a", "input": 0, "ratio": 1.0, **fields}
    made = {"schema": "calibration/1", "device": "m-1", "made": "2026-11-01T00:00:00Z", "by": "anna"}
    return parse_calibration(msgspec.json.encode({**made, "channels": [channel]}))


def judged(bound, calibration=None, **channel):
    acquisition = {"driver": "simulated", "sample_rate": 6400, "channels": [{**CHANNEL, **channel}]}
    configuration = parse_configuration({"acquisition": acquisition} if channel else {})
    found = problems_with(policy_of(bounds=[bound]), "m-1", configuration, calibration)
    return [problem.where for problem in found]


def test_bounds_of_a_calibration_hold_for_what_a_catalog_hands_out_and_for_the_constants_of_the_settings():
    assert judged(GAIN, calibration_of(gain=1.2)) == ["calibration.channels[0].gain"]
    assert judged(GAIN, calibration_of(gain=1.05)) == []
    assert judged(GAIN, gain=0.5) == ["acquisition.channels[0].gain"]
    assert judged(GAIN, calibration_of(gain=3.0), gain=0.5) == [
        "acquisition.channels[0].gain",
        "calibration.channels[0].gain",
    ]
    assert judged(GAIN) == []
    assert judged({"setting": "calibration.offset", "maximum": 0.1}, calibration_of(offset=0.2)) != []
    assert judged({**GAIN, "devices": ["m-2"]}, calibration_of(gain=1.2)) == []


def test_a_dso_may_want_no_calibration_from_a_catalog_at_all():
    bound = {"setting": "calibration", "allowed": [None]}
    assert judged(bound, calibration_of()) == ["calibration"]
    assert judged(bound) == []


@pytest.mark.parametrize(
    ("bound", "where"),
    [
        ({"setting": "calibration.by", "minimum": 1.0}, "setting"),
        ({"setting": "calibration.gain.x", "minimum": 1.0}, "setting"),
        ({"setting": "calibration", "minimum": 1.0}, "setting"),
        ({"setting": "calibration.gain", "stated": True}, "stated"),
    ],
)
def test_a_bound_of_a_calibration_names_one_of_its_constants(bound, where):
    with pytest.raises(PolicyError, match=rf"policy\.bounds\[0\]\.{where}"):
        policy_of(bounds=[bound])
