"""The nodal admittance by cases worked by hand: lines, neutrals, vector groups, taps, switches, sources, references."""

import cmath
import math

import numpy as np
import pytest

from algorithms.api.errors import NetworkError
from algorithms.api.network_document import SwitchStates
from algorithms.api.network_reader import parse
from algorithms.grid.admittance import describe, nodal_admittance
from algorithms.grid.points import EARTH
from algorithms.grid.primitives import COMPONENTS, SEQUENCES, transformer_primitives
from tests.support.networks import element, feeder_document, substation_document

GROUPS = (
    "Dyn11",
    "Dyn5",
    "Dyn1",
    "Dyn7",
    "Yzn5",
    "Yzn11",
    "Dzn0",
    "Dzn6",
    "YNyn0",
    "YNyn6",
    "Yd1",
    "YNd11",
    "Dd0",
    "Yy6",
)


def no_load(model):
    """Solve for voltages to earth with nothing drawn, shape (n, 4) [V]."""
    admittance = nodal_admittance(model)
    voltages = np.linalg.solve(admittance.matrix.toarray(), admittance.driven)
    return np.append(voltages, 0.0)[admittance.points.at_node]


def seen_from(model, node):
    """Give the impedance of phases A, B, C seen from a node, shape (3, 3) [ohm]."""
    admittance = nodal_admittance(model)
    at = admittance.points.at_node[model.nodes.rows[node], :3]
    return np.linalg.inv(admittance.matrix.toarray())[np.ix_(at, at)]


def test_a_line_is_its_inverse_between_its_ends_and_half_its_shunt_at_each():
    document = substation_document()
    document["branches"] = [
        {
            "id": "line",
            "from_node": "low",
            "to_node": "end",
            "length": 100.0,
            "phases": "AB",
            "r": [[0.1, 0.02], [0.02, 0.1]],
            "x": [[0.2, 0.05], [0.05, 0.2]],
            "b": [[2e-6, -5e-7], [-5e-7, 2e-6]],
        }
    ]
    document["nodes"].append({"id": "end", "phases": "AB", "base_voltage": 400.0})
    admittance = nodal_admittance(parse(document))
    own, mutual = 0.1 + 0.2j, 0.02 + 0.05j
    determinant = own**2 - mutual**2
    series = np.array([[own, -mutual], [-mutual, own]]) / determinant
    shunt = 1j * np.array([[2e-6, -5e-7], [-5e-7, 2e-6]]) / 2
    np.testing.assert_allclose(admittance.branches[0][np.ix_([4, 5], [4, 5])], series + shunt, rtol=1e-12)
    np.testing.assert_allclose(admittance.branches[0][np.ix_([0, 1], [4, 5])], -series, rtol=1e-12)
    assert not admittance.branches[0][[2, 3, 6, 7]].any()


def test_a_neutral_at_earth_at_both_ends_gives_krons_reduction():
    document = feeder_document()
    for name in ("l0", "l1"):
        element(document, name)["grounding"] = {"kind": "solid"}
    model = parse(document)
    admittance = nodal_admittance(model)
    row = model.branches.rows["b3"]
    z = model.branches.z[row]
    reduced = z[:3, :3] - np.outer(z[:3, 3], z[3, :3]) / z[3, 3]
    np.testing.assert_allclose(np.linalg.inv(admittance.branches[row][:3, :3]), reduced, rtol=1e-10)
    assert (admittance.points.at_node[[model.nodes.rows["l0"], model.nodes.rows["l1"]], 3] == EARTH).all()


def test_a_neutral_not_at_earth_keeps_a_voltage_of_its_own():
    model = parse(feeder_document())
    points = nodal_admittance(model).points
    assert points.at_node[model.nodes.rows["l0"], 3] == EARTH  # the star point of the transformer is grounded solidly
    assert points.at_node[model.nodes.rows["l1"], 3] != EARTH
    assert points.energised[model.nodes.rows["l0"], 3]


@pytest.mark.parametrize("group", GROUPS)
def test_the_lower_voltage_lags_by_the_clock_number(group):
    """IEC 60076-1: the hour the phasor of the lower voltage points at while that of the higher one is at 12."""
    clock = int(group.lstrip("DYNZdynz"))
    model = parse(substation_document(vector_group=group))
    voltages = no_load(model)
    positive = [(COMPONENTS @ voltages[model.nodes.rows[node], :3])[1] for node in ("high", "low")]
    assert abs(positive[0]) / abs(positive[1]) == pytest.approx(50.0, rel=1e-9)
    turned = cmath.phase(positive[0] / positive[1])
    assert cmath.exp(1j * turned) == pytest.approx(cmath.exp(1j * math.radians(30 * clock)), abs=1e-9)


@pytest.mark.parametrize("group", GROUPS)
def test_sequences_meet_their_own_impedances_from_below(group):
    """Positive: source and transformer; zero: the transformer alone, or nothing, by how the windings are connected."""
    model = parse(substation_document(vector_group=group, r0=15.0, x0=60.0))
    sequence = COMPONENTS @ seen_from(model, "low") @ SEQUENCES
    z1 = (complex(10.0, 40.0) + complex(0.1, 1.0)) / 50.0**2
    assert sequence[1, 1] == pytest.approx(z1, rel=1e-9)
    if group.startswith(("Dyn", "Yzn", "Dzn")):
        assert sequence[0, 0] == pytest.approx(complex(15.0, 60.0) / 50.0**2, rel=1e-9)
    if group.startswith("YNyn"):
        assert sequence[0, 0] == pytest.approx((complex(15.0, 60.0) + complex(0.2, 2.0)) / 50.0**2, rel=1e-9)


def test_a_star_point_grounded_by_a_resistor_adds_three_times_that():
    model = parse(substation_document(vector_group="Dyn11", to_grounding={"kind": "resistance", "r": 0.5}))
    zero = (COMPONENTS @ seen_from(model, "low") @ SEQUENCES)[0, 0]
    assert zero == pytest.approx(complex(10.0, 40.0) / 50.0**2 + 3 * 0.5, rel=1e-9)


def test_a_grounded_star_with_a_delta_draws_zero_sequence_current_from_above():
    primitive = transformer_primitives(parse(substation_document(vector_group="YNd11")))[0]
    together = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    currents = primitive @ together
    np.testing.assert_allclose(currents[:3], 1 / complex(10.0, 40.0), rtol=1e-9)
    np.testing.assert_allclose(currents[4:], 0.0, atol=1e-12)
    assert currents[3] == pytest.approx(-3 / complex(10.0, 40.0), rel=1e-9)


def test_a_star_star_transformer_meets_its_zero_sequence_magnetising_impedance():
    model = parse(substation_document(vector_group="Yyn0", r0m=20.0, x0m=300.0))
    zero = (COMPONENTS @ seen_from(model, "low") @ SEQUENCES)[0, 0]
    assert zero == pytest.approx(complex(20.0, 300.0) / 50.0**2, rel=1e-9)


def test_a_star_star_transformer_whose_flux_has_no_way_leaves_the_voltage_to_earth_open_and_says_so():
    model = parse(substation_document(vector_group="Yyn0"))
    admittance = nodal_admittance(model)
    assert [describe(model, reference) for reference in admittance.references] == [
        "no zero-sequence voltage at node low"
    ]


@pytest.mark.parametrize(("end", "ratio", "stated"), [(0, 50.0 * 1.05, 1.05**2), (1, 50.0 / 1.05, 1.0)])
def test_taps_change_the_ratio_and_impedance_follows_the_turns(end, ratio, stated):
    tap = {"end": end, "position": 2, "step": 0.025, "lowest": -2, "highest": 2}
    model = parse(substation_document(vector_group="Dyn11", tap=tap))
    voltages = no_load(model)
    assert abs(voltages[0, 0] / voltages[1, 0]) == pytest.approx(ratio, rel=1e-9)
    primitive = transformer_primitives(model)[0]
    high = (COMPONENTS @ primitive[:3, :3] @ SEQUENCES)[1, 1]
    assert high == pytest.approx(1 / (complex(10.0, 40.0) * stated), rel=1e-9)


def test_magnetising_current_flows_at_the_higher_voltage():
    primitive = transformer_primitives(parse(substation_document(vector_group="Dyn11", g=1e-6, b=-5e-6)))[0]
    turned = np.exp(-1j * math.radians(330))
    voltages = np.concatenate([SEQUENCES[:, 1], [0], SEQUENCES[:, 1] * turned / 50.0, [0]])
    currents = primitive @ voltages
    np.testing.assert_allclose(currents[:3], (1e-6 - 5e-6j) * SEQUENCES[:, 1], rtol=1e-6)
    np.testing.assert_allclose(currents[4:], 0.0, atol=1e-9)


@pytest.mark.parametrize(("group", "sign"), [("Ii0", 1.0), ("Ii6", -1.0)])
def test_a_single_phase_transformer_returns_through_earth_where_there_is_no_neutral(group, sign):
    document = substation_document(vector_group=group, phases="A", rated_voltage=[20e3 / math.sqrt(3), 230.0])
    element(document, "low")["phases"] = "AN"
    element(document, "low")["grounding"] = {"kind": "solid"}
    voltages = no_load(parse(document))
    assert voltages[0, 0] / voltages[1, 0] == pytest.approx(sign * 20e3 / math.sqrt(3) / 230.0, rel=1e-9)


def test_a_three_phase_group_on_two_phases_is_refused_by_name():
    document = substation_document(vector_group="Dyn11", phases="AB")
    with pytest.raises(
        NetworkError, match=r"transformers\[transformer\]\.phases: expected ABC for Dyn11, found AB; state Ii0"
    ):
        parse(document)


def test_closed_switches_make_one_point_and_open_ones_leave_the_rest_dead():
    model = parse(feeder_document())
    points = nodal_admittance(model).points
    m0, m1 = model.nodes.rows["m0"], model.nodes.rows["m1"]
    np.testing.assert_array_equal(points.at_node[m0], points.at_node[m1])
    opened = model.with_switches(SwitchStates("net-1", 2, {"cb": "open", "tie": "open"}))
    dark = nodal_admittance(opened).points
    assert dark.energised[m0, :3].all()
    assert not np.delete(dark.energised, m0, axis=0).any()
    assert dark.count == 3


def test_a_source_without_zero_sequence_path_gives_a_reference_that_carries_nothing():
    document = substation_document(vector_group="Dyn11")
    del document["sources"][0]["r0"], document["sources"][0]["x0"]
    model = parse(document)
    admittance = nodal_admittance(model)
    assert [describe(model, reference) for reference in admittance.references] == [
        "no zero-sequence voltage at node high"
    ]
    voltages = np.linalg.solve(admittance.matrix.toarray(), admittance.driven)
    assert np.abs(admittance.anchors @ voltages).max() < 1e-9
    assert abs(voltages[admittance.points.at_node[0, :3]].sum()) < 1e-9


def test_cable_capacitance_is_a_path_to_earth():
    document = feeder_document()
    del document["sources"][0]["r0"], document["sources"][0]["x0"]
    assert nodal_admittance(parse(document)).references == ()


def test_currents_into_equipment_at_rest_are_none_for_equal_voltages_everywhere():
    """Lines without shunt and transformers carry nothing when both ends agree; passivity of the whole follows."""
    admittance = nodal_admittance(parse(feeder_document()))
    matrix = admittance.matrix.toarray()
    lowest = np.linalg.eigvalsh((matrix + matrix.conj().T) / 2).min()
    assert lowest > -1e-9 * np.abs(matrix).max()
