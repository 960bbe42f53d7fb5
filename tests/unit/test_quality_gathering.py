"""Ten minutes, two hours, Pst and Plt from windows and sensations made up: whole days in milliseconds."""

import msgspec
import numpy as np
import pytest

from algorithms.api.errors import CheckpointError
from algorithms.api.samples import NANOSECONDS
from algorithms.builtin.quality.quality_gathering import Gathering
from algorithms.builtin.quality.quality_intervals import TEN_MINUTES, TWO_HOURS, FrequencyCount, Window
from algorithms.builtin.quality.quality_results import ResultMaker
from algorithms.builtin.quality.quality_state import Kept
from algorithms.builtin.quality.voltage_events import Thresholds
from algorithms.waveform.flicker import classify
from tests.support.three_phase import Board

BEGIN_NS = 1_700_006_400 // 7200 * 7200 * NANOSECONDS
"""A full two hours of UTC."""
PHASES = ("A", "B", "C")
WINDOW_NS = 10 * NANOSECONDS


def gathering():
    board = Board(6400.0)
    maker = ResultMaker(board.context(), board.channels, (6400.0, 50), Thresholds(230.0), "230V")
    return Gathering(maker, (6, 102), PHASES, cycles=500, detail=0)


def window(begin_ns, volts=230.0, flags=(), frequency=50.0):
    squares = np.full((6, 102), volts * volts)
    return Window(
        begin_ns,
        begin_ns + WINDOW_NS,
        squares,
        np.ones(6, dtype=bool),
        (0.01, 0.005),
        frequency,
        flags,
        phase_order="ABC",
    )


def fed(into, begin_ns, end_ns, volts=lambda _: 230.0, *, flags=lambda _: ()):
    """Feed windows of ten seconds and flicker beside them."""
    records = []
    for at in range(begin_ns, end_ns, WINDOW_NS):
        records += into.add(window(at, volts(at), flags(at)))
        into.add_flicker(at, classify(np.full((100, 3), 0.5)), 10.0)
        records += into.publish(at + WINDOW_NS)
    return records


def named(records, name):
    return [record for record in records if record.payload["interval"] == name]


def test_two_hours_are_made_of_twelve_times_ten_minutes():
    records = fed(gathering(), BEGIN_NS, BEGIN_NS + TWO_HOURS)
    tens, (two,) = named(records, "10-min"), named(records, "2-h")
    assert [one.time_ns for one in tens] == [BEGIN_NS + (k + 1) * TEN_MINUTES for k in range(12)]
    assert two.time_ns == BEGIN_NS + TWO_HOURS
    pst = tens[0].payload["voltage"]["A"]["pst"]
    assert pst == pytest.approx(np.sqrt(0.5 * 0.5096), rel=0.01)
    assert two.payload["voltage"]["A"]["plt"] == pytest.approx(pst)
    assert two.payload["missing"] == 0.0
    assert two.payload["windows"] == 720
    assert two.payload["unbalance"] == {"u2": 0.01, "u0": 0.005}


def test_aggregates_are_roots_of_means_of_squares():
    def volts(at):
        return 200.0 if (at - BEGIN_NS) < TEN_MINUTES // 2 else 250.0

    (ten,) = named(fed(gathering(), BEGIN_NS, BEGIN_NS + TEN_MINUTES, volts), "10-min")
    told = ten.payload["voltage"]["B"]
    assert told["rms"] == pytest.approx(np.sqrt(0.5 * (200.0**2 + 250.0**2)), abs=1e-3)
    assert (told["lowest"], told["highest"]) == (200.0, 250.0)


def test_every_ten_minutes_of_two_hours_weigh_the_same_however_many_windows_count():
    def volts(at):
        return 200.0 if at - BEGIN_NS < TEN_MINUTES else 250.0

    def flags(at):
        return ("dip",) if 10 * WINDOW_NS <= at - BEGIN_NS < TEN_MINUTES else ()

    records = fed(gathering(), BEGIN_NS, BEGIN_NS + TWO_HOURS, volts, flags=flags)
    (two,) = named(records, "2-h")
    assert two.payload["voltage"]["A"]["rms"] == pytest.approx(np.sqrt((200.0**2 + 11 * 250.0**2) / 12), abs=1e-3)
    assert two.payload["flagged"] == {"dip": 50}
    assert two.payload["not_counted"] == 50


def test_an_interval_with_nothing_but_flagged_windows_has_no_values():
    (ten,) = named(fed(gathering(), BEGIN_NS, BEGIN_NS + TEN_MINUTES, flags=lambda _: ("swell",)), "10-min")
    assert ten.payload["voltage"]["A"]["rms"] is None
    assert ten.payload["current"]["A"] is None
    assert ten.payload["not_counted"] == 60


def test_pst_needs_half_of_its_ten_minutes_and_plt_all_of_its_pst():
    into = gathering()
    records = fed(into, BEGIN_NS + TEN_MINUTES * 3 // 4, BEGIN_NS + TWO_HOURS)
    tens, (two,) = named(records, "10-min"), named(records, "2-h")
    assert tens[0].payload["voltage"]["A"]["pst"] is None
    assert tens[1].payload["voltage"]["A"]["pst"] is not None
    assert two.payload["voltage"]["A"]["plt"] is None
    assert two.payload["missing"] == pytest.approx(450.0)


def test_hours_without_samples_are_no_intervals_and_what_was_before_is_told():
    into = gathering()
    records = fed(into, BEGIN_NS, BEGIN_NS + TEN_MINUTES // 2)
    records += fed(into, BEGIN_NS + 3 * TWO_HOURS, BEGIN_NS + 3 * TWO_HOURS + TEN_MINUTES)
    assert [one.payload["missing"] for one in named(records, "10-min")] == [300.0, 0.0]
    assert [one.time_ns for one in named(records, "2-h")] == [BEGIN_NS + TWO_HOURS]


def test_ten_minutes_wait_for_flicker():
    into = gathering()
    for at in range(BEGIN_NS, BEGIN_NS + TEN_MINUTES, WINDOW_NS):
        into.add(window(at))
    assert into.publish(BEGIN_NS + TEN_MINUTES - 1) == []
    assert len(into.publish(BEGIN_NS + TEN_MINUTES)) == 1


def test_a_clock_set_back_begins_the_interval_anew():
    into = gathering()
    records = fed(into, BEGIN_NS + TEN_MINUTES, BEGIN_NS + TEN_MINUTES * 3 // 2)
    records += fed(into, BEGIN_NS, BEGIN_NS + TEN_MINUTES)
    assert [one.time_ns - BEGIN_NS for one in named(records, "10-min")] == [2 * TEN_MINUTES, TEN_MINUTES]


def test_what_is_under_way_outlives_a_restart():
    whole = fed(gathering(), BEGIN_NS, BEGIN_NS + TWO_HOURS)
    before = gathering()
    middle = BEGIN_NS + 5 * TEN_MINUTES + 17 * WINDOW_NS
    records = fed(before, BEGIN_NS, middle)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(before.kept()), type=Kept)
    after = gathering()
    after.take_up(kept)
    records += fed(after, middle, BEGIN_NS + TWO_HOURS)
    assert len(records) == len(whole)
    for one, other in zip(records, whole, strict=True):
        found = {**one.payload, "flagged": {}}
        assert found == other.payload


def restarted(before):
    """Return another gathering that goes on from what a first one kept, by way of bytes."""
    after = gathering()
    after.take_up(msgspec.msgpack.decode(msgspec.msgpack.encode(before.kept()), type=Kept))
    return after


def test_ten_minutes_that_wait_for_flicker_outlive_a_restart():
    """Also those whose samples are all there at the moment of the checkpoint, with all that is told of them."""
    before = gathering()
    fed(before, BEGIN_NS, BEGIN_NS + TEN_MINUTES - WINDOW_NS)
    before.add(window(BEGIN_NS + TEN_MINUTES - WINDOW_NS))
    before.add(window(BEGIN_NS + TEN_MINUTES))
    after = restarted(before)
    (expected,) = before.publish(BEGIN_NS + TEN_MINUTES)
    (found,) = after.publish(BEGIN_NS + TEN_MINUTES)
    assert found.payload == expected.payload
    assert found.payload["windows"] == 60
    assert found.payload["phase_order"] == "ABC"
    assert found.payload["voltage"]["A"]["pst"] > 0


def test_ten_minutes_told_before_a_restart_are_not_told_again():
    """Whatever comes of them afterwards, late samples or what was kept of them; the next ones are whole."""
    before = gathering()
    fed(before, BEGIN_NS, BEGIN_NS + TEN_MINUTES // 2)
    stale = before.kept().ten
    fed(before, BEGIN_NS + TEN_MINUTES // 2, BEGIN_NS + TEN_MINUTES)
    kept = before.kept()
    assert kept.told_ns == BEGIN_NS + TEN_MINUTES
    for one in (kept, msgspec.structs.replace(kept, ten=stale), msgspec.structs.replace(kept, closing=[(stale, [])])):
        after = gathering()
        after.take_up(one)
        records = fed(after, BEGIN_NS + TEN_MINUTES - 2 * WINDOW_NS, BEGIN_NS + TWO_HOURS)
        tens, (two,) = named(records, "10-min"), named(records, "2-h")
        assert [ten.time_ns for ten in tens] == [BEGIN_NS + k * TEN_MINUTES for k in range(2, 13)]
        assert {ten.payload["windows"] for ten in tens} == {60}
        assert two.payload["windows"] == 720


def test_what_was_told_is_remembered_across_two_restarts():
    before = gathering()
    fed(before, BEGIN_NS, BEGIN_NS + TEN_MINUTES)
    assert restarted(restarted(before)).kept() == before.kept()


@pytest.mark.parametrize("spoil", ["phases", "numbers", "flicker", "nan"])
def test_what_belongs_to_another_arrangement_is_refused(spoil):
    before = gathering()
    fed(before, BEGIN_NS, BEGIN_NS + 3 * WINDOW_NS)
    kept = before.kept()
    if spoil == "phases":
        kept = msgspec.structs.replace(kept, severities={"A": []})
    elif spoil == "numbers":
        kept = msgspec.structs.replace(kept, ten=msgspec.structs.replace(kept.ten, numbers=kept.ten.numbers[:-8]))
    elif spoil == "nan":
        numbers = np.frombuffer(kept.ten.numbers).copy()
        numbers[3] = np.nan
        kept = msgspec.structs.replace(kept, ten=msgspec.structs.replace(kept.ten, numbers=numbers.tobytes()))
    else:
        kept = msgspec.structs.replace(kept, flicker={BEGIN_NS: ([10**9], [1.0], 1.0)})
    with pytest.raises(CheckpointError):
        gathering().take_up(kept)


def test_frequency_of_ten_seconds_is_cycles_by_the_time_they_took():
    count = FrequencyCount()
    at = BEGIN_NS
    step = NANOSECONDS // 5
    for number in range(150):
        turns = 10 if number < 75 else 11  # the second half of the time runs faster
        begin, at = at, at + step * 10 // 10
        windowed = Window(begin, at, np.zeros((1, 1)), np.ones(1, dtype=bool), None, 50.0, ())
        count.add(windowed, turns)
    assert count.take(BEGIN_NS, BEGIN_NS + 3 * 10 * NANOSECONDS) == pytest.approx([50.0, 52.5, 55.0])


def test_ten_seconds_that_are_mostly_missing_or_flagged_have_no_frequency():
    count = FrequencyCount()
    for number in range(20):
        begin = BEGIN_NS + number * NANOSECONDS
        flags = ("dip",) if 3 <= number < 6 else ()
        count.add(Window(begin, begin + NANOSECONDS, np.zeros((1, 1)), np.ones(1, dtype=bool), None, 50.0, flags), 50)
    assert count.take(BEGIN_NS, BEGIN_NS + 30 * NANOSECONDS) == [None, pytest.approx(50.0), None]
