"""
Reading a ring that a library writes round and round without ever saying that it lapped its reader.

Pure but for the board it asks. Where it stands: `mcc_source` calls `RingReader.take` with the count of scans completed
so far; what it returns goes into a `Framer`, which turns a jump of the sample number into a loss.

A scan s stands at place ``s % ring`` until scan ``s + ring`` is written there. Unless copying was so quick that this
cannot be, the count is read again afterwards: whatever could have been written over is thrown away, never handed on.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hardware.mcc_library import BoardFault, OpenBoard
from hardware.mcc_scan import Scan

BACKLOG = 1.0
"""More than this a library cannot hand over at once: what its transfers and the board's own buffer hold [s]."""


class RingReader:
    """
    Takes what is new out of a board's ring.

    Parameters
    ----------
    board : OpenBoard
    scan : Scan
        As it was started.
    monotonic : callable
        Time that never steps [s].
    """

    def __init__(self, board: OpenBoard, scan: Scan, monotonic: Callable[[], float]) -> None:
        self._board = board
        self._monotonic = monotonic
        self._rate = scan.rate
        self._ring = scan.ring
        self._spare = 2 * scan.stage
        self._rows = None if scan.rows == tuple(range(len(scan.inputs))) else np.array(scan.rows)
        self.taken = 0
        """Number of the scan that comes next."""

    def take(self, completed: int, seen_at: float) -> tuple[int, NDArray[np.float64]]:
        """
        Copy what is new.

        Parameters
        ----------
        completed : int
            Scans completed since the start.
        seen_at : float
            When that was read [s].

        Returns
        -------
        first : int
            Number of the first scan returned; later than expected where the library lapped this reader.
        volts : numpy.ndarray
            Shape (n_channels, n_scans) [V], in the order of the plan's channels.
        """
        first = self.taken
        if completed - first > self._ring - self._spare:
            first = completed - self._ring + self._spare
        parts = []
        begin = first
        while begin < completed:
            place = begin % self._ring
            size = min(completed - begin, self._ring - place)
            part = self._board.copy(place, place + size)
            parts.append(part.copy() if self._rows is None else part[self._rows])
            begin += size
        self.taken = completed
        if not parts:
            return first, np.empty((0, 0))
        volts = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        room = (self._ring - (completed - first)) / self._rate
        if self._monotonic() - seen_at < room - BACKLOG:
            return first, volts
        safe = self._oldest_safe()
        if safe > first:
            return min(safe, completed), volts[:, safe - first :]
        return first, volts

    def _oldest_safe(self) -> int:
        """Return the first scan that nothing can have been written over yet."""
        try:
            completed = self._board.progress()
        except BoardFault:  # how far it wrote before is not known; the next look meets the same fault
            return self.taken
        return completed + 1 - self._ring  # one scan more than is completed may be half written


PLATEAU = 3
"""Equal samples in a row that tell a flattened peak from a round one."""
NEAR_END = 0.95
"""Share of the range above which a flattened peak is the converter's doing [1]."""


class EndsOfRange:
    """
    Tells whether samples stood at an end of the converter's range.

    Libraries say nothing of it: a code that saturates is calibrated like any other, and comes out a little above or
    below the nominal end. So a sample at or beyond the nominal end counts, and a peak near it that is flat.

    Parameters
    ----------
    scan : Scan
    """

    def __init__(self, scan: Scan) -> None:
        spans = [scan.spans[row] for row in scan.rows]
        middle = np.array([(span.low + span.high) / 2 for span in spans])
        half = np.array([(span.high - span.low) / 2 for span in spans])
        steps = np.array([scan.model.step(span) for span in spans])
        self._same = len(set(spans)) == 1
        self._beyond = (middle - half + steps / 2, middle + half - 1.5 * steps)
        self._near = (middle - NEAR_END * half, middle + NEAR_END * half)

    def reached(self, volts: NDArray[np.float64]) -> bool:
        """Judge volts of shape (n_channels, n_samples)."""
        if self._same and volts.min() > self._near[0][0] and volts.max() < self._near[1][0]:
            return False
        lowest, highest = volts.min(axis=1), volts.max(axis=1)
        suspects = (lowest <= self._near[0]) | (highest >= self._near[1])
        if not suspects.any():
            return False
        if (lowest <= self._beyond[0]).any() or (highest >= self._beyond[1]).any():
            return True
        for row in np.flatnonzero(suspects):
            for extreme, near in ((lowest[row], lowest[row] <= self._near[0][row]),
                                  (highest[row], highest[row] >= self._near[1][row])):  # fmt: skip
                at = (volts[row] == extreme).astype(np.int8)
                if near and at.size >= PLATEAU and np.convolve(at, np.ones(PLATEAU, np.int8)).max() >= PLATEAU:
                    return True
        return False
