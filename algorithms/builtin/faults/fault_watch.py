"""
Watches the samples of one terminal for faults ahead: quiet, a fault under way, quiet again.

Where it stands: `fault_detection` feeds it and writes events of what it tells; `waveform.superimposed` and
`waveform.fault_criteria` do the sums, `fault_course` follows a fault to its end. Rules:

- How samples come in blocks changes nothing: whatever is decided belongs to the number of a sample.
- After a fault's end three cycles pass before anything can trip again: memory must not hold the fault itself.
- While a fault's criteria are held back as magnetising inrush, what was before is kept: it is not lost when the
  harmonics of a saturated transformer last longer than the memory.
- A stretch of samples without gap is what it works on; a gap ends what was under way, and says so. Over a short one
  what was before is drawn on (`continued`), so that a fault that begins in it or just after it is found.
- Load that changes all the time raises the thresholds above its own unrest.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.builtin.faults.fault_course import Before, FaultCourse, least_current, name_fault
from algorithms.builtin.faults.fault_occurrence import Ending, Occurrence
from algorithms.builtin.faults.fault_view import View, held
from algorithms.waveform.fault_criteria import Thresholds, Truths, Verdict, judge, no_inrush
from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.superimposed import DELAY, FORTESCUE, Despiker, SlidingPhasors, inception, second_harmonic

HOLD = 0.006
"""Time for which criteria must hold without a break [s]."""
EARTH_HOLD = 0.018
"""The same for an earth fault without an earthed neutral: its phase is told from a whole cycle [s]."""
UNREST = 5.0
"""Thresholds stand this many times above what load changes all the time [1]."""
LONGEST_GAP = 10
"""Cycles without samples over which what was before is believed to have gone on [1]."""
LONGEST_RESTRAINT = 0.2
"""What is held back as inrush is judged against what was before it for so long [s]."""
KEPT, LEARNT = 6, 4
"""Cycles of samples that are kept, and of those that are learnt from at once [1]."""


@dataclass(slots=True, eq=False)
class _Restraint:
    """What is held back as inrush: its first sample, where it began, what was before, and for how long it is calm."""

    number: int
    start: int
    before: Before
    calm: int = 0


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
        self._samples: Floats = np.zeros((6, KEPT * cycle))
        self._phasors: Complexes = np.zeros((6, KEPT * cycle), dtype=complex)
        self._skews, self._first = skews, first + DELAY
        self._next = first + DELAY
        self._armed = first + DELAY + 3 * cycle
        self._learnt = self._armed  # up to this sample
        self._stirred = False
        self._angle: float | None = None  # by which a phasor turns in two cycles
        self.unrest = np.zeros(3)
        self._runs = [0, 0]
        self._course: FaultCourse | None = None
        self._restraint: _Restraint | None = None

    @property
    def armed(self) -> int:
        """Number of the sample from which on faults are found."""
        return self._armed

    @property
    def quiet(self) -> Complexes | None:
        """What is measured at present, shape (6,) [V, A]; None while something happens or too little has come."""
        if self._course is not None or self._restraint is not None or self._next < self._armed:
            return None
        return self._phasors[:, -1]

    def push(self, values: Floats) -> list[Occurrence]:
        """Take samples that follow the ones before, shape (6, n); return what is found or over, oldest first."""
        settled = self._despiker.push(values)
        count = settled.shape[1]
        if not count:
            return []
        kept = KEPT * self._cycle
        samples = np.concatenate([self._samples, settled], axis=1)
        phasors = np.concatenate([self._phasors, self._sliding.push(settled)], axis=1)
        view = View(samples, phasors, self._next - kept)
        self._next += count
        found: list[Occurrence] = []
        column = kept
        while column < view.last:
            told: Occurrence | None
            if self._course is None:
                column, told = self._look(view, column)
            else:
                column, told = self._course.follow(view, column)
                if told is not None:
                    self._course, self._armed = None, view.begin + column - 1 + 3 * self._cycle
            found += [] if told is None else [told]
        self._samples, self._phasors = samples[:, count:], phasors[:, count:]
        return found

    def cut(self) -> list[Occurrence]:
        """End what is under way, since samples are missing from here on."""
        if self._course is None:
            return []
        over = self._course.fault.ended(self._next, Ending.SAMPLES_MISSING)
        self._course, self._armed = None, self._next + 1
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
        if self._course is not None or self._next < self._armed:
            return None
        if not 0 < end - self._next - DELAY <= LONGEST_GAP * self._cycle:
            return None
        if self._restraint is not None:
            usual = self._restraint.before
        else:  # a fault may have begun in the last cycle before the gap: the one before it is drawn on
            usual = Before(self._phasors[:, -1 - self._cycle], self._next - 1 - self._cycle, self._turning())
        numbers = np.arange(first, end)
        # A sliding phasor is that of the middle of its cycle.
        phasors = usual.at(numbers + (self._cycle - 1) / 2)
        turned = 2.0 * np.pi * self._turn * (numbers + self._skews[:, np.newaxis] - self._first)
        made: Floats = np.sqrt(2.0) * (phasors * np.exp(1j * turned)).real
        return made

    def _look(self, view: View, column: int) -> tuple[int, Occurrence | None]:
        """Look for a fault from a column on; return the one after what was looked at, and the fault."""
        column = max(column, self._armed - view.begin)
        if column >= view.last:
            return view.last, None
        if self._angle is None:
            one = slice(column, column + 1)
            self._angle = self._advance(view.phasors[:, one], view.phasors[:, self._earlier(one)])
        number = view.begin + column
        if number >= self._learnt + LEARNT * self._cycle:  # a fault was in between
            self._learnt, self._stirred = number, False
        last = min(view.last, self._learnt + LEARNT * self._cycle - view.begin)
        verdict, restrained = self._judge(view, column, last)
        last = self._hold_back(view, column, last, verdict.phase, restrained)
        places = []
        for row, (truths, hold) in enumerate(((verdict.phase | verdict.ground, HOLD), (verdict.earth, EARTH_HOLD))):
            seen = truths[: last - column]
            place, self._runs[row] = held(seen, self._runs[row], round(hold * self._rate))
            self._stirred |= bool(seen.any())
            if place is not None:
                places.append((place, row))
        if places:
            place, row = min(places)
            self._runs, self._stirred = [0, 0], True
            fault = self._begin(view, column + place, ("fault", "earth-fault")[row])
            self._restraint = None
            return column + place + 1, fault
        self._thaw(view.begin + last)
        if view.begin + last == self._learnt + LEARNT * self._cycle:
            if not self._stirred:
                self._learn(view, slice(last - LEARNT * self._cycle, last))
            self._learnt, self._stirred = view.begin + last, self._restraint is not None
        return last, None

    def _earlier(self, columns: slice) -> slice:
        """Give the columns two cycles before some."""
        return slice(columns.start - 2 * self._cycle, columns.stop - 2 * self._cycle)

    def _judge(self, view: View, column: int, last: int) -> tuple[Verdict, Truths]:
        """Judge columns, and tell which of them show what may be inrush."""
        columns, restraint = slice(column, last), self._restraint
        now = view.phasors[:, columns]
        moving = view.samples[3:, column - self._cycle : last]
        if restraint is not None:
            change = now - restraint.before.at(view.begin + np.arange(column, last))
        else:
            change = now - view.phasors[:, self._earlier(columns)] * np.exp(1j * (self._angle or 0.0))
            moving = moving - view.samples[3:, self._earlier(slice(column - self._cycle, last))]
        limits = self.limits
        sequences = np.array([limits.ground_current, limits.phase_current, limits.negative_current])
        verdict = judge(now, change, limits, np.minimum(UNREST * np.sqrt(self.unrest), 2.0 * sequences))
        if not verdict.phase.any():
            return verdict, verdict.phase
        fundamental = np.sqrt(np.square(np.abs(change[3:])).sum(axis=0))
        pure = second_harmonic(moving, self._cycle, self._turn) < limits.second_harmonic * fundamental
        free = verdict.phase & (pure | no_inrush(now, change, limits))
        return Verdict(free, verdict.ground, verdict.earth), verdict.phase & ~free

    def _hold_back(self, view: View, column: int, last: int, phase: Truths, restrained: Truths) -> int:
        """Keep what was before something that may be inrush while it lasts; return up to where this judgement holds."""
        restraint = self._restraint
        if restraint is None:
            if not restrained.any():
                return last
            first = column + int(restrained.argmax())
            start, before = self._inception(view, first)
            self._restraint = _Restraint(view.begin + first, start, before)
            return first + 1
        end = restraint.number + round(LONGEST_RESTRAINT * self._rate) + 1 - view.begin
        last = max(min(last, end), column + 1)
        place, restraint.calm = held(~(phase | restrained)[: last - column], restraint.calm, self._cycle)
        if place is None:
            return last
        restraint.calm = self._cycle
        return column + place + 1

    def _thaw(self, number: int) -> None:
        """Let go of what was before something held back, once that is over or has lasted too long to be a fault."""
        restraint = self._restraint
        if restraint is not None:
            self._stirred = True
            old = number - restraint.number > LONGEST_RESTRAINT * self._rate
            if old or restraint.calm >= self._cycle:
                self._restraint = None

    def _begin(self, view: View, column: int, kind: str) -> Occurrence:
        """Tell of a fault that was found at a column, and follow it."""
        found, restraint = view.begin + column, self._restraint
        if restraint is not None and found - restraint.number > 2 * self._cycle:
            start, before = restraint.start, restraint.before
        else:
            start, before = self._inception(view, column)
        now, usual = view.phasors[:, column], before.at(np.array([found]))[:, 0]
        named, phases = name_fault(kind, usual, now, self.limits)
        fault = Occurrence(kind, start, found, (named,), phases, before.phasors, now)
        self._course = FaultCourse(
            fault, before, self.limits, cycle=self._cycle, rate=self._rate, least_current=least_current(self._steps)
        )
        return fault

    def _inception(self, view: View, column: int) -> tuple[int, Before]:
        """Find the sample with which something began that shows at a column, and what was before."""
        reach, apart = 3 * self._cycle, 2 * self._cycle
        recent = view.samples[:, column - reach + 1 - apart : column + 1]
        deviation = recent[:, apart:] - recent[:, :-apart]
        quiet = np.abs(deviation[:, : self._cycle // 2]).max(axis=1)
        limits = np.maximum(np.maximum(6.0 * self._steps, 2.0 * quiet), 0.03 * np.abs(deviation).max(axis=1))
        start = column - reach + 1 + inception(deviation, limits, self._cycle)
        # A median is two samples wide to either side: the phasor before must not reach into the fault.
        reference = start - DELAY - 1
        return view.begin + start, Before(view.phasors[:, reference], view.begin + reference, self._turning())

    def _learn(self, view: View, columns: slice) -> None:
        """Follow frequency and unrest while nothing stirs."""
        now, old = view.phasors[:, columns], view.phasors[:, self._earlier(columns)]
        angle, length = self._angle or 0.0, now.shape[1] / self._rate
        change = FORTESCUE @ (now - old * np.exp(1j * angle))[3:]
        self._angle = angle + min(length / 0.2, 1.0) * (self._advance(now, old) - angle)
        self.unrest += min(length, 1.0) * (np.square(np.abs(change)).mean(axis=1) - self.unrest)

    def _advance(self, now: Complexes, old: Complexes) -> float:
        """Give the angle by which the voltage turned in two cycles; 0 without one [rad]."""
        one, other = FORTESCUE[1] @ now[:3], FORTESCUE[1] @ old[:3]
        product = complex((one * np.conj(other)).mean())
        usable = abs(product) > (0.1 * self.limits.nominal_voltage) ** 2
        return float(np.angle(product)) if usable else (self._angle or 0.0)

    def _turning(self) -> float:
        """Give by how much phasors turn because the frequency is off nominal [rad per sample]."""
        return (self._angle or 0.0) / (2 * self._cycle)
