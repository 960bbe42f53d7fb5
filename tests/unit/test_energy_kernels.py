"""The powers of a stretch against the integrals that define them."""

import numpy as np
import pytest

from algorithms.waveform.energy import cycle_table, fit_cycles, frequency_of, powers

RATE = 6400.0
V, I = np.array([0]), np.array([1])


def fitted(signal, *, model=50.0, n_cycles=10, cycle=128, rate=RATE):
    """Fit the samples that `signal` gives at their times [s]."""
    times = np.arange(n_cycles * cycle) / rate
    table = cycle_table(n_cycles, cycle, model / rate)
    return table, fit_cycles(table, signal(times))


def found(signal, lead=0.0, **options):
    table, fit = fitted(signal, **options)
    return powers(table, fit, v=V, i=I, lead=np.array([lead]), frequency=frequency_of(table, fit, V))


@pytest.mark.parametrize("frequency", [42.5, 47.3, 50.0, 50.004, 55.0, 57.5])
@pytest.mark.parametrize("lag", [0.0, 1.0, -2.5])
def test_powers_of_harmonics_are_those_of_their_phasors(frequency, lag):
    """To 1e-10 at the model's frequency, however many periods the stretch has."""
    omega = 2 * np.pi * frequency

    def signal(t):
        return np.array([
            3 + 300 * np.cos(omega * t + 0.7) + 20 * np.cos(5 * omega * t),
            0.5 + 8 * np.cos(omega * t + 0.7 - lag) + 2 * np.cos(5 * omega * t - 0.3),
        ])  # fmt: skip

    power = found(signal, model=frequency)
    assert power.p[0] == pytest.approx(1200 * np.cos(lag) + 20 * np.cos(0.3), abs=1e-7)
    assert power.q[0] == pytest.approx(1200 * np.sin(lag), abs=1e-7)
    assert power.s[0] == pytest.approx(np.sqrt((300**2 + 20**2) * (8**2 + 2**2)) / 2, rel=1e-10)
    assert power.current[0] == pytest.approx(8 / np.sqrt(2), rel=1e-10)


def test_a_model_within_its_grid_of_the_signal_is_good_enough():
    """A thousandth of a cycle off in the stretch costs less than 1e-5 of a current with a tenth of 5th harmonic."""
    omega = 2 * np.pi * 50.005

    def signal(t):
        return np.array([325 * np.cos(omega * t), 7 * np.cos(omega * t - 1) + 0.7 * np.cos(5 * omega * t)])

    assert found(signal).p[0] == pytest.approx(325 * 7 / 2 * np.cos(1), rel=1e-5)


def test_offsets_are_in_no_power():
    assert found(lambda t: np.array([np.full(t.size, 100.0), np.full(t.size, 10.0)])).p[0] == pytest.approx(0, abs=1e-9)


def test_skew_is_corrected_for_every_harmonic():
    """Channels sampled 52 us apart give the powers of the same instant."""
    late = 52e-6
    omega = 2 * np.pi * 50

    def volts(t):
        return 325 * np.cos(omega * t) + 30 * np.cos(7 * omega * t)

    def amperes(t):
        return 7 * np.cos(omega * t - 0.5) + 3 * np.cos(7 * omega * t + 1)

    power = found(lambda t: np.array([volts(t), amperes(t + late)]), lead=-omega * late)
    assert power.p[0] == pytest.approx(325 * 7 / 2 * np.cos(0.5) + 45 * np.cos(1), rel=1e-10)
    assert power.q[0] == pytest.approx(325 * 7 / 2 * np.sin(0.5), rel=1e-10)


@pytest.mark.parametrize("on", [3, 5, 8])
def test_a_load_that_is_switched_within_the_stretch_counts_for_its_time(on):
    """Burst firing with a voltage that sags under it: against the sampled product, the ripple at its edges apart."""
    omega = 2 * np.pi * 50

    def signal(t):
        flows = (t * 50 % 10) < on
        return np.array([325 * (1 - 0.05 * flows) * np.cos(omega * t), 7 * flows * np.cos(omega * t - 0.5)])

    samples = signal(np.arange(1280) / RATE)
    assert found(signal).p[0] == pytest.approx((samples[0] * samples[1]).mean(), rel=1e-3)


def test_noise_common_to_both_channels_is_no_power():
    """Wide-band noise of a tenth of the signal in both inputs alike: power as without, within its own uncertainty."""
    random = np.random.default_rng(2)
    noise = random.standard_normal(1280)
    omega = 2 * np.pi * 50

    def signal(t):
        return np.array([325 * np.cos(omega * t) + 20 * noise, 7 * np.sin(omega * t) + 0.5 * noise])

    power = found(signal)
    as_product = float(np.multiply(*signal(np.arange(1280) / RATE)).mean())
    assert abs(power.p[0]) < 3 * np.sqrt(2 * power.variance[0])
    assert as_product > 7.0  # what a plain mean of products makes of it [W]


def test_the_variance_is_that_of_repeated_noise():
    """Spread of P and Q over 400 stretches of white noise; tolerance 15 %."""
    random = np.random.default_rng(5)
    omega = 2 * np.pi * 50
    table = cycle_table(10, 128, 50 / RATE)
    t = np.arange(1280) / RATE
    clean = np.array([325 * np.cos(omega * t), 7 * np.cos(omega * t - 1)])
    drawn = []
    for _ in range(400):
        fit = fit_cycles(table, clean + np.array([[0.5], [0.02]]) * random.standard_normal((2, 1280)))
        power = powers(table, fit, v=V, i=I, lead=np.zeros(1), frequency=table.frequency)
        drawn.append((power.p[0], power.q[0], power.variance[0]))
    p, q, variance = np.array(drawn).T
    assert np.std(p) == pytest.approx(np.sqrt(variance.mean()), rel=0.15)
    assert np.std(q) == pytest.approx(np.sqrt(variance.mean()), rel=0.15)


@pytest.mark.parametrize("true", [42.0, 49.0, 50.0, 50.3, 58.0])
def test_the_frequency_is_found_from_a_model_that_is_off(true):
    """From 50 Hz, in three steps, to a tenth of a millihertz."""
    omega = 2 * np.pi * true
    model = 50.0
    for _ in range(3):
        table, fit = fitted(lambda t: np.array([325 * np.cos(omega * t + 1), 7 * np.cos(omega * t)]), model=model)
        model = frequency_of(table, fit, V) * RATE
    assert model == pytest.approx(true, abs=1e-4)


@pytest.mark.parametrize("arguments", [(1, 128, 0.0078), (10, 127, 0.0078), (10, 6, 0.16), (10, 128, 0.46)])
def test_stretches_too_short_are_refused(arguments):
    with pytest.raises(ValueError, match="two cycles or more of an even number of samples"):
        cycle_table(*arguments)
