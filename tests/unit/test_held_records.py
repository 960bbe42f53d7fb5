"""Results that are told only once the state that counts them is durable."""

import asyncio
from concurrent.futures import Future

import pytest

from agent.held_records import LONGEST, HeldRecords
from algorithms.api.records import Result
from tests.support.quick_loop import run_quickly

TOLD = Result("count/1", "t", 0, {}, urgent=True)
PASSING = Result("count/1", "t", 1, {})


class Row:
    def __init__(self):
        self.out = []
        self.said = []
        self.held = HeldRecords(self.out.extend, self.said.append)


@pytest.fixture
def row():
    return Row()


def test_an_urgent_result_waits_for_its_state_and_what_follows_waits_behind_it(row):
    async def go():
        row.held.put([TOLD])
        assert row.out == [TOLD]
        durable = Future()
        row.held.state_comes(durable)
        row.held.put([PASSING])
        assert row.out == [TOLD, PASSING]
        row.held.put([TOLD])
        row.held.put([PASSING])
        await asyncio.sleep(LONGEST / 2)
        assert row.out == [TOLD, PASSING]
        durable.set_result(None)
        await row.held.settle()
        assert row.out == [TOLD, PASSING, TOLD, PASSING]
        assert not any(row.said)

    run_quickly(go())


def test_each_waits_for_its_own_state_only(row):
    async def go():
        first, second = Future(), Future()
        row.held.state_comes(first)
        row.held.put([TOLD])
        row.held.state_comes(second)
        row.held.put([PASSING, TOLD])
        first.set_result(None)
        await asyncio.sleep(0.1)
        assert row.out == [TOLD]
        second.set_result(None)
        await asyncio.sleep(0.1)
        assert row.out == [TOLD, PASSING, TOLD]

    run_quickly(go())


def test_a_card_that_fails_holds_up_nothing_and_is_said_until_it_works_again(row):
    async def go():
        durable = Future()
        row.held.state_comes(durable)
        row.held.put([TOLD])
        durable.set_exception(OSError(28, "No space left on device"))
        await row.held.settle()
        assert row.out == [TOLD]
        assert "No space left" in row.said[-1]
        durable = Future()
        row.held.state_comes(durable)
        durable.set_result(None)
        await asyncio.sleep(0.1)
        assert row.said[-1] == ""

    run_quickly(go())


def test_a_card_that_does_not_answer_is_waited_for_so_long_and_no_longer(row):
    async def go():
        row.held.state_comes(Future())
        row.held.put([TOLD])
        await asyncio.sleep(LONGEST - 0.1)
        assert row.out == []
        await asyncio.sleep(0.2)
        assert row.out == [TOLD]
        assert "not durable within 5 s" in row.said[-1]
        row.held.put([TOLD])
        await row.held.settle()
        assert row.out == [TOLD, TOLD]

    run_quickly(go())
