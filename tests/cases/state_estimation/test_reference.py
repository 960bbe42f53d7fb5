"""
The judges of the estimator agree with the engines whose truth they judge by.

Tolerances: Kirchhoff's equations to 1e-5 of 10 kVA (power-grid-model and OpenDSS stop at some 1e-9 of voltage), states
from readings without error to 1e-6 of nominal.
"""

import numpy as np
import pytest

from algorithms.api.network_reader import parse
from tests.support.estimation_trials import star_trial
from tests.support.exact_circuit import Circuit
from tests.support.exact_wls import ExactWls
from tests.support.metering import at_customers, find_truth, metered, voltages_at
from tests.support.random_networks import four_wire_document, random_document


def without_exponents(document):
    for load in [*document["loads"], *document.get("generators", [])]:
        load["p_exponent"] = load["q_exponent"] = 0.0
    return parse(document)


@pytest.mark.parametrize(
    "document",
    [
        *(random_document(seed, 30 + seed, meshed=seed % 2 == 0, exponents=False) for seed in range(6)),
        *(four_wire_document(seed, 20 + seed, grounded=seed % 2 == 0) for seed in range(6)),
    ],
    ids=lambda document: f"{document['network']}, {len(document['nodes'])} nodes",
)
def test_currents_add_up_to_nothing_in_other_engines_solutions(document):
    model = without_exponents(document)
    truth, circuit = find_truth(model), Circuit(model)
    unknowns = circuit.unknowns(truth.voltages, truth.power)
    assert np.abs(circuit.constraints @ (unknowns / circuit.scale)).max() < 1e-5
    emfs = unknowns[circuit.behind]
    assert np.abs(emfs[:, 0] / model.sources.voltage - 1).max() < 1e-6  # found from the currents, and the model's own


@pytest.mark.parametrize("four_wire", [False, True])
def test_readings_without_error_give_the_truth(four_wire):
    document = four_wire_document(2, 30) if four_wire else random_document(2, 30, exponents=False)
    model = without_exponents(document)
    truth = find_truth(model)
    metering = metered(model, truth, [*at_customers(model), *voltages_at(model, model.nodes.ids[0])])
    found = ExactWls(model, metering.measurements).estimate(
        metering.values, prior=metering.prior, u_prior=metering.u_prior
    )
    off = np.abs(found.voltages - truth.voltages) / model.nodes.nominal_voltage[:, np.newaxis]
    assert off.max() < 1e-6
    assert found.objective < 1e-6


def test_uncertainties_are_those_of_draws():
    """300 draws: a standard deviation is known to 4 %."""
    trial = star_trial()
    metering = trial.metering
    judge = ExactWls(trial.model, metering.measurements)
    rng = np.random.default_rng(4)
    start = metering.truth.voltages, metering.truth.power
    found = [
        judge.estimate(values, prior=prior, u_prior=metering.u_prior, start=start, refactor=False)
        for values, prior in zip(metering.draw(rng, 300), metering.draw_priors(rng, 300), strict=True)
    ]
    magnitudes = np.array([np.abs(one.voltages[:, :3]) for one in found])
    # The source's symmetry is known beforehand and true here, so draws scatter a little less than is stated.
    ratio = magnitudes.std(axis=0) / found[0].u_magnitude
    assert ratio.min() > 0.85
    assert ratio.max() < 1.1
    powers = np.array([one.power.real for one in found])
    sigma = found[0].u_power.real
    drawn = sigma > 0
    assert (np.abs(powers.std(axis=0)[drawn] / sigma[drawn] - 1) < 0.16).all()
