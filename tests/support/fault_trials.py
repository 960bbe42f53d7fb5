"""
Faults at random, as waveforms of `emt`, and as a board and the meters along the feeder would sample them.

A trial is drawn from a generator of random numbers: place, type, resistance, instant, loads, source, what the breaker
does. `recorded` simulates it once without noise; `Converter` makes samples of it as often as wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock
from tests.support.emt import DeltaLoad, Line, Simulator, Stage, opening
from tests.support.fault_grids import Feeder

EPOCH_NS = 1_700_000_000_000_000_000
KINDS = ("LG", "LL", "LLG", "LLL")


@dataclass(frozen=True)
class Fault:
    """Where a fault is, what it joins through how much, and how long it lasts until its breaker opens."""

    section: int
    distance: float
    kind: str
    phases: tuple[int, ...]
    resistance: float
    ground_resistance: float = 1.0
    duration: float = 0.13
    before: float = 0.25
    angle: float = 0.0
    frequency: float = 50.0
    voltage: float = 1.0

    def conductance(self) -> Any:
        """Give the conductance matrix of the fault (3, 3) [S]."""
        return fault_conductance(self.kind, self.phases, self.resistance, self.ground_resistance)


def fault_conductance(kind: str, phases: Sequence[int], r: float, ground: float = 1.0) -> Any:
    """Give what a fault puts between phases and earth: r from a phase to earth, or between two or three phases."""
    g = np.zeros((3, 3))
    if kind == "LG":
        g[phases[0], phases[0]] = 1 / r
    elif kind == "LL":
        across = np.zeros(3)
        across[list(phases)] = 1.0, -1.0
        g += np.outer(across, across) / r
    else:
        star = np.zeros((4, 4))
        for phase in phases:
            arm = np.zeros(4)
            arm[phase], arm[3] = 1.0, -1.0
            star += np.outer(arm, arm) / (r / 2 if kind == "LLG" else r)
        if kind == "LLG":
            star[3, 3] += 1 / ground
        g = star[:3, :3] - np.outer(star[:3, 3], star[3, :3]) / star[3, 3]
    return g


def draw(feeder: Feeder, generator: np.random.Generator, resistances: Sequence[float], **stated: Any) -> Fault:
    """Draw a fault: any section with odds by its length, any place on it, any type, one of the resistances."""
    lengths = np.array([section[3] for section in feeder.sections])
    section = int(generator.choice(len(lengths), p=lengths / lengths.sum()))
    kind = str(generator.choice(KINDS))
    first = int(generator.integers(3))
    count = {"LG": 1, "LL": 2, "LLG": 2, "LLL": 3}[kind]
    resistance = float(generator.choice(resistances))
    fault = Fault(
        section,
        float(generator.uniform(0.01, 0.99) * lengths[section]),
        kind,
        tuple(sorted((first + k) % 3 for k in range(count))),
        resistance,
        float(generator.choice([0.1, 1.0, 5.0])),
        float(generator.uniform(0.11, 0.19)),
        0.25,
        float(generator.uniform(0, 2 * np.pi)),
        float(generator.uniform(49.95, 50.05)),
        float(generator.uniform(0.97, 1.03)),
    )
    return replace(fault, **stated)


@dataclass(frozen=True, eq=False)
class Recording:
    """
    Waveforms without noise.

    Attributes
    ----------
    head : numpy.ndarray
        Voltages A, B, C and currents A, B, C, one channel after another, shape (6, n) [V, A].
    meters : numpy.ndarray
        Voltages, shape (n_meters, 3, n) [V].
    inception, opened : int
        Numbers of the first sample with the fault, and without any current.
    sample_rate : float
        [Hz]
    """

    head: Any
    meters: Any
    inception: int
    opened: int
    sample_rate: float


def recorded(
    feeder: Feeder, fault: Fault, *, loads: Any = None, sample_rate: float = 6400.0, after: float = 0.1,
    evolves: tuple[float, Any] | None = None, extra: Sequence[Line] = (), more: Sequence[DeltaLoad] = (),
    node: str = "fault", capacitances: Any = None, cells: int = 2,
) -> Recording:  # fmt: skip
    """
    Simulate a fault from before it to after its breaker opened.

    Parameters
    ----------
    evolves : tuple, optional
        Time after the inception [s] and the conductance from then on.
    node : str
        Another node than the one of the fault, for a fault elsewhere; the breaker then stays closed.
    """
    grid = feeder.grid(
        section=fault.section, distance=fault.distance, angle=fault.angle, frequency=fault.frequency, loads=loads,
        voltage=fault.voltage, extra=extra, more=more, capacitances=capacitances, cells=cells,
    )  # fmt: skip
    simulator = Simulator(grid, 0, feeder.meters, sample_rate=sample_rate)
    shunts = {node: fault.conductance()}
    stages = [Stage(fault.before), Stage(fault.duration, shunts)]
    if evolves is not None:
        stages = [stages[0], Stage(evolves[0], shunts), Stage(fault.duration - evolves[0], {node: evolves[1]})]
    samples, state = simulator.run(stages)
    pieces, inception = [samples], round(fault.before * sample_rate)
    if node == "fault":
        piece, state, stage = opening(simulator, stages[-1], 0, state)
        pieces.append(piece)
    else:
        stage = Stage(after)
    opened = sum(piece.shape[1] for piece in pieces)
    if after:
        pieces.append(simulator.run([Stage(after, stage.shunts if node == "fault" else {}, stage.open)], state)[0])
    together = np.hstack(pieces)
    meters = together[6:].reshape(len(feeder.meters), 3, -1)
    return Recording(together[:6], meters, inception, opened, sample_rate)


def reclosed(feeder: Feeder, fault: Fault, pause: float = 0.3, sample_rate: float = 6400.0) -> Recording:
    """Simulate a fault, its breaker's opening, and after a pause its closing onto the same fault and opening again."""
    grid = feeder.grid(section=fault.section, distance=fault.distance, angle=fault.angle, frequency=fault.frequency)
    simulator = Simulator(grid, 0, feeder.meters, sample_rate=sample_rate)
    faulted = Stage(fault.duration, {"fault": fault.conductance()})
    first, state = simulator.run([Stage(fault.before), faulted])
    pieces = [first]
    for number in range(2):
        piece, state, stage = opening(simulator, faulted, 0, state)
        pieces.append(piece)
        piece, state = simulator.run([replace(stage, duration=pause)], state)
        pieces.append(piece)
        if not number:
            piece, state = simulator.run([faulted], state)
            pieces.append(piece)
    together = np.hstack(pieces)
    opened = first.shape[1] + pieces[1].shape[1]
    meters = together[6:].reshape(len(feeder.meters), 3, -1)
    return Recording(together[:6], meters, round(fault.before * sample_rate), opened, sample_rate)


@dataclass(frozen=True)
class Converter:
    """Full scales [V, A], bits, noise [steps] and gain errors of an input stage."""

    bits: int
    volts: float
    amperes: float
    noise: float

    @property
    def steps(self) -> Any:
        """Steps of voltages and currents, shape (6,) [V, A]."""
        return 2 * np.repeat([self.volts, self.amperes], 3) / 2**self.bits

    def channels(self, sample_rate: float) -> tuple[Channel, ...]:
        """Describe the six channels as a source would."""
        return tuple(
            Channel(
                f"{letter}{phase.lower()}", quantity, Phase(phase), skew=(3 * group + place) / 6 / sample_rate,
                resolution=float(self.steps[3 * group]), full_scale=(self.volts, self.amperes)[group],
            )
            for group, (letter, quantity) in enumerate((("u", Quantity.VOLTAGE), ("i", Quantity.CURRENT)))
            for place, phase in enumerate("ABC")
        )  # fmt: skip

    def sampled(self, values: Any, generator: np.random.Generator, gain: Any = 1.0) -> Any:
        """Make samples of waveforms, three voltages first, then currents; shape (3 or 6, n)."""
        steps = self.steps[: values.shape[0], None]
        codes = np.round(values * gain / steps + self.noise * generator.standard_normal(values.shape))
        return np.clip(codes, -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) * steps


SIXTEEN = Converter(16, 31e3, 9e3, 1.5)
TWELVE = Converter(12, 34e3, 14e3, 1.0)


@dataclass
class Blocks:
    """Cuts samples into blocks."""

    channels: tuple[Channel, ...]
    sample_rate: float
    block: int = 64
    start_ns: int = EPOCH_NS
    first: int = field(default=0)

    def cut(self, values: Any) -> list[SampleBlock]:
        """Cut samples that follow those cut before."""
        found = []
        for at in range(0, values.shape[1], self.block):
            piece = values[:, at : at + self.block]
            time_ns = self.start_ns + round(self.first / self.sample_rate * 1e9)
            found.append(SampleBlock(piece, self.channels, self.sample_rate, self.first, time_ns))
            self.first += piece.shape[1]
        return found
