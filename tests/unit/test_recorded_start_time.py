"""A recording that begins at a stated instant: two meters replay in step, and the time in the recording is known."""

import pytest

from algorithms.api.samples import NANOSECONDS
from algorithms.api.wire import time_text
from hardware.comtrade import read_recording, write_recording
from hardware.comtrade_times import segments
from hardware.errors import SourceError, SourceRefused
from hardware.recorded_source import RecordedSource, period
from hardware.source import SourceRequest
from tests.support.clocks import ManualClock
from tests.support.recordings import three_phase


@pytest.fixture
def path(tmp_path):
    write_recording(tmp_path / "r.cfg", three_phase())
    return tmp_path / "r.cfg"


def first_block(path, clock, start_ns, **options):
    source = RecordedSource({"path": str(path), "start_time": time_text(start_ns), **options}, clock)
    source.start(SourceRequest(1000.0))
    while (block := source.read(0.05)) is None:
        pass
    source.stop()
    return block


def test_the_first_sample_is_taken_when_stated(path):
    clock = ManualClock()
    start_ns = clock.now + 3 * NANOSECONDS
    block = first_block(path, clock, start_ns)
    assert block.time_ns == start_ns
    assert clock.now >= start_ns, "nothing was handed on before its time"


def test_a_repeated_recording_whose_start_has_passed_joins_at_its_next_round(path):
    clock = ManualClock()
    start_ns = clock.now - 7 * NANOSECONDS
    block = first_block(path, clock, start_ns, repeat=True)
    rounds, rest = divmod(block.time_ns - start_ns, round(period(segments(read_recording(path), "r")) * NANOSECONDS))
    assert rest == 0
    assert rounds >= 1
    assert block.time_ns >= clock.now - NANOSECONDS


def test_a_start_that_has_passed_is_refused_where_nothing_repeats(path):
    clock = ManualClock()
    with pytest.raises(SourceRefused, match=r"lies ahead, found one 2\.0 s ago"):
        first_block(path, clock, clock.now - 2 * NANOSECONDS)


@pytest.mark.parametrize("start", ["soon", "2026-01-01", "2026-01-01T00:00:00", "x" * 50])
def test_a_start_that_is_no_time_is_refused_with_an_example(path, start):
    with pytest.raises(SourceError, match="start_time"):
        RecordedSource({"path": str(path), "start_time": start})
