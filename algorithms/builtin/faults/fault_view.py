"""
What a detector looks at: the newest samples and phasors side by side, numbered through.

Where it stands: `fault_watch` makes a view of every block; `fault_course` looks at the same one. Pure.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.waveform.fault_criteria import Truths
from algorithms.waveform.phasor import Complexes, Floats


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """
    Samples and phasors by column, some cycles of those before first.

    Attributes
    ----------
    samples : numpy.ndarray
        Voltages A, B, C and currents A, B, C, shape (6, n) [V, A].
    phasors : numpy.ndarray
        Of the cycle that ends at each sample, shape (6, n) [V, A].
    begin : int
        Number of the sample in the first column.
    """

    samples: Floats
    phasors: Complexes
    begin: int

    @property
    def last(self) -> int:
        """The column after the last."""
        return int(self.samples.shape[1])


def held(truths: Truths, run: int, hold: int) -> tuple[int | None, int]:
    """
    Find where a truth has held for so many samples.

    Parameters
    ----------
    truths : numpy.ndarray
        Shape (n,), bool.
    run : int
        Samples for which it held before.
    hold : int

    Returns
    -------
    place : int or None
    run : int
        Samples for which it has held at the end.

    Examples
    --------
    >>> held(np.array([True, True, True]), 2, 4)
    (1, 5)
    >>> held(np.array([True, False, True]), 2, 4)
    (None, 1)
    """
    if not truths.any():
        return None, 0
    numbers = np.arange(truths.size)
    last_false = np.maximum.accumulate(np.where(truths, -run - 1, numbers))
    lengths = np.where(truths, numbers - last_false, 0)
    at = np.flatnonzero(lengths >= max(hold, 1))
    return (int(at[0]) if at.size else None), int(lengths[-1])
