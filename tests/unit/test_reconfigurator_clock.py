"""A reconfigurator among wrong clocks: only its own moves time, and where that is set back it judges anew."""

import math

import msgspec
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.readings import ChannelReading
from algorithms.api.records import AngleReference, Event, MeasurementFrame, Severity
from algorithms.api.wire import NANOSECONDS
from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import World


def world(**settings):
    made = World(feeder_pair_document(), None, **{"closed_loop": True, **settings})
    made.wait(1.0)
    return made


def fault(made):
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3")


def test_one_report_of_a_switch_whose_clock_is_an_hour_ahead_holds_nothing_up():
    made = world()
    (report,) = made.switches["q1-far"]._tell()
    made.give(msgspec.structs.replace(report, time_ns=made.now + 3600 * NANOSECONDS))
    fault(made)
    made.until(lambda: made.events, 40.0)
    assert made.outcome["outcome"] == "restored"


def test_a_fault_told_by_a_clock_that_is_a_day_ahead_is_handled_now():
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    said = {"network": "pair", "branch": "p-line3", "alternatives": []}
    ahead = made.now + 86_400 * NANOSECONDS
    made.give(Event("fault-located", "t-ph", ahead, None, Severity.CRITICAL, ("A",), said))
    made.until(lambda: made.events, 40.0)
    assert made.outcome["outcome"] == "restored"
    assert made.events[-1].start_ns <= made.now


@pytest.mark.parametrize("magnitude", [0.0, float("nan")])
def test_a_meter_that_is_a_day_ahead_or_sees_no_number_proves_no_line_dead(magnitude):
    made = world(patience=12.0)
    made.silent_meters = {terminal.id for terminal in made.model.terminals}
    fault(made)
    if math.isnan(magnitude):
        made.wait(6.0)
    reading = ChannelReading(magnitude, None, 1.0, None, magnitude, 1.0)
    ahead = 0 if math.isnan(magnitude) else 86_400 * NANOSECONDS
    made.give(
        MeasurementFrame("t-p5", made.now + ahead, 1e-3, 0.1, AngleReference.OWN, None, None,
                         dict.fromkeys("ABC", reading), {}, {})
    )  # fmt: skip
    made.until(lambda: made.events, 40.0)
    assert made.outcome["outcome"] == "not-dead"
    assert made.commands == []


def set_clocks(made, seconds):
    """Set the clocks of all by some seconds; true time goes on."""
    made.time += seconds
    made._framed += seconds
    for switch in made.switches.values():
        switch._now_ns += round(seconds * NANOSECONDS)


@pytest.mark.parametrize("seconds", [-3600.0, 90.0, 1e8])
@pytest.mark.parametrize("after", [3.6, 4.6, 5.3])
def test_a_reconfigurator_whose_clock_is_set_goes_on_as_though_it_had_always_stood_so(seconds, after):
    quiet, made = world(), world()
    for one in (quiet, made):
        fault(one)
        one.wait(after)
    set_clocks(made, seconds)
    for one in (quiet, made):
        one.wait(40.0)
    assert made.outcome["outcome"] == quiet.outcome["outcome"] == "restored"
    assert [(c.recipient, c.verb) for c in made.commands] == [(c.recipient, c.verb) for c in quiet.commands]
    assert len(made.events) == 1
    taken = [one.events[0].end_ns - one.events[0].start_ns for one in (quiet, made)]
    assert taken[1] == pytest.approx(taken[0], abs=NANOSECONDS)  # meters speak twice a second


def test_what_comes_before_the_first_tick_is_not_lost():
    made = world()
    made.subject = type(made.subject)(made.settings)
    made.subject.start(Context("reconfigurator", network=made.model), None)
    made.strike("p-line3")
    made.tell("p-line3")
    made.until(lambda: made.events, 60.0)
    assert made.outcome["outcome"] == "restored"
