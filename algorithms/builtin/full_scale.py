"""
What a converter can have delivered at most, so that rubbish in a source's samples never passes for a measurement.

`energy` counts no stretch that holds more, `quality_meter` flags such a window.
"""

from collections.abc import Sequence

import numpy as np

from algorithms.api.samples import Channel
from algorithms.waveform.phasor import Floats

BEYOND = 2.0
"""More than this many times the full scale no converter delivers [1]."""
LARGEST = 1e7
"""Nor more than this, also where the full scale is not known [V or A]: no line has it."""


def largest_values(channels: Sequence[Channel]) -> Floats:
    """
    Return the magnitude beyond which a sample was not measured (n_channels,) [V or A].

    >>> from algorithms.api.samples import Phase, Quantity
    >>> largest_values([Channel("ua", Quantity.VOLTAGE, Phase.A, full_scale=500.0)]).tolist()
    [1000.0]
    """
    return np.array([min(BEYOND * channel.full_scale or LARGEST, LARGEST) for channel in channels])
