"""Samples that no input can have given are missing ones: nothing trips, nothing warns, a fault is found and placed."""

import numpy as np
import pytest

from algorithms.api.samples import SampleFlag
from algorithms.builtin.faults.believable import BEYOND
from algorithms.builtin.faults.fault_samples import FaultSamples
from tests.support.fault_feeder import FeederAtWork, located
from tests.support.fault_grids import urban
from tests.support.fault_trials import SIXTEEN, Blocks, Fault, recorded

RATE = 6400.0


@pytest.mark.parametrize("absurd", [1e300, -1e300, 1e155, np.inf, 1e6])
def test_a_fault_is_placed_although_a_sample_before_it_is_absurd(absurd):
    feeder = urban()
    recording = recorded(feeder, Fault(3, 100.0, "LLG", (0, 1), 1.0), cells=1)

    def spoil(values):
        values = values.copy()
        values[4, recording.inception - 900] = absurd
        return values

    events = FeederAtWork(feeder, SIXTEEN).run(recording, np.random.default_rng(4), spoil=spoil)
    (told,) = located(events)
    assert told.evidence["branch"] == "u3-u4"
    assert told.evidence["distance"] == pytest.approx(100.0, abs=2.0)


def test_nothing_trips_on_absurd_samples_alone():
    feeder = urban()
    recording = recorded(feeder, Fault(3, 100.0, "LG", (0,), 1e9), cells=1)

    def spoil(values):
        values = values.copy()
        values[:, 1200::311] = 1e300
        return values

    events = FeederAtWork(feeder, SIXTEEN).run(recording, np.random.default_rng(4), spoil=spoil)
    assert [event.kind for event in events if event.kind != "fault-detection-blind"] == []


def test_samples_within_what_calibration_may_make_of_full_scale_are_believed():
    channels = SIXTEEN.channels(RATE)[:3]
    kept = FaultSamples(range(3), channels, 50.0)
    values = np.full((3, 640), 0.99 * BEYOND * SIXTEEN.volts)
    for block in Blocks(channels, RATE).cut(values):
        kept.push(block)
        assert not block.flags & SampleFlag.MISSING
    assert kept.covers(block.end_ns)
    assert kept.around(block.time_ns).values.shape == (3, 640)
