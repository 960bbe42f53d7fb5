"""Phasors of a fault whose current decays with any time constant: what is known is found again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.waveform.fault_phasors import TIME_CONSTANTS, fit

RATE, TURN, COUNT = 6400.0, 50.0 / 6400.0, 640
PHASOR = 1000.0 * np.exp(0.7j)
DECAYS = tuple(constant * RATE for constant in TIME_CONSTANTS)


def window(constant, size=600.0, noise=0.0):
    """Give a sinusoid of a phasor with a part that decays with a time constant [s]."""
    at = np.arange(COUNT)
    steady = np.sqrt(2) * (PHASOR * np.exp(2j * np.pi * TURN * at)).real
    random = np.random.default_rng(1).standard_normal(COUNT)
    return (steady + size * np.exp(-at / RATE / constant) + noise * random)[np.newaxis]


@settings(max_examples=40, deadline=None)
@given(st.floats(np.log(0.006), np.log(0.2)), st.floats(-1000.0, 1000.0))
def test_a_decay_with_any_time_constant_leaves_nothing_in_the_phasor(logarithm, size):
    found = fit(window(np.exp(logarithm), size), TURN, np.zeros(1), DECAYS)
    assert abs(found.phasors[0] - PHASOR) < 0.02


def test_a_decay_between_two_of_those_tried_leaves_no_more_than_the_noise_and_says_so():
    found = fit(window(0.011, noise=1.4), TURN, np.zeros(1), DECAYS)
    assert found.residual[0] == pytest.approx(1.4, rel=0.1)
    assert found.noise[0] < 0.1
    assert abs(found.phasors[0] - PHASOR) < 3 * found.noise[0]


def test_where_nothing_decays_the_search_for_it_costs_no_accuracy():
    plain = fit(window(0.03, 0.0, noise=1.4), TURN, np.zeros(1))
    found = fit(window(0.03, 0.0, noise=1.4), TURN, np.zeros(1), DECAYS)
    assert abs(found.phasors[0] - plain.phasors[0]) < 2 * plain.noise[0]


def test_spikes_and_clipped_samples_are_left_out_beside_a_decay():
    samples = window(0.011)
    samples[0, 100] += 5000.0
    samples[0, 333] = 9e9
    found = fit(samples, TURN, np.zeros(1), DECAYS, rails=np.array([1e6]))
    assert abs(found.phasors[0] - PHASOR) < 0.05


def test_one_or_two_time_constants_to_choose_from_are_chosen_from():
    for decays in (DECAYS[1:2], DECAYS[1:3]):
        found = fit(window(0.008), TURN, np.zeros(1), decays)
        assert abs(found.phasors[0] - PHASOR) < 1e-6
