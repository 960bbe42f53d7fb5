"""
The recording that one of the demo's meters replays: the one that was named, or a small one of the demo's own.

The own one is what the simulated source delivers as fast as it can, with a fault on phase A in it, written with the
same writer that laboratories use. A given one is looked through first: the demo must tell its meter the nominal
voltage and the sample rate, and prefers, of several groups of currents, the one that a fault went through.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from demo_processes import DemoError

from algorithms.api.samples import Quantity
from hardware.block_recording import record_blocks
from hardware.comtrade import read_recording, write_recording
from hardware.comtrade_model import AnalogChannel, Recording
from hardware.comtrade_times import segments
from hardware.errors import SourceError
from hardware.recorded_channels import phase_of, pick_channels, quantity_of
from hardware.recorded_source import period
from hardware.simulated_source import SimulatedSource
from hardware.source import EndOfRecording, SourceRequest

EXAMPLE_RATE = 3200.0
"""Of the demo's own recording [Hz]."""

EXAMPLE_DURATION = 5.0
"""[s]"""

FIRST_EVENT_NS = 1_200_000_000
"""After its first sample [ns]."""


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What the demo must know of a recording.

    Attributes
    ----------
    path : pathlib.Path
    sample_rate : float
        [Hz]
    nominal_frequency : float
        [Hz]
    nominal_voltage : float
        Phase to neutral at the beginning, before anything happened [V].
    period : float
        After how long it begins again when repeated [s].
    currents : tuple of str
        Names of the channels of the current group; empty to let the source find them.
    """

    path: Path
    sample_rate: float
    nominal_frequency: float
    nominal_voltage: float
    period: float
    currents: tuple[str, ...]


def examine(path: Path) -> Facts:
    """
    Look through a recording.

    Raises
    ------
    DemoError
        When it cannot be replayed by a three-phase meter.
    """
    try:
        recording = read_recording(path)
        stretches = segments(recording, path.name)
    except SourceError as error:
        raise DemoError(f"{path} cannot be replayed: {error}") from error
    picks, problems = pick_channels(recording.config.analog)
    voltages = [pick for pick in picks if pick.request.quantity is Quantity.VOLTAGE]
    if problems or len(voltages) != 3:
        raise DemoError(f"{path} cannot be replayed: {'; '.join(problems) or 'it has no three voltages'}")
    first = stretches[0]
    nominal_frequency = 60.0 if abs(recording.config.frequency - 60.0) < 5.0 else 50.0
    beginning = slice(first.first, first.first + round(min(first.count, 2 * first.rate / nominal_frequency)))
    values = recording.values([pick.index for pick in voltages], beginning)
    factors = np.array([[pick.factor] for pick in voltages])
    voltage = float(np.median(np.sqrt(np.mean((values * factors) ** 2, axis=1))))
    if not voltage > 0.0:
        raise DemoError(f"{path} cannot be replayed: its voltages are dead at the beginning")
    currents = _faulted_currents(recording)
    return Facts(path.resolve(), first.rate, nominal_frequency, voltage, period(stretches), currents)


def write_example(path: Path) -> None:
    """Write the demo's own recording: five seconds, a short fault of phase A and a longer one."""
    source = SimulatedSource(
        {
            "pace": "as-fast-as-possible",
            "start_time": "2026-01-15T12:00:00Z",
            "voltage": 11_000 / math.sqrt(3),
            "apparent_power": 1.5e6,
            "power_factor": 0.95,
            "voltage_noise": 3.0,
            "current_noise": 0.1,
            "seed": 7,
            "duration": EXAMPLE_DURATION,
            "events": [
                {"kind": "sag", "start": 1.2, "duration": 0.1, "depth": 0.35, "phases": ["A"], "current": 6.0},
                {"kind": "sag", "start": 2.6, "duration": 0.4, "depth": 0.5, "phases": ["A", "B"], "current": 4.0},
            ],
        }
    )
    source.start(SourceRequest(EXAMPLE_RATE, nominal_voltage=11_000 / math.sqrt(3)))
    blocks = []
    try:
        while True:
            block = source.read(timeout=1.0)
            if block is not None:
                blocks.append(block)
    except EndOfRecording:
        source.stop()
    recording = record_blocks(
        blocks,
        station="demo",
        device="simulated",
        nominal_frequency=50.0,
        trigger_ns=blocks[0].time_ns + FIRST_EVENT_NS,
    )
    write_recording(path, recording)


def _faulted_currents(recording: Recording) -> tuple[str, ...]:
    """Return, of the groups of three neighbouring current channels, the one whose currents grow most; () for few."""
    analog = recording.config.analog
    names = [channel.name for channel in analog]
    groups = [
        (first, first + 1, first + 2)
        for first in range(len(analog) - 2)
        if _is_current_group(analog[first : first + 3])
        and all(names.count(names[index]) == 1 for index in range(first, first + 3))
    ]
    if len(groups) < 2:
        return ()

    def growth(group: Sequence[int]) -> float:
        values = np.abs(np.nan_to_num(recording.values(list(group))))
        values = np.abs(values - np.median(values, axis=1, keepdims=True))
        return float(np.max(values))

    best = max(groups, key=growth)
    return tuple(names[index] for index in best)


def _is_current_group(channels: Sequence[AnalogChannel]) -> bool:
    kinds = [quantity_of(channel.unit) for channel in channels]
    phases = [str(phase_of(channel)) for channel in channels]
    return phases == ["A", "B", "C"] and all(kind is not None and kind[0] is Quantity.CURRENT for kind in kinds)
