"""What meters must have seen before a line counts as dead: no spoilt frame and no missing phase proves it."""

import math

import pytest

from algorithms.api.network_reader import parse
from algorithms.api.readings import ChannelReading
from algorithms.api.records import AngleReference, MeasurementFrame, Quality
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.voltage_watch import VoltageWatch
from tests.support.feeder_pair import feeder_pair_document

NOW = 1_800_000_000 * NANOSECONDS
MODEL = parse(feeder_pair_document())
TERMINAL = next(one for one in MODEL.terminals if one.device)
NODES = {TERMINAL.node}
NOMINAL = float(MODEL.nodes.nominal_voltage[MODEL.nodes.rows[TERMINAL.node]])


def frame(volts, *, at=NOW, quality=(), u_rms=1.0, terminal=TERMINAL.id):
    voltage = {phase: ChannelReading(value, None, 1.0, None, value * NOMINAL, u_rms) for phase, value in volts.items()}
    return MeasurementFrame(
        terminal, at, 1e-3, 0.1, AngleReference.OWN, None, None, voltage, {}, {}, quality=tuple(quality)
    )


def heard(*frames):
    watch = VoltageWatch(MODEL)
    for one in frames:
        assert watch.hear(one, NOW)
    return watch.dead(NODES, NOW - NANOSECONDS)


def test_a_line_is_dead_when_a_meter_sees_all_its_phases_dead():
    for quality in ((), (Quality.DEAD,), (Quality.LOW_VOLTAGE, Quality.UNSYNCHRONISED)):
        assert heard(frame(dict.fromkeys("ABC", 0.01), quality=quality)) == (True, "dead by 1 meters")


@pytest.mark.parametrize("quality", [Quality.TRANSIENT, Quality.CLIPPED, Quality.GAP, Quality.OUT_OF_RANGE])
def test_a_spoilt_frame_proves_nothing_dead_and_may_say_that_it_is_alive(quality):
    dead, why = heard(frame(dict.fromkeys("ABC", 0.01), quality=[quality]))
    assert not dead
    assert why.startswith("no meter on the line")
    dead, why = heard(frame(dict.fromkeys("ABC", 0.9), quality=[quality]))
    assert not dead
    assert why.startswith("the line is alive")


def test_a_spoilt_frame_does_not_hide_what_was_seen_before_it():
    spoilt = frame(dict.fromkeys("ABC", 0.01), quality=[Quality.GAP])
    alive = frame(dict.fromkeys("ABC", 1.0), at=NOW - NANOSECONDS // 2)
    assert heard(alive, spoilt)[1].startswith("the line is alive")


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_phase_without_a_voltage_is_not_dead(value):
    dead, why = heard(frame({"A": 0.01, "B": value, "C": 0.0}))
    assert not dead
    assert why == "no meter on the line has said since that B of it are dead"
    assert not heard(frame(dict.fromkeys("ABC", value)))[0]


def test_a_phase_that_is_not_measured_is_not_dead_until_another_meter_says_so():
    other = next(one for one in MODEL.terminals if one.id != TERMINAL.id and one.node != TERMINAL.node)
    first, second = frame({"A": 0.0}), frame({"B": 0.0, "C": 0.0}, terminal=other.id)
    watch = VoltageWatch(MODEL)
    assert watch.hear(first, NOW)
    assert not watch.dead({TERMINAL.node, other.node}, NOW - NANOSECONDS)[0]
    assert watch.hear(second, NOW)
    assert watch.dead({TERMINAL.node, other.node}, NOW - NANOSECONDS)[0]


@pytest.mark.parametrize("u_rms", [0.2 * NOMINAL, math.nan])
def test_a_voltage_that_is_not_known_well_enough_is_not_dead(u_rms):
    assert not heard(frame(dict.fromkeys("ABC", 0.01), u_rms=u_rms))[0]
