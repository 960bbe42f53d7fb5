"""
Following the frequency: the phasor model at the frequency that the signal really has, at the cost of one product.

`FrequencyTrackingEstimator` keeps the tables of `phasor` for frequencies on a fine grid, each made once and the least
used forgotten, and starts every window from the frequency of the one before. The derivative terms of the model absorb
what the grid leaves over: half a step is a turn of 0.003 rad at the end of the window, of which the value sees
the fourth power. While frequency moves from window to window, a grid eight times as coarse saves most of the making of
tables and costs 1e-7 of the value. The estimator has no other state: in a steady signal one window gives one answer, to
within rounding, whatever came before it. Any algorithm that needs phasors of its own may hold one.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from algorithms.waveform.frequency import coarse_frequency, common_frequency, search_functions
from algorithms.waveform.phasor import (
    Floats,
    TaylorFourierFit,
    TaylorFourierTable,
    fit_window,
    taylor_fourier_table,
    window_shape,
)

GRID_TURNS = 0.002
"""Step of the frequency grid [cycles per window]."""
MOVING = 8
"""Steps of the grid while frequency moves by more than a quarter of one from window to window."""
TABLES = 32
"""Tables kept: as many frequencies as a busy second visits."""
REFINEMENTS = 5
"""Fits of one window at most; two are enough unless the model does not hold."""
HIGHEST_HARMONIC = 25

_shapes = ((3.5, 1.5, 0.3), (7.0, 3.0, 0.3), (math.inf, 6.0, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFit:
    """
    A fit at the frequency found.

    Attributes
    ----------
    fit : TaylorFourierFit
    table : TaylorFourierTable
    frequency : float or None
        At the middle sample [cycles per sample]; None where no channel could tell.
    converged : bool
        Whether the frequency found agrees with the one the model was fitted at.
    alive : list of int
        Channels that told the frequency; none where it is None.
    """

    fit: TaylorFourierFit
    table: TaylorFourierTable
    frequency: float | None
    converged: bool
    alive: list[int]


def window_design(cycles: float) -> tuple[float, float]:
    """
    Return the Kaiser parameter and the damping that suit a length [cycles of the nominal frequency].

    A blunt shape has less noise, above all in ROCOF; a sharp one rejects more beside the harmonics of the model and
    follows swings better. Three cycles are short of samples and leave swings nearly untouched: blunt, and damped, since
    at protection class a step may overshoot by 5 %. Ten cycles have noise to spare: sharp, so that a modulation of
    5 Hz is followed to half of what the measurement class allows, and interharmonics 22 Hz away are rejected by more
    than 60 dB. They may overshoot by 10 % and need no damping, which at 5 Hz would cost them 1 %.
    """
    return next((beta, damping) for limit, beta, damping in _shapes if cycles < limit)


class FrequencyTrackingEstimator:
    """
    Phasors, harmonics and frequency of one window after another.

    Parameters
    ----------
    half : int
        Samples on either side of the middle one.
    nominal : float
        Frequency assumed while nothing better is known [cycles per sample].
    lowest, highest : float
        Range followed [cycles per sample].
    moving_steps : int
        Steps of the grid while frequency moves: 1 where windows are so few that tables cost nothing.

    Raises
    ------
    ValueError
        When the window is too short for the fundamental, or its frequency too high for the sampling rate.
    """

    def __init__(self, half: int, nominal: float, lowest: float, highest: float, moving_steps: int = MOVING) -> None:
        if not 0 < lowest <= nominal <= highest < 0.25:
            raise ValueError(
                "a range of frequencies around the nominal one and below a quarter of the sampling rate expected, "
                f"found {lowest:g} to {highest:g} around {nominal:g} cycles per sample"
            )
        self.half = half
        self.nominal = nominal
        self.lowest = lowest
        self.highest = highest
        self._moving_steps = moving_steps
        self.n_harmonics = max(1, min(HIGHEST_HARMONIC, int(0.48 / highest), half - 4))
        beta, self._damping = window_design((2 * half + 1) * nominal)
        self._window = window_shape(half, beta)
        self._step = GRID_TURNS / (2 * half + 1)
        self._tables: OrderedDict[int, TaylorFourierTable] = OrderedDict()
        self._tracked: float | None = None
        self._start = self.table(nominal)
        weights = self._start.weights
        self._search = search_functions(weights, lowest, highest)

    def forget(self) -> None:
        """Start the next window without a frequency, as after a gap."""
        self._tracked = None
        self._start = self.table(self.nominal)

    def table(self, frequency: float, steps: int = 1) -> TaylorFourierTable:
        """Return the table nearest to a frequency [cycles per sample] in the range followed, on every n-th step."""
        key = steps * round(min(max(frequency, self.lowest), self.highest) / (steps * self._step))
        table = self._tables.get(key)
        if table is None:
            table = taylor_fourier_table(self._window, key * self._step, self.n_harmonics, self._damping)
            self._tables[key] = table
            if len(self._tables) > TABLES:
                self._tables.popitem(last=False)
        else:
            self._tables.move_to_end(key)
        return table

    def estimate(self, window: Floats, rows: Sequence[int], least: float) -> TrackedFit:
        """
        Fit one window at its own frequency.

        Parameters
        ----------
        window : numpy.ndarray
            Shape (n_channels, 2 half + 1).
        rows : sequence of int
            Channels that may tell the frequency.
        least : float
            Peak value below which none of them is believed; an estimate must moreover stand a hundred standard
            uncertainties above noise.

        Returns
        -------
        TrackedFit
        """
        before = self._tracked
        table = self._start
        fit = fit_window(table, window)
        alive = self._alive(fit, table, rows, least)
        if before is None or not alive:
            found = self.table(coarse_frequency(window[list(rows)], *self._search), self._moving_steps)
            found_fit = fit_window(found, window)
            alive = self._alive(found_fit, found, rows, least)
            if not alive:
                return TrackedFit(fit, table, None, True, alive)
            table, fit = found, found_fit
        frequency = table.frequency
        converged = False
        for remaining in reversed(range(REFINEMENTS)):
            deviation, _ = common_frequency([fit.phasors[row] for row in alive])
            frequency = table.frequency + deviation / self.half
            steps = 1 if before is None or abs(frequency - before) <= 0.25 * self._step else self._moving_steps
            converged = abs(frequency - table.frequency) <= 0.75 * steps * self._step
            better = self.table(frequency, steps) if not converged else table
            if better is table or not remaining:
                break
            table = better
            fit = fit_window(table, window)
        self._tracked = frequency if converged else None
        self._start = table if converged else self.table(self.nominal)
        return TrackedFit(fit, table, frequency, converged, alive)

    @staticmethod
    def _alive(fit: TaylorFourierFit, table: TaylorFourierTable, rows: Sequence[int], least: float) -> list[int]:
        above = 1e4 * table.variances[0]
        alive = []
        for row in rows:
            peak = abs(fit.phasors[row][0])
            if peak >= least and peak * peak > above * fit.noise[row]:
                alive.append(row)
        return alive
