"""A source that is wrong as a whole: left out, named, and nothing wrong told with a small uncertainty."""

import msgspec
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.grid_records import GridState
from algorithms.api.network_area import area_of
from algorithms.api.network_reader import parse
from algorithms.api.readings import Estimate
from algorithms.builtin.states.concentrator_state import ConcentratorState
from algorithms.builtin.states.lv_state import LvState
from algorithms.builtin.states.mv_state import MvState
from tests.support.metering import find_truth
from tests.support.state_chain import MINUTE, START_NS, Meters, document_of
from tests.support.state_grid import three_level_document

HALF = START_NS + MINUTE // 2
PLUGINS = {"mv": MvState, "lv-1": LvState, "c-s1-1": ConcentratorState, "c-s1-2": ConcentratorState}
LARGE = [(1e3, 1.0), (1e3, 1e3), (1e6, 1.0), (-1e3, 1e3)]
SLIPS = [("mv", "lv-1", *one) for one in (*LARGE, (1e-3, 1.0), (1e-3, 1e-3))]
SLIPS += [("c-s1-1", "at-s1-1-4", *one) for one in LARGE]  # no other meter of it would see that its powers are small


class Grid:
    """Three levels with true readings, and the states each level gives of them."""

    def __init__(self):
        self.document = document_of(three_level_document(stations=1, concentrators=2, customers=4))
        whole = parse(self.document)
        self.truth = find_truth(whole)
        self.whole = whole
        self.frames = Meters(whole).read(self.truth, HALF)
        self.areas = {area: self.state(area, below=False) for area in ("c-s1-1", "c-s1-2")}
        self.areas["lv-1"] = self.state("lv-1")

    def model(self, area):
        return parse(area_of(self.document, area))

    def records(self, area, *, below=True):
        model = self.model(area)
        found = {terminal.id: self.frames[terminal.id] for terminal in model.terminals if terminal.id in self.frames}
        if below:
            found |= {one.id: self.areas[one.id] for one in model.areas if one.id != area and one.id in self.areas}
        return found

    def state(self, area, *, below=True, **changed):
        plugin = PLUGINS[area]({})
        plugin.start(Context(device="d", network=self.model(area)), None)
        told = [*plugin.tick(HALF)]
        for record in (self.records(area, below=below) | changed).values():
            told += plugin.process(record)
        told += plugin.tick(START_NS + MINUTE + 10_000_000_000)
        return next(one for one in told if isinstance(one, GridState))


@pytest.fixture(scope="module")
def grid():
    return Grid()


def slipped(record, times, u_times):
    """A record whose powers of all phases are wrong by a factor."""
    if isinstance(record, GridState):
        head = record.equivalent

        def scaled(powers):
            return {name: Estimate(one.value * times, one.uncertainty * u_times) for name, one in powers.items()}

        head = msgspec.structs.replace(head, p=scaled(head.p), q=scaled(head.q))
        return msgspec.structs.replace(record, equivalent=head)
    power = {
        phase: msgspec.structs.replace(
            one, p=one.p * times, q=one.q * times, u_p=one.u_p * u_times, u_q=one.u_q * u_times
        )
        for phase, one in record.power.items()
    }
    return msgspec.structs.replace(record, power=power)


def named(state):
    return {name for one in state.suspects for name in (one.measurement, *one.alternatives)}


def is_right(state, right):
    """Whether the powers and voltages that go up are right within three of the uncertainties told."""
    if state.equivalent is None:
        return True
    for name in "p", "q":
        for phase, one in getattr(state.equivalent, name).items():
            if abs(one.value - getattr(right.equivalent, name)[phase].value) > 3.0 * one.uncertainty:
                return False
    return all(
        abs(one.magnitude - right.equivalent.voltage[phase].magnitude) <= 3.0 * one.u_magnitude
        for phase, one in state.equivalent.voltage.items()
    )


@pytest.mark.parametrize(("area", "source", "times", "u_times"), SLIPS)
def test_a_source_of_three_phases_with_a_wrong_unit_is_named_and_left_out_whole(grid, area, source, times, u_times):
    right = grid.state(area)
    assert right.suspects == ()
    state = grid.state(area, **{source: slipped(grid.records(area)[source], times, u_times)})
    assert any(name.split(".")[0] == source for name in named(state))
    assert state.converged
    assert is_right(state, right)


@pytest.mark.parametrize(("times", "u_times"), [(1e3, 1.0), (1e3, 1e3)])
def test_a_concentrator_a_thousand_times_too_large_does_not_reach_the_area_above(grid, times, u_times):
    right = grid.state("lv-1")
    state = grid.state("lv-1", **{"c-s1-1": slipped(grid.areas["c-s1-1"], times, u_times)})
    assert state.converged
    assert any(name.startswith("c-s1-1") for name in named(state))
    assert is_right(state, right)


@pytest.mark.parametrize("times", [0.5, 2.0, 3.0, 10.0, 100.0])
def test_where_nobody_can_tell_who_is_wrong_all_are_named_and_nothing_wrong_goes_up(grid, times):
    right = grid.state("mv")
    for source in ("lv-1", "at-m0"):
        state = grid.state("mv", **{source: slipped(grid.records("mv")[source], times, 1.0)})
        assert any(name.split(".")[0] == source for name in named(state)), (source, state)
        assert is_right(state, right)
        if state.equivalent is None:
            assert state.reason


def test_a_state_without_figures_names_its_suspects_too(grid):
    wrong = {
        name: slipped(record, 1e7 if number % 2 else -1e7, 1.0)
        for number, (name, record) in enumerate(grid.records("c-s1-1").items())
    }
    state = grid.state("c-s1-1", **wrong)
    assert state.suspects
    assert len({name.split(".")[0] for name in named(state)}) >= 4
