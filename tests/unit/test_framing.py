"""Any stream of chunks becomes blocks on a steady grid: nothing invented, nothing repeated, nothing lost unsaid."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock, SampleFlag
from hardware.framing import Framer

CHANNELS = (Channel("ua", Quantity.VOLTAGE, Phase.A), Channel("ia", Quantity.CURRENT, Phase.A))


def framer(size: int, grid: int = 0, flags: SampleFlag = SampleFlag.NONE) -> Framer:
    return Framer(CHANNELS, 1000.0, size, lambda index: (index * 10**6, 1e-6), grid=grid, flags=flags)


def numbered(first: int, count: int) -> np.ndarray:
    return np.array([1.0, -1.0])[:, None] * np.arange(first, first + count)


@given(
    chunks=st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 3).map(lambda gap: 0 if gap < 3 else 25)), max_size=12
    ),
    size=st.integers(1, 17),
    grid=st.integers(-20, 20),
    first=st.integers(0, 50),
)
def test_blocks_hold_what_was_pushed_on_the_grid(
    chunks: list[tuple[int, int]], size: int, grid: int, first: int
) -> None:
    cutter = framer(size, grid)
    blocks: list[SampleBlock] = []
    pushed: list[int] = []
    index = first
    for count, gap in chunks:
        index += gap if pushed else 0
        blocks += cutter.push(numbered(index, count), index)
        pushed += range(index, index + count)
        index += count
    blocks += cutter.flush()
    found = [number for block in blocks for number in range(block.first_index, block.end_index)]
    assert found == pushed
    for block in blocks:
        np.testing.assert_array_equal(block.values, numbered(block.first_index, block.n_samples))
        assert block.time_ns == block.first_index * 10**6
        assert 1 <= block.n_samples <= size
        assert (block.first_index - grid) // size == (block.end_index - 1 - grid) // size, "within one cell of the grid"
        assert not block.values.flags.writeable
    for before, block in pairwise(blocks):
        assert (SampleFlag.LOST in block.flags) == (block.first_index != before.end_index)
        if block.first_index == before.end_index:
            assert (block.first_index - grid) % size == 0, "a block begins on the grid unless samples were lost"


def test_flags_go_to_every_block_that_holds_a_sample_of_their_chunk() -> None:
    cutter = framer(4, flags=SampleFlag.RATE_CHANGED)
    blocks = cutter.push(numbered(0, 6), 0)
    blocks += cutter.push(numbered(6, 4), 6, SampleFlag.CLIPPED)
    blocks += cutter.push(numbered(10, 6), 10)
    assert [block.flags for block in blocks] == [
        SampleFlag.RATE_CHANGED, SampleFlag.CLIPPED, SampleFlag.CLIPPED, SampleFlag.NONE,
    ]  # fmt: skip


def test_a_gap_ends_a_block_early() -> None:
    cutter = framer(4)
    assert cutter.push(numbered(0, 2), 0) == []
    (short,) = cutter.push(numbered(5, 2), 5)
    assert (short.first_index, short.n_samples) == (0, 2)
    (rest,) = cutter.push(numbered(7, 1), 7)
    assert (rest.first_index, rest.n_samples, rest.flags) == (5, 3, SampleFlag.LOST)
    assert cutter.next_index == 8


def test_a_whole_chunk_is_handed_on_without_a_copy() -> None:
    values = numbered(8, 4)
    (block,) = framer(4).push(values, 8)
    assert np.shares_memory(block.values, values)


def test_samples_that_come_twice_are_refused() -> None:
    cutter = framer(4)
    cutter.push(numbered(0, 6), 0)
    with pytest.raises(ValueError, match="sample 6 or a later one expected, found 5"):
        cutter.push(numbered(5, 2), 5)
    with pytest.raises(ValueError, match="a block of samples at a rate above 0"):
        framer(0)
