"""Where a stream of blocks is cut into windows."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock, SampleFlag
from algorithms.builtin.sample_windows import SampleWindows, next_instant
from tests.support.three_phase import EPOCH_NS

CHANNELS = (Channel("ua", Quantity.VOLTAGE, Phase.A),)
RATE = 3200.0


def block(first, count, rate=RATE, *, late_ns=0, flags=SampleFlag.NONE, uncertainty=0.0):
    """Samples that tell their own number."""
    return SampleBlock(
        np.arange(first, first + count, dtype=float)[None],
        CHANNELS,
        rate,
        first,
        EPOCH_NS + round(first / rate * 1e9) + late_ns,
        uncertainty,
        flags,
    )


def cut(blocks, half=64, report_rate=50):
    """Return time, number of the middle sample, offset, flags and gap of every window."""
    windows = SampleWindows(1, half, report_rate)
    found = []
    for each in blocks:
        for window in windows.push(each):
            assert (np.diff(window.values[0]) == 1).all()
            found.append((window.time_ns, int(window.values[0, half]), window.offset, window.flags, window.after_gap))
    return found


@given(st.integers(0, 4_000_000_000), st.sampled_from([1, 3, 7, 10, 25, 30, 50, 60]))
def test_the_next_instant_is_the_first_one_of_its_second_not_before(time_ns, rate):
    instants = [second * 10**9 + round(k * 10**9 / rate) for second in range(5) for k in range(rate)]
    assert next_instant(time_ns, rate) == min(instant for instant in instants if instant >= time_ns)


@given(st.lists(st.integers(1, 700), min_size=1, max_size=12))
@example([96, 33])  # a window that just holds the first instant
def test_the_windows_do_not_depend_on_how_the_stream_is_cut_into_blocks(lengths):
    firsts = np.cumsum([0, *lengths])
    pieces = [block(int(a), int(b - a)) for a, b in pairwise(firsts)]
    in_pieces, whole = cut(pieces), cut([block(0, int(firsts[-1]))])
    assert [each[:2] + each[3:] for each in in_pieces] == [each[:2] + each[3:] for each in whole]
    assert [each[2] for each in in_pieces] == pytest.approx([each[2] for each in whole], abs=1e-9)


def test_middles_lie_within_half_a_sample_of_utc_instants_at_any_rate():
    rate = 3200.7316
    for time_ns, middle, offset, _, _ in cut([block(k * 100, 100, rate) for k in range(100)]):
        assert time_ns % 20_000_000 == 0
        assert abs(offset) <= 0.5 / rate + 1e-12
        assert (time_ns - EPOCH_NS) * 1e-9 == pytest.approx(middle / rate + offset, abs=2e-9)


def test_a_window_never_spans_a_gap_and_the_first_one_after_it_says_so():
    found = cut([block(0, 640), block(700, 640, flags=SampleFlag.LOST)])
    before = [each for each in found if each[1] < 640]
    after = [each for each in found if each[1] >= 640]
    assert before[-1][1] + 64 < 640
    assert after[0][1] - 64 >= 700
    assert [each[4] for each in found] == [False] * len(before) + [True] + [False] * (len(after) - 1)


def test_missing_samples_inside_a_block_are_a_gap():
    values = np.arange(1280, dtype=float)[None]
    values[0, 500:510] = np.nan
    found = cut([SampleBlock(values, CHANNELS, RATE, 0, EPOCH_NS, 0.0, SampleFlag.MISSING)])
    assert all(middle + 64 < 500 or middle - 64 >= 510 for _, middle, _, _, _ in found)
    assert [gap for *_, gap in found].count(True) == 1


@pytest.mark.parametrize("flag", [SampleFlag.RATE_CHANGED, SampleFlag.NONE])
def test_a_window_never_spans_a_change_of_rate_flagged_or_not(flag):
    second = replace(block(640, 640), sample_rate=RATE * 1.01, flags=flag)
    assert all(middle + 64 < 640 or middle - 64 >= 640 for _, middle, _, _, _ in cut([block(0, 640), second]))


def test_a_rate_corrected_by_parts_per_million_interrupts_nothing():
    whole = cut([block(0, 640), block(640, 640)])
    corrected = cut([block(0, 640), replace(block(640, 640), sample_rate=RATE * (1 + 5e-6))])
    assert [each[1] for each in corrected] == [each[1] for each in whole]


def test_a_step_of_the_clock_ends_a_stretch():
    found = cut([block(0, 640), block(640, 640, late_ns=50_000_000), block(1280, 640, late_ns=50_000_000)])
    assert all(middle + 64 < 640 or middle - 64 >= 640 for _, middle, _, _, _ in found)
    time_ns, middle, offset, _, _ = found[-1]
    assert (time_ns - EPOCH_NS) * 1e-9 == pytest.approx(middle / RATE + 0.05 + offset, abs=1e-9)


def test_jitter_of_uncertain_time_stamps_is_smoothed():
    """Stamps jitter by 100 us (1 sigma); instants stay within 40 us of the truth after some seconds."""
    rng = np.random.default_rng(4)
    blocks = [block(k * 64, 64, late_ns=round(1e5 * rng.normal()) if k else 0, uncertainty=1e-4) for k in range(1000)]
    late = [(time_ns - EPOCH_NS) * 1e-9 - (middle / RATE + offset) for time_ns, middle, offset, _, _ in cut(blocks)]
    assert np.std(late[200:]) < 2e-5
    assert np.max(np.abs(late)) < 1e-4


def test_flags_reach_every_window_that_touches_their_block_and_no_other():
    flags = [SampleFlag.CLIPPED if k == 10 else SampleFlag.NONE for k in range(20)]
    found = cut([block(k * 64, 64, flags=flag) for k, flag in enumerate(flags)])
    for _, middle, _, flag, _ in found:
        touches = middle + 64 >= 640 and middle - 64 < 704
        assert bool(flag & SampleFlag.CLIPPED) == touches
