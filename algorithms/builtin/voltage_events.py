"""
Dips, swells, interruptions and rapid voltage changes, from Urms(1/2) of all phases (IEC 61000-4-30, 5.4, 5.5, 5.11).

`power_quality` hands in what a fifth of a second brought, all phases at once; quiet voltages cost a few comparisons.
Polyphase rules: a dip or a swell begins with the first phase beyond the threshold and ends when every phase is back by
the hysteresis; an interruption begins when all phases are below. A phase that never had a voltage since the start takes
no part. A dip or swell lasts from the half cycle that made a value cross the threshold to the beginning of the first
cycle that is back; an interruption from the beginning of the first cycle without voltage to the end of the first cycle
that has some again. So durations are right within one cycle whatever the depth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from algorithms.waveform.phasor import Floats

USABLE = 0.1
"""A phase takes part from its first Urms(1/2) above this share of the declared voltage [1]."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """
    When something is an event; shares of the declared voltage [1].

    Attributes
    ----------
    declared : float
        Declared voltage [V].
    dip, swell, interruption, hysteresis : float
    change : float
        Of rapid voltage changes; 0 for none.
    """

    declared: float
    dip: float = 0.9
    swell: float = 1.1
    interruption: float = 0.05
    hysteresis: float = 0.02
    change: float = 0.05


@dataclass(slots=True)
class VoltageEvent:
    """
    A dip, swell or interruption, under way or over.

    Attributes
    ----------
    kind : str
        ``voltage-dip``, ``voltage-swell`` or ``interruption``.
    start_ns : int
        [ns UTC]
    extreme : float
        Residual voltage of a dip or interruption, highest of a swell [V].
    phases : set of str
        Those that crossed the threshold.
    end_ns : int or None
    interrupted : bool
        Whether an interruption came within a dip.
    cut : bool
        Whether samples were missing at its end, so that it may have lasted longer.
    told : bool
        Whether it was announced while it lasted.
    """

    kind: str
    start_ns: int
    extreme: float
    phases: set[str] = field(default_factory=set)
    end_ns: int | None = None
    interrupted: bool = False
    cut: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True)
class RapidChange:
    """
    A fast transition between two steady states.

    Attributes
    ----------
    start_ns, end_ns : int
    phases : tuple of str
        Those that were not steady.
    largest, lasting : float
        Largest deviation from the voltage before, and the difference that remained [V].
    """

    start_ns: int
    end_ns: int
    phases: tuple[str, ...]
    largest: float
    lasting: float


class VoltageEvents:
    """
    Follows Urms(1/2) of the phases of one terminal.

    Parameters
    ----------
    phases : sequence of str
    thresholds : Thresholds

    Attributes
    ----------
    present : numpy.ndarray
        Which phases take part, (n_phases,).
    active : dict
        Events under way, by kind.
    """

    def __init__(self, phases: Sequence[str], thresholds: Thresholds) -> None:
        self._phases = tuple(phases)
        self._limits = thresholds
        self.present: NDArray[np.bool_] = np.zeros(len(self._phases), dtype=bool)
        self.active: dict[str, VoltageEvent] = {}

    def quiet(self, rms: Floats) -> bool:
        """Tell whether nothing crosses a threshold in `rms` (n_phases, n) [V] and nothing is under way."""
        if self.active:
            return False
        limits = self._limits
        low, high = limits.dip * limits.declared, limits.swell * limits.declared
        if not self.present.all():
            absent = rms[~self.present]
            rms = rms[self.present]
            if absent.max() >= USABLE * limits.declared or not rms.size:
                return bool(absent.max() < USABLE * limits.declared)
        return bool(rms.min() >= low and rms.max() <= high)

    def take(self, rms: Floats, times: NDArray[np.int64]) -> list[VoltageEvent]:
        """
        Go through successive values; return what has ended.

        Parameters
        ----------
        rms : numpy.ndarray
            (n_phases, n) [V]
        times : numpy.ndarray
            Beginning and middle of the cycle of each value (2, n_phases, n) [ns UTC].
        """
        if self.quiet(rms):
            return []
        ended = []
        limits = self._limits
        floor = USABLE * limits.declared
        for k in range(rms.shape[1]):
            values = rms[:, k]
            self.present |= values >= floor
            here = np.flatnonzero(self.present)
            if not here.size:
                continue
            per_unit = values[here] / limits.declared
            begins, middles = times[0, here, k], times[1, here, k]
            for kind, crossed, back, sign in (
                ("voltage-dip", per_unit < limits.dip, per_unit >= limits.dip + limits.hysteresis, -1),
                ("voltage-swell", per_unit > limits.swell, per_unit <= limits.swell - limits.hysteresis, 1),
            ):
                event = self.active.get(kind)
                if event is None and crossed.any():
                    event = VoltageEvent(kind, int(middles[crossed].min()), float(values[here][crossed][0]))
                    self.active[kind] = event
                elif event is not None and back.all():
                    event.end_ns = max(int(begins.max()), event.start_ns)
                    ended.append(self.active.pop(kind))
                    continue
                if event is not None:
                    self._note(event, values[here], here, crossed, sign)
            ended += self._interruption(values[here], here, begins, middles)
        return ended

    def cut(self, time_ns: int) -> list[VoltageEvent]:
        """End what is under way, because samples are missing from `time_ns` on."""
        ended = list(self.active.values())
        self.active.clear()
        for event in ended:
            event.end_ns = max(time_ns, event.start_ns)
            event.cut = True
        return ended

    def _interruption(
        self, values: Floats, here: NDArray[np.intp], begins: NDArray[np.int64], middles: NDArray[np.int64]
    ) -> list[VoltageEvent]:
        limits = self._limits
        event = self.active.get("interruption")
        per_unit = values / limits.declared
        below = per_unit < limits.interruption
        if event is None and below.all():
            event = VoltageEvent("interruption", int(begins.max()), float(values.min()))
            self.active["interruption"] = event
            dip = self.active.get("voltage-dip")
            if dip is not None:
                dip.interrupted = True
        back = per_unit >= limits.interruption + limits.hysteresis
        if event is not None and back.any():
            event.end_ns = max(int((2 * middles - begins)[back].min()), event.start_ns)
            return [self.active.pop("interruption")]
        if event is not None:
            self._note(event, values, here, below, -1)
        return []

    def _note(
        self, event: VoltageEvent, values: Floats, here: NDArray[np.intp], crossed: NDArray[np.bool_], sign: int
    ) -> None:
        event.phases.update(self._phases[row] for row in here[crossed])
        extreme = float(values.max() if sign > 0 else values.min())
        event.extreme = max(event.extreme, extreme) if sign > 0 else min(event.extreme, extreme)


class RapidChanges:
    """
    Finds rapid voltage changes (IEC 61000-4-30:2015, 5.11).

    Parameters
    ----------
    phases : sequence of str
    thresholds : Thresholds
    length : int
        Half cycles in a second: 100 at 50 Hz, 120 at 60 Hz.

    Notes
    -----
    The voltage is steady while the last second of Urms(1/2) of every phase stays within the threshold of its mean; to
    become steady again it must stay within half of that. A change during a dip, swell or interruption belongs to
    that and is not told.
    """

    def __init__(self, phases: Sequence[str], thresholds: Thresholds, length: int) -> None:
        self._phases = tuple(phases)
        self._allowed = thresholds.change * thresholds.declared
        self._length = length
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a gap."""
        self._kept: Floats = np.empty((len(self._phases), 0))
        self._steady: bool | None = None
        self._spoilt = False
        self._mean: Floats = np.empty(0)
        self._before: Floats = np.empty(0)
        self._since = 0
        self._largest = 0.0
        self._moved: set[str] = set()

    def take(
        self, rms: Floats, times: NDArray[np.int64], present: NDArray[np.bool_], *, spoilt: bool
    ) -> list[RapidChange]:
        """
        Go through successive values; return what has ended.

        Parameters
        ----------
        rms : numpy.ndarray
            (n_phases, n) [V]
        times : numpy.ndarray
            When each of them ended, of all phases the latest (n,) [ns UTC].
        present : numpy.ndarray
            Which phases take part (n_phases,).
        spoilt : bool
            Whether a dip, swell or interruption was under way.
        """
        self._spoilt = self._spoilt or spoilt
        kept = np.concatenate([self._kept, rms], axis=1)
        n, length = rms.shape[1], self._length
        self._kept = kept[:, -(length - 1) :]
        if kept.shape[1] < length or not present.any():
            return []
        rows = np.flatnonzero(present)
        seconds = np.lib.stride_tricks.sliding_window_view(kept[rows], length, axis=1)
        count = seconds.shape[1]
        means = seconds.mean(axis=2)
        off = np.maximum(seconds.max(axis=2) - means, means - seconds.min(axis=2))
        mean, self._mean = self._mean, means[:, -1]
        if self._steady and off.max() <= self._allowed:
            return []
        found = []
        stamps = times[n - count :]
        for k in range(count):
            worst = float(off[:, k].max())
            if self._steady is None:
                self._steady = True if worst <= self._allowed else None
            elif self._steady and worst > self._allowed:
                self._begin(int(stamps[k]), means[:, k - 1] if k else mean, spoilt=spoilt)
                self._moved = {self._phases[rows[i]] for i in np.flatnonzero(off[:, k] > self._allowed)}
            elif not self._steady and worst <= 0.5 * self._allowed:
                found += self._end(int(stamps[k]), means[:, k])
            if self._steady is False and self._before.size == rows.size:
                moved = np.abs(rms[rows, n - count + k] - self._before)
                self._largest = max(self._largest, float(moved.max()))
                self._moved.update(self._phases[rows[i]] for i in np.flatnonzero(moved > self._allowed))
        return found

    def _begin(self, time_ns: int, before: Floats, *, spoilt: bool) -> None:
        self._steady = False
        self._since = time_ns
        self._spoilt = spoilt
        self._before = before
        self._largest = 0.0

    def _end(self, time_ns: int, after: Floats) -> list[RapidChange]:
        self._steady = True
        if self._spoilt or self._before.size != after.size:
            return []
        steady_since = time_ns - (self._length - 1) * round(1e9 / self._length)
        lasting = float(np.abs(after - self._before).max())
        phases = tuple(sorted(self._moved))
        return [RapidChange(self._since, max(steady_since, self._since), phases, self._largest, lasting)]
