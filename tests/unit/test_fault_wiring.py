"""A phase that is missing or the wrong way round where faults are looked for is told, and when it is mended."""

import numpy as np
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.network_reader import parse
from algorithms.builtin.faults.fault_detection import FaultDetection
from algorithms.builtin.faults.fault_wiring import DOUBTFUL
from tests.support.fault_grids import VOLTAGE, urban
from tests.support.fault_trials import EPOCH_NS, SIXTEEN, Blocks

RATE, BLOCK = 6400.0, 640


def told(spoil, seconds=7.0, load=60.0, until=None):
    """Give the doubts told of a balanced load, the samples of which are spoilt up to an instant [s]."""
    turn = 2 * np.pi * 50.0 * np.arange(round(seconds * RATE)) / RATE
    phases = turn - 2 * np.pi / 3 * np.arange(3)[:, None]
    waves = np.vstack([np.sqrt(2) * VOLTAGE * np.cos(phases), np.sqrt(2) * load * np.cos(phases - 0.3)])
    samples = SIXTEEN.sampled(waves, np.random.default_rng(1))
    stop = samples.shape[1] if until is None else round(until * RATE)
    samples[:, :stop] = spoil(samples[:, :stop].copy())
    algorithm = FaultDetection({})
    algorithm.start(Context("m", "head", 50.0, VOLTAGE, (), 0.0, network=parse(urban().document())), None)
    blocks = Blocks(SIXTEEN.channels(RATE), RATE, BLOCK).cut(samples)
    return [event for block in blocks for event in algorithm.process(block) if event.kind == DOUBTFUL]


def factor(row, by):
    def spoil(samples):
        samples[row] *= by
        return samples

    return spoil


def exchanged(samples):
    return samples[[0, 1, 2, 3, 5, 4]]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (factor(4, 0.0), "no current of B, while the two other phases have it"),
        (factor(0, 0.0), "no voltage of A, while the two other phases have it"),
        (factor(4, -1.0), "the current is mostly of negative sequence: B seems to be the wrong way round"),
        (factor(2, -1.0), "the voltage is mostly of negative sequence: C seems to be the wrong way round"),
        (exchanged, "the current is mostly of negative sequence: two of its phases seem to be exchanged"),
    ],
)
def test_what_cannot_be_right_is_told_once_it_has_lasted(spoil, reason):
    (event,) = told(spoil)
    assert event.evidence == {"reason": reason}
    assert (event.terminal, event.end_ns) == ("head", None)
    assert (event.start_ns - EPOCH_NS) * 1e-9 == pytest.approx(0.1, abs=0.11)


def test_when_it_is_mended_that_is_told_as_well():
    begin, end = told(factor(4, 0.0), seconds=18.0, until=6.5)
    assert end.start_ns == begin.start_ns
    assert (end.end_ns - EPOCH_NS) * 1e-9 == pytest.approx(6.6, abs=0.25)
    assert end.evidence["blind_time"] == pytest.approx(6.5, abs=0.3)


@pytest.mark.parametrize(
    "spoil",
    [lambda samples: samples, factor(slice(3, 6), -1.0), factor(4, 0.3), factor(slice(3, 6), 0.0)],
)
def test_load_that_is_unequal_or_flows_back_and_none_at_all_are_no_doubt(spoil):
    assert told(spoil) == []


def test_what_is_soon_over_is_not_told():
    assert told(factor(4, 0.0), until=4.0) == []
