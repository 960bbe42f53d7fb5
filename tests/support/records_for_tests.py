"""Small right inputs for tests of algorithms: samples of a steady grid, frames with a voltage dip."""

import numpy as np

from algorithms.api.readings import ChannelReading
from algorithms.api.records import AngleReference, MeasurementFrame
from algorithms.api.samples import NANOSECONDS, Channel, Phase, Quantity, SampleBlock

START_NS = 1_700_000_000 * NANOSECONDS
PHASES = (Phase.A, Phase.B, Phase.C)
CHANNELS = (
    *(Channel(f"u{phase.lower()}", Quantity.VOLTAGE, phase) for phase in PHASES),
    *(Channel(f"i{phase.lower()}", Quantity.CURRENT, phase) for phase in PHASES),
)


def steady_blocks(
    duration: float = 0.4, sample_rate: float = 6400.0, block_duration: float = 0.02, frequency: float = 50.0
) -> list[SampleBlock]:
    """Give `duration` [s] of 230 V and 10 A at a power factor of 0.9."""
    n_samples = round(block_duration * sample_rate)
    blocks = []
    for first in range(0, round(duration * sample_rate), n_samples):
        angle = 2 * np.pi * frequency * (first + np.arange(n_samples)) / sample_rate
        rows = [230.0 * np.cos(angle - k * 2 * np.pi / 3) for k in range(3)]
        rows += [10.0 * np.cos(angle - np.arccos(0.9) - k * 2 * np.pi / 3) for k in range(3)]
        time_ns = START_NS + round(first / sample_rate * NANOSECONDS)
        blocks.append(SampleBlock(np.sqrt(2.0) * np.array(rows), CHANNELS, sample_rate, first, time_ns))
    return blocks


def frame(number: int, rms: float = 230.0, phases: str = "ABC") -> MeasurementFrame:
    """Give one of 50 frames a second in which each of `phases` has a voltage of `rms` [V]."""
    return MeasurementFrame(
        terminal="t-1",
        time_ns=START_NS + number * 20_000_000,
        time_uncertainty=1e-6,
        window=0.06,
        reference=AngleReference.UTC,
        frequency=None,
        rocof=None,
        voltage={phase: ChannelReading(rms, 0.0, 0.1, 0.001, rms, 0.1) for phase in phases},
        current={},
        power={},
    )


def frames_with_dip() -> list[MeasurementFrame]:
    """Give frames with a dip to 150 V in the middle."""
    return [frame(number, 150.0 if 10 <= number < 20 else 230.0) for number in range(30)]
