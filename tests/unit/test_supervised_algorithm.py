"""An algorithm that is assigned is kept going, and what its process says is not believed."""

import asyncio
import math
from concurrent.futures import Future

import msgspec
import pytest

from agent.errors import AlgorithmRefused, SourceAway, WorkerError
from agent.processes.algorithm_messages import AlgorithmStatus
from agent.reporting import plausible
from agent.running import Place
from agent.supervised_algorithm import UNREADABLE, WAITING
from algorithms.api.errors import Problem
from algorithms.api.records import Result
from device_catalog.contract.documents import Acquisition, Assignment
from device_catalog.contract.reports import AlgorithmReport
from tests.support.fake_workers import DIED, running_set
from tests.support.quick_loop import run_quickly, until

REFUSAL = AlgorithmRefused([Problem("settings.window", "3, 4 or 10", "5")])
RECORD = Result("count/1", "t", 0, {})
URGENT = Result("count/1", "t", 0, {}, urgent=True)


@pytest.fixture
def plant(tmp_path):
    return running_set(tmp_path)


async def _adopted(running, assignment):
    running.place = Place("m-1", "default", "t-1")
    candidate = await running.candidate(assignment)
    await candidate.start()
    await running.adopt([candidate], (), ())
    return candidate


def test_a_process_that_ends_before_its_first_word_is_a_start_that_failed(plant):
    running, workers, _ = plant
    workers.faults["count"] = [lambda process: process.die()]

    async def go():
        candidate = await running.candidate(Assignment("count"))
        with pytest.raises(WorkerError, match="without a word"):
            await candidate.start()
        assert candidate.info is None
        assert candidate.report().restarts == 0

    run_quickly(go())


def test_another_version_than_the_one_assigned_is_refused_and_does_not_run(plant):
    running, workers, _ = plant
    workers.versions["count"] = "2.0.0"

    async def go():
        candidate = await running.candidate(Assignment("count", version="1.0.0"))
        with pytest.raises(AlgorithmRefused, match=r"version: expected 1\.0\.0, found 2\.0\.0"):
            await candidate.start()

    run_quickly(go())
    assert workers.running() == []


def test_one_that_dies_is_started_again_ever_later_and_then_left_alone_for_an_hour(plant):
    running, workers, _ = plant

    async def go():
        algorithm = await _adopted(running, Assignment("count"))
        waits = []
        for _ in range(5):
            starts = len(workers.started)
            workers.last("count").die()
            assert algorithm.report().last_error == str(DIED)
            states.append(algorithm.report().state)
            waits.append(await until(lambda: len(workers.started) > starts))  # noqa: B023 - called at once
        assert waits == sorted(waits)
        assert waits[0] < 1.5
        assert waits[-1] > 3600
        report = algorithm.report()
        assert (report.state, report.restarts, report.last_error) == ("running", 5, "")
        await running.close()

    states = []
    run_quickly(go())
    assert states == ["backoff"] * 4 + ["quarantined"]
    assert workers.running() == []


def test_one_that_needs_samples_waits_for_the_source_and_starts_with_it(plant):
    running, workers, _ = plant
    workers.faults["sampler"] = [SourceAway("unplugged")]

    async def go():
        await running.sampler.replace(Acquisition("simulated", 6400.0))
        algorithm = await _adopted(running, Assignment("count"))
        assert algorithm.report().last_error == WAITING
        assert workers.running() == []
        await asyncio.sleep(2.0)
        assert workers.running() == ["sampler", "count"]
        assert workers.last("count").what[1] is workers.last("sampler")
        assert algorithm.report().last_error == ""
        await running.close()

    run_quickly(go())


def test_what_a_candidate_makes_goes_nowhere_until_it_is_adopted_and_then_its_predecessor_s_does(plant, tmp_path):
    running, workers, published = plant

    async def go():
        await _adopted(running, Assignment("count"))
        before = workers.last("count")
        before.state = b"the first one's last word"
        candidate = await running.candidate(Assignment("count", settings={"window": 4}))
        await candidate.start()
        after = workers.last("count")
        assert after.what[0].restored == b"the first one's last word"
        after.calls["on_records"]([RECORD])
        after.calls["on_checkpoint"](b"too early")
        assert published == []
        await running.adopt([candidate], (), ())
        before.calls["on_records"]([RECORD])
        before.calls["on_checkpoint"](b"too late")
        assert published == []
        after.calls["on_records"]([RECORD])
        assert [record for record, _ in published] == [RECORD]
        after.state = b"the second one's"
        await running.close()

    run_quickly(go())
    assert running_set(tmp_path)[0]._store.checkpoint("count") == b"the second one's"


def test_stopping_ends_a_start_that_is_under_way(plant):
    running, workers, _ = plant

    async def go():
        await _adopted(running, Assignment("count"))
        workers.last("count").die()
        await until(lambda: any(task.get_name() == "start count" for task in asyncio.all_tasks()))
        await running.close()
        await asyncio.sleep(10_000)

    run_quickly(go())
    assert workers.running() == []
    assert len(workers.started) == 1


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1.0])
def test_a_status_with_numbers_that_cannot_be_does_not_spoil_the_report(plant, number):
    running, workers, _ = plant

    async def go():
        algorithm = await _adopted(running, Assignment("count"))
        workers.last("count").calls["on_report"](
            AlgorithmStatus(processed=7, dropped=-3, produced=2**64 - 1, processor=number, slowest=number)
        )
        report = algorithm.report()
        assert (report.processed, report.dropped, report.produced) == (7, 0, 0)
        assert (report.processor, report.slowest) == (0.0, 0.0)
        assert msgspec.json.decode(msgspec.json.encode(report), type=AlgorithmReport) == report
        await running.close()

    run_quickly(go())


def test_a_status_in_order_stays_as_it_is():
    status = AlgorithmStatus(processed=7, processor=0.25, memory=1 << 20)
    assert plausible(status) is status


def test_an_algorithm_that_refuses_later_is_tried_again_like_one_that_dies(plant):
    running, workers, _ = plant

    async def go():
        algorithm = await _adopted(running, Assignment("count"))
        workers.faults["count"] = [REFUSAL, OSError(11, "no more processes")]
        workers.last("count").die()
        seen = set()
        await until(lambda: seen.add(algorithm.report().last_error) or algorithm.report().state == "running")
        assert any("3, 4 or 10" in error for error in seen)
        assert any("no more processes" in error for error in seen)
        await running.close()

    run_quickly(go())


def test_an_urgent_result_is_told_once_its_state_is_durable(plant):
    running, workers, published = plant
    writing = Future()

    async def go():
        await _adopted(running, Assignment("count"))
        running._store.keep_checkpoint = lambda *_: writing
        calls = workers.last("count").calls
        calls["on_checkpoint"](b"counts it")
        calls["on_records"]([URGENT])
        assert published == []
        writing.set_exception(OSError(28, "No space left on device"))
        await until(lambda: published)
        assert "No space left" in running.algorithm_reports()["count"].last_error
        await running.close()

    run_quickly(go())
    assert [record for record, _ in published] == [URGENT]


def test_a_state_that_cannot_be_read_is_put_aside_and_said(plant, caplog):
    running, workers, _ = plant
    running._store.keep_checkpoint("count", b"of another version")

    def refuse(process):
        process.note = "started without its checkpoint: no state of mine"

    workers.faults["count"] = [refuse]

    async def go():
        algorithm = await _adopted(running, Assignment("count"))
        workers.last("count").calls["on_checkpoint"](b"from zero")
        assert "no state of mine" in algorithm.report().last_error
        assert f"count{UNREADABLE}" in algorithm.report().last_error
        await running.close()

    run_quickly(go())
    assert "no state of mine" in caplog.text
    assert running._store.checkpoint(f"count{UNREADABLE}") == b"of another version"


def test_what_one_that_is_removed_says_last_is_kept_for_when_it_comes_back(plant):
    running, workers, _ = plant

    async def go():
        await _adopted(running, Assignment("count"))
        workers.last("count").state = b"its last word"
        await running.adopt((), ["count"], ())
        assert running.algorithm_reports() == {}
        await _adopted(running, Assignment("count"))
        assert workers.last("count").what[0].restored == b"its last word"
        await running.close()

    run_quickly(go())


def test_a_ring_that_is_shorter_than_one_wants_to_look_back_is_said(plant):
    running, workers, _ = plant
    workers.histories = {"count": 12.5, "mean": 10.0}

    async def go():
        await running.sampler.replace(Acquisition("simulated", 6400.0))
        short = await _adopted(running, Assignment("count"))
        assert short.report().last_error == (
            "expected 12.5 s of samples to look back on, found 12 s; raise acquisition.history"
        )
        assert short.report().state == "running"
        assert (await _adopted(running, Assignment("mean"))).report().last_error == ""
        await running.close()

    run_quickly(go())
