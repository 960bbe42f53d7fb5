"""
Spectrum of a window that holds a whole number of cycles but no whole number of samples, grouped by IEC 61000-4-7.

Two ideas replace resampling. The window is a rectangle of the true length smoothed by a quintic B-spline: all its
weights are 1 but six at each end, and they sum to the exact length. The spectrum is then computed at exact multiples of
the window's own frequency by the chirp-z transform, and what the harmonics' own images beyond half the sampling rate
leave on them is taken out, for it is known. So harmonics are right up to nearly half the sampling rate.

Everything is per sample; amplitudes are RMS in the unit of the samples.
"""

import numpy as np

from algorithms.waveform.phasor import Complexes, Floats

MARGIN = 3
"""Samples needed before the first and after the last position of a window."""


def spline_window(begin: float, length: float) -> tuple[int, Floats]:
    """
    Weigh samples so that their sum is the integral over a window between samples.

    Parameters
    ----------
    begin, length : float
        Of the window [samples]; length 7 or more.

    Returns
    -------
    first : int
        The first sample that counts.
    weights : numpy.ndarray
        (n_samples,) [samples]; they sum to `length`.

    Examples
    --------
    >>> first, weights = spline_window(10.3, 20.4)
    >>> first, round(float(weights.sum()), 9)
    (8, 20.4)
    """
    first = int(np.ceil(begin - MARGIN + 1e-12))
    end = begin + length
    last = int(np.floor(end + MARGIN - 1e-12))
    weights = np.ones(last - first + 1)
    ends = 2 * MARGIN + 1
    places = np.arange(ends, dtype=float)
    weights[:ends] = _step(places + (first - begin))
    weights[-ends:] = _step((end - last) + places[::-1])
    return first, weights


def _step(t: Floats) -> Floats:
    """Integrate the quintic B-spline from -3 to t."""
    near = np.maximum(3.0 - np.abs(t)[:, None] - np.arange(MARGIN), 0.0)
    tail = near**6 @ (np.array([1.0, -6.0, 15.0]) / 720.0)
    rising: Floats = np.where(t > 0, 1.0 - tail, tail)
    return rising


def exact_spectrum(samples: Floats, offset: float, length: float, n_bins: int) -> Complexes:
    r"""
    Return the spectrum at multiples of 1 / length, which need not be a whole number of samples.

    Parameters
    ----------
    samples : numpy.ndarray
        Weighted (n_channels, n_samples).
    offset : float
        Where the window begins after the first sample [samples]; angles refer to there.
    length : float
        [samples]
    n_bins : int
        Bins 0 to n_bins - 1.

    Returns
    -------
    numpy.ndarray
        RMS phasors (n_channels, n_bins); bin 0 the mean.

    Notes
    -----
    :math:`X_k = \frac{\sqrt 2}{L} \sum_n x_n e^{-2 \pi j k n / L}` as a convolution with a chirp (L. R. Rabiner,
    R. W. Schafer, C. M. Rader, "The chirp z-transform algorithm", IEEE Trans. Audio Electroacoust. 17(2), 1969, doi
    10.1109/TAU.1969.1162034).
    """
    n_samples = samples.shape[1]
    size = 1 << (n_samples + n_bins - 2).bit_length()
    reach = max(n_samples, n_bins)
    turns = np.square(np.arange(reach, dtype=float)) / (2.0 * length)
    chirp = np.exp(2j * np.pi * (turns % 1.0))
    kernel = np.zeros(size, dtype=np.complex128)
    kernel[:n_bins] = chirp[:n_bins]
    kernel[size - n_samples + 1 :] = chirp[n_samples - 1 : 0 : -1]
    spectrum = np.fft.fft(samples * chirp[:n_samples].conj(), size, axis=1)
    spectrum *= np.fft.fft(kernel)
    bins = np.fft.ifft(spectrum, axis=1)[:, :n_bins]
    shift = np.exp(2j * np.pi * ((offset / length * np.arange(n_bins)) % 1.0))
    shift *= chirp[:n_bins].conj()
    shift *= np.sqrt(2.0) / length
    shift[0] *= np.sqrt(0.5)
    result: Complexes = bins * shift
    return result


def without_images(harmonics: Complexes, cycles: int, length: float, middle: float) -> Complexes:
    r"""
    Take out what each harmonic's image, and the fundamental, leave on the bins of the others.

    Parameters
    ----------
    harmonics : numpy.ndarray
        Bins of orders 1, 2, ... as `exact_spectrum` gives them (n_channels, n_harmonics).
    cycles : int
        Of the fundamental in the window, even.
    length, middle : float
        Of the window, and the position of its middle counted from a sample [samples].

    Notes
    -----
    A window of the true length leaves nothing of one harmonic on another, but for the sampling: by Poisson's formula
    the bin of order k sees order h at the distances :math:`\nu = (k \mp h) N / L \pm 1` as well, with the gain
    :math:`\mathrm{sinc}(L \nu) \, \mathrm{sinc}^6(\nu)` and the angle of the window's middle. Only images close to half
    the sampling rate and the strong fundamental matter; to first order they are subtracted.
    """
    n_harmonics = harmonics.shape[1]
    orders = np.arange(1, n_harmonics + 1)
    turn = np.exp(2j * np.pi * (middle % 1.0))
    images = _gain(np.arange(2, 2 * n_harmonics + 1) * cycles / length - 1.0, length)
    mixed = images[orders[:, None] + orders - 2]
    below = _gain((orders - 1) * cycles / length - 1.0, length) * turn
    above = _gain((orders - 1) * cycles / length + 1.0, length) * turn.conjugate()
    cleaned: Complexes = harmonics - turn * (harmonics.conj() @ mixed) - harmonics[:, :1] * (below + above)
    return cleaned


def _gain(distance: Floats, length: float) -> Floats:
    gain: Floats = np.sinc(length * distance) * np.sinc(distance) ** 6
    return gain


def n_bins_of(cycles: int, highest: int) -> int:
    """Count the bins that `subgroups` needs."""
    return cycles * (highest + 1) - 1


def subgroups(powers: Floats, cycles: int, highest: int) -> tuple[Floats, Floats]:
    r"""
    Group a spectrum to harmonic and interharmonic centred subgroups.

    Parameters
    ----------
    powers : numpy.ndarray
        Squared RMS values of bins 0 to `n_bins_of` (..., n_bins).
    cycles : int
        Of the fundamental in the window: 10 at 50 Hz, 12 at 60 Hz.
    highest : int
        Highest harmonic.

    Returns
    -------
    harmonics : numpy.ndarray
        Squared RMS of orders 1 to `highest` (..., highest).
    interharmonics : numpy.ndarray
        Squared RMS between each order and the next, from between 0 and 1 on (..., highest).

    Notes
    -----
    IEC 61000-4-7:2002, 5.6 and annex A, with N bins between harmonics:
    :math:`Y_{sg,h}^2 = \sum_{k=-1}^{1} Y_{Nh+k}^2` and :math:`Y_{isg,h}^2 = \sum_{k=2}^{N-2} Y_{Nh+k}^2`.
    """
    shape = (*powers.shape[:-1], highest, cycles)
    around = powers[..., cycles - 1 : cycles * (highest + 1) - 1].reshape(shape)
    between = powers[..., : cycles * highest].reshape(shape)
    return around[..., :3].sum(axis=-1), between[..., 2:-1].sum(axis=-1)


def total_distortion(harmonics: Floats, highest: int = 40) -> Floats:
    """
    Return the total harmonic distortion with respect to the fundamental [1], orders 2 to `highest`.

    Parameters
    ----------
    harmonics : numpy.ndarray
        Squared RMS of orders 1, 2, ... (..., n).
    highest : int

    Notes
    -----
    THDS of IEC 61000-4-7, 3.3.4, with subgroups; to order 40 as EN 50160 asks. 0 where there is no fundamental.
    """
    fundamental = harmonics[..., 0]
    others = harmonics[..., 1:highest].sum(axis=-1)
    ratio: Floats = np.sqrt(others / np.where(fundamental > 0, fundamental, 1.0)) * (fundamental > 0)
    return ratio
