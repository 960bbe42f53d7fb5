"""The power-quality meter as a whole: intervals, ticks, gaps, flags, and what a poor installation does."""

from dataclasses import replace

import numpy as np
import pytest

from algorithms.api.errors import SettingsError
from algorithms.api.records import Event
from algorithms.api.samples import Channel, Phase, Quantity, SampleFlag
from tests.support.quality_meter import RATE, TICK_NS, blocks, events, run, started, told
from tests.support.three_phase import Board, six_channels, steady


def test_windows_are_contiguous_and_begin_anew_at_the_tick():
    records = run(started(shortest_interval="10-cycle"), blocks(steady(50.1), 4.0, -2.0))
    windows = told(records, "10-cycle")
    ends = np.array([one.time_ns - TICK_NS for one in windows]) * 1e-9
    lengths = np.array([one.payload["duration"] for one in windows])
    assert lengths == pytest.approx(np.full(lengths.size, 10 / 50.1), abs=2e-6)
    begins = ends - lengths
    at_tick = int(np.argmin(np.abs(begins)))
    assert begins[at_tick] == pytest.approx(0.0, abs=2e-6)
    assert 0 < ends[at_tick - 1] < 0.2  # the one across the tick was finished
    gaps = np.delete(begins[1:] - ends[:-1], at_tick - 1)
    assert np.abs(gaps).max() < 2e-6


def test_a_hundred_and_fifty_cycles_under_way_at_the_tick_are_finished_beside_the_new_ones():
    records = run(started(shortest_interval="150-cycle"), blocks(steady(50.0), 11.0, -4.0))
    ends = sorted((one.time_ns - TICK_NS) * 1e-9 for one in told(records, "150-cycle"))
    assert ends[0] < 0
    assert ends[1] == pytest.approx(ends[0] + 3.0, abs=1e-4)  # begun before the tick
    assert ends[2] == pytest.approx(3.0, abs=1e-4)
    assert ends[3] == pytest.approx(6.0, abs=1e-4)
    assert all(one.payload["windows"] == 15 for one in told(records, "150-cycle"))


def test_at_sixty_hertz_windows_have_twelve_cycles():
    context = Board(RATE).context(nominal_frequency=60.0, nominal_voltage=120.0)
    records = run(started(context=context, shortest_interval="10-cycle"), blocks(steady(60.0, [170.0] * 6), 2.0))
    windows = told(records, "12-cycle")
    assert windows[0].payload["duration"] == pytest.approx(0.2, abs=1e-6)
    assert windows[0].payload["frequency"] == pytest.approx(60.0, abs=1e-4)
    assert windows[0].payload["lamp"] == "120V"


def test_ten_minutes_hold_sixty_values_of_frequency_and_flicker():
    algorithm = started()
    signal = steady(50.05)  # 1001 cycles in 20 s
    records = []
    first = 0
    given = blocks(signal, 20.0, length=640)
    for turn in range(31):
        moved = [
            replace(one, first_index=one.first_index + first, time_ns=one.time_ns + round(first / RATE * 1e9))
            for one in given
        ]
        records += run(algorithm, moved)
        first += round(20.0 * RATE)
        if turn == 29:
            assert not told(records, "10-min")
    (ten,) = told(records, "10-min")
    payload = ten.payload
    assert ten.time_ns == TICK_NS + 600 * 10**9
    assert ten.urgent
    assert len(payload["frequency_10s"]) == 60
    assert payload["frequency_10s"] == pytest.approx([50.05] * 60, abs=1e-4)
    assert 2990 <= payload["windows"] <= 3004
    assert payload["missing"] == 0.0
    assert payload["voltage"]["A"]["rms"] == pytest.approx(325 / np.sqrt(2), rel=1e-3)
    assert payload["voltage"]["A"]["pst"] < 0.1


def test_flagged_windows_are_told_and_counted_but_not_averaged_in():
    def signal(times, k):
        dip = np.where((times > 1.0) & (times < 1.5), 0.5, 1.0) if k == 1 else 1.0
        return steady(50.0)(times, k) * dip

    records = run(started(shortest_interval="10-cycle"), blocks(signal, 4.0))
    (dip,) = events(records, "voltage-dip")
    assert dip.phases == ("B",)
    assert dip.evidence["residual_voltage"] == pytest.approx(0.5 * 325 / np.sqrt(2), rel=1e-3)
    assert dip.evidence["duration"] == pytest.approx(0.5, abs=0.02)
    flagged = [one.payload for one in told(records, "10-cycle") if one.payload["flagged"]]
    assert len(flagged) in (3, 4)
    assert all(one["flagged"] == {"dip": 1} for one in flagged)
    assert min(one["voltage"]["B"]["rms"] for one in flagged) < 120.0
    (group,) = told(records, "150-cycle")
    assert group.payload["not_counted"] == len(flagged)
    assert group.payload["voltage"]["B"]["rms"] == pytest.approx(325 / np.sqrt(2), rel=1e-4)


def test_a_long_event_is_announced_while_it_lasts():
    def signal(times, k):
        return steady(50.0)(times, k) * np.where((times > 1.0) & (times < 4.0), 0.0, 1.0)

    records = run(started(), blocks(signal, 6.0))
    announced, final = events(records, "interruption")
    assert announced.end_ns is None
    assert final.start_ns == announced.start_ns
    assert final.evidence["duration"] == pytest.approx(3.0, abs=0.02)


def test_a_gap_cuts_windows_and_is_named():
    signal = steady(50.0)
    begin = blocks(signal, 2.0)
    after = blocks(signal, 3.0, 3.0, first=round(3.0 * RATE), flags=None)
    algorithm = started(shortest_interval="10-cycle")
    records = run(algorithm, begin + after)
    ends = np.array([one.time_ns - TICK_NS for one in told(records, "10-cycle")]) * 1e-9
    assert not ((ends > 2.0) & (ends < 3.2)).any()
    finished = algorithm._meter.finish()
    (ten,) = told(finished, "10-min")
    assert ten.payload["flagged"] == {"gap": 2}  # the one in the middle, and the end
    assert ten.payload["missing"] == pytest.approx(595.4, abs=0.4)


def test_missing_values_are_a_gap():
    given = blocks(steady(50.0), 3.0)
    values = given[60].values.copy()
    values[:, 10:20] = np.nan
    given[60] = replace(given[60], values=values, flags=SampleFlag.MISSING)
    windows = told(run(started(shortest_interval="10-cycle"), given), "10-cycle")
    ends = np.array([one.time_ns - TICK_NS for one in windows]) * 1e-9
    hole = (60 * 64 + 15) / RATE
    assert not ((ends > hole) & (ends < hole + 0.19)).any()
    assert all(np.isfinite(one.payload["voltage"]["A"]["rms"]) for one in windows)


def test_clipped_blocks_flag_their_windows():
    given = blocks(steady(50.0), 2.0)
    given[45] = replace(given[45], flags=SampleFlag.CLIPPED)
    windows = told(run(started(shortest_interval="10-cycle"), given), "10-cycle")
    assert [one.payload["flagged"] for one in windows if one.payload["flagged"]] == [{"clipped": 1}]


@pytest.mark.parametrize(("frequency", "flagged"), [(42.0, True), (42.6, False), (57.4, False), (58.0, True)])
def test_a_frequency_outside_class_a_flags(frequency, flagged):
    windows = told(run(started(shortest_interval="10-cycle"), blocks(steady(frequency), 2.0)), "10-cycle")
    assert windows
    assert all(("frequency" in one.payload["flagged"]) is flagged for one in windows)


def test_a_dead_phase_is_left_out_by_itself():
    signal = steady(50.0, [325.0, 0.0, 325.0, 7.0, 7.0, 7.0])
    records = run(started(shortest_interval="10-cycle"), blocks(signal, 2.0))
    assert not events(records, "voltage-dip")
    payload = told(records, "10-cycle")[-1].payload
    assert payload["voltage"]["B"] is None
    assert payload["voltage"]["A"]["rms"] == pytest.approx(325 / np.sqrt(2), rel=1e-4)
    assert payload["unbalance"] is None


def test_no_signal_at_all_is_no_value():
    windows = told(run(started(shortest_interval="10-cycle"), blocks(lambda t, _: 0.0 * t, 2.0)), "10-cycle")
    assert all(one.payload["frequency"] is None for one in windows)
    assert all(one.payload["voltage"]["A"] is None for one in windows)
    assert all(one.payload["flagged"] == {"frequency": 1} for one in windows)


def test_an_offset_of_the_converter_disturbs_nothing():
    signal = lambda times, k: steady(50.0)(times, k) + 40.0  # noqa: E731
    records = run(started(shortest_interval="10-cycle"), blocks(signal, 3.0))
    assert not [one for one in records if isinstance(one, Event)]
    assert told(records, "10-cycle")[-1].payload["voltage"]["A"]["rms"] == pytest.approx(325 / np.sqrt(2), rel=1e-4)


def test_a_load_rich_in_third_harmonic_neither_disturbs_frequency_nor_zero_crossings():
    signal = steady(50.03, harmonics=[(3, 0.4, 2.0), (9, 0.1, 1.0)])
    records = run(started(shortest_interval="10-cycle"), blocks(signal, 3.0))
    assert not [one for one in records if isinstance(one, Event)]
    payload = told(records, "10-cycle")[-1].payload
    assert payload["frequency"] == pytest.approx(50.03, abs=1e-4)
    assert payload["voltage"]["A"]["harmonics"][2] == pytest.approx(0.4 * 325 / np.sqrt(2), rel=1e-3)


def test_two_swapped_phases_are_balanced_still():
    swapped = lambda times, k: steady(50.0)(times, (0, 2, 1, 3, 5, 4)[k])  # noqa: E731
    payload = told(run(started(shortest_interval="10-cycle"), blocks(swapped, 2.0)), "10-cycle")[-1].payload
    assert payload["unbalance"]["u2"] < 1e-4


def test_what_a_low_rate_cannot_tell_is_named_and_not_told():
    payload = told(run(started(shortest_interval="10-cycle"), blocks(steady(50.0), 2.0)), "10-cycle")[-1].payload
    assert len(payload["voltage"]["A"]["harmonics"]) == 26
    assert payload["voltage"]["A"]["distortion"] is None
    named = [text.partition(":")[0] for text in payload["not_measured"]]
    assert named == ["harmonics 27 to 50", "distortion to order 40"]


@pytest.mark.parametrize("full_scale", [500.0, 0.0])
def test_windows_with_samples_that_no_converter_delivers_are_flagged(full_scale):
    """A single one is enough; the next windows are right, and the state can be taken up."""
    channels = six_channels(full_scale=full_scale)
    given = blocks(steady(50.0), 3.0, channels=channels)
    values = given[60].values.copy()
    values[4, 7] = 1e30
    given[60] = replace(given[60], values=values)
    context = Board(RATE, channels).context()
    algorithm = started(context=context, shortest_interval="10-cycle")
    windows = told(run(algorithm, given), "10-cycle")
    assert [one.payload["flagged"] for one in windows if one.payload["flagged"]] == [{"clipped": 1}]
    started(algorithm.checkpoint(), context=context)
    (ten,) = told(algorithm._meter.finish(), "10-min")
    assert ten.payload["current"]["B"]["rms"] == pytest.approx(7 / np.sqrt(2), rel=1e-4)


def test_everything_wrong_with_the_settings_is_said_at_once():
    with pytest.raises(SettingsError) as refusal:
        started(dip=2.0, lamp="candle", swell="high")
    assert {problem.where for problem in refusal.value.problems} == {"settings.dip", "settings.lamp", "settings.swell"}


def test_a_rate_too_low_is_refused_before_anything_runs():
    with pytest.raises(SettingsError, match="at least 500"):
        started(context=Board(400.0).context())


def test_voltages_alone_and_currents_alone_are_measured():
    volts = tuple(Channel(f"u{p}", Quantity.VOLTAGE, Phase(p)) for p in "AB")
    amperes = tuple(Channel(f"i{p}", Quantity.CURRENT, Phase(p)) for p in "ABC")
    for channels in (volts, amperes):
        context = Board(RATE, channels).context()
        given = blocks(steady(50.0), 2.0, channels=channels)
        payload = told(run(started(context=context, shortest_interval="10-cycle"), given), "10-cycle")[-1].payload
        assert payload["frequency"] == pytest.approx(50.0, abs=1e-4)
        assert payload["unbalance"] is None


def test_samples_that_stop_finish_what_was_under_way():
    def signal(times, k):
        return steady(50.0)(times, k) * np.where(times > 1.0, 0.6, 1.0)

    algorithm = started()
    records = run(algorithm, blocks(signal, 1.15))
    assert not events(records, "voltage-dip")
    end_ns = TICK_NS + round(1.15e9)
    assert not algorithm.tick(end_ns + 10**9)
    (dip,) = algorithm.tick(end_ns + 3 * 10**9)
    assert dip.evidence["cut_by_gap"]
    assert dip.evidence["residual_voltage"] == pytest.approx(0.6 * 325 / np.sqrt(2), rel=1e-3)
    assert algorithm.tick(end_ns + 4 * 10**9) == []
    ended = algorithm.tick(TICK_NS + 606 * 10**9)
    assert [one.payload["interval"] for one in ended] == ["10-min"]


def test_uncertainties_follow_from_gain_and_steps_of_the_converter():
    channels = six_channels(gain_uncertainty=0.002, resolution=0.4)

    def signal(times, k):
        return steady(50.0)(times, k) * np.where((times > 1.0) & (times < 1.2), 0.5, 1.0)

    context = Board(RATE, channels).context()
    records = run(started(context=context, shortest_interval="10-cycle"), blocks(signal, 2.0, channels=channels))
    payload = told(records, "10-cycle")[0].payload
    assert payload["voltage"]["A"]["u_rms"] == pytest.approx(0.002 * 325 / np.sqrt(2), rel=0.01)
    (dip,) = events(records, "voltage-dip")
    noise = 0.4 / np.sqrt(12) / np.sqrt(64)
    assert dip.evidence["u_residual_voltage"] == pytest.approx(np.hypot(0.001 * 325 / np.sqrt(2), noise), rel=0.01)


def test_the_uncertainty_of_time_is_told():
    given = [replace(one, time_uncertainty=0.002) for one in blocks(steady(50.0), 1.0)]
    assert told(run(started(shortest_interval="10-cycle"), given), "10-cycle")[0].payload["time_uncertainty"] == 0.002


def test_a_frequency_that_moves_fast_is_followed():
    def signal(times, k):
        angle = 2 * np.pi * (48.0 * times + 0.5 * times * times) - 2 * np.pi / 3 * (k % 3)
        return 325.0 * np.cos(angle)

    windows = told(run(started(shortest_interval="10-cycle"), blocks(signal, 4.0)), "10-cycle")
    for one in windows:
        middle = (one.time_ns - TICK_NS) * 1e-9 - 0.5 * one.payload["duration"]
        assert one.payload["frequency"] == pytest.approx(48.0 + middle, abs=0.003)
        assert one.payload["voltage"]["A"]["rms"] == pytest.approx(325 / np.sqrt(2), rel=5e-5)


def test_a_frequency_that_jumps_out_of_reach_is_found_again():
    def signal(times, k):
        angle = 2 * np.pi * np.where(times < 2.0, 50.0 * times, 100.0 + 56.0 * (times - 2.0))
        return 325.0 * np.cos(angle - 2 * np.pi / 3 * (k % 3))

    windows = told(run(started(shortest_interval="10-cycle"), blocks(signal, 4.0)), "10-cycle")
    assert [one.payload["frequency"] for one in windows[-3:]] == pytest.approx([56.0] * 3, abs=1e-3)


@pytest.mark.parametrize("sources", [(0, 1, -2), (0, 0, 2), (-0.0, 1, 2)])
def test_voltages_in_no_order_are_a_fault_of_the_wiring_and_flagged(sources):
    def signal(times, k):
        if k >= 3:
            return steady(50.0)(times, k)
        sign = -1.0 if np.signbit(sources[k]) else 1.0
        return sign * steady(50.0)(times, int(abs(sources[k])))

    windows = told(run(started(shortest_interval="10-cycle"), blocks(signal, 2.0)), "10-cycle")
    assert all(one.payload["flagged"] == {"wiring": 1} for one in windows)
    assert windows[0].payload["phase_order"] is None


def test_the_order_of_phases_is_told():
    windows = told(run(started(shortest_interval="10-cycle"), blocks(steady(50.0), 1.0)), "10-cycle")
    assert windows[0].payload["phase_order"] == "ABC"
    swapped = lambda times, k: steady(50.0)(times, (0, 2, 1, 3, 5, 4)[k])  # noqa: E731
    windows = told(run(started(shortest_interval="10-cycle"), blocks(swapped, 1.0)), "10-cycle")
    assert windows[0].payload["phase_order"] == "ACB"
    assert windows[0].payload["flagged"] == {}
