"""The outbox on a real file, with time and disk in hand."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.delivery.messages import OutboxLimits
from agent.delivery.outbox import TOPICS, Outbox
from agent.delivery.spool import Spool
from agent.errors import SpoolError
from algorithms.api.records import Result
from algorithms.api.wire import decode
from device_catalog.contract.topics import BROKERS
from tests.support.outboxes import Bench

TOPIC = "v1/default/meters/m-1/results/count"


def _result(value=0, *, padding=0):
    return Result("count/1", "t", 0, {"value": value, "padding": "x" * padding})


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


def _numbers(messages):
    return [message.number for message in messages]


def _drain(bench, broker="data"):
    """Take and acknowledge everything, as a quick broker would."""
    bench.outbox.connected(broker)
    taken = []
    idle = 0
    while idle < 2:  # the first empty answer may only mean that the next part is being read
        messages = bench.outbox.take(broker, 50)
        bench.work()
        idle = 0 if messages else idle + 1
        taken += messages
        for message in messages:
            bench.outbox.acknowledge(broker, message.key)
    return taken


def test_stream_message_can_be_sent_before_anything_is_written(bench):
    bench.outbox.connected("data")
    bench.outbox.put("data", TOPIC, _result())

    assert _numbers(bench.outbox.take("data", 10)) == [1]
    assert bench.spool.commits == 0


def test_acknowledged_stream_costs_no_write(bench):
    bench.outbox.connected("data")
    for _ in range(500):
        bench.outbox.put("data", TOPIC, _result())
        for message in bench.outbox.take("data", 10):
            bench.outbox.acknowledge("data", message.key)
        bench.advance(0.02)

    assert bench.spool.commits == 0


def test_urgent_message_is_durable_before_it_is_sent(bench):
    bench.outbox.put("data", TOPIC, _result(), urgent=True)

    assert bench.outbox.take("data", 10) == []
    bench.work()
    assert _numbers(bench.outbox.take("data", 10)) == [1]
    assert bench.spool.durable == {("data", (1, 1))}


def test_urgent_message_of_one_broker_does_not_hold_up_the_other(bench):
    bench.outbox.put("grid", TOPIC, _result(), urgent=True)
    bench.outbox.put("data", TOPIC, _result())

    assert bench.outbox.take("grid", 10) == []
    assert _numbers(bench.outbox.take("data", 10)) == [2]


def test_stream_unacknowledged_for_250_ms_is_written(bench):
    bench.outbox.connected("data")
    bench.outbox.put("data", TOPIC, _result())
    bench.outbox.take("data", 10)
    bench.advance(0.24)
    assert bench.spool.durable == set()
    bench.advance(0.02)
    assert bench.spool.durable == {("data", (1, 1))}


def test_power_cut_takes_at_most_half_a_second_of_a_backlog(bench):
    for _ in range(200):
        bench.outbox.put("data", TOPIC, _result())
        bench.advance(0.02)
    bench.kill()
    bench.open()

    delivered = _numbers(_drain(bench))
    assert delivered == list(range(1, len(delivered) + 1))
    assert len(delivered) >= 200 - 25


def test_backlog_is_written_in_few_commits(bench):
    for _ in range(500):
        bench.outbox.put("data", TOPIC, _result())
        bench.advance(0.02)
    assert bench.spool.commits <= 10 / 0.4 + 1


def test_messages_of_the_boot_before_are_sent_first_under_their_own_numbers(bench):
    bench.outbox.put("data", TOPIC, _result(1), urgent=True)
    bench.advance(1)
    bench.kill()
    bench.open()
    bench.outbox.put("data", TOPIC, _result(2))

    assert [message.key for message in _drain(bench)] == [(1, 1), (2, 1)]
    assert bench.outbox.previous == (1, 1)


def test_boot_number_survives_the_loss_of_the_database(bench):
    for _ in range(3):
        bench.kill()
        bench.open()
    bench.kill()
    for path in bench.path.parent.glob("spool.db*"):
        if not path.name.endswith(".boot"):
            path.unlink()
    bench.open()
    assert bench.outbox.boot == 5


def test_boot_number_survives_the_loss_of_its_file(bench):
    bench.kill()
    bench.path.with_name("spool.db.boot").write_bytes(b"\xff\x00")
    bench.open()
    assert bench.outbox.boot == 2


def test_a_start_on_a_new_card_counts_from_the_clock_and_a_clock_set_back_from_the_card(tmp_path):
    for folder, least, expected in (("old", 100, 100), ("old", 50, 101), ("new", 200, 200), ("new", 199, 201)):
        (tmp_path / folder).mkdir(exist_ok=True)
        spool = Spool(tmp_path / folder / "spool.db", OutboxLimits())
        assert spool.open(BROKERS, least_boot=least).boot == expected
        spool.close()


def test_damaged_database_is_moved_aside_and_said(bench):
    bench.outbox.put("data", TOPIC, _result(), urgent=True)
    bench.work()
    bench.kill()
    bench.path.write_bytes(b"\x00garbage" * 4096)
    bench.open()

    assert bench.outbox.boot == 2
    assert "moved it to" in bench.outbox.report().notes[0]
    assert bench.path.with_name("spool.db.damaged").exists()
    bench.outbox.put("data", TOPIC, _result(), urgent=True)
    assert [message.key for message in _drain(bench)] == [(2, 1)]


def test_garbled_batch_is_dropped_and_reported_and_the_rest_arrives(bench):
    for _ in range(3):
        bench.outbox.put("data", TOPIC, _result(), urgent=True)
        bench.work()
    bench.kill()
    with closing(sqlite3.connect(bench.path)) as connection, connection:
        connection.execute("UPDATE urgent SET content=x'00ff' WHERE first=2")
    connection.close()
    bench.open()

    assert _numbers(_drain(bench)) == [1, 3]
    bench.advance(2)
    _, report = decode(_drain(bench)[-1].payload)
    assert report.content == "drop-report/1"
    assert report.payload["ranges"] == [
        {"broker": "data", "what": "dropped", "boot": 1, "first": 2, "last": 2, "count": 1}
    ]


def test_full_disk_lets_everything_go_on_from_memory(bench):
    bench.outbox.connected("data")
    bench.worker.failing = True
    bench.outbox.put("data", TOPIC, _result(), urgent=True)
    bench.work()

    assert _numbers(bench.outbox.take("data", 10)) == [1]
    report = bench.outbox.report()
    assert "disk is full" in report.problem
    assert report.undurable == 1


def test_disk_that_works_again_gets_what_is_unsettled(bench):
    bench.worker.failing = True
    bench.outbox.put("data", TOPIC, _result(), urgent=True)
    bench.advance(20)
    bench.worker.failing = False
    bench.advance(6)

    assert bench.spool.durable == {("data", (1, 1))}
    assert bench.outbox.report().problem == ""


def test_refused_message_is_set_aside_counted_and_reported(bench):
    bench.outbox.connected("data")
    bench.outbox.put("data", TOPIC, _result())
    bench.outbox.take("data", 1)
    bench.outbox.refuse("data", (1, 1), "Not authorized")
    bench.outbox.lose("data")

    assert bench.outbox.report().refused["data"] == 1
    bench.advance(2)
    (message,) = _drain(bench)
    _, report = decode(message.payload)
    assert report.payload["ranges"][0]["what"] == "refused"
    assert report.payload["reasons"] == {"data": "Not authorized"}


def test_what_was_in_flight_is_sent_again_first_and_unchanged(bench):
    bench.outbox.connected("data")
    for value in range(4):
        bench.outbox.put("data", TOPIC, _result(value))
    first = bench.outbox.take("data", 3)
    bench.outbox.acknowledge("data", first[0].key)
    bench.outbox.lose("data")

    again = _drain(bench)
    assert _numbers(again) == [2, 3, 4]
    assert again[:2] == first[1:]


def test_memory_is_bounded_and_streams_go_before_urgent_ones(make):
    bench = make(memory=20_000)
    bench.worker.failing = True
    for value in range(100):
        bench.outbox.put("data", TOPIC, _result(value, padding=500), urgent=value % 10 == 0)
        bench.work()

    lane = bench.outbox.lane("data")
    assert lane.memory <= 20_000
    bench.worker.failing = False
    bench.advance(70)
    delivered = _drain(bench)
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
        bench.outbox.put("data", TOPIC, _result(value, padding=300))
        if value % 10 == 0:
            bench.advance(0.5)
    assert bench.outbox.lane("data").memory <= 50_000

    assert _numbers(_drain(bench)) == list(range(1, 1001))
    assert bench.outbox.report().dropped["data"] == 0


def test_disk_is_bounded_and_what_is_dropped_is_reported(make):
    bench = make(memory=20_000, disk=60_000)
    for value in range(2000):
        bench.outbox.put("data", TOPIC, _result(value, padding=300), urgent=value % 100 == 0)
        if value % 10 == 0:
            bench.advance(0.5)
    assert bench.spool.size <= 62_000

    delivered = _drain(bench)
    bench.advance(70)
    delivered += _drain(bench)
    numbers = _numbers(delivered)
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
        bench.outbox.put("data", TOPIC, _result(value))
        bench.advance(0.5)
    assert bench.spool.size > 0
    _drain(bench)
    bench.advance(10)
    assert bench.spool.size == 0


def test_messages_sent_before_can_be_found_again(bench):
    bench.outbox.connected("data")
    for value in range(5):
        bench.outbox.put("data", TOPIC, _result(value), urgent=value == 0)
        bench.work()
    sent = _drain(bench)
    found = []
    bench.outbox.find("data", 1, 2, 4, found.extend)
    bench.work()
    assert found == sent[1:4]
    assert bench.outbox.repeat("data", found) == 3
    assert bench.outbox.take("data", 10) == found


def test_urgent_messages_of_earlier_boots_can_be_found_again(bench):
    bench.outbox.put("data", TOPIC, _result(7), urgent=True)
    sent = _drain(bench)
    bench.advance(10)
    bench.kill()
    bench.open()
    found = []
    bench.outbox.find("data", 1, 1, 10, found.extend)
    bench.work()
    assert found == sent


def test_kept_messages_age(bench):
    bench.outbox.put("data", TOPIC, _result(), urgent=True)
    _drain(bench)
    bench.advance(100_000)
    bench.outbox.put("data", TOPIC, _result(), urgent=True)
    _drain(bench)
    bench.advance(1)
    found = []
    bench.outbox.find("data", 1, 1, 1, found.extend)
    bench.work()
    assert found == []


def test_clock_set_by_years_drops_nothing(bench):
    bench.outbox.put("data", TOPIC, _result(), urgent=True)
    bench.outbox.put("data", TOPIC, _result())
    bench.advance(1)
    bench.outbox._utc_ns = lambda: 4_000_000_000_000_000_000
    bench.advance(700)
    bench.outbox.put("data", TOPIC, _result(), urgent=True)
    assert _numbers(_drain(bench)) == [1, 2, 3]


def test_number_that_cannot_be_written_is_not_used_up(bench):
    with pytest.raises(ValueError, match="finite"):
        bench.outbox.put("data", TOPIC, Result("count/1", "t", 0, {"value": float("nan")}))
    assert bench.outbox.put("data", TOPIC, _result()) == 1


def test_each_message_names_the_one_before_on_its_topic(bench):
    for topic in ("a", "b", "a", "b"):
        bench.outbox.put("data", topic, _result())
    headers = [decode(message.payload)[0] for message in _drain(bench)]
    assert [header.previous for header in headers] == [0, 0, 1, 2]


def test_topics_that_strangers_make_up_cost_no_memory_for_ever(bench):
    """Answers go where a request says: the topic unused for longest is forgotten, and 0 then means not known."""
    bench.outbox.put("data", TOPIC, _result())
    bench.outbox.put("grid", "v1/default/meters/lab/replies", _result())
    for number in range(TOPICS + 10):
        bench.outbox.put("data", f"{TOPIC}-{number}", _result())
        last = bench.outbox.put("data", TOPIC, _result())
    assert len(bench.outbox._on_topic) == TOPICS
    bench.outbox.put("data", TOPIC, _result())
    bench.outbox.put("grid", "v1/default/meters/lab/replies", _result())
    assert decode(_drain(bench)[-1].payload)[0].previous == last
    assert decode(_drain(bench, "grid")[-1].payload)[0].previous == 0


def test_closing_writes_what_is_not_settled(bench):
    bench.outbox.put("data", TOPIC, _result())
    bench.outbox.close()
    bench.open()
    assert [message.key for message in _drain(bench)] == [(1, 1)]


HOLDER = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); print(flush=True); input()"
)


def test_a_spool_that_another_process_uses_is_refused_and_not_kept_open(tmp_path):
    path = tmp_path / "spool.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        with closing(asyncio.new_event_loop()) as loop, pytest.raises(SpoolError, match="another process"):
            Outbox.open(path, device="m-1", loop=loop)
        holder.communicate(b"\n")
    links = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    assert not [link for link in links if link.is_relative_to(tmp_path)]
