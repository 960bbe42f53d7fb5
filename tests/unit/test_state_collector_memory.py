"""However often meters tell, memory is bounded, each source has its own share of it, and nothing is lost unsaid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.algorithm import Context
from algorithms.api.network_area import area_of
from algorithms.api.network_reader import parse
from algorithms.api.records import Event
from algorithms.builtin.states.concentrator_state import ConcentratorState
from algorithms.builtin.states.state_averages import average, condense
from algorithms.builtin.states.state_collector import EARLY, FEWEST_EARLY, NUMBERS, Collector, Timing
from tests.support.metering import find_truth
from tests.support.state_chain import MINUTE, START_NS, Meters, document_of
from tests.support.state_grid import three_level_document

SECOND = 1_000_000_000
WIDTH = 20


def streamed(meters, interval, rate, sources=None):
    """Let meters tell `rate` times a second, over one interval; the values are their times [s]."""
    timing = Timing(interval * SECOND, 0, 10 * SECOND, 2 * SECOND, 3)
    collector = Collector([WIDTH] * meters, timing)
    start = START_NS // timing.interval * timing.interval
    collector.tick(start)
    largest = 0
    for number in range(round(interval * rate)):
        offset = round((number + 0.5) / rate * SECOND)
        collector.tick(start + offset)
        row = (offset / SECOND, 0.1) * (WIDTH // 2)
        for source in range(meters) if sources is None else sources:
            collector.put(source, start + offset, round(SECOND / rate), row)
        if number % 50 == 0:
            largest = max(largest, sum(len(kept.rows) for kept in collector._open[start // timing.interval].values()))
    collector.tick(start + timing.interval + 15 * SECOND)
    return next(iter(collector.ended())), largest, timing.interval


@pytest.mark.parametrize(("meters", "interval", "rate"), [(2, 60, 50), (40, 60, 10), (30, 900, 0.5)])
def test_a_stream_is_used_to_its_end_in_bounded_memory(meters, interval, rate):
    gathered, largest, length = streamed(meters, interval, rate)
    assert largest <= NUMBERS * 1.1
    assert "surplus" not in gathered.counts
    assert gathered.missing == ()
    for rows in gathered.rows:
        found = average(rows, float(length), np.full(WIDTH // 2, 0.1), np.arange(WIDTH // 2))
        assert found.values == pytest.approx(np.full(WIDTH // 2, interval / 2), rel=0.02)
        assert found.uncertainty == pytest.approx(np.full(WIDTH // 2, 0.1), rel=0.05)  # windows cover the interval


def test_a_meter_that_floods_takes_nothing_from_the_others():
    timing = Timing(MINUTE, 0, 10 * SECOND, 2 * SECOND, 3)
    collector = Collector([WIDTH] * 4, timing)
    collector.tick(START_NS)
    collector.tick(START_NS + 40 * SECOND)
    for number in range(60_000):
        collector.put(0, START_NS + number * 500_000, 0, (230.0, 0.1) * (WIDTH // 2))
    for source in (1, 2, 3):
        collector.put(source, START_NS + 35 * SECOND, 0, (230.0, 0.1) * (WIDTH // 2))
    collector.tick(START_NS + MINUTE + 15 * SECOND)
    gathered = next(iter(collector.ended()))
    assert gathered.missing == ()
    assert len(gathered.rows[0]) * (WIDTH + 2) <= NUMBERS
    assert dict(gathered.dropped) == {}


def test_how_often_a_source_tells_is_known_though_its_readings_were_condensed():
    timing = Timing(MINUTE, 0, 10 * SECOND, 2 * SECOND, 3)
    collector = Collector([WIDTH] * 200, timing)
    collector.tick(START_NS)
    for number in range(600):
        time_ns = START_NS + number * SECOND // 10
        collector.tick(time_ns)
        collector.put(0, time_ns, 0, (230.0, 0.1) * (WIDTH // 2))
    collector.tick(START_NS + MINUTE + 15 * SECOND)
    assert len(next(iter(collector.ended())).rows[0]) < 100
    assert collector.state()["sources"][0][1] == SECOND // 10


def test_what_waits_for_the_first_tick_is_shared_and_whose_was_dropped_is_told():
    meters = 100
    collector = Collector([2] * meters, Timing(MINUTE, 0, 2 * SECOND, 2 * SECOND, 3))
    for number in range(EARLY + 100):
        collector.put(0, START_NS + number, 0, (1.0, 0.1))
    for source in range(1, meters):
        collector.put(source, START_NS + SECOND, 0, (1.0, 0.1))
    collector.tick(START_NS + 2 * SECOND)
    collector.tick(START_NS + MINUTE + 15 * SECOND)
    gathered = next(iter(collector.ended()))
    assert gathered.missing == ()
    assert dict(gathered.dropped) == {0: EARLY + 100 - FEWEST_EARLY}
    assert gathered.counts["surplus"] == EARLY + 100 - FEWEST_EARLY


def test_an_event_names_the_meter_whose_readings_were_dropped():
    document = document_of(three_level_document(stations=1, concentrators=1, customers=2))
    whole = parse(document)
    model = parse(area_of(document, "c-s1-1"))
    frames = Meters(whole).read(find_truth(whole), START_NS)
    mine = [frames[one.id] for one in model.terminals if one.id in frames]
    plugin = ConcentratorState({})
    plugin.start(Context(device="d", network=model), None)
    told = []
    for number in range(2 * EARLY):
        told += plugin.process(_at(mine[0], START_NS + number))
    told += plugin.process(_at(mine[1], START_NS + SECOND))
    told += plugin.tick(START_NS + 2 * SECOND)
    told += plugin.tick(START_NS + MINUTE + 15 * SECOND)
    dropped = [one for one in told if isinstance(one, Event) and one.kind == "readings-dropped"]
    assert [one.evidence["names"] for one in dropped] == [[mine[0].terminal]]
    assert dropped[0].evidence["readings"] > 0


def _at(frame, time_ns):
    return type(frame)(**{name: getattr(frame, name) for name in frame.__struct_fields__} | {"time_ns": time_ns})


readings = st.lists(
    st.tuples(st.integers(0, 599), st.floats(-1e6, 1e6) | st.just(np.nan), st.floats(0, 1e4)),
    min_size=1,
    max_size=80,
    unique_by=lambda one: one[0],
)


@given(readings, st.integers(1, 80))
def test_condensing_at_once_or_in_two_steps_keeps_the_mean_of_each_part(found, split):
    table = np.array(sorted((1e8 * time, 0.0, value, u) for time, value, u in found))
    ones = np.ones(len(table))
    whole = condense(table, ones, 60e9, 20)
    first = condense(table[:split], ones[:split], 60e9, 20)
    rest = np.concatenate([first.rows, table[split:]]), np.concatenate([first.weights, ones[split:]])
    again = condense(*rest, 60e9, 20)
    assert whole.weights.sum() == again.weights.sum() == len(table)
    part = np.minimum((table[:, 0] * 20 / 60e9).astype(int), 19)
    for row, number in zip(whole.rows, np.unique(part), strict=True):
        mine = table[part == number]
        valid = mine[np.isfinite(mine[:, 2])]
        assert row[0] == pytest.approx(mine[:, 0].mean())
        if len(valid):
            assert row[2] == pytest.approx(valid[:, 2].mean(), rel=1e-9, abs=1e-6)
            assert row[3] == pytest.approx(np.sqrt((valid[:, 3] ** 2).mean()), rel=1e-9, abs=1e-150)
        else:
            assert np.isnan(row[2])
    assert again.rows[:, 0] == pytest.approx(whole.rows[:, 0])
