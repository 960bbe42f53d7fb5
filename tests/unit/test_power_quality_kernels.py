"""Kernels of power quality against signals written down as equations, and against scipy where it does the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from algorithms.waveform.block_filter import block_filter
from algorithms.waveform.cycle_window import measure_window, unbalance
from algorithms.waveform.flicker import (
    LAMPS,
    N_CLASSES,
    FlickerMeter,
    classify,
    long_term_severity,
    percentiles,
    short_term_severity,
    weighting_sections,
)
from algorithms.waveform.half_cycle import cycle_rms, next_crossings
from algorithms.waveform.harmonics import exact_spectrum, n_bins_of, spline_window, subgroups, total_distortion
from algorithms.waveform.synchronisation import CommonPhase, common_phase
from tests.support.flicker_table import CHANGES


def tones(parts, n=3000):
    """Give a row of cosines written as (cycles per sample, peak, angle)."""
    places = np.arange(n)
    return sum(peak * np.cos(2 * np.pi * f * places + angle) for f, peak, angle in parts)[None]


@given(begin=st.floats(5.0, 50.0), length=st.floats(20.0, 900.0), offset=st.floats(-10.0, 10.0))
@settings(max_examples=50, deadline=None)
def test_a_window_between_samples_holds_exactly_its_length_and_nothing_of_slow_slopes_is_lost(begin, length, offset):
    first, weights = spline_window(begin, length)
    places = np.arange(first, first + weights.size)
    assert weights.sum() == pytest.approx(length, rel=1e-12)
    assert weights @ (places + offset) == pytest.approx(length * (begin + 0.5 * length + offset), rel=1e-9)


@pytest.mark.parametrize("cycle", [128.0, 127.36, 129.29, 150.6, 111.4])
def test_a_spectrum_at_exact_multiples_agrees_with_the_sum_it_stands_for(cycle):
    rng = np.random.default_rng(3)
    samples = rng.standard_normal((2, 700))
    spectrum = exact_spectrum(samples, 2.3, 5.3 * cycle, 60)
    k, n = np.arange(60), np.arange(700)
    wanted = np.sqrt(2) / (5.3 * cycle) * samples @ np.exp(-2j * np.pi * np.outer(n - 2.3, k) / (5.3 * cycle))
    wanted[:, 0] /= np.sqrt(2)
    assert np.abs(spectrum - wanted).max() < 1e-12


@pytest.mark.parametrize("cycle", [128.0, 127.36, 129.29, 150.6, 111.4])
def test_harmonics_to_the_fiftieth_are_found_between_samples(cycle):
    shares = {h: 0.01 + 0.001 * (h % 7) for h in range(2, 51, 3)}
    parts = [(1 / cycle, 1.0, 0.3)] + [(h / cycle, share, h) for h, share in shares.items()]
    values = measure_window(tones(parts), 7.77, 10 * cycle, 10, 50)
    found = np.sqrt(2 * values.squares[0, 2:52])
    assert found[0] == pytest.approx(1.0, abs=1e-4)
    for h in range(2, 51):
        assert found[h - 1] == pytest.approx(shares.get(h, 0.0), abs=3e-5)
    assert np.sqrt(values.squares[0, 1]) == pytest.approx(
        np.sqrt(sum(s * s for h, s in shares.items() if h <= 40)), abs=2e-5
    )


@pytest.mark.parametrize("cycle", [55.67, 64.02, 64.65, 71.3])
def test_harmonics_near_half_the_sampling_rate_are_not_disturbed_by_their_images(cycle):
    shares = dict.fromkeys(range(2, 27, 3), 0.03)
    parts = [(1 / cycle, 1.0, 0.3)] + [(h / cycle, share, 2.0 * h) for h, share in shares.items()]
    values = measure_window(tones(parts), 7.77, 10 * cycle, 10, 26)
    found = np.sqrt(2 * values.squares[0, 2:28])
    for h in range(2, 27):
        assert found[h - 1] == pytest.approx(shares.get(h, 0.0), abs=1e-4 if h in shares else 3e-4)


def test_a_tone_between_harmonics_counts_to_the_interharmonic_subgroup_alone():
    cycle = 128.3
    values = measure_window(tones([(1 / cycle, 1.0, 0.0), (3.5 / cycle, 0.02, 1.0)]), 4.2, 10 * cycle, 10, 50)
    between = np.sqrt(2 * values.squares[0, 52:])
    assert between[3] == pytest.approx(0.02, abs=1e-4)
    assert np.delete(between, 3).max() < 1e-4


def test_groups_take_the_bins_the_standard_names():
    powers = np.zeros(n_bins_of(10, 3))
    for k in (9, 10, 11, 12, 18, 19, 28, 29, 30, 31):
        powers[k] = 10.0**k
    harmonics, between = subgroups(powers, 10, 3)
    assert harmonics.tolist() == [1e9 + 1e10 + 1e11, 1e19, 1e29 + 1e30 + 1e31]
    assert between.tolist() == [0.0, 1e12 + 1e18, 1e28]


def test_distortion_without_a_fundamental_is_none_at_all():
    assert total_distortion(np.zeros(50)) == 0.0


def test_offset_does_not_enter_rms():
    cycle = 127.7
    values = measure_window(tones([(1 / cycle, 5.0, 0.0)]) + 3.0, 4.2, 10 * cycle, 10, 50)
    assert values.squares[0, 0] == pytest.approx(12.5, rel=1e-6)
    assert values.offset[0] == pytest.approx(3.0, rel=1e-6)


def test_samples_that_do_not_reach_are_refused():
    with pytest.raises(ValueError, match="samples to 3 beyond"):
        measure_window(np.zeros((1, 1280)), 4.2, 1280.0, 10, 50)


@given(frequency=st.floats(0.0071, 0.0085), begin=st.floats(0.0, 100.0), turn=st.floats(0.0, 6.28))
@settings(max_examples=50, deadline=None)
def test_frequency_is_found_within_four_hertz_of_what_is_expected(frequency, begin, turn):
    samples = np.vstack([tones([(frequency, 1.0, turn - k * 2.0944), (5 * frequency, 0.05, 1.0)]) for k in range(3)])
    found = common_phase(samples, begin, 50 / 6400, 10, 1e-6)
    assert found is not None
    assert found.frequency == pytest.approx(frequency, rel=2e-6)
    assert np.abs(found.phasors) == pytest.approx(np.ones(3), abs=1e-3)
    at = np.full(3, 1234.5)
    wanted = 2 * np.pi * frequency * 1234.5 + turn - np.arange(3) * 2.0944
    assert np.abs(np.exp(1j * (found.angle_at(at) - wanted)) - 1).max() < 2e-3


def test_silence_tells_no_frequency():
    assert common_phase(np.zeros((3, 3000)), 0.0, 50 / 6400, 10, 1e-6) is None


def test_crossings_are_found_again_after_a_jump_of_phase():
    frequency = 1 / 128
    phase = CommonPhase(frequency, 0.0, np.array([np.exp(1j * angle) for angle in (0.0, -2.0944, 2.0944)]))
    last = np.array([40.0, 70.0, 10.0])
    crossings = next_crossings(last, 20, phase, np.ones(3))
    angles = phase.angle_at(crossings[:, -1]) / np.pi - 0.5
    assert np.abs(angles - np.round(angles)).max() < 1e-9
    assert np.diff(crossings, axis=1).max() < 64 * 1.03
    followed = next_crossings(last, 20, phase, np.zeros(3))
    assert followed[:, -1] == pytest.approx(last + 20 * 64)


@pytest.mark.parametrize("cycle", [64.0, 64.65, 60.2, 71.1])
def test_the_rms_of_a_cycle_is_right_wherever_it_begins(cycle):
    wave = tones([(1 / cycle, 1.0, 0.4), (3 / cycle, 0.1, 1.0), (7 / cycle, 0.05, 2.0)], 400)
    crossings = (17.3 + 0.5 * cycle * np.arange(9))[None]
    rms = cycle_rms(wave**2, crossings)
    assert rms == pytest.approx(np.full((1, 7), np.sqrt(0.5 * (1 + 0.01 + 0.0025))), rel=2e-5)


def test_unbalance_does_not_depend_on_the_order_of_phases():
    a = np.exp(2j * np.pi / 3)
    right = np.array([1.0, 0.9 * a**2, 1.05 * a])
    swapped = right[[0, 2, 1]]
    assert unbalance(right) == pytest.approx(unbalance(swapped))
    assert unbalance(np.array([1.0, a**2, a])) == pytest.approx((0.0, 0.0), abs=1e-12)


@pytest.mark.parametrize("first", range(5))
def test_blocks_of_a_filter_agree_with_scipy_for_an_input_that_is_linear_between_samples(first):
    # Two sections at a time: a polynomial of all eleven poles would be scipy's own rounding.
    sections = weighting_sections(LAMPS["230V"])[first : first + 2]
    step, n = 1 / 800, 160
    made = block_filter(sections, step, n)
    rng = np.random.default_rng(2)
    slow = np.repeat(rng.standard_normal(5 * n), 1)
    numerator, denominator = np.ones(1), np.ones(1)
    for top, bottom in sections:
        numerator, denominator = np.polymul(numerator, top), np.polymul(denominator, bottom)
    state = np.zeros(made.rest.size)
    outputs = []
    for block in slow.reshape(5, n):
        outputs.append(made.seen @ state + made.through @ block)
        state = made.kept @ state + made.entered @ block
    # The block filter takes the input as 0 before the first sample, rising from there.
    times = np.arange(slow.size + 1) * step
    _, wanted, _ = signal.lsim((numerator, denominator), np.concatenate([[0.0], slow]), times)
    assert np.abs(np.concatenate(outputs) - wanted[1:]).max() < 1e-6 * np.abs(wanted).max()


def sensation_by_scipy(volts, rate, lamp, frequency):
    """Flickermeter at the full sampling rate, by filters designed in scipy; without the slow adaptation of block 1."""
    constants = LAMPS[lamp]
    squares = np.square(volts) / np.mean(np.square(volts))
    highpass = signal.butter(1, 0.05, "highpass", fs=rate, output="sos")
    lowpass = signal.butter(6, constants.cutoff, fs=rate, output="sos")
    w1, w2, w3, w4, damping = (
        2 * np.pi * value for value in (constants.w1, constants.w2, constants.w3, constants.w4, constants.damping)
    )
    top = np.polymul([constants.gain * w1, 0.0], [1 / w2, 1.0])
    bottom = np.polymul([1.0, 2 * damping, w1 * w1], np.polymul([1 / w3, 1.0], [1 / w4, 1.0]))
    weighting = signal.tf2sos(*signal.bilinear(top, bottom, rate))
    weighted = signal.sosfilt(np.vstack([highpass, lowpass, weighting]), squares - 1.0)
    memory = signal.bilinear([1.0], [0.3, 1.0], rate)
    sensed = signal.lfilter(*memory, np.square(weighted))

    def reference():
        times = np.arange(round(20 * rate)) / rate
        carrier = np.sin(2 * np.pi * frequency * times)
        wave = carrier * (1 + 0.5 * constants.threshold * np.sin(2 * np.pi * 8.8 * times))
        own = signal.sosfilt(np.vstack([highpass, lowpass, weighting]), 2 * wave**2 - 1.0)
        return signal.lfilter(*memory, np.square(own))[round(15 * rate) :].max()

    return sensed / reference()


@pytest.mark.parametrize(("lamp", "frequency"), [("230V", 50.0), ("120V", 60.0)])
@pytest.mark.parametrize("per_minute", [39, 110, 1620])
def test_sensation_agrees_with_filters_at_the_full_rate(lamp, frequency, per_minute):
    rate = 6400.0
    times = np.arange(round(40 * rate)) / rate
    side = 1 - 2 * (np.floor(times * per_minute / 60 + 1e-9) % 2)
    volts = 325.0 * np.sin(2 * np.pi * frequency * times) * (1 + CHANGES[lamp][per_minute] / 200 * side)
    meter = FlickerMeter(1, rate, LAMPS[lamp])
    blocks = [
        meter.sensation(volts[None, first : first + meter.needed])[:, 0]
        for first in range(0, volts.size - meter.needed, meter.advance)
    ]
    found = np.concatenate(blocks)
    wanted = sensation_by_scipy(volts, rate, lamp, frequency)
    steady = slice(20 * 800, None)
    assert np.percentile(found[steady], 99) == pytest.approx(np.percentile(wanted[round(20 * rate) :], 99), rel=0.01)
    assert found[steady].mean() == pytest.approx(wanted[round(20 * rate) :].mean(), rel=0.01)


def test_a_steady_voltage_does_not_flicker():
    rate = 6400.0
    times = np.arange(round(12 * rate)) / rate
    volts = 325.0 * np.sin(2 * np.pi * 50.0 * times)
    meter = FlickerMeter(1, rate, LAMPS["230V"])
    last = np.zeros((1, 1))
    for first in range(0, volts.size - meter.needed, meter.advance):
        last = meter.sensation(volts[None, first : first + meter.needed])
    assert last.max() < 0.01


def test_a_flickermeter_refuses_a_rate_it_cannot_work_with():
    with pytest.raises(ValueError, match="400 Hz or more"):
        FlickerMeter(3, 200.0, LAMPS["230V"])


@given(levels=st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=5), share=st.floats(0.1, 80.0))
@settings(max_examples=50, deadline=None)
def test_percentiles_of_classes_stay_within_a_class_of_the_samples_own(levels, share):
    rng = np.random.default_rng(1)
    samples = np.concatenate([level * np.exp(0.3 * rng.standard_normal(2000)) for level in levels])
    found = percentiles(classify(samples[:, None])[0], [share])[0]
    near = [np.percentile(samples, p, method="nearest") for p in np.clip([99.9 - share, 100.1 - share], 0, 100)]
    assert near[0] * 0.988 <= found <= near[1] * 1.012


def test_a_constant_sensation_has_one_percentile():
    counts = classify(np.full((1000, 1), 0.7))[0]
    assert percentiles(counts, [0.1, 50.0, 80.0]) == pytest.approx([0.7] * 3, rel=0.012)
    weights = 0.0314 + 0.0525 + 0.0657 + 0.28 + 0.08
    assert short_term_severity(counts) == pytest.approx(np.sqrt(0.7 * weights), rel=0.006)
    assert counts.size == N_CLASSES


def test_plt_weighs_by_the_third_power():
    assert long_term_severity([0.6] * 12) == pytest.approx(0.6)
    assert long_term_severity([0.0] * 11 + [1.0]) == pytest.approx((1 / 12) ** (1 / 3))
