"""The outbox on a real file, with time in hand: what is sent when, what is written, what is kept and for how long."""

import pytest

from agent.delivery.messages import OutboxLimits
from agent.delivery.outbox import TOPICS
from algorithms.api.records import Result
from algorithms.api.wire import decode
from tests.support.outboxes import TOPIC, Bench, drain, numbers_of, result


@pytest.fixture
def make(tmp_path):
    benches = []

    def make(**limits):
        benches.append(Bench(tmp_path / "spool.db", OutboxLimits(**limits)))
        return benches[-1]

    yield make
    for bench in benches:
        bench.kill()


@pytest.fixture
def bench(make):
    return make()


def test_stream_message_can_be_sent_before_anything_is_written(bench):
    bench.outbox.connected("data")
    bench.outbox.put("data", TOPIC, result())

    assert numbers_of(bench.outbox.take("data", 10)) == [1]
    assert bench.spool.commits == 0


def test_acknowledged_stream_costs_no_write(bench):
    bench.outbox.connected("data")
    for _ in range(500):
        bench.outbox.put("data", TOPIC, result())
        for message in bench.outbox.take("data", 10):
            bench.outbox.acknowledge("data", message.key)
        bench.advance(0.02)

    assert bench.spool.commits == 0


def test_urgent_message_is_durable_before_it_is_sent(bench):
    bench.outbox.put("data", TOPIC, result(), urgent=True)

    assert bench.outbox.take("data", 10) == []
    bench.work()
    assert numbers_of(bench.outbox.take("data", 10)) == [1]
    assert bench.spool.durable == {("data", (1, 1))}


def test_urgent_message_of_one_broker_does_not_hold_up_the_other(bench):
    bench.outbox.put("grid", TOPIC, result(), urgent=True)
    bench.outbox.put("data", TOPIC, result())

    assert bench.outbox.take("grid", 10) == []
    assert numbers_of(bench.outbox.take("data", 10)) == [2]


def test_stream_unacknowledged_for_250_ms_is_written(bench):
    bench.outbox.connected("data")
    bench.outbox.put("data", TOPIC, result())
    bench.outbox.take("data", 10)
    bench.advance(0.24)
    assert bench.spool.durable == set()
    bench.advance(0.02)
    assert bench.spool.durable == {("data", (1, 1))}


def test_backlog_is_written_in_few_commits(bench):
    for _ in range(500):
        bench.outbox.put("data", TOPIC, result())
        bench.advance(0.02)
    assert bench.spool.commits <= 10 / 0.4 + 1


def test_refused_message_is_set_aside_counted_and_reported(bench):
    bench.outbox.connected("data")
    bench.outbox.put("data", TOPIC, result())
    bench.outbox.take("data", 1)
    bench.outbox.refuse("data", (1, 1), "Not authorized")
    bench.outbox.lose("data")

    assert bench.outbox.report().refused["data"] == 1
    bench.advance(2)
    (message,) = drain(bench)
    _, report = decode(message.payload)
    assert report.payload["ranges"][0]["what"] == "refused"
    assert report.payload["reasons"] == {"data": "Not authorized"}


def test_what_was_in_flight_is_sent_again_first_and_unchanged(bench):
    bench.outbox.connected("data")
    for value in range(4):
        bench.outbox.put("data", TOPIC, result(value))
    first = bench.outbox.take("data", 3)
    bench.outbox.acknowledge("data", first[0].key)
    bench.outbox.lose("data")

    again = drain(bench)
    assert numbers_of(again) == [2, 3, 4]
    assert again[:2] == first[1:]


def test_memory_is_bounded_and_streams_go_before_urgent_ones(make):
    bench = make(memory=20_000)
    bench.worker.failing = True
    for value in range(100):
        bench.outbox.put("data", TOPIC, result(value, padding=500), urgent=value % 10 == 0)
        bench.work()

    lane = bench.outbox.lane("data")
    assert lane.memory <= 20_000
    bench.worker.failing = False
    bench.advance(70)
    delivered = drain(bench)
    records = [decode(message.payload)[1] for message in delivered if message.urgent]
    assert [record.payload["value"] for record in records if record.content == "count/1"] == list(range(0, 100, 10))
    reported = sum(
        item["count"]
        for message in delivered
        if message.topic.endswith("drop-report")
        for item in decode(message.payload)[1].payload["ranges"]
    )
    assert reported + sum(message.topic == TOPIC for message in delivered) == 100


def test_long_backlog_lies_on_disk_and_comes_back_in_order(make):
    bench = make(memory=50_000)
    for value in range(1000):
        bench.outbox.put("data", TOPIC, result(value, padding=300))
        if value % 10 == 0:
            bench.advance(0.5)
    assert bench.outbox.lane("data").memory <= 50_000

    assert numbers_of(drain(bench)) == list(range(1, 1001))
    assert bench.outbox.report().dropped["data"] == 0


def test_disk_is_bounded_and_what_is_dropped_is_reported(make):
    bench = make(memory=20_000, disk=60_000)
    for value in range(2000):
        bench.outbox.put("data", TOPIC, result(value, padding=300), urgent=value % 100 == 0)
        if value % 10 == 0:
            bench.advance(0.5)
    assert bench.spool.size <= 62_000

    delivered = drain(bench)
    bench.advance(70)
    delivered += drain(bench)
    numbers = numbers_of(delivered)
    assert numbers == sorted(numbers)
    dropped = sum(
        item["count"]
        for message in delivered
        if message.topic.endswith("drop-report")
        for item in decode(message.payload)[1].payload["ranges"]
    )
    streams = [message for message in delivered if message.topic == TOPIC]
    assert dropped > 0
    assert dropped + len(streams) == 2000
    assert sum(message.urgent for message in streams) == 20


def test_space_of_what_was_delivered_is_given_back(bench):
    for value in range(100):
        bench.outbox.put("data", TOPIC, result(value))
        bench.advance(0.5)
    assert bench.spool.size > 0
    drain(bench)
    bench.advance(10)
    assert bench.spool.size == 0


def test_messages_sent_before_can_be_found_again(bench):
    bench.outbox.connected("data")
    for value in range(5):
        bench.outbox.put("data", TOPIC, result(value), urgent=value == 0)
        bench.work()
    sent = drain(bench)
    found = []
    bench.outbox.find("data", 1, 2, 4, found.extend)
    bench.work()
    assert found == sent[1:4]
    assert bench.outbox.repeat("data", found) == 3
    assert bench.outbox.take("data", 10) == found


def test_urgent_messages_of_earlier_boots_can_be_found_again(bench):
    bench.outbox.put("data", TOPIC, result(7), urgent=True)
    sent = drain(bench)
    bench.advance(10)
    bench.kill()
    bench.open()
    found = []
    bench.outbox.find("data", 1, 1, 10, found.extend)
    bench.work()
    assert found == sent


def test_kept_messages_age(bench):
    bench.outbox.put("data", TOPIC, result(), urgent=True)
    drain(bench)
    bench.advance(100_000)
    bench.outbox.put("data", TOPIC, result(), urgent=True)
    drain(bench)
    bench.advance(1)
    found = []
    bench.outbox.find("data", 1, 1, 1, found.extend)
    bench.work()
    assert found == []


def test_clock_set_by_years_drops_nothing(bench):
    bench.outbox.put("data", TOPIC, result(), urgent=True)
    bench.outbox.put("data", TOPIC, result())
    bench.advance(1)
    bench.outbox._utc_ns = lambda: 4_000_000_000_000_000_000
    bench.advance(700)
    bench.outbox.put("data", TOPIC, result(), urgent=True)
    assert numbers_of(drain(bench)) == [1, 2, 3]


def test_number_that_cannot_be_written_is_not_used_up(bench):
    with pytest.raises(ValueError, match="finite"):
        bench.outbox.put("data", TOPIC, Result("count/1", "t", 0, {"value": float("nan")}))
    assert bench.outbox.put("data", TOPIC, result()) == 1


def test_each_message_names_the_one_before_on_its_topic(bench):
    for topic in ("a", "b", "a", "b"):
        bench.outbox.put("data", topic, result())
    headers = [decode(message.payload)[0] for message in drain(bench)]
    assert [header.previous for header in headers] == [0, 0, 1, 2]


def test_topics_that_strangers_make_up_cost_no_memory_for_ever(bench):
    """Answers go where a request says: the topic unused for longest is forgotten, and 0 then means not known."""
    bench.outbox.put("data", TOPIC, result())
    bench.outbox.put("grid", "v1/default/meters/lab/replies", result())
    for number in range(TOPICS + 10):
        bench.outbox.put("data", f"{TOPIC}-{number}", result())
        last = bench.outbox.put("data", TOPIC, result())
    assert len(bench.outbox._on_topic) == TOPICS
    bench.outbox.put("data", TOPIC, result())
    bench.outbox.put("grid", "v1/default/meters/lab/replies", result())
    assert decode(drain(bench)[-1].payload)[0].previous == last
    assert decode(drain(bench, "grid")[-1].payload)[0].previous == 0
