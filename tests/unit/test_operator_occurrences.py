"""What can be read off frames: dips with their time, swells, interruptions, phase jumps; nothing out of nothing."""

import math

import msgspec
import pytest

from algorithms.api.readings import Estimate
from algorithms.api.records import Quality
from device_catalog.operator.occurrences import OccurrenceFinder
from tests.support.frames import frame

STEP_NS = 20_000_000
WINDOW = 0.06


def smeared(time: float, start: float, end: float, inside: float) -> float:
    """What a window centred on `time` makes of a voltage that is `inside` from start to end [pu]."""
    overlap = max(0.0, min(time + WINDOW / 2, end) - max(time - WINDOW / 2, start)) / WINDOW
    return 1.0 + (inside - 1.0) * overlap


def occurrences(frames):
    finder = OccurrenceFinder("m-1", 230.0)
    return [found for item in frames for found in finder.look(item)]


def dip(inside, start=0.211, end=0.311, phases="A", offset=0.0):
    for index in range(40):
        time = index * STEP_NS / 1e9 + offset
        voltage = [230.0 * (smeared(time, start, end, inside) if phase in phases else 1.0) for phase in "ABC"]
        high = 20.0 if start < time < end else 5.0
        yield frame(round(time * 1e9), voltage=tuple(voltage), current=high)


@pytest.mark.parametrize("offset", [0.0, 0.003, 0.007, 0.013, 0.019])
def test_a_dip_is_told_with_its_phase_depth_and_time(offset):
    """Wherever the frames fall, start and end are found within 3 ms."""
    (found,) = occurrences(dip(0.65, offset=offset))
    assert (found.kind, found.phases) == ("voltage-dip", ("A",))
    assert found.extreme == pytest.approx(0.65, abs=0.01)
    assert found.start_ns / 1e9 == pytest.approx(0.211, abs=0.003)
    assert found.end_ns / 1e9 == pytest.approx(0.311, abs=0.003)
    assert (found.current_before, found.current) == (5.0, 20.0)
    assert found.text() == "voltage dip of A to 0.65 pu for 100 ms, I 5 -> 20 A"


def test_phases_that_dip_together_are_one_occurrence():
    (found,) = occurrences(dip(0.5, phases="BC"))
    assert found.phases == ("B", "C")


@pytest.mark.parametrize("later", [0.02, 0.05])
def test_phases_that_are_well_again_one_shortly_after_the_other_are_one_occurrence(later):
    frames = [
        msgspec.structs.replace(one, voltage={**one.voltage, "B": other.voltage["B"]})
        for one, other in zip(dip(0.5, phases="A"), dip(0.5, end=0.311 + later, phases="B"), strict=True)
    ]
    (found,) = occurrences(frames)
    assert found.phases == ("A", "B")
    assert found.end_ns / 1e9 == pytest.approx(0.311 + later, abs=0.003)


def test_a_phase_that_stays_low_does_not_hold_back_what_is_told_of_the_others():
    frames = [
        msgspec.structs.replace(one, voltage={**one.voltage, "B": other.voltage["B"]})
        for one, other in zip(dip(0.5, phases="A"), dip(0.5, end=9.0, phases="B"), strict=True)
    ]
    (found,) = occurrences(frames)
    assert found.phases == ("A",)


def test_a_swell_and_an_interruption_are_told_apart():
    assert [found.kind for found in occurrences(dip(1.2))] == ["voltage-swell"]
    assert [found.kind for found in occurrences(dip(0.0))] == ["interruption"]


def test_what_lasts_is_told_without_an_end():
    finder = OccurrenceFinder("m-1", 230.0)
    for item in dip(0.5, end=9.0):
        assert finder.look(item) == []
    (found,) = finder.lasting()
    assert found.end_ns is None


def test_a_line_that_never_was_alive_did_not_dip():
    assert occurrences(frame(index * STEP_NS, voltage=(0.0, 0.0, 0.0)) for index in range(20)) == []


@pytest.mark.parametrize("frequency", [49.2, 50.0, 50.7])
def test_an_angle_that_turns_with_its_frequency_is_no_jump(frequency):
    turning = (
        frame(index * STEP_NS, angle=math.tau * (frequency - 50.0) * index * 0.02, frequency=frequency)
        for index in range(100)
    )
    assert occurrences(turning) == []


def stepped(turn, frequency, told):
    """A voltage whose angle jumps by `turn` at 0.5 s; `told` is the frequency frames that hold the step speak of."""
    for index in range(80):
        time = index * 0.02
        share = min(1.0, max(0.0, (time - 0.5 + WINDOW / 2) / WINDOW))
        angle = math.tau * (frequency - 50.0) * time + turn * share
        item = frame(index * STEP_NS, angle=math.remainder(angle, math.tau), frequency=frequency)
        if 0.0 < share < 1.0:
            estimate = None if told is None else Estimate(told, 0.03)
            item = msgspec.structs.replace(item, frequency=estimate, quality=(Quality.TRANSIENT,))
        yield item


@pytest.mark.parametrize("frequency", [49.5, 50.0, 50.6])
@pytest.mark.parametrize("turn", [30.0, -30.0, 8.0])
@pytest.mark.parametrize("told", [None, 47.1, 51.4])
def test_a_phase_jump_is_told_once_with_its_angle_and_time(turn, frequency, told):
    """Whatever frequency the frames that hold the step speak of, or none."""
    (found,) = occurrences(stepped(math.radians(turn), frequency, told))
    assert found.kind == "phase-jump"
    assert math.degrees(found.extreme) == pytest.approx(turn, abs=1.0)
    assert found.start_ns / 1e9 == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("told", [None, 47.1, 51.4])
def test_a_transient_that_left_the_angle_where_it_was_is_no_jump(told):
    assert occurrences(stepped(math.radians(2.0), 50.0, told)) == []


def test_what_comes_after_a_break_is_not_compared_with_what_was_before():
    finder = OccurrenceFinder("m-1", 230.0)
    finder.look(frame(0))
    finder.forget()
    assert finder.look(frame(STEP_NS, voltage=(100.0, 100.0, 100.0))) == []
    assert finder.lasting() == []
