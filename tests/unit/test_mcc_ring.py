"""Whatever a library writes while its ring is read, no sample that was written over is handed on as another."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hardware.mcc_boards import model_named
from hardware.mcc_library import BoardFault
from hardware.mcc_options import read_board_options
from hardware.mcc_ring import EndsOfRange, RingReader
from hardware.mcc_scan import Scan, plan_scan
from hardware.source import SourceRequest
from tests.support.uldaq_boards import wired


def scan_of(model: str = "USB-202", buffer: float = 0.5) -> Scan:
    options = read_board_options("uldaq", {"buffer": buffer})
    return plan_scan("uldaq", model_named(model), options, SourceRequest(3200.0, wired()))


@dataclass
class Writer:
    """A library that writes sample numbers, also in the middle of somebody's copying."""

    scan: Scan
    done: int = 0
    half: int = 3
    """Samples of the scan that is not complete yet."""
    during: list[int] = field(default_factory=list)
    dead: bool = False

    def __post_init__(self) -> None:
        self.ring = np.full((self.scan.ring, len(self.scan.inputs)), -1.0)

    def write(self, count: int) -> None:
        scans = self.done + np.arange(count + 1)
        values = scans[:, None] * 10.0 + np.arange(self.ring.shape[1])
        for number, row in zip(scans[-self.scan.ring - 1 :], values[-self.scan.ring - 1 :], strict=True):
            width = self.half if number == scans[-1] else self.ring.shape[1]
            self.ring[number % self.scan.ring, :width] = row[:width]
        self.done += count

    def monotonic(self) -> float:
        """Time passes by what is written."""
        return self.done / self.scan.rate

    def progress(self) -> int:
        if self.dead:
            raise BoardFault("it is gone")
        return self.done

    def copy(self, begin: int, end: int) -> NDArray[np.float64]:
        view = self.ring.T[:, begin:end].copy()
        if self.during:
            self.write(self.during.pop())
            half = (end - begin) // 2  # the rest is copied after the write
            view[:, half:] = self.ring.T[:, begin + half : end]
        return view


@given(
    steps=st.lists(st.tuples(st.integers(0, 4000), st.lists(st.integers(0, 2500), max_size=2)), max_size=12),
)
def test_every_scan_handed_on_is_the_one_it_says_and_what_is_lost_shows_as_a_jump(
    steps: list[tuple[int, list[int]]],
) -> None:
    scan = scan_of()
    writer = Writer(scan)
    reader = RingReader(writer, scan, writer.monotonic)
    expected = 0
    for count, during in steps:
        writer.write(count)
        writer.during = list(during)
        seen, at = writer.progress(), writer.monotonic()
        first, volts = reader.take(seen, at)
        if volts.size:
            assert first >= expected
            numbers = first + np.arange(volts.shape[1])
            np.testing.assert_array_equal(volts, numbers * 10.0 + np.arange(6)[:, None])
            assert first + volts.shape[1] == seen
        if seen - expected <= scan.ring - 2 * scan.stage and not during:
            assert volts.shape[-1] == seen - expected, "nothing is thrown away without need"
        expected = seen


def test_rows_come_in_the_order_of_the_channels() -> None:
    request = SourceRequest(3200.0, tuple(reversed(wired())))
    scan = plan_scan("uldaq", model_named("USB-202"), read_board_options("uldaq", {}), request)
    writer = Writer(scan)
    writer.write(5)
    _, volts = RingReader(writer, scan, writer.monotonic).take(5, 0.0)
    np.testing.assert_array_equal(volts[:, 0], [5, 4, 3, 2, 1, 0])


def test_what_was_copied_at_once_is_handed_on_although_the_board_is_gone_by_now() -> None:
    scan = scan_of(buffer=2.0)
    writer = Writer(scan)
    reader = RingReader(writer, scan, writer.monotonic)
    writer.write(40)
    writer.dead = True
    first, volts = reader.take(40, 0.0)
    assert (first, volts.shape[1]) == (0, 40)


@pytest.mark.parametrize(
    ("peak", "gain", "zero", "flat"),
    [(9.0, 1.0, 0.0, False), (9.9, 1.0, 0.0, False), (12.0, 1.0, 0.0, True), (12.0, 0.98, 0.02, True),
     (12.0, 1.03, -0.02, True), (-12.0, 0.98, 0.0, True)],
)  # fmt: skip
def test_a_flat_peak_near_the_end_is_clipping_whatever_the_calibration_made_of_the_code(
    peak: float, gain: float, zero: float, flat: bool
) -> None:
    scan = scan_of("USB-1608FS-Plus")
    volts = np.zeros((6, 128))
    wave = peak * np.sin(2 * np.pi * np.arange(128) / 128)
    volts[4] = gain * np.round(np.clip(wave, -10, 10) / scan.model.step(scan.spans[4])) * scan.model.step(scan.spans[4])
    volts[4] += zero
    assert EndsOfRange(scan).reached(volts) is flat


def test_what_may_have_been_written_over_before_a_fault_is_not_handed_on() -> None:
    scan = scan_of(buffer=2.0)
    writer = Writer(scan)
    reader = RingReader(writer, scan, writer.monotonic)
    writer.write(40)
    seen_at = writer.monotonic()
    writer.write(3 * scan.ring)
    writer.dead = True
    _, volts = reader.take(40, seen_at)
    assert volts.size == 0
