"""Currents into equipment: at every node they add up to nothing, and power that goes in comes out or turns to heat."""

import numpy as np
import pytest

from algorithms.api.network_reader import parse
from algorithms.grid.admittance import nodal_admittance
from algorithms.grid.flows import flows, losses
from algorithms.grid.powerflow import prepare
from tests.support.networks import feeder_document, substation_document
from tests.support.random_networks import four_wire_document, random_document


def solved(document):
    model = parse(document)
    solution = prepare(model).solve(tolerance=1e-12)
    assert solution.converged, solution.reason
    return model, solution, flows(model, nodal_admittance(model), solution.voltages)


def at_nodes(model, solution, flow):
    """Add up all currents that leave each node, phase by phase; delta loads take theirs from two."""
    total = np.zeros((len(model.nodes), 4), dtype=complex)
    tables = (model.branches, model.transformers)
    for table, currents in zip(tables, (flow.branches, flow.transformers), strict=True):
        np.add.at(total, table.from_node, currents[:, 0])
        np.add.at(total, table.to_node, currents[:, 1])
    np.add.at(total, model.sources.node, flow.sources)
    row = 0
    for table in (model.loads, model.generators):
        for node, connection in zip(table.node, table.connection, strict=True):
            for column, current in enumerate(solution.currents[row]):
                total[node, column] += current
                total[node, (column + 1) % 3 if connection == "delta" else 3] -= current
            row += 1
    return total


@pytest.mark.parametrize("seed", range(10))
def test_currents_add_up_to_nothing_at_every_phase_and_every_floating_neutral(seed):
    document = four_wire_document(seed, 30) if seed % 2 else random_document(seed, 40, meshed=True)
    model, solution, flow = solved(document)
    total = at_nodes(model, solution, flow)
    free = model.nodes.conductors.copy()
    free[:, 3] &= nodal_admittance(model).points.at_node[:, 3] >= 0
    assert np.abs(total[free]).max() < 1e-6 * np.abs(flow.branches).max()


def test_what_the_source_feeds_is_what_loads_draw_and_what_turns_to_heat():
    document = random_document(2, 30, exponents=False)
    document["transformers"] = [{**transformer, "r": 1e-9} for transformer in document["transformers"]]
    model, solution, flow = solved(document)
    fed = -np.sum((solution.voltages[model.sources.node] * flow.sources.conj()).real)
    drawn = model.loads.p.sum()
    assert fed == pytest.approx(drawn + losses(flow.branches, model, solution.voltages), rel=1e-7)


def test_a_star_point_of_its_own_carries_what_its_phases_do():
    document = substation_document(vector_group="Dyn11", to_grounding={"kind": "resistance", "r": 0.2})
    document["loads"] = [{"id": "load", "node": "low", "p": {"A": 5e3}, "q": {"A": 0.0}}]
    _, solution, flow = solved(document)
    np.testing.assert_allclose(flow.transformers[0, 1, 0], -solution.currents[0, 0], rtol=1e-9)
    np.testing.assert_allclose(flow.transformers[0, 1, 3], solution.currents[0, 0], rtol=1e-9)


def test_what_is_dead_carries_nothing():
    model = parse(feeder_document())
    dead = np.zeros((len(model.nodes), 4), dtype=complex)
    assert not flows(model, nodal_admittance(model), dead).branches.any()
    with pytest.raises(ValueError, match=r"voltages of shape \(7, 4\) expected"):
        flows(model, nodal_admittance(model), dead[:, :3])
