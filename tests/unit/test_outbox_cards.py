"""The outbox over restarts and power cuts, and on cards that are full, damaged or in use."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.delivery.messages import OutboxLimits
from agent.delivery.outbox import Outbox
from agent.delivery.spool import Spool
from agent.errors import SpoolError
from algorithms.api.wire import decode
from device_catalog.contract.topics import BROKERS
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


def test_power_cut_takes_at_most_half_a_second_of_a_backlog(bench):
    for _ in range(200):
        bench.outbox.put("data", TOPIC, result())
        bench.advance(0.02)
    bench.kill()
    bench.open()

    delivered = numbers_of(drain(bench))
    assert delivered == list(range(1, len(delivered) + 1))
    assert len(delivered) >= 200 - 25


def test_messages_of_the_boot_before_are_sent_first_under_their_own_numbers(bench):
    bench.outbox.put("data", TOPIC, result(1), urgent=True)
    bench.advance(1)
    bench.kill()
    bench.open()
    bench.outbox.put("data", TOPIC, result(2))

    assert [message.key for message in drain(bench)] == [(1, 1), (2, 1)]
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
    bench.outbox.put("data", TOPIC, result(), urgent=True)
    bench.work()
    bench.kill()
    bench.path.write_bytes(b"\x00garbage" * 4096)
    bench.open()

    assert bench.outbox.boot == 2
    assert "moved it to" in bench.outbox.report().notes[0]
    assert bench.path.with_name("spool.db.damaged").exists()
    bench.outbox.put("data", TOPIC, result(), urgent=True)
    assert [message.key for message in drain(bench)] == [(2, 1)]


def test_garbled_batch_is_dropped_and_reported_and_the_rest_arrives(bench):
    for _ in range(3):
        bench.outbox.put("data", TOPIC, result(), urgent=True)
        bench.work()
    bench.kill()
    with closing(sqlite3.connect(bench.path)) as connection, connection:
        connection.execute("UPDATE urgent SET content=x'00ff' WHERE first=2")
    connection.close()
    bench.open()

    assert numbers_of(drain(bench)) == [1, 3]
    bench.advance(2)
    _, report = decode(drain(bench)[-1].payload)
    assert report.content == "drop-report/1"
    assert report.payload["ranges"] == [
        {"broker": "data", "what": "dropped", "boot": 1, "first": 2, "last": 2, "count": 1}
    ]


def test_full_disk_lets_everything_go_on_from_memory(bench):
    bench.outbox.connected("data")
    bench.worker.failing = True
    bench.outbox.put("data", TOPIC, result(), urgent=True)
    bench.work()

    assert numbers_of(bench.outbox.take("data", 10)) == [1]
    report = bench.outbox.report()
    assert "disk is full" in report.problem
    assert report.undurable == 1


def test_disk_that_works_again_gets_what_is_unsettled(bench):
    bench.worker.failing = True
    bench.outbox.put("data", TOPIC, result(), urgent=True)
    bench.advance(20)
    bench.worker.failing = False
    bench.advance(6)

    assert bench.spool.durable == {("data", (1, 1))}
    assert bench.outbox.report().problem == ""


def test_closing_writes_what_is_not_settled(bench):
    bench.outbox.put("data", TOPIC, result())
    bench.outbox.close()
    bench.open()
    assert [message.key for message in drain(bench)] == [(1, 1)]


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
