"""
What IEC 61000-4-30 takes from one window of 10 or 12 cycles: RMS, harmonics, interharmonics, distortion, unbalance.

From samples and the window's place (`synchronisation`) to squares that may be averaged: aggregates are square roots of
means of squares. Pure; no state.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.waveform.harmonics import (
    MARGIN,
    exact_spectrum,
    n_bins_of,
    spline_window,
    subgroups,
    total_distortion,
    without_images,
)
from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.symmetry import FORTESCUE


@dataclass(frozen=True, slots=True, eq=False)
class WindowValues:
    """
    What one window says.

    Attributes
    ----------
    squares : numpy.ndarray
        Per channel (n_channels, 2 + 2 n_harmonics): squared RMS without offset, squared distortion [1], squared RMS of
        harmonic subgroups 1, 2, ..., and of interharmonic centred subgroups after orders 0, 1, ... [V^2 or A^2].
    offset : numpy.ndarray
        Mean of each channel (n_channels,) [V or A].
    fundamental : numpy.ndarray
        RMS phasors at the beginning of the window, not corrected for skew (n_channels,) [V or A].
    """

    squares: Floats
    offset: Floats
    fundamental: Complexes


def measure_window(samples: Floats, begin: float, length: float, cycles: int, highest: int) -> WindowValues:
    """
    Measure a window between samples.

    Parameters
    ----------
    samples : numpy.ndarray
        (n_channels, n_samples), `harmonics.MARGIN` more than the window on either side.
    begin, length : float
        Of the window [samples].
    cycles : int
        Of the fundamental in it.
    highest : int
        Highest harmonic.

    Raises
    ------
    ValueError
        When the samples do not reach as far as the window.
    """
    first, weights = spline_window(begin, length)
    if first < 0 or first + weights.size > samples.shape[1]:
        raise ValueError(
            f"samples to {MARGIN} beyond a window of {length:g} at {begin:g} expected, found {samples.shape[1]}"
        )
    part = samples[:, first : first + weights.size]
    weighted = part * weights
    offset = weighted.sum(axis=1) / length
    weighted -= offset[:, None] * weights
    spectrum = exact_spectrum(weighted, begin - first, length, n_bins_of(cycles, highest))
    middle = begin - first + 0.5 * length
    spectrum[:, cycles::cycles] = without_images(spectrum[:, cycles::cycles], cycles, length, middle)
    powers = np.square(spectrum.real) + np.square(spectrum.imag)
    squares = np.empty((samples.shape[0], 2 + 2 * highest))
    squares[:, 0] = np.einsum("ij,ij->i", weighted, part) / length
    harmonics, between = subgroups(powers, cycles, highest)
    squares[:, 1] = np.square(total_distortion(harmonics))
    squares[:, 2 : 2 + highest] = harmonics
    squares[:, 2 + highest :] = between
    np.maximum(squares, 0.0, out=squares)
    return WindowValues(squares, offset, spectrum[:, cycles])


def unbalance(phasors: Complexes) -> tuple[float, float]:
    """
    Return negative- and zero-sequence unbalance of phases A, B and C [1].

    Parameters
    ----------
    phasors : numpy.ndarray
        (3,), corrected for skew.

    Notes
    -----
    IEC 61000-4-30, 5.7: u2 = U2 / U1, u0 = U0 / U1. With a reversed phase order the larger of both sequences counts as
    the positive one. 0 without any voltage.
    """
    zero, one, two = np.abs(FORTESCUE @ phasors).tolist()
    positive, negative = max(one, two), min(one, two)
    return (negative / positive, zero / positive) if positive > 0 else (0.0, 0.0)


def phase_order(phasors: Complexes) -> str:
    """
    Tell in which order the phases A, B and C come, ``ABC`` or ``ACB``; empty where they come in none.

    Three voltages of about the same size a third of a turn apart come in an order. Where one is reversed, or two inputs
    see the same phase, they do not, whatever the grid is like.

    Parameters
    ----------
    phasors : numpy.ndarray
        (3,), corrected for skew.

    Examples
    --------
    >>> turn = np.exp(2j * np.pi / 3)
    >>> [phase_order(np.array(x)) for x in ((1, turn**2, turn), (1, turn, turn**2), (1, -(turn**2), turn))]
    ['ABC', 'ACB', '']
    """
    sizes = np.abs(phasors)
    if sizes.min() < 0.7 * sizes.max():
        return "ABC"  # one is low, as in a dip: their angles need not be a third of a turn apart
    _, one, two = np.abs(FORTESCUE @ phasors).tolist()
    if min(one, two) > 0.3 * max(one, two):
        return ""
    return "ABC" if one > two else "ACB"


def highest_harmonic(sample_rate: float, nominal_frequency: float, wanted: int = 50) -> int:
    """
    Return the highest harmonic that a sampling rate tells, at most `wanted`.

    Below 0.41 of the sampling rate: what lies beyond is where anti-alias filters begin and images end.

    >>> highest_harmonic(6400.0, 50.0), highest_harmonic(3200.0, 50.0), highest_harmonic(3200.0, 60.0)
    (50, 26, 21)
    """
    return max(1, min(wanted, int(0.41 * sample_rate / nominal_frequency)))


def coherent(squares: NDArray[np.float64], rows: NDArray[np.intp]) -> bool:
    """Tell whether the fundamental is most of what the channels `rows` hold: else the window has not found it."""
    total = float(squares[rows, 0].sum())
    return float(squares[rows, 2].sum()) > 0.5 * total
