"""A board's rate that is learnt while phasors are made disturbs neither the frequency nor the grid of frames."""

import math

import numpy as np
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.records import AngleReference, MeasurementFrame, Quality
from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock
from algorithms.builtin.phasors import Phasors
from hardware.timebase import RATE_SLEW, TimeBase
from tests.support.daq_readings import EPOCH, Board, Readings

FREQUENCY = 50.02
CLAIMED = 3201.4635
CHANNELS = tuple(Channel(f"u{p.lower()}", Quantity.VOLTAGE, Phase(p)) for p in "ABC")
SHIFTS = np.array([0.0, -2.0, 2.0])[:, None] * math.pi / 3.0


def frames_of(board: Board, duration: float, seed: int, *, pulses: bool = False) -> list[MeasurementFrame]:
    """Measure a steady line of `FREQUENCY` through a board whose rate is learnt on the way, in blocks of 20 ms."""
    algorithm = Phasors({"window": 4, "report_rate": 50})
    algorithm.start(Context("m", "t", synchronised=True, channels=CHANNELS, sample_rate=CLAIMED), None)
    base, readings = TimeBase(CLAIMED), Readings(board, seed)
    frames: list[MeasurementFrame] = []
    done, second = 0, 1
    for reading in readings.until(duration):
        base.observe(reading.count, reading.host_ns, reading.steady_ns)
        while pulses and second < reading.time - 0.05:
            base.observe_reference(board.taken(second, readings.phase) - 1.0, EPOCH + second * 10**9, 1e-6)
            second += 1
        while reading.count - done >= 64:
            model = base.model()
            times = (np.arange(done, done + 64) + 1 - readings.phase) / board.rate
            values = 325.0 * np.cos(2 * math.pi * FREQUENCY * times + SHIFTS)
            block = SampleBlock(
                values, CHANNELS, model.sample_rate, done, model.time_ns(done), model.time_uncertainty, model.flags
            )
            frames += [frame for frame in algorithm.process(block) if isinstance(frame, MeasurementFrame)]
            done += 64
    return frames


def errors(frames: list[MeasurementFrame]) -> np.ndarray:
    return np.array([frame.frequency.value - FREQUENCY if frame.frequency else math.nan for frame in frames])


@pytest.mark.parametrize("seed", [1, 2])
def test_frequency_goes_from_the_claimed_rate_to_the_true_one_without_a_jump(seed: int) -> None:
    frames = frames_of(Board(), 62.0, seed)
    error = errors(frames)
    late = error[-50:]
    assert np.isfinite(error).all()
    assert np.abs(error).max() < 1.05 * 229e-6 * FREQUENCY, "no worse than the rate that was claimed"
    assert np.abs(late).max() < 2e-6 * FREQUENCY + 1e-5
    per_frame = RATE_SLEW * FREQUENCY / 50.0
    assert np.abs(np.diff(error)).max() < 4.0 * per_frame, "frames that come late come several at once"
    assert all(frame.rocof is not None and abs(frame.rocof.value) < 1e-3 for frame in frames)
    assert not any(Quality.TRANSIENT in frame.quality or Quality.GAP in frame.quality for frame in frames)


def test_no_frame_is_missing_once_the_first_second_is_over() -> None:
    stamps = [frame.time_ns for frame in frames_of(Board(), 20.0, 3)]
    steady = [stamp for stamp in stamps if stamp > EPOCH + 10**9]
    assert np.diff(steady).tolist() == [20_000_000] * (len(steady) - 1)


def test_a_slew_of_the_clock_leaves_frequency_and_grid_alone() -> None:
    frames = frames_of(Board(host_error=lambda now: 5e-4 * min(max(now - 30.0, 0.0), 30.0)), 65.0, 4)
    settled = [frame for frame in frames if frame.time_ns > EPOCH + 25 * 10**9]
    assert np.abs(errors(settled)).max() < 3e-6 * FREQUENCY
    steps = set(np.diff([frame.time_ns for frame in settled]).tolist())
    assert steps == {20_000_000}


def test_a_step_of_the_clock_costs_a_window_and_no_frequency() -> None:
    frames = frames_of(Board(host_error=lambda now: 0.75 if now > 30.0 else 0.0), 40.0, 5)
    settled = [frame for frame in frames if frame.time_ns > EPOCH + 25 * 10**9]
    assert np.abs(errors(settled)).max() < 3e-6 * FREQUENCY
    stepped = [frame for frame in settled if frame.time_ns > EPOCH + 31.5e9]
    assert all(frame.reference is AngleReference.OWN for frame in stepped)


def test_with_pulses_angles_are_right_to_a_milliradian() -> None:
    frames = frames_of(Board(), 20.0, 6, pulses=True)
    for frame in frames[-100:]:
        assert frame.reference is AngleReference.UTC
        assert frame.time_uncertainty < 5e-6
        seconds = (frame.time_ns - EPOCH) * 1e-9
        turned = 2 * math.pi * ((FREQUENCY - 50.0) * seconds + 50.0 * ((-EPOCH * 1e-9) % 1.0))
        angle = frame.voltage["A"].angle
        assert angle is not None
        assert abs(math.remainder(angle - turned, 2 * math.pi)) < 1e-3
