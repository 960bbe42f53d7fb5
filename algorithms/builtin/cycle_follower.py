"""
Where cycles are in a stretch of samples: their frequency, the length of a window of ten, every zero crossing.

`quality_meter` asks; `synchronisation` and `half_cycle` do the arithmetic; here is what must be remembered from one
window to the next. Without a voltage that tells it, the last frequency goes on, as IEC 61000-4-30 wants of Urms(1/2).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from algorithms.builtin.sample_store import SampleStore
from algorithms.waveform.frequency import coarse_frequency, search_functions
from algorithms.waveform.half_cycle import cycle_rms, next_crossings
from algorithms.waveform.phasor import Floats
from algorithms.waveform.synchronisation import CommonPhase, common_phase

FOLLOWED = 0.2
"""How far from nominal cycles are followed at all [1]."""
VALID = 0.15
"""How far from nominal class A is: 42.5 to 57.5 Hz, 51 to 69 Hz [1]."""
USABLE = 0.1
"""A phase below this share of the declared voltage follows the others' frequency [1]."""
OFFSET_SHARE = 0.1
"""Share of a window's mean that goes into the offset taken out of the next one's samples [1]."""


class HalfCycles(NamedTuple):
    """
    Urms(1/2) of a few cycles.

    Attributes
    ----------
    rms : numpy.ndarray
        (n_channels, n) [V]
    positions : numpy.ndarray
        Beginning, middle and end of the cycle of each value (3, n_channels, n) [samples].
    """

    rms: Floats
    positions: Floats


class CycleFollower:
    """
    Follows the cycles that some channels share.

    Parameters
    ----------
    rows : sequence of int
        Channels that tell the frequency and have zero crossings.
    nominal : float
        Frequency [cycles per sample].
    cycles : int
        In a window.
    usable : float
        RMS from which on a channel tells the frequency [V or A].

    Attributes
    ----------
    frequency : float or None
        Last one found [cycles per sample].
    """

    def __init__(self, rows: Sequence[int], nominal: float, cycles: int, usable: float) -> None:
        self._rows: NDArray[np.intp] = np.array(rows, dtype=np.intp)
        self._nominal, self._cycles = nominal, cycles
        self._least = usable * np.sqrt(2.0)
        half = round(0.5 * cycles / nominal)
        self._search_half = half
        hann = np.hanning(2 * half + 3)[1:-1]
        self._search = search_functions(hann, (1 - FOLLOWED) * nominal, (1 + FOLLOWED) * nominal)
        self.frequency: float | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a gap; the frequency is looked for from nowhere."""
        self.frequency = None
        self.phase: CommonPhase | None = None
        self._base = 0
        self._last: Floats | None = None  # the two last crossings of each row, as positions
        self._offset: Floats | None = None

    def lose(self) -> None:
        """Look for the frequency from nowhere again; crossings go on meanwhile."""
        self.frequency = None
        self.phase = None

    @property
    def period(self) -> float:
        """Length of a cycle as far as it is known [samples]."""
        return 1.0 / (self.frequency or self._nominal)

    def needed(self, begin: float) -> int:
        """Return the position up to which samples must be there before a window that begins at `begin` is found."""
        longest = 1.02 * self.period if self.frequency else 1.0 / ((1 - FOLLOWED) * self._nominal)
        return int(begin + (self._cycles + 1.75) * longest) + 4

    def find(self, store: SampleStore, begin: float) -> tuple[float, bool]:
        """
        Find the window that begins at a position.

        Returns
        -------
        length : float
            Of the window [samples]; at the last frequency known, or the nominal one, where there is no signal.
        found : bool
            Whether there is a frequency, in the range that is followed.
        """
        samples = store.samples(int(begin), store.end)[self._rows]
        expected = self.frequency
        if expected is None:
            wanted = samples[:, : 2 * self._search_half + 1]
            expected = coarse_frequency(wanted, *self._search) if wanted.any() else self._nominal
        lowest = self._least * self._least
        phase = common_phase(samples, begin - int(begin), expected, self._cycles, lowest)
        if phase is not None and abs(phase.frequency / self._nominal - 1.0) <= FOLLOWED:
            self.phase, self._base = phase, int(begin)
            self.frequency = phase.frequency
            return self._cycles / phase.frequency, True
        self.phase = None
        return self._cycles * self.period, False

    def find_shorter(self, store: SampleStore) -> None:
        """Find the frequency of a stretch that is shorter than a window, if it holds two cycles."""
        samples = store.samples(store.first, store.end)[self._rows]
        cycles = 2 * int(0.5 * (samples.shape[1] - 4) * self._nominal)
        if cycles < 2:
            return
        phase = common_phase(samples, 1.0, self._nominal, cycles, self._least * self._least)
        if phase is not None and abs(phase.frequency / self._nominal - 1.0) <= FOLLOWED:
            self.phase, self._base = phase, store.first
            self.frequency = phase.frequency

    def in_range(self) -> bool:
        """Tell whether the frequency is where the method is valid."""
        return self.frequency is not None and abs(self.frequency / self._nominal - 1.0) <= VALID

    def learn_offset(self, offset: Floats) -> None:
        """Take note of the mean of a good window (n_rows,), so that it is taken out of the samples to come."""
        if self._offset is None:
            self._offset = offset
        else:
            self._offset = self._offset + OFFSET_SHARE * (offset - self._offset)

    def half_cycles(self, store: SampleStore, until: float) -> HalfCycles | None:
        """Return the Urms(1/2) whose cycles end before a position; None when there is not one more."""
        half = 0.5 * self.period
        phase = self.phase
        if phase is None:
            phase = CommonPhase(1.0 / self.period, 0.0, np.ones(self._rows.size, dtype=np.complex128))
            alive = np.zeros(self._rows.size)
            base = store.first
        else:
            alive = (np.abs(phase.phasors) >= self._least).astype(float)
            base = self._base
        if self._last is None:
            start = np.full(self._rows.size, store.first + 3.0 + 1.5 * half - base)
            off = (phase.angle_at(start) - 0.5 * np.pi) / np.pi
            at = start - alive * (off - np.round(off)) * half
            self._last = np.stack([at - half, at], axis=1) + base
            if self._offset is None:
                count = min(store.end - store.first, round(self._cycles * self.period))
                self._offset = store.samples(store.first, store.first + count)[self._rows].mean(axis=1)
        last = self._last
        count = int((until - last[:, 1].max() - 0.5 * half) / half)
        if count < 1:
            return None
        new = next_crossings(last[:, 1] - base, count, phase, alive) + base
        crossings = np.concatenate([last, new], axis=1)
        self._last = crossings[:, -2:]
        first = max(int(crossings[:, 0].min()) - 1, store.first)
        end = min(int(crossings[:, -1].max()) + 3, store.end)
        samples = store.samples(first, end)[self._rows]
        if self._offset is not None:
            samples -= self._offset[:, None]
        np.square(samples, out=samples)
        rms = cycle_rms(samples, crossings - first)
        return HalfCycles(rms, np.stack([crossings[:, :-2], crossings[:, 1:-1], crossings[:, 2:]]))

    @property
    def done(self) -> float:
        """Position up to which every channel has its Urms(1/2); 0 before the first."""
        return 0.0 if self._last is None else float(self._last[:, 1].min())

    @property
    def keeps(self) -> float:
        """Position from which on samples are still needed; endless where none are."""
        return np.inf if self._last is None else float(self._last[:, 0].min()) - 2.0
