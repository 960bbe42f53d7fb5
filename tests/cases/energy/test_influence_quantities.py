"""
Currents that are no sinusoids, as IEC 62053-21 and -22 (8.2, annexes A and B) test meters with, and other influences.

Truth is the product of the waveforms at one instant, averaged over the time the registers counted; the meter sees them
through its converter, channel after channel. Errors are a tenth of the variation that class 0.2 S allows at most.
"""

import sys

import msgspec
import numpy as np
import pytest

from algorithms.builtin.energy import EnergyState
from tests.support.loads import CURRENT, VOLTAGE, Converter, meter

SECONDS = 8.0
FREQUENCY = 50.02
HARMONICS_LIMIT, SUBHARMONICS_LIMIT = 0.4, 0.6
"""[%]"""


def cycles(times):
    return FREQUENCY * times


def sinusoid(times, phase):
    return np.cos(2 * np.pi * (cycles(times) - phase / 3))


def fifth_harmonic(times, phase, share):
    """A 5th harmonic in phase with the fundamental at its zero crossing."""
    turn = 2 * np.pi * (cycles(times) - phase / 3) + np.pi / 2
    return np.sin(turn) + share * np.sin(5 * turn)


def half_wave(times, phase):
    """Half-wave rectified: a direct component and even harmonics."""
    return np.maximum(sinusoid(times, phase), 0.0)


def phase_fired(times, phase):
    """Fired at a quarter of a cycle after each zero crossing: odd harmonics."""
    place = (cycles(times) - phase / 3 + 0.25) % 0.5
    return np.where(place >= 0.25, sinusoid(times, phase), 0.0)


def burst_fired(times, phase):
    """Two cycles on, two off: a subharmonic of a quarter of the frequency."""
    place = (cycles(times) - phase / 3 + 0.25) % 4.0
    return np.where(place < 2.0, sinusoid(times, phase), 0.0)


def sagging(times, phase):
    """The voltage behind an impedance that a burst-fired load drops 3 % on."""
    return sinusoid(times, phase) - 0.03 * burst_fired(times, phase)


CASES = {
    "5th harmonic": (lambda t, k: fifth_harmonic(t, k, 0.1), lambda t, k: fifth_harmonic(t, k, 0.4), HARMONICS_LIMIT),
    "half-wave rectified": (sinusoid, half_wave, HARMONICS_LIMIT),
    "phase-fired": (sinusoid, phase_fired, HARMONICS_LIMIT),
    "burst-fired": (sinusoid, burst_fired, SUBHARMONICS_LIMIT),
    "burst-fired, voltage sagging with it": (sagging, burst_fired, SUBHARMONICS_LIMIT),
}


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("sample_rate", [3200.0, 6400.0])
@pytest.mark.parametrize("name", CASES)
def test_currents_that_are_no_sinusoids(name, sample_rate, bits):
    """Half of rated current in waveforms that a converter without a filter sees whole: harmonics fold back too."""
    voltage, current, limit = CASES[name]
    converter = Converter(bits, sample_rate)
    times = np.arange(round(SECONDS * sample_rate)) / sample_rate
    sizes = np.sqrt(2.0) * np.array([VOLTAGE] * 3 + [0.5 * CURRENT] * 3)
    shapes = [voltage] * 3 + [current] * 3
    seen = [shape(times + c.skew, k % 3) for k, (shape, c) in enumerate(zip(shapes, converter.channels, strict=True))]
    algorithm = meter(converter)
    for block in converter.blocks(converter.convert(sizes[:, None] * np.array(seen))):
        algorithm.process(block)
    state = msgspec.msgpack.decode(algorithm.checkpoint(), type=EnergyState)
    found = state.registers.whole[3][0] * 1e-3 / state.seconds["measured"]
    fine = np.arange(round(state.seconds["measured"] * 64_000)) / 64_000
    true = sum(float((voltage(fine, k) * current(fine, k)).mean()) * sizes[0] * sizes[3] for k in range(3))
    error = 100 * (found / true - 1)
    sys.stdout.write(f"{name}, {bits} bit, {sample_rate:g} Hz: {error:+.4f} %, variation allowed {limit:g} %\n")
    assert abs(error) <= limit / 10
