"""Concentrators, LV and MV grids estimated one upon the other agree with the truth of another engine."""

from dataclasses import dataclass

import numpy as np
import pytest

from algorithms.api.network import NetworkModel
from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_reader import parse
from algorithms.grid.estimation.measurement import Measurement, Quantity
from tests.support.exact_circuit import Circuit
from tests.support.exact_rows import measured
from tests.support.metering import Truth, find_truth
from tests.support.state_chain import MINUTE, START_NS, Chain, Meters, document_of, size_of
from tests.support.state_grid import three_level_document

GRIDS = {
    "feeder": {"stations": 2, "concentrators": 3, "customers": 6, "seed": 1},
    "town": {
        "stations": 3,
        "concentrators": 2,
        "customers": 9,
        "seed": 7,
        "base_mv": 20e3,
        "group": "Dyn5",
        "three_phase_share": 0.7,
    },
}
DRAWS = 40
MIDDLE = MINUTE // 2


@dataclass(frozen=True)
class Grid:
    document: NetworkDocument
    model: NetworkModel
    truth: Truth
    meters: Meters

    def voltage(self, node, key):
        voltages = self.truth.voltages[self.model.nodes.rows[node]]
        at = ["ABC".index(letter) for letter in key]
        return abs(voltages[at[0]] - (voltages[at[1]] if len(at) == 2 else 0))


@pytest.fixture(scope="module", params=GRIDS)
def grid(request):
    document = document_of(three_level_document(**GRIDS[request.param]))
    model = parse(document)
    return Grid(document, model, find_truth(model), Meters(model))


def minute(chain, grid, number, rng=None, without=()):
    start = START_NS + number * MINUTE
    chain.tick(start + MIDDLE)
    frames = grid.meters.read(grid.truth, start + MIDDLE, rng)
    states = chain.feed(frame for name, frame in frames.items() if name not in without)
    for seconds in (61, 63, 65, 67):
        states |= chain.tick(start + seconds * 1_000_000_000)
    return states


def drawn(grid, transformer):
    """P and Q that a transformer draws by phase, of the truth [W, var]."""
    forms = [
        Measurement(f"{quantity}{phase}", quantity, transformer, phase, 1.0)
        for quantity in (Quantity.P, Quantity.Q)
        for phase in "ABC"
    ]
    return measured(Circuit(grid.model), forms, grid.truth.voltages, grid.truth.power).reshape(2, 3)


def test_without_errors_every_level_finds_the_truth_with_its_first_scan(grid):
    states = minute(Chain(grid.document), grid, 0)
    assert set(states) == {area.id for area in grid.document.areas}
    for state in states.values():
        for node in state.nodes:
            for key, phasor in node.voltage.items():
                assert phasor.magnitude == pytest.approx(grid.voltage(node.node, key), rel=2e-4)
    for name, state in states.items():
        if state.level == "lv":
            p, q = drawn(grid, "t" + name.removeprefix("lv-"))
            size = np.hypot(p, q).sum()
            assert state.equivalent.p["ABC"].value == pytest.approx(p.sum(), abs=2e-3 * size)
            assert [state.equivalent.q[k].value for k in "ABC"] == pytest.approx(q, abs=2e-3 * size)


def test_what_is_told_is_as_sure_as_it_says_at_every_level(grid):
    chain, rng = Chain(grid.document), np.random.default_rng(11)
    off: dict[str, list[float]] = {}
    suspected = 0
    for number in range(DRAWS):
        for state in minute(chain, grid, number, rng).values():
            assert state.converged
            suspected += bool(state.suspects)
            for node in state.nodes:
                for key, phasor in node.voltage.items():
                    true = grid.voltage(node.node, key)
                    off.setdefault(state.level, []).append((phasor.magnitude - true) / phasor.u_magnitude)
    for level, found in off.items():
        assert 0.915 <= np.mean(np.abs(found) < 2) <= 0.99, level
    assert suspected <= 0.03 * DRAWS * len(chain.plugins)


def test_a_meter_that_falls_silent_widens_what_depends_on_it_in_the_same_scan(grid):
    chain, rng = Chain(grid.document), np.random.default_rng(3)
    before = minute(chain, grid, 0, rng)
    terminal = next(one.id for one in grid.document.terminals if one.equipment.startswith("h-"))
    name = chain.reader_of(terminal)
    after = minute(chain, grid, 1, rng, without={terminal})
    assert after[name].missing == (terminal,)
    widest = max(
        after[name].equivalent.p[k].uncertainty / before[name].equivalent.p[k].uncertainty
        for k in after[name].equivalent.p
    )
    assert widest > 3
    lv = next(one for one, model in chain.models.items() if any(a.id == name for a in model.areas if not a.nodes))
    assert after[lv].equivalent.p["ABC"].uncertainty > 1.2 * before[lv].equivalent.p["ABC"].uncertainty
    for state in after.values():
        for node in state.nodes:
            for key, phasor in node.voltage.items():
                assert abs(phasor.magnitude - grid.voltage(node.node, key)) < 5 * phasor.u_magnitude


def test_an_lv_grid_without_readings_leaves_the_mv_grid_a_state_by_forecast(grid):
    chain, rng = Chain(grid.document), np.random.default_rng(4)
    dark = {t.id for t in grid.document.terminals if t.node.startswith("s1-")}
    states = minute(chain, grid, 0, rng, without=dark)
    assert "lv-1" not in states
    state = states["mv"]
    assert state.missing == ("lv-1",)
    assert state.counts["assumed"] == 3
    for node in state.nodes:
        for key, phasor in node.voltage.items():
            assert abs(phasor.magnitude - grid.voltage(node.node, key)) < 4 * phasor.u_magnitude


def test_states_of_all_levels_fit_into_a_message_many_times(grid):
    for state in minute(Chain(grid.document), grid, 0).values():
        assert size_of(state) < 10_000
