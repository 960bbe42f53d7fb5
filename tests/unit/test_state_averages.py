"""The mean of an interval's readings: what averaging makes smaller, and what it does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.builtin.states.state_averages import average

INTERVAL = 60e9
ALONE = np.array([0])


def rows(*readings, window=0.08e9):
    """Rows of one value: time [s], value, uncertainty."""
    return np.array(sorted((1e9 * time, window, value, u) for time, value, u in readings))


def test_the_uncertainty_a_meter_states_does_not_shrink_by_averaging():
    many = rows(*((second, 230.0, 2.3) for second in range(60)), window=1e9)
    averaged = average(many, INTERVAL, np.array([0.002]), ALONE)
    assert averaged.values[0] == pytest.approx(230.0)
    assert averaged.uncertainty[0] == pytest.approx(2.3, rel=1e-4)


def test_one_snapshot_is_as_uncertain_as_a_load_wanders_in_the_interval():
    averaged = average(rows((0.0, 1000.0, 10.0)), INTERVAL, np.array([0.1]), ALONE)
    assert averaged.uncertainty[0] == pytest.approx(np.hypot(10.0, 100.0), rel=1e-2)


def test_a_window_over_the_whole_interval_leaves_nothing_unseen():
    averaged = average(rows((30.0, 1000.0, 10.0), window=INTERVAL), INTERVAL, np.array([0.1]), ALONE)
    assert averaged.uncertainty[0] == pytest.approx(10.0)


def test_readings_spread_over_the_interval_tell_more_than_as_many_in_a_row():
    pick = np.random.default_rng(1)
    values = 1000 + 100 * pick.standard_normal(10)
    spread = average(rows(*((6 * k + 3, v, 1.0) for k, v in enumerate(values))), INTERVAL, np.array([0.1]), ALONE)
    close = average(rows(*((0.3 * k, v, 1.0) for k, v in enumerate(values))), INTERVAL, np.array([0.1]), ALONE)
    assert spread.uncertainty[0] < 0.5 * close.uncertainty[0]


def test_the_stated_uncertainty_of_a_mean_of_snapshots_is_right():
    pick = np.random.default_rng(2)
    errors = []
    for _ in range(2000):
        minute = 1000 + 150 * pick.standard_normal(10)  # a load that changes each six seconds
        seen = [(6 * k + 3, minute[k], 0.1) for k in range(0, 10, 2)]
        averaged = average(rows(*seen, window=6e9), INTERVAL, np.array([0.15]), ALONE)
        errors.append((averaged.values[0] - minute.mean()) / averaged.uncertainty[0])
    assert 0.9 < np.std(errors) < 1.2  # five readings tell their own scatter within a third


def test_reactive_power_wanders_with_the_apparent_power_of_its_phase():
    table = np.array([[0.0, 0.0, 3000.0, 1.0, 0.0, 1.0]])
    averaged = average(table, INTERVAL, np.array([0.1, 0.1]), np.array([1, 0]))
    assert averaged.uncertainty == pytest.approx([300.0, 300.0], rel=1e-4)


def test_a_reading_that_comes_twice_counts_once():
    twice = average(rows((1, 10.0, 1.0), (1, 10.0, 1.0), (30, 40.0, 1.0)), INTERVAL, np.array([0.0]), ALONE)
    assert twice.values[0] == pytest.approx(25.0)
    assert twice.duplicates == 1


def test_readings_that_contradict_each_other_are_both_left_out():
    found = average(rows((1, 10.0, 1.0), (1, 900.0, 1.0), (30, 40.0, 1.0)), INTERVAL, np.array([0.0]), ALONE)
    assert found.values[0] == pytest.approx(40.0)
    assert found.contradictions == 2
    alone = average(rows((1, 10.0, 1.0), (1, 900.0, 1.0)), INTERVAL, np.array([0.0]), ALONE)
    assert np.isnan(alone.values[0])


@pytest.mark.parametrize(("value", "u"), [(np.inf, 1.0), (10.0, np.inf), (10.0, -1.0), (10.0, np.nan), (np.nan, 1.0)])
def test_what_is_no_measurement_is_counted_and_left_out(value, u):
    found = average(rows((1, value, u), (30, 40.0, 1.0)), INTERVAL, np.array([0.0]), ALONE)
    assert found.values[0] == pytest.approx(40.0)
    assert found.invalid == 1


@given(st.lists(st.tuples(st.integers(0, 59), st.floats(-1e6, 1e6), st.floats(0, 1e4)), min_size=1, max_size=50))
def test_a_mean_lies_among_its_readings_and_is_no_surer_than_the_surest(found):
    once = {time: (value, u) for time, value, u in found}
    averaged = average(rows(*((t, *v) for t, v in once.items())), INTERVAL, np.array([0.1]), ALONE)
    values, sigmas = zip(*once.values(), strict=True)
    assert min(values) - 1e-6 <= averaged.values[0] <= max(values) + 1e-6
    assert averaged.uncertainty[0] >= min(sigmas) * (1 - 1e-9) - 1e-100


@given(st.floats(-1e6, 1e6), st.floats(0, 1e4), st.floats(0, 60), st.floats(0, 60))
def test_a_single_reading_is_judged_as_many_of_it_would_be(value, u, time, window):
    table = np.array([[1e9 * time, 1e9 * window, value, u, np.nan, np.nan]])
    settings = INTERVAL, np.array([0.1, 0.1]), np.array([1, 0])
    one, twice = average(table, *settings), average(np.repeat(table, 2, axis=0), *settings)
    assert one.values == pytest.approx(twice.values, nan_ok=True)
    assert one.uncertainty == pytest.approx(twice.uncertainty, nan_ok=True)
    assert one.invalid == twice.invalid == 0
