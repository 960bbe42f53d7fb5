"""Settings come into force whole or not at all; at the agent's start, as far as they can."""

import asyncio

import pytest

from agent.apply import apply
from agent.errors import AlgorithmRefused, ConfigError, SourceAway, WorkerError
from agent.running import Place
from algorithms.api.errors import Problem
from algorithms.api.records import Command, Kind
from device_catalog.contract.documents import Acquisition, Assignment, Brokers, Configuration, Poll
from tests.support.fake_workers import running_set
from tests.support.quick_loop import run_quickly

REFUSAL = AlgorithmRefused([Problem("settings.window", "3, 4 or 10", "5", "choose one of these")])
TWO = Configuration(algorithms=(Assignment("count"), Assignment("mean")), brokers=Brokers(grid=("mqtt://h",)))


class Surroundings:
    """Remembers what was set."""

    def __init__(self):
        self.endpoints = {}
        self.poll = None

    def set_endpoints(self, broker, endpoints):
        self.endpoints[broker] = endpoints

    def set_poll(self, poll):
        self.poll = poll


class Meter:
    """A running set, and what is in force."""

    def __init__(self, folder):
        self.running, self.workers, self.published = running_set(folder)
        self.running.place = Place("m-1", "default", "t-1")
        self.surroundings = Surroundings()
        self.current = Configuration()

    async def apply(self, desired, *, patient=False):
        await apply(self.current, desired, self.running, self.surroundings, patient=patient)
        self.current = desired

    def states(self):
        return {name: report.state for name, report in self.running.algorithm_reports().items()}


@pytest.fixture
def meter(tmp_path):
    return Meter(tmp_path)


def test_at_the_start_what_can_run_does_and_the_rest_is_tried_again_and_said(meter):
    async def go():
        meter.workers.faults["count"] = [REFUSAL, WorkerError("no memory")]
        await meter.apply(TWO, patient=True)
        assert meter.workers.running() == ["mean"]
        assert meter.states() == {"count": "backoff", "mean": "running"}
        assert "3, 4 or 10" in meter.running.algorithm_reports()["count"].last_error
        assert meter.surroundings.endpoints == {"grid": ("mqtt://h",)}
        await asyncio.sleep(10.0)
        assert meter.states() == {"count": "running", "mean": "running"}
        await meter.running.close()

    run_quickly(go())


def test_at_the_start_a_version_that_is_not_installed_holds_back_itself_only(meter):
    async def go():
        desired = Configuration(algorithms=(Assignment("count", version="3.0.0"), Assignment("mean")))
        await meter.apply(desired, patient=True)
        assert meter.workers.running() == ["mean"]
        await asyncio.sleep(10.0)
        assert meter.workers.running() == ["mean"]
        meter.workers.versions["count"] = "3.0.0"
        await asyncio.sleep(4000.0)
        assert meter.states() == {"count": "running", "mean": "running"}
        await meter.running.close()

    run_quickly(go())


def test_while_running_one_refusal_refuses_all_and_what_ran_goes_on(meter):
    async def go():
        await meter.apply(Configuration(algorithms=(Assignment("mean"),), acquisition=Acquisition("simulated", 3200.0)))
        running = meter.workers.running()
        meter.workers.faults["count"] = [REFUSAL]
        meter.workers.versions["sum"] = "2.0.0"
        algorithms = (Assignment("sum", version="1.0.0"), Assignment("count"), Assignment("mean", settings={"n": 2}))
        with pytest.raises(ConfigError) as refused:
            await meter.apply(Configuration(algorithms=algorithms, acquisition=meter.current.acquisition))
        assert [problem.where for problem in refused.value.problems] == [
            "algorithms[0].version", "algorithms[1].settings.window",
        ]  # fmt: skip
        assert meter.workers.running() == running
        assert meter.states() == {"mean": "running"}
        await asyncio.sleep(4000.0)
        assert meter.workers.running() == running
        await meter.running.close()

    run_quickly(go())


def test_an_algorithm_that_does_not_run_anyway_holds_back_no_other_change(meter):
    async def go():
        meter.workers.faults["count"] = [REFUSAL] * 100
        await meter.apply(TWO, patient=True)
        await meter.apply(Configuration(algorithms=TWO.algorithms, brokers=TWO.brokers, poll=Poll(interval=7.0)))
        assert meter.surroundings.poll == Poll(interval=7.0)
        with pytest.raises(ConfigError):
            await meter.apply(Configuration(algorithms=(Assignment("count", settings={"n": 5}), Assignment("mean"))))
        await meter.running.close()

    run_quickly(go())


def test_a_source_that_refuses_comes_back_as_it_was(meter):
    async def go():
        await meter.apply(Configuration(acquisition=Acquisition("simulated", 3200.0)))
        meter.workers.faults["sampler"] = [WorkerError("expected <= 50 kHz")]
        with pytest.raises(ConfigError, match="50 kHz"):
            await meter.apply(Configuration(acquisition=Acquisition("simulated", 1e6)))
        assert meter.running.sampler.acquisition.sample_rate == 3200.0
        assert meter.workers.running() == ["sampler"]
        await meter.running.close()

    run_quickly(go())


def test_at_the_start_a_source_that_refuses_is_tried_again(meter):
    async def go():
        meter.workers.faults["sampler"] = [WorkerError("busy"), SourceAway("unplugged")]
        await meter.apply(Configuration(acquisition=Acquisition("simulated", 3200.0), algorithms=TWO.algorithms),
                          patient=True)  # fmt: skip
        assert meter.workers.running() == []
        await asyncio.sleep(10.0)
        assert sorted(meter.workers.running()) == ["count", "mean", "sampler"]
        await meter.running.close()

    run_quickly(go())


@pytest.mark.parametrize("url", ["mqtt://h:1883//", "mqtt://h:1883/path", "http://h", "mqtt://u:p@h"])
@pytest.mark.parametrize("patient", [False, True])
def test_an_endpoint_that_cannot_be_read_is_a_problem_before_anything_is_started(meter, url, patient):
    async def go():
        with pytest.raises(ConfigError) as refused:
            await meter.apply(Configuration(algorithms=TWO.algorithms, brokers=Brokers(data=(url,))), patient=patient)
        assert refused.value.problems[0].where == "brokers.data"
        assert "mqtt://host:1883" in str(refused.value)

    run_quickly(go())
    assert meter.workers.started == []


def test_algorithms_that_would_feed_each_other_for_ever_are_refused(meter):
    meter.workers.kinds = {"count": ((Kind.FRAME,), (Kind.EVENT,)), "mean": ((Kind.EVENT,), (Kind.FRAME,))}

    async def go():
        with pytest.raises(ConfigError, match="cycle"):
            await meter.apply(TWO)

    run_quickly(go())
    assert meter.workers.running() == []


def test_an_agent_that_ends_while_it_starts_leaves_nothing_running(meter):
    async def go():
        meter.workers.faults["count"] = [REFUSAL]
        start = asyncio.get_running_loop().create_task(meter.apply(TWO, patient=True))
        await asyncio.sleep(0.015)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        await asyncio.sleep(4000.0)

    run_quickly(go())
    assert meter.workers.running() == []


def test_before_the_source_changes_what_reads_it_gives_its_state_and_ends(meter, caplog):
    """Its successor goes on from there; nothing is an error in an edit that is accepted."""

    async def go():
        algorithms = (Assignment("count"),)
        await meter.apply(Configuration(acquisition=Acquisition("simulated", 3200.0), algorithms=algorithms))
        before = meter.workers.last("count")
        before.state = b"its last word"

        def look(_sampler):
            assert before.exit is not None

        meter.workers.faults["sampler"] = [look]
        await meter.apply(Configuration(acquisition=Acquisition("simulated", 6400.0), algorithms=algorithms))
        assert meter.workers.last("count").what[0].restored == b"its last word"
        assert meter.workers.running() == ["sampler", "count"]
        assert len([process for process in meter.workers.started if process.info]) == 2
        assert meter.states() == {"count": "running"}
        await meter.running.close()

    run_quickly(go())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_what_ended_for_a_source_that_is_refused_goes_on_with_the_one_before(meter):
    async def go():
        algorithms = (Assignment("count"),)
        await meter.apply(Configuration(acquisition=Acquisition("simulated", 3200.0), algorithms=algorithms))
        meter.workers.last("count").state = b"its last word"
        meter.workers.faults["sampler"] = [WorkerError("expected <= 50 kHz")]
        with pytest.raises(ConfigError, match="50 kHz"):
            await meter.apply(Configuration(acquisition=Acquisition("simulated", 1e6), algorithms=algorithms))
        await asyncio.sleep(1.0)
        assert meter.workers.running() == ["sampler", "count"]
        assert meter.workers.last("count").what[0].restored == b"its last word"
        assert meter.states() == {"count": "running"}
        await meter.running.close()

    run_quickly(go())


def test_two_algorithms_with_the_same_content_are_refused_but_never_stop_a_meter_that_starts(meter):
    """Who reads a bill must know who counted."""

    async def go():
        meter.workers.contents = {"count": ("energy/1",), "mean": ("mean/1", "energy/1")}
        await meter.apply(Configuration(algorithms=(Assignment("count"),)))
        with pytest.raises(ConfigError) as refused:
            await meter.apply(TWO)
        (problem,) = refused.value.problems
        assert problem.where == "algorithms[1].algorithm"
        assert problem.found == "energy/1 of count also"
        assert meter.workers.running() == ["count"]
        await meter.apply(TWO, patient=True)
        assert meter.states() == {"count": "running", "mean": "running"}
        assert "energy/1 of count also" in meter.running.algorithm_reports()["mean"].last_error
        await meter.running.close()

    run_quickly(go())


def test_a_command_that_comes_during_a_change_is_handed_to_the_successor_and_after_a_refusal_to_who_ran(meter):
    """A predecessor would obey, and its successor go on from a state of before."""
    order = Command("reset-1", "m-1", "reset-energy", 0, 10**9)

    async def go():
        meter.workers.kinds["count"] = ((Kind.SAMPLES, Kind.COMMAND), (Kind.RESULT,))
        await meter.apply(Configuration(algorithms=(Assignment("count"),)))
        before = meter.workers.last("count")
        meter.workers.faults["count"] = [lambda _: meter.running.deliver("m-1", order)]
        await meter.apply(Configuration(algorithms=(Assignment("count", settings={"n": 2}),)))
        after = meter.workers.last("count")
        assert (before.fed, after.fed) == ([], [order])
        meter.workers.faults["count"] = [REFUSAL]
        running = asyncio.create_task(meter.apply(Configuration(algorithms=(Assignment("count", settings={"n": 5}),))))
        await asyncio.sleep(0.005)
        meter.running.deliver("m-1", order)
        assert after.fed == [order]
        with pytest.raises(ConfigError):
            await running
        assert after.fed == [order, order]
        await meter.running.close()

    run_quickly(go())
