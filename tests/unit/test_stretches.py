"""Every sample stands in exactly one stretch, or is told to be missing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock, SampleFlag
from algorithms.builtin.stretches import Missing, Stretch, Stretches

CHANNEL = (Channel("ua", Quantity.VOLTAGE, Phase.A),)
RATE = 1000.0


def block(first, count, flags=SampleFlag.NONE):
    """Give samples whose values are their numbers."""
    values = np.arange(first, first + count, dtype=float)[None, :]
    return SampleBlock(values, CHANNEL, RATE, first, first * 1_000_000, flags=flags)


def collected(stretches, blocks):
    """Return what comes of blocks, the values copied."""
    found = []
    for item in blocks:
        found += [replace(part, values=part.values.copy()) if isinstance(part, Stretch) else part
                  for part in stretches.push(item)]  # fmt: skip
    return found


@given(st.lists(st.integers(1, 97), min_size=1, max_size=40))
def test_samples_come_once_and_in_order_whatever_the_blocks(sizes):
    stretches = Stretches(1, 10, 5)
    firsts = np.cumsum([0, *sizes])
    parts = collected(stretches, [block(int(first), size) for first, size in zip(firsts, sizes, strict=False)])
    values = np.concatenate([np.empty(0), *(part.values[0] for part in parts)])
    assert values.tolist() == list(range(len(values)))
    assert len(values) + stretches.waiting == sum(sizes)
    assert all(part.n_cycles == 5 and part.duration == 0.05 for part in parts)
    assert [part.end_ns for part in parts] == [(k + 1) * 50_000_000 for k in range(len(parts))]


def test_before_a_gap_whole_cycles_are_kept_and_the_rest_is_missing():
    stretches = Stretches(1, 10, 5)
    parts = collected(stretches, [block(0, 87), block(200, 50)])
    assert [type(part) for part in parts] == [Stretch, Stretch, Missing, Stretch]
    assert [part.end_ns // 1_000_000 for part in parts] == [50, 80, 200, 250]
    assert parts[1].values[0].tolist() == list(range(50, 80))
    assert parts[2].duration == pytest.approx(0.120)


def test_a_single_cycle_before_a_gap_is_missing_too():
    parts = collected(Stretches(1, 10, 5), [block(0, 19), block(100, 50)])
    assert parts[0] == Missing(pytest.approx(0.1), 100_000_000)


def test_missing_values_inside_a_block_are_a_gap():
    stretches = Stretches(1, 10, 5)
    values = np.arange(200.0)[None, :]
    values[0, 60:80] = np.nan
    parts = collected(stretches, [SampleBlock(values, CHANNEL, RATE, 0, 0, flags=SampleFlag.MISSING), block(200, 30)])
    assert [type(part).__name__ for part in parts] == ["Stretch", "Missing", "Stretch", "Stretch", "Stretch"]
    assert parts[1].duration == pytest.approx(0.030)
    assert np.isfinite(np.concatenate([part.values[0] for part in parts if isinstance(part, Stretch)])).all()
    assert sum(part.duration for part in parts) == pytest.approx(0.230)


def test_missing_values_at_the_end_of_a_block_end_the_stretch():
    values = np.arange(100.0)[None, :]
    values[0, 90:] = np.nan
    parts = collected(Stretches(1, 10, 5), [SampleBlock(values, CHANNEL, RATE, 0, 0, flags=SampleFlag.MISSING)])
    assert [(type(part).__name__, round(part.duration, 9)) for part in parts] == [
        ("Stretch", 0.05), ("Stretch", 0.04), ("Missing", 0.01),
    ]  # fmt: skip


def test_a_flag_stays_with_the_samples_it_was_said_of():
    parts = collected(Stretches(1, 10, 5), [block(0, 60, SampleFlag.CLIPPED), block(60, 100)])
    assert [bool(part.flags & SampleFlag.CLIPPED) for part in parts] == [True, True, False]


def test_a_source_that_counts_from_zero_again_is_told_apart_by_its_time():
    again = replace(block(0, 50), time_ns=3_000_000_000)
    parts = collected(Stretches(1, 10, 5), [block(500, 50), again])
    assert [type(part).__name__ for part in parts] == ["Stretch", "Missing", "Stretch"]
    assert parts[1].duration == pytest.approx(3.0 - 0.55)


def test_what_was_collected_can_be_asked_for():
    stretches = Stretches(1, 10, 5)
    assert collected(stretches, [block(0, 34)]) == []
    parts = list(stretches.flush())
    assert [(type(part).__name__, round(part.duration, 9), part.end_ns) for part in parts] == [
        ("Stretch", 0.03, 30_000_000), ("Missing", 0.004, 34_000_000),
    ]  # fmt: skip
