"""A network too large for matrices is answered for by sweeps and factors, and its scans are those of small ones."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from algorithms.api.network_reader import parse
from algorithms.grid.estimation import gain, least_squares, node_table
from algorithms.grid.estimation.least_squares import Estimator
from algorithms.grid.estimation.measurement import Measurement, Quantity
from algorithms.grid.estimation.observation import Observation
from algorithms.grid.estimation.response import Response
from tests.support.random_networks import low_voltage_document, random_document

MODEL = parse(low_voltage_document(120, customers=40))


def metering(rng):
    measurements, values = [], []
    for load, node, connected, p, q in zip(
        MODEL.loads.ids, MODEL.loads.node, MODEL.loads.connected, MODEL.loads.p, MODEL.loads.q, strict=True
    ):
        column = int(np.flatnonzero(connected)[0])
        for quantity, value, share in ((Quantity.P, p[column], 0.01), (Quantity.Q, q[column], 0.02)):
            measurements.append(Measurement(f"{load}.{quantity}", quantity, load, "ABC"[column], share * value))
            values.append(value)
        measurements.append(Measurement(f"{load}.u", Quantity.VOLTAGE, MODEL.nodes.ids[int(node)], "ABC"[column], 2.3))
        values.append(230.0)
    sigma = np.array([measurement.uncertainty for measurement in measurements])
    return measurements, np.array(values) + sigma * rng.standard_normal(len(values))


@pytest.fixture
def large(monkeypatch):
    """Have everything taken for too large to be kept as a matrix."""
    monkeypatch.setattr("algorithms.grid.estimation.response.DENSE_ENTRIES", 0)
    monkeypatch.setattr("algorithms.grid.estimation.observation.DENSE_ENTRIES", 0)
    monkeypatch.setattr("algorithms.grid.estimation.observation.QUICK_ENTRIES", 0)
    monkeypatch.setattr(least_squares, "WHOLE", 0)
    monkeypatch.setattr(gain, "WHOLE", 0)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("meshed", [False, True])
def test_sweeps_and_factors_give_the_voltages_that_matrices_give(meshed):
    model = parse(random_document(4, 60, meshed=meshed))
    response = Response(model)
    rng = np.random.default_rng(1)
    count = len(response.elements)
    inputs = np.concatenate(
        [response.emfs * (1.0 + 0.01 * rng.standard_normal(len(response.emfs))), rng.standard_normal(count)]
    )
    assert not response.dense
    each = response.seen(csr_array(np.eye(response.points.count)))
    assert response.voltages(inputs) == pytest.approx(each @ inputs, rel=1e-9)


@pytest.mark.usefixtures("large")
def test_a_scan_of_a_large_network_is_that_of_a_small_one():
    """Directions that hardly anything is told of are left out: that costs less than a hundredth of a sigma."""
    rng = np.random.default_rng(5)
    measurements, values = metering(rng)
    found = Estimator(MODEL, measurements).estimate(values)
    assert found.gain.tangent.inputs is None
    with pytest.MonkeyPatch.context() as undo:
        undo.setattr(least_squares, "WHOLE", 700)
        undo.setattr(gain, "WHOLE", 700)
        undo.setattr("algorithms.grid.estimation.observation.DENSE_ENTRIES", 10_000_000)
        whole = Estimator(MODEL, measurements).estimate(values)
    assert whole.gain.tangent.inputs is not None
    off = np.abs(np.abs(found.phase_voltages) - np.abs(whole.phase_voltages))
    assert (off <= 0.02 * np.maximum(whole.u_magnitude, 1e-9)).all()
    assert found.u_magnitude == pytest.approx(whole.u_magnitude, rel=0.01)
    assert found.u_angle == pytest.approx(whole.u_angle, rel=0.02)
    head = MODEL.transformers.ids[0]
    assert found.flow(head).u_p == pytest.approx(whole.flow(head).u_p, rel=0.02)


@pytest.mark.usefixtures("large")
def test_a_meter_that_falls_silent_in_a_large_network_widens_its_load():
    rng = np.random.default_rng(6)
    measurements, values = metering(rng)
    prior, u_prior = MODEL.loads.p + 1j * MODEL.loads.q, 0.5 * np.abs(MODEL.loads.p) * (1 + 1j)
    estimator = Estimator(MODEL, measurements)
    estimator.estimate(values, prior=prior, u_prior=u_prior)
    values[:3] = np.nan
    found = estimator.estimate(values, prior=prior, u_prior=u_prior)
    anew = Estimator(MODEL, measurements).estimate(values, prior=prior, u_prior=u_prior)
    assert found.patch is not None
    assert found.u_magnitude == pytest.approx(anew.u_magnitude, rel=0.01)
    assert found.u_power[0].real.max() == pytest.approx(0.5 * MODEL.loads.p[0].max(), rel=0.02)


@pytest.mark.usefixtures("large")
def test_slices_and_columns_give_the_same_variances(monkeypatch):
    measurements, values = metering(np.random.default_rng(7))
    whole = Estimator(MODEL, measurements).estimate(values).u_magnitude
    monkeypatch.setattr(node_table, "COLUMNS", 7)
    assert Estimator(MODEL, measurements).estimate(values).u_magnitude == pytest.approx(whole, rel=1e-9)


@pytest.mark.usefixtures("large")
def test_the_transpose_of_what_is_seen_is_its_transpose():
    """For random directions, one side of <A x, y> is the other of <x, A' y>."""
    measurements, _ = metering(np.random.default_rng(8))
    branch = MODEL.branches.ids[3]
    measurements += [
        Measurement(f"b.{quantity}", quantity, branch, phases, 1.0)
        for quantity, phases in (
            (Quantity.P, "A"),
            (Quantity.Q, "ABC"),
            (Quantity.CURRENT, "B"),
            (Quantity.CURRENT_ANGLE, "C"),
        )
    ]
    response = Response(MODEL)
    observation = Observation(MODEL, response, measurements)
    rng = np.random.default_rng(9)
    currents = 3.0 * (rng.standard_normal(len(response.elements)) + 1j * rng.standard_normal(len(response.elements)))
    seen = observation.see(np.concatenate([response.emfs, currents]))
    inputs = rng.standard_normal((response.size, 1)) + 1j * rng.standard_normal((response.size, 1))
    weights = rng.standard_normal((len(observation.equations), 1))
    one = (observation.equations.change(seen, observation.see(inputs)) * weights).sum()
    other = (observation.back(observation.equations.towards(seen, weights)).conj() * inputs).sum().real
    assert one == pytest.approx(other, rel=1e-9)


def test_however_many_flows_are_metered_none_of_what_they_tell_is_left_out(monkeypatch):
    rng = np.random.default_rng(6)
    measurements, values = metering(rng)
    whole = Estimator(MODEL, measurements).estimate(values)
    for branch in MODEL.branches.ids:
        flow = whole.flow(branch)
        for phase, p in zip(flow.phases, flow.p, strict=True):
            measurements.append(Measurement(f"{branch}.p.{phase}", Quantity.P, branch, phase, 10.0))
            values = np.append(values, p)
    wanted = Estimator(MODEL, measurements).estimate(values)
    monkeypatch.setattr(least_squares, "WHOLE", 0)
    monkeypatch.setattr(gain, "WHOLE", 0)
    monkeypatch.setattr(gain, "DIRECTIONS", 4)
    found = Estimator(MODEL, measurements).estimate(values)
    assert found.converged
    assert found.u_magnitude == pytest.approx(wanted.u_magnitude, rel=0.01)
    assert (np.abs(np.abs(found.voltages) - np.abs(wanted.voltages)) <= 0.01 * wanted.u_magnitude.max()).all()
