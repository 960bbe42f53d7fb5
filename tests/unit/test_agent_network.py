"""An agent's part of the network: fetched where it is needed, kept, and what works on it started anew, nothing else."""

import asyncio
from itertools import pairwise
from types import SimpleNamespace

import msgspec
import pytest

from agent.errors import AlgorithmRefused, CatalogError, WorkerError
from agent.neighbourhood import neighbourhood_of
from agent.network import Networks, read_network
from agent.running import Place
from agent.store import Store
from agent.supervised_algorithm import WAITING_FOR_NETWORK
from algorithms.api.errors import Problem
from algorithms.api.grid_records import GridState
from algorithms.api.network_area import Areas, edge_switches
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.records import Kind
from device_catalog.contract.documents import Assignment, Neighbours, Poll, TopologyReference
from device_catalog.contract.networks import AreaDocument
from tests.support.fake_workers import running_set
from tests.support.layered_network import layered_document, states_of
from tests.support.quick_loop import run_quickly, until

MOVED = {"s_l2": "open", "tie_l": "closed"}
REFUSAL = AlgorithmRefused([Problem("network", "a radial network", "a loop")], needs_network=True)


def answer(area="lv-1", revision=1, topology=0, **moved):
    """Write what the catalog answers for an area."""
    plain = layered_document(revision=revision)
    document = msgspec.convert(plain, NetworkDocument)
    states = msgspec.convert(states_of(plain, topology, **moved), SwitchStates)
    part = Areas(document, states).cut(area)
    inside = {name: states.states[name] for name in edge_switches(document, part)}
    return msgspec.json.encode(AreaDocument("net-3", area, part, SwitchStates("net-3", topology, inside)))


def named(area="lv-1", model=1, topology=0):
    return TopologyReference("net-3", area, model, topology)


class Catalog:
    """Answers as it is told, the last answer for ever; an exception is raised, None says that nothing is new."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.tags = []

    def network(self, tag):
        self.tags.append((tag, asyncio.get_running_loop().time()))
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return None if found is None else (found, f'"{len(self.tags)}"')

    def close(self):
        pass


class AtOnce:
    """Runs requests where they are made."""

    async def run(self, call):
        await asyncio.sleep(0.001)
        return call()

    def close(self):
        pass


def keeper(folder, catalog):
    """Make a keeper; the list takes what was current at each change."""
    seen = []

    async def changed():
        seen.append(one.current)

    config = SimpleNamespace(device="agent-x")
    one = Networks(config, Store(folder), changed, lambda: Poll(60.0, 195.0), client=catalog, requests=AtOnce())
    return one, seen


def held(one, work):
    """Run `work` while the keeper fetches what is due."""

    async def go():
        holding = asyncio.create_task(one.hold())
        await work()
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)

    run_quickly(go())


def test_nothing_is_fetched_where_no_algorithm_needs_a_network(tmp_path):
    catalog = Catalog(answer())
    one, seen = keeper(tmp_path, catalog)

    async def work():
        one.want(named(), needed=False)
        await asyncio.sleep(1000.0)
        assert (catalog.tags, seen, one.current) == ([], [], None)
        one.want(named(), needed=True)
        await until(lambda: seen)
        assert one.current.neighbourhood.areas == ("c-1",)
        await asyncio.sleep(1000.0)
        assert len(catalog.tags) == 1

    held(one, work)


def test_a_new_revision_in_the_settings_is_fetched_and_one_that_is_the_same_restarts_nothing(tmp_path):
    catalog = Catalog(answer(), None, answer(topology=2, **MOVED))
    one, seen = keeper(tmp_path, catalog)

    async def work():
        one.want(named(), needed=True)
        await until(lambda: seen)
        one.want(named(model=2), needed=True)
        await until(lambda: len(catalog.tags) == 2)
        one.want(named(model=2, topology=2), needed=True)
        await until(lambda: len(seen) == 2)
        assert [tag for tag, _ in catalog.tags] == ["", '"1"', '"1"']
        assert one.current.topology_revision == 2

    held(one, work)


def test_a_catalog_that_fails_is_asked_ever_less_often_and_said(tmp_path):
    failures = [CatalogError("the catalog is away")] * 12
    catalog = Catalog(*failures, answer())
    one, seen = keeper(tmp_path, catalog)

    async def work():
        one.want(named(), needed=True)
        await until(lambda: len(catalog.tags) == 3)
        assert one.problems() == ["the network of this device cannot be fetched: the catalog is away"]
        await until(lambda: seen, within=2000.0)
        assert one.problems() == []
        times = [time for _, time in catalog.tags]
        assert all(later - earlier <= 60.1 for earlier, later in pairwise(times))

    held(one, work)


@pytest.mark.parametrize(
    "wrong",
    [
        b"{",
        b"[]",
        b'{"schema": "area/2"}',
        answer()[:-200],
        answer().replace(b'"schema":"topology/1","network":"net-3"', b'"schema":"topology/1","network":"net-4"'),
        answer("lv-2"),
    ],
    ids=["no JSON", "a list", "another schema", "cut off", "other states", "another part"],
)
def test_an_answer_that_is_no_network_is_refused_and_what_there_was_stays(tmp_path, wrong):
    catalog = Catalog(answer(), wrong)
    one, seen = keeper(tmp_path, catalog)

    async def work():
        one.want(named(), needed=True)
        await until(lambda: seen)
        one.want(named(topology=1), needed=True)
        await until(lambda: len(catalog.tags) == 3, within=200.0)
        assert one.current.topology_revision == 0
        assert len(one.problems()) == 1

    held(one, work)


def test_a_part_without_the_state_of_a_switch_in_it_is_no_part():
    with pytest.raises(ValueError, match="found none of s-l2"):
        read_network(answer("lv-2").replace(b'"s-l2":"closed",', b""), "agent-x")
    with pytest.raises(ValueError, match="expected a part of a network"):
        read_network(answer("lv-2").replace(b"s-l2", b"s-\xff"), "agent-x")


def test_what_was_fetched_is_there_at_the_next_start_unless_another_part_is_named(tmp_path):
    one, seen = keeper(tmp_path, Catalog(answer()))

    async def work():
        one.want(named(), needed=True)
        await until(lambda: seen)

    held(one, work)
    catalog = Catalog(None)
    again, _ = keeper(tmp_path, catalog)

    async def start():
        again.load()
        again.want(named(), needed=False)
        assert again.current.document == seen[0].document
        await until(lambda: catalog.tags)
        assert catalog.tags[0][0] == '"1"', "what was kept is asked about once"
        again.want(named("lv-2"), needed=False)
        assert again.current is None

    held(again, start)


def test_a_damaged_copy_is_said_and_fetched_anew(tmp_path):
    (tmp_path / "network").write_bytes(b"tresma 1 00000000\n{}")
    Store(tmp_path).keep_network(b'"1"\nnonsense')
    one, seen = keeper(tmp_path, Catalog(answer()))

    async def work():
        one.load()
        assert "cannot be used" in one.problems()[0]
        one.want(named(), needed=True)
        await until(lambda: seen)
        assert one.problems() == []

    held(one, work)


def test_only_a_switch_of_its_own_part_that_stands_otherwise_makes_an_agent_ask():
    network = read_network(answer(topology=3), "agent-x")

    def contradicted(revision, name="net-3", **moved):
        states = msgspec.convert(states_of(layered_document(name), revision, **moved), SwitchStates)
        return network.is_contradicted_by(states)

    assert contradicted(4, tie_l="closed")
    assert not contradicted(4)
    assert not contradicted(4, tie_m="closed", s_m3="open"), "elsewhere"
    assert not contradicted(3, tie_l="closed"), "not newer"
    assert not contradicted(4, "net-4", tie_l="closed"), "another network"


class Plant:
    """A running set with its network, and what it asked to hear."""

    def __init__(self, folder):
        self.running, self.workers, _ = running_set(folder)
        self.asked = []
        self.running._routes._ask = lambda wishes, levels: self.asked.append((list(wishes), dict(levels)))
        self.running.place = Place("agent-x", "default", "t-1")
        self.workers.networked = {"estimate"}
        self.workers.kinds = {
            "estimate": ((Kind.FRAME, Kind.GRID_STATE), (Kind.GRID_STATE,)),
            "steady": ((Kind.GRID_STATE,), (Kind.EVENT,)),
        }

    def network_is(self, **what):
        self.running.network = read_network(answer(**what), "agent-x")
        self.running.network_awaited = False

    async def adopt(self, *assignments):
        candidates = [await self.running.candidate(one) for one in assignments]
        for candidate in candidates:
            await candidate.start()
        await self.running.adopt(candidates, (), ())
        self.running.wake()

    def started(self, name):
        return [process for process in self.workers.started if process.info.name == name]

    def report(self, name="estimate"):
        return self.running.algorithm_reports()[name]


def state(area, time_ns=1):
    return GridState(area, "concentrator", time_ns, 1, 0, ())


@pytest.fixture
def plant(tmp_path):
    return Plant(tmp_path)


def test_an_algorithm_waits_for_its_network_and_starts_when_it_comes(plant):
    async def go():
        plant.running.network_awaited = True
        await plant.adopt(Assignment("estimate"), Assignment("steady"))
        assert plant.workers.running() == ["steady"]
        assert plant.report().last_error == WAITING_FOR_NETWORK
        assert plant.running.needs_network
        await asyncio.sleep(4000.0)
        assert plant.report().restarts == 0
        plant.network_is()
        await plant.running.renew()
        assert plant.workers.running() == ["steady", "estimate"]
        assert (plant.report().state, plant.report().last_error) == ("running", "")
        await plant.running.close()

    run_quickly(go())


def test_without_a_network_to_come_it_is_refused(plant):
    async def go():
        with pytest.raises(AlgorithmRefused, match="assign the device to a network"):
            await plant.adopt(Assignment("estimate"))
        await plant.running.close()

    run_quickly(go())


def test_another_revision_starts_only_those_anew_that_work_on_it_and_moves_whom_they_hear(plant):
    async def go():
        plant.network_is()
        await plant.adopt(Assignment("estimate"), Assignment("steady"))
        wishes, levels = plant.asked[-1]
        assert Neighbours(Kind.GRID_STATE, areas=("c-1",)) in wishes
        assert levels["c-1"] == "concentrator"
        plant.network_is(topology=1, **MOVED)
        assert plant.running.outdated == ["estimate"]
        await plant.running.renew()
        assert (len(plant.started("estimate")), len(plant.started("steady"))) == (2, 1)
        assert plant.running.outdated == []
        assert Neighbours(Kind.GRID_STATE, areas=("c-1", "c-2")) in plant.asked[-1][0]
        spec, _ = plant.started("estimate")[1].what
        assert spec.switches == plant.running.network.states
        assert spec.restored == b"state", "it goes on from where its predecessor was"
        await plant.running.close()

    run_quickly(go())


def test_one_that_refuses_the_new_network_goes_on_with_the_old_and_is_not_asked_again(plant):
    async def go():
        plant.network_is()
        await plant.adopt(Assignment("estimate"))
        plant.network_is(topology=1, **MOVED)
        plant.workers.faults["estimate"] = [REFUSAL]
        await plant.running.renew()
        assert plant.workers.running() == ["estimate"]
        assert "found a loop" in plant.report().last_error
        assert plant.running.outdated == []
        plant.network_is(topology=2)
        assert plant.running.outdated == ["estimate"]
        plant.workers.faults["estimate"] = [WorkerError("no memory")]
        await plant.running.renew()
        assert plant.running.outdated == ["estimate"], "what the world prevented is tried again"
        await plant.running.renew()
        assert plant.running.outdated == []
        await plant.running.close()

    run_quickly(go())


def test_one_that_starts_again_is_handed_the_newest_state_of_each_source_it_hears(plant):
    async def go():
        plant.network_is(topology=1, **MOVED)
        await plant.adopt(Assignment("estimate"))
        for number in (1, 2):
            plant.running.deliver("agent-c-1", state("c-1", number))
        plant.running.deliver("agent-c-2", state("c-2", 5))
        plant.running.deliver("agent-c-9", state("c-9", 6))
        assert len(plant.workers.last("estimate").fed) == 3
        plant.workers.last("estimate").die()
        await until(lambda: len(plant.started("estimate")) == 2)
        await until(lambda: plant.report().state == "running")
        assert plant.workers.last("estimate").fed == [state("c-1", 2), state("c-2", 5)]
        plant.network_is(topology=2)
        await plant.running.renew()
        assert plant.workers.last("estimate").fed == [state("c-1", 2)], "c-2 is heard no more"
        await plant.running.close()

    run_quickly(go())


def test_neighbours_that_an_assignment_names_are_heard_besides(plant):
    async def go():
        plant.network_is()
        named = Neighbours(Kind.GRID_STATE, areas=("far",))
        await plant.adopt(Assignment("estimate", neighbours=(named,)), Assignment("steady", neighbours=(named,)))
        assert plant.asked[-1][0].count(named) == 2
        plant.running.deliver("agent-far", GridState("far", "lv", 1, 1, 0, ()))
        plant.running.deliver("agent-c-1", state("c-1"))
        assert [one.area for one in plant.workers.last("estimate").fed] == ["far", "c-1"]
        assert [one.area for one in plant.workers.last("steady").fed] == ["far"]
        await plant.running.close()

    run_quickly(go())


def test_the_part_that_is_read_names_the_same_neighbours_as_the_document():
    read = read_network(answer(), "agent-x")
    document = msgspec.json.decode(read.document, type=NetworkDocument)
    assert read.neighbourhood == neighbourhood_of(document, "lv-1", "agent-x")
