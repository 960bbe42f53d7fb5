"""Forecasts that cannot be right: watts written for factors, and more than a load's rating."""

import numpy as np
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.grid_records import GridState
from algorithms.api.network_area import area_of
from algorithms.api.network_reader import parse
from algorithms.api.records import Event
from algorithms.builtin.states.concentrator_state import ConcentratorState
from algorithms.builtin.states.local_time import LocalTime
from algorithms.builtin.states.state_forecast import DAY, Forecast, Profile, read_profiles
from tests.support.metering import find_truth
from tests.support.state_chain import MINUTE, START_NS, Meters, document_of
from tests.support.state_grid import three_level_document

HALF = START_NS + MINUTE // 2


@pytest.mark.parametrize("name", ["p", "q"])
def test_watts_in_place_of_factors_are_refused(name):
    fields = {"p": [1.0, 0.5], "q": [1.0], "uncertainty": 0.3}
    _, problems = read_profiles({"H0": fields | {name: [350.0, -12.0]}})
    assert [problem.where for problem in problems] == [f"settings.profiles.H0.{name}"]
    assert read_profiles({"H0": fields | {name: [100.0, -100.0]}})[1] == []


def grid(rated=None):
    fields = three_level_document(stations=1, concentrators=1, customers=3, three_phase_share=0.0)
    for load in fields["loads"]:
        load["profile"] = "H0"
        del load["rated_power"]
    if rated:
        fields["loads"][0]["rated_power"] = rated
    return document_of(fields)


def test_a_forecast_beyond_a_rating_is_the_rating_give_or_take_all_of_it():
    model = parse(area_of(grid(rated=20e3), "c-s1-1"))
    profile = Profile((90.0,), (90.0,), 0.01, DAY)
    forecast = Forecast(model, {"H0": profile}, LocalTime(0), 0.0, 0.3, 1.0)
    power, sigma = forecast.at(HALF)
    assert forecast.implausible == (model.loads.ids[0],)
    there = model.loads.connected[0]
    assert np.abs(power[0]).sum() == pytest.approx(20e3)
    assert sigma.real[0][there] == pytest.approx(20e3)
    assert sigma.imag[0][~there].max() <= 1.0  # the least of any profile


def test_a_forecast_within_its_rating_is_as_sure_as_stated():
    model = parse(area_of(grid(rated=20e3), "c-s1-1"))
    forecast = Forecast(model, {"H0": Profile((2.0,), (2.0,), 0.3, DAY)}, LocalTime(0), 0.0, 0.3, 1.0)
    power, _ = forecast.at(HALF)
    assert forecast.implausible == ()
    assert power[0].real == pytest.approx(2.0 * model.loads.p[0])


def test_the_area_names_such_a_load_and_is_not_led_astray_by_it():
    document = grid(rated=8e3)
    model = parse(area_of(document, "c-s1-1"))
    whole = parse(document)
    frames = Meters(whole).read(find_truth(whole), HALF)
    mine = [terminal for terminal in model.terminals if terminal.id in frames]
    silent = next(one.id for one in mine if one.equipment == model.loads.ids[0])
    plugin = ConcentratorState({"profiles": {"H0": {"p": [95.0], "uncertainty": 0.05}}})
    plugin.start(Context(device="d", network=model), None)
    told = [*plugin.tick(HALF)]
    for one in mine:
        told += plugin.process(frames[one.id]) if one.id != silent else ()
    told += plugin.tick(START_NS + MINUTE + 10_000_000_000)
    state = next(one for one in told if isinstance(one, GridState))
    assert state.converged
    assert state.counts["implausible"] == 1
    events = [one.evidence["names"] for one in told if isinstance(one, Event) and one.kind == "forecasts-implausible"]
    assert events == [[model.loads.ids[0]]]
    phase = "ABC"[int(np.flatnonzero(model.loads.connected[0])[0])]
    right = sum(frames[one.id].power[phase].p for one in mine if phase in frames[one.id].power)
    assert abs(state.equivalent.p[phase].value - right) < 2.0 * state.equivalent.p[phase].uncertainty
