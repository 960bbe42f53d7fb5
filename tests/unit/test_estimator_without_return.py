"""Where current has no way back the estimator says so, as the power flow does, unless readings leave it open."""

import numpy as np
import pytest

from algorithms.api.network_reader import parse
from algorithms.grid.estimation.bad_data import examine
from algorithms.grid.estimation.least_squares import Estimator
from algorithms.grid.estimation.measurement import Measurement, Quantity
from algorithms.grid.powerflow import prepare
from tests.support.networks import substation_document

CLASS = 0.01


def judged(group, powers, noise=0.0):
    """Give power flow and estimate of a load below a transformer on a three-wire network."""
    document = substation_document(vector_group=group)
    del document["sources"][0]["r0"], document["sources"][0]["x0"]
    document["loads"] = [{"id": "load", "node": "low", "p": powers, "q": {k: 0.1 * v for k, v in powers.items()}}]
    model, rng = parse(document), np.random.default_rng(1)
    solution = prepare(model).solve()
    measurements, values = [], []
    for phase, value in powers.items():
        for quantity, power in ((Quantity.P, value), (Quantity.Q, 0.1 * value)):
            measurements.append(Measurement(f"{quantity}.{phase}", quantity, "load", phase, CLASS * value))
            values.append(power + noise * CLASS * value * rng.standard_normal())
    for phase in "ABC":
        measurements.append(Measurement(f"voltage.{phase}", Quantity.VOLTAGE, "low", phase, 2.3))
        values.append(230.0)
    return solution, examine(Estimator(model, measurements), np.array(values))


@pytest.mark.parametrize("powers", [{"A": 10e3}, {"A": 10e3, "B": 4e3, "C": 10e3}])
@pytest.mark.parametrize("group", ["Yyn0", "Dd0"])
def test_a_load_whose_current_has_no_way_back_is_refused_as_by_the_power_flow(group, powers):
    solution, examined = judged(group, powers)
    assert not solution.converged
    assert not examined.estimate.converged
    assert not examined.consistent
    assert "would have to return through earth, to which there is no path" in examined.estimate.reason
    assert "no zero-sequence voltage at node low" in examined.estimate.reason
    assert not examined.estimate.observable.any()


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_phases_that_balance_within_what_their_meters_are_unsure_of_are_estimated(noise):
    solution, examined = judged("Yyn0", dict.fromkeys("ABC", 10e3), noise)
    assert solution.converged
    assert examined.estimate.converged
    assert examined.suspects == ()


def test_a_grounded_star_below_a_delta_is_a_way_back():
    solution, examined = judged("Dyn11", {"A": 10e3})
    assert solution.converged
    assert examined.estimate.converged
