"""Areas and meters that an imported network gets, and what its summary says."""

import pytest
from msgspec.structs import replace

from algorithms.api.network_operation import Level
from algorithms.api.network_problems import problems
from algorithms.api.network_schema import read_form
from device_catalog.network_files.areas import with_areas, with_meters
from device_catalog.network_files.imported import Remarks
from device_catalog.network_files.summary import summarise, summary_lines
from tests.support.networks import element, feeder_document
from tests.support.random_networks import low_voltage_document
from tests.support.reference_grids import synthetic_lv


def document_of(plain):
    form = read_form(plain)
    assert form.document is not None
    assert form.problems == ()
    return form.document


def bare(plain):
    return replace(document_of(plain), areas=(), terminals=())


def test_each_substation_gets_an_area_headed_at_its_medium_voltage_node():
    found = with_areas(bare(feeder_document()), Remarks(), concentrators=False)
    assert problems(found) == []
    medium, low = found.areas
    assert (medium.level, medium.nodes, medium.head) == (Level.MV, ("m0", "m1", "m2", "m3"), "m0")
    assert (low.level, low.id, low.head) == (Level.LV, "lv-t1", "m2")
    assert set(low.nodes) == {"l0", "l1", "l2"}
    assert medium.radial
    assert low.radial


def test_a_concentrator_owns_the_service_lines_of_its_feeder_bus():
    found = with_areas(bare(feeder_document()), Remarks(), concentrators=True)
    assert problems(found) == []
    concentrator = next(area for area in found.areas if area.level == Level.CONCENTRATOR)
    assert (concentrator.id, concentrator.nodes, concentrator.head) == ("customers-l1", ("l2",), "l1")
    assert "l2" not in next(area for area in found.areas if area.level == Level.LV).nodes


def test_loads_on_the_feeder_itself_stay_with_the_low_voltage_area_and_are_named():
    remarks = Remarks()
    with_areas(bare(feeder_document()), remarks, concentrators=True)
    assert any(remark.what == "loads on a feeder itself" and "l1" in remark.names for remark in remarks.found())


@pytest.mark.parametrize("seed", range(5))
def test_areas_of_random_feeders_make_right_documents_that_own_every_node_once(seed):
    document = document_of(low_voltage_document(120, 30, seed))
    found = with_areas(document, Remarks(), concentrators=True)
    assert problems(found) == []
    owned = [node for area in found.areas for node in area.nodes]
    assert sorted(owned) == sorted(node.id for node in document.nodes)


def test_a_loop_makes_an_area_that_is_not_radial():
    plain = feeder_document()
    element(plain, "tie")["normal"] = "closed"
    found = with_areas(bare(plain), Remarks(), concentrators=False)
    assert [area.radial for area in found.areas] == [False, True]
    assert problems(found) == []


def test_substations_whose_low_voltage_sides_are_joined_share_an_area():
    plain = feeder_document()
    plain["transformers"].append(element(plain, "t1") | {"id": "t2", "from_node": "m3"})
    remarks = Remarks()
    found = with_areas(bare(plain), remarks, concentrators=False)
    assert [area.level for area in found.areas] == [Level.MV, Level.LV]
    assert any(remark.what == "transformer" and remark.names == ("t2",) for remark in remarks.found())


def test_meters_stand_at_every_load_and_substation_once():
    document = document_of(feeder_document())
    found = with_meters(document)
    assert problems(found) == []
    measured = [terminal.equipment for terminal in found.terminals]
    assert sorted(measured) == ["c1", "c2", "cb", "factory", "pv", "t1"]
    of = {terminal.equipment: terminal for terminal in found.terminals}
    assert (of["t1"].node, of["t1"].phases) == ("l0", "ABC")
    assert of["c2"].id == "t-c2"  # was there already
    assert of["pv"].phases == "AN"


def test_a_summary_counts_what_there_is():
    found = summarise(document_of(feeder_document()))
    medium, low = found.levels
    assert (medium.voltage, medium.nodes, medium.length, medium.p_loads) == (20e3, 4, 1300.0, 150e3)
    assert (low.customers, low.loads, low.generators) == (3, 2, 1)
    assert (found.switches, found.open_switches, found.loops, found.tied) == (2, 1, 0, 1)
    assert found.areas == {"mv": 1, "lv": 1}
    assert found.vector_groups == {"Dyn11": 1}


def test_a_summary_tells_what_is_unusual():
    plain = feeder_document()
    element(plain, "c1")["p"] = {"A": 600e3, "B": 0.0, "C": 0.0}
    element(plain, "t1").pop("to_grounding")
    element(plain, "l0").pop("grounding")
    element(plain, "b3")["length"] = 1500.0
    plain["areas"] = plain["areas"][:1]
    remarks = " | ".join(summarise(document_of(plain)).unusual)
    assert "not grounded at t1" in remarks
    assert "more than 1 km: b3" in remarks
    assert "spread unevenly over the phases: A 100 %" in remarks
    assert "3 nodes of no area" in remarks


def test_single_phase_regulators_side_by_side_are_no_loop():
    plain = feeder_document()
    plain["nodes"].append({"id": "m9", "phases": "ABC", "base_voltage": 20e3})
    for phase in "ABC":
        plain["transformers"].append(
            {
                "id": f"reg-{phase}",
                "from_node": "m3",
                "to_node": "m9",
                "vector_group": "Ii0",
                "phases": phase,
                "rated_power": 1e6,
                "rated_voltage": [11547.0, 11547.0],
                "r": 0.01,
                "x": 0.02,
            }
        )
    document = document_of(plain)
    assert problems(document) == []  # next to no impedance is right where both voltages are the same
    assert summarise(document).loops == 0


def test_a_summary_is_a_few_lines_for_people():
    lines = list(summary_lines(summarise(synthetic_lv(200))))
    assert lines[0] == "synthetic-200, revision 1"
    assert any("400 V: 200 nodes" in line and "132 loads" in line for line in lines)
    assert "  radial" in lines
