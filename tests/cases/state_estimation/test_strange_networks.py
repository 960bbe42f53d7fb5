"""
Networks nobody tuned the estimator for, against exact least squares and truths of OpenDSS and power-grid-model.

A neutral that is broken, two sources into a mesh, a zigzag transformer, meters at every terminal, all meters silent but
one, powers that contradict each other where nothing is drawn: right, or plainly said to be unsure.
"""

import math

import numpy as np
import pytest

from algorithms.api.network_reader import parse
from algorithms.grid.estimation.bad_data import examine
from algorithms.grid.estimation.least_squares import Estimator
from algorithms.grid.estimation.measurement import Measurement, Quantity
from algorithms.grid.estimation.observability import view
from tests.support.exact_wls import ExactWls
from tests.support.metering import at_customers, expected_power, find_truth, flows_at, metered, truths, voltages_at

P, Q = Quantity.P, Quantity.Q


def node(name, phases, base, **others):
    return {"id": name, "phases": phases, "base_voltage": base, **others}


def line(one, other, phases, length, own, between, charge=0.0):  # noqa: PLR0917 - what a line is
    size = range(len(phases))
    matrices = {
        "r": [[length * (own.real if i == j else between.real) for j in size] for i in size],
        "x": [[length * (own.imag if i == j else between.imag) for j in size] for i in size],
    }
    if charge:
        matrices["b"] = [[length * (charge if i == j else -charge / 8) for j in size] for i in size]
    return {"id": f"{one}-{other}", "from_node": one, "to_node": other, "length": length, "phases": phases, **matrices}


def draws(name, powers, **others):
    return {"id": f"at-{name}", "node": name, "p": powers, "q": {key: 0.3 * p for key, p in powers.items()}, **others}


def network(nodes, sources, branches, loads, **others):
    head = {"schema": "network/1", "network": "strange", "revision": 1}
    return {**head, "nodes": nodes, "sources": sources, "branches": branches, "loads": loads, **others}


def street(*, broken_at=None):
    """Give four wires past eight houses, generators among them; the neutral may be open, and earthed beyond."""
    nodes = [node("b0", "ABCN", 400.0, grounding={"kind": "solid"})]
    branches, loads, generators = [], [], []
    for k in range(1, 9):
        earthing = {"grounding": {"kind": "resistance", "r": 3.0}} if k in {4, 8} else {}
        nodes.append(node(f"b{k}", "ABCN", 400.0, **earthing))
        phases = "ABC" if k == broken_at else "ABCN"
        branches.append(line(f"b{k - 1}", f"b{k}", phases, 40.0, 4e-4 + 7e-4j, 5e-5 + 4e-4j))
        loads.append(draws(f"b{k}", {"A": 500.0 + 20 * k, "B": 500.0, "C": 480.0}))
    nodes.append(node("s1", "AN", 400.0))
    branches.append(line("b3", "s1", "AN", 40.0, 4e-4 + 7e-4j, 5e-5 + 4e-4j))
    loads.append(draws("s1", {"A": 900.0}))
    generators += [
        {"id": f"pv{k}", "node": f"b{k}", "p": {phase: -2500.0}, "q": {phase: 0.0}} for k, phase in ((2, "B"), (3, "C"))
    ]
    source = {"id": "grid", "node": "b0", "voltage": 236.0, "r1": 0.01, "x1": 0.02, "r0": 0.02, "x0": 0.04}
    return network(nodes, [source], branches, loads, generators=generators)


def mesh():
    nodes = [node(f"b{k}", "ABC", 15e3) for k in range(9)]
    ways = ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 2), (1, 5))
    branches = [line(f"b{a}", f"b{b}", "ABC", 900.0, 1.6e-4 + 3.5e-4j, 5e-5 + 1.5e-4j, 9e-8) for a, b in ways]
    loads = [draws(f"b{k}", {"A": 60e3 + 5e3 * k, "B": 50e3, "C": 70e3 - 4e3 * k}) for k in (1, 2, 3, 4, 5, 7, 8)]
    first = {"id": "g1", "node": "b0", "voltage": 15.1e3 / math.sqrt(3), "r1": 0.1, "x1": 0.9, "r0": 0.2, "x0": 1.8}
    second = {"id": "g2", "node": "b6", "voltage": 15.2e3 / math.sqrt(3), "angle": 0.01, "r1": 0.15, "x1": 1.1}
    plant = {"id": "pv", "node": "b4", "p": dict.fromkeys("ABC", -150e3), "q": dict.fromkeys("ABC", 0.0)}
    second |= {"r0": 0.3, "x0": 2.2}
    return network(nodes, [first, second], branches, loads, generators=[plant])


def customers(model):
    return [*at_customers(model), *voltages_at(model, *(model.nodes.ids[row] for row in model.sources.node))]


def every_terminal(model):
    """Want |V|, sums of P and Q, P, Q and |I| at both ends of lines and at sources, and voltages between phases."""
    wanted = [*at_customers(model, powers=False), *voltages_at(model, model.nodes.ids[model.sources.node[0]])]
    for name in (*model.loads.ids, *model.generators.ids):
        wanted += [(P, name, "ABC", 0), (Q, name, "ABC", 0)]
    for name in model.branches.ids:
        wanted += [*flows_at(model, name), *flows_at(model, name, 1, (Quantity.CURRENT,))]
    for name in model.sources.ids:
        wanted += flows_at(model, name)
    whole = model.nodes.conductors[:, :3].all(axis=1)
    wanted += [(Quantity.VOLTAGE, name, "AB", 0) for name, there in zip(model.nodes.ids, whole, strict=True) if there]
    return wanted


def case(document, wanted, **others):
    model = parse(document)
    return model, metered(model, find_truth(model), wanted(model), **others)


def phase_to_neutral(model, voltages):
    return np.abs(voltages[:, :3] - np.where(model.nodes.conductors[:, 3:], voltages[:, 3:], 0.0))


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (street(), every_terminal),
        (street(broken_at=4), customers),
        (mesh(), customers),
        (mesh(), every_terminal),
    ],
    ids=["street, every terminal", "broken neutral", "mesh of two sources", "mesh, every terminal"],
)
def test_estimate_and_sigma_are_those_of_exact_least_squares(document, wanted):
    model, metering = case(document, wanted)
    estimator, judge = Estimator(model, metering.measurements), ExactWls(model, metering.measurements)
    rng = np.random.default_rng(2)
    values, prior = metering.draw(rng, 1)[0], metering.draw_priors(rng, 1)[0]
    found = estimator.estimate(values, prior=prior, u_prior=metering.u_prior)
    start = metering.truth.voltages, metering.truth.power
    exact = judge.estimate(values, prior=prior, u_prior=metering.u_prior, start=start, tolerance=1e-3)
    assert found.converged, found.reason
    at = model.nodes.conductors[:, :3] & (exact.u_magnitude > 1e-6 * model.nodes.nominal_voltage[:, np.newaxis])
    off = np.abs(found.phase_voltages) - phase_to_neutral(model, exact.voltages)
    assert (np.abs(off)[at] < 0.05 * exact.u_magnitude[at]).all()
    assert found.u_magnitude[at] == pytest.approx(exact.u_magnitude[at], rel=0.01)


@pytest.mark.parametrize("document", [street(), mesh()], ids=["street", "mesh"])
def test_with_one_meter_left_nothing_wrong_is_told_for_sure(document):
    model, metering = case(document, customers)
    estimator, rng = Estimator(model, metering.measurements), np.random.default_rng(4)
    own = {model.loads.ids[0], model.nodes.ids[model.loads.node[0]]}
    silent = [index for index, one in enumerate(metering.measurements) if one.place not in own]
    true = phase_to_neutral(model, metering.truth.voltages)
    away = []
    for values, prior in zip(metering.draw(rng, 40), metering.draw_priors(rng, 40), strict=True):
        values[silent] = np.nan
        found = estimator.estimate(values, prior=prior, u_prior=metering.u_prior)
        assert found.converged, found.reason
        seen = found.observable[:, :3]
        away.append((np.abs(found.phase_voltages) - true)[seen] / found.u_magnitude[seen])
        values[:] = np.nan
        nothing = estimator.estimate(values, prior=prior, u_prior=metering.u_prior)
        assert set(view(nothing).hidden_nodes) == set(model.nodes.ids)
    assert np.abs(np.concatenate(away)).max() < 4.0
    assert np.mean(np.abs(np.concatenate(away)) < 2.0) > 0.9


def test_a_zigzag_transformer_carries_estimates_to_its_customers():
    """Readings follow from power-grid-model's voltages alone."""
    base = 10e3**2 / 160e3
    nodes = [*(node(f"b{k}", "ABC", 10e3) for k in range(4)), *(node(f"l{k}", "ABC", 400.0) for k in range(6))]
    ways = [(f"b{k}", f"b{k + 1}", 900.0, 1.6e-4 + 3.5e-4j, 5e-5 + 1.5e-4j) for k in range(3)]
    ways += [(f"l{k}", f"l{k + 1}", 60.0, 4e-4 + 7e-4j, 5e-5 + 4e-4j) for k in range(5)]
    branches = [line(a, b, "ABC", *rest) for a, b, *rest in ways]
    loads = [draws("b2", {"A": 40e3, "B": 60e3, "C": 50e3})]
    loads += [draws(f"l{k}", {"ABC"[k % 3]: 4000.0 + 300 * k}) for k in range(1, 6)]
    transformer = {"id": "t", "from_node": "b3", "to_node": "l0", "vector_group": "Yzn5", "rated_power": 160e3}
    transformer |= {"rated_voltage": [10e3, 410.0], "r": 0.012 * base, "x": 0.038 * base}
    transformer |= {"to_grounding": {"kind": "solid"}}
    source = {"id": "grid", "node": "b0", "voltage": 5890.0, "r1": 0.25, "x1": 0.5, "r0": 0.5, "x0": 1.0}
    model = parse(network(nodes, [source], branches, loads, transformers=[transformer]))
    power = expected_power(model)
    true = np.abs(truths(model, power[np.newaxis])[0][:, :3])
    places = [(row, column) for row in (0, *model.loads.node.tolist()) for column in range(3)]
    measurements = [
        Measurement(f"{row}.{column}", Quantity.VOLTAGE, model.nodes.ids[row], "ABC"[column], 0.01 * true[row, column])
        for row, column in dict.fromkeys(places)
    ]
    exact = [true[row, column] for row, column in dict.fromkeys(places)]
    for row, column in zip(*np.nonzero(model.loads.connected), strict=True):
        for quantity, value in ((P, power[row, column].real), (Q, power[row, column].imag)):
            name = model.loads.ids[row]
            measurements.append(Measurement(f"{name}.{quantity}.{column}", quantity, name, "ABC"[column], 0.02 * value))
            exact.append(value)
    sigma = np.array([one.uncertainty for one in measurements])
    estimator, rng, away = Estimator(model, measurements), np.random.default_rng(6), []
    for _ in range(60):
        found = estimator.estimate(np.array(exact) + rng.standard_normal(len(sigma)) * sigma)
        assert found.converged, found.reason
        away.append((np.abs(found.phase_voltages) - true) / found.u_magnitude)
    assert 0.92 < np.mean(np.abs(away) < 2.0) < 0.99
    assert np.abs(away).max() < 5.0


@pytest.mark.parametrize("off", [1.3, 1000.0])
def test_flows_that_differ_where_nothing_is_drawn_are_never_believed_together(off):
    document = street()
    document["loads"] = [load for load in document["loads"] if load["node"] not in {"b5", "b6"}]

    def wanted(model):
        return [*customers(model), *(one for way in ("b4-b5", "b5-b6", "b6-b7") for one in flows_at(model, way))]

    model, metering = case(document, wanted)
    rng = np.random.default_rng(8)
    values, prior = metering.draw(rng, 1)[0], metering.draw_priors(rng, 1)[0]
    spoilt = [index for index in metering.rows("b5-b6") if metering.measurements[index].quantity in {P, Q}]
    values[spoilt] *= off
    judged = examine(Estimator(model, metering.measurements), values, prior=prior, u_prior=metering.u_prior)
    named = {name for one in judged.suspects for name in (one.measurement, *one.alternatives)}
    assert any(name.startswith("b5-b6.") for name in named)
    true = phase_to_neutral(model, metering.truth.voltages)
    at = model.nodes.conductors[:, :3]
    away = np.abs(np.abs(judged.estimate.phase_voltages) - true)[at] / judged.estimate.u_magnitude[at]
    assert away.max() < 4.0
