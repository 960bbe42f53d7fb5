"""
Linear combinations of voltages of points and of inputs, gathered one by one into matrices.

Where it stands: `observation` gathers what meters see, `flow` what equipment carries; `response` answers for them.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array

from algorithms.grid.estimation.terminals import Current


@dataclass(slots=True)
class Combinations:
    """
    Linear combinations by number, each under a key of its own.

    Attributes
    ----------
    points, inputs : list of tuple
        Number of the combination, point or input, and what it is multiplied with.
    keys : dict
        Number of each key.
    """

    points: list[tuple[int, int, complex]] = field(default_factory=list)
    inputs: list[tuple[int, int, complex]] = field(default_factory=list)
    keys: dict[Hashable, int] = field(default_factory=dict)

    def add(self, key: Hashable, current: Current) -> None:
        """Take in a current that is not there yet, under the next number."""
        at = self.keys[key] = len(self.keys)
        self.points += [(at, point, value) for point, value in current.points]
        self.inputs += [(at, place, value) for place, value in current.inputs]


def gathered(entries: list[tuple[int, int, complex]], shape: tuple[int, int]) -> csr_array:
    """Make a matrix of its entries, given as row, column and value."""
    if not entries:
        return csr_array(shape, dtype=complex)
    rows, columns, values = ([entry[part] for entry in entries] for part in range(3))
    return csr_array((np.array(values, dtype=complex), (rows, columns)), shape=shape)
