"""
Networks cut at random by switches, neutrals included: a right solution, or words on why there is none.

Whatever stands open, nothing but a refusal by name comes out of the preparation, and both methods say the same.
"""

from random import Random

import numpy as np
import pytest

from algorithms.api.errors import NetworkError
from algorithms.api.network_document import SwitchStates
from algorithms.api.network_operation import SwitchState
from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import Method, prepare
from tests.support.random_networks import switched_document


@pytest.mark.parametrize("decade", range(8))
def test_a_solution_is_right_or_a_refusal_is_told(decade):
    solved = 0
    for seed in range(10 * decade, 10 * decade + 10):
        model, pick = parse(switched_document(seed)), Random(seed)
        states = {name: SwitchState("open" if pick.random() < 0.25 else "closed") for name in model.switches.ids}
        model = model.with_switches(SwitchStates(model.network, 1, states))
        try:
            solution = prepare(model).solve()
        except NetworkError as error:
            if "one end that hangs on nothing" not in str(error):
                raise
            continue
        assert solution.converged == (not solution.reason)
        assert not solution.voltages[~solution.energised].any()
        if solution.converged:
            solved += 1
        try:
            swept = prepare(model, Method.SWEEP).solve()
        except NetworkError:
            continue
        assert swept.converged == solution.converged, f"seed {seed}: {solution.reason} | {swept.reason}"
        if solution.converged:
            scale = model.nodes.nominal_voltage[:, np.newaxis]
            assert (np.abs(swept.voltages - solution.voltages) / scale).max() < 1e-8, f"seed {seed}"
    assert solved
