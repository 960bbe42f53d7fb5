"""Dips, swells, interruptions and rapid changes from rows of Urms(1/2) written down by hand."""

import numpy as np
import pytest

from algorithms.builtin.quality.rapid_changes import RapidChanges
from algorithms.builtin.quality.voltage_events import Thresholds, VoltageEvents

LIMITS = Thresholds(230.0)
HALF_CYCLE = 10_000_000
"""[ns]"""


def rows(*levels, shares=(1.0, 1.0, 1.0)):
    """Give Urms(1/2) of three phases: (count, phase A, B, C) in per unit."""
    columns = [np.tile(np.array([a, b, c]) * shares, (count, 1)) for count, a, b, c in levels]
    return 230.0 * np.concatenate(columns).T


def stamps(rms, first=0):
    begins = (first + np.arange(rms.shape[1])) * HALF_CYCLE
    return np.stack([np.tile(begins, (3, 1)), np.tile(begins + HALF_CYCLE, (3, 1))])


def taken(rms, limits=LIMITS, pieces=20):
    """Hand in values a piece at a time, as they come."""
    events = VoltageEvents("ABC", limits)
    ended = []
    for first in range(0, rms.shape[1], pieces):
        part = rms[:, first : first + pieces]
        ended += events.take(part, stamps(part, first))
    return events, ended


def test_quiet_voltages_are_no_event():
    events, ended = taken(rows((60, 1.0, 0.98, 1.02)))
    assert not ended
    assert not events.active
    assert events.present.all()


@pytest.mark.parametrize("pieces", [1, 7, 20, 200])
def test_a_dip_begins_with_the_first_phase_and_ends_with_the_last_one_back(pieces):
    rms = rows((30, 1, 1, 1), (4, 0.7, 1, 1), (6, 0.6, 0.8, 1), (3, 0.91, 0.8, 1), (5, 1, 0.91, 1), (40, 1, 0.93, 1))
    _, (dip,) = taken(rms, pieces=pieces)
    assert dip.kind == "voltage-dip"
    assert dip.phases == {"A", "B"}
    assert dip.extreme == pytest.approx(0.6 * 230)
    assert dip.start_ns == 31 * HALF_CYCLE
    assert dip.end_ns == 48 * HALF_CYCLE


def test_hysteresis_holds_a_dip_together():
    rms = rows((30, 1, 1, 1), (5, 0.89, 1, 1), (5, 0.91, 1, 1), (5, 0.89, 1, 1), (30, 0.925, 1, 1))
    _, ended = taken(rms)
    assert [event.kind for event in ended] == ["voltage-dip"]


def test_a_swell_is_told_with_its_highest_voltage():
    _, (swell,) = taken(rows((30, 1, 1, 1), (9, 1, 1.2, 1), (4, 1, 1.09, 1), (30, 1, 1, 1)))
    assert (swell.kind, swell.phases) == ("voltage-swell", {"B"})
    assert swell.extreme == pytest.approx(1.2 * 230)
    assert swell.end_ns - swell.start_ns == 12 * HALF_CYCLE


def test_an_interruption_needs_all_phases_and_marks_the_dip_around_it():
    rms = rows((30, 1, 1, 1), (5, 0.0, 0.0, 0.5), (20, 0.01, 0.0, 0.02), (5, 0.0, 0.2, 0.0), (30, 1, 1, 1))
    _, ended = taken(rms)
    assert [event.kind for event in ended] == ["interruption", "voltage-dip"]
    interruption, dip = ended
    assert interruption.end_ns - interruption.start_ns == 22 * HALF_CYCLE
    assert interruption.phases == {"A", "B", "C"}
    assert dip.interrupted
    assert dip.end_ns - dip.start_ns == 29 * HALF_CYCLE


def test_one_phase_without_voltage_is_a_dip_not_an_interruption():
    _, ended = taken(rows((30, 1, 1, 1), (50, 1, 1, 0.0), (30, 1, 1, 1)))
    assert [event.kind for event in ended] == ["voltage-dip"]


def test_a_phase_that_never_was_there_takes_no_part():
    events, ended = taken(rows((80, 1, 0.0, 1)))
    assert not ended
    assert not events.active
    assert events.present.tolist() == [True, False, True]


def test_missing_samples_cut_an_event():
    events, _ = taken(rows((30, 1, 1, 1), (10, 0.5, 1, 1)))
    (dip,) = events.cut(41 * HALF_CYCLE)
    assert dip.cut
    assert dip.end_ns == 41 * HALF_CYCLE
    assert not events.active


def changed(rms, *, spoilt=lambda _first: False, pieces=20, limits=LIMITS):
    changes = RapidChanges("ABC", limits, 100)
    found = []
    for first in range(0, rms.shape[1], pieces):
        part = rms[:, first : first + pieces]
        times = (first + np.arange(part.shape[1]) + 2) * HALF_CYCLE
        found += changes.take(part, times, np.ones(3, dtype=bool), spoilt=spoilt(first))
    return found


@pytest.mark.parametrize("pieces", [1, 20, 33])
def test_a_step_between_two_steady_voltages_is_a_rapid_change(pieces):
    rms = rows((150, 1, 1, 1), (2, 0.92, 1, 1), (250, 0.94, 1, 1))
    (change,) = changed(rms, pieces=pieces)
    assert change.phases == ("A",)
    assert change.largest == pytest.approx(0.08 * 230, rel=1e-3)
    assert change.lasting == pytest.approx(0.06 * 230, rel=0.03)
    assert change.start_ns == 152 * HALF_CYCLE
    assert 0 <= change.end_ns - change.start_ns <= 3 * HALF_CYCLE


def test_a_slow_drift_is_none():
    drift = np.linspace(1.0, 0.92, 2000)
    assert changed(230.0 * np.stack([drift] * 3)) == []


def test_a_change_within_a_dip_belongs_to_the_dip():
    rms = rows((160, 1, 1, 1), (40, 0.5, 1, 1), (250, 1, 1, 1))
    assert changed(rms, spoilt=lambda first: 160 <= first <= 200) == []


def test_nothing_is_told_of_the_time_before_the_first_steady_second():
    rms = rows((40, 0.8, 1, 1), (40, 1, 1, 1), (40, 0.9, 1, 1), (300, 1, 1, 1))
    assert changed(rms) == []
