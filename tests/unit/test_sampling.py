"""Indices go on from one sampler to the next, with a gap as long as the time between, whatever UTC does meanwhile."""

import numpy as np
import pytest

from agent.processes.sampler_messages import StartSampling
from agent.processes.sampling import index_offset
from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock, SampleFlag
from device_catalog.contract.documents import Acquisition

SECOND = 10**9
RATE = 1000.0
ACQUISITION = Acquisition("simulated", RATE)


def block(time_ns, first_index=0):
    channel = Channel("ua", Quantity.VOLTAGE, Phase.A)
    return SampleBlock(np.zeros((1, 40)), (channel,), RATE, first_index, time_ns, 0.0, SampleFlag.NONE)


@pytest.mark.parametrize(
    ("step", "jitter", "gap"),
    [
        (0.0, 0.0, 2000),
        (0.0, 0.010, 2000),  # stamps are finer than when a block happened to be read
        (56 * 365.25 * 86_400.0, 0.0, 2000),  # from 1970 to the right time
        (-3600.0, 0.010, 2010),
        (1.0, 0.0, 2000),
    ],
)
def test_a_step_of_utc_between_two_samplers_is_no_missing_time(step, jitter, gap):
    ended_ns, written_ns = 1_000 * SECOND, 50 * SECOND
    before = StartSampling(ACQUISITION, 7000, ended_ns, written_ns)
    first = block(ended_ns + round((2.0 + step) * SECOND), first_index=3)
    now_ns = written_ns + round((2.0 + 0.040 + jitter) * SECOND)
    assert index_offset(before, first, now_ns) + 3 == 7000 + gap


def test_the_first_sampler_counts_as_its_source_does():
    assert index_offset(StartSampling(ACQUISITION), block(5 * SECOND, first_index=3), 0) == 0


def test_a_recording_that_begins_again_goes_on_after_what_was_read():
    before = StartSampling(ACQUISITION, 7000, 1_000 * SECOND, 50 * SECOND)
    assert index_offset(before, block(900 * SECOND), 50 * SECOND) == 7001
