"""Of two versions one is told: nothing is lost and nothing twice, whenever they change; and they can be compared."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.updates.comparison import LOOKED_INTO, PATIENCE, Comparison, differences
from agent.updates.probation import declared, is_abreast, shortfall
from agent.updates.turn import NEW, OLD, Turn
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.readings import Estimate, Phasor
from algorithms.api.records import Event, Kind, Result, Severity
from tests.support.publisher import full_frame


def result(number, **payload):
    return Result("count/1", "t", number, payload)


def event(start_ns, end_ns=None):
    return Event("dip", "t", start_ns, end_ns, Severity.NOTICE, ("A",))


@given(st.lists(st.sampled_from([OLD, NEW, "change"]), max_size=200))
def test_whoever_is_ahead_and_whenever_they_change_every_record_is_told_once_and_in_order(steps):
    turn, made, told = Turn(), {OLD: 0, NEW: 0}, []
    for step in steps:
        if step == "change":
            told += turn.change(now=0.0)
        else:
            made[step] += 1
            told += turn.take(step, [result(made[step])], now=0.0)
    numbers = [record.time_ns for record in told]
    assert len(numbers) == len(set(numbers))
    assert made[turn.speaker] <= len(numbers)
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_an_event_that_both_saw_is_told_once_though_they_do_not_agree_on_its_first_millisecond():
    turn = Turn()
    assert turn.take(OLD, [event(1_000_000_000)], 0.0) == [event(1_000_000_000)]
    turn.take(NEW, [event(1_001_000_000), event(1_001_000_000, 2_000_000_000)], 0.0)
    assert turn.change(0.0) == [event(1_001_000_000, 2_000_000_000)]


def test_times_that_were_made_up_silence_the_next_one_for_a_moment_only():
    turn = Turn()
    turn.change(0.0)
    turn.take(NEW, [result(10**18)], 0.0)
    turn.take(OLD, [result(5)], 0.0)
    turn.change(1.0)
    assert turn.take(OLD, [result(2_000_000_000)], 2.0) == [result(2_000_000_000)]


def test_what_a_version_does_not_declare_is_not_missed():
    info = AlgorithmInfo("a", "1.0.0", "A.", (Kind.SAMPLES,), (Kind.RESULT,), ("count/1",))
    made = {("result", "count/1", "t"): 5, ("result", "other/1", "t"): 5, ("event", "dip", "t", (), True): 1}
    assert declared(made, info) == {("result", "count/1", "t"): 5}


def test_fewer_records_count_where_the_settings_are_the_same_and_silence_always():
    series = ("frame", "t")
    assert "200" in shortfall({series: 200}, {series: 100}, same_settings=True)
    assert shortfall({series: 200}, {series: 100}, same_settings=False) == ""
    assert "200" in shortfall({series: 200}, {}, same_settings=False)
    assert shortfall({series: 3}, {}, same_settings=True) == ""


def test_events_are_not_waited_for_before_the_new_version_takes_over():
    series = ("event", "dip", "t", (), True)
    assert is_abreast({series: 5}, {}, {series: 1}, seen_working=True)
    assert not is_abreast({series: 5}, {}, {series: 1}, seen_working=False)


def test_the_same_frames_are_equal_and_a_scaled_one_is_named_with_its_largest_difference():
    comparison = Comparison(0.0)
    frames = [full_frame(20_000_000 * number) for number in range(1, 11)]
    comparison.shadow(frames, 0.1)
    comparison.in_force(frames, 0.1)
    assert comparison.verdict.compared == 10
    assert comparison.verdict.differing == 0
    frame = full_frame(10**9)
    phasor = msgspec.structs.replace(frame.voltage["A"], magnitude=frame.voltage["A"].magnitude * 1.25)
    comparison.in_force([frame], 0.2)
    comparison.shadow([msgspec.structs.replace(frame, voltage={**frame.voltage, "A": phasor})], 0.2)
    assert comparison.verdict.differing == 1
    assert comparison.verdict.largest == pytest.approx(0.2)
    assert comparison.verdict.where == "voltage.A.magnitude"


def test_numbers_are_judged_by_the_uncertainty_beside_them_and_angles_around_the_circle():
    assert not list(differences(Estimate(50.0, 0.01), Estimate(50.009, 0.01)))
    assert next(iter(differences(Estimate(50.0, 0.01), Estimate(50.02, 0.01))))[1] == "value"
    near, far = Phasor(1.0, 3.1415, 0.0, 0.001), Phasor(1.0, -3.1415, 0.0, 0.001)
    assert not list(differences(near, far))
    assert list(differences({"a": [1, 2]}, {"a": [1]})) == [(1.0, "a")]
    assert list(differences({"a": 1.0}, {"a": None})) == [(1.0, "a")]
    assert list(differences({"a": 1.0}, {"b": 1.0})) == [(1.0, "a"), (1.0, "b")]


def test_what_one_of_them_did_not_make_is_counted_but_not_what_was_before_the_shadow_s_first():
    comparison = Comparison(0.0)
    comparison.in_force([result(1), result(2)], 0.0)
    comparison.shadow([result(2)], 0.0)
    comparison.in_force([result(3), result(4)], 0.0)
    comparison.shadow([result(4), result(5)], 0.0)
    comparison.in_force([result(6)], 0.0)
    verdict = comparison.verdict
    assert (verdict.compared, verdict.missing, verdict.extra) == (2, 1, 1)


def test_a_silent_shadow_misses_everything_once_its_time_is_over():
    comparison = Comparison(0.0)
    comparison.in_force([result(number) for number in range(5)], 0.0)
    comparison.expire(PATIENCE / 2)
    assert comparison.verdict.missing == 0
    comparison.expire(PATIENCE + 1.0)
    assert comparison.verdict.missing == 5


def test_a_flood_of_differences_costs_a_bounded_number_of_comparisons_and_no_memory():
    comparison = Comparison(0.0)
    for number in range(1000):
        comparison.in_force([result(number, n=1)], 0.5)
        comparison.shadow([result(number, n=2)], 0.5)
    assert comparison.verdict.compared <= LOOKED_INTO + 1
    for number in range(10_000):
        comparison.shadow([Result(f"c{number}/1", "t", number, {})], 0.5)
        comparison.shadow([result(10_000 + number)], 0.5)
    assert sum(len(row) for rows in comparison._waiting.values() for row in rows) < 1000
