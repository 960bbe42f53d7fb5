"""
Rapid voltage changes: fast transitions between two steady states, from Urms(1/2) (IEC 61000-4-30:2015, 5.11).

Beside `voltage_events`: what falls below the threshold of a dip, or above that of a swell, belongs there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.builtin.quality.voltage_events import Thresholds
from algorithms.waveform.phasor import Floats


@dataclass(frozen=True, slots=True)
class RapidChange:
    """
    A fast transition between two steady states.

    Attributes
    ----------
    start_ns, end_ns : int
    phases : tuple of str
        Those that were not steady.
    largest, lasting : float
        Largest deviation from the voltage before, and the difference that remained [V].
    """

    start_ns: int
    end_ns: int
    phases: tuple[str, ...]
    largest: float
    lasting: float


class RapidChanges:
    """
    Finds rapid voltage changes (IEC 61000-4-30:2015, 5.11).

    Parameters
    ----------
    phases : sequence of str
    thresholds : Thresholds
    length : int
        Half cycles in a second: 100 at 50 Hz, 120 at 60 Hz.

    Notes
    -----
    The voltage is steady while the last second of Urms(1/2) of every phase stays within the threshold of its mean; to
    become steady again it must stay within half of that. A change during a dip, swell or interruption belongs to
    that and is not told.
    """

    def __init__(self, phases: Sequence[str], thresholds: Thresholds, length: int) -> None:
        self._phases = tuple(phases)
        self._allowed = thresholds.change * thresholds.declared
        self._length = length
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a gap."""
        self._kept: Floats = np.empty((len(self._phases), 0))
        self._steady: bool | None = None
        self._spoilt = False
        self._mean: Floats = np.empty(0)
        self._before: Floats = np.empty(0)
        self._since = 0
        self._largest = 0.0
        self._moved: set[str] = set()

    def take(
        self, rms: Floats, times: NDArray[np.int64], present: NDArray[np.bool_], *, spoilt: bool
    ) -> list[RapidChange]:
        """
        Go through successive values; return what has ended.

        Parameters
        ----------
        rms : numpy.ndarray
            (n_phases, n) [V]
        times : numpy.ndarray
            When each of them ended, of all phases the latest (n,) [ns UTC].
        present : numpy.ndarray
            Which phases take part (n_phases,).
        spoilt : bool
            Whether a dip, swell or interruption was under way.
        """
        self._spoilt = self._spoilt or spoilt
        kept = np.concatenate([self._kept, rms], axis=1)
        n, length = rms.shape[1], self._length
        self._kept = kept[:, -(length - 1) :]
        if kept.shape[1] < length or not present.any():
            return []
        rows = np.flatnonzero(present)
        seconds = np.lib.stride_tricks.sliding_window_view(kept[rows], length, axis=1)
        count = seconds.shape[1]
        means = seconds.mean(axis=2)
        off = np.maximum(seconds.max(axis=2) - means, means - seconds.min(axis=2))
        mean, self._mean = self._mean, means[:, -1]
        if self._steady and off.max() <= self._allowed:
            return []
        found = []
        stamps = times[n - count :]
        for k in range(count):
            worst = float(off[:, k].max())
            if self._steady is None:
                self._steady = True if worst <= self._allowed else None
            elif self._steady and worst > self._allowed:
                self._begin(int(stamps[k]), means[:, k - 1] if k else mean, spoilt=spoilt)
                self._moved = {self._phases[rows[i]] for i in np.flatnonzero(off[:, k] > self._allowed)}
            elif not self._steady and worst <= 0.5 * self._allowed:
                found += self._end(int(stamps[k]), means[:, k])
            if self._steady is False and self._before.size == rows.size:
                moved = np.abs(rms[rows, n - count + k] - self._before)
                self._largest = max(self._largest, float(moved.max()))
                self._moved.update(self._phases[rows[i]] for i in np.flatnonzero(moved > self._allowed))
        return found

    def _begin(self, time_ns: int, before: Floats, *, spoilt: bool) -> None:
        self._steady = False
        self._since = time_ns
        self._spoilt = spoilt
        self._before = before
        self._largest = 0.0

    def _end(self, time_ns: int, after: Floats) -> list[RapidChange]:
        self._steady = True
        if self._spoilt or self._before.size != after.size:
            return []
        steady_since = time_ns - (self._length - 1) * round(1e9 / self._length)
        lasting = float(np.abs(after - self._before).max())
        phases = tuple(sorted(self._moved))
        return [RapidChange(self._since, max(steady_since, self._since), phases, self._largest, lasting)]
