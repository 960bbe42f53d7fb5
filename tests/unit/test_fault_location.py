"""Faults are located by the head with the meters' help, end to end; waveforms come from `support.emt`."""

from dataclasses import replace

import numpy as np
import pytest

from agent.recording.recorder_plan import Plan
from algorithms.api.algorithm import Context
from algorithms.api.errors import SettingsError
from algorithms.api.network_reader import parse
from algorithms.api.records import Event, Reply, Request, Severity
from algorithms.api.wire import NANOSECONDS, time_text
from algorithms.builtin.faults.fault_location import FaultLocation
from algorithms.builtin.faults.fault_voltages import FaultVoltages
from device_catalog.contract import topics
from device_catalog.contract.documents import Recorder
from tests.support.fault_feeder import FeederAtWork, located
from tests.support.fault_grids import COMPENSATED, ISOLATED, perturbed, rural, urban
from tests.support.fault_trials import (
    EPOCH_NS,
    SIXTEEN,
    TWELVE,
    Blocks,
    Fault,
    fault_conductance,
    reclosed,
    recorded,
)


def told(
    feeder, fault, *, seed=1, converter=SIXTEEN, document=None, after=0.15, evolves=None, location=None, **manners
):
    recording = recorded(feeder, fault, after=after, evolves=evolves)
    work = FeederAtWork(feeder, converter, document, location=location or {})
    return work.run(recording, np.random.default_rng(seed), **manners)


def name_of(feeder, fault):
    return "-".join(feeder.sections[fault.section][:2])


@pytest.mark.parametrize(
    ("kind", "phases", "resistance", "within"),
    [("LG", (1,), 0.01, 2.0), ("LG", (2,), 20.0, 5.0), ("LL", (0, 2), 1.0, 2.0), ("LLG", (0, 1), 5.0, 2.0),
     ("LLL", (0, 1, 2), 50.0, 12.0)],
)  # fmt: skip
def test_a_fault_of_any_type_is_located_to_metres(kind, phases, resistance, within):
    feeder, fault = urban(), Fault(3, 140.0, kind, phases, resistance, angle=1.1, frequency=50.03)
    (event,) = located(told(feeder, fault))
    evidence = event.evidence
    assert evidence["branch"] == name_of(feeder, fault)
    assert (evidence["from_node"], evidence["to_node"]) == ("u3", "u4")
    assert evidence["distance"] == pytest.approx(140.0, abs=within)
    assert abs(evidence["distance"] - 140.0) < 4 * evidence["distance_uncertainty"]
    assert evidence["fault_resistance"] == pytest.approx(resistance, rel=0.02, abs=0.05)
    assert evidence["type"] == kind
    assert event.phases == tuple("ABC"[phase] for phase in phases)
    assert evidence["trusted"] is True
    assert evidence["meters"] == ["m-u2", "m-u4", "m-u6"]
    assert topics.route(event, "t", "m-head") == ("grid", "v1/t/faults/urban", False)


@pytest.mark.parametrize("section", [5, 12, 15, 19])
def test_a_fault_on_a_lateral_is_found_there_and_nowhere_else(section):
    feeder = rural()
    fault = Fault(section, 0.6 * feeder.sections[section][3], "LL", (1, 2), 5.0)
    (event,) = located(told(feeder, fault))
    assert event.evidence["branch"] == name_of(feeder, fault)
    assert event.evidence["alternatives"] == []
    assert event.evidence["distance"] == pytest.approx(fault.distance, abs=10.0)


def test_distances_count_from_the_first_node_of_the_model_whichever_way_it_is_walked():
    feeder = urban()
    document = feeder.document()
    for branch in document["branches"][2:]:
        branch["from_node"], branch["to_node"] = branch["to_node"], branch["from_node"]
    (event,) = located(told(feeder, Fault(4, 60.0, "LG", (0,), 1.0), document=document))
    assert (event.evidence["from_node"], event.evidence["to_node"]) == ("u5", "u4")
    assert event.evidence["distance"] == pytest.approx(160.0, abs=2.0)
    assert event.evidence["distance_from_head"] == pytest.approx(4 * 220.0 + 60.0, abs=2.0)


def test_a_meter_below_the_breaker_measures_against_the_way_ahead_and_finds_the_same():
    feeder = urban()
    document = feeder.document()
    document["nodes"].append({"id": "bay", "phases": "ABC", "base_voltage": 22e3})
    document["branches"][0]["from_node"] = "bay"
    document["switches"] = [{"id": "cb", "from_node": "bus", "to_node": "bay", "kind": "breaker"}]
    document["terminals"][0] |= {"node": "bay", "equipment": "cb"}

    def turned(values):
        return values * np.repeat([1.0, -1.0], 3)[:, None]

    (event,) = located(told(feeder, Fault(3, 140.0, "LG", (1,), 5.0), document=document, spoil=turned))
    assert event.evidence["branch"] == "u3-u4"
    assert event.evidence["distance"] == pytest.approx(140.0, abs=2.0)


def test_without_any_answer_all_places_at_the_right_electrical_distance_are_told_and_doubted():
    feeder = rural()
    fault = Fault(13, 500.0, "LL", (0, 1), 1.0)
    (event,) = located(told(feeder, fault, silent=[f"m-{node}" for node in feeder.meters]))
    evidence = event.evidence
    assert name_of(feeder, fault) in {evidence["branch"], *(place["branch"] for place in evidence["alternatives"])}
    assert len(evidence["alternatives"]) >= 1
    assert set(evidence["missing"].values()) == {"no answer"}
    assert evidence["trusted"] is False
    assert "no meter" in evidence["doubts"][0]


@pytest.mark.parametrize("missing", [[0], [0, 1, 2]])
def test_a_phase_that_the_head_never_measured_is_the_doubt_and_no_meter_is_blamed_for_it(missing):
    def fuse_out(samples):
        samples = samples.copy()
        samples[missing] = 0.0
        return samples

    (event,) = located(told(urban(), Fault(3, 100.0, "LG", (0,), 1.0), spoil=fuse_out))
    phases = ", ".join("ABC"[phase] for phase in missing)
    assert event.evidence["doubts"][0] == f"no voltage of {phases} before the fault"
    assert not any("meter" in doubt for doubt in event.evidence["doubts"])
    assert event.evidence["suspects"] == []
    assert event.evidence["meters"] == ["m-u2", "m-u4", "m-u6"]
    assert event.evidence["trusted"] is False


def test_a_late_answer_makes_a_second_and_better_event():
    feeder, fault = urban(), Fault(3, 100.0, "LG", (0,), 50.0)
    late = {"m-u4": 0.7, "m-u6": 0.7, "m-u2": 0.7}
    first, second = located(told(feeder, fault, late=late, waiting=1.5))
    assert sorted(first.evidence["missing"]) == ["m-u2", "m-u4", "m-u6"]
    assert second.start_ns == first.start_ns
    assert second.evidence["distance_uncertainty"] < 0.2 * first.evidence["distance_uncertainty"]
    assert second.evidence["distance"] == pytest.approx(100.0, abs=15.0)


def test_a_lying_meter_is_left_out_and_named():
    def lie(reply):
        during = {phase: 1.3 * value + 200.0 for phase, value in reply.payload["during"].items()}
        return Reply(reply.id, reply.sender, reply.recipient, reply.time_ns, {**reply.payload, "during": during})

    feeder, fault = urban(), Fault(3, 100.0, "LL", (0, 1), 5.0)
    (event,) = located(told(feeder, fault, tamper={"m-u6": lie}))
    assert event.evidence["suspects"] == ["m-u6"]
    assert event.evidence["branch"] == name_of(feeder, fault)
    assert event.evidence["distance"] == pytest.approx(100.0, abs=3.0)


@pytest.mark.parametrize(
    "payload",
    [{}, {"before": 5}, {"before": {"A": 1e9}, "during": {"A": 1.0}, "uncertainty": {"A": 0.1}},
     {"before": {"A": "x"}, "during": {}, "uncertainty": {}},
     {"before": {"A": 12e3}, "during": {"A": float("1e300")}, "uncertainty": {"A": -1.0}}],
)  # fmt: skip
def test_an_answer_that_cannot_be_true_is_missing_with_the_reason(payload):
    def spoil(reply):
        return Reply(reply.id, reply.sender, reply.recipient, reply.time_ns, payload)

    feeder, fault = urban(), Fault(3, 100.0, "LL", (0, 1), 5.0)
    (event,) = located(told(feeder, fault, tamper={"m-u6": spoil}))
    assert event.evidence["missing"] == {"m-u6": "an answer without plausible voltages"}
    assert event.evidence["distance"] == pytest.approx(100.0, abs=3.0)


@pytest.mark.parametrize("duration", [0.13, 0.8])
def test_a_recording_reaches_from_before_a_located_fault_to_its_end_and_no_further(duration):
    feeder, fault = urban(), Fault(2, 30.0, "LL", (0, 1), 5.0, duration=duration)
    events = told(feeder, fault, after=0.3)
    plan = Plan(Recorder(before=0.5, after=1.0, longest=10.0))
    for event in events:
        plan.take(event, 0, event.start_ns)
    (span,) = plan.open
    (place,) = located(events)
    over = max(event.end_ns for event in events if event.kind == "fault" and event.end_ns is not None)
    assert place.start_ns < place.end_ns <= over
    assert (span.start_ns, span.end_ns) == (place.start_ns - 500_000_000, over + 1_000_000_000)


def test_a_fault_cut_off_after_three_cycles_is_still_located():
    feeder, fault = urban(), Fault(2, 30.0, "LLL", (0, 1, 2), 1.0, duration=0.06)
    (event,) = located(told(feeder, fault))
    assert event.evidence["branch"] == "u2-u3"
    assert event.evidence["distance"] == pytest.approx(30.0, abs=5.0)
    assert event.evidence["window"][1] < 0.075


@pytest.mark.parametrize("frequency", [47.5, 49.5, 51.5])
@pytest.mark.parametrize(("feeder", "section"), [(urban(), 5), (rural(), 12)], ids=["urban", "rural"])
def test_reactances_go_with_the_frequency(feeder, section, frequency):
    fault = Fault(section, 140.0, "LLL", (0, 1, 2), 5.0, angle=1.1, frequency=frequency)
    (event,) = located(told(feeder, fault))
    assert event.evidence["branch"] == name_of(feeder, fault)
    assert event.evidence["suspects"] == []
    assert event.evidence["trusted"] is True
    assert abs(event.evidence["distance"] - 140.0) < min(3 * event.evidence["distance_uncertainty"], 3.0)


@pytest.mark.parametrize("after", [0.015, 0.025, 0.05])
def test_a_fault_that_spreads_within_its_first_cycles_is_located(after):
    feeder, fault = urban(), Fault(3, 140.0, "LG", (0,), 20.0, duration=0.19, angle=1.0)
    event = located(told(feeder, fault, evolves=(after, fault_conductance("LLL", (0, 1, 2), 1.0))))[-1]
    assert event.evidence["branch"] == name_of(feeder, fault)
    assert event.evidence["type"] == "LLL"
    assert abs(event.evidence["distance"] - 140.0) < 4 * event.evidence["distance_uncertainty"]


def test_a_fault_that_spreads_is_located_by_what_it_became():
    feeder, fault = urban(), Fault(4, 80.0, "LG", (0,), 5.0, duration=0.16)
    (event,) = located(told(feeder, fault, evolves=(0.06, fault_conductance("LLG", (0, 1), 2.0))))
    assert event.evidence["type"] == "LLG"
    assert event.evidence["branch"] == "u4-u5"
    assert event.evidence["distance"] == pytest.approx(80.0, abs=4.0)
    assert event.evidence["window"][0] > 0.06


@pytest.mark.parametrize(("kind", "phases"), [("LG", (0,)), ("LLL", (0, 1, 2))])
def test_a_fault_that_a_reclosure_finds_again_is_located_again_by_what_was_before_the_first(kind, phases):
    feeder, fault = urban(), Fault(3, 140.0, kind, phases, 5.0, duration=0.15)
    work = FeederAtWork(feeder, SIXTEEN)
    events = located(work.run(reclosed(feeder, fault), np.random.default_rng(6)))
    assert len(events) == 2
    for event in events:
        assert event.evidence["branch"] == "u3-u4"
        assert event.evidence["distance"] == pytest.approx(140.0, abs=3.0)
        assert event.evidence["missing"] == {}
        assert event.evidence["trusted"] is True
    assert events[1].start_ns - events[0].start_ns > 400_000_000


def test_a_dead_line_has_the_frequency_that_it_had_alive():
    feeder, fault = urban(), Fault(3, 140.0, "LLL", (0, 1, 2), 5.0, duration=0.15, frequency=49.0)
    recording = reclosed(feeder, fault)
    closed = recording.opened + round(0.3 * recording.sample_rate)
    head = recording.head.copy()
    head[:3, recording.opened : closed] = 0.0  # transformers of the line's side
    events = located(FeederAtWork(feeder, SIXTEEN).run(replace(recording, head=head), np.random.default_rng(6)))
    assert len(events) == 2
    for event in events:
        assert event.evidence["frequency"] == pytest.approx(49.0, abs=0.01)
        assert event.evidence["distance"] == pytest.approx(140.0, abs=3.0)


def test_spikes_and_clipped_samples_are_left_out():
    def spoil(values):
        values = values.copy()
        for at in (2300, 2411, 2500):
            values[at % 6, at] = 9e3
        return np.clip(values, -25e3, 25e3)

    narrow = replace(SIXTEEN, volts=25e3)  # healthy phases rise to 32 kV in an earth fault
    feeder, fault = urban(), Fault(3, 140.0, "LG", (1,), 1.0, duration=0.18)
    (event,) = located(told(feeder, fault, converter=narrow, spoil=spoil))
    assert event.evidence["distance"] == pytest.approx(140.0, abs=3.0)


@pytest.mark.parametrize("neutral", [ISOLATED, COMPENSATED], ids=["isolated", "compensated"])
def test_without_an_earthed_neutral_an_earth_fault_has_no_place_and_one_between_phases_has(neutral):
    feeder = urban(neutral)
    events = told(feeder, Fault(3, 100.0, "LG", (1,), 5.0))
    assert {event.kind for event in events} == {"earth-fault"}
    (event,) = located(told(feeder, Fault(3, 100.0, "LL", (1, 2), 5.0)))
    assert event.evidence["distance"] == pytest.approx(100.0, abs=3.0)


def test_generators_ahead_make_a_distance_untrusted():
    feeder = urban()
    document = feeder.document()
    document["generators"] = [
        {"id": "pv", "node": "u5", "connection": "delta", "p": dict.fromkeys(("AB", "BC", "CA"), -5e5),
         "q": dict.fromkeys(("AB", "BC", "CA"), 0.0)}
    ]  # fmt: skip
    (event,) = located(told(feeder, Fault(2, 100.0, "LG", (1,), 20.0), document=document))
    assert event.evidence["trusted"] is False
    assert "generators" in event.evidence["doubts"][0]


def test_wrong_line_data_show_in_the_uncertainty():
    feeder, fault = urban(), Fault(5, 150.0, "LL", (1, 2), 1.0)
    document = perturbed(feeder.document(), np.random.default_rng(3), lines=0.05, loads=0.2)
    (event,) = located(told(feeder, fault, document=document))
    evidence = event.evidence
    from_head = 5 * 220.0 + 150.0
    assert evidence["distance_uncertainty"] > 5.0
    assert abs(evidence["distance_from_head"] - from_head) < 3 * evidence["distance_uncertainty"]


def test_a_meter_with_twelve_bits_helps_to_ten_metres():
    feeder, fault = urban(), Fault(1, 200.0, "LLL", (0, 1, 2), 5.0)
    (event,) = located(told(feeder, fault, converter=TWELVE))
    assert event.evidence["distance"] == pytest.approx(200.0, abs=10.0)


def test_samples_lost_around_a_fault_leave_it_unlocated_with_the_reason():
    network = parse(urban().document())
    channels = SIXTEEN.channels(6400.0)
    algorithm = FaultLocation({})
    algorithm.start(Context("m-head", "head", 50.0, 12.7e3, channels, 6400.0, network=network), None)
    blocks = Blocks(channels, 6400.0).cut(np.zeros((6, 3200)))
    for block in blocks[:3]:
        algorithm.process(block)
    event = Event("fault", "head", EPOCH_NS + 2_000_000, None, Severity.CRITICAL, ("A",))
    answers = [record for record in [event, *blocks[3:]] for record in algorithm.process(record)]
    assert [answer.kind for answer in answers] == ["fault-not-located"]
    assert "4 cycles before the fault" in answers[0].evidence["reason"]
    assert topics.route(answers[0], "t", "m-head") == ("grid", "v1/t/faults/urban", False)


def test_a_fault_told_so_late_that_its_samples_are_gone_is_told_to_be_unlocated_once():
    network = parse(urban().document())
    channels = SIXTEEN.channels(6400.0)
    algorithm = FaultLocation({})
    algorithm.start(Context("m-head", "head", 50.0, 12.7e3, channels, 6400.0, network=network), None)
    for block in Blocks(channels, 6400.0).cut(np.zeros((6, 3200))):
        algorithm.process(block)
    event = Event("fault", "head", EPOCH_NS - 600 * NANOSECONDS, None, Severity.CRITICAL, ("A",))
    answers = [*algorithm.process(event), *algorithm.tick(EPOCH_NS + NANOSECONDS)]
    assert [answer.kind for answer in answers] == ["fault-not-located"]


def test_a_device_that_cannot_locate_is_refused_with_all_reasons():
    with pytest.raises(SettingsError) as caught:
        FaultLocation({"answer_time": 0}).start(Context("m", channels=SIXTEEN.channels(6400.0)[:3]), None)
    assert [problem.where for problem in caught.value.problems] == ["settings.answer_time", "channels", "network"]


def ask(**arguments):
    asked = {"start": time_text(EPOCH_NS + 300_000_000), "begin": 0.02, "stop": 0.1, **arguments}
    return Request("r", "m-head", "m-u2", "fault-voltages", EPOCH_NS, EPOCH_NS + 900_000_000, asked)


def meter():
    algorithm = FaultVoltages({})
    channels = SIXTEEN.channels(6400.0)[:3]
    algorithm.start(Context("m-u2", "at-u2", 50.0, 12.7e3, channels, 6400.0), None)
    return algorithm, Blocks(channels, 6400.0)


def test_a_question_waits_for_its_samples_and_no_longer_than_it_says():
    algorithm, blocks = meter()
    assert algorithm.process(ask()) == []
    (silent,) = algorithm.tick(EPOCH_NS + 1_000_000_000)
    assert "none yet" in str(silent.problems[0])
    times = np.arange(6400) / 6400
    wave = 17e3 * np.cos(2 * np.pi * (50 * times - np.arange(3)[:, None] / 3)) * np.where(times < 0.3, 1.0, 0.6)
    algorithm.process(ask())
    (reply,) = (answer for block in blocks.cut(wave) for answer in algorithm.process(block))
    assert reply.payload["before"]["A"] == pytest.approx(17e3 / 2**0.5, rel=1e-4)
    assert reply.payload["during"]["C"] == pytest.approx(0.6 * 17e3 / 2**0.5, rel=1e-4)
    assert reply.payload["seen"] is True
    assert reply.payload["shift"] == pytest.approx(0.0, abs=0.003)


@pytest.mark.parametrize(
    "arguments", [{"start": "yesterday"}, {"begin": -1}, {"stop": 0.01}, {"stop": float("inf")}, {"stop": "x"}]
)
def test_a_question_that_makes_no_sense_is_answered_with_the_problem(arguments):
    algorithm, _ = meter()
    (reply,) = algorithm.process(ask(**arguments))
    assert reply.problems
    assert reply.payload == {}


def test_questions_to_others_and_of_other_subjects_are_passed_over():
    algorithm, _ = meter()
    other = ask()
    assert algorithm.process(Request("r", "m-head", "m-9", other.subject, 0, 1, other.arguments)) == ()
    assert algorithm.process(Request("r", "m-head", "m-u2", "replay", 0, 1, {})) == ()
