"""Fault location and the meters' part in it are algorithms like any other."""

import numpy as np

from algorithms.api.algorithm import Context
from algorithms.api.conformance import check_algorithm
from algorithms.api.network_reader import parse
from algorithms.api.records import Event, Reply, Request, Severity
from algorithms.api.wire import time_text
from algorithms.builtin.faults.fault_location import FaultLocation
from algorithms.builtin.faults.fault_voltages import FaultVoltages
from tests.support.fault_grids import urban
from tests.support.fault_trials import EPOCH_NS, SIXTEEN, Blocks, Fault, recorded

RATE = 3200.0
START_NS = EPOCH_NS + 250_000_000


def sampled(rows):
    recording = recorded(
        urban(), Fault(2, 50.0, "LL", (0, 2), 1.0, duration=0.15), sample_rate=RATE, after=0.8, cells=1
    )
    channels = SIXTEEN.channels(RATE)[:rows]
    values = SIXTEEN.sampled(recording.head, np.random.default_rng(1))[:rows]
    return channels, Blocks(channels, RATE, 64).cut(values)


def test_fault_location_conforms():
    channels, blocks = sampled(6)
    fault = Event("fault", "head", START_NS, None, Severity.CRITICAL, ("A", "C"), {"type": "LL"})
    reply = Reply(f"m-head-{START_NS}-0", "m-u2", "m-head", START_NS + 300_000_000, {"before": {}, "during": {}})
    check_algorithm(
        FaultLocation,
        settings={"answer_time": 0.1},
        context=Context("m-head", "head", 50.0, 12.7e3, channels, RATE, network=parse(urban().document())),
        records=[*blocks[:14], fault, *blocks[14:25], reply, *blocks[25:]],
        bad_settings=[{"answer_time": 0}, {"longest_window": 100}],
    ).raise_if_failed()


def test_fault_voltages_conforms():
    channels, blocks = sampled(3)
    asked = {"start": time_text(START_NS), "begin": 0.02, "stop": 0.14}
    request = Request("r", "m-head", "m-u2", "fault-voltages", START_NS, START_NS + 900_000_000, asked)
    check_algorithm(
        FaultVoltages,
        settings={"search": 0.04},
        context=Context("m-u2", "at-u2", 50.0, 12.7e3, channels, RATE),
        records=[*blocks[:14], request, *blocks[14:], request],
        bad_settings=[{"search": 0}, {"search": 2.0}],
    ).raise_if_failed()
