"""The agent's lease desk: what it asks of the catalog, what it lets out, and when it stops."""

import asyncio

from agent.errors import CatalogError
from agent.network_leases import LeaseDesk
from algorithms.api.records import Command, Request
from device_catalog.contract.network_leases import LeaseGrant
from device_catalog.documents import moment


class Clock:
    """A steady clock in a test's hands."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def now_ns(self):
        return round(self.now * 1e9)

    def advance(self, seconds):
        self.now += seconds


class Catalog:
    """Answers as it is told to."""

    def __init__(self):
        self.asked, self.given_back, self.told = [], [], []
        self.token = 0
        self.error = None

    def lease(self, network, wanted):
        self.asked.append((network, wanted.token, wanted.seconds))
        if self.error is not None:
            raise self.error
        if not wanted.token:
            self.token += 1
        return LeaseGrant(network, wanted.holder, self.token, wanted.seconds, moment(0))

    def give_back(self, network, token):
        self.given_back.append((network, token))

    def tell_switches(self, network, news):
        self.told.append((network, news.token, dict(news.states)))

    def close(self):
        self.closed = True


class AtOnce:
    """Runs requests at once."""

    async def run(self, call):
        return call()

    def close(self):
        pass


class Desk:
    def __init__(self):
        self.catalog, self.clock, self.replies = Catalog(), Clock(), []
        self.desk = LeaseDesk("control-1", self.catalog, self.clock, self.replies.append, AtOnce())
        self.number = 0

    async def ask(self, **arguments):
        self.number += 1
        self.desk.take(Request(f"r-{self.number}", "control-1", "control-1", "lease", 0, 1, arguments))
        for _ in range(3):
            await asyncio.sleep(0)
        return self.replies[-1] if self.replies else None

    def objection(self, token, network="net"):
        arguments = {"network": network, "token": token, "sequence": 1}
        return self.desk.objection(Command("c-1", "s1", "open", 0, 1, arguments))


def run(story):
    asyncio.run(story(Desk()))


def test_an_order_leaves_only_under_a_lease_that_runs():
    async def story(desk):
        assert "found none" in desk.objection(1)
        reply = await desk.ask(network="net", seconds=30.0)
        assert (reply.payload["token"], reply.payload["seconds"]) == (1, 30.0)
        assert desk.objection(1) == ""
        assert "the token 1 expected" in desk.objection(2)
        assert "found none" in desk.objection(1, "other")
        desk.clock.advance(30.0)
        assert "found none" in desk.objection(1)

    run(story)


def test_a_lease_is_renewed_by_its_token_and_counted_from_before_it_was_asked_for():
    async def story(desk):
        await desk.ask(network="net", seconds=30.0)
        desk.clock.advance(20.0)
        await desk.ask(network="net", seconds=30.0, token=1)
        assert desk.catalog.asked[-1] == ("net", 1, 30.0)
        desk.clock.advance(29.0)
        assert desk.objection(1) == ""
        desk.clock.advance(2.0)
        assert desk.objection(1) != ""
        await desk.ask(network="net", seconds=30.0, token=1)  # too late: a new one is asked for
        assert desk.catalog.asked[-1][1] == 0
        assert desk.objection(2) == ""

    run(story)


def test_what_another_holds_is_told_to_the_algorithm_and_nothing_leaves():
    async def story(desk):
        await desk.ask(network="net", seconds=30.0)
        desk.catalog.error = CatalogError("answered 409: held by control-2", status=409)
        reply = await desk.ask(network="net", seconds=30.0, token=1)
        assert "held by control-2" in reply.problems[0].found
        assert reply.payload == {"held": False}
        assert desk.objection(1) != ""

    run(story)


def test_a_catalog_out_of_reach_takes_nothing_away_before_its_time():
    async def story(desk):
        await desk.ask(network="net", seconds=30.0)
        desk.catalog.error = CatalogError("cannot be reached")
        reply = await desk.ask(network="net", seconds=30.0, token=1)
        assert reply.payload == {"held": True}
        assert desk.objection(1) == ""

    run(story)


def test_it_is_given_back_when_asked_and_at_the_end():
    async def story(desk):
        await desk.ask(network="one", seconds=30.0)
        await desk.ask(network="one", release=True, token=1)
        assert desk.catalog.given_back == [("one", 1)]
        await desk.ask(network="two", seconds=30.0)
        await desk.desk.close()
        assert desk.catalog.given_back == [("one", 1), ("two", 2)]
        assert desk.catalog.closed

    run(story)


def test_where_switches_stand_is_told_under_the_lease_only():
    async def story(desk):
        await desk.ask(network="net", states={"s1": "open"})
        assert desk.catalog.told == []
        await desk.ask(network="net", seconds=30.0)
        await desk.ask(network="net", states={"s1": "open"})
        await desk.ask(network="net", states={"s1": "ajar"})
        assert desk.catalog.told == [("net", 1, {"s1": "open"})]

    run(story)


def test_nonsense_is_refused():
    async def story(desk):
        for arguments in ({}, {"network": "a/b"}, {"network": 7}):
            reply = await desk.ask(**arguments)
            assert reply.problems

    run(story)
