"""The samples of one run have one numbering, over whatever interrupts its scans."""

from typing import Any

import pytest

from hardware.mcc_boards import model_named
from hardware.mcc_options import read_board_options
from hardware.mcc_scan import plan_scan
from hardware.mcc_times import BoardTimes
from hardware.source import SourceRequest
from hardware.timebase_clocks import KernelClock
from tests.support.uldaq_boards import wired

BEGUN = 1_700_000_000_250_000_000
RATE = 3200.7315957933242
LATE = 400_000
"""From a sample to its being seen [ns]."""


class Board:
    """A board that is read every 10 ms, and its times."""

    def __init__(self, **options: Any) -> None:
        read = read_board_options("uldaq", options)
        scan = plan_scan("uldaq", model_named("USB-202"), read, SourceRequest(3200.0, wired()))
        self.times = BoardTimes(scan, read)
        self.now = BEGUN

    def begin(self, next_index: int | None) -> int:
        """Start a scan now."""
        self.started = self.now
        return self.times.begin(next_index, self.now)

    def run(self, seconds: float, *, begun_at: int | None = None) -> int:
        """Read for so long; return the scans that are complete."""
        start = self.started if begun_at is None else begun_at
        end = self.now + round(seconds * 1e9)
        completed = 0
        while self.now < end:
            self.now += 10_000_000
            completed = max(0, int((self.now - LATE - start) * 1e-9 * RATE))
            if completed:
                exactly = start + round(completed / RATE * 1e9) + LATE
                self.times.observe(completed, exactly, exactly - BEGUN)
                self.times.kernel(KernelClock(1e-4, 0.0))
        return completed


def test_a_scan_that_begins_anew_counts_on_as_if_no_sample_had_been_lost() -> None:
    board = Board()
    assert board.begin(None) == 0
    completed = board.run(2.0)
    before, _ = board.times.stamp(completed)
    board.now += 300_000_000
    first = board.begin(completed)
    assert first - completed == pytest.approx(0.3 * RATE, abs=40)
    done = board.run(1.0)
    after, _ = board.times.stamp(first + done)
    assert (after - before) * 1e-9 == pytest.approx((first + done - completed) / RATE, abs=0.02)


def test_a_second_fault_before_any_block_still_counts_the_whole_gap() -> None:
    board = Board()
    board.begin(None)
    completed = board.run(1.0)
    board.times.stamp(completed)
    board.now += 200_000_000
    once = board.begin(completed)
    board.now += 200_000_000
    twice = board.begin(completed)
    assert completed < once < twice
    assert twice - completed == pytest.approx(0.4 * RATE, abs=40)


def test_a_restart_without_a_pause_still_shows_as_a_gap() -> None:
    board = Board()
    board.begin(None)
    completed = board.run(1.0)
    board.times.stamp(completed)
    assert board.begin(completed + 500) == completed + 501


def test_an_edge_on_the_second_fixes_the_first_sample() -> None:
    board = Board(trigger="rising", trigger_on_second=True, clock_tolerance=1e-9)
    board.begin(None)
    board.run(2.0, begun_at=1_700_000_001_000_000_000)
    stamp, uncertainty = board.times.stamp(0)
    assert abs(stamp - 1_700_000_001_000_000_000) < 20_000
    assert uncertainty < 30e-6


def test_a_clock_far_from_the_second_takes_no_edge_for_it() -> None:
    board = Board(trigger="rising", trigger_on_second=True)
    board.begin(None)
    board.run(2.0, begun_at=1_700_000_001_450_000_000)
    _, uncertainty = board.times.stamp(0)
    assert uncertainty > 1e-4


def test_times_are_asked_for_in_order() -> None:
    board = Board()
    with pytest.raises(RuntimeError, match="begin comes before observe"):
        board.times.observe(1, BEGUN, 0)
    with pytest.raises(RuntimeError, match="begin comes before stamp"):
        board.times.stamp(0)
