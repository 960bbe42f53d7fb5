"""
Dips, swells and interruptions, from Urms(1/2) of all phases (IEC 61000-4-30, 5.4 and 5.5).

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
