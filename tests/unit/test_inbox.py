"""What comes in is checked, counted and given on once."""

import pytest
from msgspec import structs

from agent.allowance import PERIOD, Allowance
from agent.delivery.inbox import MAXIMUM_LENGTH, Inbox
from agent.delivery.replay import Replay
from algorithms.api.grid_records import GridState, Proposal
from algorithms.api.records import (
    AngleReference,
    Command,
    Event,
    Kind,
    MeasurementFrame,
    Reply,
    Request,
    Result,
    Severity,
)
from algorithms.api.wire import Header, decode, encode
from device_catalog.contract import topics
from device_catalog.contract.documents import Neighbours
from tests.support.outboxes import Bench

RESULTS = topics.results("default", "m-2", "count/1")


class _Link:
    """Remembers what it was asked to subscribe to."""

    def __init__(self):
        self.on_message = None
        self.subscribed = set()

    def set_subscriptions(self, wanted):
        self.subscribed = set(wanted)


@pytest.fixture
def bench(tmp_path):
    one = Bench(tmp_path / "spool.db")
    yield one
    one.kill()


@pytest.fixture
def links():
    return {"grid": _Link(), "data": _Link()}


@pytest.fixture
def got():
    return []


@pytest.fixture
def inbox(links, got):
    return Inbox("m-1", "default", links, lambda header, record: got.append((header, record)))


def _message(number=1, device="m-2", record=None, previous=0):
    return encode(record or Result("count/1", "t", 0, {}), Header(device, 1, 1, number, 0, previous))


def test_only_what_is_asked_for_is_subscribed(inbox, links):
    inbox.ask([Neighbours(Kind.FRAME, devices=("m-2",)), Neighbours(Kind.GRID_STATE, areas=("a-1",))])
    assert links["data"].subscribed == {"v1/default/meters/m-2/frames", "v1/default/states/+/a-1"}
    inbox.ask(())
    assert links["data"].subscribed == set()
    assert links["grid"].subscribed == {"v1/default/requests/m-1", "v1/default/replies/m-1"}


def test_an_area_whose_level_is_known_is_asked_for_without_a_wildcard(inbox, links):
    inbox.ask([Neighbours(Kind.GRID_STATE, areas=("a-1", "a-2"))], {"a-1": "lv"})
    assert links["data"].subscribed == {"v1/default/states/lv/a-1", "v1/default/states/+/a-2"}


def test_a_retained_state_comes_again_after_its_area_was_given_up_and_not_after_a_reconnection(inbox, links, got):
    topic, wish = topics.states("default", "lv", "a-1"), Neighbours(Kind.GRID_STATE, areas=("a-1",))
    links["data"].on_message(RESULTS, _message(number=50_000), False)
    for levels in ({"a-1": "lv"}, {}):
        inbox.ask([wish], levels)
        got.clear()
        for _ in range(2):
            links["data"].on_message(topic, _message(number=7, record=RECORDS["state"]), True)
        assert len(got) == 1
    assert inbox.report().duplicates == 2


def test_a_topic_without_records_is_heard_until_it_is_ignored(inbox, links):
    heard = []
    inbox.listen("grid", "v1/default/topology/n", lambda payload, retained: heard.append((payload, retained)))
    assert "v1/default/topology/n" in links["grid"].subscribed
    links["grid"].on_message("v1/default/topology/n", b"{}", True)
    inbox.ignore("grid", "v1/default/topology/n")
    assert "v1/default/topology/n" not in links["grid"].subscribed
    assert heard == [(b"{}", True)]


def test_record_is_delivered_once(inbox, links, got):
    for _ in range(2):
        links["data"].on_message(RESULTS, _message(), False)
    assert len(got) == 1
    assert inbox.report().duplicates == 1


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"null", b"[" * 10_000, b'{"schema": "other/1"}', b"x" * (MAXIMUM_LENGTH + 1)]
)
def test_what_cannot_be_read_is_counted_and_never_raised(inbox, links, got, payload):
    links["data"].on_message(RESULTS, payload, False)
    assert got == []
    assert inbox.report().refused == 1
    assert "expected" in inbox.report().last_error


RECORDS = {
    "result": Result("count/1", "t", 0, {}),
    "frame": MeasurementFrame("t", 0, 0.0, 0.08, AngleReference.OWN, None, None, {}, {}, {}),
    "event": Event("dip", "t", 0, None, Severity.NOTICE),
    "state": GridState("a-1", "lv", 0, 1, 1, ()),
    "proposal": Proposal("restoration", "n-1", 1, 0, 1, ()),
    "request": Request("r-1", "m-2", "m-1", "read", 0, 1, {}),
    "reply": Reply("r-1", "m-2", "m-1", 0, {}),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_is_taken_on_the_topic_of_its_maker_and_on_no_other(inbox, links, got, kind):
    broker, right, _ = topics.route(RECORDS[kind], "default", "m-2")
    wrong = {topics.route(record, "default", device)[:2] for record in RECORDS.values() for device in ("m-2", "m-3")}
    wrong |= {("grid" if broker == "data" else "data", right), (broker, right.replace("default", "other"))}
    wrong.discard((broker, right))
    for name, topic in sorted(wrong):
        links[name].on_message(topic, _message(record=RECORDS[kind]), False)
    assert got == []
    assert inbox.report().refused == len(wrong)
    assert f"of m-2 on {right} only" in inbox.report().last_error
    links[broker].on_message(right, _message(record=RECORDS[kind]), False)
    assert [record for _, record in got] == [RECORDS[kind]]


@pytest.mark.parametrize("kind", ["request", "reply"])
def test_nobody_asks_or_answers_in_the_name_of_another_or_to_another(inbox, links, got, kind):
    for wrong in ({"sender": "m-3"}, {"recipient": "m-4"}):
        record = structs.replace(RECORDS[kind], **wrong)
        links["grid"].on_message(getattr(topics, {"request": "requests", "reply": "replies"}[kind])("default", "m-1"),
                                 _message(record=record), False)  # fmt: skip
    assert got == []
    assert inbox.report().refused == 2


def test_a_command_is_refused_on_any_topic_but_its_switchs(inbox, links, got):
    command = Command("c-1", "m-1", "open", 0, 1)
    for name in links:
        links[name].on_message(topics.requests("default", "m-1"), _message(record=command), False)
    assert got == []
    assert "expected a command of m-2 on v1/default/switches/m-1/command only" in inbox.report().last_error


@pytest.mark.parametrize("device", ["", "m-2/frames", "+", "m 2", "x" * 65])
def test_a_maker_without_a_proper_id_is_refused(inbox, links, got, device):
    links["data"].on_message(topics.states("default", "lv", "a-1"), _message(device=device, record=RECORDS["state"]),
                             False)  # fmt: skip
    assert got == []
    assert "a device's id" in inbox.report().last_error


def test_nothing_is_subscribed_that_nobody_named(inbox, links):
    inbox.ask([Neighbours(Kind.FRAME, areas=("a-1",)), Neighbours(Kind.GRID_STATE, devices=("m-2",))])
    assert links["data"].subscribed == set()


@pytest.mark.usefixtures("inbox")
def test_own_messages_stay_out(links, got):
    links["data"].on_message(topics.results("default", "m-1", "count/1"), _message(device="m-1"), False)
    assert got == []


def test_topic_without_records_goes_to_its_listener(inbox, links):
    heard = []
    topic = topics.notify("default", "m-1")
    inbox.listen("grid", topic, lambda payload, retained: heard.append((payload, retained)))
    assert topic in links["grid"].subscribed
    links["grid"].on_message(topic, b"now", False)
    assert heard == [(b"now", False)]


def _ask(bench, links, got, arguments, *, expires_ns=2**62):
    bench.outbox.connected("grid")
    replay = Replay(bench.outbox, "m-1", "default", utc_ns=lambda: 1)
    inbox = Inbox("m-1", "default", links, lambda *both: got.append(both))
    inbox.answer("replay", replay.answer)
    request = Request("r-1", "m-2", "m-1", "replay", 0, expires_ns, arguments)
    links["grid"].on_message(topics.requests("default", "m-1"), _message(record=request), False)
    bench.work()
    return [decode(message.payload)[1] for message in bench.outbox.take("grid", 10)]


def test_replay_publishes_again_what_is_kept_and_says_what_that_was(bench, links, got):
    bench.outbox.connected("data")
    for _ in range(4):
        bench.outbox.put("data", "topic", Result("count/1", "t", 0, {}))
    sent = bench.outbox.take("data", 10)
    for message in sent:
        bench.outbox.acknowledge("data", message.key)

    (reply,) = _ask(bench, links, got, {"broker": "data", "boot": 1, "first": 2, "last": 3})
    assert bench.outbox.take("data", 10) == sent[1:3]
    assert (reply.payload["sent"], reply.payload["first"], reply.payload["last"]) == (2, 2, 3)
    assert reply.payload["kept_from"] == {"boot": 1, "number": 1}
    assert got == []


def test_more_requests_than_are_allowed_a_minute_are_refused_and_counted(links, got):
    """Whatever sender each names; records that are no requests come through, and so do requests a minute later."""
    now = [0.0]
    inbox = Inbox("m-1", "default", links, lambda *both: got.append(both), requests=Allowance(3, lambda: now[0]))
    for number in range(5):
        request = Request("r", f"m-{number + 2}", "m-1", "read", 0, 2**62, {})
        message = _message(record=request, device=f"m-{number + 2}")
        links["grid"].on_message(topics.requests("default", "m-1"), message, False)
    assert len(got) == 3
    assert inbox.report().refused == 2
    assert "at most 3 requests a minute" in inbox.report().last_error
    links["data"].on_message(RESULTS, _message(device="m-2", number=2), False)
    assert len(got) == 4
    now[0] = PERIOD
    links["grid"].on_message(topics.requests("default", "m-1"), message, False)
    assert len(got) == 5


def test_replay_that_makes_no_sense_is_answered_with_every_problem(bench, links, got):
    (reply,) = _ask(bench, links, got, {"broker": "other", "boot": True, "first": -1})
    assert [problem.where for problem in reply.problems] == [
        "arguments.broker", "arguments.boot", "arguments.first", "arguments.last",
    ]  # fmt: skip


def test_replay_asked_for_too_late_is_not_answered(bench, links, got):
    asked = {"broker": "data", "boot": 1, "first": 1, "last": 1}
    assert _ask(bench, links, got, asked, expires_ns=0) == []
