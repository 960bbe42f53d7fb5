"""An area cut out of a network: what is in it, what stands for the rest, and what moves when switches do."""

import itertools

import msgspec
import pytest

from algorithms.api.errors import NetworkError
from algorithms.api.network_area import Areas, area_of, areas_below, below_id, edge_switches
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_problems import problems
from algorithms.api.network_reader import parse
from tests.support.layered_network import layered_document, states_of
from tests.support.networks import element, feeder_document
from tests.support.opendss import solved_by_opendss

NAMES = ("mv", "lv-1", "lv-2", "c-1", "c-2")


def read(document):
    return msgspec.convert(document, NetworkDocument)


def cut(name, document=None, **states):
    document = document or layered_document()
    found = msgspec.convert(states_of(document, 2, **states), SwitchStates)
    return area_of(read(document), name, found)


def ids(elements):
    return {one.id for one in elements}


def test_the_document_itself_is_right():
    assert problems(layered_document()) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("states", list(itertools.product(("open", "closed"), repeat=4)))
def test_a_part_is_a_right_network_however_the_switches_stand(name, states):
    document = layered_document()
    named = dict(zip(("s_m3", "tie_m", "s_l2", "tie_l"), states, strict=True))
    part = cut(name, document, **named)
    assert [str(problem) for problem in problems(part)] == []
    model = parse(part).with_switches(msgspec.convert(states_of(document, 2, **named), SwitchStates))
    assert model.topology_revision == 2
    assert part.areas[0].id == name


def test_equipment_between_two_areas_belongs_to_the_lower_one():
    assert ids(cut("mv").transformers) == set()
    part = cut("lv-1")
    assert ids(part.transformers) == {"t1"}
    assert ids(part.nodes) == {"m1", "l10", "l11", "l12"}
    assert [(source.node, source.id) for source in part.sources] == [("m1", "above-m1")]
    assert ids(part.branches) == {"b-l11", "b-l12"}
    assert ids(cut("c-1").branches) == {"b-k1", "b-k2"}
    assert ids(part.line_types) == {"cable-lv"}


def test_no_reading_enters_at_two_levels():
    found = [terminal.id for name in NAMES for terminal in cut(name).terminals]
    assert sorted(found) == sorted(terminal["id"] for terminal in layered_document()["terminals"])
    assert ids(cut("lv-1").terminals) == {"at-t1", "at-shop"}
    assert ids(cut("mv").terminals) == {"at-m0", "at-m2"}


def test_areas_below_stand_at_their_head_with_what_is_expected_of_them():
    part = cut("lv-1")
    (below,) = areas_below(part.areas)
    assert (below.id, below.head, below.level, below.device) == ("c-1", "l11", "concentrator", "agent-c-1")
    load = next(one for one in part.loads if one.id == below_id("c-1"))
    assert load.node == "l11"
    assert load.p == pytest.approx({"A": 900.0 + 500.0 - 800.0, "B": 600.0, "C": 700.0})
    assert load.u_p == pytest.approx({"A": (400.0**2 + 300.0**2 + 1.0) ** 0.5, "B": 300.0, "C": 300.0})
    upper = cut("mv")
    assert [(one.id, one.head) for one in areas_below(upper.areas)] == [("lv-1", "m1"), ("lv-2", "m3")]
    whole = {one.id: one for one in upper.loads}
    assert sum(whole["below-lv-1"].p.values()) == pytest.approx(900 + 1800 - 800 + 9000)
    assert whole["below-lv-1"].p["A"] == whole["below-lv-1"].p["C"], "a transformer lies between"
    assert whole["below-lv-1"].u_p == {}, "nobody knows that of the shop"
    far = whole["below-lv-2"]
    assert far.p == pytest.approx(dict.fromkeys("ABC", 400.0))
    apart = (2 * 400.0**2 + 800.0**2) / 3
    assert far.u_p == pytest.approx(dict.fromkeys("ABC", (200.0**2 + apart) ** 0.5)), "all of it is in one phase"


def test_what_another_area_supplies_moves_with_its_meters_and_its_concentrator():
    assert ids(areas_below(cut("lv-2").areas)) == {"c-2"}
    moved = {"s_l2": "open", "tie_l": "closed"}
    giving, taking = cut("lv-2", **moved), cut("lv-1", **moved)
    assert ids(giving.nodes) == {"m3", "l20", "l21"}
    assert ids(areas_below(giving.areas)) == set()
    assert ids(taking.nodes) == {"m1", "l10", "l11", "l12", "l22"}
    assert ids(areas_below(taking.areas)) == {"c-1", "c-2"}
    assert "at-l22" in ids(taking.terminals)
    assert ids(taking.switches) == {"tie-l"}
    expected = {name: load.p for name, load in ((one.id, one) for one in cut("mv", **moved).loads)}
    assert sum(expected["below-lv-2"].values()) == 0.0
    assert sum(expected["below-lv-1"].values()) == pytest.approx(900 + 1800 - 800 + 9000 + 1200)


def test_a_switch_elsewhere_changes_nothing():
    moved = {"s_l2": "open", "tie_l": "closed"}
    for name in ("c-1",):
        assert cut(name) == cut(name, **moved)
    assert cut("lv-1") == cut("lv-1", tie_m="closed", s_m3="open")


def test_a_concentrator_is_fed_from_where_its_head_hangs_now():
    near, far = (cut("c-2", **moved).sources[0] for moved in ({}, {"s_l2": "open", "tie_l": "closed"}))
    assert near.node == far.node == "l22"
    assert far.r1 > near.r1, "the way through the other feeder is longer"


def test_dark_nodes_stay_with_their_owner():
    part = cut("lv-2", s_l2="open")
    assert "l22" in ids(part.nodes)
    assert ids(part.switches) == {"s-l2"}
    assert "c-2" in ids(areas_below(part.areas))


def test_switches_that_could_change_a_part_are_named_also_where_they_are_not_in_it():
    document = layered_document()
    part = cut("lv-1", document)
    assert ids(part.switches) == set()
    assert set(edge_switches(read(document), part)) == {"tie-l"}
    assert set(edge_switches(read(document), cut("mv", document))) == {"s-m3", "tie-m"}


def test_of_a_tie_that_is_open_the_voltage_counts():
    document = layered_document()
    element(document, "at-l22")["equipment"] = "tie-l"
    terminal = next(one for one in cut("lv-2", document).terminals if one.id == "at-l22")
    assert terminal.equipment == ""


@pytest.mark.parametrize(("area", "kept"), [("lv-1", {"shop"}), ("c-1", {"h1", "h2", "pv"}), ("c-2", {"h3"})])
def test_a_part_alone_has_the_voltages_that_it_has_in_the_whole_network(area, kept):
    """Both solved by OpenDSS, nothing loaded but the part: then the equivalent source is exact."""
    document = layered_document()
    for name in ("loads", "generators"):
        document[name] = [one for one in document[name] if one["id"] in kept]
    for switch in document["switches"]:  # the engine has no switches: short lines in both
        if switch["normal"] == "closed":
            ends = {"from_node": switch["from_node"], "to_node": switch["to_node"], "length": 1.0}
            document["branches"].append({"id": f"b-{switch['id']}", **ends, "line_type": "cable-lv"})
    document["switches"], document["terminals"] = [], []
    whole, part = parse(document), parse(area_of(read(document), area))
    volts, found = solved_by_opendss(whole), solved_by_opendss(part)
    for row, name in enumerate(part.nodes.ids):
        there = part.nodes.conductors[row, :3]
        expected = volts[whole.nodes.ids.index(name)]
        assert found[row, :3][there] == pytest.approx(expected[:3][there], rel=1e-6)


def test_feeders_that_are_areas_hang_on_the_busbar_of_another():
    document = layered_document()
    for name, nodes in (("mv-a", ["m1", "m2"]), ("mv-b", ["m3"])):
        document["areas"].append({"id": name, "level": "mv", "nodes": nodes, "head": "m0"})
    element(document, "mv")["nodes"] = ["m0"]
    assert problems(document) == []
    assert ids(areas_below(cut("mv", document).areas)) == {"mv-a", "mv-b"}
    assert ids(cut("mv-a", document).nodes) == {"m0", "m1", "m2"}
    moved = cut("mv-a", document, s_m3="open", tie_m="closed")
    assert ids(moved.nodes) == {"m0", "m1", "m2", "m3"}
    assert ids(areas_below(moved.areas)) == {"lv-1", "lv-2"}
    assert problems(moved) == []


def test_an_area_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(NetworkError, match=r"lv-1.*found lv-9"):
        area_of(read(layered_document()), "lv-9")


def test_a_four_wire_area_below_a_tapped_transformer_is_right_too():
    document = read(feeder_document())
    for name in ("area-mv", "area-lv"):
        assert problems(area_of(document, name)) == []


def test_cutting_many_areas_takes_the_size_of_each():
    areas = Areas(read(layered_document()))
    assert [areas.cut(name) for name in NAMES] == [areas.cut(name) for name in NAMES]
