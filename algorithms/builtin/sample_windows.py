"""
From blocks to windows: where a stream of samples is cut so that each window's middle falls on the grid of UTC.

Blocks come in any length and with time stamps that jitter; windows go out with a fixed number of samples, the middle
one next to a whole multiple of the reporting interval within the UTC second. Rules: a window never spans missing
samples, a change of the sampling rate or a step of the clock; each sample is copied once; time stamps place windows but
never touch their samples, so jitter cannot disturb a frequency.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import NANOSECONDS, SampleBlock, SampleFlag

NO_FLAGS: frozenset[SampleFlag] = frozenset()
RATE_TOLERANCE = 1e-3
"""Relative change of the sampling rate that ends a stretch even when it is not flagged."""
RATE_ERROR = 5e-6
"""Error of a stated sampling rate that the smoothing of time stamps allows for [1]."""
STEP_LEAST = 1e-3
"""A time stamp this far off its expectation, and six of its uncertainties, is a step of the clock [s]."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleWindow:
    """
    Consecutive samples around an instant of the grid.

    Attributes
    ----------
    values : numpy.ndarray
        Shape (n_channels, 2 half + 1), float64; valid until the next window is asked for.
    time_ns : int
        The instant [ns UTC].
    offset : float
        The instant's place after the middle sample, within half a sample [s].
    sample_rate : float
        [Hz]
    time_uncertainty : float
        Of the time stamps [s].
    flags : SampleFlag
        Of all blocks the window touches.
    after_gap : bool
        Whether it is the first one after missing samples.
    rate_uncertainty : float
        Relative, of the sampling rate [1].
    """

    values: NDArray[np.float64]
    time_ns: int
    offset: float
    sample_rate: float
    time_uncertainty: float
    flags: SampleFlag
    after_gap: bool
    rate_uncertainty: float = 0.0


def next_instant(time_ns: int, report_rate: int) -> int:
    """
    Return the first instant of the grid at or after a time [ns UTC].

    The grid has `report_rate` instants in each UTC second, evenly spaced from its beginning (IEC/IEEE 60255-118-1),
    each rounded to a nanosecond.

    >>> next_instant(1_000_000_001, 50)
    1020000000
    """
    second, rest = divmod(time_ns, NANOSECONDS)
    count = -(-rest * report_rate // NANOSECONDS)
    instant = (count * NANOSECONDS + report_rate // 2) // report_rate
    if instant < rest:
        instant = ((count + 1) * NANOSECONDS + report_rate // 2) // report_rate
    return second * NANOSECONDS + instant


class SampleWindows:
    """
    Cuts one source's blocks into windows.

    Parameters
    ----------
    n_channels : int
    half : int
        Samples on either side of the middle one.
    report_rate : int
        Windows per second [Hz].
    """

    def __init__(self, n_channels: int, half: int, report_rate: int) -> None:
        self.half = half
        self.report_rate = report_rate
        self._size = 2 * half + 1
        self._samples = np.empty((n_channels, 4 * self._size))
        self._filled = 0
        self._first = 0  # number of the first sample kept
        self._rate = 0.0
        self._anchor_index = 0
        self._anchor_ns = 0
        self._anchor_rest = 0.0  # [ns] beyond the whole nanoseconds of the anchor
        self._time_uncertainty = 0.0
        self._rate_uncertainty = 0.0
        self._marks: deque[tuple[int, int, SampleFlag]] = deque()
        self._next_ns: int | None = None
        self._began = False
        self._gap = False

    def push(self, block: SampleBlock) -> Iterator[SampleWindow]:
        """
        Take a block; yield each window that it completes, oldest first.

        The iterator must be exhausted before the next block comes.
        """
        flags = block.flags or NO_FLAGS  # of a set of flags, only whether it is empty is told fast
        if not self._began:
            self._restart(block, gap=SampleFlag.LOST in flags)
        elif SampleFlag.LOST in flags or block.first_index != self._first + self._filled:
            self._restart(block, gap=True)
        elif SampleFlag.RATE_CHANGED in flags or abs(block.sample_rate / self._rate - 1.0) > RATE_TOLERANCE:
            self._restart(block, gap=False)
        self._follow_time(block)
        if flags or self._marks:
            self._mark(block)
        whole = np.isfinite(block.values).all(axis=0) if SampleFlag.MISSING in flags else None
        for start, stop in _stretches(whole, block.n_samples):
            index = block.first_index + start
            if index != self._first + self._filled:
                self._begin_at(index, gap=True)
            done = start
            while done < stop:
                done += self._append(block.values[:, done:stop])
                yield from self._complete()
        if whole is not None and not whole[-1:].all():
            self._begin_at(block.end_index, gap=True)

    def _restart(self, block: SampleBlock, *, gap: bool) -> None:
        self._rate = block.sample_rate
        self._anchor(block.first_index, block.time_ns, 0.0)
        self._marks.clear()
        self._begin_at(block.first_index, gap=gap)
        self._began = True

    def _begin_at(self, index: int, *, gap: bool) -> None:
        self._first, self._filled = index, 0
        self._next_ns = None
        self._gap = self._gap or gap

    def _anchor(self, index: int, time_ns: int, rest: float) -> None:
        self._anchor_index, self._anchor_ns, self._anchor_rest = index, time_ns, rest

    def _follow_time(self, block: SampleBlock) -> None:
        """
        Smooth the time stamps over as long as a wrong rate leaves no more lag than they are uncertain by.

        A stamp without uncertainty is taken as it is.
        """
        self._time_uncertainty = block.time_uncertainty
        self._rate_uncertainty = block.rate_uncertainty
        elapsed = (block.first_index - self._anchor_index) / self._rate
        self._rate = block.sample_rate
        if elapsed <= 0:
            return
        predicted = elapsed * NANOSECONDS + self._anchor_rest
        whole = round(predicted)
        predicted_ns, rest = self._anchor_ns + whole, predicted - whole
        late = (block.time_ns - predicted_ns) - rest  # [ns]
        if abs(late) > NANOSECONDS * max(STEP_LEAST, 6.0 * block.time_uncertainty):
            self._anchor(block.first_index, block.time_ns, 0.0)
            self._begin_at(block.first_index, gap=False)
            return
        constant = block.time_uncertainty / RATE_ERROR
        share = elapsed / (elapsed + constant)
        if abs(late) <= 1.0:
            share = min(share, 0.05)  # no more than the rounding to whole nanoseconds: average it out
        self._anchor(block.first_index, predicted_ns, rest + share * late)

    def _mark(self, block: SampleBlock) -> None:
        flags = block.flags & (SampleFlag.CLIPPED | SampleFlag.UNSYNCHRONISED)
        if flags:
            if self._marks and self._marks[-1][1] == block.first_index and self._marks[-1][2] == flags:
                self._marks[-1] = (self._marks[-1][0], block.end_index, flags)
            else:
                self._marks.append((block.first_index, block.end_index, flags))
        while self._marks and self._marks[0][1] <= self._first:
            self._marks.popleft()

    def _append(self, values: NDArray[np.floating]) -> int:
        """Copy as many samples as there is room for, at least one; return how many."""
        room = self._samples.shape[1] - self._filled
        if not room:
            kept = self._size - 1
            self._samples[:, :kept] = self._samples[:, -kept:]
            self._first += self._filled - kept
            self._filled = kept
            room = self._samples.shape[1] - kept
        count = min(room, int(values.shape[1]))
        self._samples[:, self._filled : self._filled + count] = values[:, :count]
        self._filled += count
        return count

    def _complete(self) -> Iterator[SampleWindow]:
        while self._filled >= self._size:
            if self._next_ns is None:
                middle = self._first + self.half - self._anchor_index
                # A double holds the time since the epoch to 256 ns only.
                earliest = self._anchor_ns + math.floor(self._anchor_rest + middle / self._rate * NANOSECONDS)
                self._next_ns = next_instant(earliest, self.report_rate)
            place = ((self._next_ns - self._anchor_ns) - self._anchor_rest) * 1e-9 * self._rate
            nearest = round(place)
            start = self._anchor_index + nearest - self.half - self._first
            if start < 0:  # the smoothing of time moved the first instant out of reach
                self._next_ns = next_instant(self._next_ns + 1, self.report_rate)
                continue
            if start + self._size > self._filled:
                return
            time_ns, first = self._next_ns, self._first + start
            self._next_ns = next_instant(time_ns + 1, self.report_rate)
            after_gap, self._gap = self._gap, False
            yield SampleWindow(
                values=self._samples[:, start : start + self._size],
                time_ns=time_ns,
                offset=(place - nearest) / self._rate,
                sample_rate=self._rate,
                time_uncertainty=self._time_uncertainty,
                flags=self._flags(first, first + self._size),
                after_gap=after_gap,
                rate_uncertainty=self._rate_uncertainty,
            )

    def _flags(self, first: int, end: int) -> SampleFlag:
        flags = SampleFlag.NONE
        if not self._marks:
            return flags
        for begin, stop, marked in self._marks:
            if begin < end and stop > first:
                flags |= marked
        return flags


def _stretches(whole: NDArray[np.bool_] | None, n_samples: int) -> list[tuple[int, int]]:
    """Return where samples without a missing value begin and end."""
    if whole is None:
        return [(0, n_samples)] if n_samples else []
    edges = np.flatnonzero(np.diff(np.concatenate(([False], whole, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
