"""
Powers from fitted windows: fundamental and harmonics, each channel brought to the same instant first.

Averages are taken over the window under its own weights, not at its middle: noise halves, and apparent power bounds
active power also while amplitudes move. Means over the carrier are taken on the model, so they cover whole cycles
exactly whatever the frequency, without resampling. The offset of the converter is no part of them: instrument
transformers pass none.
"""

import cmath
import math
from collections.abc import Sequence

import numpy as np

from algorithms.waveform.phasor import Complexes, Floats, Taylor, TaylorFourierTable


def at_instant(phasor: Sequence[complex], frequency: float, time: float) -> Taylor:
    r"""
    Move the model of a channel to an instant of its own.

    Parameters
    ----------
    phasor : sequence of complex
        Value and Taylor coefficients at the middle sample, peak.
    frequency : float
        Of the model [cycles per half window].
    time : float
        Instant after the middle sample [half windows]: the common instant less the channel's skew. A few samples at
        most.

    Returns
    -------
    tuple of complex
        Value and Taylor coefficients there, peak.

    Notes
    -----
    :math:`P(\tau) e^{j \omega \tau}` and its derivatives, exact for the model.
    """
    turn = cmath.rect(1.0, 2 * math.pi * frequency * time)
    p0, p1, p2 = phasor
    return (p0 + time * (p1 + time * p2)) * turn, (p1 + 2.0 * time * p2) * turn, p2 * turn


def harmonic_turns(table: TaylorFourierTable, time: Floats) -> Complexes:
    """
    Return what moves the harmonics of each channel to an instant of its own: harmonic h turns by h times the angle.

    Parameters
    ----------
    table : TaylorFourierTable
    time : numpy.ndarray
        As for `at_instant` (n_channels,) [half windows].

    Returns
    -------
    numpy.ndarray
        Factors for `TaylorFourierFit.harmonics` (n_channels, n_harmonics - 1).
    """
    angle = 2 * np.pi * table.frequency * table.half * time
    turns: Complexes = np.exp(1j * np.outer(angle, np.arange(2, table.n_harmonics + 1)))
    return turns


def harmonic_products(harmonics: Complexes) -> list[list[float]]:
    """
    Average the products of the harmonics of any two channels over the window.

    Parameters
    ----------
    harmonics : numpy.ndarray
        Peak (n_channels, n_harmonics - 1), at one instant where channels are skewed.

    Returns
    -------
    list of list of float
        (n_channels, n_channels): the mean square of each channel's harmonics on the diagonal; the active power of
        those of a voltage and a current beside it.
    """
    parts = np.ascontiguousarray(harmonics).view(np.float64)
    products: list[list[float]] = (0.5 * (parts @ parts.T)).tolist()
    return products


def mean_product(phasor: Sequence[complex], other: Sequence[complex], spread: float) -> complex:
    r"""
    Average the product of the fundamentals of two channels over the window.

    Parameters
    ----------
    phasor, other : sequence of complex
        Value and Taylor coefficients, peak.
    spread : float
        Mean of the squared time under the window's weights [half windows squared].

    Returns
    -------
    complex
        P + jQ of the fundamental for a voltage and a current.

    Notes
    -----
    :math:`\tfrac12 [v_0 i_0^* + \overline{\tau^2} (v_0 i_2^* + v_2 i_0^* + v_1 i_1^*)]`: odd powers of time vanish in
    a symmetric window, and of the even ones the fourth is left out.
    """
    v0, v1, v2 = phasor
    i0, i1, i2 = other[0].conjugate(), other[1].conjugate(), other[2].conjugate()
    return 0.5 * (v0 * i0 + spread * (v0 * i2 + v2 * i0 + v1 * i1))


def active_power_uncertainty(
    *, rms_v: float, rms_i: float, p: float, q: float, noise_v: float, noise_i: float, gain: float, phase: float
) -> tuple[float, float]:
    """
    Propagate independent errors of a voltage and a current to active and reactive power, to first order.

    Parameters
    ----------
    rms_v, rms_i : float
        True RMS [V], [A].
    p, q : float
        Active and reactive power [W], [var].
    noise_v, noise_i : float
        Standard uncertainty of the averaged phasors along either axis [V], [A].
    gain, phase : float
        Squared: relative standard uncertainty of the product's gain [1] and of the angle between the two [rad^2].

    Returns
    -------
    u_p, u_q : float
        [W], [var]
    """
    noise = (rms_i * noise_v) ** 2 + (rms_v * noise_i) ** 2 + 2.0 * (noise_v * noise_i) ** 2
    p2, q2 = p * p, q * q
    return math.sqrt(noise + p2 * gain + q2 * phase), math.sqrt(noise + q2 * gain + p2 * phase)


def power_factor_uncertainty(factor: float, angle: float) -> float:
    r"""
    Propagate the uncertainty of the angle between voltage and current to the power factor.

    Gains cancel in p / s. To second order, since at unity the first vanishes:
    :math:`u^2 = (1 - \lambda^2) u_\varphi^2 + u_\varphi^4 / 2`.

    Parameters
    ----------
    factor : float
        Power factor [1].
    angle : float
        Standard uncertainty of the angle, squared [rad^2], noise included.

    Returns
    -------
    float
        [1]
    """
    return math.sqrt(max(1.0 - factor * factor, 0.0) * angle + 0.5 * angle * angle)
