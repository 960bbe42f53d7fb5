"""
The flickermeter beside `quality_meter`: which samples it sees, and which of its sensations count.

It follows as far as voltage events are known. During an event, after a gap and for some seconds afterwards nothing
counts: the filters still remember what no lamp should be judged by.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import SampleFlag
from algorithms.builtin.sample_store import SampleStore
from algorithms.waveform.flicker import FlickerMeter, Lamp, classify
from algorithms.waveform.phasor import Floats

SETTLING = 10.0
"""Flicker does not count until its filters have forgotten how they were started [s]."""


class FlickerWatch:
    """
    Follows some channels of a store.

    Parameters
    ----------
    rows : numpy.ndarray
        Channels with a phase voltage.
    sample_rate : float
        [Hz]
    lamp : Lamp

    Attributes
    ----------
    position : int
        First sample that is still needed.
    """

    def __init__(self, rows: NDArray[np.intp], sample_rate: float, lamp: Lamp) -> None:
        self._rows = rows
        self._meter = FlickerMeter(rows.size, sample_rate, lamp)
        self.position = 0
        self._settled = 0.0

    def restart(self, position: int, rate: float) -> None:
        """Begin anew at a position, not before the present one within a stretch; `rate` is that of the stretch [Hz]."""
        self._meter.forget()
        self.position = position
        self._settled = position + SETTLING * rate

    def sense(
        self, store: SampleStore, until: float, present: NDArray[np.bool_]
    ) -> Iterator[tuple[int, Floats, float]]:
        """
        Advance to a position; yield what counts: when it began [ns UTC], sensation by classes, and its duration [s].

        Parameters
        ----------
        store : SampleStore
        until : float
        present : numpy.ndarray
            Which phases have a voltage (n_rows,).
        """
        meter = self._meter
        while self.position + meter.needed <= min(until, store.end):
            begin = self.position
            sensation = meter.sensation(store.samples(begin, begin + meter.needed)[self._rows])
            self.position += meter.advance
            if begin >= self._settled and not store.flags(begin, begin + meter.needed) & SampleFlag.CLIPPED:
                yield store.time_ns(begin), classify(sensation) * present[:, None], meter.advance / store.rate
