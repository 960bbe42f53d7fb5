"""
Four-wire networks with single-phase laterals, loads between phases and any exponents agree with OpenDSS.

Tolerance 1e-6 of nominal voltage at every conductor, the neutral included; what is measured is some 1e-9.
"""

import numpy as np
import pytest

from algorithms.api.errors import NetworkError
from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import Method, prepare
from tests.support.networks import unswitched_feeder_document
from tests.support.opendss import solved_by_opendss
from tests.support.random_networks import four_wire_document, oddly_grounded_document


def apart(model, solution):
    assert solution.converged, solution.reason
    theirs = solved_by_opendss(model)
    return float((np.abs(solution.voltages - theirs) / model.nodes.nominal_voltage[:, np.newaxis]).max())


@pytest.mark.parametrize("method", [Method.CURRENT_INJECTION, Method.SWEEP])
def test_the_feeder_made_by_hand_agrees(method):
    model = parse(unswitched_feeder_document())
    assert apart(model, prepare(model, method).solve()) < 1e-6


@pytest.mark.parametrize("method", [Method.CURRENT_INJECTION, Method.SWEEP])
@pytest.mark.parametrize("decade", range(5))
def test_four_wire_networks_grounded_at_the_transformer_agree(decade, method):
    for seed in range(10 * decade, 10 * decade + 10):
        model = parse(four_wire_document(seed, 10 + 4 * (seed % 15)))
        assert apart(model, prepare(model, method).solve()) < 1e-6, f"seed {seed}"


@pytest.mark.parametrize("decade", range(5))
def test_four_wire_networks_grounded_in_many_places_agree(decade):
    for seed in range(10 * decade, 10 * decade + 10):
        model = parse(four_wire_document(seed, 10 + 4 * (seed % 15), grounded=True))
        assert apart(model, prepare(model).solve()) < 1e-6, f"seed {seed}"


def prepared(model, method, refusal):
    """Prepare a network, or give None where it is refused for the reason expected."""
    try:
        return prepare(model, method)
    except NetworkError as error:
        if refusal not in str(error):
            raise
        return None


def test_oddly_grounded_networks_agree_and_the_sweep_solves_them_rightly_or_says_why_not():
    solved = 0
    for seed in range(120):
        model = parse(oddly_grounded_document(seed))
        injection = prepared(model, Method.CURRENT_INJECTION, "one end that hangs on nothing")
        if injection is None or injection.references:
            continue
        solution = injection.solve()
        if not solution.converged:  # a customer's earth rod instead of its neutral carries less than it asks for
            assert "more power is drawn than can be carried there" in solution.reason
            continue
        assert apart(model, solution) < 1e-6, f"seed {seed}"
        sweep = prepared(model, Method.SWEEP, "grounded")
        if sweep is not None:
            scale = model.nodes.nominal_voltage[:, np.newaxis]
            assert (np.abs(sweep.solve().voltages - solution.voltages) / scale).max() < 1e-8, f"seed {seed}"
            solved += 1
    assert solved >= 30
