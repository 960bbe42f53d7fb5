"""Outbox, links and real brokers that are killed, silent, refusing, or moved."""

import asyncio
import json
import random
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import pytest

from agent.delivery.broker import Link, LinkOptions
from agent.delivery.endpoints import Patience
from agent.delivery.inbox import Inbox
from agent.delivery.outbox import Outbox
from agent.delivery.replay import Replay
from algorithms.api.records import Kind, Request, Result
from device_catalog.contract import topics
from device_catalog.contract.documents import Neighbours
from device_catalog.contract.presence import Session
from tests.support.fronts import Front
from tests.support.listener import Listener
from tests.support.mosquitto import Mosquitto

TOPIC = topics.results("default", "m-1", "count/1")
PATIENCE = Patience(connect=3, shortest=0.05, longest=0.2, stable=60, comeback=0.3)


async def until(condition, what, within=10.0):
    """Wait on the event loop."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within:g} s"
        await asyncio.sleep(0.005)


class Station:
    """An outbox and two links."""

    def __init__(self, path, device="m-1", keepalive=15):
        self.outbox = Outbox.open(path / f"{device}.db", device=device, least_boot=1)
        options = LinkOptions(keepalive=keepalive, patience=PATIENCE)
        self.grid = Link("grid", self.outbox, device=device, birth=lambda: Session("online"), options=options)
        self.data = Link("data", self.outbox, device=device, options=options)

    def put(self, value=0, *, broker="data", urgent=False, topic=TOPIC, padding=0):
        record = Result("count/1", "t", 0, {"value": value, "padding": "x" * padding})
        return self.outbox.put(broker, topic, record, urgent=urgent)


@asynccontextmanager
async def station(path, grid=(), data=(), **options):
    one = Station(path, **options)
    one.grid.set_endpoints(tuple(grid))
    one.data.set_endpoints(tuple(data))
    one.grid.start()
    one.data.start()
    try:
        yield one
    finally:
        await asyncio.gather(one.grid.stop(), one.data.stop())
        one.outbox.close()


def test_broker_killed_and_back_gets_everything_in_order(tmp_path):
    async def run():
        with Mosquitto() as broker, Listener(broker.port) as before:
            async with station(tmp_path, data=[broker.url]) as one:
                await until(one.data.connected.is_set, "connecting")
                for value in range(200):
                    one.put(value, urgent=value % 20 == 0)
                    await asyncio.sleep(0)
                    if value == 100:
                        await until(lambda: before.heard, "the first message")
                        broker.kill()
                await until(lambda: not one.data.connected.is_set(), "noticing")
                first = list(before.keys)
                broker.start()
                after = Listener(broker.port)
                with after:
                    one.put(999, urgent=True)
                    await until(lambda: one.outbox.lane("data").pending == 0, "delivering everything")
                    acknowledged = one.outbox.report().acknowledged["data"]
                    assert acknowledged == 201
                    for heard in (first, before.keys[len(first) :], after.keys):
                        assert heard == sorted(heard)

    asyncio.run(run())


def test_long_absence_of_one_broker_does_not_touch_the_other(tmp_path):
    async def run():
        with Mosquitto() as grid, Mosquitto() as data, Listener(grid.port) as on_grid:
            async with station(tmp_path, grid=[grid.url], data=[data.url]) as one:
                await until(one.data.connected.is_set, "connecting")
                await until(one.grid.connected.is_set, "connecting")
                data.kill()
                for value in range(1500):
                    one.put(value, padding=200)
                    if value % 100 == 0:
                        one.put(value, broker="grid", urgent=True)
                        await asyncio.sleep(0.02)
                await until(lambda: len(on_grid.keys) == 15, "the grid broker's messages")
                assert one.outbox.lane("data").pending >= 1500
                await until(lambda: one.outbox.report().disk > 10_000, "writing the backlog")
                data.start()
                with Listener(data.port) as on_data:
                    await until(lambda: one.outbox.lane("data").pending == 0, "delivering the backlog")
                    await until(lambda: on_data.keys and on_data.keys[-1] == (1, 1515), "hearing the last")
                    assert on_data.keys == sorted(on_data.keys)

    asyncio.run(run())


def test_refused_publish_is_set_aside_and_others_go_on(tmp_path):
    async def run():
        acl = ["topic deny v1/default/forbidden", "topic readwrite #"]
        with Mosquitto(acl=acl) as broker, Listener(broker.port) as listener:
            async with station(tmp_path, data=[broker.url]) as one:
                refused = one.put(topic="v1/default/forbidden", urgent=True)
                allowed = one.put()
                await until(lambda: one.outbox.lane("data").pending == 0, "answers to both")
                report = one.data.report()
                assert (report.refused, report.pending) == (1, 0)
                assert "ot authorized" in report.last_error
                assert (1, allowed) in listener.keys
                assert (1, refused) not in listener.keys

    asyncio.run(run())


def test_message_the_broker_finds_too_large_is_set_aside(tmp_path):
    async def run():
        with Mosquitto(options=["max_packet_size 2000"]) as broker, Listener(broker.port) as listener:
            async with station(tmp_path, data=[broker.url]) as one:
                one.put(padding=5000)
                allowed = one.put()
                await until(lambda: (1, allowed) in listener.keys, "the message behind it")
                assert one.data.report().refused == 1

    asyncio.run(run())


def test_message_on_which_the_broker_hangs_up_does_not_stop_the_others_for_ever(tmp_path):
    async def run():
        with Mosquitto() as broker, Listener(broker.port) as listener:
            front = Front(broker.port)
            url = await front.start()
            front.poison = b"poison"
            async with station(tmp_path, data=[url]) as one:
                one.put(topic="v1/poison")
                allowed = one.put()
                await until(lambda: (1, allowed) in listener.keys, "the message behind it", within=20)
                assert one.data.report().refused == 1
            await front.stop()

    asyncio.run(run())


def test_broker_that_knows_no_mqtt_5_is_used_with_311(tmp_path):
    async def run():
        with Mosquitto() as broker, Listener(broker.port) as listener:
            front = Front(broker.port)
            front.only_311 = True
            url = await front.start()
            async with station(tmp_path, data=[url]) as one:
                number = one.put(urgent=True)
                await until(lambda: (1, number) in listener.keys, "the message")
            await front.stop()

    asyncio.run(run())


def test_half_open_connection_is_noticed_and_nothing_is_lost(tmp_path):
    async def run():
        with Mosquitto() as broker, Listener(broker.port) as listener:
            front = Front(broker.port)
            url = await front.start()
            async with station(tmp_path, data=[url], keepalive=2) as one:
                await until(one.data.connected.is_set, "connecting")
                front.silent = True
                number = one.put()
                await until(lambda: not one.data.connected.is_set(), "noticing the silence", within=6)
                front.silent = False
                await until(lambda: (1, number) in listener.keys, "the message")
            await front.stop()

    asyncio.run(run())


def test_next_endpoint_takes_over_and_the_preferred_one_is_returned_to(tmp_path):
    async def run():
        with Mosquitto() as first, Mosquitto() as second:
            async with station(tmp_path, data=[first.url, second.url]) as one:
                await until(lambda: one.data.report().endpoint == first.url and one.data.connected.is_set(), "first")
                first.kill()
                await until(lambda: one.data.report().endpoint == second.url and one.data.connected.is_set(), "second")
                first.start()
                await until(lambda: one.data.report().endpoint == first.url and one.data.connected.is_set(), "return")

    asyncio.run(run())


def test_endpoints_can_change_while_running(tmp_path):
    async def run():
        with Mosquitto() as old, Mosquitto() as new, Listener(new.port) as listener, Listener(old.port) as on_old:
            async with station(tmp_path, grid=[old.url]) as one:
                await until(lambda: on_old.heard, "birth on the old broker")
                one.grid.set_endpoints((new.url,))
                await until(lambda: on_old.heard[-1].fields["state"] == "offline", "goodbye on the old broker")
                number = one.put(broker="grid")
                await until(lambda: (1, number) in listener.keys, "the message on the new broker")
                with pytest.raises(ValueError, match="expected an endpoint"):
                    one.grid.set_endpoints(("http://nowhere",))
                assert one.grid.connected.is_set()

    asyncio.run(run())


def test_birth_and_will_carry_boot_and_session_and_a_late_will_ends_only_its_own_session(tmp_path):
    async def run():
        with Mosquitto() as broker, Listener(broker.port) as listener:
            front = Front(broker.port)
            url = await front.start()
            async with station(tmp_path, grid=[url], keepalive=2) as one:
                await until(one.grid.connected.is_set, "connecting")
                front.silent = True
                one.put(broker="grid")
                await until(lambda: not one.grid.connected.is_set(), "noticing", within=6)
                front.silent = False
                await until(
                    lambda: len([item for item in listener.heard if item.key[1] == 0]) >= 3, "birth, will, birth"
                )
                sessions = [item.fields for item in listener.heard if item.key[1] == 0]
                latest = max(sessions, key=lambda fields: (fields["boot"], fields["session"]))
                assert latest["state"] == "online"
                will = next(fields for fields in sessions if fields["state"] == "offline")
                assert (will["boot"], will["session"]) < (latest["boot"], latest["session"])
            await front.stop()
            await until(lambda: listener.heard[-1].fields.get("state") == "offline", "goodbye")

    asyncio.run(run())


def test_presence_is_retained(tmp_path):
    async def run():
        with Mosquitto() as broker:
            async with station(tmp_path, grid=[broker.url]) as one:
                await until(one.grid.connected.is_set, "connecting")
                with Listener(broker.port) as late:
                    await until(lambda: late.heard, "the retained birth")
                    assert late.heard[0].retained
                    assert late.heard[0].topic == topics.session("default", "m-1")
                    assert late.heard[0].fields["state"] == "online"

    asyncio.run(run())


def test_inbox_gets_neighbours_frames_once_and_missed_ones_on_request(tmp_path):
    async def run():
        with Mosquitto() as grid, Mosquitto() as data:
            endpoints = {"grid": [grid.url], "data": [data.url]}
            async with (
                station(tmp_path, **endpoints) as sender,
                station(tmp_path, device="c-1", **endpoints) as receiver,
            ):
                replay = Replay(sender.outbox, "m-1", "default")
                Inbox("m-1", "default", {"grid": sender.grid, "data": sender.data}, lambda *_: None).answer(
                    "replay", replay.answer
                )
                records, gaps = [], []
                inbox = Inbox(
                    "c-1", "default", {"grid": receiver.grid, "data": receiver.data},
                    lambda header, record: records.append((header, record)), on_gap=gaps.append,
                )  # fmt: skip
                sender_inbox = Inbox("m-1", "default", {"grid": sender.grid, "data": sender.data}, lambda *_: None)
                sender_inbox.answer("replay", replay.answer)
                sender_inbox.ask(())
                inbox.ask([Neighbours(Kind.RESULT, devices=("m-1",))])
                await until(sender.data.connected.is_set, "connecting")
                await until(receiver.data.connected.is_set, "connecting")
                await until(receiver.grid.connected.is_set, "connecting")
                await until(sender.grid.connected.is_set, "connecting")
                sender.put(0)
                await until(lambda: records, "the first record")
                inbox.ask(())
                receiver.put(broker="grid")  # its acknowledgement comes after the unsubscription
                await until(lambda: receiver.outbox.lane("grid").pending == 0, "a round trip")
                missed = sender.put(1)
                await until(lambda: sender.outbox.lane("data").pending == 0, "delivering")
                inbox.ask([Neighbours(Kind.RESULT, devices=("m-1",))])
                while len(records) < 2:
                    sender.put(2)
                    await asyncio.sleep(0.02)
                assert (gaps[0].first, gaps[0].last) <= (missed, missed) or gaps[0].last >= missed
                now = time.time_ns()
                request = Request(
                    "r-1", "c-1", "m-1", "replay", now, now + 10**10,
                    {"broker": "data", "boot": 1, "first": gaps[0].first, "last": gaps[0].last},
                )  # fmt: skip
                receiver.outbox.put("grid", topics.requests("default", "m-1"), request)
                await until(lambda: not inbox.missing(), "the replay")
                await until(lambda: any(type(record).__name__ == "Reply" for _, record in records), "the reply")
                keys = [(header.boot, header.number) for header, record in records if type(record).__name__ == "Result"]
                assert len(set(keys)) == len(keys)
                assert (1, missed) in keys

    asyncio.run(run())


def test_card_that_takes_no_more_is_said_and_costs_nothing_while_memory_lasts(tmp_path):
    with Mosquitto() as data:
        data.stop()
        order = {
            "spool": str(tmp_path / "spool.db"), "data": data.url, "rate": 300, "urgent_every": 9,
            "file_size": 96 * 1024, "settle": 20,
        }  # fmt: skip
        with subprocess.Popen(
            [sys.executable, "-m", "tests.support.publisher", json.dumps(order)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            bufsize=0,  # `communicate` knows nothing of lines that a buffer holds
        ) as process:  # fmt: skip
            lines = [process.stdout.readline() for _ in range(600)]
            data.start()
            rest, told = process.communicate(timeout=30)
        lines += rest.splitlines()
        report = json.loads(told)
        assert "kept in memory only" in report["problem"]
        assert report["pending"] == {"grid": 0, "data": 0}
        assert report["acknowledged"]["data"] == len(lines)


def test_publisher_killed_again_and_again_loses_nothing_urgent(tmp_path):
    """kill -9 at random moments; what was put half a second before, or was urgent and durable, arrives in order."""
    put = []
    chance = random.Random(7)
    with Mosquitto() as data, Listener(data.port) as listener:
        for attempt in range(5):
            last = attempt == 4
            order = {
                "spool": str(tmp_path / "spool.db"),
                "data": data.url,
                "rate": 200,
                "urgent_every": 7,
                "settle": 10,
            }
            with subprocess.Popen(
                [sys.executable, "-m", "tests.support.publisher", json.dumps(order)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            ) as process:  # fmt: skip
                process.stdout.readline()
                time.sleep(0.2 + chance.random())
                if attempt == 2:
                    data.kill()
                    time.sleep(1.0)
                if last:
                    process.stdin.close()
                else:
                    process.kill()
                ended = time.monotonic_ns()
                lines = process.stdout.read().splitlines()
                process.wait(timeout=20)
            put += [(*map(int, line.split()[1:]), ended) for line in lines]
            if attempt == 2:
                data.start()
                listener.wait()
        keys = listener.keys
        firsts = list(dict.fromkeys(keys))
        assert firsts == sorted(firsts)
        assert {key[0] for key in firsts} == {1, 2, 3, 4, 5}
        heard = set(firsts)
        for boot, number, _urgent, at, ended in put:
            if ended - at > 0.5e9 or boot == 5:
                assert (boot, number) in heard
