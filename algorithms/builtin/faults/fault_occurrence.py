"""
A fault as a detector tells it: what it was, when it began, and how it came to its end.

Where it stands: `fault_watch` makes occurrences, `fault_detection` writes events of them. Frozen: one that has evolved
or ended is another one.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from algorithms.waveform.fault_criteria import FaultType
from algorithms.waveform.phasor import Complexes


class Ending(StrEnum):
    """How a fault came to its end."""

    OPENED = "opened"
    """No current flows any more."""
    GONE = "gone"
    """Load flows again, perhaps without a phase that was opened."""
    LASTING = "lasting"
    """It is not over, but too old to be told from load."""
    SAMPLES_MISSING = "samples-missing"


@dataclass(frozen=True, slots=True, eq=False)
class Occurrence:
    """
    A fault, when it is found and again when it is over.

    Attributes
    ----------
    kind : str
        ``fault``, or ``earth-fault`` where the neutral is not earthed.
    start : int
        Number of the sample it began with.
    found : int
        Number of the sample it was found with.
    types : tuple of FaultType
        What it was, in this order.
    phases : tuple of int
    before, now : numpy.ndarray
        Phasors before it and in it, voltages A, B, C and currents A, B, C, shape (6,) [V, A].
    resistance : float or None
        Of an earth fault without an earthed neutral, when it is over [ohm].
    end : int or None
        Number of the sample it ended with; None while it lasts.
    ending : Ending or None
    """

    kind: str
    start: int
    found: int
    types: tuple[FaultType, ...]
    phases: tuple[int, ...]
    before: Complexes
    now: Complexes
    resistance: float | None = None
    end: int | None = None
    ending: Ending | None = None

    def ended(self, number: int, ending: Ending) -> "Occurrence":
        """Give the same fault, ended with a sample."""
        return replace(self, end=max(number, self.start), ending=ending)
