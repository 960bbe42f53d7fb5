"""The trees of a network: order, parents, slices of subtrees, and loops by their names."""

import numpy as np
import pytest

from algorithms.api.network_document import SwitchStates
from algorithms.api.network_reader import parse
from algorithms.grid.radial import NOTHING, EdgeKind, grow
from tests.support.networks import element, feeder_document
from tests.support.random_networks import random_document


def names(model, forest):
    return [model.nodes.ids[node] for node in forest.order]


def test_nodes_follow_their_parents_and_know_what_feeds_them():
    model = parse(feeder_document())
    forest = grow(model)
    assert names(model, forest)[:2] == ["m0", "m1"]
    above = {name: forest.parent[row] for name, row in model.nodes.rows.items()}
    rows = model.nodes.rows
    assert above == {
        "m0": NOTHING,
        "m1": rows["m0"],
        "m2": rows["m1"],
        "m3": rows["m1"],
        "l0": rows["m2"],
        "l1": rows["l0"],
        "l2": rows["l1"],
    }
    assert forest.kind[rows["m1"]] == EdgeKind.SWITCH
    assert forest.kind[rows["l0"]] == EdgeKind.TRANSFORMER
    assert model.branches.ids[forest.row[rows["l2"]]] == "b4"
    assert forest.loops == ()


@pytest.mark.parametrize("seed", range(20))
def test_every_subtree_is_one_slice_of_the_order(seed):
    model = parse(random_document(seed, 60))
    forest = grow(model)
    position = np.empty(len(model.nodes), dtype=int)
    position[forest.order] = np.arange(len(forest.order))
    below = [{place} for place in range(len(forest.order))]
    for place in reversed(range(len(forest.order))):
        parent = forest.parent[forest.order[place]]
        if parent != NOTHING:
            below[position[parent]] |= below[place]
    for place, members in enumerate(below):
        assert members == set(range(place, forest.end[place]))


def test_a_loop_is_told_with_everything_around_it():
    model = parse(feeder_document())
    closed = model.with_switches(SwitchStates("net-1", 2, {"cb": "closed", "tie": "closed"}))
    (loop,) = grow(closed).loops
    assert set(loop.members) == {"b1", "b2", "tie"}
    assert loop.phases == "ABC"


def test_a_second_source_closes_a_loop_through_earth():
    document = feeder_document()
    document["sources"].append({**document["sources"][0], "id": "other", "node": "m3"})
    (loop,) = grow(parse(document)).loops
    assert loop.members == ("grid", "other", "b2", "cb")


def test_lines_side_by_side_on_different_phases_share_none():
    document = feeder_document()
    element(document, "b4")["phases"] = "AN"
    element(document, "l2")["phases"] = "ABN"
    document["branches"].append({**element(document, "b4"), "id": "b5", "phases": "BN"})
    (loop,) = grow(parse(document)).loops
    assert (set(loop.members), loop.phases) == ({"b4", "b5"}, "")


def test_what_no_source_feeds_is_in_no_tree():
    model = parse(feeder_document())
    dark = model.with_switches(SwitchStates("net-1", 2, {"cb": "open", "tie": "open"}))
    forest = grow(dark)
    assert names(dark, forest) == ["m0"]
    assert (forest.parent == NOTHING).all()
