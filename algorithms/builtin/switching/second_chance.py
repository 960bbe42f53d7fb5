"""
A second look at what ended for want of proof or of the right to switch: begun anew, once, where that has changed. Pure.

Where it stands: `fault_handling` asks it in the phase SETTLED. A line whose meters speak late, or a network that
somebody else had, need no person; what ends so a second time does.
"""

from collections.abc import Callable
from dataclasses import dataclass

from algorithms.api.wire import NANOSECONDS

CHANCES = {
    "not-dead": "it is tried once more when meters say that the line is dead",
    "no-lease": "it is tried once more after a while",
    "lease-lost": "it is tried once more after a while",
}
"""What may end otherwise a second time, and when it is tried."""
LOOK = 10.0
"""Between two looks whether it would [s]."""


@dataclass(slots=True)
class SecondChance:
    """Whether there is one."""

    _after: str = ""
    _tried: bool = False
    _looked_ns: int = 0

    def renew(self) -> None:
        """There is one again: a word has come."""
        self._tried = False

    def offer(self, outcome: str, *, told_of_some: bool) -> str:
        """Note how it ended; give what is to be said of that."""
        self._after = outcome if outcome in CHANCES and not (told_of_some or self._tried) else ""
        if outcome in CHANCES:
            return f"; {CHANCES[outcome]}" if self._after else "; a person must see to it"
        self._tried = False
        return ""

    def comes(self, now_ns: int, *, patient: bool, alive: Callable[[], str]) -> bool:
        """
        Tell whether it is to be begun anew now [ns UTC].

        Parameters
        ----------
        now_ns : int
        patient : bool
            Whether it ended not long ago.
        alive : callable
            Says why lines must not be taken for dead.
        """
        if not self._after or now_ns - self._looked_ns < round(LOOK * NANOSECONDS):
            return False
        self._looked_ns = now_ns
        changed = not alive() if self._after == "not-dead" else not patient
        if changed:
            self._after, self._tried = "", True
        return changed

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        self._looked_ns += by_ns
