"""
Whether what is measured at a terminal can be right at all: a phase that is missing, or the wrong way round.

Where it stands: `fault_detection` shows it what is measured while nothing happens; an event of kind
``fault-detection-doubtful`` tells of a spell as `fault_blindness` does. Where a transformer's fuse is out, its wire
off or reversed, faults are missed, or seen in the wrong phases. Pure. Rules:

- A phase is missing where the two others carry load, or nominal voltage, and it has next to nothing; the cause may also
  be a conductor that is broken. It is the wrong way round where the negative sequence exceeds the positive.
- It is told when it has lasted. Too little load proves nothing, neither that it is wrong nor that it is mended.
"""

from collections.abc import Sequence

import numpy as np

from algorithms.api.records import Event
from algorithms.api.samples import Channel
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.faults.fault_blindness import Blindness
from algorithms.builtin.faults.fault_thresholds import PHASES
from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.superimposed import FORTESCUE

DOUBTFUL = "fault-detection-doubtful"
LASTING = 5.0
"""What is wrong for so long is told [s]."""
EVERY = 0.2
"""It is looked at so often [s]."""
MISSING = 0.05
"""Share of the smaller of the other phases below which one is missing [1]."""
EXCEEDING = 1.2
"""Negative over positive sequence above which a phase is the wrong way round [1]."""
STEPS, SCALE, LEAST = 40.0, 1e-3, 1.0
"""Least load that proves anything: steps of the converter, share of full scale, and [A]."""
NEAR_NOMINAL = (0.8, 1.2)
"""Voltage of the other phases where one is missing [1]: in an earth fault they are higher."""


def least_load(channels: Sequence[Channel]) -> float:
    """Give the least current that proves anything, by the channels of the currents [A]."""
    return max(LEAST, *(max(STEPS * channel.resolution, SCALE * channel.full_scale) for channel in channels))


class WiringWatch:
    """
    Watches the phases of one terminal.

    Parameters
    ----------
    terminal : str
    """

    def __init__(self, terminal: str) -> None:
        self._spell = Blindness(terminal, DOUBTFUL)
        self._looked_ns: int | None = None
        self._since_ns: int | None = None
        self._why = ""
        self._told = False

    def look(self, phasors: Complexes | None, load: float, nominal: float, now_ns: int) -> Sequence[Event]:
        """
        Look at what is measured while nothing happens.

        Parameters
        ----------
        phasors : numpy.ndarray or None
            Voltages, then currents of A, B and C, shape (6,) [V, A]; None where something happens.
        load : float
            Least current that proves anything [A].
        nominal : float
            Voltage, phase to neutral [V].
        now_ns : int
            [ns UTC]
        """
        events = list(self._spell.look(now_ns))
        every = round(EVERY * NANOSECONDS)
        if phasors is None or (self._looked_ns is not None and 0 <= now_ns - self._looked_ns < every):
            return events
        self._looked_ns = now_ns
        why = _what_is_wrong(phasors, load, nominal)
        if why is None:
            return events
        if not why:
            if self._told:
                events += self._spell.between(self._since_ns or now_ns, now_ns, self._why)
            self._told, self._since_ns = False, None
            return events
        if self._since_ns is None or now_ns < self._since_ns:
            self._since_ns = now_ns
        self._why = why
        if now_ns - self._since_ns >= LASTING * NANOSECONDS:
            events += self._spell.between(self._since_ns, None, why)
            self._told = True
        return events


def _what_is_wrong(phasors: Complexes, load: float, nominal: float) -> str | None:
    """Say what is wrong; nothing where all is well, None where too little is there to tell."""
    sizes: Floats = np.abs(phasors)
    voltages, currents = np.sort(sizes[:3]), np.sort(sizes[3:])
    alive = bool(
        (NEAR_NOMINAL[0] * nominal <= voltages[1:]).all() and (voltages[1:] <= NEAR_NOMINAL[1] * nominal).all()
    )
    loaded = bool(currents[1] >= load)
    found = []
    for there, name, one, ordered in (
        (alive, "voltage", phasors[:3], voltages),
        (loaded, "current", phasors[3:], currents),
    ):
        if not there:
            continue
        if ordered[0] < MISSING * ordered[1]:
            phase = PHASES[int(np.abs(one).argmin())]
            found.append(f"no {name} of {phase}, while the two other phases have it")
        elif abs(FORTESCUE[2] @ one) > EXCEEDING * abs(FORTESCUE[1] @ one):
            found.append(f"the {name} is mostly of negative sequence: {_turned(one)}")
    if found:
        return "; ".join(found)
    return "" if loaded else None


def _turned(one: Complexes) -> str:
    """Say by what change three phases would be of positive sequence."""
    flips = 1.0 - 2.0 * np.eye(3)
    straight = np.abs((flips * one) @ FORTESCUE[1])
    if abs(FORTESCUE[2] @ one) > straight.max():
        return "two of its phases seem to be exchanged"
    return f"{PHASES[int(straight.argmax())]} seems to be the wrong way round"
