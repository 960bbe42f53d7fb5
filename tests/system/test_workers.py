"""The process layer with real processes: samples reach algorithms, and whoever misbehaves touches no other."""

import asyncio
import os
import signal
import sys
import time
from typing import Any

import pytest

from agent.errors import AlgorithmRefused, WorkerError
from agent.processes.algorithm_messages import AlgorithmSpec
from agent.processes.process import ExitKind
from algorithms.api.manifest import Limits
from algorithms.api.records import Event, Severity
from algorithms.api.samples import SampleFlag
from tests.support.process_bench import ALGORITHMS, Seen, alive, bench, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")

EAGER = Limits(response=1.0)


def test_a_source_that_judges_its_own_time_is_believed():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler(judged=True)
            _, seen = await b.algorithm("Watcher", sampler)
            await until(lambda: len(seen.records) >= 10 and b.statuses, "10 blocks")
            assert {payload["flags"] for payload in seen.payloads} == {0}
            assert b.statuses[-1].time_uncertainty == 3e-6

    asyncio.run(scenario())


def test_every_sample_reaches_an_algorithm_and_its_records_come_back():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            assert len(sampler.plan.channels) == 6
            assert sampler.plan.channels[3].quantity == "current"
            assert sampler.sealed
            worker, seen = await b.algorithm("Watcher", sampler)
            assert worker.info.name == "watcher"
            await until(lambda: len(seen.records) >= 60 and b.statuses, "60 blocks")
            assert seen.gaps() == []
            assert all(
                payload["right"] and payload["flags"] in (0, SampleFlag.UNSYNCHRONISED) for payload in seen.payloads
            )
            assert (await worker.checkpoint()) in seen.checkpoints
            assert worker.status.lost_samples == worker.status.dropped == 0
            assert worker.status.memory > 0
            assert b.statuses[-1].samples == b.statuses[-1].end_index > 0
            pids = [worker.pid, sampler.pid, b.workers.fork_server_pid]
            before = len(seen.checkpoints)
            await b.workers.stop()
            assert len(seen.checkpoints) > before
            assert (worker.exit.kind, sampler.exit.kind) == (ExitKind.STOPPED, ExitKind.STOPPED)
            assert seen.exits == b.sampler_exits == []  # nobody is told of what was asked for
            assert not any(alive(pid) for pid in pids)
            assert b.server_exits == []

    asyncio.run(scenario())


def test_a_late_algorithm_reads_the_history_it_asks_for_first():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            await until(lambda: sampler.position()[0] >= 6400, "a second of samples")
            _, seen = await b.algorithm("Historian", sampler)
            await until(lambda: len(seen.records) > 55, "history and more")
            assert seen.payloads[0]["first"] <= sampler.position()[0] - 6400
            assert seen.gaps() == []

    asyncio.run(scenario())


def test_an_algorithm_refuses_its_settings_with_every_problem():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            with pytest.raises(AlgorithmRefused) as refusal:
                await b.algorithm("Misbehaving", sampler, {"after": -1, "what": 3})
            wheres = {problem.where for problem in refusal.value.problems}
            assert wheres == {"settings.how", "settings.after", "settings.what"}
            with pytest.raises(AlgorithmRefused, match="a waveform source"):
                await b.algorithm("Watcher", None)

    asyncio.run(scenario())


def test_what_cannot_be_loaded_or_started_is_said_in_one_message():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            for entry, message in (
                ("phantom", "expected an installed algorithm"),
                ("tests.support.nowhere:Thing", "No module named"),
                (f"{ALGORITHMS}:Nothing", "expected the class Nothing"),
                ("subprocess:Popen", "to be a class of algorithm"),
                ("os:listdir", "to be a class of algorithm"),
            ):
                with pytest.raises(WorkerError, match=message):
                    await b.workers.start_algorithm(AlgorithmSpec("x", entry), sampler, **Seen().callbacks())
            with pytest.raises(WorkerError, match=r"ZeroDivisionError: a bug in this algorithm \(algorithms.py:\d+\)"):
                await b.algorithm("Misbehaving", sampler, {"how": "crash", "after": 0})
            spec = AlgorithmSpec("x", f"{ALGORITHMS}:Misbehaving", {"how": "hang", "after": 0})
            with pytest.raises(WorkerError, match="expected to start within"):
                await b.workers.start_algorithm(spec, sampler, **Seen().callbacks(), timeout=0.5)
            _, seen = await b.algorithm("Watcher", sampler)
            await until(lambda: seen.records, "another algorithm's records")
            assert b.sampler_exits == []

    asyncio.run(scenario())


def test_misbehaving_algorithms_end_with_a_reason_and_touch_no_other():
    """Crash, hang, flood, leak and the rest, all at once, beside one that must see every sample."""
    small = Limits(response=1.0, memory=24 << 20, records_per_second=50.0)
    limits = {"spin": Limits(processor=0.15)}
    expected = {
        "crash": (ExitKind.FAILED, "ZeroDivisionError: a bug in this algorithm (algorithms.py:"),
        "shout": (ExitKind.FAILED, "ValueError: ?[2J?]0;title?red (algorithms.py:"),
        "abort": (ExitKind.DIED, "SIGABRT"),
        "leave": (ExitKind.DIED, "status 3"),
        "hang": (ExitKind.KILLED, "no progress for 1 s"),
        "flood": (ExitKind.KILLED, "records without end"),
        "garble": (ExitKind.KILLED, "broke the protocol"),
        "spin": (ExitKind.KILLED, "of a processor core"),
        "leak": (ExitKind.FAILED, "MemoryError"),
        "undeclared": (ExitKind.FAILED, "found a record of kind event"),
        "nonsense": (ExitKind.FAILED, "expected records, found str"),
        "read_passwd": (ExitKind.FAILED, "PermissionError"),
        "socket": (ExitKind.FAILED, "PermissionError"),
    }

    async def scenario():
        async with bench() as b:
            isolation = await b.workers.probe()
            sampler = await b.sampler()
            bystander, seen = await b.algorithm("Watcher", sampler)
            started = [
                (how, await b.algorithm("Misbehaving", sampler, {"how": how}, limits=limits.get(how, small)))
                for how in expected
                if isolation.get({"read_passwd": "files", "socket": "network"}.get(how, ""), True)
            ]
            for how, (worker, other) in started:
                await until(lambda other=other: other.exits, f"the end of {how}", 20.0)
                kind, words = expected[how]
                assert other.exits[0].kind is kind, (how, other.exits)
                assert words in str(other.exits[0])
                assert not alive(worker.pid)
                if how == "flood":
                    assert len(other.records) < 1000  # 500 at once, then 50 a second
                    assert worker.status.dropped > 0
            count = len(seen.records)
            await until(lambda: len(seen.records) > count + 10, "more records of the bystander")
            assert seen.exits == []
            assert seen.gaps() == []
            assert all(payload["right"] for payload in seen.payloads)
            assert bystander.status.lost_samples == 0

    asyncio.run(scenario())


def test_records_too_long_are_dropped_and_counted():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            settings = {"how": "oversize"}
            worker, seen = await b.algorithm("Misbehaving", sampler, settings, limits=Limits(record_size=1000))
            await until(lambda: len(seen.records) > 5 and worker.status.dropped > 5, "drops")
            assert seen.payloads[:2] == [{"small": 1}, {"small": 1}]

    asyncio.run(scenario())


def test_a_checkpoint_is_handed_to_the_next_instance_and_a_bad_one_set_aside():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            worker, seen = await b.algorithm("Watcher", sampler, restored=b"1000")
            await until(lambda: seen.checkpoints, "a checkpoint at its interval")
            assert seen.payloads[0]["blocks"] == 1001
            assert worker.note == ""
            worker, seen = await b.algorithm("Watcher", sampler, restored=b"garbage")
            await until(lambda: seen.records, "records")
            assert seen.payloads[0]["blocks"] == 1
            assert "no state of mine" in worker.note

    asyncio.run(scenario())


def test_the_state_that_counts_an_urgent_result_comes_before_it():
    async def scenario():
        async with bench() as b:
            sampler = await b.sampler()
            told: list[tuple[int, int]] = []  # what a result says, and the newest state when it came
            seen = Seen()

            def take(records: list[Any]) -> None:
                told.extend((record.payload["blocks"], int(seen.checkpoints[-1])) for record in records)

            spec = AlgorithmSpec("teller", f"{ALGORITHMS}:Teller")
            callbacks = {**seen.callbacks(), "on_records": take}
            await b.workers.start_algorithm(spec, sampler, **callbacks)
            await until(lambda: len(told) >= 3, "urgent results")
            assert all(counted <= state for counted, state in told)

    asyncio.run(scenario())


def test_an_algorithm_that_asks_for_it_is_kept_at_once_before_what_it_says():
    async def scenario():
        async with bench() as b:
            told: list[tuple[str, bytes]] = []
            seen = Seen()
            answer = {"on_records": lambda records: told.append((records[0].payload["heard"], seen.checkpoints[-1]))}
            spec = AlgorithmSpec("asker", f"{ALGORITHMS}:Asker")
            worker = await b.workers.start_algorithm(spec, None, **{**seen.callbacks(), **answer})
            worker.feed(Event("dip", "T1", 5, None, Severity.WARNING))
            await until(lambda: told, "its answer")
            assert told == [("dip", b"dip")]

    asyncio.run(scenario())


def test_records_are_fed_ticks_come_by_the_clock_and_feeding_never_blocks():
    async def scenario():
        async with bench() as b:
            worker, seen = await b.algorithm("Echo", None, device="M1", limits=EAGER)
            worker.feed(Event("dip", "T1", 5, None, Severity.WARNING))
            await until(lambda: len(seen.records) > 4, "ticks and an answer")
            echoes = [record for record in seen.records if isinstance(record, Event)]
            assert [(echo.kind, echo.terminal, echo.start_ns) for echo in echoes] == [("echo-dip", "M1", 5)]
            os.kill(worker.pid, signal.SIGSTOP)
            before = time.monotonic()
            for _ in range(20_000):
                worker.feed(Event("dip", "T1", 5, None, Severity.WARNING))
            assert worker.status.dropped > 10_000
            assert time.monotonic() - before < 5.0
            await until(lambda: seen.exits, "the end of one that hangs")
            assert seen.exits[0].kind is ExitKind.KILLED

    asyncio.run(scenario())


def test_what_confines_an_algorithm_is_tried_not_assumed():
    async def scenario():
        async with bench() as b:
            await b.sampler()
            isolation = await b.workers.probe()
            assert isolation["samples"]  # the seal
            assert isolation["memory"]
            assert isolation["user"] == (os.geteuid() == 0)
            if isolation["system-calls"]:
                assert isolation["network"]
                assert isolation["processes"]
                assert isolation["signals"]
                assert isolation["tracing"]
                assert isolation["writing"]
            if isolation["landlock"]:
                assert isolation["files"]
            assert b.workers.isolation == isolation

    asyncio.run(scenario())
