"""A detector that saw too little to find a fault says so: once a spell, and once more when it sees again."""

from dataclasses import replace

import numpy as np
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.network_reader import parse
from algorithms.api.samples import SampleFlag
from algorithms.builtin.faults.fault_blindness import BLIND
from algorithms.builtin.faults.fault_detection import FaultDetection
from tests.support.fault_grids import VOLTAGE, urban
from tests.support.fault_trials import EPOCH_NS, SIXTEEN, Blocks

RATE, BLOCK = 6400.0, 640
CYCLE_S = 0.02


def quiet(seconds):
    """Return blocks of 0.1 s of a load that does nothing."""
    turn = 2 * np.pi * 50.0 * np.arange(round(seconds * RATE)) / RATE
    phases = turn - 2 * np.pi / 3 * np.arange(3)[:, None]
    waves = np.vstack([np.sqrt(2) * VOLTAGE * np.cos(phases), 60.0 * np.cos(phases - 0.3)])
    channels = SIXTEEN.channels(RATE)
    return Blocks(channels, RATE, BLOCK).cut(SIXTEEN.sampled(waves, np.random.default_rng(1)))


def watched(blocks, *, network=True):
    algorithm = FaultDetection({})
    model = parse(urban().document()) if network else None
    algorithm.start(Context("m", "head", 50.0, VOLTAGE, (), 0.0, network=model), None)
    return [(number, event) for number, block in enumerate(blocks) for event in algorithm.process(block)]


def since(time_ns):
    return (time_ns - EPOCH_NS) * 1e-9


def missing(block):
    values = np.full_like(block.values, np.nan)
    return type(block)(values, block.channels, RATE, block.first_index, block.time_ns, flags=SampleFlag.MISSING)


def test_a_gap_too_long_to_draw_on_is_told_with_its_end_when_all_was_well_for_a_while():
    blocks = quiet(14.0)
    told = watched([*blocks[:10], *blocks[13:]])  # 0.3 s are missing after the first second
    assert [(event.kind, event.end_ns is None) for _, event in told] == [(BLIND, True), (BLIND, False)]
    (number, begin), (_, end) = told
    assert number == 10
    assert since(begin.start_ns) == pytest.approx(1.0, abs=1e-6)
    assert begin.evidence == {"reason": "samples are missing"}
    assert end.start_ns == begin.start_ns
    assert since(end.end_ns) == pytest.approx(1.3 + 3 * CYCLE_S, abs=0.001)  # and three cycles to see with
    assert end.evidence["interruptions"] == 1
    assert end.evidence["blind_time"] == pytest.approx(0.36, abs=0.001)


def test_a_gap_that_is_drawn_over_is_no_blindness():
    blocks = quiet(13.0)
    assert watched([*blocks[:10], *blocks[11:]]) == []
    assert watched([*blocks[:10], missing(blocks[10]), *blocks[11:]]) == []


def test_samples_that_stay_missing_are_told_while_they_are():
    blocks = quiet(14.0)
    told = watched([missing(one) if 10 <= number < 20 else one for number, one in enumerate(blocks)])
    (first, begin), (_, end) = told
    assert 10 <= first <= 13
    assert since(begin.start_ns) == pytest.approx(1.0, abs=1e-6)
    assert since(end.end_ns) == pytest.approx(2.06, abs=0.001)


def test_numbers_that_are_none_spoil_a_block_whatever_its_flags_say():
    blocks = quiet(14.0)
    spoilt = [replace(missing(one), flags=SampleFlag.NONE) for one in blocks[10:13]]
    told = watched([*blocks[:10], *spoilt, *blocks[13:]])
    assert [(event.kind, event.end_ns is None) for _, event in told] == [(BLIND, True), (BLIND, False)]


def test_interruptions_that_follow_each_other_are_one_spell():
    blocks = quiet(24.0)
    told = watched([one for number, one in enumerate(blocks) if number % 20 < 17 or number > 120])
    assert [event.end_ns is None for _, event in told] == [True, False]
    assert told[1][1].evidence["interruptions"] == 6
    assert told[1][1].evidence["blind_time"] == pytest.approx(6 * 0.36, abs=0.01)


def test_samples_lost_again_before_the_detector_can_see_are_blindness():
    blocks = quiet(13.0)
    short = Blocks(blocks[0].channels, RATE, 64).cut(np.hstack([block.values for block in blocks]))
    told = watched([*short[:2], *short[4:]])  # within the three cycles that it needs
    assert [event.end_ns is None for _, event in told] == [True, False]
    assert since(told[0][1].start_ns) == pytest.approx(0.02, abs=1e-6)


def test_channels_that_are_not_enough_are_told_as_long_as_they_are():
    blocks = quiet(14.0)
    few = [replace(one, channels=one.channels[:4], values=one.values[:4]) for one in blocks[10:20]]
    told = watched([*blocks[:10], *few, *blocks[20:]])
    (number, begin), (_, end) = told
    assert number == 10
    assert begin.evidence["reason"].startswith("six channels")
    assert since(end.end_ns) == pytest.approx(2.06, abs=0.001)
