"""From samples in the agent's ring to what an installer is told; the samples are sines that are written down."""

import math
import os

import numpy as np
import pytest

from agent.commissioning.diagnosis import judge
from agent.commissioning.drawing import phasor_diagram, waveforms
from agent.commissioning.messages import Settings
from agent.commissioning.sampled import SPAN, Samples
from agent.commissioning.wiring import Verdict
from agent.processes.ring import RingWriter, layout_for
from algorithms.api.readings import ChannelReading
from tests.support.three_phase import Board, six_channels

SETTINGS = Settings("t", has_source=True, direction="load")
TURNS = (0.0, -120.0, 120.0)
RIGHT = tuple((230.0, turn) for turn in TURNS) + tuple((5.0, turn - 25.0) for turn in TURNS)


def board():
    return Board(channels=six_channels(full_scale=500.0), noise=0.01)


def signal(phasors, *, frequency=50.02, third=0.0):
    """Write channel k down as a sine of this RMS value and angle [deg], with a third harmonic."""

    def value(times, k):
        rms, degrees = phasors[k]
        turn = 2 * math.pi * frequency * times + math.radians(degrees)
        return math.sqrt(2) * rms * (np.cos(turn) + third * np.cos(3 * turn))

    return value


@pytest.fixture
def watch():
    """Something that reads rings, and the rings that were made for it."""
    samples, rings = Samples(), []

    def show(value, seconds=1.5, settings=SETTINGS):
        blocks = board().blocks(value, seconds)
        ring = RingWriter(layout_for(6400.0, six_channels(full_scale=500.0), 640, 12.0))
        rings.append(ring)
        samples.attach(os.dup(ring.memory.fd), settings)
        for block in blocks:
            ring.write(block)
            seen = samples.look()
        return seen

    show.samples, show.rings = samples, rings
    yield show
    samples.close()
    for ring in rings:
        ring.close()


def told(seen, verdict=Verdict.FAILED):
    return {one.item: one.found for one in judge(seen) if one.verdict is verdict}


def test_a_meter_that_is_wired_right_is_in_order_with_harmonics_and_off_nominal(watch):
    seen = watch(signal(RIGHT, third=0.05))
    assert {one.verdict for one in judge(seen)} == {Verdict.OK}
    assert seen.frame.frequency.value == pytest.approx(50.02, abs=2e-3)
    assert seen.channels["ua"].rms == pytest.approx(230.0 * math.sqrt(1 + 0.05**2), rel=1e-3)
    assert seen.frame.current["B"].magnitude == pytest.approx(5.0, rel=1e-3)


@pytest.mark.parametrize(
    ("changed", "item", "words"),
    [
        ({4: (5.0, -145.0 + 180.0)}, "Current transformers", "The current transformer of L2 is the wrong way round"),
        ({3: RIGHT[4], 4: RIGHT[3]}, "Current transformers", "The current transformers of L1 and L2 are exchanged"),
        ({2: (0.2, 0.0), 5: (0.0, 0.0)}, "Voltage L3", "No voltage on L3"),
        ({1: RIGHT[2], 2: RIGHT[1]}, "Phase sequence", "The voltages of L2 and L3 are exchanged"),
        ({0: (115.0, 0.0), 1: (115.0, -120.0), 2: (115.0, 120.0)}, "Voltage L1", "half the 230 V expected"),
    ],
)
def test_faults_are_told_from_samples(watch, changed, item, words):
    phasors = [changed.get(k, phasor) for k, phasor in enumerate(RIGHT)]
    assert words in told(watch(signal(phasors)))[item]


def test_a_displaced_neutral_is_told_from_samples(watch):
    moved = [230 * np.exp(1j * math.radians(turn)) - 50.0 for turn in TURNS]
    phasors = [(abs(one), math.degrees(np.angle(one))) for one in moved]
    phasors += [(5.0, degrees - 25.0) for _, degrees in phasors]
    assert "its potential is off by 50 V" in told(watch(signal(phasors)))["Neutral"]


def test_no_current_is_not_judged(watch):
    phasors = [*RIGHT[:3], *((0.0, 0.0),) * 3]
    seen = watch(signal(phasors))
    assert not told(seen)
    assert "Current transformers" in told(seen, Verdict.NOT_JUDGED)


def test_samples_that_were_lost_are_a_share_of_what_should_be_there(watch):
    blocks = board().blocks(signal(RIGHT), 1.0)
    ring = RingWriter(layout_for(6400.0, six_channels(), 640, 12.0))
    watch.rings.append(ring)
    watch.samples.attach(os.dup(ring.memory.fd), SETTINGS)
    for block in (*blocks[:4], *blocks[5:]):
        ring.write(block)
    assert watch.samples.look().missing == pytest.approx(0.1)


def test_waveforms_are_two_cycles_from_where_the_first_voltage_rises(watch):
    watch(signal(RIGHT))
    duration, drawn = watch.samples.waveforms()
    assert duration == pytest.approx(0.04, rel=1e-2)
    assert [(one.quantity, one.phase) for one in drawn[:2]] == [("voltage", "A"), ("voltage", "B")]
    first = np.array(drawn[0].values)
    assert abs(first[0]) < 0.1 * first.max()
    assert first[1] > first[0]
    assert len(first) <= 130
    assert "peak 325 V" in waveforms(drawn, duration, "voltage")


def test_a_ring_is_read_on_and_another_one_taken_up(watch):
    watch(signal(RIGHT))
    fd = os.dup(watch.rings[-1].memory.fd)
    watch.samples.attach(fd, SETTINGS)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert watch.samples.look().frame is not None  # nothing was forgotten
    seen = watch(signal([(240.0, 0.0), *RIGHT[1:]]), SPAN + 0.3)
    assert seen.channels["ua"].rms == pytest.approx(240.0, rel=1e-3)


def test_samples_that_no_longer_come_are_none(watch, monkeypatch):
    watch(signal(RIGHT))
    assert watch.samples.look() is not None
    monkeypatch.setattr("agent.commissioning.sampled.STALE", -1.0)
    assert watch.samples.look() is None


def test_a_diagram_tells_those_who_cannot_see_it_and_needs_no_angle():
    def reading(rms, angle):
        return ChannelReading(rms, angle, 0.1, 0.001, rms, 0.1)

    voltage = {"A": reading(230.0, 1.0), "B": reading(229.0, 1.0 - 2.0944), "C": reading(0.1, None)}
    told_ = phasor_diagram(voltage, {})
    assert 'aria-label="Phasor diagram: L1 230 V at 0°; L2 229 V at -120°; L3 0.1 V"' in told_
    assert "nothing to show" in phasor_diagram({}, {})
