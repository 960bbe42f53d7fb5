"""What a line is made of makes no difference: nodes that only pass current on lie between the ends of their chain."""

from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from algorithms.api.network_reader import parse
from algorithms.grid.estimation.chains import find_chains
from algorithms.grid.estimation.response import Response
from algorithms.grid.points import find_points
from tests.support.exact_circuit import Circuit
from tests.support.random_networks import four_wire_document, random_document

PIECES = 4
SEEDS = range(6)


def in_pieces(document: dict[str, Any], seed: int) -> dict[str, Any]:
    """Draw each line in 1 to 4 equal pieces, any of them from either end, without its charge."""
    pick = Random(seed)
    nodes = {node["id"]: node for node in document["nodes"]}
    lines = []
    for line in document["branches"]:
        line.pop("b", None)
        pieces = pick.randint(1, PIECES)
        way = [line["from_node"], *(f"{line['id']}-{number}" for number in range(1, pieces)), line["to_node"]]
        base = nodes[line["from_node"]]["base_voltage"]
        document["nodes"] += [{"id": name, "phases": line["phases"], "base_voltage": base} for name in way[1:-1]]
        for number, ends in enumerate(pairwise(way)):
            one, other = pick.sample(ends, 2)
            share = {name: (np.array(line[name]) / pieces).tolist() for name in ("r", "x")}
            length = line["length"] / pieces
            piece = {**line, **share, "id": f"{line['id']}-line-{number}", "length": length}
            lines.append({**piece, "from_node": one, "to_node": other})
    pick.shuffle(lines)
    return {**document, "branches": lines}


def documents(seed):
    yield random_document(seed, 40)
    yield random_document(seed, 40, meshed=True)
    yield four_wire_document(seed, 40)
    yield four_wire_document(seed, 40, grounded=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_voltages_are_those_that_solve_kirchhoffs_equations(seed):
    tried = 0
    for document in documents(seed):
        model = parse(in_pieces(document, seed))
        response, circuit = Response(model), Circuit(model)
        if response.references:
            continue
        tried += 1
        rng = np.random.default_rng(seed)
        inputs = rng.standard_normal(response.size) + 1j * rng.standard_normal(response.size)
        inputs[: len(response.emfs)] += response.emfs
        equations = circuit.constraints.toarray() / circuit.scale
        truth = np.append(np.linalg.solve(equations[:, : circuit.count], -equations[:, circuit.count :] @ inputs), 0.0)
        found = np.append(response.voltages(inputs), 0.0)
        nominal = model.nodes.nominal_voltage[:, np.newaxis]
        apart = np.abs(found[response.points.at_node] - truth[np.maximum(circuit.at, -1)])
        assert (apart / nominal)[response.points.energised].max() < 1e-9
        seen = rng.integers(response.points.count, size=(2, 20))
        each = np.eye(response.points.count)
        rows = csr_array(each[seen[0]] - each[seen[1]])
        assert response.seen(rows) @ inputs == pytest.approx(rows @ found[:-1], rel=1e-9, abs=1e-9)
    assert tried


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_line_in_pieces_its_ends_are_left(seed):
    for document in documents(seed):
        plain = parse(document)
        before = find_points(plain)
        model = parse(in_pieces(document, seed))
        points = find_points(model)
        assert points.count > before.count
        assert len(find_chains(model, points, ()).kept) <= before.count


def test_a_ring_that_feeds_nothing_has_the_voltage_of_where_it_is_tied():
    document = random_document(1, 12)
    node = document["nodes"][-1]
    way = [node["id"], "r1", "r2", "r3", node["id"]]
    document["nodes"] += [{**node, "id": name} for name in way[1:-1]]
    line = {name: value for name, value in document["branches"][-1].items() if name != "b"}
    document["branches"] += [
        {**line, "id": f"ring-{number}", "from_node": one, "to_node": other}
        for number, (one, other) in enumerate(pairwise(way))
    ]
    model = parse(document)
    response = Response(model)
    inputs = np.concatenate([response.emfs, np.ones(len(response.elements))])
    voltages = response.voltages(inputs)[response.points.at_node]
    for name in way[1:-1]:
        assert voltages[model.nodes.rows[name]] == pytest.approx(voltages[model.nodes.rows[node["id"]]], rel=1e-9)
