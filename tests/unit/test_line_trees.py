"""Feeders that hang on the rest of a network are answered for by sums of drops, as if they were solved for with it."""

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from algorithms.api.network_reader import parse
from algorithms.grid.estimation import response
from algorithms.grid.estimation.response import Response
from algorithms.grid.points import components
from tests.support.random_networks import four_wire_document, random_document

SEEDS = range(8)


def documents(seed):
    yield random_document(seed, 30)
    yield random_document(seed, 30, meshed=True)
    yield four_wire_document(seed, 30)
    yield four_wire_document(seed, 30, grounded=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_voltages_are_those_of_a_network_that_is_solved_as_a_whole(seed, monkeypatch):
    rng, cut = np.random.default_rng(seed), 0
    for document in documents(seed):
        for line in document["branches"][:: rng.integers(1, 4)]:
            line.pop("b", None)  # a line with a charge is in no tree
        model = parse(document)
        with_trees = Response(model)
        with monkeypatch.context() as patch:
            patch.setattr(response, "find_trees", lambda *_: None)
            whole = Response(model)
        inputs = rng.standard_normal(whole.size) + 1j * rng.standard_normal(whole.size)
        inputs[: len(whole.emfs)] += whole.emfs
        expected = whole.voltages(inputs)
        assert np.abs(with_trees.voltages(inputs) - expected).max() < 1e-9 * np.abs(expected).max()
        cut += with_trees._trees is not None
    assert cut


def test_nothing_is_cut_off_where_voltages_need_a_reference():
    """The anchor of a reference is as large as what conducts beside it, and estimates must not depend on trees."""
    own, mutual = 0.2, 0.02
    rows = [[own if row == column else mutual for column in range(3)] for row in range(3)]
    line = {"phases": "ABC", "length": 500.0, "r": rows, "x": rows}
    document = {
        "schema": "network/1",
        "network": "isolated",
        "revision": 1,
        "nodes": [{"id": f"n{number}", "phases": "ABC", "base_voltage": 10e3} for number in range(5)],
        "branches": [
            {**line, "id": f"b{number}", "from_node": f"n{(number - 1) // 2}", "to_node": f"n{number}"}
            for number in range(1, 5)
        ],
        "sources": [{"id": "s", "node": "n0", "voltage": 5774.0, "r1": 0.01, "x1": 0.02}],
        "loads": [{"id": "l", "node": "n4", "p": dict.fromkeys("ABC", 4e4), "q": dict.fromkeys("ABC", 0.0)}],
    }
    model = parse(document)
    found = Response(model)
    assert found.references
    assert found._trees is None


@pytest.mark.parametrize("seed", SEEDS)
def test_what_hangs_together_has_the_lowest_of_its_numbers(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 400))
    links = rng.integers(count, size=(int(rng.integers(0, 2 * count)), 2))
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count))
    _, part = connected_components(graph, directed=False)
    found = components(count, links)
    lowest = [np.flatnonzero(part == each).min() for each in part]
    assert found.tolist() == lowest


def test_a_long_line_whose_nodes_are_numbered_at_random_hangs_together():
    order = np.random.default_rng(1).permutation(5000)
    assert not components(len(order), np.stack([order[:-1], order[1:]], axis=1)).any()
