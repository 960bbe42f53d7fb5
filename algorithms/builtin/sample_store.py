"""
The newest samples of a source in one piece, and which instant each of them belongs to.

`power_quality` appends every block, which costs a copy, and looks at the samples five times a second. Positions are
numbers of samples since the source started, fractions allowed. Rules: samples kept are contiguous, so that a gap, a
change of the sampling rate or a step of the clock begins a new stretch; time stamps are smoothed and move no sample.
"""

from collections import deque
from collections.abc import Iterator
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import NANOSECONDS, SampleBlock, SampleFlag

RATE_TOLERANCE = 1e-3
"""Relative change of the sampling rate that begins a new stretch even when it is not flagged."""
RATE_ERROR = 5e-6
"""Error of a stated sampling rate that the smoothing of time stamps allows for [1]."""
STEP_LEAST = 1e-3
"""A time stamp this far off its expectation, and six of its uncertainties, is a step of the clock [s]."""


class Step(Enum):
    """What `SampleStore.push` has come to."""

    BREAKS = "breaks"
    """The stretch ends here; its samples are still there."""
    BEGINS = "begins"
    """The first samples of a new stretch are there, and nothing else."""
    GOES_ON = "goes on"


class SampleStore:
    """
    Keeps samples until they are let go.

    Parameters
    ----------
    n_channels : int
    capacity : int
        Samples for which there is room at first; grows where a block is longer.

    Attributes
    ----------
    first, end : int
        Numbers of the first sample kept and of the one after the last.
    rate : float
        Sampling rate of the stretch [Hz].
    time_uncertainty : float
        Of the newest time stamp [s].
    """

    def __init__(self, n_channels: int, capacity: int) -> None:
        self._samples = np.empty((n_channels, 2 * capacity))
        self.first = 0
        self.end = 0
        self.rate = 0.0
        self.time_uncertainty = 0.0
        self._anchor_index = 0
        self._anchor_ns = 0
        self._anchor_rest = 0.0  # [ns] beyond the whole nanoseconds of the anchor
        self._marks: deque[tuple[int, int, SampleFlag]] = deque()

    def push(self, block: SampleBlock) -> Iterator[Step]:
        """
        Append a block; yield before a stretch ends, and after each piece of the block.

        The iterator must be exhausted before the next block comes.
        """
        anew = block.first_index != self.end or bool(block.flags & (SampleFlag.LOST | SampleFlag.RATE_CHANGED))
        anew = anew or abs(block.sample_rate - self.rate) > RATE_TOLERANCE * self.rate or self._steps(block)
        if anew and self.end > self.first:
            yield Step.BREAKS
        self._follow_time(block, anew=anew)
        flags = block.flags & (SampleFlag.CLIPPED | SampleFlag.UNSYNCHRONISED)
        if flags:
            self._marks.append((block.first_index, block.end_index, flags))
        if not block.flags & SampleFlag.MISSING:
            yield self._append(block.values, block.first_index, anew=anew)
            return
        whole = np.isfinite(block.values).all(axis=0)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], whole, [False])).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2).tolist():
            index = block.first_index + start
            if index != self.end and not anew:
                yield Step.BREAKS
            yield self._append(block.values[:, start:stop], index, anew=anew or index != self.end)
            anew = False

    def _append(self, values: NDArray[np.floating], index: int, *, anew: bool) -> Step:
        if anew:
            self.first = self.end = index
        count = values.shape[1]
        filled = self.end - self.first
        if filled + count > self._samples.shape[1]:
            grown = np.empty((self._samples.shape[0], 2 * (filled + count)))
            grown[:, :filled] = self._samples[:, :filled]
            self._samples = grown
        self._samples[:, filled : filled + count] = values
        self.end += count
        return Step.BEGINS if anew else Step.GOES_ON

    def let_go(self, before: float) -> None:
        """Keep only what comes at or after a position; costs a copy of what is kept."""
        gone = min(int(before), self.end) - self.first
        if gone <= 0:
            return
        kept = self.end - self.first - gone
        self._samples[:, :kept] = self._samples[:, gone : gone + kept]
        self.first += gone
        while self._marks and self._marks[0][1] <= self.first:
            self._marks.popleft()

    def samples(self, begin: int, end: int) -> NDArray[np.float64]:
        """Return samples [begin, end) of all channels; a view, valid until more are pushed or let go."""
        view: NDArray[np.float64] = self._samples[:, begin - self.first : end - self.first]
        return view

    def flags(self, begin: float, end: float) -> SampleFlag:
        """Return what is marked between two positions."""
        found = SampleFlag.NONE
        for start, stop, marked in self._marks:
            if start < end and stop > begin:
                found |= marked
        return found

    def time_ns(self, position: float) -> int:
        """Return the instant of a position [ns UTC]."""
        elapsed = (position - self._anchor_index) / self.rate * NANOSECONDS + self._anchor_rest
        return self._anchor_ns + round(elapsed)

    def position(self, time_ns: int) -> float:
        """Return the position of an instant [ns UTC]."""
        return self._anchor_index + ((time_ns - self._anchor_ns) - self._anchor_rest) * 1e-9 * self.rate

    def _late(self, block: SampleBlock) -> float:
        """Return how much later a block's time stamp is than the ones before let expect [ns]."""
        elapsed = (block.first_index - self._anchor_index) / self.rate
        predicted = elapsed * NANOSECONDS + self._anchor_rest
        whole = round(predicted)
        return (block.time_ns - self._anchor_ns - whole) - (predicted - whole)

    def _steps(self, block: SampleBlock) -> bool:
        """Tell whether the clock stepped before a block that continues the stretch."""
        return abs(self._late(block)) > NANOSECONDS * max(STEP_LEAST, 6.0 * block.time_uncertainty)

    def _follow_time(self, block: SampleBlock, *, anew: bool) -> None:
        """Smooth the time stamps; one without uncertainty is taken as it is."""
        self.time_uncertainty = block.time_uncertainty
        if anew:
            self._anchor_index, self._anchor_ns, self._anchor_rest = block.first_index, block.time_ns, 0.0
        else:
            elapsed = (block.first_index - self._anchor_index) / self.rate
            late = self._late(block)
            share = elapsed / (elapsed + block.time_uncertainty / RATE_ERROR) if elapsed > 0 else 0.0
            if abs(late) <= 1.0:
                share = min(share, 0.05)  # no more than the rounding to whole nanoseconds: average it out
            predicted = elapsed * NANOSECONDS + self._anchor_rest
            self._anchor_index = block.first_index
            self._anchor_ns += round(predicted)
            self._anchor_rest = predicted - round(predicted) + share * late
        self.rate = block.sample_rate
