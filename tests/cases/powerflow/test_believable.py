"""A power flow agrees with pandapower's or says that it found no state, never voltages that no network has."""

import cmath
import math
import warnings

import numpy as np
import pytest

from algorithms.api.network_problems import problems
from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import Method, prepare
from device_catalog.network_files import pandapower_import

TURN = cmath.rect(1.0, 2 * math.pi / 3)


@pytest.mark.parametrize(
    ("name", "solved"), [("case4gs", True), ("case33bw", True), ("case14", True), ("case118", False)]
)
def test_a_state_is_that_of_pandapower_or_none(name, solved):
    """In case118 generators held voltages along lines that charge: as powers alone they do not."""
    import pandapower
    from pandapower import networks

    net = getattr(networks, name)()
    document = pandapower_import.take_over(net, "test", "test").document
    assert problems(document) == []
    with warnings.catch_warnings():  # what pandapower says to its own developers about nets saved long ago
        warnings.filterwarnings("ignore", message="tap_dependency_table is missing in net")
        pandapower.runpp(net, numba=False, tolerance_mva=1e-10, calculate_voltage_angles=True)
    model = parse(document)
    found = prepare(model, Method.CURRENT_INJECTION).solve()
    assert found.converged == solved, found.reason
    if not solved:
        assert "of nominal would follow at" in found.reason
        return
    positive = found.voltages[:, :3] @ np.array([1.0, TURN, TURN**2]) / 3.0
    theirs = sorted(net.res_bus.vm_pu.tolist())
    ours = sorted((np.abs(positive) / model.nodes.nominal_voltage).tolist())
    assert ours == pytest.approx(theirs, abs=1e-5)
