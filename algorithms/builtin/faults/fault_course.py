"""
A fault under way: when it is over, and what it turns into meanwhile.

Where it stands: `fault_watch` begins one with what was before the fault, and lets it look until it ends. Rules:

- What was before is kept while the fault lasts, so that its end, and what it became, are judged against the same load.
- What it is now is looked at each half cycle of its own time, and one and a half cycles late: no pole may have opened
  by then, or a breaker would make another fault of it.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from algorithms.builtin.faults.fault_occurrence import Ending, Occurrence
from algorithms.builtin.faults.fault_view import View, held
from algorithms.waveform.fault_criteria import FaultType, Thresholds, Truths, classify, earthed_phase
from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.superimposed import DELAY, FORTESCUE

LONGEST = 3.0
"""A fault that lasts longer is told as lasting, and what follows is judged anew [s]."""
OPEN = 0.05
"""Current that is left of a fault's when its breaker has opened [1]."""
NEVER = 1 << 62


class Before:
    """
    Phasors before a fault, turned on to any instant by what the frequency is off nominal.

    Parameters
    ----------
    phasors : numpy.ndarray
        Shape (6,) [V, A].
    number : int
        Of the sample at which they were.
    turning : float
        [rad per sample]
    """

    def __init__(self, phasors: Complexes, number: int, turning: float) -> None:
        self.phasors, self.number, self.turning = phasors, number, turning

    def at(self, numbers: NDArray[np.integer] | NDArray[np.floating]) -> Complexes:
        """Give them at samples of these numbers, shape (6, n) [V, A]."""
        turned: Complexes = self.phasors[:, np.newaxis] * np.exp(1j * self.turning * (numbers - self.number))
        return turned


class FaultCourse:
    """
    Follows one fault.

    Parameters
    ----------
    fault : Occurrence
        As it was found.
    before : Before
    limits : Thresholds
    cycle : int
        Samples in a cycle.
    rate : float
        [samples per second]
    least_current : float
        Below this no current can be told from none [A].
    """

    def __init__(
        self, fault: Occurrence, before: Before, limits: Thresholds, *, cycle: int, rate: float, least_current: float
    ) -> None:
        self.fault = fault
        self._before, self._limits, self._cycle, self._rate = before, limits, cycle, rate
        self._least_current, self._clear = least_current, 0
        self._full = fault.start + cycle + DELAY  # the first sample whose cycle lies in the fault
        # The verdict stood for half a cycle, and the window that has hardly any fault left began a cycle before that.
        self._late = cycle + cycle // 2 + 2
        if fault.kind == "fault":
            self._look_at = max(self._full + self._late, fault.found + 1)
        else:  # measured once its transient is over and before it is cut off
            self._look_at = max(fault.start + 2 * cycle, fault.found + 1)

    def follow(self, view: View, column: int) -> tuple[int, Occurrence | None]:
        """Look at columns from one on; return the one after what was looked at, and the fault if it is over."""
        column = max(column, self._full - view.begin)
        if column >= view.last:
            return view.last, None
        stop = min(view.last, max(self._look_at - view.begin, column) + 1)
        now, numbers = view.phasors[:, column:stop], view.begin + np.arange(column, stop)
        opened, gone = self._judge(now, self._before.at(numbers))
        place, self._clear = held(opened | gone, self._clear, self._cycle // 2)
        fault = self.fault
        old = np.flatnonzero(numbers - fault.start > LONGEST * self._rate) if fault.kind == "fault" else numbers[:0]
        if old.size and (place is None or old[0] < place):
            return column + int(old[0]) + 1, fault.ended(int(numbers[old[0]]), Ending.LASTING)
        if place is None:
            if numbers[-1] >= self._look_at:
                self._look(view, int(numbers[-1]) - (self._late if fault.kind == "fault" else 0))
                self._look_at = self._look_at + self._cycle // 2 if fault.kind == "fault" else NEVER
            return stop, None
        number = int(numbers[place])
        self._look(view, max(number - self._late, self._full))
        over = max(number - self._cycle - self._cycle // 2 + self._cycle // 8, fault.start)
        ending = Ending.OPENED if opened[place] else Ending.GONE
        return column + place + 1, self.fault.ended(over, ending)

    def _judge(self, now: Complexes, before: Complexes) -> tuple[Truths, Truths]:
        """Tell where no current flows any more, and where load flows again."""
        fault, limits = self.fault, self._limits
        largest = float(np.abs(fault.now[3:]).max())
        through = [3 + phase for phase in fault.phases]
        opened = np.abs(now[through]).max(axis=0) < max(OPEN * largest, self._least_current)
        if fault.kind != "fault":
            displaced = np.abs(FORTESCUE[0] @ now[:3]) / limits.nominal_voltage
            return opened, displaced < 0.5 * limits.zero_voltage
        sizes = np.abs(FORTESCUE @ (now - before)[3:])
        gone = (sizes[1] < 0.5 * limits.phase_current) & (sizes[2] < 0.5 * limits.negative_current)
        gone &= sizes[0] < max(0.5 * limits.ground_current, 0.1 * largest)
        gone &= np.abs(now[3:]).max(axis=0) < 0.5 * largest + np.abs(before[3:]).max(axis=0)
        return opened, gone

    def _look(self, view: View, number: int) -> None:
        """Note what the fault has become, while it is not much smaller than it was."""
        if not 0 <= number - view.begin < view.last:
            return
        fault, now = self.fault, view.phasors[:, number - view.begin]
        usual = self._before.at(np.array([number]))[:, 0]
        change = now - usual
        if fault.kind == "fault":
            if np.abs(change[3:]).max() < 0.7 * np.abs(fault.now[3:] - fault.before[3:]).max():
                return
            named, joined = classify(change, self._limits)
            types = fault.types if named is fault.types[-1] else (*fault.types, named)
            self.fault = replace(fault, types=types, phases=tuple(sorted({*fault.phases, *joined})), now=now)
        elif fault.resistance is None:
            phase, resistance = earthed_phase(usual, change, self._limits)
            self.fault = replace(fault, types=(FaultType.LG,), phases=(phase,), now=now, resistance=resistance)


def name_fault(kind: str, before: Complexes, now: Complexes, limits: Thresholds) -> tuple[FaultType, tuple[int, ...]]:
    """
    Name type and phases of a fault that has just been found.

    Parameters
    ----------
    kind : str
        Of the `Occurrence`.
    before, now : numpy.ndarray
        Phasors at the same instant, shape (6,) [V, A].
    limits : Thresholds
    """
    if kind == "fault":
        return classify(now - before, limits)
    return FaultType.LG, (earthed_phase(before, now - before, limits)[0],)


def least_current(steps: Floats) -> float:
    """Give the current that cannot be told from none by a converter with such steps, shape (6,) [A]."""
    return 2.0 * float(steps[3:].max())
