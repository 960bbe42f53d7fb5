"""What the phasor estimator says of good signals, of bad ones and of none."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.errors import SettingsError
from algorithms.api.records import AngleReference, Quality
from algorithms.api.samples import Channel, Phase, Quantity, SampleFlag
from algorithms.api.wire import Header, encode
from algorithms.builtin.phasors import Phasors
from tests.support.three_phase import EPOCH_NS, Board, frames_of, seconds, six_channels, steady

PEAK = 325.0


def frames(signal, board=None, duration=1.0, settings=None, **facts):
    board = board or Board()
    return frames_of(Phasors(settings or {}), board.context(**facts), board.blocks(signal, duration))


def only(quantity):
    return tuple(channel for channel in six_channels() if channel.quantity is quantity)


def qualities(some):
    return {quality for frame in some for quality in frame.quality}


@pytest.mark.parametrize("window", [3, 4, 10])
@pytest.mark.parametrize("frequency", [45.0, 49.98, 50.0, 52.3, 55.0])
def test_an_ideal_signal_is_measured_to_a_millionth_of_a_percent(window, frequency):
    """The floor asked for is a total vector error of 0.001 %; only rounding should be left."""
    found = frames(steady(frequency, lag=0.5), settings={"window": window})
    assert len(found) >= 38
    for frame in found:
        true = PEAK / np.sqrt(2) * np.exp(2j * np.pi * (frequency - 50.0) * seconds(frame))
        assert abs(frame.voltage["A"].phasor / true - 1) < 1e-8
        assert abs(frame.current["B"].phasor / (true * 7 / PEAK * np.exp(-2j * np.pi / 3 - 0.5j)) - 1) < 1e-8
        assert frame.frequency.value == pytest.approx(frequency, abs=1e-6)
        assert frame.rocof.value == pytest.approx(0.0, abs=1e-5)
        assert 0 < frame.frequency.uncertainty < 1e-4
        assert 0 < frame.voltage["A"].u_magnitude < 1e-4
        assert frame.quality == ()


@pytest.mark.parametrize("rate", [1, 10, 25, 50])
def test_frames_stand_on_multiples_of_the_reporting_interval_in_the_utc_second(rate):
    found = frames(steady(50.1), duration=2.5, settings={"report_rate": rate})
    times = [frame.time_ns for frame in found]
    assert all(time % (10**9 // rate) == 0 for time in times)
    assert set(np.diff(times)) == {10**9 // rate}


def test_sixty_hertz_networks_report_sixty_frames_within_their_own_range():
    board = Board(30707.244)
    found = frames(steady(59.97), board, settings={"report_rate": 60}, nominal_frequency=60.0, nominal_voltage=230.0)
    assert len(found) in (55, 56)
    for frame in found:
        second, rest = divmod(frame.time_ns, 10**9)
        assert abs(rest * 60 / 1e9 - round(rest * 60 / 1e9)) < 1e-7
        true = np.exp(2j * np.pi * (59.97 - 60.0) * seconds(frame))
        assert np.angle(frame.voltage["A"].phasor / true) == pytest.approx(0.0, abs=1e-6)
        assert second == EPOCH_NS // 10**9 or rest == 0
    assert qualities(found) == set()


def test_skew_between_multiplexed_channels_disappears():
    channels = tuple(replace(c, skew=k / 6 / 6400) for k, c in enumerate(six_channels()))
    lag = np.arccos(0.25)
    plain = frames(steady(49.7, lag=lag))[-1]
    skewed = frames(steady(49.7, lag=lag), Board(channels=channels))[-1]
    assert skewed.power["total"].p == pytest.approx(plain.power["total"].p, rel=1e-9)
    assert skewed.power["total"].pf == pytest.approx(0.25, abs=1e-9)


def test_powers_are_positive_into_a_load_and_count_harmonics_by_ieee_1459():
    """V 325 and I 7 peak lagging 0.5 rad, with 10 % of order 5 in both: P = 3/2 V I (cos 0.5 + 0.01 cos 2.5)."""
    found = frames(steady(50.2, lag=0.5, harmonics=[(5, 0.1, 0.4)]))[-1]
    s = 0.5 * PEAK * 7
    phase, total = found.power["B"], found.power["total"]
    assert phase.p == pytest.approx(s * (np.cos(0.5) + 0.01 * np.cos(2.5)), rel=1e-6)
    assert phase.q == pytest.approx(s * np.sin(0.5), rel=1e-6)
    assert phase.s == pytest.approx(s * 1.01, rel=1e-6)
    assert phase.pf == pytest.approx(phase.p / phase.s, rel=1e-12)
    assert total.p == pytest.approx(3 * phase.p, rel=1e-6)
    assert found.voltage["A"].rms == pytest.approx(PEAK / np.sqrt(2) * np.sqrt(1.01), rel=1e-6)
    assert found.voltage["A"].magnitude == pytest.approx(PEAK / np.sqrt(2), rel=1e-5)


@pytest.mark.parametrize("frequency", [45.0, 49.9, 50.0])
def test_true_rms_of_a_twelve_bit_board_is_good_to_a_hundredth_of_a_percent(frequency):
    """10 cycles, 4 V peak on +-10 V, half a step of noise, twelve harmonics: mean error 0.01 %."""
    step = 20 / 4096
    channels = tuple(replace(c, resolution=step) for c in six_channels())
    orders = [(h, 0.02, 0.1 * h) for h in range(2, 14)]
    found = frames(
        steady(frequency, [4.0] * 3 + [3.0] * 3, harmonics=orders),
        Board(3200.0, channels, noise=step / 2, step=step),
        duration=3.0,
        settings={"window": 10},
        nominal_voltage=2.83,
    )
    true = 4 / np.sqrt(2) * np.sqrt(1 + 12 * 0.02**2)
    errors = [frame.voltage[p].rms / true - 1 for frame in found for p in "ABC"]
    assert np.sqrt(np.mean(np.square(errors))) < 1e-4
    assert np.max(np.abs(errors)) < 4e-4


def test_without_synchronised_time_angles_are_referred_to_the_devices_own_clock():
    found = frames(steady(50.0), synchronised=False)[-1]
    assert found.reference is AngleReference.OWN
    assert found.voltage["A"].angle == pytest.approx(0.0, abs=1e-8)
    assert found.quality == ()


def test_uncertain_time_is_part_of_every_angle_referred_to_utc_and_of_no_other():
    board = Board()
    blocks = [replace(block, time_uncertainty=1e-5) for block in board.blocks(steady(50.0), 1.0)]
    utc = frames_of(Phasors({}), board.context(), blocks)[-1]
    own = frames_of(Phasors({}), board.context(synchronised=False), blocks)[-1]
    assert utc.voltage["A"].u_angle == pytest.approx(2 * np.pi * 50 * 1e-5, rel=1e-3)
    assert utc.voltage_sequence.positive.u_angle == pytest.approx(2 * np.pi * 50 * 1e-5, rel=1e-3)
    assert own.voltage["A"].u_angle < 1e-6
    hopeless = [replace(block, time_uncertainty=0.1) for block in board.blocks(steady(50.0), 1.0)]
    assert frames_of(Phasors({}), board.context(), hopeless)[-1].reference is AngleReference.OWN


def test_a_dead_line_has_no_frequency_and_its_noise_no_angle():
    board = Board(noise=0.05)
    found = frames(steady(50.0, [0.0] * 6), board)
    assert len(found) > 40
    for frame in found:
        assert frame.quality[0] is Quality.DEAD
        assert frame.frequency is None
        assert frame.rocof is None
    assert np.mean([frame.voltage["A"].angle is None for frame in found]) > 0.95
    assert np.mean([frame.power["total"].pf is None for frame in found]) > 0.9


def test_voltage_below_a_tenth_of_nominal_is_low_and_tells_no_frequency():
    frame = frames(steady(50.0, [25.0] * 3 + [7.0] * 3))[-1]
    assert frame.quality == (Quality.LOW_VOLTAGE,)
    assert frame.frequency is None
    assert frame.voltage["A"].angle == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("lost", ["A", "AB", "BC"])
def test_the_phases_left_tell_the_frequency_when_others_are_missing(lost):
    peaks = [0.0 if p in lost else PEAK for p in "ABC"] + [7.0] * 3
    frame = frames(steady(50.42, peaks), Board(noise=0.01))[-1]
    assert frame.quality == (Quality.PHASE_MISSING,)
    assert frame.frequency.value == pytest.approx(50.42, abs=1e-3)


def test_a_meter_with_voltages_only_has_no_powers():
    frame = frames(steady(50.1), Board(channels=only(Quantity.VOLTAGE)))[-1]
    assert frame.frequency.value == pytest.approx(50.1, abs=1e-6)
    assert (frame.current, frame.power, frame.current_sequence) == ({}, {}, None)


def test_a_meter_with_currents_only_measures_frequency_from_them():
    def currents(times, k):
        return steady(50.1)(times, k + 3)

    frame = frames(currents, Board(channels=only(Quantity.CURRENT), noise=0.001))[-1]
    assert frame.frequency.value == pytest.approx(50.1, abs=0.01)
    assert frame.voltage_sequence is None
    assert frame.quality == ()


def test_one_phase_with_its_current_is_a_meter_too():
    channels = (Channel("ub", Quantity.VOLTAGE, Phase.B), Channel("ib", Quantity.CURRENT, Phase.B))

    def signal(times, k):
        return steady(50.1)(times, 1 + 3 * k)

    frame = frames(signal, Board(channels=channels))[-1]
    assert frame.quality == ()
    assert frame.frequency.value == pytest.approx(50.1, abs=1e-6)
    assert set(frame.power) == {"B", "total"}
    assert frame.voltage_sequence is None


@pytest.mark.parametrize("frequency", [43.0, 44.5, 55.5, 58.0, 62.0, 40.0])
def test_a_frequency_out_of_range_is_flagged(frequency):
    found = frames(steady(frequency))
    assert all(Quality.OUT_OF_RANGE in frame.quality for frame in found)
    for frame in found:
        assert frame.frequency is None or frame.frequency.value == pytest.approx(frequency, abs=0.2)


@pytest.mark.parametrize("frequency", [45.0, 55.0])
def test_noise_does_not_decide_at_the_very_end_of_the_range(frequency):
    assert qualities(frames(steady(frequency), Board(noise=0.02))) == set()


def test_a_fault_inside_the_window_is_a_transient_and_only_there():
    def signal(times, k):
        fallen = (times >= 0.5) & (k == 0)
        return steady(50.0)(times, k) * np.where(fallen, 0.4, 1.0)

    for frame in frames(signal):
        inside = abs(seconds(frame) - 0.5) < 0.035
        outside = abs(seconds(frame) - 0.5) > 0.041
        if inside or outside:
            assert (Quality.TRANSIENT in frame.quality) == inside


def test_clipped_samples_flag_the_frames_that_saw_them():
    board = Board()
    blocks = board.blocks(steady(50.0), 1.0)
    blocks[4] = replace(blocks[4], flags=SampleFlag.CLIPPED)  # 0.4 s to 0.5 s
    for frame in frames_of(Phasors({}), board.context(), blocks):
        clipped = 0.4 - 0.04 - 1e-6 < seconds(frame) < 0.5 + 0.04 - 1e-6
        assert (Quality.CLIPPED in frame.quality) == clipped


def test_blocks_without_utc_give_unsynchronised_frames():
    board = Board()
    blocks = [replace(block, flags=SampleFlag.UNSYNCHRONISED) for block in board.blocks(steady(50.0), 0.5)]
    found = frames_of(Phasors({}), board.context(), blocks)
    assert all(frame.quality == (Quality.UNSYNCHRONISED,) for frame in found)
    assert {frame.reference for frame in found} == {AngleReference.OWN}


def test_after_a_gap_frames_are_right_at_once_and_the_first_says_so():
    board = Board()
    blocks = board.blocks(steady(50.3), 1.2)
    kept = [*blocks[:4], replace(blocks[6], flags=SampleFlag.LOST), *blocks[7:]]
    found = frames_of(Phasors({}), board.context(), kept)
    flagged = [frame for frame in found if Quality.GAP in frame.quality]
    assert len(flagged) == 1
    assert 0.6 < seconds(flagged[0]) < 0.66
    assert not [frame for frame in found if 0.37 < seconds(frame) < 0.63]
    assert all(frame.frequency.value == pytest.approx(50.3, abs=1e-6) for frame in found)


def test_jittering_time_stamps_leave_frequency_alone():
    board = Board(block=64)
    rng = np.random.default_rng(8)
    blocks = [
        replace(block, time_ns=block.time_ns + round(2e5 * rng.normal()), time_uncertainty=2e-4)
        for block in board.blocks(steady(50.3), 3.0)
    ]
    found = frames_of(Phasors({}), board.context(), blocks)
    assert max(abs(frame.frequency.value - 50.3) for frame in found) < 1e-6


def test_blocks_tell_the_true_rate_whatever_was_granted():
    """A board that was asked for 6,400 Hz and samples at 6,403.2199 Hz."""
    board = Board(6403.2199)
    found = frames(steady(50.0), board, sample_rate=6400.0)
    assert max(abs(frame.frequency.value - 50.0) for frame in found) < 1e-6
    assert max(abs(frame.voltage["A"].angle) for frame in found) < 1e-6


def test_too_low_a_rate_is_a_problem_of_the_settings_and_gives_no_frames():
    board = Board(400.0)
    with pytest.raises(SettingsError, match=r"at least 500 .*10 samples per cycle"):
        Phasors({}).start(board.context(), None)
    assert frames(steady(50.0), board, sample_rate=0.0, channels=()) == []


def test_every_problem_of_settings_and_channels_is_told_at_once():
    channels = (Channel("in", Quantity.CURRENT, Phase.N), Channel("in2", Quantity.CURRENT, Phase.N))
    with pytest.raises(SettingsError) as refused:
        Phasors({"window": 5, "rate": 1}).start(Context("m", channels=channels, sample_rate=100.0), None)
    assert [problem.where for problem in refused.value.problems] == [
        "settings.rate",
        "settings.window",
        "acquisition.sample_rate",
        "channels.in2",
        "channels",
    ]


def test_more_frames_than_cycles_are_refused():
    with pytest.raises(SettingsError, match="at most the nominal frequency"):
        Phasors({"report_rate": 60}).start(Board().context(), None)


@pytest.mark.parametrize(("performance_class", "cycles"), [("P", 3), ("M", 10)])
@pytest.mark.parametrize("nominal", [50.0, 60.0])
def test_a_performance_class_decides_the_window(performance_class, cycles, nominal):
    settings = {"performance_class": performance_class, "report_rate": int(nominal)}
    found = frames(steady(nominal), settings=settings, nominal_frequency=nominal)
    assert found[-1].window == pytest.approx(cycles / nominal, abs=2 / 6400)


@pytest.mark.parametrize(("settings", "where", "found"), [
    ({"performance_class": "P", "window": 4}, "window", "4"),
    ({"performance_class": "P", "report_rate": 20}, "report_rate", "20"),
    ({"performance_class": "M", "report_rate": 25}, "report_rate", "25"),
    ({"performance_class": "M", "frequency_range": 3.0}, "frequency_range", "3"),
    ({"performance_class": "S"}, "performance_class", "S"),
])  # fmt: skip
def test_settings_that_would_break_the_class_asked_for_are_refused(settings, where, found):
    with pytest.raises(SettingsError) as refused:
        Phasors(settings).start(Board().context(), None)
    (problem,) = refused.value.problems
    assert problem.where == f"settings.{where}"
    assert found in problem.found


def test_a_class_may_be_stated_together_with_its_own_window_and_every_problem_is_told_at_once():
    Phasors({"performance_class": "M", "window": 10}).start(Board().context(), None)
    wrong = {"performance_class": "M", "window": 3, "report_rate": 10, "frequency_range": 1}
    with pytest.raises(SettingsError) as refused:
        Phasors(wrong).start(Board().context(), None)
    assert len(refused.value.problems) == 3


def test_a_class_is_not_promised_of_too_few_samples():
    with pytest.raises(SettingsError, match=r"sample_rate: expected at least 3000 \[Hz\] for class P, found 1600"):
        Phasors({"performance_class": "P"}).start(Board(1600.0).context(), None)
    Phasors({"window": 3}).start(Board(1600.0).context(), None)


def test_there_is_no_class_for_other_nominal_frequencies():
    with pytest.raises(SettingsError, match="none for this nominal frequency"):
        Phasors({"performance_class": "P", "report_rate": 10}).start(Board().context(nominal_frequency=16.7), None)


def test_a_tenth_of_the_nominal_voltage_still_tells_the_frequency():
    """Where the measurement class begins, noise must not decide whether there is a frequency."""
    found = frames(steady(50.1, [32.527] * 3 + [7.0] * 3), Board(noise=0.05), nominal_voltage=230.0)
    assert all(frame.frequency is not None and frame.quality == () for frame in found)


def test_other_channels_or_another_rate_while_running_start_afresh():
    first, second = Board(6400.0), Board(3200.0, only(Quantity.VOLTAGE))
    algorithm = Phasors({})
    algorithm.start(first.context(), None)
    before = [frame for block in first.blocks(steady(50.1), 0.5) for frame in algorithm.process(block)]
    after = [frame for block in second.blocks(steady(50.1), 0.5) for frame in algorithm.process(block)]
    assert before[-1].power
    assert after[-1].power == {}
    assert after[-1].frequency.value == pytest.approx(50.1, abs=1e-6)


def test_a_whole_frame_fits_one_network_packet():
    """1,400 bytes of JSON leave room for the headers of one Ethernet frame."""
    board = Board(noise=0.1)
    frame = frames(steady(50.03), board)[-1]
    message = encode(frame, Header("meter-1", 12, 3, 123_456_789, frame.time_ns))
    assert len(message) < 1400
    assert json.loads(message)["schema"] == "frame/1"


def test_single_precision_samples_lose_no_more_than_their_last_digit():
    board = Board()
    blocks = [replace(block, values=block.values.astype(np.float32)) for block in board.blocks(steady(50.3), 0.5)]
    frame = frames_of(Phasors({}), board.context(), blocks)[-1]
    true = PEAK / np.sqrt(2) * np.exp(2j * np.pi * 0.3 * seconds(frame))
    assert abs(frame.voltage["A"].phasor / true - 1) < 1e-7
    assert frame.frequency.value == pytest.approx(50.3, abs=1e-5)


def test_the_frequency_is_found_again_after_a_dead_time_elsewhere():
    def signal(times, k):
        before = steady(50.0)(times, k) * (times < 0.5)
        return before + steady(46.0)(times, k) * (times > 1.0)

    found = frames(signal, duration=1.5, settings={"window": 10})
    after = [frame for frame in found if seconds(frame) > 1.11]
    assert all(frame.frequency.value == pytest.approx(46.0, abs=1e-6) for frame in after)
    assert all(frame.frequency is None for frame in found if 0.61 < seconds(frame) < 0.89)


def test_the_meter_need_not_load_scipy():
    """Memory on the smallest target: one import costs 30 MB."""
    code = "import sys, algorithms.builtin.phasors; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
