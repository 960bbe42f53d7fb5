"""A meter without samples is no meter: the sampler is tried again for ever, one at a time."""

import asyncio
import math

import pytest

from agent.errors import SourceAway, WorkerError
from agent.processes.process import Exit, ExitKind
from agent.processes.sampler_messages import SamplingPlan, SamplingStatus
from device_catalog.contract.documents import Acquisition
from tests.support.fake_workers import running_set
from tests.support.quick_loop import run_quickly

BOARD = Acquisition("simulated", 6400.0)


@pytest.fixture
def plant(tmp_path):
    running, workers, _ = running_set(tmp_path)
    return running.sampler, workers


def test_a_source_that_is_not_there_is_waited_for_and_said(plant):
    sampler, workers = plant
    workers.faults["sampler"] = [SourceAway("unplugged")] * 20

    async def go():
        await sampler.replace(BOARD)
        report = sampler.report()
        assert (report.state, report.last_error, report.sample_rate) == ("backoff", "unplugged", 0.0)
        await asyncio.sleep(20 * 30.0)
        assert sampler.report().state == "running"
        assert sampler.report().restarts == 20
        await sampler.close()

    run_quickly(go())
    assert workers.running() == []


def test_a_source_that_refuses_is_told_to_whoever_asked_and_not_tried_again(plant):
    sampler, workers = plant
    workers.faults["sampler"] = [WorkerError("expected <= 50 kHz, found 6.4 MHz")]

    async def go():
        with pytest.raises(WorkerError, match="50 kHz"):
            await sampler.replace(BOARD)
        assert sampler.report() is None
        await asyncio.sleep(1000.0)

    run_quickly(go())
    assert workers.started == []


def test_the_one_before_is_gone_before_another_starts(plant):
    sampler, workers = plant
    held = []
    workers.faults["sampler"] = [lambda _: held.append(workers.running())] * 3

    async def go():
        for rate in (3200.0, 6400.0):
            await sampler.replace(Acquisition("simulated", rate))
        await sampler.restamp()
        assert workers.running() == ["sampler"]
        await sampler.close()

    run_quickly(go())
    assert held == [[], [], []]


def test_one_that_ends_while_it_starts_is_started_again(plant):
    sampler, workers = plant
    workers.faults["sampler"] = [lambda process: process.die()]

    async def go():
        await sampler.replace(BOARD)
        assert sampler.report().state == "backoff"
        assert sampler.waited_for
        await asyncio.sleep(2.0)
        assert not sampler.waited_for
        assert workers.running() == ["sampler"]
        await sampler.close()

    run_quickly(go())


def test_a_recording_that_ends_is_not_started_again(plant):
    sampler, workers = plant

    async def go():
        await sampler.replace(BOARD)
        workers.last("sampler").calls["on_exit"](Exit(ExitKind.ENDED, "the recording has no more samples"))
        await asyncio.sleep(1000.0)
        assert sampler.report().state == "ended"
        assert not sampler.waited_for

    run_quickly(go())
    assert len(workers.started) == 1


def test_a_rate_that_cannot_be_is_not_reported(plant):
    sampler, workers = plant
    workers.faults["sampler"] = [lambda process: setattr(process, "plan", SamplingPlan(math.nan, (), 64))]

    async def go():
        await sampler.replace(BOARD)
        workers.last("sampler").calls["on_status"](SamplingStatus(samples=5))
        assert (sampler.report().sample_rate, sampler.report().samples) == (0.0, 5)
        await sampler.close()

    run_quickly(go())
