"""The kernels of algorithms.waveform against least squares and integrals written down here a second time."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from algorithms.waveform.frequency import coarse_frequency, common_frequency, search_functions
from algorithms.waveform.phasor import fit_window, taylor_fourier_table, window_shape
from algorithms.waveform.power import (
    at_instant,
    harmonic_products,
    harmonic_turns,
    mean_product,
    power_factor_uncertainty,
)
from algorithms.waveform.rms import true_rms
from algorithms.waveform.symmetry import component_uncertainty, symmetrical_components
from algorithms.waveform.tracking import FrequencyTrackingEstimator

HALF = 128
NU = 50.3 / 3200


def cosine(nu=NU, size=1.0, angle=0.0, half=HALF):
    return size * np.cos(2 * np.pi * nu * np.arange(-half, half + 1) + angle)


@pytest.mark.parametrize("beta", [0.0, 3.0, 5.0])
def test_the_fit_equals_a_weighted_least_squares_of_the_whole_window(beta):
    table = taylor_fourier_table(window_shape(HALF, beta), NU, 7)
    window = np.random.default_rng(3).normal(size=(4, 2 * HALF + 1)) + cosine(size=5.0, angle=0.4)
    tau = np.arange(-HALF, HALF + 1) / HALF
    angle = 2 * np.pi * NU * HALF * tau
    columns = [np.ones_like(tau)]
    for k in range(3):
        columns += [tau**k * np.cos(angle), -(tau**k) * np.sin(angle)]
    for h in range(2, 8):
        columns += [np.cos(h * angle), -np.sin(h * angle)]
    weight = window_shape(HALF, beta)[:, None]
    solution, residual, *_ = np.linalg.lstsq(np.array(columns).T * weight, window.T * weight, rcond=None)

    fit = fit_window(table, window)

    np.testing.assert_allclose(fit.offset, solution[0], atol=1e-9)
    for k in range(3):
        np.testing.assert_allclose(
            np.array(fit.phasors)[:, k], solution[1 + 2 * k] + 1j * solution[2 + 2 * k], atol=1e-8
        )
    for h in range(2, 8):
        expected = solution[7 + 2 * (h - 2)] + 1j * solution[8 + 2 * (h - 2)]
        np.testing.assert_allclose(fit.harmonics[:, h - 2], expected, atol=1e-8)
    np.testing.assert_allclose(np.array(fit.noise) * table.degrees_of_freedom, residual, rtol=1e-9)


def test_noise_and_covariance_are_those_of_many_noisy_windows():
    """4,000 windows: the standard error of a variance is 2.2 %."""
    table = taylor_fourier_table(window_shape(HALF, 4.0), NU, 5)
    noise = 0.3 * np.random.default_rng(7).normal(size=(4000, 2 * HALF + 1))

    fit = fit_window(table, noise + cosine(size=2.0, angle=1.0))

    assert np.mean(fit.noise) == pytest.approx(0.09, rel=0.01)
    exact = np.array([2.0 * np.exp(1j), 0.0, 0.0])
    errors = np.array(fit.phasors).T - exact[:, None]
    found = np.square(np.abs(errors)).mean(axis=1) / 2
    np.testing.assert_allclose(found, 0.09 * np.diag(table.covariance), rtol=0.08)
    mean = errors[0] + table.spread * errors[2]
    assert np.square(np.abs(mean)).mean() / 2 == pytest.approx(0.09 * table.mean_variance, rel=0.08)


@pytest.mark.parametrize("damping", [0.0, 0.3, 1.0])
def test_a_damped_value_lies_between_the_middle_and_the_mean_and_has_less_noise(damping):
    table = taylor_fourier_table(window_shape(HALF, 1.5), NU, 5, damping)
    noise = np.random.default_rng(7).normal(size=(4000, 2 * HALF + 1))
    phasors = np.array(fit_window(table, noise).phasors)
    values = phasors[:, 0] + table.damping * phasors[:, 2]
    assert table.damping == pytest.approx(damping * table.spread)
    assert np.square(np.abs(values)).mean() / 2 == pytest.approx(table.damped_variance, rel=0.08)
    assert table.mean_variance <= table.damped_variance <= table.covariance[0, 0]


def test_a_window_ends_without_an_edge_through_which_far_harmonics_leak():
    """Order 30 beyond a model of 25 disturbs p_2 by 4.6 % of itself through the edge of a blunt Kaiser window."""
    far = np.cos(2 * np.pi * 30 * 50 / 3200 * np.arange(-96, 97) + np.linspace(0.0, np.pi, 9)[:, None])
    table = taylor_fourier_table(window_shape(96, 1.5), 50 / 3200, 25)
    ends = window_shape(96, 1.5)[[0, -1]]
    assert max(abs(phasor[2]) for phasor in fit_window(table, far).phasors) < 0.002
    assert 0 < ends[0] == ends[1]


def test_a_table_refuses_harmonics_beyond_half_the_sampling_rate_and_windows_too_short():
    with pytest.raises(ValueError, match="half the sampling rate"):
        taylor_fourier_table(window_shape(HALF, 4.0), 0.1, 5)
    with pytest.raises(ValueError, match="at least 16 samples"):
        taylor_fourier_table(window_shape(6, 4.0), 0.01, 5)


@pytest.mark.parametrize("phases", [(0.0, -2.0944, 2.0944), (0.0, 2.0944, -2.0944), (0.0, -2.0944), (0.7,)])
def test_frequency_and_its_rate_come_from_any_number_of_phases_in_any_order(phases):
    time = np.arange(-HALF, HALF + 1) / 3200
    window = np.array([np.cos(2 * np.pi * (50.31 * time + 0.5 * 1.5 * time**2) + phase) for phase in phases])
    table = taylor_fourier_table(window_shape(HALF, 4.0), 50.3 / 3200, 5)

    deviation, rate = common_frequency(fit_window(table, window).phasors)

    per_second = 3200 / HALF
    assert 50.3 + deviation * per_second == pytest.approx(50.31, abs=1e-5)
    assert rate * per_second**2 == pytest.approx(1.5, abs=1e-3)


@pytest.mark.parametrize("found", [43.5, 47.0, 50.0, 56.5])
def test_the_coarse_search_comes_near_enough_for_the_fit_to_converge(found):
    window = np.array([cosine(found / 3200, angle=angle) + 3.0 for angle in (0.1, 2.0, 4.0)])
    weights = window_shape(HALF, 4.0) ** 2
    assert coarse_frequency(window, *search_functions(weights, 43 / 3200, 57 / 3200)) * 3200 == pytest.approx(
        found, abs=2.5
    )


@pytest.mark.parametrize("half", [96, 128, 320])
@pytest.mark.parametrize("frequency", [43.2, 45.0, 49.987, 51.3, 55.0, 56.9])
def test_the_estimator_finds_the_frequency_at_its_first_window(half, frequency):
    estimator = FrequencyTrackingEstimator(half, 50 / 3200, 43 / 3200, 57 / 3200)
    window = np.array([cosine(frequency / 3200, 325.0, angle, half) for angle in (0.0, -2.0944, 2.0944)])
    tracked = estimator.estimate(window, range(3), 32.5)
    assert tracked.converged
    assert tracked.frequency is not None
    assert tracked.frequency * 3200 == pytest.approx(frequency, abs=1e-6)


def test_the_estimator_agrees_with_a_nonlinear_fit_of_a_noisy_sinusoid():
    """Both see the same samples; a three-phase Gauss-Newton fit is the independent engine."""
    rng = np.random.default_rng(11)
    time = np.arange(-320, 321) / 3200
    shifts = np.array([0.0, -2 * np.pi / 3, 2 * np.pi / 3])[:, None]
    window = 325 * np.cos(2 * np.pi * 49.93 * time + 0.3 + shifts) + rng.normal(size=(3, 641))

    def residual(x):
        return (x[0] * np.cos(2 * np.pi * x[1] * time + x[2] + shifts) - window).ravel()

    size, frequency, angle = least_squares(residual, [300.0, 50.0, 0.0], x_scale=[100.0, 0.1, 0.1]).x
    estimator = FrequencyTrackingEstimator(320, 50 / 3200, 43 / 3200, 57 / 3200)
    tracked = estimator.estimate(window, range(3), 30.0)

    assert tracked.frequency is not None
    assert tracked.frequency * 3200 == pytest.approx(frequency, abs=1e-3)
    first = tracked.fit.phasors[0][0]
    assert abs(first) == pytest.approx(size, rel=1e-3)
    assert np.angle(first) == pytest.approx(angle, abs=1e-3)


def test_skew_turns_each_harmonic_by_its_own_angle():
    table = taylor_fourier_table(window_shape(HALF, 4.0), NU, 5)
    n = np.arange(-HALF, HALF + 1)
    late = 0.6  # samples
    omega = 2 * np.pi * NU
    window = (np.cos(omega * (n + late) + 0.2) + 0.1 * np.cos(5 * omega * (n + late) - 1.0))[None]

    fit = fit_window(table, window)
    phasor = at_instant(fit.phasors[0], NU * HALF, -late / HALF)
    harmonics = fit.harmonics * harmonic_turns(table, np.array([-late / HALF]))

    assert phasor[0] == pytest.approx(np.exp(0.2j), abs=1e-9)
    assert harmonics[0, 3] == pytest.approx(0.1 * np.exp(-1j), abs=1e-9)


def test_means_over_the_window_are_those_of_the_sampled_products():
    """Whole cycles and flat weights: means of v i and of x squared over 4 cycles, taken sample by sample."""
    half, nu = 2 * 64, 1 / 64
    table = taylor_fourier_table(window_shape(half, 0.0), nu, 9)
    n = np.arange(-half, half + 1)
    v = 10 * np.cos(2 * np.pi * nu * n) + 1.0 * np.cos(10 * np.pi * nu * n + 0.3)
    i = 2 * np.cos(2 * np.pi * nu * n - 0.7) + 0.4 * np.cos(10 * np.pi * nu * n - 1.0)
    fit = fit_window(table, np.array([v + 0.5, i]))

    fundamental = mean_product(fit.phasors[0], fit.phasors[1], table.spread)
    products = harmonic_products(fit.harmonics)
    rms = [true_rms(fit.phasors[k], products[k][k], 0.0, table.spread) for k in range(2)]

    assert fundamental.real + products[0][1] == pytest.approx(np.mean((v * i)[:-1]), rel=1e-9)
    assert fundamental.imag == pytest.approx(10 * np.sin(0.7), rel=1e-9)
    np.testing.assert_allclose(rms, np.sqrt(np.mean(np.square([v, i])[:, :-1], axis=1)), rtol=1e-9)


def test_symmetrical_components_of_an_unbalanced_set_are_those_worked_out_by_hand():
    """A earth fault on phase A, V = (0, a^2, a): V0 = V2 = -1/3, V1 = 2/3."""
    a = np.exp(2j * np.pi / 3)
    np.testing.assert_allclose(symmetrical_components(0j, a**2, a), [-1 / 3, 2 / 3, -1 / 3], atol=1e-12)


def test_the_uncertainty_of_components_is_that_of_many_drawn_errors():
    """20,000 draws: the standard error of a standard deviation is 0.5 %."""
    rng = np.random.default_rng(5)
    phasors = np.array([230.0, 200.0 * np.exp(-2.2j), 235.0 * np.exp(2.0j)])
    noise, gain, phase = np.array([0.5, 1.0, 0.2]), np.array([0.01, 0.002, 0.005]), np.array([0.001, 0.01, 0.004])
    draws = (20_000, 3)
    drawn = phasors * (1 + gain * rng.normal(size=draws)) * np.exp(1j * phase * rng.normal(size=draws))
    drawn = drawn + noise * (rng.normal(size=draws) + 1j * rng.normal(size=draws))
    components = np.array(symmetrical_components(*phasors.tolist()))

    found = component_uncertainty(phasors.tolist(), components.tolist(), noise.tolist(), gain.tolist(), phase.tolist())

    error = np.array(symmetrical_components(*drawn.T)).T - components
    error *= np.exp(-1j * np.angle(components))
    np.testing.assert_allclose(found, np.transpose([error.real.std(axis=0), error.imag.std(axis=0)]), rtol=0.03)


@pytest.mark.parametrize("angle", [0.0, 0.02, 0.5, 1.4])
def test_the_uncertainty_of_a_power_factor_holds_at_unity_too(angle):
    drawn = np.cos(angle + 0.01 * np.random.default_rng(2).normal(size=50_000))
    found = power_factor_uncertainty(np.cos(angle), 0.01**2)
    assert found == pytest.approx(drawn.std(), rel=0.03)
