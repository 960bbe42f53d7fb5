"""Thresholds follow from the feeder ahead; what is no feeder to follow is refused with the reason."""

import numpy as np
import pytest

from algorithms.api.errors import NetworkError
from algorithms.api.network_reader import parse
from algorithms.grid.faults.fault_settings import feeder_facts
from algorithms.grid.faults.fault_walk import inverse
from algorithms.grid.faults.feeder_ahead import feeder_ahead
from tests.support.fault_grids import COMPENSATED, ISOLATED, rural, urban
from tests.support.networks import element, feeder_document


def test_facts_are_those_of_the_document():
    facts = feeder_facts(parse(urban().document()), "head")
    power = 1.82e6 * (1 + 0.3j)
    assert facts.load_current == pytest.approx(abs(power) / (3**0.5 * 22e3), rel=1e-6)
    assert facts.largest_load == pytest.approx(410e3 * abs(1 + 0.3j) / (3**0.5 * 22e3), rel=1e-6)
    assert facts.charging == pytest.approx(1320 * 75e-9, rel=1e-6)
    z1, z0 = 1320 * (0.161e-3 + 0.117e-3j), 1320 * (0.72e-3 + 0.41e-3j)
    whole = (z0 + 0.08 + 2j + 3 * 42) + 2 * (z1 + 0.08 + 2j) + 3 * 50
    assert facts.weakest_ground == pytest.approx(22e3 / 3**0.5 / abs(whole), rel=1e-6)
    assert facts.earthed


def test_thresholds_lie_between_load_and_the_weakest_fault():
    for feeder in (urban(), rural()):
        facts = feeder_facts(parse(feeder.document()), "head")
        assert 1.4 * facts.load_current < facts.phase_current <= 0.7 * facts.weakest_phase
        assert facts.negative_current < 0.5 * facts.weakest_phase
        assert facts.ground_current(0.1) < 0.5 * facts.weakest_ground


def test_a_neutral_that_is_not_earthed_has_no_weakest_earth_fault():
    isolated = feeder_facts(parse(urban(ISOLATED).document()), "head")
    compensated = feeder_facts(parse(urban(COMPENSATED).document()), "head")
    assert not isolated.earthed
    assert isolated.weakest_ground == 0.0
    assert compensated.neutral_conductance == pytest.approx(1 / 770, rel=0.02)


def test_a_feeder_begins_behind_the_equipment_that_the_terminal_measures():
    feeder = feeder_ahead(parse(feeder_document()), "t-head")
    # The meter is below the breaker: its own node is ahead, and it measures back into the breaker.
    assert feeder.reverse
    assert feeder.nodes == ("m1", "m1", "m3", "m2")
    assert feeder.section == ("", "", "b2", "b1")
    assert np.abs(feeder.fixed[3]).max() > 0, "the LV feeder is drawn together at the node above its transformer"
    assert feeder.at.tolist() == [2, 2, 2]
    assert feeder.generation == pytest.approx(3000.0)
    document = feeder_document()
    element(document, "t-head")["node"] = "m0"
    above = feeder_ahead(parse(document), "t-head")
    assert not above.reverse
    assert above.nodes == ("m0", "m1", "m3", "m2")


@pytest.mark.parametrize(
    ("terminal", "change", "reason"),
    [
        ("nobody", {}, "a terminal of the network"),
        ("t-c2", {}, "the id of a branch, a switch or a transformer"),
        ("t-head", {"t-head": {"node": "m2", "equipment": "t1"}}, "equipment that feeds a line"),
        ("t-head", {"tie": {"normal": "closed"}}, "a radial feeder"),
    ],
)
def test_what_is_no_radial_feeder_is_refused_with_the_reason(terminal, change, reason):
    document = feeder_document()
    document["areas"] = []
    for name, fields in change.items():
        element(document, name).update(fields)
    with pytest.raises(NetworkError, match=reason):
        feeder_ahead(parse(document), terminal)


def test_small_matrices_are_inverted_as_by_elimination():
    generator = np.random.default_rng(1)
    parts = generator.standard_normal((2, 40, 3, 3))
    matrices = np.eye(3) + 0.3 * (parts[0] + 1j * parts[1])
    assert np.abs(inverse(matrices) - np.linalg.inv(matrices)).max() < 1e-12


def test_inrush_is_bounded_by_the_transformers_ahead_known_or_guessed_from_their_loads():
    facts = feeder_facts(parse(urban().document()), "head")
    assert facts.inrush_current == pytest.approx(12 * 4 * facts.load_current, rel=1e-6)
    document = feeder_document()
    model = parse(document)
    facts = feeder_facts(model, "t-head")
    direct = np.abs(feeder_ahead(model, "t-head").power).sum()
    rated = sum(element(document, name)["rated_power"] for name in model.transformers.ids)
    expected = 12 * (rated + 4 * direct) / (3 * facts.nominal_voltage)
    assert facts.inrush_current == pytest.approx(expected, rel=1e-6)
