"""
The readings of one source in an interval that is still open, in a compact form: `Kept`.

Where it stands: `state_collector` has one for each source and open interval, and condenses it when its share of the
memory is full.
"""

from array import array

import numpy as np

from algorithms.api.network_tables import Floats
from algorithms.builtin.states.state_averages import condense


class Kept:
    """
    Readings of a source in an interval.

    Parameters
    ----------
    width : int
        How many values a reading has.

    Attributes
    ----------
    rows : array
        Time after the interval's start, window [ns] and values of each.
    weights : numpy.ndarray
        How many readings the first rows are each made of, shape (k,); the others are single ones.
    pause_ns : int
        Shortest pause between readings that were condensed; 0 where there are none [ns].
    """

    __slots__ = ("_width", "pause_ns", "rows", "weights")

    def __init__(self, width: int) -> None:
        self._width = width
        self.rows: array[float] = array("d")
        self.weights: Floats = np.zeros(0)
        self.pause_ns = 0

    def table(self) -> Floats | None:
        """Give the readings by time, then by values: the order of arrival is gone. None where there are none."""
        if not self.rows:
            return None
        table = np.frombuffer(self.rows, dtype=float).reshape(-1, self._width + 2)
        ordered: Floats = table[np.lexsort(table.T[::-1])]
        return ordered

    def condense(self, interval_ns: int, parts: int) -> dict[str, int]:
        """Make one reading of all in each of `parts` parts of the interval; count what was left out."""
        table = np.frombuffer(self.rows, dtype=float).reshape(-1, self._width + 2)
        weights = np.concatenate([self.weights, np.ones(len(table) - len(self.weights))])
        order = np.lexsort(table.T[::-1])
        pauses = np.diff(table[order, 0][weights[order] == 1.0])
        shortest = int(min(pauses[pauses > 0], default=0))
        self.pause_ns = min(self.pause_ns or shortest, shortest or self.pause_ns)
        fewer = condense(table[order], weights[order], float(interval_ns), parts)
        self.rows, self.weights = array("d", fewer.rows.ravel().tolist()), fewer.weights
        found = {"duplicate": fewer.duplicates, "contradictory": fewer.contradictions, "invalid": fewer.invalid}
        return {name: count for name, count in found.items() if count}
