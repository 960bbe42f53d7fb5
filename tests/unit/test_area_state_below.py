"""What an estimator takes of the states of the areas below it, and what it leaves."""

import math

import msgspec
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.grid_records import GridState, NodeState
from algorithms.api.network_area import area_of
from algorithms.api.network_reader import parse
from algorithms.api.readings import Estimate, Phasor
from algorithms.builtin.states.mv_state import MvState
from tests.support.state_chain import MINUTE, START_NS, document_of
from tests.support.state_grid import three_level_document

HALF = START_NS + MINUTE // 2


@pytest.fixture(scope="module")
def model():
    document = document_of(three_level_document(stations=2, concentrators=1, customers=2))
    return parse(area_of(document, "mv"))


def below(area="lv-1", head="m1", u_p=100.0, u_sum=50.0, **fields):
    """The state of a low-voltage area with 5 kW by phase."""
    powers = {phase: Estimate(5e3, u_p) for phase in "ABC"} | {"ABC": Estimate(15e3, u_sum)}
    voltage = {pair: Phasor(15e3, 0.0, 10.0, 0.1) for pair in ("AB", "BC", "CA")}
    state = GridState(area, "lv", HALF, 1, 0, (), interval=60.0, equivalent=NodeState(head, voltage, powers, powers))
    return msgspec.structs.replace(state, **fields)


def told_of(model, *states):
    plugin = MvState({})
    plugin.start(Context(device="d", network=model), None)
    records = [*plugin.tick(HALF)]
    for state in states:
        records += plugin.process(state)
    records += plugin.tick(START_NS + MINUTE + 10_000_000_000)
    return next(one for one in records if isinstance(one, GridState))


@pytest.mark.parametrize("u", [1e200, 1e-200, 0.0, -5.0, math.inf, math.nan])
def test_no_uncertainty_of_a_state_from_below_is_too_large_or_small_to_be_read(model, u):
    for fields in ({"u_p": u}, {"u_sum": u}, {"u_p": u, "u_sum": u}):
        assert told_of(model, below(**fields)).converged


def test_the_sum_of_the_phases_of_an_area_is_no_second_reading_of_them(model):
    wrong = below()
    wrong.equivalent.p["ABC"] = Estimate(15e6, 50.0)
    state, plain = told_of(model, wrong), told_of(model, below())
    assert state.degrees_of_freedom == plain.degrees_of_freedom
    assert state.suspects == ()


def test_a_state_that_agrees_with_itself_but_little_is_used_and_a_torn_one_is_not(model):
    used = told_of(model, below(objective=20.0, degrees_of_freedom=10, reason="readings contradict each other"))
    assert used.counts["assumed"] == 3  # the other area
    torn = told_of(model, below(objective=1000.0, degrees_of_freedom=10, reason="readings contradict each other"))
    assert torn.counts["assumed"] == 6
    assert "lv-1" not in torn.missing
