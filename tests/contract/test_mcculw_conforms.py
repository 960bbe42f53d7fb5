"""Boards on Windows, through the unmodified wheel over an imagined library, on a clock that a test holds."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.samples import SampleBlock, SampleFlag
from hardware.errors import SourceAway, SourceError, SourceLost, SourceNotFound, SourceRefused
from hardware.mcculw_counts import unwrapped
from hardware.mcculw_source import McculwSource
from hardware.source import SourceRequest
from tests.support.mcculw_boards import BAD_RATE, DEAD, OVERRUN, Board, ManualClocks, loaded_universal_library
from tests.support.uldaq_boards import AMPLITUDES, angle, wired

REQUEST = SourceRequest(3200.0, wired())


def source_on(*boards: Board, **options: Any) -> tuple[McculwSource, ManualClocks]:
    clocks = loaded_universal_library().reset(*boards)
    return McculwSource(options, clocks), clocks


def read(source: McculwSource, count: int) -> list[SampleBlock]:
    found: list[SampleBlock] = []
    for _ in range(20 * count + 200):
        block = source.read(0.05)
        found += [] if block is None else [block]
        if len(found) == count:
            return found
    raise AssertionError(f"expected {count} blocks, found {len(found)}")


def check_samples(blocks: list[SampleBlock], rate: float) -> None:
    """Each sample is the one of its number: the board samples a sine from its own beginning on."""
    for block in blocks:
        for k, channel in enumerate(block.channels):
            times = (block.first_index + np.arange(block.n_samples)) / rate + channel.skew
            expected = AMPLITUDES[k] * np.cos(2 * np.pi * 50 * times + angle(k)) * (100 if k < 3 else 2)
            assert np.abs(block.values[k] - expected).max() < 0.51 * channel.resolution


def test_samples_come_whole_and_in_order_with_the_pacers_rate() -> None:
    source, _ = source_on(Board("01AB"))
    plan = source.start(REQUEST)
    assert plan.sample_rate == pytest.approx(3200.7316, abs=1e-4)
    blocks = read(source, 200)
    source.stop()
    first = blocks[0].first_index
    assert [block.first_index for block in blocks] == [first + 64 * k for k in range(200)]
    assert first == pytest.approx(0.2 * plan.sample_rate, abs=64)
    assert all(not block.flags for block in blocks)
    check_samples(blocks, plan.sample_rate)


def test_codes_are_scaled_here_where_the_library_does_not() -> None:
    source, _ = source_on(Board("01AB", scales=False))
    plan = source.start(REQUEST)
    check_samples(read(source, 20), plan.sample_rate)
    source.stop()


@given(
    n_channels=st.integers(1, 8),
    ring=st.integers(64, 20_000),
    steps=st.lists(st.integers(0, 2**32 - 2**18), min_size=1, max_size=12),
    manual=st.booleans(),
)
def test_scans_are_unwrapped_whatever_the_pauses_and_the_way_of_wrapping(
    n_channels: int, ring: int, steps: list[int], manual: bool
) -> None:
    total = scans = 0
    for step in steps:
        total += step
        rest = total % 2**32
        count = rest if rest < 2**31 else rest - 2**32 + (1 if manual else 0)
        true = total // n_channels
        index = (true - 1) % ring * n_channels if true else -1
        scans = unwrapped(scans, count, index, n_channels=n_channels, ring=ring)
        assert scans == true


@pytest.mark.parametrize("gone", [True, False])
def test_an_overrun_and_an_unplugged_board_end_as_flagged_gaps(gone: bool) -> None:
    board = Board("01AB")
    source, clocks = source_on(Board("02CD"), board, serial="01AB")
    source.start(REQUEST)
    before = read(source, 10)[-1]
    if gone:
        board.plugged = False
        for _ in range(30):
            source.read(0.05)
        board.plugged = True
    else:
        board.error = OVERRUN
        clocks.sleep(0.1)
    blocks = read(source, 10)
    flagged = [block for block in blocks if SampleFlag.LOST in block.flags]
    assert len(flagged) == 1
    gap = (flagged[0].first_index - before.end_index) / before.sample_rate
    assert gap > (1.0 if gone else 0.05)
    source.stop()


def test_a_lapped_reader_loses_what_was_written_over_and_says_so() -> None:
    source, clocks = source_on(Board("01AB"), buffer=0.5)
    plan = source.start(REQUEST)
    blocks = read(source, 5)
    clocks.sleep(3.0)
    blocks += read(source, 5)
    [k] = [k for k, block in enumerate(blocks) if SampleFlag.LOST in block.flags]
    gap = (blocks[k].first_index - blocks[k - 1].end_index) / plan.sample_rate
    assert gap == pytest.approx(2.5, abs=0.1)
    check_samples(blocks, plan.sample_rate)
    source.stop()


def test_a_stall_is_a_fault_and_a_board_that_stays_away_is_given_up() -> None:
    board = Board("01AB")
    source, _ = source_on(board, recovery=2.0)
    source.start(REQUEST)
    read(source, 5)
    board.stalled = True
    with pytest.raises(SourceLost, match=r"USB-202 01AB was lost: .*no sample came for 0.5 s.*within 2 s"):
        read(source, 1000)
    source.stop()


@pytest.mark.parametrize(
    ("boards", "options", "error", "message"),
    [
        ((), {}, SourceAway, "expected a board, found none"),
        ((Board("01AB"), Board("02CD")), {}, SourceRefused, "found 2: USB-202 01AB, USB-202 02CD"),
        ((Board("01AB", number=7),), {}, SourceAway, "another program uses it"),
        ((Board("01AB"),), {"serial": "9"}, SourceAway, "expected the board 9, found USB-202 01AB"),
    ],
)
def test_a_board_that_cannot_be_had_says_why(
    boards: tuple[Board, ...], options: dict[str, Any], error: type[SourceError], message: str
) -> None:
    source, _ = source_on(*(replace(board) for board in boards), **options)
    with pytest.raises(error, match=message):
        source.start(REQUEST)
    source.stop()


@pytest.mark.parametrize(("code", "error"), [(BAD_RATE, SourceRefused), (DEAD, SourceLost)])
def test_what_the_library_refuses_at_the_start_is_told(
    code: int, error: type[SourceError], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = source_on(Board("01AB"))
    monkeypatch.setattr(loaded_universal_library(), "cbAInScan", lambda *_: code, raising=False)
    wheel = sys.modules["mcculw.ul"]
    monkeypatch.setattr(wheel._cbw, "cbAInScan", lambda *_: code)
    with pytest.raises(error, match=r"source mcculw: expected a USB-202 to scan|does not answer any more"):
        source.start(REQUEST)
    source.stop()


def test_a_rate_is_asked_for_in_whole_hertz_and_granted_as_the_pacer_does_it() -> None:
    source, _ = source_on(Board("01AB"))
    plan = source.start(SourceRequest(3199.6, wired()))
    assert plan.sample_rate == pytest.approx(3200.7316, abs=1e-4)
    source.stop()


def test_outside_windows_it_says_where_it_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mcculw"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SourceNotFound, match=r"the Universal Library on Windows, found .*WinDLL.*on Linux use uldaq"):
        McculwSource({}).start(REQUEST)


def test_a_count_that_wraps_within_a_run_costs_no_sample() -> None:
    """A reader away for 31 hours finds the count negative, and the newest samples in their place."""
    source, clocks = source_on(Board("01AB"))
    plan = source.start(REQUEST)
    blocks = read(source, 15)
    clocks.sleep(31.5 * 3600)
    blocks += read(source, 5)
    source.stop()
    assert blocks[-1].end_index * 6 > 2**31
    assert sum(SampleFlag.LOST in block.flags for block in blocks) == 1
    numbers = blocks[-1].first_index + np.arange(blocks[-1].n_samples)
    turn = 2 * np.pi * np.fmod(50 * numbers / plan.sample_rate, 1.0)
    assert np.abs(blocks[-1].values[0] - 400 * np.cos(turn)).max() < 1.0
