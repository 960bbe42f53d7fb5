"""Switch states are judged against their network, all faults at once, and carried over to its next revision."""

import msgspec
import pytest

from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_states import carried_over, normal_states, read_states
from tests.support.layered_network import layered_document, states_of
from tests.support.networks import element

NETWORK = msgspec.convert(layered_document(), NetworkDocument)


def wheres(document, before=None):
    return [problem.where.removeprefix("topology.") for problem in read_states(document, NETWORK, before)[1]]


def test_right_states_are_read_as_json_and_as_objects():
    document = states_of(layered_document(), 4, tie_l="closed", s_l2="open")
    states, problems = read_states(msgspec.json.encode(document), NETWORK, before=3)
    assert problems == []
    assert states == read_states(document, NETWORK)[0] == read_states(states, NETWORK)[0]
    assert (states.revision, states.states["tie-l"]) == (4, "closed")


def test_every_fault_is_found_at_once():
    document = states_of(layered_document(), 3)
    del document["states"]["s-m3"]
    document["states"] |= {"nobody": "open", "tie-l": "ajar", "tie-m": "closed"}
    document |= {"network": "other", "schema": "topology/2", "remark": "x"}
    found = wheres(document, before=3)
    assert sorted(found) == sorted(
        ["remark", "schema", "network", "revision", "states.nobody", "states.tie-l", "states.s-m3"]
    )


def test_a_loop_in_a_radial_area_names_the_switch():
    assert wheres(states_of(layered_document(), 1, tie_m="closed")) == ["states.tie-m"]
    assert wheres(states_of(layered_document(), 1, tie_m="closed", s_m3="open")) == []


@pytest.mark.parametrize(
    "document", [b"{", b"[]", b"null", b"7", {}, {"states": []}, b"[" * 100_000, b'{"network": "\xff"}']
)
def test_what_is_no_document_is_refused_with_a_reason(document):
    states, problems = read_states(document, NETWORK)
    assert states is None
    assert problems


@pytest.mark.parametrize("revision", [0, -1, True, "3", 2**60, 2.5, None])
def test_a_revision_is_a_whole_number_above_the_one_in_force(revision):
    document = states_of(layered_document(), 1)
    document["revision"] = revision
    assert wheres(document) == ["revision"]
    assert "expected a whole number from 1 to 9007199254740991" in str(read_states(document, NETWORK)[1][0])


def test_states_go_over_to_the_next_revision_of_the_network():
    states = msgspec.convert(states_of(layered_document(), 5, s_m3="open", tie_m="closed"), SwitchStates)
    assert carried_over(states, NETWORK) is states
    document = layered_document()
    element(document, "tie-m")["id"] = "tie-new"
    carried = carried_over(states, msgspec.convert(document, NetworkDocument))
    assert carried.revision == 6
    assert carried.states == {"s-m3": "open", "tie-new": "open", "s-l2": "closed", "tie-l": "open"}


def test_normal_states_have_revision_0():
    assert normal_states(NETWORK).revision == 0
    assert normal_states(NETWORK).states["tie-l"] == "open"
