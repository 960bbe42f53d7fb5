"""
Which channels the energy meter counts, and what is known of them; worked out once for each arrangement of channels.

`energy` asks for a `Wiring` when the channels or the sampling rate change, and hands its stretches to the kernels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.api.algorithm import Context
from algorithms.api.errors import Problem
from algorithms.api.samples import Channel, Quantity, SampleBlock, SampleFlag
from algorithms.builtin.energy_registers import PHASES
from algorithms.builtin.full_scale import largest_values
from algorithms.builtin.stretches import Stretches
from algorithms.waveform.phasor import Floats

STRETCH = 0.2
"""Length of a stretch: 10 cycles of 50 Hz, 12 of 60 Hz [s]."""
LEAST_SAMPLES_PER_CYCLE = 10
RATE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Wiring:
    """Which channels make a phase, and what is known of them; arrays have an entry for each phase in `phases`."""

    channels: tuple[Channel, ...]
    sample_rate: float
    phases: tuple[str, ...]
    places: np.ndarray
    v: np.ndarray
    i: np.ndarray
    lead: Floats
    gain: Floats
    phase: Floats
    step_variance: Floats
    starting_current: Floats
    largest: Floats
    stretches: Stretches


def wiring_of(block: SampleBlock, nominal: float, rated_current: float, starting_share: float) -> Wiring | None:
    """
    Arrange the channels of a block; None where no phase can be measured on them.

    Parameters
    ----------
    block : SampleBlock
    nominal : float
        Frequency [Hz].
    rated_current : float
        RMS; 0 takes half of what the input can represent [A].
    starting_share : float
        Share of it below which nothing is counted [1].
    """
    rate = block.sample_rate
    pairs = _pairs(block.channels)
    if not pairs or rate < LEAST_SAMPLES_PER_CYCLE * nominal:
        return None
    v, i = (np.array([pair[k] for pair in pairs.values()], dtype=np.intp) for k in (0, 1))
    channels = block.channels
    skew, gain, phase, step = (
        np.array([getattr(channel, name) for channel in channels])
        for name in ("skew", "gain_uncertainty", "phase_uncertainty", "resolution")
    )
    full_scale = np.array([channels[row].full_scale for row in i])
    rated = np.full(i.size, rated_current) if rated_current else full_scale / (2.0 * math.sqrt(2.0))
    cycle = 2 * round(rate / nominal / 2)
    return Wiring(
        channels=channels,
        sample_rate=rate,
        phases=tuple(pairs),
        places=np.array([PHASES.index(name) for name in pairs], dtype=np.intp),
        v=v,
        i=i,
        lead=2 * np.pi * rate * (skew[v] - skew[i]),
        gain=_by_phase(pairs, np.hypot(gain[v], gain[i])),
        phase=_by_phase(pairs, np.hypot(phase[v], phase[i])),
        step_variance=np.square(step) / 12.0,
        starting_current=starting_share * rated,
        largest=largest_values(channels)[:, None],
        stretches=Stretches(len(channels), cycle, max(2, round(STRETCH * rate / cycle))),
    )


def continues(wiring: Wiring, block: SampleBlock) -> bool:
    """Tell whether a block is wired as those before."""
    changed = block.flags & SampleFlag.RATE_CHANGED or abs(block.sample_rate / wiring.sample_rate - 1) > RATE_TOLERANCE
    return not changed and block.channels == wiring.channels


def _pairs(channels: Sequence[Channel]) -> dict[str, tuple[int, int]]:
    """Find voltage and current of each phase; of several of a kind the first counts."""
    rows: dict[tuple[Quantity, str], int] = {}
    for row, channel in enumerate(channels):
        rows.setdefault((channel.quantity, channel.phase.value), row)
    return {
        phase: (rows[Quantity.VOLTAGE, phase], rows[Quantity.CURRENT, phase])
        for phase in PHASES
        if (Quantity.VOLTAGE, phase) in rows and (Quantity.CURRENT, phase) in rows
    }


def _by_phase(pairs: Mapping[str, tuple[int, int]], values: Floats) -> Floats:
    """Spread values of the measured phases over all three."""
    result = np.zeros(len(PHASES))
    for phase, value in zip(pairs, values, strict=True):
        result[PHASES.index(phase)] = value
    return result


def problems_of_context(context: Context) -> list[Problem]:
    """Find what keeps energy from being measured at all."""
    problems = []
    least = LEAST_SAMPLES_PER_CYCLE * context.nominal_frequency
    if 0 < context.sample_rate < least:
        expected = f"at least {least:g} [Hz], {LEAST_SAMPLES_PER_CYCLE} samples per cycle"
        remedy = "raise the rate asked for, or use a faster board"
        problems.append(Problem("acquisition.sample_rate", expected, f"{context.sample_rate:g}", remedy))
    if context.channels and not _pairs(context.channels):
        found = ", ".join(f"{channel.quantity} {channel.phase}" for channel in context.channels)
        remedy = "say which phase each channel measures"
        problems.append(Problem("channels", "voltage and current of at least one phase", found, remedy))
    return problems
