"""Searching the section of an earth fault by opening switches: every section is told from every other."""

import math

import pytest

from algorithms.api.network_reader import parse
from algorithms.grid.switching.fault_search import search
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import TreeFlow
from tests.support.feeder_pair import feeder_pair_document
from tests.support.networks import element


def prepared(document):
    model = parse(document)
    return model, TreeFlow(SwitchedNetwork(model))


@pytest.mark.parametrize("branch", [f"p-line{number}" for number in range(1, 7)])
def test_going_along_the_search_ends_at_the_section_of_the_fault(branch):
    model, flow = prepared(feeder_pair_document())
    network = flow.network
    trials = search(flow, "breaker-p", most=100)
    faulted = int(network.zone[model.branches.from_node[model.branches.rows[branch]]])
    closed = model.switches.closed.copy()

    def fed():
        return {int(network.zone[node]) for node in network.tree(closed).order}

    left, after, gone, opened = fed() - set(), "", False, 0
    while True:
        step = next((trial for trial in trials if (trial.after, trial.gone) == (after, gone)), None)
        if step is None:
            break
        before = fed()
        closed[model.switches.rows[step.switch]] = False
        opened += 1
        after, gone = step.switch, faulted not in fed()
        left &= (before - fed()) if gone else fed()
        if gone:
            closed[model.switches.rows[step.switch]] = True
    of_feeder = {
        zone
        for zone in left
        if any(model.nodes.ids[n][0] == "p" for n in range(len(model.nodes)) if network.zone[n] == zone)
    }
    assert faulted in of_feeder
    assert of_feeder - {int(network.zone[model.nodes.rows["p0"]])} == {faulted}
    assert opened <= 2 + math.ceil(math.log2(len(trials) + 1))


def test_switches_that_may_not_break_what_they_carry_are_left_out():
    document = feeder_pair_document()
    element(document, "p4-near")["breaks"] = 1.0
    _, flow = prepared(document)
    named = {trial.switch for trial in search(flow, "breaker-p", most=100)}
    assert "p4-near" not in named
    assert "p4-far" in named


def test_a_breaker_that_feeds_nothing_has_no_search():
    document = feeder_pair_document()
    element(document, "breaker-p")["normal"] = "open"
    _, flow = prepared(document)
    assert search(flow, "breaker-p") == ()
