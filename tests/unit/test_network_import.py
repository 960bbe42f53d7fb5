"""What an imported network document says, and what is said of what it has not."""

import pytest
from msgspec.structs import replace

from algorithms.api.network_equipment import Connection, GroundingKind
from algorithms.api.network_operation import SwitchKind, SwitchState
from algorithms.api.network_problems import problems
from algorithms.api.network_schema import read_form
from device_catalog.network_files import opendss_import, pandapower_import
from device_catalog.network_files.errors import NetworkFileError
from device_catalog.network_files.imported import Ids, Remark, RemarkKind
from device_catalog.network_files.writing import as_text
from tests.support.foreign_networks import (
    FOUR_WIRE,
    ODD,
    REGULATED,
    SWITCHED,
    small_pandapower_net,
    uneven_pandapower_net,
    write_master,
)


def by_id(elements):
    return {element.id: element for element in elements}


@pytest.fixture(scope="module")
def small():
    return pandapower_import.take_over(small_pandapower_net(), "small.json", "small")


@pytest.fixture(scope="module")
def switched(tmp_path_factory):
    return opendss_import.read_file(write_master(tmp_path_factory.mktemp("dss"), "switched", SWITCHED))


def remarks(imported, kind):
    return {remark.what: remark for remark in imported.remarks if remark.kind == kind}


def test_a_pandapower_net_becomes_a_right_document_with_its_names(small):
    document = small.document
    assert problems(document) == []
    assert document.network == "Small-town"
    assert document.name == "Small town"
    assert by_id(document.nodes)["Bar-A"].name == "Bar A"


def test_taps_and_vector_groups_are_those_of_the_net(small):
    transformers = by_id(small.document.transformers)
    substation, kiosk = transformers["T-110"], transformers["Kiosk-transformer"]
    assert (substation.vector_group, kiosk.vector_group) == ("YNd5", "Dyn11")
    assert (substation.tap.end, substation.tap.position, substation.tap.step) == (0, -2, 0.015)
    assert (kiosk.tap.end, kiosk.tap.position) == (1, 1)
    assert kiosk.rated_power == pytest.approx(800e3)  # two in parallel
    assert kiosk.to_grounding.kind == GroundingKind.SOLID


def test_switches_stand_between_two_nodes_and_keep_kind_and_state(small):
    switches = by_id(small.document.switches)
    assert switches["Coupler"].kind == SwitchKind.BREAKER
    assert (switches["Coupler"].rating, switches["Coupler"].breaks) == (1250.0, 1250.0)
    assert switches["Kiosk-disconnector"].kind == SwitchKind.DISCONNECTOR
    assert switches["Open-point"].normal == SwitchState.OPEN
    line = by_id(small.document.branches)["Cable-4-3"]
    assert switches["Open-point"].to_node in (line.from_node, line.to_node)
    assert switches["Open-point"].from_node == "South"


def test_parallel_systems_are_one_line_of_half_the_impedance(small):
    document = small.document
    kinds, lines = by_id(document.line_types), by_id(document.branches)
    lane, yard = (kinds[lines[name].line_type] for name in ("Lane", "Yard"))
    assert lane.sequence.r1 == pytest.approx(yard.sequence.r1 / 2)
    assert (lane.rating, yard.rating) == (pytest.approx(400.0), pytest.approx(200.0))
    assert lines["Lane"].length == pytest.approx(120.0)


def test_a_load_of_mixed_kind_becomes_one_for_each_exponent(small):
    loads = by_id(small.document.loads)
    shares = {name: sum(loads[name].p.values()) for name in loads if name.startswith("Mill-load")}
    assert shares == pytest.approx({"Mill-load": 400e3, "Mill-load-current": 160e3, "Mill-load-impedance": 240e3})
    assert [loads[name].p_exponent for name in shares] == [0.0, 1.0, 2.0]


def test_what_feeds_is_a_generator_with_power_below_zero(small):
    generators = by_id(small.document.generators)
    assert sum(generators["Roof"].p.values()) == pytest.approx(-15e3)
    assert generators["Battery"].storage
    assert sum(generators["Battery"].p.values()) == pytest.approx(4e3)
    assert sum(generators["Mill-turbine"].p.values()) == pytest.approx(-500e3)
    assert "voltage held by generators" in remarks(small, RemarkKind.CHANGED)


def test_measured_places_become_terminals(small):
    switch = next(one for one in small.document.switches if "Cable-1-2-at-Bar-B" in (one.from_node, one.to_node))
    assert "Bar-B" in (switch.from_node, switch.to_node), "the cable begins behind it"
    assert {(one.node, one.equipment) for one in small.document.terminals} == {("Bar-B", ""), ("Bar-B", switch.id)}


def test_what_the_file_does_not_say_is_listed_as_assumed(small):
    assumed = remarks(small, RemarkKind.ASSUMED)
    assert "zero sequence of lines" in assumed
    assert "North load" in remarks(small, RemarkKind.CHANGED)["balanced loads and generators"].names


def test_a_line_with_more_impedance_than_any_conductor_is_made_longer_and_named():
    net = small_pandapower_net()
    net.line.loc[net.line.name == "Yard", ["length_km", "r_ohm_per_km", "x_ohm_per_km"]] = 0.001, 16.0, 40.0
    imported = pandapower_import.take_over(net, "net", "net")
    assert problems(imported.document) == []
    yard = by_id(imported.document.branches)["Yard"]
    kind = by_id(imported.document.line_types)[yard.line_type]
    assert yard.length * kind.sequence.x1 == pytest.approx(0.04)
    assert remarks(imported, RemarkKind.CHANGED)["length of lines"].names == ("Yard",)


def test_unknown_equipment_and_what_is_out_of_service_is_listed_as_left_out():
    import pandapower as pp

    net = small_pandapower_net()
    net.line.loc[net.line.name == "Yard", "in_service"] = False
    pp.create_dcline(net, 1, 2, p_mw=0.1, loss_percent=1, loss_mw=0.01, vm_from_pu=1.0, vm_to_pu=1.0, name="Direct")
    net.dcline["in_service"] = False
    imported = pandapower_import.take_over(net, "net", "net")
    left_out = remarks(imported, RemarkKind.LEFT_OUT)
    assert left_out["line"].names == ("Yard",)
    assert left_out["dcline"].names == ("Direct",)
    assert left_out["node"].names == ("Barn",)  # hung on the line
    assert problems(imported.document) == []


def test_ids_of_cim_are_kept():
    net = uneven_pandapower_net()
    net.bus["origin_id"] = [f"_2f4c{index}e0d-6a1b" for index in range(len(net.bus))]
    document = pandapower_import.take_over(net, "net", "net").document
    assert document.nodes[0].id == "2f4c0e0d-6a1b"
    assert document.nodes[0].name == "m"


def test_delta_loads_stand_between_phases():
    document = pandapower_import.take_over(uneven_pandapower_net(), "net", "net").document
    loads = by_id(document.loads)
    assert loads["Pump"].connection == Connection.DELTA
    assert loads["Pump"].p == pytest.approx({"AB": 10e3, "BC": 20e3, "CA": 4e3})
    assert set(loads["Shop"].p) == {"A", "B"}  # nothing on C


def test_a_saved_net_is_read_from_its_file(tmp_path):
    import pandapower as pp

    file = tmp_path / "town.json"
    pp.to_json(small_pandapower_net(), str(file))
    imported = pandapower_import.read_file(file)
    assert problems(imported.document) == []
    assert "town.json" in imported.origin


def test_a_file_that_is_no_net_is_refused(tmp_path):
    file = tmp_path / "other.json"
    file.write_text('{"schema": "network/1"}')
    with pytest.raises(NetworkFileError, match="expected a net that pandapower saved"):
        pandapower_import.read_file(file)


def test_an_unknown_example_is_refused_with_those_near_it():
    with pytest.raises(NetworkFileError, match="create_cigre_network_mv"):
        pandapower_import.read_example("create_cigre_mv")


@pytest.mark.parametrize("arguments", [{"with_der": 1}, {"with_dr": True}])
def test_arguments_that_an_example_cannot_take_are_told(arguments):
    with pytest.raises(NetworkFileError, match="expected the arguments of create_cigre_network_mv"):
        pandapower_import.read_example("create_cigre_network_mv", arguments)


def test_open_lines_and_protected_ones_get_a_switch(switched):
    document = switched.document
    assert problems(document) == []
    switches = by_id(document.switches)
    assert switches["tie"].normal == SwitchState.OPEN
    assert switches["spare-switch"].normal == SwitchState.OPEN
    assert {one.kind for one in document.switches} >= {SwitchKind.RECLOSER, SwitchKind.FUSE}
    (relay,) = document.protections
    assert (relay.phase_current, relay.ground_current, relay.dead_times) == (400.0, 80.0, (0.5, 2.0))


def test_opendss_transformers_keep_their_groups(switched):
    groups = {one.id: one.vector_group for one in switched.document.transformers}
    assert groups == {"yd": "YNd1", "one": "Ii0"}


def test_what_opendss_has_and_a_document_has_not_is_listed_with_the_reason(tmp_path):
    imported = opendss_import.read_file(write_master(tmp_path, "odd", ODD))
    told = {str(remark) for remark in imported.remarks if remark.kind == RemarkKind.LEFT_OUT}
    assert any("transformer (split): 3 windings" in text for text in told)
    assert any("load (off): not enabled" in text for text in told)
    assert any("line (crossed): node 1 at one end, 2 at the other" in text for text in told)
    assert any("capacitor (series): in line" in text for text in told)
    assert any(text.startswith("left out: node (h, x, y)") for text in told)
    assert problems(imported.document) == []


def test_models_of_loads_become_exponents(tmp_path):
    imported = opendss_import.read_file(write_master(tmp_path, "regulated", REGULATED))
    found = {load.id: (load.p_exponent, load.q_exponent) for load in imported.document.loads}
    assert found["w10b"] == (0.0, 2.0)
    assert found["d5"] == (2.0, 2.0)
    assert found["d8"] == (1.0, 1.0)
    assert found["w9"] == (0.8, 2.0)
    assert {"z9-impedance", "z9-current", "z9-power"} <= set(found)
    loads = by_id(imported.document.loads)
    assert sum(loads["bank"].q.values()) == pytest.approx(-600e3)
    assert {one.tap.regulates for one in imported.document.transformers if one.id.startswith("reg")} == {True}
    assert [(one.node, one.equipment) for one in imported.document.terminals] == [("bus2", "trunk")]


def test_a_neutral_and_its_grounding_are_kept(tmp_path):
    document = opendss_import.read_file(write_master(tmp_path, "four", FOUR_WIRE)).document
    nodes = by_id(document.nodes)
    assert nodes["n1"].phases == "ABCN"
    assert nodes["h1"].phases == "AN"
    assert (nodes["n2"].grounding.kind, nodes["n2"].grounding.r) == (GroundingKind.RESISTANCE, 20.0)
    assert nodes["n1"].grounding is None
    assert document.transformers[0].vector_group == "Dyn11"


def test_a_master_file_that_opendss_refuses_is_told_with_its_line(tmp_path):
    file = write_master(tmp_path, "wrong", "clear\nnew circuit.c\nnew line.l bus1=a nonsense=3\n")
    with pytest.raises(NetworkFileError, match=r"nonsense.*line: 3"):
        opendss_import.read_file(file)


def test_a_file_without_a_circuit_is_no_master(tmp_path):
    file = write_master(tmp_path, "codes", "clear\n")
    with pytest.raises(NetworkFileError, match="is it the master"):
        opendss_import.read_file(file)


def test_ids_are_valid_and_unique():
    ids = Ids()
    found = [ids.take(name, "bus") for name in ("a b", "a/b", "a-b", "7", "", "", "x" * 80, "x" * 80, "Käthe")]
    assert len(set(found)) == len(found)
    assert all(0 < len(name) <= 64 for name in found)
    assert found[0] == "a-b"


def test_a_remark_names_a_few_and_counts_the_rest():
    remark = Remark(RemarkKind.LEFT_OUT, "line", "out of service", tuple("abcdefgh"))
    assert str(remark) == "left out: line (a, b, c, d, e and 3 more): out of service"


def test_a_written_document_is_the_same_when_read(small):
    form = read_form(as_text(small.document).encode())
    assert form.problems == ()
    assert form.document == replace(small.document)
