"""
Powers from fitted windows: fundamental and harmonics, each channel brought to the same instant first.

Averages are taken over the window under its own weights, not at its middle: noise halves, and apparent power bounds
active power also while amplitudes move. Means over the carrier are taken on the model, so they cover whole cycles
exactly whatever the frequency, without resampling. The offset of the converter is no part of them: instrument
transformers pass none.
"""

import numpy as np

from algorithms.waveform.phasor import Complexes, Floats, TaylorFourierFit, TaylorFourierTable


def at_instant(table: TaylorFourierTable, fit: TaylorFourierFit, time: Floats) -> tuple[Complexes, Complexes]:
    r"""
    Move the model of each channel to an instant of its own.

    Parameters
    ----------
    table, fit
        A window and its fit.
    time : numpy.ndarray
        Instant after the middle sample [half windows], (n_channels,): the common instant less the channel's skew. A few
        samples at most.

    Returns
    -------
    phasors : numpy.ndarray
        Value and Taylor coefficients there (3, n_channels), peak.
    harmonics : numpy.ndarray
        (n_harmonics - 1, n_channels), peak.

    Notes
    -----
    :math:`P(\tau) e^{j \omega \tau}` and its derivatives, exact for the model; harmonic h turns by h times the angle.
    """
    turn = np.exp(2j * np.pi * table.frequency * table.half * time)
    p0, p1, p2 = fit.phasors
    moved = np.empty_like(fit.phasors)
    moved[2] = p2
    moved[1] = p1 + 2.0 * time * p2
    moved[0] = p0 + time * (p1 + time * p2)
    moved *= turn
    count = table.n_harmonics
    turns = np.multiply.accumulate(np.broadcast_to(turn, (count, turn.size)), axis=0)[1:]
    return moved, fit.harmonics * turns


def mean_product(
    phasors: Complexes, harmonics: Complexes, other_phasors: Complexes, other_harmonics: Complexes, spread: float
) -> tuple[Complexes, Floats]:
    r"""
    Average the products of two sets of channels over the window.

    Parameters
    ----------
    phasors, other_phasors : numpy.ndarray
        Value and Taylor coefficients (3, n), peak.
    harmonics, other_harmonics : numpy.ndarray
        (n_harmonics - 1, n), peak.
    spread : float
        Mean of the squared time under the window's weights [half windows squared].

    Returns
    -------
    fundamental : numpy.ndarray
        Complex power of the fundamental (n,): P + jQ for voltages and currents.
    harmonic : numpy.ndarray
        Active power of the harmonics (n,).

    Notes
    -----
    :math:`\tfrac12 \overline{P_v(\tau) P_i^*(\tau)} = \tfrac12 [v_0 i_0^* + \overline{\tau^2}
    (v_0 i_2^* + v_2 i_0^* + v_1 i_1^*)]` and :math:`\tfrac12 \Re \sum_h V_h I_h^*` (IEEE Std 1459-2010, 3.1.2.3).
    """
    v0, v1, v2 = phasors
    i0, i1, i2 = other_phasors.conj()
    fundamental = 0.5 * (v0 * i0 + spread * (v0 * i2 + v2 * i0 + v1 * i1))
    harmonic = 0.5 * (harmonics * other_harmonics.conj()).real.sum(axis=0)
    return fundamental, harmonic


def active_power_uncertainty(
    *, rms_v: Floats, rms_i: Floats, p: Floats, q: Floats, noise_v: Floats, noise_i: Floats, gain: Floats, phase: Floats
) -> tuple[Floats, Floats]:
    """
    Propagate independent errors of a voltage and a current to active and reactive power, to first order.

    Parameters
    ----------
    rms_v, rms_i : numpy.ndarray
        True RMS (n,) [V], [A].
    p, q : numpy.ndarray
        Active and reactive power (n,) [W], [var].
    noise_v, noise_i : numpy.ndarray
        Standard uncertainty of the averaged phasors along either axis (n,) [V], [A].
    gain, phase : numpy.ndarray
        Relative standard uncertainty of the product's gain [1] and of the angle between the two [rad], (n,).

    Returns
    -------
    u_p, u_q : numpy.ndarray
        [W], [var]
    """
    noise = np.square(rms_i * noise_v) + np.square(rms_v * noise_i) + 2.0 * np.square(noise_v * noise_i)
    p2, q2, gain2, phase2 = np.square(p), np.square(q), np.square(gain), np.square(phase)
    return np.sqrt(noise + p2 * gain2 + q2 * phase2), np.sqrt(noise + q2 * gain2 + p2 * phase2)


def power_factor_uncertainty(factor: Floats, angle: Floats) -> Floats:
    r"""
    Propagate the uncertainty of the angle between voltage and current to the power factor.

    Gains cancel in p / s. To second order, since at unity the first vanishes:
    :math:`u^2 = (1 - \lambda^2) u_\varphi^2 + u_\varphi^4 / 2`.

    Parameters
    ----------
    factor : numpy.ndarray
        Power factor [1].
    angle : numpy.ndarray
        Standard uncertainty of the angle [rad], noise included.

    Returns
    -------
    numpy.ndarray
        [1]
    """
    square = np.square(angle)
    return np.sqrt(np.maximum(1.0 - np.square(factor), 0.0) * square + 0.5 * np.square(square))
