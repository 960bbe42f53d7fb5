"""A power-quality meter on sampled equations: blocks for it, and what it tells of them."""

import numpy as np

from algorithms.api.records import Event, Result
from algorithms.api.samples import SampleBlock, SampleFlag
from algorithms.builtin.quality.power_quality import PowerQuality
from tests.support.three_phase import Board, six_channels

TICK_NS = 1_700_000_400 * 1_000_000_000
"""A full ten minutes, and no full two hours."""
RATE = 3200.0


def blocks(signal, duration, begin=0.0, *, start_ns=TICK_NS, first=0, channels=None, rate=RATE, length=64, flags=None):
    """Sample a signal of three-phase equations from `begin` [s] after `start_ns` on."""
    channels = channels or six_channels()
    made = []
    for at in range(0, round(duration * rate), length):
        times = begin + (at + np.arange(length)) / rate
        values = np.array([signal(times, k) for k in range(len(channels))])
        time_ns = start_ns + round((begin + at / rate) * 1e9)
        made.append(SampleBlock(values, channels, rate, first + at, time_ns, flags=flags or SampleFlag.NONE))
    return made


def started(restored=None, context=None, **settings):
    algorithm = PowerQuality(settings)
    algorithm.start(context or Board(RATE).context(), restored)
    return algorithm


def run(algorithm, given):
    return [record for block in given for record in algorithm.process(block)]


def told(records, interval):
    return [one for one in records if isinstance(one, Result) and one.payload["interval"] == interval]


def events(records, kind):
    return [one for one in records if isinstance(one, Event) and one.kind == kind]
