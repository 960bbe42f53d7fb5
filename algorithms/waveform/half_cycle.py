"""
RMS over single cycles that begin at zero crossings, refreshed each half cycle: Urms(1/2) of IEC 61000-4-30, 3.22.

Cycles begin and end between samples. The integral of the squared signal is therefore taken at any position: the
running trapezoid sum, joined by cubic pieces whose slopes are the squared samples themselves. A whole number of samples
instead costs 1 % of the value at 49.5 Hz and 64 samples a cycle.
"""

import numpy as np

from algorithms.waveform.phasor import Floats
from algorithms.waveform.synchronisation import CommonPhase


def running_integral(values: Floats) -> Floats:
    """
    Integrate each channel from its first sample to every other.

    Parameters
    ----------
    values : numpy.ndarray
        (n_channels, n_samples)

    Returns
    -------
    numpy.ndarray
        Same shape, 0 at the first sample [unit of the values times samples].
    """
    total = np.cumsum(values, axis=1)
    total -= 0.5 * (values + values[:, :1])
    return total


def integral_at(integral: Floats, values: Floats, positions: Floats) -> Floats:
    """
    Read a running integral between samples.

    Parameters
    ----------
    integral, values : numpy.ndarray
        As given to and by `running_integral` (n_channels, n_samples).
    positions : numpy.ndarray
        (n_channels, n_positions) [samples], from 0 to below n_samples - 1.

    Returns
    -------
    numpy.ndarray
        Shape of the positions.
    """
    before = positions.astype(np.intp)
    t = positions - before
    rows = np.arange(values.shape[0])[:, None]
    low, high = integral[rows, before], integral[rows, before + 1]
    slope_low, slope_high = values[rows, before], values[rows, before + 1]
    s = 1.0 - t
    read: Floats = low + t * t * (3.0 - 2.0 * t) * (high - low) + t * s * (s * slope_low - t * slope_high)
    return read


def cycle_rms(squares: Floats, crossings: Floats) -> Floats:
    """
    Return the RMS between each zero crossing and the second one after it.

    Parameters
    ----------
    squares : numpy.ndarray
        Squared samples (n_channels, n_samples) [V^2].
    crossings : numpy.ndarray
        Positions of successive zero crossings (n_channels, n + 2) [samples].

    Returns
    -------
    numpy.ndarray
        (n_channels, n) [V]

    Examples
    --------
    >>> wave = np.sqrt(2.0) * 230.0 * np.sin(2 * np.pi * np.arange(300)[None] / 127.3)
    >>> np.round(cycle_rms(wave**2, np.array([[0.0, 63.65, 127.3, 190.95]])), 3).tolist()
    [[230.0, 230.0]]
    """
    read = integral_at(running_integral(squares), squares, crossings)
    mean = (read[:, 2:] - read[:, :-2]) / (crossings[:, 2:] - crossings[:, :-2])
    rms: Floats = np.sqrt(np.maximum(mean, 0.0))
    return rms


def next_crossings(last: Floats, count: int, phase: CommonPhase, alive: Floats) -> Floats:
    """
    Go on from the last zero crossing of each channel, half a cycle at a time, towards where the crossings really are.

    Parameters
    ----------
    last : numpy.ndarray
        Position of the last crossing of each channel (n_channels,) [samples].
    count : int
    phase : CommonPhase
        Of the same channels.
    alive : numpy.ndarray
        1 for a channel whose own phase counts, 0 for one that follows frequency alone (n_channels,).

    Returns
    -------
    numpy.ndarray
        (n_channels, count) [samples]

    Notes
    -----
    What the last crossing is off by, at most a quarter of a cycle, is made up evenly over the `count` half cycles: the
    windows stay contiguous also through a jump of phase.
    """
    half = 0.5 / phase.frequency
    off = (phase.angle_at(last) - 0.5 * np.pi) / np.pi
    off = alive * (off - np.round(off))  # of a half cycle; positive where the crossing is already past
    steps = np.arange(1, count + 1)
    crossings: Floats = last[:, None] + half * steps * (1.0 - off[:, None] / count)
    return crossings
