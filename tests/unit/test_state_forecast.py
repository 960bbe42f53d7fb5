"""What is expected of loads that nobody measures: profiles by time of day and week, and the last known power."""

import numpy as np
import pytest

from algorithms.api.network_reader import parse
from algorithms.builtin.states.local_time import LocalTime
from algorithms.builtin.states.state_forecast import DAY, Forecast, Profile, read_profiles
from tests.support.state_grid import three_level_document

SECOND = 1_000_000_000
MONDAY_NS = 4 * 86_400 * SECOND
"""1970-01-05, 00:00 UTC, a Monday."""


@pytest.fixture
def model():
    document = three_level_document(stations=1, concentrators=1, customers=2, three_phase_share=0.0)
    document["loads"][0] |= {"profile": "H0"}
    return parse(document)


def forecast(model, profiles=None, local_time=LocalTime(0), hold=0.0, growth=0.3):  # noqa: B008 - frozen
    return Forecast(model, profiles or {}, local_time, hold, growth, 1.0)


def test_a_load_without_profile_is_expected_as_the_document_says(model):
    power, sigma = forecast(model).at(MONDAY_NS)
    assert np.array_equal(power, model.loads.p + 1j * model.loads.q)
    assert np.array_equal(sigma.real, model.loads.u_p)


def test_of_a_load_without_any_knowledge_nothing_is_made_up():
    document = three_level_document(stations=1, concentrators=1, customers=2, three_phase_share=0.0)
    for load in document["loads"]:
        del load["u_p"], load["u_q"]
    unknown = parse(document)
    _, sigma = forecast(unknown).at(MONDAY_NS)
    there = unknown.loads.connected
    assert np.isinf(sigma.real[there]).all()
    assert np.isinf(sigma.imag[there]).all()


def test_a_profile_scales_what_is_expected_by_the_time_of_day(model):
    profile = Profile(p=(0.5, 2.0), q=(1.0,), uncertainty=0.4, period=DAY)
    evening = MONDAY_NS + 18 * 3600 * SECOND
    power, sigma = forecast(model, {"H0": profile}).at(evening)
    assert power[0] == pytest.approx(2.0 * model.loads.p[0] + 1j * model.loads.q[0])
    there = model.loads.p[0] != 0
    assert sigma[0].real[there] == pytest.approx(0.8 * model.loads.p[0][there])
    assert power[1] == pytest.approx(model.loads.p[1] + 1j * model.loads.q[1])


def test_weeks_begin_on_monday_and_days_at_local_midnight(model):
    week = Profile(p=(1, 2, 3, 4, 5, 6, 7), q=(1,), uncertainty=0.5, period=7 * DAY)
    assert week.at(MONDAY_NS / SECOND) == (1, 1)
    assert week.at(MONDAY_NS / SECOND + 6.5 * DAY) == (7, 1)
    hours = Profile(p=tuple(hour / 10 for hour in range(24)), q=(1,), uncertainty=0.5, period=DAY)
    power, _ = forecast(model, {"H0": hours}, LocalTime(3600)).at(MONDAY_NS + 7 * 3600 * SECOND)
    assert power[0].real == pytest.approx(0.8 * model.loads.p[0])


def test_a_held_power_stands_in_and_grows_less_sure_until_the_forecast_is_surer(model):
    held = forecast(model, hold=3600.0, growth=0.1)
    measured = np.zeros((2, 3), dtype=bool)
    measured[0] = model.loads.p[0] != 0
    known = 1.3 * (model.loads.p + 1j * model.loads.q)
    held.learn(MONDAY_NS, known, np.full((2, 3), 5.0 + 5.0j), measured)
    column = int(np.flatnonzero(measured[0])[0])
    sigmas = []
    for minutes in (0, 1, 4):
        power, sigma = held.at(MONDAY_NS + minutes * 60 * SECOND)
        assert power[0, column].real == pytest.approx(known[0, column].real)
        sigmas.append(sigma[0, column].real)
        assert sigma[1] == pytest.approx(model.loads.u_p[1] + 1j * model.loads.u_q[1])
    size = abs(known[0, column])
    assert sigmas == pytest.approx([5.0, np.hypot(5.0, 0.1 * size), np.hypot(5.0, 0.2 * size)])
    power, sigma = held.at(MONDAY_NS + 50 * 60 * SECOND)
    assert power[0, column].real == pytest.approx(model.loads.p[0, column])
    assert sigma[0, column].real == pytest.approx(model.loads.u_p[0, column])


def test_what_is_held_survives_a_restart(model):
    first = forecast(model, hold=3600.0)
    first.learn(MONDAY_NS, np.full((2, 3), 7.0 + 2.0j), np.full((2, 3), 0.5 + 0.5j), model.loads.connected)
    second = forecast(model, hold=3600.0)
    second.restore([*map(tuple, first.state()), ("gone", 0, 0.0, 1.0, 1.0, 1.0, 1.0)])
    for one, other in zip(first.at(MONDAY_NS + SECOND), second.at(MONDAY_NS + SECOND), strict=True):
        assert np.array_equal(one, other)


def test_everything_wrong_with_profiles_is_found_at_once():
    _, problems = read_profiles(
        {"a": 5, "b": {"p": [1, "x"], "uncertainty": 0.5}, "c": {"p": [1], "q": [], "uncertainty": 0, "period": 60}}
    )
    assert [problem.where.removeprefix("settings.profiles.") for problem in problems] == [
        "a",
        "b.p",
        "c.q",
        "c.uncertainty",
        "c.period",
    ]
