"""An algorithm speaks of the part of the grid that its device was given, and of no other: the agent sees to it."""

import asyncio

import msgspec
import pytest

from agent.grounds import Grounds
from agent.network import read_network
from agent.running import Place
from algorithms.api.grid_records import GridState, Proposal
from algorithms.api.network_area import Areas, edge_switches
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.records import Event, Kind, Result, Severity
from device_catalog.contract.documents import Assignment, Neighbours, TopologyReference
from device_catalog.contract.networks import AreaDocument
from tests.support.fake_workers import running_set
from tests.support.layered_network import layered_document, states_of

PLAIN = layered_document()
DOCUMENT = msgspec.convert(PLAIN, NetworkDocument)
STATES = msgspec.convert(states_of(PLAIN, 0), SwitchStates)
NETWORK = "net-3"


def part(area):
    """Read what the catalog answers for an area; empty for the whole network."""
    cut = Areas(DOCUMENT, STATES).cut(area) if area else DOCUMENT
    inside = {name: STATES.states[name] for name in edge_switches(DOCUMENT, cut)} if area else dict(STATES.states)
    answer = msgspec.json.encode(AreaDocument(NETWORK, area, cut, SwitchStates(NETWORK, 0, inside)))
    return read_network(answer, "agent-x")


def state(area, level="lv"):
    return GridState(area, level, 1, 1, 0, ())


def proposal(network):
    return Proposal("restoration", network, 0, 1, 2, ())


def fault(network, kind="fault-located"):
    return Event(kind, "t", 1, 2, Severity.CRITICAL, (), {"network": network})


def report(switch):
    return Result("switch-state/1", switch, 1, {})


NONE = Grounds.of(None, None)
AWAITED = Grounds.of(TopologyReference(NETWORK, "lv-1"), None)
LV = Grounds.of(TopologyReference(NETWORK, "lv-1"), part("lv-1"))
WHOLE = Grounds.of(TopologyReference(NETWORK, ""), part(""))
AT_SWITCH = Assignment("switch", settings={"switch": "s_l2"})
ASKED = Assignment("switch", neighbours=(Neighbours(Kind.COMMAND, areas=("s_l2",)),))
OTHER = Assignment("other")


@pytest.mark.parametrize(
    ("grounds", "record"),
    [
        (LV, state("lv-1")),
        (AWAITED, state("lv-1")),
        (WHOLE, state("lv-1")),
        (WHOLE, state("mv", "mv")),
        (LV, proposal(NETWORK)),
        (LV, fault(NETWORK)),
        (AWAITED, fault(NETWORK, "earth-fault")),
        (NONE, Event("voltage-dip", "t", 1, 2, Severity.NOTICE, (), {"network": "any"})),
        (NONE, Event("fault-located", "t", 1, 2, Severity.CRITICAL)),
        (NONE, Result("energy/1", "t", 1, {})),
    ],
)
def test_what_is_of_the_part_that_was_given_passes(grounds, record):
    assert grounds.objection(OTHER, record) == ""


@pytest.mark.parametrize(
    ("grounds", "record", "words"),
    [
        (LV, state("mv", "mv"), "a state of lv-1 expected, found one of mv"),
        (LV, state("lv-2"), "a state of lv-1 expected, found one of lv-2"),
        (LV, state("lv-1", "mv"), "a state of level lv expected of lv-1, found mv"),
        (WHOLE, state("elsewhere"), "expected, found one of elsewhere"),
        (NONE, state("lv-1"), "no area was given to this device, found a state of lv-1"),
        (LV, proposal("net-9"), "a proposal for network net-3 expected, found one for net-9"),
        (NONE, proposal(NETWORK), "no network was given to this device, found a proposal for net-3"),
        (LV, fault("net-9"), "a fault in network net-3 expected, found one in net-9"),
        (NONE, fault(NETWORK, "restoration"), "no network was given to this device, found a fault in net-3"),
    ],
)
def test_what_is_of_another_part_is_refused_and_told_why(grounds, record, words):
    assert words in grounds.objection(OTHER, record)


def test_a_switch_reports_by_the_algorithm_that_was_set_to_it_and_by_no_other():
    assert LV.objection(AT_SWITCH, report("s_l2")) == ""
    assert LV.objection(ASKED, report("s_l2")) == ""
    assert "a report of switch s_l2 expected, found one of tie_l" in LV.objection(AT_SWITCH, report("tie_l"))
    assert "no switch was given to it, found a report of s_l2" in LV.objection(OTHER, report("s_l2"))


def test_a_record_of_another_part_reaches_neither_a_broker_nor_an_algorithm_here_and_its_maker_is_named(tmp_path):
    async def told():
        running, workers, published = running_set(tmp_path)
        running.place = Place("agent-x", "default", "t")
        running.reference = TopologyReference(NETWORK, "lv-1")
        workers.kinds = {
            "liar": ((), (Kind.GRID_STATE, Kind.EVENT, Kind.PROPOSAL)),
            "hears": ((Kind.GRID_STATE, Kind.EVENT, Kind.PROPOSAL), ()),
        }
        candidates = [await running.candidate(Assignment(name)) for name in ("liar", "hears")]
        for one in candidates:
            await one.start()
        await running.adopt(candidates, (), ())
        workers.last("liar").calls["on_records"](
            [state("mv", "mv"), state("lv-1"), proposal("net-9"), fault("net-9"), fault(NETWORK)]
        )
        heard = workers.last("hears").fed
        report = running.algorithm_reports()["liar"].last_error
        await running.close()
        return published, heard, report

    published, heard, report = asyncio.run(told())
    assert [record for record, _ in published] == [state("lv-1"), fault(NETWORK)]
    assert heard == [state("lv-1"), fault(NETWORK)]
    assert "a record was not believed: a fault in network net-3 expected, found one in net-9" in report
