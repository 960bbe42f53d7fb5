"""
What is gathered over an interval: 150 cycles, ten minutes, two hours (IEC 61000-4-30, 4.5 and 4.7).

`power_quality` adds one window of 10 or 12 cycles after another; `quality_results` writes what came together.
Aggregates are square roots of means of squares. Rule: a flagged window (dip, swell, interruption, gap, clipping,
frequency out of range, voltages in no order) is counted under its reasons and never averaged in; a phase without
voltage is left out by itself. Everything here is numbers in arrays, so an interval under way can be kept across a
restart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import NANOSECONDS
from algorithms.waveform.flicker import N_CLASSES
from algorithms.waveform.phasor import Floats

TEN_MINUTES = 600 * NANOSECONDS
TWO_HOURS = 12 * TEN_MINUTES
TEN_SECONDS = 10 * NANOSECONDS

DIP, SWELL, INTERRUPTION = "dip", "swell", "interruption"
GAP, CLIPPED, FREQUENCY, WIRING = "gap", "clipped", "frequency", "wiring"
FLAGS = (DIP, SWELL, INTERRUPTION, GAP, CLIPPED, FREQUENCY, WIRING)
"""Why a window does not count."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """
    A measured window of 10 or 12 cycles.

    Attributes
    ----------
    begin_ns, end_ns : int
    squares : numpy.ndarray
        As `cycle_window.WindowValues.squares` (n_channels, n_values).
    valid : numpy.ndarray
        Which channels had something to measure (n_channels,).
    unbalance : tuple of float or None
        u2 and u0 [1]; None where three voltages are not there.
    frequency : float or None
        [Hz]; None where no voltage told.
    flags : tuple of str
        Of `FLAGS`.
    time_uncertainty : float
        Of its place [s].
    phase_order : str
        As `cycle_window.phase_order`; empty where it cannot be told.
    """

    begin_ns: int
    end_ns: int
    squares: Floats
    valid: NDArray[np.bool_]
    unbalance: tuple[float, float] | None
    frequency: float | None
    flags: tuple[str, ...]
    time_uncertainty: float = 0.0
    phase_order: str = ""


@dataclass(slots=True, eq=False)
class Interval:
    """
    Sums over an interval.

    Attributes
    ----------
    begin_ns, end_ns : int
        As they should be; [ns UTC].
    sums : numpy.ndarray
        Of squares (n_channels, n_values).
    counts : numpy.ndarray
        Windows in `sums`, by channel (n_channels,).
    low, high : numpy.ndarray
        Least and largest squared RMS of a window (n_channels,).
    unbalance : numpy.ndarray
        Sum of squares of u2 and of u0, and how many they are (3,).
    turns : numpy.ndarray
        Cycles counted and the time they took [s] (2,).
    windows : int
        All, flagged ones too.
    measured : float
        Time the windows cover [s].
    flagged : dict
        Windows by reason; a window may have several.
    not_counted : int
        Windows with any flag.
    time_uncertainty : float
        Largest of its windows [s].
    phase_order : str
        Of the last window that had one.
    """

    begin_ns: int
    end_ns: int
    sums: Floats
    counts: Floats
    low: Floats
    high: Floats
    unbalance: Floats
    turns: Floats
    windows: int = 0
    measured: float = 0.0
    flagged: dict[str, int] = field(default_factory=dict)
    not_counted: int = 0
    time_uncertainty: float = 0.0
    phase_order: str = ""

    @classmethod
    def begin(cls, begin_ns: int, end_ns: int, n_channels: int, n_values: int) -> "Interval":
        """Begin an interval."""
        return cls(
            begin_ns,
            end_ns,
            np.zeros((n_channels, n_values)),
            np.zeros(n_channels),
            np.full(n_channels, np.inf),
            np.zeros(n_channels),
            np.zeros(3),
            np.zeros(2),
        )

    def add(self, window: Window, cycles: int) -> None:
        """Take one window of `cycles` cycles."""
        self.windows += 1
        duration = (window.end_ns - window.begin_ns) * 1e-9
        self.measured += duration
        self.time_uncertainty = max(self.time_uncertainty, window.time_uncertainty)
        self.phase_order = window.phase_order or self.phase_order
        if window.flags:
            self.not_counted += 1
            for flag in window.flags:
                self.flagged[flag] = self.flagged.get(flag, 0) + 1
            return
        valid = window.valid
        if valid.all():
            self.sums += window.squares
            self.counts += 1.0
            rms = window.squares[:, 0]
            np.minimum(self.low, rms, out=self.low)
            np.maximum(self.high, rms, out=self.high)
        else:
            self.sums[valid] += window.squares[valid]
            self.counts += valid
            rms = window.squares[valid, 0]
            self.low[valid] = np.minimum(self.low[valid], rms)
            self.high[valid] = np.maximum(self.high[valid], rms)
        if window.unbalance is not None:
            u2, u0 = window.unbalance
            self.unbalance += (u2 * u2, u0 * u0, 1.0)
        if window.frequency is not None:
            self.turns += (cycles, duration)

    def add_interval(self, other: "Interval") -> None:
        """Take a shorter interval as one value with the same weight as every other (two hours from ten minutes)."""
        whole = other.counts > 0
        self.sums[whole] += other.sums[whole] / other.counts[whole, None]
        self.counts += whole
        np.minimum(self.low, other.low, out=self.low)
        np.maximum(self.high, other.high, out=self.high)
        if other.unbalance[2]:
            self.unbalance += other.unbalance / other.unbalance[2]
        self.turns += other.turns
        self.windows += other.windows
        self.measured += other.measured
        self.not_counted += other.not_counted
        self.time_uncertainty = max(self.time_uncertainty, other.time_uncertainty)
        self.phase_order = other.phase_order or self.phase_order
        for flag, count in other.flagged.items():
            self.flagged[flag] = self.flagged.get(flag, 0) + count

    @property
    def duration(self) -> float:
        """Length it should have [s]."""
        return (self.end_ns - self.begin_ns) * 1e-9

    @property
    def missing(self) -> float:
        """Time that no window covers [s]."""
        return max(0.0, self.duration - self.measured)

    @property
    def frequency(self) -> float | None:
        """Cycles counted by the time they took [Hz]."""
        cycles, duration = self.turns.tolist()
        return cycles / duration if duration > 0 else None

    def rms(self) -> Floats:
        """Return square roots of the means of squares (n_channels, n_values); NaN where nothing was counted."""
        counts = np.where(self.counts > 0, self.counts, np.nan)
        root: Floats = np.sqrt(self.sums / counts[:, None])
        return root


@dataclass(slots=True)
class FrequencyCount:
    """
    Ten-second values of frequency (IEC 61000-4-30, 5.1): whole windows of cycles by the time they took.

    Attributes
    ----------
    begin_ns : int
        Beginning of the ten seconds under way [ns UTC].
    cycles, duration : float
    values : dict
        Of the ten minutes under way, by the beginning of each ten seconds [Hz].
    """

    begin_ns: int = 0
    cycles: float = 0.0
    duration: float = 0.0
    values: dict[int, float] = field(default_factory=dict)

    def add(self, window: Window, cycles: int) -> None:
        """Take one window; one across a boundary counts to neither side, nor does one flagged."""
        begin_ns = window.begin_ns // TEN_SECONDS * TEN_SECONDS
        if begin_ns != self.begin_ns:
            self._close()
            self.begin_ns = begin_ns
        if window.end_ns <= begin_ns + TEN_SECONDS and window.frequency is not None and not window.flags:
            self.cycles += cycles
            self.duration += (window.end_ns - window.begin_ns) * 1e-9

    def _close(self) -> None:
        if self.duration >= 0.8 * TEN_SECONDS * 1e-9:  # else too much of it is missing to stand for all
            self.values[self.begin_ns] = self.cycles / self.duration
        self.cycles = self.duration = 0.0

    def take(self, begin_ns: int, end_ns: int) -> list[float | None]:
        """Hand over the values of [begin, end), None for those that were not measured."""
        if self.begin_ns + TEN_SECONDS <= end_ns:
            self._close()
            self.begin_ns = end_ns
        found = [self.values.get(at) for at in range(begin_ns, end_ns, TEN_SECONDS)]
        self.values = {at: value for at, value in self.values.items() if at >= end_ns}
        return found


def flicker_classes(n_phases: int) -> Floats:
    """Begin to classify flicker."""
    return np.zeros((n_phases, N_CLASSES))


def joined_flags(flags: Iterable[str]) -> tuple[str, ...]:
    """Put flags in their order, each once."""
    found = set(flags)
    return tuple(flag for flag in FLAGS if flag in found)


def next_tick(time_ns: int, period_ns: int) -> int:
    """
    Return the first multiple of a period after a time [ns UTC].

    >>> next_tick(600_000_000_000, TEN_MINUTES) // NANOSECONDS
    1200
    """
    return (time_ns // period_ns + 1) * period_ns


def rounded(values: Sequence[float] | Floats, digits: int) -> list[float | None]:
    """Round for the wire, None for what is not a number."""
    return [round(value, digits) if value == value else None for value in np.asarray(values).tolist()]  # noqa: PLR0124
