"""
When each of a board's samples was taken, over interruptions of its scan too.

Where it stands: between `mcc_source`, which reads counts and clocks, and `timebase`, which finds the true rate and UTC
of one uninterrupted scan. Here the scans of one run get one numbering: a scan that begins anew goes on counting where
the samples would be if none had been lost, and starts from the rate found before. Pure.
"""

import math

from algorithms.api.samples import NANOSECONDS, SampleBlock
from hardware.mcc_options import BoardOptions, Trigger
from hardware.mcc_scan import Scan
from hardware.timebase import TimeBase
from hardware.timebase_clocks import KernelClock
from hardware.timebase_model import TimeModel

CRYSTAL = 5e-5
"""Relative standard uncertainty of a board's crystal [1]."""
REMEMBERED = 2e-6
"""By how much a rate that was found may have changed over an interruption [1]."""
NEAR_SECOND = 0.3
"""How far the host's clock may be from a second that a trigger marks, to know which second it was [s]."""


class BoardTimes:
    """
    Numbers and stamps the samples of one run.

    Parameters
    ----------
    scan : Scan
    options : BoardOptions
    """

    def __init__(self, scan: Scan, options: BoardOptions) -> None:
        self._scan = scan
        self._rate = scan.rate
        self._tolerance = options.clock_tolerance if options.clock_tolerance is not None else _tolerance(scan)
        self._on_second = options.trigger_on_second and scan.trigger is not Trigger.NONE
        # Whether the edge itself or the period after it takes the first sample is not said anywhere.
        step = 0.0 if scan.model.simultaneous else 1 / (scan.rate * len(scan.inputs))
        self._edge_uncertainty = math.hypot(options.trigger_uncertainty, (step or 1 / scan.rate) / math.sqrt(12))
        self._base: TimeBase | None = None
        self._model: TimeModel | None = None
        self._first = 0
        self._awaits_edge = False

    def begin(self, next_index: int | None, started_ns: int) -> int:
        """
        Take note of a scan that has just been started.

        Parameters
        ----------
        next_index : int or None
            Number of the sample that would have come next; None at the first start.
        started_ns : int
            The host's UTC right after the start [ns].

        Returns
        -------
        int
            Number of the scan's first sample: at least one later where there was a scan before.
        """
        if next_index is None or self._model is None:
            self._first = next_index or 0
        else:
            missed = (started_ns - self._model.time_ns(next_index)) / NANOSECONDS * self._model.sample_rate
            self._first = next_index + max(1, round(missed))
            self._rate = self._model.sample_rate
            self._tolerance = math.hypot(self._model.rate_uncertainty, REMEMBERED)
        self._base = TimeBase(self._rate, rate_tolerance=self._tolerance, transfer=self._scan.stage)
        self._awaits_edge = self._on_second
        return self._first

    def observe(self, completed: int, host_ns: int, steady_ns: int) -> None:
        """
        Take a reading.

        Parameters
        ----------
        completed : int
            Samples per channel of the running scan that are complete.
        host_ns, steady_ns : int
            The host's UTC and its steady clock right afterwards [ns].
        """
        if self._base is None:
            raise RuntimeError("begin comes before observe")
        self._base.observe(self._first + completed, host_ns, steady_ns)
        if self._awaits_edge:
            self._awaits_edge = False
            edge = host_ns - completed / self._rate * NANOSECONDS
            second = round(edge / NANOSECONDS) * NANOSECONDS
            if abs(edge - second) < NEAR_SECOND * NANOSECONDS:
                self._base.observe_reference(float(self._first), second, self._edge_uncertainty)

    def kernel(self, clock: KernelClock) -> None:
        """Take what the kernel knows of its UTC; asked every few seconds."""
        if self._base is not None:
            self._base.host_clock(clock.uncertainty, clock.frequency)

    def stamp(self, index: int) -> tuple[int, float]:
        """Tell a sample's UTC [ns] and the standard uncertainty of that [s]."""
        if self._base is None:
            raise RuntimeError("begin comes before stamp")
        self._model = self._base.model()
        return self._model.time_ns(index), self._model.time_uncertainty

    def judged(self, block: SampleBlock) -> SampleBlock:
        """Return a block with the rate that is known by now, how well, and the word whether its stamp follows UTC."""
        model = self._model
        if model is None:
            return block
        return SampleBlock(
            block.values,
            block.channels,
            model.sample_rate,
            block.first_index,
            block.time_ns,
            block.time_uncertainty,
            block.flags | model.flags,
            model.rate_uncertainty,
        )


def _tolerance(scan: Scan) -> float:
    """Return how far the rate may be off: the crystal, and half of what the library says otherwise."""
    claimed = scan.model.returned_rate(scan.asked_rate, len(scan.inputs), burst=scan.burst)
    return math.hypot(CRYSTAL, 0.0 if scan.external_clock else 0.5 * (claimed / scan.rate - 1))
