"""
Watches the samples of one terminal for faults ahead: quiet, a fault under way, quiet again.

Where it stands: `fault_detection` feeds it and writes events of what it tells; `waveform.superimposed` and
`waveform.fault_criteria` do the sums. Rules:

- What was before a fault is kept while it lasts, so that its end, and what it turned into, are judged against the same
  load. After its end three cycles pass before anything can trip again: memory must not hold the fault itself.
- A stretch of samples without gap is what it works on; a gap ends what was under way, and says so. Over a short one
  what was before is drawn on (`continued`), so that a fault that begins in it or just after it is found.
- Load that changes all the time raises the thresholds above its own unrest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.builtin.faults.fault_occurrence import Ending, Occurrence
from algorithms.waveform.fault_criteria import (
    FaultType,
    Thresholds,
    classify,
    earthed_phase,
    judge,
    no_inrush,
)
from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.superimposed import (
    DELAY,
    FORTESCUE,
    Despiker,
    SlidingPhasors,
    harmonic_share,
    inception,
)

HOLD = 0.006
"""Time for which criteria must hold without a break [s]."""
EARTH_HOLD = 0.018
"""The same for an earth fault without an earthed neutral: its phase is told from a whole cycle [s]."""
UNREST = 5.0
"""Thresholds stand this many times above what load changes all the time [1]."""
LONGEST_GAP = 10
"""Cycles without samples over which what was before is believed to have gone on [1]."""
LONGEST = 3.0
"""A fault that lasts longer is told as lasting, and what follows is judged anew [s]."""
OPEN = 0.05
"""Current that is left of a fault's when its breaker has opened [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """Samples and phasors by column, the number of the first, how many there are, and what has been found."""

    samples: Floats
    phasors: Complexes
    begin: int
    last: int
    found: list[Occurrence]


class FaultWatch:
    """
    Follows one stretch of samples.

    Parameters
    ----------
    limits : Thresholds
    cycle : int
        Samples in a nominal cycle.
    turn : float
        Nominal frequency [cycles per sample].
    rate : float
        [samples per second]
    skews : numpy.ndarray
        Of the six channels, shape (6,) [samples].
    steps : numpy.ndarray
        Steps of the converter, shape (6,) [V, A].
    first : int
        Number of the first sample.

    Attributes
    ----------
    unrest : numpy.ndarray
        Mean square of what load changes all the time, zero, positive and negative sequence, shape (3,) [A2].
    """

    def __init__(
        self, limits: Thresholds, cycle: int, turn: float, *, rate: float, skews: Floats, steps: Floats, first: int
    ) -> None:
        self.limits = limits
        self._cycle, self._turn, self._rate, self._steps = cycle, turn, rate, steps
        self._despiker = Despiker(6)
        self._sliding = SlidingPhasors(cycle, turn, skews)
        self._samples: Floats = np.zeros((6, 6 * cycle))
        self._phasors: Complexes = np.zeros((6, 6 * cycle), dtype=complex)
        self._skews, self._first = skews, first + DELAY
        self._next = first + DELAY
        self._armed = first + DELAY + 3 * cycle
        self._angle: float | None = None  # by which a phasor turns in two cycles
        self.unrest = np.zeros(3)
        self._runs = [0, 0]
        self._fault: Occurrence | None = None
        self._clear = 0

    def push(self, values: Floats) -> list[Occurrence]:
        """Take samples that follow the ones before, shape (6, n); return what is found or over, oldest first."""
        settled = self._despiker.push(values)
        count = settled.shape[1]
        if not count:
            return []
        kept = 6 * self._cycle
        samples = np.concatenate([self._samples, settled], axis=1)
        phasors = np.concatenate([self._phasors, self._sliding.push(settled)], axis=1)
        begin = self._next - kept  # number of the first column
        self._next += count
        view = _View(samples, phasors, begin, kept + count, [])
        column = kept
        while column < view.last:
            fault = self._fault
            column = self._look(view, column) if fault is None else self._follow(view, column, fault)
        self._samples, self._phasors = samples[:, count:], phasors[:, count:]
        return view.found

    def cut(self) -> list[Occurrence]:
        """End what is under way, since samples are missing from here on."""
        if self._fault is None:
            return []
        over = self._fault.ended(self._next, Ending.SAMPLES_MISSING)
        self._fault, self._armed = None, self._next + 1
        return [over]

    def continued(self, first: int, end: int) -> Floats | None:
        """
        Make up samples as if what was quiet before a short gap had gone on.

        Parameters
        ----------
        first, end : int
            Numbers of the first sample wanted, and of the one after the gap.

        Returns
        -------
        numpy.ndarray or None
            Shape (6, n) [V, A]; None within or just after a fault, after too few samples and over too long a gap.
        """
        if self._fault is not None or self._next < self._armed:
            return None
        if not 0 < end - self._next - DELAY <= LONGEST_GAP * self._cycle:
            return None
        # A fault may have begun in the last cycle before the gap: the one before it is drawn on.
        reference = self._next - 1 - self._cycle
        numbers = np.arange(first, end)
        slipped = self._rate_of_turn() * (numbers - reference + (self._cycle - 1) / 2)
        turned = slipped + 2.0 * np.pi * self._turn * (numbers + self._skews[:, np.newaxis] - self._first)
        made: Floats = np.sqrt(2.0) * (self._phasors[:, [-1 - self._cycle]] * np.exp(1j * turned)).real
        return made

    def _look(self, view: _View, column: int) -> int:
        """Look for a fault from a column on; return the column after what was looked at."""
        samples, phasors, last = view.samples, view.phasors, view.last
        column = max(column, self._armed - view.begin)
        if column >= last:
            return last
        old = phasors[:, column - 2 * self._cycle : last - 2 * self._cycle]
        now = phasors[:, column:last]
        if self._angle is None:
            self._angle = self._advance(now, old)
        change = now - old * np.exp(1j * self._angle)
        floors = np.minimum(UNREST * np.sqrt(self.unrest), 2.0 * self._sequence_limits())
        verdict = judge(now, change, self.limits, floors)
        phase = verdict.phase
        if phase.any():
            reach = self._cycle
            moving = samples[3:, column - reach : last]
            moving = moving - samples[3:, column - reach - 2 * self._cycle : last - 2 * self._cycle]
            fundamental = harmonic_share(moving, reach, self._turn) < self.limits.second_harmonic
            phase = phase & (fundamental | no_inrush(now, change, self.limits))
        places = []
        for number, (truths, hold) in enumerate(((phase | verdict.ground, HOLD), (verdict.earth, EARTH_HOLD))):
            place, self._runs[number] = _held(truths, self._runs[number], round(hold * self._rate))
            if place is not None:
                places.append((place, number))
        if not places:
            if not (phase.any() or verdict.ground.any() or verdict.earth.any()):
                self._learn(now, old, change)
            return last
        place, number = min(places)
        self._runs = [0, 0]
        self._begin(view, column + place, ("fault", "earth-fault")[number])
        return column + place + 1

    def _begin(self, view: _View, column: int, kind: str) -> None:
        samples, phasors, begin = view.samples, view.phasors, view.begin
        reach, apart = 3 * self._cycle, 2 * self._cycle
        recent = samples[:, column - reach + 1 - apart : column + 1]
        deviation = recent[:, apart:] - recent[:, :-apart]
        quiet = np.abs(deviation[:, : self._cycle // 2]).max(axis=1)
        limits = np.maximum(np.maximum(6.0 * self._steps, 2.0 * quiet), 0.03 * np.abs(deviation).max(axis=1))
        start = column - reach + 1 + inception(deviation, limits, self._cycle)
        # A median is two samples wide to either side: the phasor before must not reach into the fault.
        reference = start - DELAY - 1
        before, now = phasors[:, reference], phasors[:, column]
        self._reference = begin + reference
        change = now - self._turned(before, begin + column)
        if kind == "fault":
            named, phases = classify(change, self.limits)
        else:
            phase, _ = earthed_phase(self._turned(before, begin + column), change, self.limits)
            named, phases = FaultType.LG, (phase,)
        occurrence = Occurrence(kind, begin + start, begin + column, (named,), phases, before, now)
        self._fault, self._clear = occurrence, 0
        view.found.append(occurrence)

    def _follow(self, view: _View, column: int, fault: Occurrence) -> int:
        """Follow a fault until it is over; return the column after what was looked at."""
        phasors, begin, last = view.phasors, view.begin, view.last
        full = fault.start + self._cycle + DELAY - begin  # the first column whose cycle lies in the fault
        column = max(column, min(full, last))
        if column >= last:
            return last
        now = phasors[:, column:last]
        numbers = begin + np.arange(column, last)
        before = fault.before[:, np.newaxis] * np.exp(1j * self._rate_of_turn() * (numbers - self._reference))
        change = now - before
        largest = float(np.abs(fault.now[3:]).max())
        through = [3 + phase for phase in fault.phases]
        opened = np.abs(now[through]).max(axis=0) < max(OPEN * largest, 2.0 * float(self._steps[3:].max()))
        if fault.kind == "fault":
            sizes = np.abs(FORTESCUE @ change[3:])
            gone = (sizes < 0.5 * self._sequence_limits()[:, np.newaxis])[1:].all(axis=0)
            gone &= sizes[0] < max(0.5 * self.limits.ground_current, 0.1 * largest)
            gone &= np.abs(now[3:]).max(axis=0) < 0.5 * largest + np.abs(before[3:]).max(axis=0)
        else:
            displaced = np.abs(FORTESCUE[0] @ now[:3]) / self.limits.nominal_voltage
            gone = displaced < 0.5 * self.limits.zero_voltage
        place, self._clear = _held(opened | gone, self._clear, self._cycle // 2)
        old = np.flatnonzero(numbers - fault.start > LONGEST * self._rate) if fault.kind == "fault" else numbers[:0]
        if place is None and old.size:
            return self._finish(view, column + int(old[0]), fault.ended(int(numbers[old[0]]), Ending.LASTING))
        # What it is now is read where no pole can have opened yet, or a breaker would make another fault of it; the
        # verdict stood for half a cycle, and the window that has hardly any fault left began a cycle before that.
        settled = (last - 1 if place is None else column + place) - self._cycle - self._cycle // 2 - 2
        if place is not None:
            settled = max(settled, full)
        elif fault.kind == "earth-fault":  # measured once its transient is over and before it is cut off
            settled = max(fault.start + 2 * self._cycle - begin, column)
        if full <= settled < last:
            usual = self._turned(fault.before, begin + settled)
            fault = self._evolved(fault, phasors[:, settled], phasors[:, settled] - usual, usual)
        if place is None:
            self._fault = fault
            return last
        over = max(int(numbers[place]) - self._cycle - self._cycle // 2 + self._cycle // 8, fault.start)
        return self._finish(view, column + place, fault.ended(over, Ending.OPENED if opened[place] else Ending.GONE))

    def _finish(self, view: _View, column: int, ended: Occurrence) -> int:
        view.found.append(ended)
        self._fault = None
        self._armed = view.begin + column + 3 * self._cycle
        return column + 1

    def _evolved(self, fault: Occurrence, now: Complexes, change: Complexes, before: Complexes) -> Occurrence:
        """Note what a fault has become, while it is not much smaller than it was."""
        phases, types, resistance = fault.phases, fault.types, fault.resistance
        if fault.kind == "fault":
            if np.abs(change[3:]).max() < 0.7 * np.abs(fault.now[3:] - fault.before[3:]).max():
                return fault
            named, joined = classify(change, self.limits)
            types = types if named is types[-1] else (*types, named)
            phases = tuple(sorted({*phases, *joined}))
        else:
            if resistance is not None:
                return fault
            phase, resistance = earthed_phase(before, change, self.limits)
            phases = (phase,)
        return Occurrence(fault.kind, fault.start, fault.found, types, phases, fault.before, now, resistance)

    def _learn(self, now: Complexes, old: Complexes, change: Complexes) -> None:
        """Follow frequency and unrest while nothing stirs."""
        share = min(now.shape[1] / self._rate / 0.2, 1.0)
        angle = self._angle or 0.0
        self._angle = angle + share * (self._advance(now, old) - angle)
        share = min(now.shape[1] / self._rate, 1.0)
        self.unrest += share * (np.square(np.abs(FORTESCUE @ change[3:])).mean(axis=1) - self.unrest)

    def _advance(self, now: Complexes, old: Complexes) -> float:
        """Give the angle by which the voltage turned in two cycles; 0 without one [rad]."""
        one, other = FORTESCUE[1] @ now[:3], FORTESCUE[1] @ old[:3]
        product = complex((one * np.conj(other)).mean())
        usable = abs(product) > (0.1 * self.limits.nominal_voltage) ** 2
        return float(np.angle(product)) if usable else (self._angle or 0.0)

    def _rate_of_turn(self) -> float:
        return (self._angle or 0.0) / (2 * self._cycle)

    def _turned(self, before: Complexes, number: int) -> Complexes:
        """Turn what was before to the instant of a sample."""
        turned: Complexes = before * np.exp(1j * self._rate_of_turn() * (number - self._reference))
        return turned

    def _sequence_limits(self) -> Floats:
        limits = self.limits
        return np.array([limits.ground_current, limits.phase_current, limits.negative_current])


def _held(
    truths: Sequence[bool] | np.ndarray[tuple[int], np.dtype[np.bool_]], run: int, hold: int
) -> tuple[int | None, int]:
    """Find where a truth has held for so many samples, `run` of them before; and the length of the run at the end."""
    truths = np.asarray(truths)
    if not truths.any():
        return None, 0
    numbers = np.arange(truths.size)
    last_false = np.maximum.accumulate(np.where(truths, -run - 1, numbers))
    lengths = np.where(truths, numbers - last_false, 0)
    held = np.flatnonzero(lengths >= max(hold, 1))
    return (int(held[0]) if held.size else None), int(lengths[-1])
