"""
The reference signal processing of IEC/IEEE 60255-118-1:2018, annex D: the independent estimator beside ours.

Written from the published equations and tables, sharing nothing with `algorithms.waveform`: fixed-frequency
demodulation, a triangular window of two cycles for P, a Hamming-windowed sinc for M, frequency from the phase of the
positive sequence. The annex samples 16 times per cycle; here the filters keep their length in time at whatever rate
the board has. Each channel is demodulated at its own instants, so that skew costs the reference nothing.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from tests.support.synchrophasor_limits import Service

PER_CYCLE = 16
"""Samples per cycle in the annex; also how far apart the phases are that frequency is taken from."""

_m_filters = {(50, 50): (7.75, 142), (60, 60): (8.19, 164)}
"""By nominal frequency and reporting rate: reference frequency [Hz] and order at 16 samples per cycle (table D.1)."""

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


def reference_filter(service: Service, sample_rate: float) -> Floats:
    """
    Return the low-pass filter of a class, symmetric, with a gain of 1 at 0 Hz.

    Parameters
    ----------
    service : Service
        M class at the reporting rates of 50 and 60 per second only.
    sample_rate : float
        [Hz]
    """
    if service.protects:
        length = sample_rate / service.nominal
        k = np.arange(-int(length), int(length) + 1)
        weights = np.maximum(1.0 - np.abs(k) / length, 0.0)
    else:
        cutoff, order = _m_filters[round(service.nominal), service.report_rate]
        half = round(0.5 * order / (PER_CYCLE * service.nominal) * sample_rate)
        k = np.arange(-half, half + 1)
        weights = np.sinc(4.0 * cutoff * k / sample_rate) * np.hamming(2 * half + 1)
    return weights / weights.sum()


def reference_estimate(
    values: Floats, skew: Floats, sample_rate: float, service: Service, times: Floats
) -> tuple[Complexes, Complexes, Floats, Floats]:
    """
    Estimate with the reference filter.

    Parameters
    ----------
    values : numpy.ndarray
        Voltages A, B, C and currents A, B, C, first sample at time 0 (6, n_samples).
    skew : numpy.ndarray
        (6,) [s]
    sample_rate : float
        [Hz]
    service : Service
    times : numpy.ndarray
        Instants at which to report, wherever the filter fits into the samples (n_times,) [s].

    Returns
    -------
    phasors : numpy.ndarray
        RMS, referred to a cosine of nominal frequency (n_times, 6).
    positive : numpy.ndarray
        Positive sequence of voltages and currents (n_times, 2).
    frequency, rocof : numpy.ndarray
        (n_times,) [Hz], [Hz/s]
    """
    low_pass = reference_filter(service, sample_rate)
    half = low_pass.size // 2
    taken = np.arange(values.shape[1]) / sample_rate + skew[:, None]
    turned = np.sqrt(2.0) * values * np.exp(-2j * np.pi * service.nominal * taken)
    filtered = oaconvolve(turned, low_pass[None, :], mode="valid", axes=1)
    apart = round(sample_rate / (PER_CYCLE * service.nominal))
    nearest = np.round(times * sample_rate).astype(int)
    before, here, after = (filtered[:, nearest - half + shift] for shift in (-apart, 0, apart))
    early, middle, late = (_positive(phases[:3]) for phases in (before, here, after))
    first, second = np.angle(middle * early.conj()), np.angle(late * middle.conj())
    interval = apart / sample_rate
    deviation = (first + second) / (4 * np.pi * interval)
    rocof = (second - first) / (2 * np.pi * interval**2)
    if service.protects:
        here = here / np.sin(np.pi * (service.nominal + 1.625 * deviation) / (2 * service.nominal))
    still_to_turn = times - nearest / sample_rate - skew[:, None]
    phasors = here * np.exp(2j * np.pi * deviation * still_to_turn)
    positive = np.array([_positive(phasors[:3]), _positive(phasors[3:])])
    return phasors.T, positive.T, service.nominal + deviation, rocof


def reach(service: Service, sample_rate: float) -> float:
    """Time before and after an instant that the reference needs samples of [s]."""
    half = reference_filter(service, sample_rate).size // 2
    return (half + round(sample_rate / (PER_CYCLE * service.nominal)) + 1) / sample_rate


def _positive(phases: Complexes) -> Complexes:
    turns = np.exp(2j * np.pi / 3 * np.arange(3))
    positive: Complexes = turns @ phases / 3
    return positive
