"""
Random unbalanced networks, radial and meshed, agree with power-grid-model, an engine of its own.

Tolerance 1e-6 of nominal voltage, at every phase of every node; what is measured is some 1e-11.
"""

import numpy as np
import pytest

from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import prepare
from tests.support.network_engines import solved_by_power_grid_model
from tests.support.random_networks import random_document


@pytest.mark.parametrize("meshed", [False, True], ids=["radial", "meshed"])
@pytest.mark.parametrize("decade", range(10))
def test_random_networks_agree(decade, meshed):
    for seed in range(10 * decade, 10 * decade + 10):
        model = parse(random_document(seed, 8 + 3 * (seed % 20), meshed=meshed))
        solution = prepare(model).solve()
        assert solution.converged, f"seed {seed}: {solution.reason}"
        theirs = solved_by_power_grid_model(model)
        apart = np.abs(solution.voltages[:, :3] - theirs) / model.nodes.nominal_voltage[:, np.newaxis]
        assert apart.max() < 1e-6, f"seed {seed}: {apart.max():.2g} apart"
