"""What an estimator promises whatever the network: errors, silence, memory of scans, what it cannot see."""

import numpy as np
import pytest

from algorithms.api.errors import NetworkError
from algorithms.api.network_reader import parse
from algorithms.grid.estimation.bad_data import examine
from algorithms.grid.estimation.least_squares import Estimator
from algorithms.grid.estimation.measurement import Measurement, Quantity
from algorithms.grid.estimation.observability import view
from tests.support.network_engines import solved_by_power_grid_model
from tests.support.random_networks import low_voltage_document

MODEL = parse(low_voltage_document(60, customers=14))
TRUTH = np.abs(solved_by_power_grid_model(MODEL))


def at_customer(load, *, voltage=True):
    """Give what a customer's meter of one phase tells."""
    row = MODEL.loads.rows[load]
    column = int(np.flatnonzero(MODEL.loads.connected[row])[0])
    phase, node = "ABC"[column], int(MODEL.loads.node[row])
    p, q = float(MODEL.loads.p[row, column]), float(MODEL.loads.q[row, column])
    told = [
        (Measurement(f"{load}.p", Quantity.P, load, phase, 0.01 * p), p),
        (Measurement(f"{load}.q", Quantity.Q, load, phase, 0.02 * q), q),
    ]
    name = MODEL.nodes.ids[node]
    told += [(Measurement(f"{load}.u", Quantity.VOLTAGE, name, phase, 2.3), float(TRUTH[node, column]))] * voltage
    return told


def metered(loads=MODEL.loads.ids):
    measurements, values = zip(*(pair for load in loads for pair in at_customer(load)), strict=True)
    return list(measurements), np.array(values)


def magnitudes(estimate):
    return np.abs(estimate.phase_voltages)


def test_readings_without_error_give_the_true_voltages():
    measurements, values = metered()
    found = Estimator(MODEL, measurements).estimate(values)
    at = MODEL.nodes.base_voltage < 1000.0
    assert found.converged
    assert magnitudes(found)[at] == pytest.approx(TRUTH[at], rel=1e-6)
    assert found.objective < 1e-6


def test_all_that_is_wrong_with_measurements_is_said_at_once():
    wrong = [
        Measurement("one", Quantity.VOLTAGE, "nowhere", "A", 1.0),
        Measurement("two", Quantity.P, MODEL.loads.ids[0], "AB", 1.0),
        Measurement("three", Quantity.CURRENT, MODEL.branches.ids[0], "ABC", 1.0),
        Measurement("four", Quantity.VOLTAGE, MODEL.nodes.ids[1], "A", 0.0),
        Measurement("four", Quantity.VOLTAGE, MODEL.nodes.ids[1], "A", 1.0, end=2),
    ]
    with pytest.raises(NetworkError) as raised:
        Estimator(MODEL, wrong)
    places = [problem.where for problem in raised.value.problems]
    assert [place.split("]")[0] for place in places] == [
        f"measurements[{name}" for name in ("one", "two", "three", "four", "four", "four")
    ]


@pytest.mark.parametrize("end", [0.5, "0", None, float("nan"), -1, 2**70])
def test_an_end_that_is_none_is_named(end):
    with pytest.raises(NetworkError, match="expected 0 or 1"):
        Estimator(MODEL, [Measurement("one", Quantity.P, MODEL.branches.ids[0], "A", 1.0, end=end)])


def test_arrays_of_another_shape_are_refused():
    measurements, values = metered()
    estimator = Estimator(MODEL, measurements)
    with pytest.raises(ValueError, match="one for each measurement"):
        estimator.estimate(values[1:])
    with pytest.raises(ValueError, match="loads, then generators"):
        estimator.estimate(values, prior=np.zeros((1, 3), dtype=complex))


def test_a_silent_meter_is_replaced_by_what_is_expected_with_its_uncertainty_in_the_same_scan():
    """Worked into the gain that is there, it is what an estimator is that never knew the meter."""
    measurements, values = metered()
    prior = MODEL.loads.p + 1j * MODEL.loads.q
    u_prior = np.where(MODEL.loads.connected, 0.5 * np.abs(MODEL.loads.p) * (1 + 1j), 0.0)
    estimator = Estimator(MODEL, measurements)
    before = estimator.estimate(values, prior=prior, u_prior=u_prior)
    silent = [index for index, each in enumerate(measurements) if each.id.startswith(MODEL.loads.ids[3] + ".")]
    values[silent] = np.nan
    found = estimator.estimate(values, prior=prior, u_prior=u_prior)
    anew = Estimator(MODEL, measurements).estimate(values, prior=prior, u_prior=u_prior)
    assert found.patch is not None
    assert anew.patch is None
    assert found.u_power[3].real.max() == pytest.approx(0.5 * MODEL.loads.p[3].max(), rel=0.02)
    assert found.u_power[3].real.max() > 20 * before.u_power[3].real.max()
    assert found.u_magnitude == pytest.approx(anew.u_magnitude, rel=1e-3)
    assert magnitudes(found) == pytest.approx(magnitudes(anew), rel=1e-5)
    assert found.degrees_of_freedom == anew.degrees_of_freedom == before.degrees_of_freedom - 1
    values[silent] = [value for load in [MODEL.loads.ids[3]] for _, value in at_customer(load)]
    again = estimator.estimate(values, prior=prior, u_prior=u_prior)
    assert again.u_magnitude == pytest.approx(before.u_magnitude, rel=1e-9)


def test_a_scan_is_the_same_whatever_came_before():
    measurements, values = metered()
    rng = np.random.default_rng(3)
    sigma = np.array([measurement.uncertainty for measurement in measurements])
    scans = [values + sigma * rng.standard_normal(len(values)) for _ in range(4)]
    estimator = Estimator(MODEL, measurements)
    in_turn = [estimator.estimate(scan) for scan in scans]
    alone = [Estimator(MODEL, measurements).estimate(scan) for scan in scans]
    for one, other in zip(in_turn, alone, strict=True):
        off = np.abs(magnitudes(one) - magnitudes(other))
        assert (off <= 1e-3 * np.maximum(other.u_magnitude, 1e-9)).all()


def test_a_load_of_which_nothing_is_known_is_named_unless_readings_elsewhere_tell_of_it():
    hidden = MODEL.loads.ids[2]
    measurements, values = metered([load for load in MODEL.loads.ids if load != hidden])
    u_prior = np.zeros((len(MODEL.loads), 3), dtype=complex)
    u_prior[:] = complex(np.inf, np.inf)
    seen = view(Estimator(MODEL, measurements).estimate(values, u_prior=u_prior))
    assert seen.hidden_powers == (hidden,)
    head = MODEL.transformers.ids[0]
    flows = Estimator(MODEL, metered()[0]).estimate(metered()[1]).flow(head)
    for number, phase in enumerate(flows.phases):
        for quantity, flow in ((Quantity.P, flows.p), (Quantity.Q, flows.q)):
            measurements.append(Measurement(f"head.{quantity}.{phase}", quantity, head, phase, 5.0))
            values = np.append(values, flow[number])
    assert view(Estimator(MODEL, measurements).estimate(values, u_prior=u_prior)).hidden_powers == ()


def test_without_any_voltage_reading_no_node_is_observable():
    measurements = [measurement for measurement in metered()[0] if measurement.quantity != Quantity.VOLTAGE]
    values = np.array(
        [value for measurement, value in zip(*metered(), strict=True) if measurement.quantity != Quantity.VOLTAGE]
    )
    found = Estimator(MODEL, measurements).estimate(values)
    seen = view(found)
    assert not found.observable.any()
    assert not seen.complete
    assert set(seen.hidden_nodes) == set(MODEL.nodes.ids)
    assert [island.voltage_readings for island in seen.islands] == [0]


def test_watts_for_kilowatts_are_named_although_no_network_could_carry_them():
    measurements, values = metered()
    wrong = next(index for index, each in enumerate(measurements) if each.id.endswith(".p"))
    values[wrong] *= 1e5
    found = examine(Estimator(MODEL, measurements), values)
    assert [suspect.measurement for suspect in found.suspects] == [measurements[wrong].id]
    assert found.consistent
    assert found.estimate.converged


def test_what_flows_into_a_transformer_is_what_is_drawn_below_and_lost_in_between():
    measurements, values = metered()
    found = Estimator(MODEL, measurements).estimate(values)
    flow = found.flow(MODEL.transformers.ids[0])
    drawn = MODEL.loads.p.sum()
    assert drawn < flow.p.sum() < 1.05 * drawn
    independent = np.sqrt((flow.u_p**2).sum())
    assert 0.3 * independent < flow.u_total[0] < independent
