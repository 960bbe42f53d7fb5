"""
Samples that no input can have given: they count as missing, wherever faults are looked for.

Where it stands: `fault_detection` and `fault_samples` ask it for every block. A driver that fails, or a recording that
was spoilt, may say 1e300 V; squared that is no number any more, and one such sample would spoil all that follow.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import Channel
from algorithms.waveform.phasor import Floats

BEYOND = 4.0
"""Times full scale beyond which no calibration takes a sample [1]."""
GREATEST = 1e9
"""What is believed of an input whose full scale is not known [V, A]."""


def greatest(channels: Sequence[Channel]) -> Floats:
    """Give what samples of channels stay below, shape (n,) [V, A]."""
    return np.array([BEYOND * channel.full_scale or GREATEST for channel in channels])


def all_believable(values: NDArray[np.floating], limits: Floats) -> bool:
    """
    Tell whether samples are all numbers and below the limits of their channels.

    Examples
    --------
    >>> all_believable(np.array([[1.0, 1e300]]), np.array([1e3])), all_believable(np.array([[1.0]]), np.array([1e3]))
    (False, True)
    """
    return bool((np.abs(values).max(axis=1, initial=0.0) <= limits).all())


def without_others(values: NDArray[np.floating], limits: Floats) -> NDArray[np.floating]:
    """Give samples with NaN in place of every instant at which one of them is not believable, shape (n, k)."""
    kept = (np.abs(values) <= limits[:, np.newaxis]).all(axis=0)
    return np.where(kept, values, np.nan)
