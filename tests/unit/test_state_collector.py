"""Readings sorted into intervals: who is waited for, how long, and what is counted and not used."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.builtin.states.state_collector import EARLY, Collector, Timing

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_790_000_040 * SECOND
TIMING = Timing(interval=MINUTE, offset=0, deadline=2 * SECOND, tolerance=2 * SECOND, patience=3)


class Stage:
    """A collector with a clock: readings come when they are taken unless said otherwise."""

    def __init__(self, sources=2, timing=TIMING, restored=None):
        self.collector = Collector([2] * sources, timing)
        if restored is not None:
            self.collector.restore(restored["sources"], restored["closed"])
        self.ended = []
        self.at(0.0 if restored is None else 66.0)

    def at(self, seconds):
        self.collector.tick(START + round(seconds * SECOND))
        self.ended += self.collector.ended()
        return self

    def put(self, source, seconds, value=1.0, window=0.0, now=None):
        if now is None or now >= 0:
            self.at(seconds if now is None else now)
        self.collector.put(source, START + round(seconds * SECOND), round(window * SECOND), (value, 0.1))
        self.ended += self.collector.ended()
        return self

    def numbers(self):
        return [(one.start_ns - START) // MINUTE for one in self.ended]


def test_an_interval_ends_with_its_last_reading_once_it_is_known_how_often_sources_tell():
    stage = Stage()
    stage.put(0, 1).put(1, 5)
    assert stage.numbers() == []  # nobody knows how often they tell
    stage.put(0, 61).put(1, 65)
    assert stage.numbers() == [0, 1]
    stage.put(0, 121)
    assert stage.numbers() == [0, 1]
    stage.put(1, 125)
    assert stage.numbers() == [0, 1, 2]


def test_a_first_reading_that_covers_the_interval_is_enough():
    stage = Stage().put(0, 30, window=60.0).put(1, 30, window=60.0)
    assert stage.numbers() == [0]


def test_streams_end_an_interval_with_their_last_frame():
    stage = Stage(sources=1)
    for tenth in range(599):
        stage.put(0, 0.05 + tenth / 10)
    assert stage.numbers() == []
    stage.put(0, 59.95)
    assert stage.numbers() == [0]
    assert len(stage.ended[0].rows[0]) == 600


def test_a_stream_whose_last_frame_is_lost_ends_an_interval_with_the_next_one():
    stage = Stage(sources=1)
    for tenth in range(599):
        stage.put(0, 0.05 + tenth / 10)
    stage.put(0, 60.05)
    assert stage.numbers() == [0]
    assert len(stage.ended[0].rows[0]) == 599


def test_what_is_missing_is_waited_for_until_the_deadline():
    stage = Stage().put(0, 30, window=60.0).at(61.9)
    assert stage.numbers() == []
    stage.at(62.0)
    assert stage.numbers() == [0]
    assert stage.ended[0].missing == (1,)


def test_a_meter_read_once_a_minute_is_waited_for_only_until_it_was_due():
    stage = Stage()
    for minute in range(3):
        stage.put(0, 60 * minute + 1).put(1, 60 * minute + 5)
    stage.put(0, 181).at(186.9)
    assert stage.numbers() == [0, 1, 2]
    stage.at(187.1)
    assert stage.numbers() == [0, 1, 2, 3]
    assert stage.ended[3].missing == (1,)


def test_a_silent_source_is_given_up_and_waited_for_again_when_it_returns():
    stage = Stage()
    for minute in range(2):
        stage.put(0, 60 * minute + 1).put(1, 60 * minute + 5)
    for minute in range(2, 6):
        stage.put(0, 60 * minute + 1).at(60 * minute + 20)
    assert list(stage.collector.silent()) == [1]
    stage.put(0, 361)
    assert stage.numbers()[-1] == 6  # at once
    stage.put(1, 420.5)
    assert not list(stage.collector.silent())
    stage.put(0, 421)
    stage.put(0, 481)
    assert stage.numbers()[-1] == 7
    stage.put(1, 481.5)
    assert stage.numbers()[-1] == 8


def test_who_is_a_little_late_each_time_is_waited_for_again():
    stage = Stage()
    for minute in range(2):
        stage.put(0, 60 * minute + 1).put(1, 60 * minute + 5)
    for minute in range(2, 6):
        stage.put(0, 60 * minute + 1).at(60 * minute + 20)
    stage.put(0, 361)
    assert stage.numbers()[-1] == 6
    stage.put(1, 365)
    assert "late" in dict(stage.collector._counts)
    stage.put(0, 421)
    assert stage.numbers()[-1] == 6
    stage.put(1, 425)
    assert stage.numbers()[-1] == 7


def test_late_readings_are_counted_and_change_nothing():
    stage = Stage().put(0, 30, window=60.0).at(62.5)
    stage.put(1, 20, now=63).at(130)
    assert stage.ended[0].missing == (1,)
    assert stage.ended[1].counts["late"] == 1


def test_readings_from_the_future_are_refused_and_their_source_is_named():
    stage = Stage()
    for minute in range(3):
        stage.put(0, 60 * minute + 30, window=60.0, now=60 * minute + 59)
        stage.put(1, 60 * minute + 400, window=60.0, now=-1)
        stage.at(60 * minute + 63)
    assert [one.counts.get("future") for one in stage.ended] == [1, 1, 1]
    assert [dict(one.astray) for one in stage.ended[:2]] == [{}, {1: pytest.approx(-337, abs=1)}]


def test_a_reading_ahead_of_the_last_tick_waits_for_the_next_one():
    stage = Stage(sources=1).put(0, 10.0, window=120.0, now=0.0)
    assert stage.numbers() == []
    assert stage.at(10.1).numbers() == [0]


def test_what_waits_for_a_tick_is_bounded():
    stage = Stage(sources=1)
    for number in range(EARLY + 5):
        stage.put(0, 30 + number / 1000, now=-1)
    stage.at(33.0).at(62.0)
    assert stage.ended[0].counts["surplus"] == 5
    assert len(stage.ended[0].rows[0]) == EARLY


def test_a_clock_off_by_a_second_does_not_make_a_source_silent():
    stage = Stage()
    stage.put(0, 30).put(1, 59.5)
    stage.put(0, 90).put(1, 120.6, now=121.5).at(122.1)
    assert stage.numbers() == [0, 1]
    assert stage.ended[1].missing == ()  # the one just after the interval serves


def test_a_clock_set_back_begins_anew():
    stage = Stage(sources=1)
    for minute in range(100, 102):
        stage.put(0, 60 * minute + 30, window=60.0)
    stage.put(0, 30, window=60.0, now=31)
    assert stage.numbers() == [0, 100, 101, 0]


def test_hours_in_which_nobody_tells_anything_are_passed_over():
    stage = Stage().put(0, 30, window=60.0).at(70).at(7200)
    assert len(stage.ended) <= 3
    assert list(stage.collector.silent()) == [0, 1]
    stage.put(0, 7230, window=60.0)
    assert stage.numbers()[-1] == 120


def test_a_later_instance_goes_on_where_the_first_one_stopped():
    first = Stage()
    for minute in range(2):
        first.put(0, 60 * minute + 1).put(1, 60 * minute + 5)
    second = Stage(restored=first.collector.state())
    second.put(0, 1, now=66)
    assert second.numbers() == []  # told already
    second.put(0, 121).put(1, 125)
    assert second.numbers()[-1] == 2


readings = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 59_999), st.floats(-1e6, 1e6), st.integers(0, 60_000)),
    min_size=1,
    max_size=40,
    unique_by=lambda one: one[:2],
)


@given(readings, st.randoms(use_true_random=False))
def test_in_whatever_order_readings_come_before_an_interval_ends_it_is_the_same(found, chance):
    shuffled = list(found)
    chance.shuffle(shuffled)
    results = []
    for order in (found, shuffled):
        stage = Stage(sources=4)  # the fourth never tells, so that nothing ends before the deadline
        stage.at(61.0)
        for source, milliseconds, value, window in order:
            stage.put(source, milliseconds / 1000, value, window / 1000, now=-1)
        stage.at(63.0)
        results.append(stage.ended[0])
    for one, other in zip(results[0].rows, results[1].rows, strict=True):
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, other)
    assert results[0].missing == results[1].missing
    assert results[0].counts == results[1].counts


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-300, 600), st.integers(0, 300)), max_size=60))
def test_every_reading_is_used_once_or_counted(found):
    stage = Stage(sources=3, timing=Timing(MINUTE, 0, 2 * SECOND, 0, 3))
    now = 0
    for source, behind, pause in found:
        now += pause
        stage.put(source, now - behind + 0.5, now=now + 0.5)
    stage.at(now + 1000).at(now + 2000)
    used = sum(len(rows) for one in stage.ended for rows in one.rows if rows is not None)
    counted = sum(
        number for one in stage.ended for name, number in one.counts.items() if name in {"late", "future", "surplus"}
    )
    unbelieved = len(found) - used - counted
    assert 0 <= unbelieved <= sum(1 for _, behind, _ in found if not 0 <= behind <= 2)
