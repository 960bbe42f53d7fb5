"""What is kept of what is heard: each record once, late ones too, within limits, and what is not kept is counted."""

import asyncio
import random

import msgspec
import pytest

from algorithms.api.readings import ChannelReading
from algorithms.api.records import Event, Reply, Result, Severity
from algorithms.api.wire import time_text
from device_catalog.contract import topics
from device_catalog.errors import HistoryUnknown
from device_catalog.history.arrival import Content
from device_catalog.history.codec import unpack
from device_catalog.history.keeper import Keeper
from device_catalog.history.questions import History, Range
from device_catalog.history.room import Limits
from device_catalog.history.store import MINUTES, RAW, Block, HistoryStore
from device_catalog.history.stretches import SETTLED
from device_catalog.storage.database import open_engine
from tests.support.history import SECOND, Speaker, frames
from tests.support.postgresql import PostgreSQL

NOW = 1_800_000_000 * SECOND
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND


class Clocks:
    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    def wall(self):
        return NOW + int(self.seconds * SECOND)


class Silent(Speaker):
    """Writes messages and says them to nobody."""

    def __init__(self, device="m-1", boot=1):
        self.device, self.boot, self._tenant = device, boot, "default"
        self.number, self._before = 0, {}


class World:
    def __init__(self, folder, url="", **limits):
        self.engine = open_engine(url or f"sqlite:///{folder / 'history.db'}")
        self.store = HistoryStore(self.engine)
        self.store.prepare()
        self.clocks = Clocks()
        days = dict.fromkeys(Content, 30.0)
        self.limits = Limits(
            {**days, **limits.get("days", {})}, limits.get("minutes", 400.0), limits.get("budget", 2**30)
        )
        self.keeper = self.opened()

    def opened(self):
        return Keeper(self.store, self.limits, self.clocks.monotonic, self.clocks.wall)

    def hear(self, messages):
        taken = [self.keeper.take(topic, payload) for topic, payload in messages]
        self.keeper.commit()
        return taken

    def settle(self):
        self.clocks.seconds += SETTLED + 1
        while self.keeper.tend(10.0):
            pass

    def records(self, content=Content.FRAMES, device="m-1", first=0, last=2 * NOW, **asked):
        return History(self.store).page_now("", device, content, Range(first, last, limit=10_000, **asked))


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.store.close()


def test_records_are_the_same_before_and_after_they_are_packed(world):
    said = frames(NOW - 10 * MINUTE, 300)
    world.hear(Silent().messages(said))
    before = world.records()
    world.settle()
    assert world.store.unsettled() == [] or all(level == MINUTES for _, level, _, _ in world.store.unsettled())
    assert world.records() == before
    assert len(before.records) == 300
    assert before.records[7].record["voltage"]["A"][0] == pytest.approx(said[7].voltage["A"].magnitude)
    assert world.store.counts()["kept"] == 300


def test_a_message_that_comes_again_is_kept_once_whenever_it_comes(world):
    messages = list(Silent().messages(frames(NOW - 10 * MINUTE, 90)))
    world.hear(messages)
    world.hear(messages[:30])
    world.settle()
    world.hear(messages[:20])
    world.settle()
    assert len(world.records().records) == 90
    assert world.store.counts()["kept"] == 90
    assert world.store.counts()["duplicate"] == 50


def test_records_that_come_late_find_their_minute_and_its_sums(world):
    messages = list(Silent().messages(frames(NOW - 10 * MINUTE, 60)))
    world.hear(messages[:20] + messages[40:])
    world.settle()
    before = world.records(step=60).steps
    world.hear(messages[20:40])
    at_once = world.records(step=60).steps
    world.settle()
    after = world.records(step=60).steps
    assert [step.records for step in before] == [40]
    assert [step.records for step in at_once] == [60]
    assert after == at_once
    assert world.store.unsettled() == [] or len(world.records().records) == 60


def test_whatever_is_no_record_of_ours_is_counted_and_harms_nothing(world):
    speaker = Silent()
    ((topic, good),) = speaker.messages(frames(NOW - MINUTE, 1))
    (reply,) = (
        (topics.frames("default", "m-1"), payload) for _, payload in speaker.messages([Reply("1", "m-1", "m-2", NOW)])
    )
    (ahead,) = speaker.messages(frames(NOW + 3 * DAY, 1))
    (old,) = speaker.messages(frames(NOW - 31 * DAY, 1))
    for message in (
        (topic, b""),
        (topic, b"{" * 100_000),
        (topic, b"\xff\xfe"),
        (topic, good[:-5]),
        (topic, good.replace(b'"voltage":{', b'"voltage":7,"x":{')),
        (topic, good + b" " * 300_000),
        (topic.replace("m-1", "m-2"), good),
        (topics.events("default", "m-1"), good),
        ("v1", good),
        ("", good),
        reply,
        ahead,
        old,
    ):
        assert world.keeper.take(*message) is None
    world.hear([(topic, good)])
    counts = world.store.counts()
    assert counts == {"malformed": 6, "misplaced": 5, "future": 1, "outdated": 1, "kept": 1}


def test_a_message_that_names_one_that_never_came_is_a_gap(world):
    messages = list(Silent().messages(frames(NOW - 5 * MINUTE, 30)))
    world.hear(messages[:10] + messages[13:])
    world.hear(Silent(boot=2).messages(frames(NOW - MINUTE, 3)))
    assert world.store.counts()["gaps"] == 1


def test_a_keeper_that_was_killed_goes_on_with_what_was_committed(world):
    messages = list(Silent().messages(frames(NOW - 10 * MINUTE, 120)))
    world.hear(messages[:70])
    for message in messages[70:90]:
        world.keeper.take(*message)  # taken, and never committed: the broker says them again
    world.keeper = world.opened()
    assert world.keeper.pending == 2
    world.hear(messages[70:])
    world.settle()
    assert len(world.records().records) == 120


def test_each_class_goes_at_its_own_age_and_what_goes_is_counted(tmp_path):
    world = World(tmp_path, days={Content.FRAMES: 1.0})
    speaker = Silent()
    world.hear(speaker.messages(frames(NOW - 2 * 3600 * SECOND, 120)))
    event = Event("voltage-dip", "T1", NOW - 3600 * SECOND, None, Severity.WARNING)
    energy = Result("energy/1", "T1", NOW - 3600 * SECOND, {"active_import": 5.0}, True)
    world.hear(speaker.messages([event, energy]))
    world.settle()
    world.clocks.seconds += 2 * 86_400
    world.settle()
    assert world.records().records == ()
    assert [step.records for step in world.records(step=60).steps] == [60, 60]
    assert len(world.records(Content.EVENTS).records) == len(world.records(Content.ENERGY).records) == 1
    assert world.store.counts()["expired.frames"] == 120
    world.store.close()


def noisy(first_ns, count):
    """Give frames whose digits nothing packs."""
    chance = random.Random(first_ns)

    def reading(size):
        return ChannelReading(*(size * chance.uniform(0.9, 1.1) for _ in range(6)))

    return [
        msgspec.structs.replace(
            one, voltage={phase: reading(230.0) for phase in "ABC"}, current={phase: reading(5.0) for phase in "ABC"}
        )
        for one in frames(first_ns, count)
    ]


def test_room_that_is_used_up_is_made_at_the_oldest_frames_and_the_sums_stay(tmp_path):
    budget, rounds, count = 450_000, 8, 160
    world = World(tmp_path, budget=budget)
    for hour in range(rounds):
        for device in range(2):
            world.hear(Silent(f"m-{device}").messages(noisy(NOW - (20 - hour) * 3600 * SECOND, count)))
        world.settle()
        assert world.store.used() <= budget
    counts = world.store.counts()
    left = [world.records(device=f"m-{device}").records for device in range(2)]
    assert counts["no_room.frames"] > 0
    assert min(map(len, left)) > 0
    assert sum(map(len, left)) + counts["no_room.frames"] == counts["kept"] == rounds * 2 * count
    newest = time_text(NOW - (20 - rounds + 1) * 3600 * SECOND + (count - 1) * SECOND)
    assert [records[-1].time for records in left] == [newest, newest]
    assert all(len(world.records(device=f"m-{device}", step=3600).steps) == rounds for device in range(2))
    world.store.close()


def test_a_late_record_of_a_minute_whose_block_is_gone_does_not_replace_its_sums(tmp_path):
    world = World(tmp_path)
    messages = list(Silent().messages(frames(NOW - 10 * 3600 * SECOND, 61)))
    world.hear(messages[:-1])
    world.settle()
    world.clocks.seconds += 3600
    world.settle()  # the hour of sums is packed as well
    world.store.drop_before((Content.FRAMES,), RAW, 2**62, 100)
    (again,) = Silent(boot=9).messages(frames(NOW - 10 * 3600 * SECOND, 1, voltage=999.0))
    world.hear([again])
    world.settle()
    steps = world.records(step=60).steps
    assert steps[0].records == 60
    assert steps[0].values["voltage.A.rms"].maximum < 300.0
    world.store.close()


def test_blocks_hold_a_minute_of_frames_and_an_hour_of_what_is_seldom(world):
    speaker = Silent()
    world.hear(speaker.messages(frames(NOW - 30 * MINUTE, 180)))
    world.hear(
        speaker.messages([Result("energy/1", "T1", NOW - k * 15 * MINUTE, {"p": 1.0}, True) for k in range(5, 9)])
    )
    world.clocks.seconds += 3600
    world.settle()
    numbers = {series.content: number for number, series in world.store.series_of("m-1").items()}
    blocks = {content: world.store.starts(number, RAW, 0, 2 * NOW, 100) for content, number in numbers.items()}
    assert [
        len(unpack(world.store.block(numbers[Content.FRAMES], RAW, start))) for start in blocks[Content.FRAMES]
    ] == [60, 60, 60]
    assert (
        sum(len(unpack(world.store.block(numbers[Content.ENERGY], RAW, start))) for start in blocks[Content.ENERGY])
        == 4
    )
    assert len(blocks[Content.ENERGY]) <= 2


def test_a_history_that_nobody_keeps_is_said_to_be_none_and_not_made(tmp_path):
    history = History(HistoryStore(open_engine(f"sqlite:///{tmp_path / 'history.db'}")))
    with pytest.raises(HistoryUnknown, match="tresma-catalog history"):
        history.page_now("", "m-1", Content.FRAMES, Range(0, NOW))
    assert not asyncio.run(history.status()).kept
    history.close()
    assert list(tmp_path.iterdir()) == []


def absurd(messages):
    """Give each message a frequency that no meter measures."""
    for topic, payload in messages:
        document = msgspec.json.decode(payload)
        document["frequency"] = [1e308, 1.0]
        yield topic, msgspec.json.encode(document)


def test_a_number_that_nothing_measures_is_not_kept_and_harms_nobody(world):
    world.hear(absurd(Silent("m-2").messages(frames(NOW - 10 * MINUTE, 3))))
    world.hear(Silent().messages(frames(NOW - 10 * MINUTE, 60)))
    world.settle()
    assert world.store.counts() == {"absurd": 3, "kept": 60}
    assert len(world.records(step=60).steps) == 1


def test_what_an_older_history_kept_of_such_numbers_is_packed_and_counts_nowhere(world):
    world.hear(Silent().messages(frames(NOW - 10 * MINUTE, 3)))
    (number,) = world.store.series_of("m-1")
    kept = world.store.rows(number, RAW, 0, NOW, 10)
    payloads = [payload for _, payload in absurd(("", row.document) for row in kept)]
    rows = [row._replace(number=10 + row.number, document=payload) for row, payload in zip(kept, payloads, strict=True)]
    world.store.add(rows, {})
    world.settle()
    assert len(world.records().records) == 6
    (step,) = world.records(step=60, fields=("frequency",)).steps
    assert step.values["frequency"].count == 3


def test_a_stretch_that_cannot_be_packed_is_set_aside_and_the_others_are(world, caplog):
    world.hear(Silent("m-0").messages(frames(NOW - 10 * MINUTE, 3)))
    (number,) = world.store.series_of("m-0")
    world.store.settle(Block(number, RAW, NOW - 10 * MINUTE, 1, 4, b"torn"), [], 0, {})
    world.hear(Silent().messages(frames(NOW - 10 * MINUTE, 3)))
    world.settle()
    world.hear([])
    assert world.store.counts()["set_aside"] == 1
    assert "m-0" in caplog.text
    (other,) = world.store.series_of("m-1")
    assert world.store.loose(other) == 0
    assert world.store.loose(number) == 3


def test_room_is_taken_first_from_the_device_that_has_most_of_it(tmp_path):
    world = World(tmp_path, budget=2_000_000)
    for device in ("good-1", "good-2"):
        world.hear(Silent(device).messages(noisy(NOW - 3000 * SECOND, 300)))
    world.settle()
    chance, loud = random.Random(1), Silent("loud")
    for number in range(40):
        values = {"v": chance.randbytes(50_000).hex()}
        world.hear(loud.messages([Result("x/1", "t", NOW - 600 * SECOND + number * SECOND, values)]))
        if number % 5 == 4:
            world.clocks.seconds += 31
            world.keeper.tend(5.0)
    assert world.store.used() <= 2_000_000
    assert [len(world.records(device=device).records) for device in ("good-1", "good-2")] == [300, 300]
    assert set(world.store.counts()) >= {"no_room.results"}
    assert "no_room.frames" not in world.store.counts()
    world.store.close()


def test_one_device_has_a_limited_number_of_names(world, monkeypatch):
    monkeypatch.setattr("device_catalog.history.keeper.NAMES", 5)
    speaker = Silent()
    named = [Result(f"x{number}/1", "t", NOW - MINUTE, {}) for number in range(8)]
    taken = [world.keeper.take(*message) is not None for message in speaker.messages(named)]
    assert taken == [True] * 5 + [False] * 3
    assert world.keeper.take(*next(iter(Silent("m-2").messages(named[-1:])))) is not None
    world.keeper.commit()
    assert world.store.counts() == {"kept": 6, "crowded": 3}


def test_a_stretch_of_time_holds_so_much_of_one_series_and_no_more(world, monkeypatch):
    monkeypatch.setattr("device_catalog.history.keeper.STRETCH_RECORDS", 20)
    messages = list(Silent().messages(frames(NOW - 10 * MINUTE, 60)))
    for topic, payload in messages[:15]:
        world.keeper.take(topic, payload)
    world.keeper.let_go()  # what is said again counts once
    world.hear(messages)
    assert world.store.counts() == {"kept": 20, "overfull": 40}


@pytest.mark.slow
def test_over_postgresql_it_is_the_same(tmp_path):
    with PostgreSQL() as server:
        world = World(tmp_path, server.url)
        messages = list(Silent().messages(frames(NOW - 10 * MINUTE, 150)))
        world.hear(messages[:100] + messages[:20])
        assert world.store.counts() == {"kept": 100, "duplicate": 20}
        before = world.records(), world.records(step=60)
        world.settle()
        assert (world.records(), world.records(step=60)) == before
        world.hear(messages[50:])
        world.settle()
        world.clocks.seconds += 3600
        world.settle()
        assert world.store.counts() == {"kept": 150, "duplicate": 70}
        assert [len(world.records().records), world.store.unsettled()] == [150, []]
        assert sum(step.records for step in world.records(step=60).steps) == 150
        assert 0 < world.store.used() < world.store.disk()
        world.clocks.seconds += 31 * 86_400
        world.settle()
        assert world.store.counts()["expired.frames"] == 150
        assert len(world.records(step=60).steps) == 3
        world.store.close()
