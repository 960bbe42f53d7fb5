"""One-line diagrams: what is in the picture, that names do not overlap, and what an overlay shows."""

import itertools
import math
import xml.etree.ElementTree as ET

import pytest
from msgspec.structs import replace

from algorithms.api.network_operation import SwitchKind, SwitchState
from algorithms.api.network_schema import read_form
from device_catalog.network_diagram import symbols
from device_catalog.network_diagram.canvas import Canvas, Circle, Polyline, Text, text_width
from device_catalog.network_diagram.diagram import Arrangement, draw
from device_catalog.network_diagram.labels import Labels
from device_catalog.network_diagram.layout import Structure, along, part
from device_catalog.network_diagram.layout_tree import tree
from device_catalog.network_diagram.overlay import Mark, MarkKind, Overlay
from device_catalog.network_diagram.raster import as_raster
from device_catalog.network_diagram.svg import as_svg
from tests.support.networks import feeder_document
from tests.support.random_networks import random_document, switched_document
from tests.support.reference_grids import synthetic_lv


def document_of(plain):
    form = read_form(plain)
    assert form.document is not None
    return form.document


@pytest.fixture
def feeder():
    return document_of(feeder_document())


def texts(canvas):
    return [shape.text for shape in canvas.shapes() if isinstance(shape, Text)]


def titles(canvas):
    return [shape.title for shape in canvas.shapes() if isinstance(shape, (Polyline, Circle)) and shape.title]


def box(text):
    left = text.at[0] - {"start": 0.0, "middle": 0.5, "end": 1.0}[text.anchor] * 0.8 * text_width(text.text, text.size)
    right = left + 0.8 * text_width(text.text, text.size)
    return left, text.at[1] - 0.7 * text.size, right, text.at[1]


def test_a_diagram_names_nodes_transformers_switches_and_the_source(feeder):
    words = texts(draw(feeder))
    assert {"Test feeder", "grid", "m0", "l1", "t1", "cb", "tie", "Dyn11, 400 kVA", "20/0.4 kV", "tap +1"} <= set(words)
    assert {"breaker", "load-break-switch, open", "generator", "measured", "lv: area-lv", "400 V"} <= set(words)


def test_everything_tells_its_data_under_the_pointer(feeder):
    said = " | ".join(titles(draw(feeder)))
    assert "t1: Dyn11, 400 kVA, 20/0.4 kV" in said
    assert "tie: load-break-switch, normally open, none operation" in said
    assert "b3: 120 m, cable-lv, from l0 to l1" in said


def test_what_could_close_a_loop_says_at_both_ends_where_it_leads(feeder):
    words = texts(draw(feeder))
    assert "to m3" in words
    assert {"to m2", "by tie"} <= set(words)


@pytest.mark.parametrize("nodes", [13, 60, 200, 1000])
def test_names_do_not_overlap(nodes):
    canvas = draw(synthetic_lv(nodes))
    boxes = [box(shape) for shape in canvas.shapes() if isinstance(shape, Text) and shape.halo]
    cells = {}
    for one in boxes:
        for cell in itertools.product(
            range(int(one[0] // 60), int(one[2] // 60) + 1), range(int(one[1] // 60), int(one[3] // 60) + 1)
        ):
            for other in cells.setdefault(cell, []):
                assert not (one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3])
            cells[cell].append(one)
    assert len(boxes) > nodes / 2


@pytest.mark.parametrize("seed", range(8))
def test_every_node_of_a_tree_has_a_place_of_its_own_and_lines_cross_no_node(seed):
    document = document_of(random_document(seed, 90, meshed=seed % 2 == 1))
    structure = Structure(document, {})
    layout = tree(structure)
    assert set(layout.places) == {node.id for node in document.nodes}
    places = {(round(x), round(y)) for x, y in layout.places.values()}
    assert len(places) == len(layout.places)
    for edge in document.branches:
        path = layout.paths.get(edge.id)
        for (x1, y1), (x2, y2) in itertools.pairwise(path or ()):
            for node, (x, y) in layout.places.items():
                if node in (edge.from_node, edge.to_node):
                    continue
                inside = min(x1, x2) - 1 < x < max(x1, x2) + 1 and min(y1, y2) - 1 < y < max(y1, y2) + 1
                assert not inside, (edge.id, node)


@pytest.mark.parametrize("seed", range(6))
def test_any_network_can_be_drawn_with_its_switches_anywhere(seed):
    document = document_of(switched_document(seed, 40))
    states = {
        one.id: SwitchState.OPEN if index % 2 else SwitchState.CLOSED for index, one in enumerate(document.switches)
    }
    canvas = draw(document, Overlay(switches=states))
    drawn = sum(isinstance(shape, (Polyline, Circle)) for shape in canvas.shapes())
    assert drawn > len(document.nodes)
    ET.fromstring(as_svg(canvas))


def test_dead_parts_are_grey_and_explained(feeder):
    canvas = draw(feeder, Overlay(switches={"cb": SwitchState.OPEN}))
    assert "dead" in texts(canvas)
    assert sum(shape.style.stroke == "#9a9a9a" for shape in canvas.shapes() if isinstance(shape, Polyline)) > 3


def placed(document):
    nodes = [replace(node, position=(100.0 * index, 60.0 * (index % 3))) for index, node in enumerate(document.nodes)]
    return replace(document, nodes=tuple(nodes))


def test_a_map_has_nodes_where_they_are(feeder):
    canvas = draw(placed(feeder), arrangement=Arrangement.MAP)
    titled = {
        shape.title.split(":")[0]: shape.centre
        for shape in canvas.shapes()
        if isinstance(shape, Circle) and shape.title
    }
    assert titled["m0"][0] < titled["m2"][0] < titled["l0"][0] < titled["l2"][0]
    east = titled["m2"][0] - titled["m1"][0]
    south = titled["m1"][1] - titled["m2"][1]
    assert south / east == pytest.approx(60 / 100, abs=0.25)  # but for what is put apart for a symbol


def test_a_map_without_positions_is_refused(feeder):
    with pytest.raises(ValueError, match="position of every node"):
        draw(feeder, arrangement=Arrangement.MAP)


def test_an_overlay_colours_nodes_and_lines_and_says_what_colours_mean(feeder):
    overlay = Overlay(
        node_colours={"l1": "#00ff00"},
        edge_colours={"b3": "#ff0000"},
        node_notes={"l1": "229.4 V"},
        legend=(("#00ff00", "within limits"),),
        caption="12:00",
    )
    canvas = draw(feeder, overlay)
    assert {"229.4 V", "within limits", "12:00"} <= set(texts(canvas))
    assert any(isinstance(shape, Polyline) and shape.style.stroke == "#ff0000" for shape in canvas.shapes())
    assert any(isinstance(shape, Circle) and shape.style.fill == "#00ff00" for shape in canvas.shapes())


def test_a_fault_is_marked_at_its_distance_with_its_uncertainty(feeder):
    def bolt(distance):
        mark = Mark("b1", MarkKind.FAULT, distance=distance, text="fault", extent=50.0)
        canvas = draw(feeder, Overlay(marks=(mark,)))
        assert "fault" in texts(canvas)
        assert any(isinstance(s, Polyline) and s.style.opacity < 1 and s.style.width == 9.0 for s in canvas.shapes())
        shape = next(s for s in canvas.shapes() if isinstance(s, Polyline) and s.title == "fault" and s.closed)
        return sum(y for _, y in shape.points) / len(shape.points)

    start, quarter, end = bolt(0.0), bolt(200.0), bolt(800.0)  # b1 is 800 m long and runs down
    assert (quarter - start) / (end - start) == pytest.approx(0.25, abs=0.01)


def test_an_uncertainty_is_drawn_to_each_side_of_the_fault(feeder):
    def reach(distance):
        canvas = draw(feeder, Overlay(marks=(Mark("b1", MarkKind.FAULT, distance=distance, extent=100.0),)))
        band = next(s for s in canvas.shapes() if isinstance(s, Polyline) and s.style.width == 9.0)
        return sum(math.dist(one, other) for one, other in itertools.pairwise(band.points))

    whole = reach(400.0)
    assert reach(0.0) == pytest.approx(whole / 2, rel=0.01)  # none of it beyond the end
    paths = draw(feeder, Overlay(marks=(Mark("b1", MarkKind.FAULT, distance=400.0, extent=400.0),)))
    band = next(s for s in paths.shapes() if isinstance(s, Polyline) and s.style.width == 9.0)
    everything = sum(math.dist(one, other) for one, other in itertools.pairwise(band.points))
    assert whole == pytest.approx(everything / 4, rel=0.01)  # 100 m to each side of 800 m


def test_steps_stand_beside_their_switches_with_numbers(feeder):
    overlay = Overlay(marks=(Mark("cb", MarkKind.STEP, text="1"), Mark("tie", MarkKind.STEP, text="2")))
    assert {"1", "2"} <= set(texts(draw(feeder, overlay)))


def test_a_mark_on_something_unknown_is_left_out(feeder):
    assert "there" not in texts(draw(feeder, Overlay(marks=(Mark("nowhere", text="there"),))))


def test_names_from_elsewhere_cannot_make_the_picture_no_xml(feeder):
    named = replace(feeder.nodes[4], name="a\x00b\x1b\uffff")
    text = as_svg(draw(replace(feeder, name="n\x00", nodes=(*feeder.nodes[:4], named, *feeder.nodes[5:]))))
    assert "a\ufffdb\ufffd\ufffd" in "".join(ET.fromstring(text).itertext())


def test_names_from_elsewhere_cannot_become_markup(feeder):
    named = replace(
        feeder, name='<script>alert("x")</script>', nodes=(replace(feeder.nodes[0], name="a<b>&"), *feeder.nodes[1:])
    )
    text = as_svg(draw(named))
    assert "<script>" not in text
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_the_same_picture_is_written_for_other_programs(feeder, kind, start):
    assert as_raster(draw(feeder), kind).startswith(start)


@pytest.mark.parametrize("kind", list(SwitchKind))
def test_open_and_closed_switches_look_different(kind):
    drawn = []
    for is_open in (True, False):
        canvas = Canvas(100, 100)
        symbols.switch(canvas, (50, 50), (0.0, 1.0), 1.0, kind=kind, is_open=is_open, title="")
        drawn.append(as_svg(canvas))
    assert drawn[0] != drawn[1]
    assert symbols.OPEN in drawn[0]
    assert symbols.OPEN not in drawn[1]


def test_a_label_that_has_no_room_is_left_out_and_counted():
    labels = Labels(Canvas(60, 20))
    assert labels.place(["short"], (5, 10), 10)
    assert not labels.place(["much too long for this canvas"], (5, 10), 10)
    assert labels.left_out == 1


def test_a_path_is_cut_by_shares_of_its_length():
    path = ((0.0, 0.0), (30.0, 0.0), (30.0, 10.0))
    assert along(path, 0.5) == (20.0, 0.0)
    assert along(path, 1.0) == (30.0, 10.0)
    assert part(path, 0.5, 1.0) == ((20.0, 0.0), (30.0, 0.0), (30.0, 10.0))
    assert math.isclose(along(path, 0.875)[1], 5.0)
