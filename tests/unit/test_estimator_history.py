"""Whatever came before, a scan is what an estimator finds that was made for it alone: voltages and uncertainties."""

import msgspec
import numpy as np
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.grid_records import GridState
from algorithms.api.network_area import area_of
from algorithms.api.network_reader import parse
from algorithms.builtin.states.concentrator_state import ConcentratorState
from algorithms.grid.estimation.bad_data import examine
from algorithms.grid.estimation.least_squares import Estimator
from algorithms.grid.estimation.measurement import POWERS, Quantity
from tests.support.metering import find_truth
from tests.support.random_metering import random_case
from tests.support.state_chain import MINUTE, START_NS, Meters, document_of
from tests.support.state_grid import three_level_document

HALF = START_NS + MINUTE // 2
KINDS = ("good", "wild", "mixed up", "silent", "dead", "other sigmas", "similar sigmas", "wild forecast", "load", "tap")


def draw(case, rng, kind):
    """Give values, uncertainties, what is expected and its uncertainty, with what `kind` says being so."""
    metering = case.metering
    values, prior, uncertainty = metering.draw(rng, 1)[0], metering.draw_priors(rng, 1)[0], None
    quantities = np.array([one.quantity for one in metering.measurements], dtype=object)
    count = len(values)
    if kind == "wild":
        values[rng.integers(count)] *= rng.choice([1e3, -1e3, 1e5, 10.0])
    elif kind == "mixed up":
        values *= rng.choice([1.0, -1.0], size=count)
    elif kind == "silent":
        values = np.where(rng.random(count) < rng.choice([0.05, 0.4]), np.nan, values)
    elif kind == "dead":
        values[:] = np.nan
    elif kind.endswith("sigmas"):
        least, most = (0.3, 3.0) if kind.startswith("other") else (0.96, 1.04)
        uncertainty = metering.sigma * rng.uniform(least, most, count)
    elif kind == "wild forecast":
        prior = prior * rng.choice([3.0, 1e3])
    elif kind == "load":
        factor = rng.uniform(0.05, 1.3)
        flowing = np.array([one in {*POWERS, Quantity.CURRENT} for one in quantities])
        values, prior = np.where(flowing, factor * values, values), factor * prior
    elif kind == "tap":
        values = np.where(quantities == Quantity.VOLTAGE, rng.uniform(0.9, 1.1) * values, values)
    return values, uncertainty, prior, case.u_prior


def found(estimator, scan, *, examined):
    values, uncertainty, prior, u_prior = scan
    if examined:
        return examine(estimator, values, uncertainty, prior=prior, u_prior=u_prior).estimate
    return estimator.estimate(values, uncertainty, prior=prior, u_prior=u_prior)


@pytest.mark.parametrize("ten", range(2))
def test_a_scan_is_that_of_a_fresh_estimator_whatever_came_before(ten):
    """Bad, silent and changed scans in any order, on random networks with any meters."""
    compared = 0
    for seed in range(10 * ten, 10 * ten + 10):
        case, rng = random_case(seed, largest=60), np.random.default_rng(seed + 1_000_000)
        if not len(case.values):
            continue
        used, history = Estimator(case.model, case.metering.measurements), []
        for _ in range(6):
            kind, examined = str(rng.choice(KINDS)), bool(rng.random() < 0.3)
            history.append(kind)
            scan = draw(case, rng, kind)
            fresh = found(Estimator(case.model, case.metering.measurements), scan, examined=examined)
            now = found(used, scan, examined=examined)
            assert now.converged == fresh.converged, (seed, history)
            if not now.converged:
                continue
            at, sigma = fresh.u_magnitude > 0, fresh.u_magnitude
            away = np.abs(np.abs(now.phase_voltages) - np.abs(fresh.phase_voltages))
            assert (away <= 0.02 * sigma + 1e-9)[at].all(), (seed, history)
            assert now.u_magnitude[at] == pytest.approx(sigma[at], rel=0.01), (seed, history)
            drawn = fresh.u_power.real > 0
            assert now.u_power.real[drawn] == pytest.approx(fresh.u_power.real[drawn], rel=0.01), (seed, history)
            compared += 1
    assert compared > 15


def test_after_an_interval_with_a_meter_a_thousand_times_too_large_later_ones_are_as_sure_as_ever():
    document = document_of(three_level_document(stations=1, concentrators=1, customers=4))
    model = parse(area_of(document, "c-s1-1"))
    whole = parse(document)
    own = {terminal.id for terminal in model.terminals}
    truth = find_truth(whole)

    def told(plugin, minute, change):
        frames = {name: one for name, one in Meters(whole).read(truth, HALF + minute * MINUTE).items() if name in own}
        change(frames)
        records = [*plugin.tick(HALF + minute * MINUTE)]
        for frame in frames.values():
            records += plugin.process(frame)
        records += plugin.tick(START_NS + (minute + 1) * MINUTE + 10_000_000_000)
        state = next(one for one in records if isinstance(one, GridState))
        return {(node.node, phase): one.u_magnitude for node in state.nodes for phase, one in node.voltage.items()}

    def started():
        plugin = ConcentratorState({})
        plugin.start(Context(device="d", network=model), None)
        return plugin

    first = min(own & Meters(whole).read(truth, HALF).keys())

    def wild(frames):
        power = {
            phase: msgspec.structs.replace(one, p=1e3 * one.p, q=1e3 * one.q)
            for phase, one in frames[first].power.items()
        }
        frames[first] = msgspec.structs.replace(frames[first], power=power)

    plugin = started()
    told(plugin, 0, wild)
    for minute, change in ((1, lambda frames: frames.pop(first)), (2, lambda _: None), (3, lambda _: None)):
        assert told(plugin, minute, change) == pytest.approx(told(started(), minute, change), rel=0.01)
