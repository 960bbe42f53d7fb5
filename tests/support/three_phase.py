"""Three voltages and three currents written down as equations, sampled as a board would, fed to an algorithm."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.records import MeasurementFrame
from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock, SampleFlag

Signal = Callable[[NDArray[np.float64], int], NDArray[np.float64]]
"""Value of channel k (voltages A, B, C, then currents) at times since the epoch's stand-in [s]."""

EPOCH_NS = 1_700_000_000_000_000_000


def six_channels(**facts: float) -> tuple[Channel, ...]:
    """Voltages and currents of A, B and C; `facts` go to every channel."""
    return tuple(
        Channel(f"{letter}{phase.lower()}", quantity, Phase(phase), **facts)
        for letter, quantity in (("u", Quantity.VOLTAGE), ("i", Quantity.CURRENT))
        for phase in "ABC"
    )


@dataclass
class Board:
    """How the equations become samples: rate, noise and steps of the converter, in each channel's unit."""

    sample_rate: float = 6400.0
    channels: tuple[Channel, ...] = field(default_factory=six_channels)
    noise: float = 0.0
    step: float = 0.0
    seed: int = 1
    block: int = 640

    def blocks(self, signal: Signal, duration: float) -> list[SampleBlock]:
        """Sample `duration` [s] of the signal from the epoch on."""
        count = round(duration * self.sample_rate)
        times = np.arange(count) / self.sample_rate
        values = np.array([signal(times + channel.skew, k) for k, channel in enumerate(self.channels)])
        if self.noise:
            values += self.noise * np.random.default_rng(self.seed).standard_normal(values.shape)
        if self.step:
            values = np.round(values / self.step) * self.step
        return self.cut(values)

    def cut(self, values: NDArray[np.float64], flags: SampleFlag = SampleFlag.NONE) -> list[SampleBlock]:
        """Cut samples into blocks with exact time stamps."""
        return [
            SampleBlock(
                values[:, first : first + self.block],
                self.channels,
                self.sample_rate,
                first,
                EPOCH_NS + round(first / self.sample_rate * 1e9),
                flags=flags,
            )
            for first in range(0, values.shape[1], self.block)
        ]

    def context(self, **facts: Any) -> Context:
        """Return where an algorithm would meet these blocks."""
        given = {"terminal": "t1", "synchronised": True, "channels": self.channels, "sample_rate": self.sample_rate}
        return Context("meter-1", **{**given, **facts})


def steady(
    frequency: float = 50.0,
    amplitudes: Sequence[float] = (325.0, 325.0, 325.0, 7.0, 7.0, 7.0),
    lag: float = 0.0,
    harmonics: Sequence[tuple[int, float, float]] = (),
    phase: float = 0.0,
) -> Signal:
    """Balanced sinusoids of given peaks; currents lag by `lag` [rad]; harmonics as (order, share, angle)."""

    def signal(times: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        angle = 2 * np.pi * frequency * times + phase - 2 * np.pi / 3 * (k % 3) - (lag if k >= 3 else 0.0)
        wave = np.cos(angle)
        for order, share, shift in harmonics:
            wave = wave + share * np.cos(order * angle + shift)
        return amplitudes[k] * wave

    return signal


def frames_of(algorithm: Algorithm, context: Context, blocks: Sequence[SampleBlock]) -> list[MeasurementFrame]:
    """Start an algorithm and return every frame it makes of the blocks."""
    algorithm.start(context, None)
    frames = [frame for block in blocks for frame in algorithm.process(block)]
    return [frame for frame in frames if isinstance(frame, MeasurementFrame)]


def seconds(frame: MeasurementFrame) -> float:
    """Time of a frame since the epoch's stand-in [s]."""
    return (frame.time_ns - EPOCH_NS) * 1e-9
