"""
Random unbalanced networks, radial and meshed, agree with power-grid-model, an engine of its own.

Tolerance 1e-6 of nominal voltage, at every phase of every node; what is measured is some 1e-11.
"""

import numpy as np
import pytest

from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import Method, prepare
from tests.support.network_engines import solved_by_power_grid_model
from tests.support.networks import substation_document
from tests.support.random_networks import random_document


def apart(model, solution):
    assert solution.converged, solution.reason
    theirs = solved_by_power_grid_model(model)
    return float((np.abs(solution.voltages[:, :3] - theirs) / model.nodes.nominal_voltage[:, np.newaxis]).max())


@pytest.mark.parametrize("method", [Method.CURRENT_INJECTION, Method.SWEEP])
@pytest.mark.parametrize("decade", range(10))
def test_radial_networks_agree(decade, method):
    for seed in range(10 * decade, 10 * decade + 10):
        model = parse(random_document(seed, 8 + 3 * (seed % 20)))
        assert apart(model, prepare(model, method).solve()) < 1e-6, f"seed {seed}"


@pytest.mark.parametrize("decade", range(10))
def test_meshed_networks_agree(decade):
    for seed in range(10 * decade, 10 * decade + 10):
        model = parse(random_document(seed, 8 + 3 * (seed % 20), meshed=True))
        assert apart(model, prepare(model).solve()) < 1e-6, f"seed {seed}"


def test_a_network_of_more_elements_than_kept_dense_agrees():
    model = parse(random_document(1, 500))
    assert apart(model, prepare(model, Method.CURRENT_INJECTION).solve()) < 1e-6


@pytest.mark.parametrize("grounding", [{"kind": "solid"}, {"kind": "resistance", "r": 0.05}])
@pytest.mark.parametrize(
    ("group", "share"),
    [(group, 0.1) for group in ("Yzn1", "Yzn5", "Yzn11", "Dzn0", "Dzn6", "Dzn10")]
    + [(group, 1.0) for group in ("Dyn1", "Dyn5", "Dyn7", "Dyn11", "YNyn0", "YNyn6", "YNyn2", "YNyn10")],
)
def test_every_vector_group_agrees(group, share, grounding):
    """power-grid-model takes a tenth of the short-circuit impedance for the zero sequence of a zigzag winding."""
    document = substation_document(vector_group=group, to_grounding=grounding, r0=10.0 * share, x0=40.0 * share)
    powers = {"A": 40e3, "B": 5e3, "C": 15e3}
    document["loads"] = [{"id": "load", "node": "low", "p": powers, "q": dict.fromkeys(powers, 3e3)}]
    model = parse(document)
    assert apart(model, prepare(model).solve()) < 1e-6
