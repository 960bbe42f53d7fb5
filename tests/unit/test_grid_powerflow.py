"""Power flow by cases worked by hand, laws every solution keeps, and what it says when there is none."""

import math

import numpy as np
import pytest

from algorithms.api.errors import NetworkError
from algorithms.api.network_document import SwitchStates
from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import Method, prepare
from tests.support.networks import element, feeder_document, substation_document
from tests.support.random_networks import four_wire_document, random_document

BOTH = [Method.CURRENT_INJECTION, Method.SWEEP]


def one_load(p, q, exponent=0.0, r=0.5, x=0.1):
    """Give a source of 230 V behind j0.01 ohm and a phase with a load behind a line."""
    return {
        "schema": "network/1",
        "network": "one-load",
        "revision": 1,
        "nodes": [
            {"id": "head", "phases": "ABC", "base_voltage": 230.0 * math.sqrt(3)},
            {"id": "end", "phases": "A", "base_voltage": 230.0 * math.sqrt(3)},
        ],
        "sources": [{"id": "grid", "node": "head", "voltage": 230.0, "r1": 0.0, "x1": 0.01, "r0": 0.0, "x0": 0.01}],
        "branches": [
            {
                "id": "line",
                "from_node": "head",
                "to_node": "end",
                "length": 500.0,
                "phases": "A",
                "r": [[r]],
                "x": [[x]],
            }
        ],
        "loads": [
            {"id": "load", "node": "end", "p": {"A": p}, "q": {"A": q}, "p_exponent": exponent, "q_exponent": exponent}
        ],
    }


@pytest.mark.parametrize("method", BOTH)
def test_constant_power_through_one_impedance_solves_its_quadratic(method):
    r"""|V|^4 + |V|^2 (2 (R P + X Q) - E^2) + |Z|^2 |S|^2 = 0, the larger root."""
    solution = prepare(parse(one_load(6000.0, 2000.0)), method).solve()
    r, x, p, q = 0.5, 0.11, 6000.0, 2000.0
    b, c = 2 * (r * p + x * q) - 230.0**2, (r**2 + x**2) * (p**2 + q**2)
    expected = math.sqrt((-b + math.sqrt(b**2 - 4 * c)) / 2)
    assert abs(solution.voltages[1, 0]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("method", BOTH)
def test_constant_impedance_divides_the_voltage(method):
    solution = prepare(parse(one_load(5290.0, 0.0, exponent=2.0)), method).solve()
    load = 230.0**2 / 5290.0
    assert solution.voltages[1, 0] == pytest.approx(230.0 * load / (load + 0.5 + 0.11j), rel=1e-9)


@pytest.mark.parametrize("method", BOTH)
def test_constant_current_draws_its_nominal_current(method):
    solution = prepare(parse(one_load(4600.0, 0.0, exponent=1.0)), method).solve()
    assert abs(solution.currents[0, 0]) == pytest.approx(20.0, rel=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_elements_draw_the_power_that_was_asked_for(seed):
    model = parse(four_wire_document(seed, 40, grounded=True))
    solution = prepare(model).solve()
    assert solution.converged
    wye = [row for row, kind in enumerate(model.loads.connection) if kind == "wye"]
    at = model.loads.node[wye]
    across = solution.voltages[at, :3] - solution.voltages[at, 3:]
    drawn = across * solution.currents[wye].conj()
    ratio = np.abs(across) / model.nodes.nominal_voltage[at, np.newaxis]
    exponents = model.loads.exponents[wye]
    np.testing.assert_allclose(drawn.real, model.loads.p[wye] * ratio ** exponents[:, :1], atol=1e-4)
    np.testing.assert_allclose(drawn.imag, model.loads.q[wye] * ratio ** exponents[:, 1:], atol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_both_methods_find_the_same(seed):
    model = parse(four_wire_document(seed, 60) if seed % 2 else random_document(seed, 60))
    one, other = (prepare(model, method).solve() for method in BOTH)
    scale = model.nodes.nominal_voltage[:, np.newaxis]
    assert (np.abs(one.voltages - other.voltages) / scale).max() < 1e-9
    np.testing.assert_array_equal(one.energised, other.energised)


def test_one_preparation_serves_any_demand():
    model = parse(random_document(3, 40))
    prepared = prepare(model)
    full, half = prepared.solve(), prepared.solve(0.5 * prepared.power)
    again = prepared.solve()
    np.testing.assert_array_equal(full.voltages, again.voltages)
    assert np.abs(half.currents).sum() < np.abs(full.currents).sum()


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("nodes", [20, 400], ids=["dense", "sparse"])
def test_many_demands_at_once_are_solved_like_one_after_the_other(nodes, method):
    prepared = prepare(parse(random_document(6, nodes)), method)
    powers = prepared.power * np.linspace(0.2, 1.5, 7)[:, np.newaxis, np.newaxis]
    powers[3] *= 1e4  # far more than can be carried
    together = prepared.solve_all(powers)
    for power, found in zip(powers, together, strict=True):
        alone = prepared.solve(power)
        assert (found.converged, found.worst, found.references) == (alone.converged, alone.worst, alone.references)
        if found.converged:
            assert found.iterations == alone.iterations
            np.testing.assert_allclose(found.voltages, alone.voltages, rtol=1e-11)
            np.testing.assert_allclose(found.currents, alone.currents, rtol=1e-9)
    assert [found.converged for found in together] == [True, True, True, False, True, True, True]


def test_many_demands_of_another_shape_are_refused():
    prepared = prepare(parse(one_load(1000.0, 0.0)))
    with pytest.raises(ValueError, match=r"powers of shape \(s, 1, 3\) expected, found \(1, 3\)"):
        prepared.solve_all(prepared.power)


@pytest.mark.parametrize("method", BOTH)
def test_more_power_than_a_line_can_carry_is_told_with_its_place(method):
    solution = prepare(parse(one_load(60e3, 0.0)), method).solve()
    assert not solution.converged
    assert solution.worst == "end.A"
    assert "more power is drawn than can be carried there" in solution.reason


@pytest.mark.parametrize("method", BOTH)
def test_too_few_iterations_are_told(method):
    solution = prepare(parse(one_load(6000.0, 0.0)), method).solve(iterations=2)
    assert (solution.converged, solution.iterations) == (False, 2)
    assert solution.mismatch > 1e-9


@pytest.mark.parametrize("method", BOTH)
def test_a_network_without_load_is_solved_at_once(method):
    document = random_document(0, 20)
    document["loads"] = []
    solution = prepare(parse(document), method).solve()
    assert solution.converged
    assert solution.worst == ""
    assert not solution.currents.size


@pytest.mark.parametrize("method", BOTH)
def test_demands_of_another_shape_or_without_a_number_are_refused(method):
    prepared = prepare(parse(one_load(1000.0, 0.0)), method)
    with pytest.raises(ValueError, match=r"shape \(1, 3\) expected"):
        prepared.solve(np.zeros((2, 3), dtype=complex))
    with pytest.raises(ValueError, match="finite powers expected"):
        prepared.solve(np.array([[math.nan, 0, 0]], dtype=complex))


@pytest.mark.parametrize("method", BOTH)
def test_what_is_dead_has_no_voltage_and_draws_nothing(method):
    model = parse(feeder_document()).with_switches(SwitchStates("net-1", 2, {"cb": "open", "tie": "open"}))
    solution = prepare(model, method).solve()
    assert solution.converged
    assert not solution.voltages[1:].any()
    assert not solution.energised[1:].any()
    assert not solution.currents.any()


def test_a_loop_is_solved_by_current_injection_and_named_by_the_sweep():
    model = parse(feeder_document()).with_switches(SwitchStates("net-1", 2, {"cb": "closed", "tie": "closed"}))
    assert prepare(model).solve().converged
    with pytest.raises(NetworkError, match=r"expected no loops, found a loop of .*tie"):
        prepare(model, Method.SWEEP)


def test_a_load_whose_neutral_hangs_on_nothing_is_refused_by_name():
    document = feeder_document()
    element(document, "b4")["phases"] = "A"
    element(document, "b4").update({"r": [[0.02]], "x": [[0.014]]})
    with pytest.raises(NetworkError, match=r"loads\[c2\]: expected both ends .* node l2.*generators\[pv\]"):
        prepare(parse(document))


def isolated(**powers):
    document = substation_document(vector_group="Dd0")
    source = document["sources"][0]
    del source["r0"], source["x0"]
    document["loads"] = [{"id": "load", "node": "low", "p": powers, "q": dict.fromkeys(powers, 0.0)}]
    return parse(document)


@pytest.mark.parametrize("method", BOTH)
def test_current_to_earth_without_a_way_back_is_never_taken_for_a_solution(method):
    solution = prepare(isolated(A=10e3, B=5e3, C=1e3), method).solve()
    assert not solution.converged
    assert "would have to return through earth, to which there is no path" in solution.reason
    assert "no zero-sequence voltage at node low" in solution.reason


@pytest.mark.parametrize("method", BOTH)
def test_balanced_loads_need_no_way_back(method):
    solution = prepare(isolated(A=10e3, B=10e3, C=10e3), method).solve()
    assert solution.converged, solution.reason
    assert solution.references == ("no zero-sequence voltage at node high", "no zero-sequence voltage at node low")


def test_a_long_cable_network_behind_a_weak_source_takes_the_sweep_more_iterations_to_the_same_voltages():
    document = random_document(4, 200)
    for branch in document["branches"]:
        branch["b"] = [[20 * value for value in row] for row in branch["b"]]
    model = parse(document)
    one, other = (prepare(model, method).solve() for method in BOTH)
    assert one.iterations < other.iterations
    assert (np.abs(one.voltages - other.voltages) / model.nodes.nominal_voltage[:, np.newaxis]).max() < 1e-7


@pytest.mark.parametrize("grounding", [{"kind": "solid"}, {"kind": "resistance", "r": 0.05}])
@pytest.mark.parametrize("neutral", [False, True], ids=["star point alone", "star point at a neutral"])
@pytest.mark.parametrize("group", ["Dyn11", "Dyn5", "Yzn5", "Dzn6", "YNyn0", "YNyn6", "Yyn0"])
def test_both_methods_know_every_vector_group(group, neutral, grounding):
    tap = {"end": 0, "position": 1, "step": 0.025, "lowest": -2, "highest": 2}
    zero = {"r0m": 20.0, "x0m": 300.0} if group == "Yyn0" else {}
    document = substation_document(vector_group=group, to_grounding=grounding, tap=tap, r0=8.0, x0=35.0, **zero)
    if neutral:
        element(document, "low")["phases"] = "ABCN"
    powers = {"A": 40e3, "B": 5e3, "C": 15e3}
    document["loads"] = [{"id": "load", "node": "low", "p": powers, "q": dict.fromkeys(powers, 3e3)}]
    model = parse(document)
    one, other = (prepare(model, method).solve() for method in BOTH)
    assert one.converged, one.reason
    assert other.converged, other.reason
    scale = model.nodes.nominal_voltage[:, np.newaxis]
    assert (np.abs(one.voltages - other.voltages) / scale).max() < 1e-9
