"""Real faults trigger, and only those; times are those of the recorded protection and samples. See README.md."""

import pytest

from algorithms.api.algorithm import Context
from algorithms.builtin.faults.fault_blindness import BLIND
from algorithms.builtin.faults.fault_detection import FaultDetection
from hardware.recorded_source import RecordedSource
from hardware.source import EndOfRecording, SourceRequest
from tests.support.recordings import real_recording

pytestmark = pytest.mark.recordings

BUS = [f"220kV母线I_U{phase}" for phase in "abc"]
FAULTED = [f"220kVxgx_214开关_I{phase}" for phase in "abc"]


def told(name, voltage, frequency=50.0, blind=None, **options):
    """
    Return what was detected: kind, phases, type, start and end after the first sample, and when it was known [s].

    From when on the recording has too few samples in a cycle to find a fault, as `blind` states, it must be told.
    """
    source = RecordedSource(
        {"path": str(real_recording(name)), "pace": "as-fast-as-possible", "start_time": "recorded", **options}
    )
    plan = source.start(SourceRequest(3200.0))
    algorithm = FaultDetection({})
    context = Context("m", "t", frequency, voltage, plan.channels, plan.sample_rate)
    algorithm.start(context, None)
    first, events, spells = None, [], []
    try:
        while True:
            block = source.read(0.0)
            first = block.time_ns if first is None else first
            for event in algorithm.process(block):
                start = (event.start_ns - first) * 1e-9
                end = None if event.end_ns is None else (event.end_ns - first) * 1e-9
                if event.kind == BLIND:
                    spells.append(start)
                    continue
                found = start + event.evidence["detection_time"]
                events.append((event.kind, event.phases, event.evidence["type"], start, end, found))
    except EndOfRecording:
        source.stop()
    assert spells == ([] if blind is None else [pytest.approx(blind, abs=0.001)])
    return events


def test_a_line_fault_and_the_reclosure_on_it_are_two_faults_of_one_phase():
    events = told("xtz.cfg", 127e3, blind=0.4, voltages=BUS, currents=FAULTED)
    assert [event[:3] for event in events] == [("fault", ("A",), "LG")] * 4
    # Inception, end of the current by the samples, reclosure on the fault.
    for event, start in zip(events, (0.2109, 0.2109, 1.3373, 1.3373), strict=True):
        assert event[3] == pytest.approx(start, abs=0.003)
        assert event[5] - start < 0.03
    assert events[0][4] is None
    assert events[1][4] == pytest.approx(0.250, abs=0.01)


def test_the_neighbouring_line_of_the_same_station_has_no_fault():
    neighbour = [f"220kVfx1x_212开关_I{phase}" for phase in "abc"]
    assert told("xtz.cfg", 127e3, blind=0.4, voltages=BUS, currents=neighbour) == []


def test_a_dip_from_a_fault_elsewhere_is_no_fault_here():
    assert told("ymz.cfg", 127e3, blind=0.28) == []


def test_a_fault_cleared_by_one_pole_is_one_fault_and_its_reclosure_none():
    events = told("test1.cfg", 159e3)
    assert [event[:3] for event in events] == [("fault", ("C",), "LG")] * 2
    assert events[0][3] == pytest.approx(0.972, abs=0.003)
    assert events[1][4] == pytest.approx(1.03, abs=0.02)
    assert events[0][5] - 0.972 < 0.03


def test_a_switching_transient_in_a_building_is_no_fault():
    assert told("keating_1999.CFG", 347.0, 60.0) == []
