"""
Cutting a stream of sample chunks into blocks on a steady grid.

Pure, no clock: a driver pushes whatever its board, file or formula gave, and gets back blocks of a fixed number of
samples that begin at multiples of that number, so that a reader's windows fall on the same instants whatever the size
of a USB transfer was. A jump of the sample number ends the block before it early and flags the one after it; no
sample is invented, none is repeated. The one owner of its state is the source that made it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import Channel, SampleBlock, SampleFlag

Stamp = Callable[[int], tuple[int, float]]
"""Tells for a sample's number its UTC [ns] and the standard uncertainty of that [s]."""


class Framer:
    """
    Cuts chunks into blocks.

    Parameters
    ----------
    channels : tuple of Channel
    sample_rate : float
        [Hz]
    block_samples : int
        Samples per channel in a full block.
    stamp : callable
        Time of a sample by its number; asked once for each block.
    grid : int
        Blocks begin at sample numbers ``grid + k * block_samples``.
    flags : SampleFlag
        For the first block, such as `SampleFlag.RATE_CHANGED`.

    Examples
    --------
    >>> from algorithms.api.samples import Phase, Quantity
    >>> framer = Framer((Channel("ua", Quantity.VOLTAGE, Phase.A),), 1000.0, 4, lambda index: (index * 10**6, 0.0))
    >>> blocks = framer.push(np.arange(10.0).reshape(1, -1), 0) + framer.flush()
    >>> [(block.first_index, block.values.tolist()) for block in blocks]
    [(0, [[0.0, 1.0, 2.0, 3.0]]), (4, [[4.0, 5.0, 6.0, 7.0]]), (8, [[8.0, 9.0]])]
    """

    def __init__(
        self,
        channels: tuple[Channel, ...],
        sample_rate: float,
        block_samples: int,
        stamp: Stamp,
        *,
        grid: int = 0,
        flags: SampleFlag = SampleFlag.NONE,
    ) -> None:
        if block_samples < 1 or not sample_rate > 0:
            raise ValueError(f"a block of samples at a rate above 0 expected, found {block_samples} at {sample_rate}")
        self._channels = channels
        self._rate = sample_rate
        self._size = block_samples
        self._stamp = stamp
        self._grid = grid
        self._next: int | None = None
        self._pending: list[NDArray[np.floating]] = []
        self._pending_first = 0
        self._flags = flags

    @property
    def next_index(self) -> int | None:
        """Number of the sample expected next; None before the first."""
        return self._next

    def push(
        self, values: NDArray[np.floating], first_index: int, flags: SampleFlag = SampleFlag.NONE
    ) -> list[SampleBlock]:
        """
        Take a chunk; return the blocks it completes.

        Parameters
        ----------
        values : numpy.ndarray
            Shape (n_channels, n_samples); must not change afterwards, since blocks may share its memory.
        first_index : int
            Number of the chunk's first sample.
        flags : SampleFlag
            Of the chunk; every block with a sample of it gets them. LOST is found here by itself.

        Raises
        ------
        ValueError
            When `first_index` goes back: samples would be repeated.
        """
        n_samples = values.shape[1]
        done: list[SampleBlock] = []
        if self._next is not None and first_index != self._next:
            if first_index < self._next:
                raise ValueError(f"sample {self._next} or a later one expected, found {first_index}")
            done += self.flush()
            self._flags |= SampleFlag.LOST
        self._next = first_index + n_samples
        taken = 0
        while taken < n_samples:
            index = first_index + taken
            room = self._size - (index - self._grid) % self._size
            part = min(room, n_samples - taken)
            if not self._pending:
                self._pending_first = index
            whole = part == n_samples
            self._pending.append(values if whole else values[:, taken : taken + part])
            self._flags |= flags
            taken += part
            if part == room:
                done += self.flush()
        return done

    def flush(self) -> list[SampleBlock]:
        """Return what is left as a short block, at the end of a stream or before a change of rate."""
        if not self._pending:
            return []
        values = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending, axis=1)
        time_ns, uncertainty = self._stamp(self._pending_first)
        block = SampleBlock(values, self._channels, self._rate, self._pending_first, time_ns, uncertainty, self._flags)
        self._pending = []
        self._flags = SampleFlag.NONE
        return [block]
