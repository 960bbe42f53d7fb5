"""From measurement frames to a C37.118 stream: layout, rate, quality, gaps."""

import math
import struct

import msgspec
import pytest

from agent.c37118.stream import LASTING, Stream
from algorithms.api.records import AngleReference, Quality
from tests.support.frames import frame, instant

NAMES = ("VA", "VB", "VC", "IA", "IB", "IC", "V1")


def learnt(**options):
    stream = Stream(7, "m-1", 50.0, **options)
    assert stream.take(frame(instant(0))) is None
    assert stream.take(frame(instant(1))) is not None
    return stream


def stat(data):
    return int.from_bytes(data[14:16])


def test_two_records_tell_what_the_stream_holds():
    stream = Stream(7, "m-1", 50.0)
    assert stream.configuration() is None
    stream.take(frame(instant(0)))
    stream.take(frame(instant(1)))
    assert stream.layout is not None
    assert (stream.layout.phasors, stream.layout.rate, stream.layout.changes) == (NAMES, 50, 0)


@pytest.mark.parametrize(("period", "rate"), [(0.02, 50), (1 / 60, 60), (0.1, 10), (1.0, 1), (2.0, -2), (10.0, -10)])
def test_the_rate_is_told_per_second_or_in_seconds(period, rate):
    stream = Stream(7, "m-1", 50.0)
    for count in range(2):
        stream.take(frame(instant(count, round(period * 1e9))))
    assert stream.layout is not None
    assert stream.layout.rate == rate


def test_a_gap_changes_nothing_and_a_faster_rate_does():
    stream = learnt()
    stream.take(frame(instant(50)))
    assert (stream.layout.rate, stream.layout.changes) == (50, 0)
    stream.take(frame(instant(50) + 10_000_000))
    assert (stream.layout.rate, stream.layout.changes) == (100, 1)


@pytest.mark.parametrize(("period_ns", "rate"), [(100_000_000, 10), (40_000_000, 25), (2_000_000_000, -2)])
def test_a_rate_that_was_lowered_is_told_when_it_has_lasted(period_ns, rate):
    """So many periods of one length are no gaps; the number of changes tells concentrators to ask anew."""
    stream = learnt()
    last = instant(1)
    told = []
    for count in range(1, LASTING + 3):
        stream.take(frame(last + count * period_ns))
        told.append((stream.layout.rate, stream.layout.changes))
    assert told == [(50, 0)] * (LASTING - 1) + [(rate, 1)] * 3
    configuration = stream.configuration()
    assert struct.unpack(">Hh", configuration[-6:-2]) == (1, rate)


def test_gaps_between_measurements_of_one_rate_are_no_lower_rate():
    """Losing some now and then, or ever differently many, is a gap each time."""
    stream = learnt()
    at = instant(1)
    for missed in (1, 1, 1, 1, 0, 1, 1, 1, 1, 2, 3, 1, 5, 1):
        at += (1 + missed) * 20_000_000
        stream.take(frame(at))
    assert (stream.layout.rate, stream.layout.changes) == (50, 0)


def test_a_phase_that_goes_is_not_a_number_and_one_that_comes_changes_the_layout():
    stream = learnt()
    whole = frame(instant(2))
    fewer = msgspec.structs.replace(whole, voltage={phase: whole.voltage[phase] for phase in "AB"})
    data = stream.take(fewer)
    assert math.isnan(struct.unpack(">f", data[16 + 2 * 8 : 20 + 2 * 8])[0])
    assert stream.layout.changes == 0
    more = msgspec.structs.replace(whole, current={**whole.current, "N": whole.current["A"]})
    stream.take(more)
    assert stream.layout.phasors == ("VA", "VB", "VC", "IA", "IB", "IC", "IN", "V1")
    assert stream.layout.changes == 1


def test_phasors_are_what_was_measured():
    data = learnt().take(frame(instant(2), voltage=(230.0, 231.0, 232.0), angle=0.3))
    real, imaginary = struct.unpack(">ff", data[16:24])
    assert complex(real, imaginary) == pytest.approx(230 * complex(math.cos(0.3), math.sin(0.3)), rel=1e-6)
    size, angle = struct.unpack(">ff", learnt(polar=True).take(frame(instant(2), angle=0.3))[16:24])
    assert (size, angle) == pytest.approx((230.0, 0.3))


def test_time_and_quality_show_in_the_status():
    """Three standard uncertainties count as the largest error: 1 ms is within 10 ms."""
    stream = learnt()
    good = stream.take(frame(instant(2)))
    assert stat(good) == 6 << 6
    assert good[10] == 8
    own = stream.take(msgspec.structs.replace(frame(instant(3)), reference=AngleReference.OWN))
    assert stat(own) & 1 << 13
    lost = stream.take(msgspec.structs.replace(frame(instant(4)), quality=(Quality.UNSYNCHRONISED,)))
    assert stat(lost) & 1 << 13
    assert lost[10] == 15
    for reason in (Quality.CLIPPED, Quality.OUT_OF_RANGE):
        assert stat(stream.take(msgspec.structs.replace(frame(instant(5)), quality=(reason,)))) >> 14 == 0b11
