"""Symmetrical components of three phasors, with what gain, phase and noise of each channel leave on them."""

import numpy as np

from algorithms.waveform.phasor import Complexes, Floats

_turn = np.exp(2j * np.pi / 3)
FORTESCUE: Complexes = np.array([[1, 1, 1], [1, _turn, _turn**2], [1, _turn**2, _turn]], dtype=np.complex128) / 3
"""Rows zero, positive and negative; columns phases A, B and C (C. L. Fortescue, Trans. AIEE 37, 1918)."""
FORTESCUE.flags.writeable = False


def symmetrical_components(phasors: Complexes) -> Complexes:
    """
    Return zero, positive and negative sequence, referred to phase A.

    Parameters
    ----------
    phasors : numpy.ndarray
        Phases A, B, C along the last axis (..., 3) [V or A].

    Returns
    -------
    numpy.ndarray
        Same shape and unit.

    Examples
    --------
    >>> a = np.exp(2j * np.pi / 3)
    >>> np.round(np.abs(symmetrical_components(230.0 * np.array([1, a**2, a]))), 9).tolist()
    [0.0, 230.0, 0.0]
    """
    return phasors @ FORTESCUE.T


def component_uncertainty(
    phasors: Complexes, components: Complexes, noise: Floats, gain: Floats, phase: Floats
) -> tuple[Floats, Floats]:
    r"""
    Propagate independent errors of three channels to their symmetrical components.

    Parameters
    ----------
    phasors, components : numpy.ndarray
        Phases and their components (..., 3) [V or A].
    noise : numpy.ndarray
        Standard uncertainty of each phasor along either axis (..., 3) [V or A].
    gain, phase : numpy.ndarray
        Relative standard uncertainty of the gain [1] and of the phase displacement [rad], (..., 3).

    Returns
    -------
    radial, tangential : numpy.ndarray
        Standard uncertainty along each component and at right angles to it (..., 3) [V or A].

    Notes
    -----
    An error :math:`X_k (g + j \varphi)` of phase k enters component s turned by the difference of direction
    :math:`\alpha`, so that gains and phases exchange roles as :math:`\cos^2\alpha` and :math:`\sin^2\alpha`. Where a
    component vanishes its direction is arbitrary, and so is the split.
    """
    turned = FORTESCUE * phasors[..., None, :]
    size = np.abs(components)[..., None]
    along = turned * (np.where(size > 0, components.conj()[..., None], 1.0) / np.where(size > 0, size, 1.0))
    cosine, sine = np.square(along.real), np.square(along.imag)
    gains, phases = np.square(gain)[..., None, :], np.square(phase)[..., None, :]
    common = np.square(noise).sum(axis=-1)[..., None] / 9
    radial = np.sqrt(common + (cosine * gains + sine * phases).sum(axis=-1))
    tangential = np.sqrt(common + (sine * gains + cosine * phases).sum(axis=-1))
    return radial, tangential
