"""
True RMS of fitted windows: fundamental, harmonics and what neither explains, without the converter's offset.

The mean over the fundamental is taken on the model, so it covers whole cycles exactly whatever the frequency: no
samples at the ends need cutting, and no noise of the carrier's phase remains.
"""

import numpy as np

from algorithms.waveform.phasor import Complexes, Floats


def true_rms(phasors: Complexes, harmonics: Complexes, rest: Floats, spread: float) -> Floats:
    r"""
    Return the true RMS of every channel over the window, under its weights.

    Parameters
    ----------
    phasors : numpy.ndarray
        Value and Taylor coefficients (3, n_channels), peak [V or A].
    harmonics : numpy.ndarray
        (n_harmonics - 1, n_channels), peak [V or A].
    rest : numpy.ndarray
        Variance of what the model leaves over and that counts as signal (n_channels,) [V^2 or A^2].
    spread : float
        Mean of the squared time under the window's weights [half windows squared].

    Returns
    -------
    numpy.ndarray
        (n_channels,) [V or A]

    Notes
    -----
    :math:`X^2 = \tfrac12 [|p_0|^2 + \overline{\tau^2} (2 \Re p_0^* p_2 + |p_1|^2)] + \tfrac12 \sum_h |q_h|^2 + r`,
    where the second term follows amplitudes that move within the window.
    """
    p0, p1, p2 = phasors
    moving = 2.0 * (p0.real * p2.real + p0.imag * p2.imag) + _squared(p1)
    square = 0.5 * (_squared(p0) + spread * moving + _squared(harmonics).sum(axis=0))
    root: Floats = np.sqrt(np.maximum(square, 0.0) + rest)
    return root


def rms_uncertainty(rms: Floats, mean_noise: Floats, noise: Floats, gain: Floats) -> Floats:
    r"""
    Propagate noise and gain to the true RMS.

    Parameters
    ----------
    rms : numpy.ndarray
        (n_channels,) [V or A]
    mean_noise : numpy.ndarray
        Standard uncertainty of the fundamental's mean along either axis [V or A].
    noise : numpy.ndarray
        Variance per sample [V^2 or A^2]: signal or noise, it cannot be told, and so it counts whole.
    gain : numpy.ndarray
        Relative standard uncertainty of the gain [1].

    Returns
    -------
    numpy.ndarray
        :math:`u^2 = (X u_g)^2 + u_m^2 + (\sigma^2 / 2 X)^2`, the last term at most :math:`\sigma^2`.
    """
    excess = noise / np.maximum(2.0 * rms, np.sqrt(noise))
    uncertainty: Floats = np.sqrt(np.square(rms * gain) + np.square(mean_noise) + np.square(excess))
    return uncertainty


def _squared(values: Complexes) -> Floats:
    squares: Floats = np.square(values.real) + np.square(values.imag)
    return squares
