"""
The flickermeter of IEC 61000-4-15: from squared voltages to instantaneous flicker sensation and Pst, Plt.

Squared samples are filtered and thinned out to some 800 a second; the weighting of lamp, eye and brain runs there, as
one linear system of eleven states (`block_filter`). `FlickerMeter` holds the states; sensation is counted by classes
(`classify`), which is what percentiles need and small enough to be kept across a restart.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from algorithms.waveform.block_filter import block_filter
from algorithms.waveform.phasor import Floats

WORKING_RATE = 800.0
"""Weighting runs at this rate or a little above [Hz]; a source must deliver half of it at least."""
REFERENCE_TIME = 60.0 / math.log(9.0)
"""Time constant of the reference voltage [s]: 10 to 90 % of a step within a minute (block 1)."""
SMOOTHING = 0.3
"""Time constant of the eye's memory [s] (block 4)."""
TAPS = 12
"""Length of the thinning filter [thinned samples]."""
_bins_per_decade, _lowest, _decades = 200, 1e-4, 9
N_CLASSES = _bins_per_decade * _decades


class Lamp(NamedTuple):
    """
    Weighting of an incandescent lamp, and the change of voltage that is just perceived (IEC 61000-4-15, tables 1, 2).

    Attributes
    ----------
    gain, damping, w1, w2, w3, w4 : float
        Of the transfer function; frequencies over 2 pi [1, Hz].
    cutoff : float
        Of the Butterworth low-pass [Hz].
    threshold : float
        Relative sinusoidal change at 8.8 Hz with sensation 1 [1].
    """

    gain: float
    damping: float
    w1: float
    w2: float
    w3: float
    w4: float
    cutoff: float
    threshold: float


LAMPS = {
    "230V": Lamp(1.74802, 4.05981, 9.15494, 2.27979, 1.22535, 21.9, 35.0, 0.00250),
    "120V": Lamp(1.6357, 4.167375, 9.077169, 2.939902, 1.394468, 17.31512, 42.0, 0.00321),
}


def weighting_sections(lamp: Lamp) -> list[tuple[list[float], list[float]]]:
    """Return high-pass, Butterworth low-pass and weighting of block 3 as sections for `block_filter`."""
    w1, w2, w3, w4, damping = (2 * math.pi * f for f in (lamp.w1, lamp.w2, lamp.w3, lamp.w4, lamp.damping))
    high, low = 2 * math.pi * 0.05, 2 * math.pi * lamp.cutoff
    sections: list[tuple[list[float], list[float]]] = [([1.0, 0.0], [1.0, high])]
    sections += [([low * low], [1.0, 2 * low * math.sin(k * math.pi / 12), low * low]) for k in (1, 3, 5)]
    sections.append(([lamp.gain * w1, 0.0], [1.0, 2 * damping, w1 * w1]))
    sections.append(([w3 * w4 / w2, w3 * w4], [1.0, w3 + w4, w3 * w4]))
    return sections


def _gain_at(sections: Sequence[tuple[Sequence[float], Sequence[float]]], frequency: float) -> float:
    s = 2j * math.pi * frequency
    return float(np.prod([abs(np.polyval(top, s) / np.polyval(bottom, s)) for top, bottom in sections]))


def thinning_filter(factor: int) -> Floats:
    """
    Return the taps of a low-pass for thinning by `factor`, flat to 40 Hz with the hold of `block_filter` after it.

    A Blackman-windowed sinc with its cut at 0.22 of the new rate, followed by three taps that make up for what both
    take away at a thirtieth of the new rate; up to a twentieth of it 0.02 % remain.
    """
    if factor > 1:
        places = np.arange(TAPS * factor) - 0.5 * (TAPS * factor - 1)
        taps = np.sinc(2 * 0.22 / factor * places) * np.blackman(TAPS * factor + 2)[1:-1]
        taps /= taps.sum()
    else:
        places = np.zeros(1)
        taps = np.ones(1)
    exact_at = 1 / 30
    gain = float(taps @ np.cos(2 * np.pi * exact_at / factor * places)) * float(np.sinc(exact_at)) ** 2
    share = (1.0 / gain - 1.0) / (2.0 - 2.0 * math.cos(2 * math.pi * exact_at))
    whole = np.zeros(taps.size + 2 * factor)
    for shift, part in ((0, -share), (1, 1.0 + 2.0 * share), (2, -share)):
        whole[shift * factor : shift * factor + taps.size] += part * taps
    return whole


class FlickerMeter:
    """
    Turns voltages of any number of channels into instantaneous flicker sensation.

    Parameters
    ----------
    n_channels : int
    sample_rate : float
        [Hz]
    lamp : Lamp
    duration : float
        Nominal length of a block [s].

    Attributes
    ----------
    needed : int
        Samples that one block takes, of which the last `overlap` are taken again by the next.
    advance : int
        Samples from one block to the next.

    Raises
    ------
    ValueError
        When the sampling rate is too low to see flicker.
    """

    def __init__(self, n_channels: int, sample_rate: float, lamp: Lamp, duration: float = 0.2) -> None:
        if sample_rate < 0.5 * WORKING_RATE:
            raise ValueError(f"a sampling rate of {0.5 * WORKING_RATE:g} Hz or more expected, found {sample_rate:g} Hz")
        self._factor = max(1, int(sample_rate / WORKING_RATE))
        self._taps = thinning_filter(self._factor)
        step = self._factor / sample_rate
        self._n = max(8, round(duration / step))
        self.advance = self._n * self._factor
        self.overlap = self._taps.size - self._factor
        self.needed = self.advance + self.overlap
        sections = weighting_sections(lamp)
        self._weighting = block_filter(sections, step, self._n)
        self._memory = block_filter([([1.0], [SMOOTHING, 1.0])], step, self._n)
        swing = 2.0 * 0.5 * lamp.threshold * _gain_at(sections, 8.8)
        ripple = 1.0 / math.hypot(1.0, 2 * math.pi * 2 * 8.8 * SMOOTHING)
        self._scale = 1.0 / (0.5 * swing * swing * (1.0 + ripple))
        self._forgets = math.exp(-self._n * step / REFERENCE_TIME)
        self._ramp = (np.arange(1, self._n + 1) / self._n)[:, None]
        self._n_channels = n_channels
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a gap."""
        self._reference: Floats | None = None

    def sensation(self, samples: Floats) -> Floats:
        """
        Advance by one block.

        Parameters
        ----------
        samples : numpy.ndarray
            (n_channels, needed) [V]

        Returns
        -------
        numpy.ndarray
            Instantaneous flicker sensation (n, n_channels) [1], n of them evenly over `advance` samples.
        """
        squares = np.square(samples)
        windows = np.lib.stride_tricks.sliding_window_view(squares, self._taps.size, axis=1)[:, :: self._factor]
        thinned = (windows @ self._taps).T
        mean = np.maximum(thinned.mean(axis=0), 1e-12)
        if self._reference is None:
            self._reference = mean
            self._weighted = np.outer(self._weighting.rest, np.ones(self._n_channels))
            self._remembered = np.zeros((1, self._n_channels))
        before = self._reference
        self._reference = mean + self._forgets * (before - mean)
        thinned = thinned / (before + self._ramp * (self._reference - before))
        weighting, memory = self._weighting, self._memory
        changes = weighting.seen @ self._weighted + weighting.through @ thinned
        self._weighted = weighting.kept @ self._weighted + weighting.entered @ thinned
        changes *= changes
        result: Floats = memory.seen @ self._remembered + memory.through @ changes
        self._remembered = memory.kept @ self._remembered + memory.entered @ changes
        result *= self._scale
        return result


def classify(sensation: Floats) -> Floats:
    """
    Count sensations by logarithmic classes (block 5).

    Parameters
    ----------
    sensation : numpy.ndarray
        (n, n_channels) [1]

    Returns
    -------
    numpy.ndarray
        (n_channels, N_CLASSES), float for sums without limit.
    """
    classes = np.log10(np.maximum(sensation, _lowest) / _lowest) * _bins_per_decade
    places = np.minimum(classes, N_CLASSES - 1).astype(np.intp)
    n_channels = places.shape[1]
    places += np.arange(n_channels) * N_CLASSES
    counts = np.bincount(places.ravel(), minlength=n_channels * N_CLASSES)
    return counts.reshape(n_channels, N_CLASSES).astype(float)


def percentiles(counts: Floats, exceeded: Sequence[float]) -> Floats:
    """
    Return the sensations exceeded during shares of the time.

    Parameters
    ----------
    counts : numpy.ndarray
        Of one channel (N_CLASSES,), not all 0.
    exceeded : sequence of float
        Shares of the time [%].

    Returns
    -------
    numpy.ndarray
        (n,) [1], interpolated within classes.
    """
    edges = _lowest * 10.0 ** (np.arange(N_CLASSES + 1) / _bins_per_decade)
    edges[0] = 0.0
    below = np.concatenate([[0.0], np.cumsum(counts)])
    kept = np.concatenate([[True], np.diff(below) > 0])  # one edge where nothing was counted
    first = int(np.argmax(counts > 0))
    kept[: first + 1] = False
    kept[first] = True
    shares = 1.0 - np.asarray(exceeded) / 100.0
    found: Floats = np.interp(shares * below[-1], below[kept], edges[kept])
    return found


_smoothed = (
    (0.0314, (0.1,)),
    (0.0525, (0.7, 1.0, 1.5)),
    (0.0657, (2.2, 3.0, 4.0)),
    (0.28, (6.0, 8.0, 10.0, 13.0, 17.0)),
    (0.08, (30.0, 50.0, 80.0)),
)
_shares = tuple(share for _, shares in _smoothed for share in shares)
_weights = np.array([weight / len(shares) for weight, shares in _smoothed for _ in shares])


def short_term_severity(counts: Floats) -> float:
    """
    Return Pst of a time of observation, ten minutes as a rule [1].

    Parameters
    ----------
    counts : numpy.ndarray
        Of one channel (N_CLASSES,), not all 0.

    Notes
    -----
    IEC 61000-4-15, 5.7.2, with smoothed percentiles.
    """
    return math.sqrt(float(_weights @ percentiles(counts, _shares)))


def long_term_severity(short: Sequence[float]) -> float:
    """
    Return Plt of successive Pst, twelve as a rule [1].

    >>> round(long_term_severity([1.0, 0.5]), 4)
    0.8255
    """
    return float(np.cbrt(np.mean(np.power(short, 3.0))))
