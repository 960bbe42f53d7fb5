"""
From blocks to stretches: samples laid end to end for counting, where each sample stands in exactly one.

Blocks come in any length; stretches go out with a fixed number of cycles of a fixed number of samples. Rules: no
stretch spans missing samples; before them the whole cycles there are make a shorter stretch, and what is left over is
told as `Missing` together with what did not come. Nothing is filled.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import NANOSECONDS, SampleBlock, SampleFlag

LEAST_CYCLES = 2
"""Fewer cycles before a gap are not counted."""
KEPT_FLAGS = SampleFlag.CLIPPED | SampleFlag.UNSYNCHRONISED


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """
    Consecutive samples.

    Attributes
    ----------
    values : numpy.ndarray
        Shape (n_channels, n_cycles * cycle), float64; valid until the next is asked for.
    n_cycles : int
    duration : float
        [s]
    end_ns : int
        UTC of the sample after the last one [ns].
    flags : SampleFlag
        Of all blocks it touches.
    """

    values: NDArray[np.float64]
    n_cycles: int
    duration: float
    end_ns: int
    flags: SampleFlag


@dataclass(frozen=True, slots=True)
class Missing:
    """Time for which there are no samples, or too few to count [s], and its end [ns UTC]."""

    duration: float
    end_ns: int


class Stretches:
    """
    Lays one source's samples end to end.

    Parameters
    ----------
    n_channels : int
    cycle : int
        Samples in a cycle.
    n_cycles : int
        Cycles in a stretch.
    """

    def __init__(self, n_channels: int, cycle: int, n_cycles: int) -> None:
        self.cycle = cycle
        self._samples = np.empty((n_channels, cycle * n_cycles))
        self._filled = 0
        self._next: int | None = None  # number of the sample that comes next
        self._next_ns = 0
        self._rate = 0.0
        self._flags = SampleFlag.NONE

    @property
    def length(self) -> int:
        """Samples in a stretch without gap."""
        return int(self._samples.shape[1])

    @property
    def waiting(self) -> int:
        """Samples collected that are in no stretch yet."""
        return self._filled

    def push(self, block: SampleBlock) -> Iterator[Stretch | Missing]:
        """
        Take a block; yield each stretch that it completes and each gap that it shows, oldest first.

        The iterator must be exhausted before the next block comes.
        """
        if self._next is not None and block.first_index != self._next:
            yield from self._before_gap(self._lost(block, self._next), block.time_ns)
        self._rate = block.sample_rate
        self._next, self._next_ns = block.first_index, block.time_ns
        whole = np.isfinite(block.values).all(axis=0) if block.flags & SampleFlag.MISSING else None
        done = 0
        for start, stop in stretches_without_gap(whole, block.n_samples):
            if start > done:
                yield from self._before_gap((start - done) / self._rate, self._ns(block, start))
            self._flags |= block.flags & KEPT_FLAGS
            done = start
            while done < stop:
                count = min(self._samples.shape[1] - self._filled, stop - done)
                self._samples[:, self._filled : self._filled + count] = block.values[:, done : done + count]
                self._filled += count
                done += count
                if self._filled == self._samples.shape[1]:
                    flags, self._flags = self._flags, block.flags & KEPT_FLAGS if done < stop else SampleFlag.NONE
                    yield self._stretch(self._filled, self._ns(block, done), flags)
                    self._filled = 0
        if done < block.n_samples:
            yield from self._before_gap((block.n_samples - done) / self._rate, block.end_ns)
        self._next, self._next_ns = block.end_index, block.end_ns

    def flush(self) -> Iterator[Stretch | Missing]:
        """Yield what has been collected, as at the end of the samples."""
        yield from self._before_gap(0.0, self._next_ns)

    def _before_gap(self, lost: float, end_ns: int) -> Iterator[Stretch | Missing]:
        n_cycles = self._filled // self.cycle
        counted = n_cycles * self.cycle if n_cycles >= LEAST_CYCLES else 0
        missing = (self._filled - counted) / self._rate + lost if self._rate else 0.0
        flags, self._flags = self._flags, SampleFlag.NONE
        self._filled = 0
        if counted:
            yield self._stretch(counted, end_ns - round(missing * NANOSECONDS), flags)
        if missing > 0:
            yield Missing(missing, end_ns)

    def _stretch(self, count: int, end_ns: int, flags: SampleFlag) -> Stretch:
        return Stretch(self._samples[:, :count], count // self.cycle, count / self._rate, end_ns, flags)

    def _lost(self, block: SampleBlock, expected: int) -> float:
        """Return how much time is missing before a block that does not follow the one before [s]."""
        jump = block.first_index - expected
        return jump / self._rate if jump > 0 else max(0.0, (block.time_ns - self._next_ns) / NANOSECONDS)

    def _ns(self, block: SampleBlock, position: int) -> int:
        return block.time_ns + round(position / block.sample_rate * NANOSECONDS)


def stretches_without_gap(whole: NDArray[np.bool_] | None, n_samples: int) -> list[tuple[int, int]]:
    """Return where samples without a missing value begin and end."""
    if whole is None:
        return [(0, n_samples)] if n_samples else []
    edges = np.flatnonzero(np.diff(np.concatenate(([False], whole, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
