"""
What is no fault on the feeder ahead, drawn at random: each maker gives six channels of samples and the feeder's model.

Switching goes through `emt`, whose grid has the loads, banks and neighbouring feeders in question; magnetising inrush,
a blown fuse and spikes are written as equations upon its waveforms.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tests.support.emt import DeltaLoad, Line, Simulator, Stage
from tests.support.fault_grids import OMEGA, TYPES, VOLTAGE, Feeder
from tests.support.fault_trials import fault_conductance

RATE = 6400.0
Maker = Callable[[Feeder, np.random.Generator], Any]


def _load(node: str, power: float, factor: float) -> DeltaLoad:
    reactive = power * np.tan(np.arccos(factor))
    return DeltaLoad(node, np.full(3, power / 3 / 22e3**2), np.full(3, OMEGA * reactive / 3 / 22e3**2))


def _run(
    feeder: Feeder, generator: np.random.Generator, stages: Sequence[Stage], *, more: Sequence[DeltaLoad] = (),
    extra: Sequence[Line] = (), capacitances: Any = None, swing: float = 1.0,
) -> Any:  # fmt: skip
    grid = feeder.grid(
        angle=generator.uniform(0, 2 * np.pi), frequency=generator.uniform(49.95, 50.05), more=more, extra=extra,
        capacitances=capacitances, cells=1, voltage=generator.uniform(0.97, 1.03),
    )  # fmt: skip
    object.__setattr__(grid.source, "swing", swing)
    return Simulator(grid, 0, (), sample_rate=RATE).run(stages)[0]


def _place(feeder: Feeder, generator: np.random.Generator) -> str:
    return str(generator.choice([section[1] for section in feeder.sections]))


def _number(feeder: Feeder) -> int:
    return len(feeder.loads)


def motor_start(feeder: Feeder, generator: np.random.Generator) -> Any:
    """Six times rated current at a low power factor, falling off in steps; the largest motor is the largest load."""
    power = generator.uniform(0.5, 1.0) * max(p for p, _ in feeder.loads.values())
    node, first = _place(feeder, generator), _number(feeder)
    more = [_load(node, power * 0.25, 0.25) for _ in range(6)]
    stages = [Stage(0.2, off=frozenset(range(first, first + 6))), Stage(0.3)]
    stages += [Stage(0.05, off=frozenset(range(first, first + k))) for k in range(1, 6)]
    return _run(feeder, generator, stages, more=more)


def load_step(feeder: Feeder, generator: np.random.Generator) -> Any:
    """Up to half of all load comes or goes at once."""
    power = generator.uniform(0.1, 0.5) * sum(p for p, _ in feeder.loads.values())
    more = [_load(_place(feeder, generator), power, generator.uniform(0.85, 1.0))]
    off = frozenset([_number(feeder)])
    stages = [Stage(0.2, off=off), Stage(0.2), Stage(0.2, off=off)]
    return _run(feeder, generator, stages, more=more)


def capacitor_switching(feeder: Feeder, generator: np.random.Generator) -> Any:
    """A bank of 0.2 to 1.2 Mvar is closed on the feeder or at the bus, then opened."""
    power = generator.uniform(0.2e6, 1.2e6)
    c = np.eye(3) * power / OMEGA / 22e3**2
    node = str(generator.choice(["bus", _place(feeder, generator)]))
    bank = Line(node, "bank", np.eye(3) * 0.05, np.eye(3) * 100e-6, np.eye(3) * 1e-10)
    number = len(feeder.sections)
    stages = [Stage(0.2, open={number: (0, 1, 2)}), Stage(0.3), Stage(0.2, open={number: (0, 1, 2)})]
    return _run(feeder, generator, stages, extra=[bank], capacitances={"bank": c})


def _source_change(feeder: Feeder, generator: np.random.Generator, changed: Any, during: float) -> Any:
    return _run(feeder, generator, [Stage(0.2), Stage(during, source=changed), Stage(0.2)])


def sag(feeder: Feeder, generator: np.random.Generator) -> Any:
    """One to three phases of the source sag to 10 to 90 %, with a turn of up to 15 degrees, and come back."""
    scale = np.ones(3)
    scale[generator.permutation(3)[: generator.integers(1, 4)]] = generator.uniform(0.1, 0.9)
    turn = np.deg2rad(generator.uniform(-15, 15))
    return _source_change(feeder, generator, feeder.grid().source.matrix(scale, turn), generator.uniform(0.05, 0.4))


def swell(feeder: Feeder, generator: np.random.Generator) -> Any:
    """One to three phases of the source rise by 5 to 25 %."""
    scale = np.ones(3)
    scale[generator.permutation(3)[: generator.integers(1, 4)]] = generator.uniform(1.05, 1.25)
    return _source_change(feeder, generator, feeder.grid().source.matrix(scale), generator.uniform(0.05, 0.4))


def phase_jump(feeder: Feeder, generator: np.random.Generator) -> Any:
    """The source jumps by 5 to 40 degrees either way."""
    turn = np.deg2rad(generator.uniform(5, 40)) * generator.choice([-1, 1])
    return _source_change(feeder, generator, feeder.grid().source.matrix(1.0, turn), 0.3)


def power_swing(feeder: Feeder, generator: np.random.Generator) -> Any:
    """The source swings in size and angle by 5 to 30 % at 0.5 to 4 Hz."""
    changed = feeder.grid().source.matrix(swing=generator.uniform(0.05, 0.3))
    stages = [Stage(0.2), Stage(1.0, source=changed)]
    return _run(feeder, generator, stages, swing=generator.uniform(0.5, 4.0))


def blown_fuse(feeder: Feeder, generator: np.random.Generator) -> Any:
    """One voltage is lost within a few milliseconds, or falls to what its neighbours couple into it."""
    samples = _run(feeder, generator, [Stage(0.5)])
    phase, at = int(generator.integers(3)), int(generator.integers(1300, 1500))
    rest = generator.choice([0.0, 0.3])
    fall = rest + (1 - rest) * np.exp(-np.arange(samples.shape[1] - at) / RATE / generator.uniform(1e-4, 5e-3))
    samples[phase, at:] *= fall
    return samples


def line_dead(feeder: Feeder, generator: np.random.Generator) -> Any:
    """The source goes, or the feeder's breaker opens, and comes back half a second later with the load."""
    if generator.random() < 0.5:
        gone = feeder.grid().source.matrix(0.0)
        return _run(feeder, generator, [Stage(0.2), Stage(0.5, source=gone), Stage(0.3)])
    return _run(feeder, generator, [Stage(0.2), Stage(0.5, open={0: (0, 1, 2)}), Stage(0.3)])


def glitch(feeder: Feeder, generator: np.random.Generator) -> Any:
    """Spikes of one or two samples up to full scale, on any channels."""
    samples = _run(feeder, generator, [Stage(0.5)])
    for at in generator.integers(1300, 3000, size=generator.integers(1, 5)):
        rows = generator.permutation(6)[: generator.integers(1, 7)]
        samples[rows, at : at + generator.integers(1, 3)] = (
            generator.choice([-1, 1]) * np.where(rows < 3, 30e3, 8e3)[:, None]
        )
    return samples


def adjacent_fault(feeder: Feeder, generator: np.random.Generator) -> Any:
    """Another feeder of the same bus has a fault of any kind, and loses it with its breaker."""
    length, (z, b) = generator.uniform(500, 5000), TYPES[str(generator.choice(["cable", "overhead"]))]
    extra = [Line("bus", "beside", length * z.real, length * z.imag / OMEGA, length * b / OMEGA)]
    kind = str(generator.choice(["LG", "LL", "LLG", "LLL"]))
    phases = generator.permutation(3)[: {"LG": 1, "LL": 2, "LLG": 2, "LLL": 3}[kind]].tolist()
    shunts = {"beside": fault_conductance(kind, phases, float(generator.choice([0.01, 1.0, 10.0, 50.0])))}
    stages = [
        Stage(0.2),
        Stage(generator.uniform(0.06, 0.3), shunts),
        Stage(0.2, open={len(feeder.sections): (0, 1, 2)}),
    ]
    return _run(feeder, generator, stages, extra=extra, more=[_load("beside", 1e6, 0.95)])


def inrush(feeder: Feeder, generator: np.random.Generator) -> Any:
    """
    Transformers are energised: flux above the knee draws peaks of current, through delta windings.

    The flux of each limb is the integral of its voltage from the instant of closing, upon what remanence it had.
    """
    samples = _run(feeder, generator, [Stage(1.0)])
    at = int(generator.integers(1300, 1420))
    times = np.arange(samples.shape[1] - at) / RATE
    peak = generator.uniform(100.0, 700.0)
    knee, decay = generator.uniform(1.15, 1.3), generator.uniform(0.08, 0.5)
    remanence = generator.uniform(0.2, 0.7) * np.array([1.0, -0.5, -0.5])[generator.permutation(3)]
    angle, windings = generator.uniform(0, 2 * np.pi), []
    for phase in range(3):
        at_closing = angle - 2 * np.pi / 3 * phase
        offset = remanence[phase] - np.sin(at_closing)
        flux = np.sin(OMEGA * times + at_closing) + offset * np.exp(-times / decay)
        excess = np.sign(flux) * np.maximum(np.abs(flux) - knee, 0.0)
        windings.append(peak * excess / (2.7 - knee))
    windings = np.array(windings)
    currents = windings - np.roll(windings, 1, axis=0)
    r, x = feeder.source
    drop = r * currents + x / OMEGA * np.gradient(currents, axis=1) * RATE
    samples[3:6, at:] += currents
    samples[:3, at:] -= drop
    return samples


def noisy_load(feeder: Feeder, generator: np.random.Generator, seconds: float, rate: float) -> Iterator[Any]:
    """
    Give a load that never rests, ten seconds at a time: wandering, flickering, stepping, unbalanced, with harmonics.

    Currents are written down as such; the source's voltage drop follows from them, its frequency wanders by 20 mHz.
    """
    r, x = feeder.source
    level = sum(p for p, _ in feeder.loads.values()) / 3 / VOLTAGE * np.sqrt(2)
    angle, wander, slow = 0.0, 0.0, np.ones(3)
    count = round(10 * rate)
    for _ in range(int(np.ceil(seconds / 10))):
        wander = float(np.clip(0.9 * wander + 0.01 * generator.standard_normal(), -0.02, 0.02))
        steps = np.ones((3, 1000))
        for at in generator.integers(0, 1000, size=4):
            steps[:, at:] *= generator.uniform(0.75, 1.3)
        steps *= (slow / steps.mean())[:, None]
        flicker = generator.standard_normal((3, 1000)) * 0.15
        for lag in (1, 2, 3):
            flicker[:, lag:] += 0.5 * flicker[:, :-lag]
        places = np.linspace(0, 999, count)
        size = np.array([np.interp(places, np.arange(1000), row) for row in np.clip(steps + flicker, 0.3, 1.8)])
        turn = angle + 2 * np.pi * (50 + wander) * np.arange(1, count + 1) / rate
        angle = float(turn[-1] % (2 * np.pi))
        phases = turn - 2 * np.pi / 3 * np.arange(3)[:, None]
        waves = np.cos(phases - 0.3) + 0.05 * np.cos(5 * phases) + 0.03 * np.cos(7 * phases)
        currents = level * size * waves
        drop = r * currents + x / OMEGA * np.gradient(currents, axis=1) * rate
        slow = np.clip(slow + 0.05 * generator.standard_normal(3), 0.6, 1.3)
        yield np.vstack([np.sqrt(2) * VOLTAGE * np.cos(phases) - drop, currents])


DISTURBANCES: dict[str, Maker] = {
    "motor start": motor_start,
    "inrush": inrush,
    "capacitor switching": capacitor_switching,
    "load step": load_step,
    "upstream sag": sag,
    "upstream swell": swell,
    "phase jump": phase_jump,
    "power swing": power_swing,
    "blown VT fuse": blown_fuse,
    "line de-energised": line_dead,
    "glitch": glitch,
    "adjacent feeder's fault": adjacent_fault,
}
