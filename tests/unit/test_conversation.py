"""What is said to the catalog, and when; the catalog is a script, and time passes at once."""

import asyncio
from itertools import pairwise
from types import SimpleNamespace

from agent.conversation import Conversation
from agent.errors import CatalogError
from agent.reporting import RETRY
from device_catalog.contract.documents import Poll
from device_catalog.contract.reports import Reported
from tests.support.fake_workers import LoopClock
from tests.support.quick_loop import run_quickly, until

POLL = Poll(interval=20.0, lease=65.0)


class Catalog:
    """Answers polls and reports as told, and remembers when they came."""

    def __init__(self):
        self.polls = []
        self.reports = []
        self.documents = []
        self.answer_report = None
        self.answer_poll = None
        self.server_time = None

    def poll(self, boot, applied):
        self.polls.append((asyncio.get_running_loop().time(), boot, applied))
        if self.answer_poll is not None:
            raise self.answer_poll
        return self.documents.pop(0) if self.documents else None

    def report(self, reported):
        self.reports.append((asyncio.get_running_loop().time(), reported))
        if self.answer_report is not None:
            raise self.answer_report

    def close(self):
        pass


class Device:
    """Takes what comes."""

    def __init__(self, applied=0):
        self.applied = applied
        self.taken = []
        self.later = []

    async def take(self, document):
        self.taken.append(document)
        self.applied += 1

    def second_chance(self):
        return self.later.pop(0) if self.later else None

    async def refresh(self):
        pass

    def reported(self):
        return Reported("m-1", applied_revision=self.applied)


class AtOnce:
    """Runs requests where they are made: a thread of its own has nothing to do with when they are."""

    async def run(self, call):
        await asyncio.sleep(0.001)
        return call()

    def close(self):
        pass


def talk(device, catalog, seconds, *, pace=POLL, meanwhile=None):
    """Let them talk; return when polls and reports came [s]."""

    async def go():
        nothing = SimpleNamespace(unsent=None)
        one = Conversation(catalog, device, device, nothing, LoopClock(), boot=3, requests=AtOnce())
        one.pace = pace
        start = asyncio.get_running_loop().time()
        task = asyncio.get_running_loop().create_task(one.hold())
        if meanwhile is not None:
            await meanwhile(one)
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        one.close()
        return [at - start for at, *_ in catalog.polls], [at - start for at, _ in catalog.reports]

    return run_quickly(go())


def test_a_new_device_asks_at_once_and_one_with_settings_within_a_second():
    polls, _ = talk(Device(), Catalog(), 1.5)
    assert polls[0] < 0.1
    firsts = [talk(Device(applied=1), Catalog(), 1.5)[0][0] for _ in range(30)]
    assert max(firsts) <= 1.1
    assert max(firsts) - min(firsts) > 0.1, "a fleet that comes back at once is spread"


def test_with_a_short_poll_interval_the_first_poll_waits_for_a_small_part_of_it():
    pace = Poll(interval=2.0, lease=7.0)
    firsts = [talk(Device(applied=1), Catalog(), 1.0, pace=pace)[0][0] for _ in range(10)]
    assert max(firsts) <= 0.3


def test_a_report_that_the_catalog_refuses_is_repeated_now_and_then_and_polls_keep_their_pace():
    catalog = Catalog()
    catalog.answer_report = CatalogError("the catalog answered 422: no such field")

    async def look(one):
        await until(lambda: catalog.reports)
        assert not one.report_is_due()

    polls, reports = talk(Device(applied=1), catalog, 600.0, meanwhile=look)
    assert 29 <= len(polls) <= 36
    assert 2 <= len(reports) <= 600.0 / RETRY + 1


def test_what_is_new_is_taken_and_acknowledged_without_waiting_for_the_next_poll():
    catalog, device = Catalog(), Device()
    catalog.documents = [b"new"]
    talk(device, catalog, 3.0)
    assert device.taken == [b"new"]
    assert [applied for _, _, applied in catalog.polls] == [0, 1]
    assert catalog.reports[-1][1].applied_revision == 1


def test_failures_back_off_up_to_the_interval_and_a_second_chance_is_still_given():
    catalog, device = Catalog(), Device(applied=1)
    catalog.answer_poll = CatalogError("cannot be reached")
    device.later = [b"again"]
    polls, reports = talk(device, catalog, 600.0)
    assert reports == []
    assert device.taken == [b"again"]
    gaps = [after - before for before, after in pairwise(polls)]
    assert max(gaps) <= POLL.interval + 0.1
    assert len(polls) >= 30


def test_when_the_catalog_names_a_time_it_is_left_alone_so_long():
    catalog = Catalog()
    catalog.answer_poll = CatalogError("too many", retry_after=120.0)
    polls, _ = talk(Device(applied=1), catalog, 500.0)
    assert all(after - before >= 120.0 for before, after in pairwise(polls))
