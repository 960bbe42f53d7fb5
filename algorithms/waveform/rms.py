"""
True RMS of fitted windows: fundamental, harmonics and what neither explains, without the converter's offset.

The mean over the fundamental is taken on the model, so it covers whole cycles exactly whatever the frequency: no
samples at the ends need cutting, and no noise of the carrier's phase remains.
"""

import math
from collections.abc import Sequence


def true_rms(phasor: Sequence[complex], harmonics: float, rest: float, spread: float) -> float:
    r"""
    Return the true RMS of a channel over the window, under its weights.

    Parameters
    ----------
    phasor : sequence of complex
        Value and Taylor coefficients, peak [V or A].
    harmonics : float
        Mean square of the harmonics [V^2 or A^2].
    rest : float
        Variance of what the model leaves over and that counts as signal [V^2 or A^2].
    spread : float
        Mean of the squared time under the window's weights [half windows squared].

    Returns
    -------
    float
        [V or A]

    Notes
    -----
    :math:`X^2 = \tfrac12 [|p_0|^2 + \overline{\tau^2} (2 \Re p_0^* p_2 + |p_1|^2)] + \tfrac12 \sum_h |q_h|^2 + r`,
    where the second term follows amplitudes that move within the window.
    """
    p0, p1, p2 = phasor
    moving = 2.0 * (p0.real * p2.real + p0.imag * p2.imag) + p1.real * p1.real + p1.imag * p1.imag
    square = 0.5 * (p0.real * p0.real + p0.imag * p0.imag + spread * moving) + harmonics
    return math.sqrt(max(square, 0.0) + rest)


def noise_excess(rms: float, noise: float) -> float:
    r"""
    Return what noise may have added to a true RMS: :math:`\sigma^2 / 2 X`, at most :math:`\sigma`.

    Parameters
    ----------
    rms : float
        [V or A]
    noise : float
        Variance per sample [V^2 or A^2]: signal or noise, it cannot be told, and so it counts whole.
    """
    return noise / max(2.0 * rms, math.sqrt(noise))


def rms_uncertainty(rms: float, mean_noise: float, excess: float, gain: float) -> float:
    r"""
    Propagate noise and gain to the true RMS.

    Parameters
    ----------
    rms : float
        [V or A]
    mean_noise : float
        Standard uncertainty of the fundamental's mean along either axis [V or A].
    excess : float
        Of noise, see `noise_excess` [V or A].
    gain : float
        Relative standard uncertainty of the gain [1].

    Returns
    -------
    float
        :math:`u^2 = (X u_g)^2 + u_m^2 + u_x^2`
    """
    return math.hypot(rms * gain, mean_noise, excess)
