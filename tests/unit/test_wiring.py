"""Judging how a meter is wired from what it shows."""

import cmath
import itertools
import math

import pytest

from agent.commissioning.wiring import PHASES, ChannelStatistics, Verdict, judge_channels, judge_wiring
from algorithms.api.readings import ChannelReading
from algorithms.api.records import AngleReference, MeasurementFrame
from device_catalog.contract.documents import Direction

POSITIONS = dict(zip(PHASES, (0.0, -120.0, 120.0), strict=True))


def reading(magnitude, degrees):
    angle = cmath.phase(cmath.rect(1, math.radians(degrees)))
    return ChannelReading(magnitude, angle, 0.0, 0.0, magnitude, 0.0)


def frame(*, lag=(20, 20, 20), amperes=(10, 10, 10), order=PHASES, signs=(1, 1, 1), positions=None):
    """A meter whose input for phase k carries the current of phase order[k], turned where signs[k] is -1."""
    positions = positions or POSITIONS
    voltage = {phase: reading(230, positions[phase]) for phase in PHASES}
    true = {phase: (a, positions[phase] - phi) for phase, a, phi in zip(PHASES, amperes, lag, strict=True)}
    current = {
        phase: reading(true[source][0], true[source][1] + (0 if sign > 0 else 180))
        for phase, source, sign in zip(PHASES, order, signs, strict=True)
    }
    return MeasurementFrame("t", 0, 0.0, 0.2, AngleReference.OWN, None, None, voltage, current, {})


def verdicts(findings):
    return {finding.item: finding.verdict for finding in findings}


def test_a_meter_wired_right_is_found_right():
    findings = judge_wiring(frame(lag=(5, 25, 40), amperes=(3, 10, 7)), Direction.EITHER)
    assert verdicts(findings) == {"phase sequence": Verdict.OK, "current wiring": Verdict.OK}


@pytest.mark.parametrize("order", [o for o in itertools.permutations(PHASES) if o != PHASES])
@pytest.mark.parametrize("direction", list(Direction))
def test_currents_on_the_wrong_inputs_are_found_and_named(order, direction):
    finding = judge_wiring(frame(lag=(10, 25, 30), order=order), direction)[1]
    could_be_generation = order == ("B", "C", "A") and direction is not Direction.LOAD
    assert finding.verdict is (Verdict.WARNING if could_be_generation else Verdict.FAILED)
    for at, source in zip(PHASES, order, strict=True):
        assert (f"input {at} carries phase {source}" in finding.found) == (at != source)


@pytest.mark.parametrize("turned", range(3))
def test_one_reversed_transformer_fails_a_load_and_only_warns_where_generation_may_be(turned):
    signs = tuple(-1 if k == turned else 1 for k in range(3))
    assert judge_wiring(frame(signs=signs), Direction.LOAD)[1].verdict is Verdict.FAILED
    finding = judge_wiring(frame(signs=signs), Direction.EITHER)[1]
    assert finding.verdict is Verdict.WARNING
    assert finding.found.startswith(f"current of {PHASES[turned]} reversed")


def test_power_flowing_out_in_all_phases_is_no_fault_unless_a_load_was_declared():
    feeding = frame(lag=(180, 175, -170))
    assert judge_wiring(feeding, Direction.EITHER)[1].verdict is Verdict.OK
    assert judge_wiring(feeding, Direction.GENERATION)[1].verdict is Verdict.OK
    assert judge_wiring(feeding, Direction.LOAD)[1].verdict is Verdict.FAILED


def test_reversed_phase_sequence_is_found():
    positions = {"A": 0.0, "B": 120.0, "C": -120.0}
    finding = judge_wiring(frame(positions=positions), Direction.EITHER)[0]
    assert finding.verdict is Verdict.FAILED
    assert "A-C-B" in finding.found


def test_two_inputs_on_one_phase_are_found():
    finding = judge_wiring(frame(positions={"A": 0.0, "B": 0.0, "C": 120.0}), Direction.EITHER)[0]
    assert finding.verdict is Verdict.FAILED
    assert "A and B show the same voltage" in finding.found


def test_without_load_nothing_is_claimed_about_currents():
    finding = judge_wiring(frame(amperes=(10, 0.01, 10)), Direction.LOAD)[1]
    assert finding.verdict is Verdict.WARNING
    assert "A, C" in finding.found


@pytest.mark.parametrize(
    ("channel", "verdict", "word"),
    [
        (ChannelStatistics("voltage", "A", 230, 0.1, 0.0), Verdict.OK, "230"),
        (ChannelStatistics("voltage", "A", 2, 0.0, 0.0), Verdict.FAILED, "dead"),
        (ChannelStatistics("voltage", "A", 230, 30, 0.0), Verdict.FAILED, "offset"),
        (ChannelStatistics("current", "A", 10, 0.0, 0.03), Verdict.FAILED, "3 %"),
        (ChannelStatistics("current", "A", 0.001, 0.0, 0.0, resolution=0.01), Verdict.WARNING, "no current"),
    ],
)
def test_each_channel_is_judged_alive_clipped_or_offset(channel, verdict, word):
    (finding,) = judge_channels({"x": channel}, nominal_voltage=230)
    assert finding.verdict is verdict
    assert word in finding.found
    assert finding.remedy or verdict is Verdict.OK
