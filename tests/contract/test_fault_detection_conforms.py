"""Fault detection is an algorithm like any other."""

import numpy as np
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.conformance import check_algorithm
from algorithms.api.network_reader import parse
from algorithms.builtin.faults.fault_detection import FaultDetection
from tests.support.fault_grids import urban
from tests.support.fault_trials import SIXTEEN, Blocks, Fault, recorded

RATE = 3200.0


@pytest.mark.parametrize("with_network", [True, False], ids=["network", "no network"])
def test_fault_detection_conforms(with_network):
    feeder = urban()
    recording = recorded(feeder, Fault(2, 50.0, "LL", (0, 2), 1.0, duration=0.15), sample_rate=RATE, after=0.5, cells=1)
    channels = SIXTEEN.channels(RATE)
    network = parse(feeder.document()) if with_network else None
    check_algorithm(
        FaultDetection,
        settings={"second_harmonic": 0.25},
        context=Context("m-1", "head", 50.0, 12.7e3, channels, RATE, network=network),
        records=Blocks(channels, RATE, 64).cut(SIXTEEN.sampled(recording.head, np.random.default_rng(1))),
        bad_settings=[{"phase_current": 0}, {"neutral": "floating"}, {"second_harmonic": 2}, {"charging": -1.0}],
    ).raise_if_failed()
