"""A load on a meter's board: currents and voltages written down, sampled by a converter, and the powers they have."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from algorithms.api.algorithm import Context
from algorithms.api.samples import NANOSECONDS, Channel, Phase, Quantity, SampleBlock, SampleFlag
from algorithms.builtin.energy import Energy

START_NS = 1_700_000_000 * NANOSECONDS
VOLTAGE, CURRENT = 230.0, 5.0
"""Nominal and rated RMS values [V], [A]."""
VOLTAGE_RANGE, CURRENT_RANGE = VOLTAGE * np.sqrt(2.0) / 0.4, CURRENT * np.sqrt(2.0) / 0.3
"""What +-10 V stand for where nominal voltage is 4 V and rated current 3 V at its peak [V], [A]."""
NOISE = 0.5
"""Of the converter [steps RMS]."""


@dataclass(frozen=True)
class Load:
    """
    Three phases of a load, with the same displacement and harmonics in each.

    Attributes
    ----------
    currents : sequence of float
        RMS of each phase [A].
    angle : float
        By which the current lags [rad]; beyond a quarter turn it feeds.
    frequency : float
        [Hz]
    voltages : sequence of float
        RMS of each phase [V].
    harmonics : sequence
        Order, share in the voltage and in the current [1], angle of the current behind the voltage [rad].
    phase : float
        Of phase A's voltage at the start [rad].
    """

    currents: Sequence[float] = (CURRENT,) * 3
    angle: float = 0.0
    frequency: float = 50.0
    voltages: Sequence[float] = (VOLTAGE,) * 3
    harmonics: Sequence[tuple[int, float, float, float]] = ()
    phase: float = 0.4

    def channel(self, k: int, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what channel k (voltages, then currents) shows at `times` [s]."""
        turn = 2 * np.pi * self.frequency * times + self.phase - 2 * np.pi / 3 * (k % 3)
        wave = np.cos(turn - (self.angle if k > 2 else 0.0))
        for order, of_voltage, of_current, behind in self.harmonics:
            share = of_current if k > 2 else of_voltage
            wave += share * np.cos(order * turn - (behind if k > 2 else 0.0))
        size = self.currents[k - 3] if k > 2 else self.voltages[k]
        return np.sqrt(2.0) * size * wave

    def p(self) -> NDArray[np.float64]:
        """Active power of each phase [W]."""
        product = np.array(self.voltages) * np.array(self.currents)
        return product * (np.cos(self.angle) + sum(v * i * np.cos(a) for _, v, i, a in self.harmonics))

    def q(self) -> NDArray[np.float64]:
        """Reactive power of the fundamental of each phase [var]."""
        return np.array(self.voltages) * np.array(self.currents) * np.sin(self.angle)


@dataclass(frozen=True)
class Converter:
    """A multiplexing board of so many bits (0: none): V A B C, then I A B C, one after the other."""

    bits: int = 0
    sample_rate: float = 6400.0
    skewed: bool = True
    offset: float = 0.0
    """Of every input [steps]."""
    seed: int = 7
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What the board says of its inputs."""
        return tuple(
            Channel(
                f"{'ui'[k // 3]}{'abc'[k % 3]}",
                (Quantity.VOLTAGE, Quantity.CURRENT)[k // 3],
                Phase("ABC"[k % 3]),
                skew=k / (6 * self.sample_rate) if self.skewed else 0.0,
                resolution=self.step(k),
                full_scale=self.range(k),
                **self.facts,
            )
            for k in range(6)
        )

    def range(self, k: int) -> float:
        """Largest value of a channel [V or A]."""
        return CURRENT_RANGE if k > 2 else VOLTAGE_RANGE

    def step(self, k: int) -> float:
        """One step of a channel [V or A]."""
        return 2 * self.range(k) / 2**self.bits if self.bits else 0.0

    def sample(self, load: Load, duration: float, start: float = 0.0) -> NDArray[np.float64]:
        """Return samples of all channels (6, n)."""
        times = start + np.arange(round(duration * self.sample_rate)) / self.sample_rate
        values = np.array([load.channel(k, times + channel.skew) for k, channel in enumerate(self.channels)])
        return self.convert(values)

    def convert(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return samples with the noise, the offset and the steps of the converter."""
        if not self.bits:
            return values
        steps = np.array([[self.step(k)] for k in range(6)])
        noise = NOISE * np.random.default_rng(self.seed).standard_normal(values.shape)
        half = 2 ** (self.bits - 1)
        return np.clip(np.rint(values / steps + noise + self.offset), -half, half - 1) * steps

    def blocks(
        self, values: NDArray[np.float64], *, first: int = 0, size: int = 640, flags: SampleFlag = SampleFlag.NONE
    ) -> list[SampleBlock]:
        """Cut samples that begin with number `first` into blocks."""
        return [
            SampleBlock(
                values[:, at : at + size],
                self.channels,
                self.sample_rate,
                first + at,
                START_NS + round((first + at) / self.sample_rate * NANOSECONDS),
                flags=flags,
            )
            for at in range(0, values.shape[1], size)
        ]

    def context(self, **facts: object) -> Context:
        """Return where an algorithm meets these samples."""
        given = {"channels": self.channels, "sample_rate": self.sample_rate, "nominal_voltage": VOLTAGE}
        return Context("m-1", "t-1", synchronised=True, **{**given, **facts})


def meter(converter: Converter, settings: dict[str, object] | None = None, **facts: object) -> Energy:
    """Start an energy meter on a board."""
    algorithm = Energy(settings or {})
    algorithm.start(converter.context(**facts), None)
    return algorithm
