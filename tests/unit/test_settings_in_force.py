"""Documents are taken whole or not at all, kept once in force, and get another chance where the world failed."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from agent.errors import ConfigError
from agent.settings_in_force import SECOND_CHANCE, SettingsInForce
from agent.store import Store
from algorithms.api.errors import Problem
from device_catalog.contract.documents import Brokers, Configuration, Desired


class Clock:
    """Stands still until moved."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


class Bench:
    """Settings over a folder; what they ask to bring about is remembered, or refused."""

    def __init__(self, folder):
        self.store, self.clock = Store(folder), Clock()
        self.brought = []
        self.refusal = None
        self.settings = SettingsInForce("m-1", self.store, self.clock, self.bring_about)

    async def bring_about(self, desired, known):
        if self.refusal is not None:
            raise ConfigError([self.refusal])
        self.brought.append((desired.revision, known))

    def take(self, document):
        asyncio.run(self.settings.take(document))


def document(revision, device="m-1"):
    brokers = Brokers(grid=("mqtt://grid",), data=("mqtt://data",))
    desired = Desired(device, "default", revision, datetime(2026, 1, 1, tzinfo=UTC), Configuration(brokers=brokers))
    return msgspec.json.encode(desired)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_what_is_in_force_is_kept_and_is_what_the_next_start_begins_with(bench, tmp_path):
    bench.take(document(3))
    assert (bench.settings.applied, bench.brought) == (3, [(3, False)])
    again = Bench(tmp_path)
    asyncio.run(again.settings.start_from_store())
    assert (again.settings.applied, again.brought) == (3, [(3, True)])


@pytest.mark.parametrize(
    ("wrong", "revision", "word"),
    [
        (b"{", 0, "expected"),
        (document(9, device="m-2"), 9, "another device's"),
        (document(2), 2, "revisions only grow"),
    ],
)
def test_what_is_not_for_this_device_now_is_refused_and_changes_nothing(bench, wrong, revision, word):
    bench.take(document(3))
    bench.take(wrong)
    assert bench.settings.applied == 3
    assert bench.settings.refused.revision == revision
    assert word in str(bench.settings.refused.problems[0])
    assert bench.settings.second_chance() is None
    assert bench.store.settings() == document(3)
    bench.take(document(4))
    assert bench.settings.refused is None


def test_what_the_world_prevented_is_tried_again_after_a_minute_and_said_once(bench, caplog):
    bench.take(document(3))
    bench.refusal = Problem("acquisition", "a board", "none")
    bench.take(document(4))
    assert bench.settings.second_chance() is None
    bench.clock.now += SECOND_CHANCE
    again = bench.settings.second_chance()
    assert again == document(4)
    bench.take(again)
    assert bench.settings.second_chance() is None
    assert caplog.text.count("revision 4 is refused") == 1
    bench.refusal = None
    bench.clock.now += SECOND_CHANCE
    bench.take(bench.settings.second_chance())
    assert (bench.settings.applied, bench.settings.refused) == (4, None)


def test_a_card_that_cannot_be_written_does_not_undo_what_is_in_force(bench, tmp_path, caplog):
    (tmp_path / "settings").mkdir()
    bench.take(document(3))
    assert bench.settings.applied == 3
    assert "could not be kept" in caplog.text
    (problem,) = bench.settings.problems()
    assert problem.startswith("revision 3 could not be kept for the next start: ")


def test_what_could_not_be_kept_is_tried_again_and_then_no_problem_any_more(bench, tmp_path, caplog):
    (tmp_path / "settings").mkdir()
    bench.take(document(3))
    for _ in range(2):
        assert bench.settings.second_chance() is None
    assert caplog.text.count("could not be kept") == 1
    (tmp_path / "settings").rmdir()
    assert bench.settings.second_chance() is None
    assert bench.settings.problems() == []
    assert Store(tmp_path).settings() == document(3)
