"""Measurement frames of a plain three-phase load, for tests of what receives frames."""

import math

from algorithms.api.readings import ChannelReading, Estimate, Phasor, PowerReading, SequenceReading
from algorithms.api.records import AngleReference, MeasurementFrame


def frame(
    time_ns: int,
    *,
    voltage: tuple[float, float, float] = (230.0, 230.0, 230.0),
    current: float = 5.0,
    angle: float = 0.0,
    frequency: float = 50.0,
    window: float = 0.06,
) -> MeasurementFrame:
    """Return a frame with balanced angles, phase A at `angle` [rad]."""
    turns = (0.0, -math.tau / 3, math.tau / 3)
    angles = [math.remainder(angle + turn, math.tau) for turn in turns]
    none = Phasor(0.0, None, 0.1, None)
    return MeasurementFrame(
        terminal="T1",
        time_ns=time_ns,
        time_uncertainty=1e-3,
        window=window,
        reference=AngleReference.UTC,
        frequency=Estimate(frequency, 1e-3),
        rocof=Estimate(0.0, 0.01),
        voltage={
            phase: ChannelReading(magnitude, turned, 0.1, 1e-4, magnitude, 0.1)
            for phase, magnitude, turned in zip("ABC", voltage, angles, strict=True)
        },
        current={
            phase: ChannelReading(current, turned, 0.01, 1e-4, current, 0.01)
            for phase, turned in zip("ABC", angles, strict=True)
        },
        power={"total": PowerReading(sum(voltage) * current, 1.0, 0.0, 1.0, sum(voltage) * current, 1.0, 1.0, 1e-3)},
        voltage_sequence=SequenceReading(none, Phasor(sum(voltage) / 3, angles[0], 0.1, 1e-4), none),
    )


def instant(count: int, period_ns: int = 20_000_000) -> int:
    """Give the time of a frame [ns UTC], the first being number 0."""
    return 1_700_000_000_000_000_000 + count * period_ns
