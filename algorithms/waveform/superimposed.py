r"""
Superimposed quantities: what a signal has that it did not have two cycles ago.

Where it stands: `builtin.faults.fault_watch` pushes samples; `fault_criteria` judges what comes out. Spikes of one
or two samples go out first (`Despiker`), then every sample gets the phasor of the cycle that ends there
(`SlidingPhasors`), and the phasor of two cycles before, turned on by what the frequency is off nominal, is taken off:

.. math:: \Delta P(n) = P(n) - P(n - 2N) e^{j \vartheta}

Rules:

- A channel is a row. Phasors are RMS, in a frame that turns at nominal frequency, skew of the channels taken out.
- Everything is vectorised over the samples of a block: a handful of numpy calls whatever its length.
"""

import numpy as np
from numpy.typing import NDArray

from algorithms.waveform.phasor import Complexes, Floats

WIDTH = 5
"""Samples the median is taken over; it removes half as many in a row."""
DELAY = WIDTH // 2
"""Samples by which what comes out of the median is late."""

FORTESCUE = np.exp(2j * np.pi / 3 * np.array([[0, 0, 0], [0, 1, 2], [0, 2, 1]])) / 3.0
"""Rows zero, positive, negative; columns phases A, B, C."""


class Despiker:
    """
    Running median of five samples.

    Parameters
    ----------
    n_channels : int
    """

    def __init__(self, n_channels: int) -> None:
        self._tail: Floats = np.empty((n_channels, 0))

    def push(self, values: NDArray[np.floating]) -> Floats:
        """
        Take samples (n_channels, n); return those that are settled, `DELAY` samples later.

        Examples
        --------
        >>> Despiker(1).push(np.array([[0.0, 1.0, 2.0, 99.0, 4.0, 5.0, 6.0]])).tolist()
        [[2.0, 4.0, 5.0]]
        """
        together = np.concatenate([self._tail, values], axis=1)
        self._tail = together[:, max(0, together.shape[1] - WIDTH + 1) :]
        count = together.shape[1] - WIDTH + 1
        if count <= 0:
            return together[:, :0]
        return median_of_five([together[:, k : k + count] for k in range(WIDTH)])


def median_of_five(rows: list[Floats]) -> Floats:
    """Give the median of five arrays, element by element, by comparisons alone."""
    a, b, c, d, e = rows
    a, b = np.minimum(a, b), np.maximum(a, b)
    d, e = np.minimum(d, e), np.maximum(d, e)
    low, high = np.maximum(a, d), np.minimum(b, e)
    middle: Floats = np.maximum(np.minimum(low, high), np.minimum(np.maximum(low, high), c))
    return middle


class SlidingPhasors:
    """
    The phasor of the cycle that ends at each sample, by sums of products that come and go.

    Parameters
    ----------
    cycle : int
        Samples in a cycle, N.
    turn : float
        Nominal frequency [cycles per sample].
    skews : numpy.ndarray
        Time of each channel's sample after the nominal instant, shape (n_channels,) [samples].
    order : int
        Harmonic.
    """

    def __init__(self, cycle: int, turn: float, skews: Floats, order: int = 1) -> None:
        self._cycle, self._turn = cycle, order * turn
        self._scale = np.sqrt(2.0) / cycle * np.exp(-2j * np.pi * self._turn * skews)[:, np.newaxis]
        self._tail: Complexes = np.zeros((skews.size, cycle), dtype=complex)
        self._count = 0

    def push(self, values: Floats) -> Complexes:
        """Take samples (n_channels, n); return as many phasors, the first `cycle` of all of them not yet settled."""
        count = values.shape[1]
        angles = np.remainder(self._turn * np.arange(self._count, self._count + count), 1.0)
        products = np.concatenate([self._tail, values * np.exp(-2j * np.pi * angles)], axis=1)
        self._count += count
        self._tail = products[:, count:]
        sums = np.cumsum(products, axis=1)
        found: Complexes = self._scale * (sums[:, self._cycle :] - sums[:, :count])
        return found


def second_harmonic(values: Floats, cycle: int, turn: float) -> Floats:
    """
    Give the second harmonic of all channels together, of the cycle up to each sample.

    Parameters
    ----------
    values : numpy.ndarray
        Samples, shape (n_channels, cycle + n) [A].
    cycle : int
    turn : float
        Nominal frequency [cycles per sample].

    Returns
    -------
    numpy.ndarray
        Root of the sum of squared RMS values, shape (n,) [A].

    Examples
    --------
    >>> bool(np.allclose(second_harmonic(np.sqrt(2) * np.cos(np.pi * np.arange(36) / 8)[None], 32, 1 / 32), 1.0))
    True
    """
    products = values * np.exp(-4j * np.pi * turn * np.arange(values.shape[1]))
    sums = np.cumsum(products, axis=1)
    power = np.square(np.abs(sums[:, cycle:] - sums[:, :-cycle])).sum(axis=0)
    size: Floats = np.sqrt(2.0 * power) / cycle
    return size


def inception(deviation: Floats, limits: Floats, cycle: int) -> int:
    """
    Find the sample at which superimposed values left the noise for good.

    Parameters
    ----------
    deviation : numpy.ndarray
        Superimposed samples up to the trip, shape (n_channels, n).
    limits : numpy.ndarray
        What noise stays below, shape (n_channels,).
    cycle : int
        Samples in a cycle; up to a quarter of it within limits may lie between two beyond, as where all channels pass
        through zero, and what stirs more than an eighth before values grow large belongs to something else.

    Returns
    -------
    int
        Number of the first sample of the fault.
    """
    largest = np.abs(deviation).max(axis=1)
    large = _last_stretch(deviation, np.maximum(limits, 0.15 * largest), cycle // 4)
    return max(_last_stretch(deviation, limits, cycle // 4), large - cycle // 8)


def _last_stretch(deviation: Floats, limits: Floats, lull: int) -> int:
    beyond = (np.abs(deviation) > limits[:, np.newaxis]).any(axis=0)
    at = np.flatnonzero(beyond)
    if not at.size:
        return int(deviation.shape[1]) - 1
    gaps = np.flatnonzero(np.diff(at) > lull)
    return int(at[gaps[-1] + 1] if gaps.size else at[0])
