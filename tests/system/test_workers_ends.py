"""Real processes that end, hang or are killed: it is reported why, no other is touched, and nothing is left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from agent.errors import WorkerError
from agent.processes.process import ExitKind
from algorithms.api.records import Event, Severity
from algorithms.api.samples import SampleFlag
from device_catalog.contract.documents import Acquisition
from tests.support.process_bench import alive, bench, until
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


def test_an_algorithm_that_is_killed_is_reported_and_no_other_is_touched():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            victim, seen = await b.algorithm("Watcher", sampler)
            _, other = await b.algorithm("Watcher", sampler)
            await until(lambda: seen.records, "records")
            os.kill(victim.pid, signal.SIGKILL)
            await until(lambda: seen.exits, "the exit")
            assert (seen.exits[0].kind, "SIGKILL" in str(seen.exits[0])) == (ExitKind.DIED, True)
            with pytest.raises(WorkerError):
                await victim.checkpoint()
            victim.feed(Event("late", "T1", 0, None, Severity.NOTICE))  # nothing happens
            count = len(other.records)
            await until(lambda: len(other.records) > count + 20, "more records")
            assert other.gaps() == []

    asyncio.run(scenario())


def test_algorithms_outlive_a_killed_sampler_and_see_a_gap():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            worker, seen = await b.algorithm("Watcher", sampler)
            await until(lambda: len(seen.records) > 10, "records")
            os.kill(sampler.pid, signal.SIGKILL)
            await until(lambda: b.sampler_exits, "the exit")
            assert b.sampler_exits[0].kind is ExitKind.DIED
            again = await b.sampler()
            count = len(seen.records)
            await until(lambda: len(seen.records) > count + 10, "records of the new sampler")
            assert worker.sampler is again
            assert seen.exits == []
            gaps = seen.gaps()
            assert len(gaps) == 1
            assert gaps[0][1] > gaps[0][0]
            flagged = [payload for payload in seen.payloads if payload["flags"] & SampleFlag.LOST]
            assert [payload["first"] for payload in flagged] == [gaps[0][1]]
            os.kill(again.pid, signal.SIGSTOP)  # hangs, as a driver may
            await until(lambda: len(b.sampler_exits) == 2, "the end of a silent sampler", 15.0)
            assert "said nothing" in str(b.sampler_exits[1])

    asyncio.run(scenario())


def test_stamps_that_jump_with_a_new_sampler_are_no_missing_samples():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            _, seen = await b.algorithm("Watcher", sampler)
            await until(lambda: len(seen.records) > 10, "records")
            ended = time.monotonic()
            await sampler.stop()
            await b.sampler(ahead=56 * 365.25 * 86_400.0)
            count = len(seen.records)
            await until(lambda: len(seen.records) > count + 10, "records of the new sampler")
            ((end, first),) = seen.gaps()
            assert 0 < first - end < (time.monotonic() - ended) * 6400.0

    asyncio.run(scenario())


def test_algorithms_that_the_new_channels_do_not_fit_are_ended_with_that_reason():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            _, seen = await b.algorithm("Watcher", sampler)
            assert (await sampler.stop()).kind is ExitKind.STOPPED
            await b.sampler(channels=3)
            await until(lambda: seen.exits, "the exit")
            assert "other channels" in str(seen.exits[0])

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("end", ExitKind.ENDED, "that was all"),
        ("lost", ExitKind.LOST, "unplugged"),
        ("fail", ExitKind.FAILED, "ZeroDivisionError: a driver's bug"),
    ],
)
def test_a_source_that_ends_breaks_or_fails_is_reported(what, kind, words):
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler(**{what: 10})
            _, seen = await b.algorithm("Watcher", sampler)
            await until(lambda: b.sampler_exits, "the exit")
            assert b.sampler_exits[0].kind is kind
            assert words in str(b.sampler_exits[0])
            samples = 10 * sampler.plan.block_samples
            await until(lambda: seen.records[-1:] and seen.payloads[-1]["end"] == samples, "the last block")
            assert (sampler.status.samples, sampler.position()[0]) == (samples, samples)
            assert seen.exits == []

    asyncio.run(scenario())


def test_a_source_that_cannot_be_started_is_one_message():
    async def scenario():
        async with bench() as b:
            with pytest.raises(WorkerError, match="at most 100 Hz"):
                await b.sampler(refuse=1)
            for driver, message in (("os:system", "a class of source"), ("tests.support.none:X", "No module named")):
                with pytest.raises(WorkerError, match=message):
                    await b.workers.start_sampler(Acquisition(driver, 1.0), print, print)
            assert b.sampler_exits == []

    asyncio.run(scenario())


def test_a_killed_fork_server_takes_everything_along_and_a_new_one_follows():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            worker, seen = await b.algorithm("Watcher", sampler)
            pids = [worker.pid, sampler.pid, b.workers.fork_server_pid]
            os.kill(b.workers.fork_server_pid, signal.SIGKILL)
            await until(lambda: b.server_exits, "the server's exit")
            assert len(seen.exits) == len(b.sampler_exits) == len(b.server_exits) == 1
            await until(lambda: not any(alive(pid) for pid in pids), "the end of all")
            _, other = await b.algorithm("Watcher", await b.sampler())
            await until(lambda: other.records, "records after all")
            assert b.workers.fork_server_pid not in pids
            await b.workers.stop()
            with pytest.raises(WorkerError, match="start it first"):
                await b.sampler()

    asyncio.run(scenario())


def test_nothing_is_left_of_an_agent_that_is_killed():
    command = [sys.executable, "-m", "tests.support.agent_to_kill"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        try:
            told = json.loads(agent.stdout.readline())
        finally:
            agent.kill()
    assert len(told["pids"]) == 4
    assert not told["numpy"]  # the agent stays lean
    wait_until(lambda: not any(alive(pid) for pid in told["pids"]), "the end of every process")
