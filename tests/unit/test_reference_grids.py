"""The grids that benchmarks and tests share are right documents of the stated size, and can be solved."""

import numpy as np
import pytest

from algorithms.api.network_problems import problems
from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import prepare
from tests.support.reference_grids import cigre_mv, european_lv, european_lv_contracted, synthetic_lv


@pytest.mark.parametrize(
    ("make", "nodes", "loads"),
    [
        (cigre_mv, 13, 11),
        (european_lv, 907, 55),
        (european_lv_contracted, 206, 55),
        (lambda: synthetic_lv(1000), 1001, 660),
    ],
    ids=["cigre-mv", "european-lv", "contracted", "synthetic"],
)
def test_a_reference_grid_is_right_and_its_voltages_are_plausible(make, nodes, loads):
    document = make()
    assert problems(document) == []
    assert (len(document.nodes), len(document.loads)) == (nodes, loads)
    assert len(document.terminals) == loads + 1
    model = parse(document)
    voltages = np.abs(prepare(model).solve().voltages[:, :3]) / model.nodes.nominal_voltage[:, np.newaxis]
    assert 0.9 < voltages.min() < voltages.max() < 1.1


def test_contraction_changes_no_voltage_of_what_is_left():
    solved = []
    for document in (european_lv(), european_lv_contracted()):
        model = parse(document)
        solution = prepare(model).solve()
        solved.append({node: solution.voltages[row] for node, row in model.nodes.rows.items()})
    whole, contracted = solved
    assert set(contracted) < set(whole)
    for node, voltages in contracted.items():
        assert voltages == pytest.approx(whole[node], abs=1e-5)


@pytest.mark.parametrize("metering", ["three-phase", "single-phase"])
def test_metering_decides_the_phases_of_loads_and_terminals(metering):
    document = synthetic_lv(100, metering=metering)
    phases = {len(terminal.phases) for terminal in document.terminals[1:]}
    assert phases == ({3} if metering == "three-phase" else {1})
    assert {len(load.p) for load in document.loads} == phases


def test_the_same_seed_gives_the_same_grid():
    assert synthetic_lv(300) == synthetic_lv(300)
    assert synthetic_lv(300) != synthetic_lv(300, seed=2)
