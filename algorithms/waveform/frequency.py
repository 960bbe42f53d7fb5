"""
The one frequency that all channels of a terminal share, and its rate of change.

From phasors with derivatives (`phasor`) to frequency, and a coarse search for where nothing is known yet. Everything
is per unit of the caller's time; `tracking` joins the two.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from algorithms.waveform.phasor import Complexes, Floats


def common_frequency(phasors: Iterable[Sequence[complex]]) -> tuple[float, float]:
    r"""
    Combine channels to one frequency deviation and its rate of change.

    Parameters
    ----------
    phasors : iterable of sequence of complex
        Value, first and second Taylor coefficient of each channel, about the model's frequency.

    Returns
    -------
    deviation : float
        From the model's frequency [cycles per unit of time].
    rate : float
        [cycles per unit of time squared]

    Notes
    -----
    Channels are turned onto each other by their own phasors, :math:`S_k = \sum_c p_{0c}^* p_{kc}`, and

    .. math:: 2 \pi \Delta f = \Im\frac{S_1}{S_0}, \qquad
              2 \pi \dot f = \Im\Big[\frac{2 S_2}{S_0} - \Big(\frac{S_1}{S_0}\Big)^2\Big]

    For a balanced system this is the positive sequence with the same noise; it also holds for one or two phases, for
    either phase order, and a weak phase counts with its power only.
    """
    power, first, second = 0.0, 0j, 0j
    for p0, p1, p2 in phasors:
        onto = p0.conjugate()
        power += p0.real * p0.real + p0.imag * p0.imag
        first += onto * p1
        second += onto * p2
    first /= power
    return first.imag / (2 * math.pi), (2.0 * second / power - first * first).imag / (2 * math.pi)


def common_frequency_uncertainty(
    phasors: Iterable[Sequence[complex]], noise: Iterable[float], variances: Sequence[float]
) -> tuple[float, float]:
    r"""
    Propagate white noise to `common_frequency`.

    Parameters
    ----------
    phasors : iterable of sequence of complex
        As given to `common_frequency`.
    noise : iterable of float
        Variance per sample of each channel.
    variances : sequence of float
        Of the three coefficients for unit noise, one Cartesian component.

    Returns
    -------
    u_deviation, u_rate : float
        Standard uncertainties, units as `common_frequency`.

    Notes
    -----
    First order: only the part of a coefficient at right angles to its phasor counts, so
    :math:`u(2 \pi \Delta f)^2 = v_1 \sum_c |p_{0c}|^2 \sigma_c^2 / (\sum_c |p_{0c}|^2)^2`, likewise with
    :math:`4 v_2` for the rate.
    """
    total = weighted = 0.0
    for (p0, _, _), variance in zip(phasors, noise, strict=True):
        power = p0.real * p0.real + p0.imag * p0.imag
        total += power
        weighted += power * variance
    spread = math.sqrt(weighted) / total / (2 * math.pi)
    return spread * math.sqrt(variances[1]), 2.0 * spread * math.sqrt(variances[2])


def search_functions(weights: Floats, lowest: float, highest: float) -> tuple[Floats, Complexes]:
    """
    Prepare `coarse_frequency`.

    Parameters
    ----------
    weights : numpy.ndarray
        Squared window (n_samples,), n_samples odd.
    lowest, highest : float
        Range to search [cycles per sample].

    Returns
    -------
    frequencies : numpy.ndarray
        (n_frequencies,) [cycles per sample], a quarter of the reciprocal of the window apart or closer.
    functions : numpy.ndarray
        (n_samples, n_frequencies), without any response to a constant.
    """
    n = np.arange(weights.size) - weights.size // 2
    count = max(3, int(np.ceil((highest - lowest) * weights.size * 4)) + 1)
    frequencies = np.linspace(lowest, highest, count)
    functions = weights[:, None] * np.exp(-2j * np.pi * n[:, None] * frequencies[None, :])
    functions -= weights[:, None] * (functions.sum(axis=0) / weights.sum())
    return frequencies, functions


def coarse_frequency(window: Floats, frequencies: Floats, functions: Complexes) -> float:
    """Return the searched frequency with most power over all rows of `window` [cycles per sample]."""
    power = np.square(np.abs(window @ functions)).sum(axis=0)
    return float(frequencies[int(np.argmax(power))])
