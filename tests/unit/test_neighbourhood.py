"""Whom an agent's algorithms hear follows from its part of the network, and moves with its switches."""

import msgspec
import pytest

from agent.neighbourhood import Neighbourhood, neighbourhood_of
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.network_area import area_of
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.records import Kind
from device_catalog.contract.documents import Neighbours
from tests.support.layered_network import layered_document, states_of

WHOLE = msgspec.convert(layered_document(), NetworkDocument)


def hood(area, device="agent-x", **moved):
    states = msgspec.convert(states_of(layered_document(), 1, **moved), SwitchStates)
    return neighbourhood_of(area_of(WHOLE, area, states), area, device)


def info(*consumes, needs_network=True):
    return AlgorithmInfo("one", "1.0.0", "A test.", consumes, (Kind.GRID_STATE,), needs_network=needs_network)


def test_a_concentrator_hears_its_meters():
    found = hood("c-1")
    assert (found.devices, found.areas, found.levels) == (("meter-h1", "meter-h2"), (), (("c-1", "concentrator"),))


def test_an_lv_area_hears_its_meters_and_its_concentrators():
    found = hood("lv-1")
    assert (found.devices, found.areas) == (("meter-t1", "meter-shop"), ("c-1",))
    assert dict(found.levels) == {"lv-1": "lv", "c-1": "concentrator"}


def test_an_mv_area_hears_the_areas_below_it():
    assert hood("mv").areas == ("lv-1", "lv-2")


def test_switches_move_meters_and_areas():
    moved = {"s_l2": "open", "tie_l": "closed"}
    assert hood("lv-1", **moved).areas == ("c-1", "c-2")
    assert "meter-l22" in hood("lv-1", **moved).devices
    found = hood("lv-2", **moved)
    assert (found.devices, found.areas, found.levels) == ((), (), (("lv-2", "lv"),))


def test_an_agent_does_not_hear_itself():
    assert hood("lv-1", device="meter-shop").devices == ("meter-t1",)


def test_who_looks_after_the_whole_network_hears_the_areas_at_its_top():
    found = neighbourhood_of(WHOLE, "", "agent-x")
    assert (found.devices, found.areas) == ((), ("mv",))


def test_who_proposes_switching_hears_switches_faults_and_the_meters_at_the_top():
    found = neighbourhood_of(WHOLE, "", "agent-x")
    proposes = AlgorithmInfo(
        "one", "1.0.0", "One.", (Kind.RESULT, Kind.EVENT, Kind.FRAME), (Kind.PROPOSAL,), needs_network=True
    )
    wishes = {wish.kind: wish for wish in found.wishes(proposes)}
    remote = {switch.id for switch in WHOLE.switches if switch.operation == "remote"}
    assert set(found.switches) == remote
    assert wishes[Kind.EVENT].areas == (WHOLE.network,)
    assert (Kind.RESULT in wishes) == bool(remote)
    owned = {node for area in WHOLE.areas if area.id != "mv" for node in area.nodes}
    assert set(found.meters) == {
        terminal.device for terminal in WHOLE.terminals if terminal.node not in owned and terminal.device
    }


@pytest.mark.parametrize(
    ("one", "wishes"),
    [
        (info(Kind.FRAME), [Neighbours(Kind.FRAME, devices=("m-1",))]),
        (info(Kind.GRID_STATE), [Neighbours(Kind.GRID_STATE, areas=("a",))]),
        (info(Kind.EVENT), []),
        (info(Kind.FRAME, Kind.GRID_STATE, needs_network=False), []),
    ],
    ids=["frames", "states", "events", "no network"],
)
def test_only_an_algorithm_that_needs_the_network_hears_them_and_only_what_it_takes(one, wishes):
    assert list(Neighbourhood(("m-1",), ("a",)).wishes(one)) == wishes
