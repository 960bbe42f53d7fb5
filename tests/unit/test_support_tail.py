"""A log tail ends by itself and stays within its rate; what a meter gives in a day is the meter's to say."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest

from agent.config import AgentConfig
from agent.errors import CatalogError, ConfigError
from agent.settings_in_force import SettingsInForce
from agent.store import Store
from agent.support import desk as desks
from agent.support.desk import TAIL_A_DAY, SupportDesk
from agent.support.kept_log import KeptLog
from agent.support.scrubbing import Scrubber
from agent.support.tail import BURST, LogTail
from algorithms.api.errors import Problem
from device_catalog.contract.recordings import Received
from device_catalog.contract.support import LINES_AT_ONCE, LONGEST_LINE, LogLevel, LogWish, SupportWish
from device_catalog.fleet.domain import Guard
from device_catalog.fleet.fleet import Fleet
from device_catalog.storage.rows import DeviceRow
from device_catalog.support.lines import read_lines

BEGIN = datetime(2026, 11, 21, 10, tzinfo=UTC)


def wish(seconds=600.0, level=LogLevel.INFO, request="s-1"):
    return LogWish(request, level, BEGIN, BEGIN + timedelta(seconds=seconds))


def log_of(count, level=logging.INFO, kept=None):
    kept = kept or KeptLog(Scrubber())
    for number in range(count):
        kept.emit(logging.LogRecord("agent", level, "", 0, f"line {number}", (), None))
    return kept


def at(seconds):
    return int((BEGIN.timestamp() + seconds) * 1e9)


def test_a_tail_ends_by_the_steady_clock_whatever_the_other_says():
    tail = LogTail(wish(600), log_of(0), print, 1000.0)
    assert not tail.is_over(1599.0, at(-1e9), synchronised=False)
    assert tail.is_over(1600.0, at(-1e9), synchronised=False)
    assert not tail.is_over(1001.0, at(1e9), synchronised=False), "a clock that runs free counts for nothing"
    assert tail.is_over(1001.0, at(600), synchronised=True)
    assert LogTail(wish(1e9), log_of(0), print, 0.0).is_over(3600.0, at(0), synchronised=False)


def test_a_tail_tells_what_is_grave_enough_in_small_messages_and_never_more_than_its_rate():
    kept, said = log_of(30), []
    tail = LogTail(wish(level=LogLevel.WARNING), kept, said.append, 0.0)
    log_of(1000, logging.ERROR, kept)
    log_of(10, logging.INFO, kept)
    tail.advance(0.0)
    rows = [row for message in said for row in message["lines"]]
    assert len(rows) == BURST
    assert {row[2] for row in rows} == {"error"}
    assert max(len(message["lines"]) for message in said) == LINES_AT_ONCE
    assert said[-1]["dropped"] == 1000 - BURST
    assert rows[-1][3] == "line 999", "the newest are told"
    tail.advance(1.0)
    log_of(50, logging.ERROR, kept)
    tail.advance(2.0)
    assert len([row for message in said for row in message["lines"]]) == BURST + 20
    kept.emit(logging.LogRecord("agent", logging.ERROR, "", 0, "x" * 5000 + "\nmore", (), None))
    tail.advance(10.0)
    assert len(said[-1]["lines"][0][3]) == LONGEST_LINE
    tail.end()
    assert said[-1]["ended"]


class StandingClock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def now_ns(self):
        return at(self.now - 1000.0)


class SmallOutbox:
    def __init__(self):
        self.said, self.connected = [], True

    def lane(self, _broker):
        return self

    def put(self, broker, topic, record):
        self.said.append((broker, topic, record))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(desks, "TAIL_STEP", 0.0)
    one = SupportDesk(
        AgentConfig("m-1", "http://127.0.0.1:1", "swordfish", tmp_path), SmallOutbox(), StandingClock(), None, log_of(3)
    )
    one.told = one._outbox.said
    return one


async def turn(times=20):
    for _ in range(times):
        await asyncio.sleep(0)


def test_lines_go_to_a_topic_of_their_own_and_stop_when_nobody_wants_them(desk):
    async def story():
        desk.heed(SupportWish(logs=wish()), "default")
        await turn()
        broker, topic, record = desk.told[0]
        assert (broker, topic) == ("grid", "v1/default/meters/m-1/log")
        assert [row[3] for row in record.payload["lines"]][:3] == ["line 0", "line 1", "line 2"]
        desk.heed(None, "default")
        await turn()
        assert desk.told[-1][2].payload["ended"]
        before = len(desk.told)
        log_of(5, logging.ERROR, desk._kept)
        desk.heed(SupportWish(logs=wish()), "default")
        await turn()
        assert len(desk.told) == before, "what ended does not begin again"

    asyncio.run(story())


def test_a_meter_tells_its_log_for_so_long_a_day_and_no_longer(desk, caplog):
    async def story():
        for number in range(10):
            desk.heed(SupportWish(logs=wish(3600, request=f"s-{number}")), "default")
            await turn()
            desk._clock.now += 3600.0
            await turn()

    asyncio.run(story())
    begun = {record.payload["request"] for _, _, record in desk.told}
    assert len(begun) == TAIL_A_DAY / 3600
    assert "the log is not told" in caplog.text


def test_a_wish_that_no_catalog_makes_is_not_heeded(desk, caplog):
    async def story():
        forever = LogWish("s-1", LogLevel.INFO, BEGIN, BEGIN + timedelta(days=365))
        for one in (SupportWish(logs=forever), SupportWish(bundle="../../etc")):
            desk.heed(one, "default")
            await turn()

    asyncio.run(story())
    assert desk.told == []
    assert caplog.text.count("a wish for support is not heeded") == 2


def test_a_broker_that_is_away_keeps_lines_in_memory_only(desk):
    async def story():
        desk._outbox.connected = False
        desk.heed(SupportWish(logs=wish()), "default")
        await turn()
        assert desk.told == []
        desk._outbox.connected = True
        await turn()
        assert desk.told[0][2].payload["lines"]
        desk.heed(None, "default")
        await turn()

    asyncio.run(story())


class SmallCatalog:
    """Takes a bundle, and does not believe it; what it is told is kept."""

    def __init__(self, _config):
        SmallCatalog.told, SmallCatalog.parts = [], 0

    def announce(self, _request, label):
        SmallCatalog.told.append(label)
        return Received(0, complete=bool(label.failed))

    def hand_over(self, _request, _offset, _part):
        SmallCatalog.parts += 1
        raise CatalogError("another digest", status=422)

    def close(self):
        pass


def test_a_bundle_that_is_not_believed_is_told_as_failed_and_not_sent_for_ever(desk, monkeypatch):
    monkeypatch.setattr(desks, "SupportClient", SmallCatalog)

    async def story():
        for number in range(desks.BUNDLES_A_DAY + 1):
            (desk._making._folder).mkdir(exist_ok=True)
            (desk._making._folder / f"s-{number}.tar.gz").write_bytes(b"made before a restart")
            desk.heed(SupportWish(f"s-{number}"), "default")
            await desk._bundle_task
            assert SmallCatalog.parts == (1 if number < desks.BUNDLES_A_DAY else 0)
            assert SmallCatalog.told[-1].failed.startswith("expected")
            assert not list(desk._making._folder.glob("*.tar.gz*"))

    asyncio.run(story())
    assert "at most 6 bundles in a day" in SmallCatalog.told[0].failed


def test_a_wish_is_heeded_of_settings_that_are_refused_and_never_from_the_card(tmp_path):
    heeded = []
    document = {
        "schema": "desired/1",
        "device": "m-1",
        "tenant": "default",
        "revision": 3,
        "issued": "2026-11-21T10:00:00Z",
        "configuration": {},
        "support": {"bundle": "s-1"},
    }

    async def refuse(_desired, known):
        if not known:
            raise ConfigError([Problem("algorithms[0]", "one that starts", "none")])

    async def story():
        store = Store(tmp_path)
        settings = SettingsInForce(
            "m-1", store, StandingClock(), refuse, heed=lambda desired: heeded.append(desired.support)
        )
        store.keep_settings(json.dumps(document).encode())
        await settings.start_from_store()
        assert heeded == []
        await settings.take(json.dumps({**document, "revision": 4}).encode())
        assert settings.refused.revision == 4
        await settings.take(json.dumps({**document, "device": "m-2"}).encode())

    asyncio.run(story())
    assert heeded == [SupportWish("s-1")]


def test_a_wish_changes_the_tag_of_the_document_and_its_end_changes_it_back():
    told = []
    announcer = SimpleNamespace(notify=lambda *words: told.append(words), availability=lambda *_, **__: None)
    fleet = Fleet(announcer, Guard(share=0.1, minimum=50))
    device = fleet.hold(DeviceRow("m-1", "default", "meter", 7, 60.0, 195.0, None, 0, 0, False, b""))
    before = device.tag
    fleet.help("m-1", SupportWish("s-1"))
    asked = device.tag
    fleet.help("m-1", SupportWish("s-1"))
    fleet.help("m-1", SupportWish("s-1", wish()))
    assert len({before, asked, device.tag}) == 3
    fleet.help("m-1", SupportWish())
    assert (device.tag, fleet.support) == (before, {})
    assert len(told) == 3, "the device is told of each change once"


@pytest.mark.parametrize(
    "payload",
    [
        {"request": "s-1", "lines": "many"},
        {"request": "../x", "lines": []},
        {"request": "s-1", "lines": [[1, "2026-11-21T10:00:00Z", "loud", "x"]]},
        {"request": "s-1", "lines": [[-1, "2026-11-21T10:00:00Z", "info", "x"]]},
        {"request": "s-1", "lines": [[1, "yesterday", "info", "x"]]},
        {"request": "s-1", "lines": [[1, "2026-11-21T10:00:00Z", "info"]]},
    ],
)
def test_what_is_no_line_is_refused_by_the_catalog(payload):
    message = {
        "schema": "result/1", "device": "m-1", "boot": 1, "session": 1, "number": 1, "time": "2026-11-21T10:00:00Z",
        "content": "log/1", "terminal": "m-1", "payload": payload,
    }  # fmt: skip
    with pytest.raises(Exception, match="expected"):
        read_lines("v1/default/meters/m-1/log", msgspec.json.encode(message))
    right = {"request": "s-1", "lines": [[1, "2026-11-21T10:00:00Z", "info", "a\x1b[2Jb"]]}
    told = read_lines("v1/default/meters/m-1/log", msgspec.json.encode({**message, "payload": right}))
    assert told.lines[0].text == "a?[2Jb"
    with pytest.raises(Exception, match="expected lines of the device"):
        read_lines("v1/default/meters/m-2/log", msgspec.json.encode({**message, "payload": right}))
