"""The uncertainty told beside a register is the spread that errors of channels and noise really make (Monte Carlo)."""

import math

import msgspec
import numpy as np
import pytest

from algorithms.builtin.energy import EnergyState
from tests.support.loads import Converter, Load, meter

DRAWS = 150
GAIN, PHASE = 2e-3, 3e-3
"""Standard uncertainties of every channel [1], [rad]."""


def registers(converter, values):
    """Return what is told after a second of samples, by register [J, var s, VA s] with uncertainty."""
    algorithm = meter(converter, {"interval": 1})
    results = [result for block in converter.blocks(values) for result in algorithm.process(block)]
    return results[0].payload["registers"]


@pytest.mark.parametrize("angle", [0.1, 1.0, -2.0])
def test_errors_of_gain_and_phase_make_the_spread_that_is_told(angle):
    """
    Each draw disturbs gain and displacement of six channels; tolerance 20 %, three and a half standard deviations of a
    spread from 150 draws.
    """
    random = np.random.default_rng(11)
    board = Converter(facts={"gain_uncertainty": GAIN, "phase_uncertainty": PHASE})
    load = Load((5.0, 4.0, 2.0), angle=angle)
    times = np.arange(round(1.2 * board.sample_rate)) / board.sample_rate
    drawn, told = [], None
    for _ in range(DRAWS):
        gains = 1 + GAIN * random.standard_normal(6)
        delays = PHASE * random.standard_normal(6) / (2 * math.pi * load.frequency)
        values = [
            gain * load.channel(k, times + channel.skew + delay)
            for k, (gain, delay, channel) in enumerate(zip(gains, delays, board.channels, strict=True))
        ]
        told = registers(board, np.array(values))
        row, phase_a = told["vectorial"], told["A"]
        drawn.append(
            [
                row["active_import"][0] - row["active_export"][0],
                sum(row[f"reactive_q{quadrant}"][0] for quadrant in (1, 2, 3, 4)),
                row["apparent"][0],
                phase_a["active_import"][0] - phase_a["active_export"][0],
            ]
        )
    flow = "active_import" if math.cos(angle) > 0 else "active_export"
    quadrant = {0.1: 1, 1.0: 1, -2.0: 3}[angle]
    expected = [
        row[flow][1], row[f"reactive_q{quadrant}"][1], row["apparent"][1], phase_a[flow][1],
    ]  # fmt: skip
    assert np.std(drawn, axis=0) == pytest.approx(expected, rel=0.2)


def test_noise_makes_the_spread_that_is_told():
    """At 2 % of rated current with 12 bits noise is all there is; tolerance 25 % from 150 draws of one second."""
    load = Load((0.1,) * 3, angle=1.0)
    counted, told = [], []
    for seed in range(DRAWS):
        board = Converter(12, seed=seed)
        algorithm = meter(board, {"interval": 3600})
        for block in board.blocks(board.sample(load, 1.01)):
            algorithm.process(block)
        state = msgspec.msgpack.decode(algorithm.checkpoint(), type=EnergyState).registers
        counted.append(state.whole[0][0] * 1e-3)
        told.append(math.sqrt(state.variance[0]))
    assert np.std(counted) == pytest.approx(np.mean(told), rel=0.25)
