"""How an algorithm is called: starts, ticks by the samples' time, and what it may return."""

import time
from collections.abc import Sequence

import numpy as np
import pytest

from agent.processes.algorithm_calls import AlgorithmCalls, UndeclaredRecord
from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import CheckpointError, SettingsError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Event, Kind, Record, Result, Severity
from algorithms.api.samples import NANOSECONDS, Channel, Phase, Quantity, SampleBlock

CHANNELS = (Channel("ua", Quantity.VOLTAGE, Phase.A),)
HERE = Context("M1", channels=CHANNELS, sample_rate=1000.0)


class Ticking(Algorithm):
    info = AlgorithmInfo(
        name="ticking",
        version="1.0.0",
        summary="Ticks.",
        consumes=(Kind.SAMPLES,),
        produces=(Kind.RESULT,),
        contents=("tick/1",),
        tick_interval=0.1,
    )

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002
        if restored == b"bad":
            raise CheckpointError("unreadable")
        self.restored = restored

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        return [Result("tick/1", "block", record.time_ns, {})]

    def tick(self, now_ns: int) -> Sequence[Record]:
        return [Result("tick/1", "tick", now_ns, {})]


def block(time_ns: int, count: int = 40) -> SampleBlock:
    return SampleBlock(np.zeros((1, count), np.float32), CHANNELS, 1000.0, 0, time_ns)


def started(algorithm: type[Algorithm] = Ticking) -> AlgorithmCalls:
    calls = AlgorithmCalls(algorithm, {})
    calls.start(HERE, None)
    return calls


def ticks(records: Sequence[Record]) -> list[float]:
    return [record.time_ns / NANOSECONDS for record in records if record.terminal == "tick"]


def test_ticks_come_at_whole_multiples_after_the_block_that_reaches_them():
    calls = started()
    found = [calls.process(block(NANOSECONDS + 40_000_000 * number)) for number in range(6)]
    assert [ticks(records) for records in found] == [[], [], [1.1], [], [1.2], []]
    assert found[2][0].terminal == "block"
    assert (calls.processed, calls.produced) == (6, 8)


def test_a_jump_of_time_brings_one_tick():
    calls = started()
    calls.process(block(NANOSECONDS))
    assert ticks(calls.process(block(61 * NANOSECONDS))) == [61.0]
    assert ticks(calls.process(block(61 * NANOSECONDS + 40_000_000))) == []
    assert ticks(calls.process(block(NANOSECONDS))) == []  # the clock was set back
    assert ticks(calls.process(block(NANOSECONDS + 80_000_000))) == [1.1]


def test_it_asks_to_be_kept_until_that_is_done():
    class Asking(Ticking):
        def process(self, record: SampleBlock | Record) -> Sequence[Record]:  # noqa: ARG002
            self.keep_now = True
            return []

    calls = started(Asking)
    assert not calls.asks_to_be_kept
    calls.process(block(0))
    assert calls.asks_to_be_kept
    calls.checkpoint()
    assert not calls.asks_to_be_kept


def test_a_bad_checkpoint_is_set_aside_and_said():
    calls = AlgorithmCalls(Ticking, {})
    calls.start(HERE, b"bad")
    assert "unreadable" in calls.note
    assert calls.process(block(0))


def test_what_is_missing_where_it_runs_is_refused_with_everything_else():
    class Needy(Ticking):
        info = AlgorithmInfo(
            name="needy",
            version="one",
            summary="Needs a network.",
            consumes=(Kind.SAMPLES,),
            produces=(),
            needs_network=True,
        )

    with pytest.raises(SettingsError) as refusal:
        AlgorithmCalls(Needy, {}).start(Context("M1"), None)
    assert [problem.where for problem in refusal.value.problems] == ["info.version", "network", "acquisition"]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (Event("x", "T", 0, None, Severity.NOTICE), "kind event"),
        (Result("other/1", "T", 0, {}), "other/1"),
        ({"kind": "result"}, "found dict"),
    ],
)
def test_only_declared_records_may_be_returned(returned, words):
    class Wrong(Ticking):
        def process(self, record: SampleBlock | Record) -> Sequence[Record]:  # noqa: ARG002
            return [returned]

    with pytest.raises(UndeclaredRecord, match=words):
        started(Wrong).process(block(0))


def test_calls_beyond_the_time_budget_are_counted():
    class Slow(Ticking):
        def process(self, record: SampleBlock | Record) -> Sequence[Record]:  # noqa: ARG002
            begin = time.thread_time()
            while time.thread_time() - begin < 2 * self.info.time_budget:
                pass
            return []

    calls = started(Slow)
    calls.process(block(0))
    assert calls.over_budget == 1
    assert calls.take_slowest() >= 2 * Slow.info.time_budget
    assert calls.take_slowest() == 0.0


def test_nothing_is_called_before_the_start():
    with pytest.raises(RuntimeError, match="not started"):
        AlgorithmCalls(Ticking, {}).process(block(0))
    AlgorithmCalls(Ticking, {}).stop()
