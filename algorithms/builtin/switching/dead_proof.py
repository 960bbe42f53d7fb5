"""
The second phase: a line is touched only once it is proven dead. Pure.

Where it stands: `fault_handling` calls it in the phase PROOF, and `second_chance` asks the same afterwards. A breaker
that trips meanwhile, on the other side of a loop, leads back to the first phase; meters that spoke until the breaker
opened are given time to speak again.
"""

from dataclasses import dataclass

from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.handling_step import STAY, Phase, Step
from algorithms.builtin.switching.known_faults import KnownFaults
from algorithms.builtin.switching.reconfiguration_settings import HandlingSettings
from algorithms.builtin.switching.restoration_checks import still_protected, taken_over, why_not_dead
from algorithms.builtin.switching.voltage_watch import VoltageWatch


@dataclass(frozen=True, slots=True)
class DeadProof:
    """The question whether lines with faults are dead."""

    faults: KnownFaults
    voltages: VoltageWatch
    settings: HandlingSettings

    def prove(self, now_ns: int, *, patient: bool) -> Step:
        """Look whether all lines are proven dead; end where not `patient` any more [ns UTC]."""
        faults, board = self.faults, self.faults.board
        faults.note_enclosed()  # the last switch around a fault may have opened only now, as after a restart
        if taken := taken_over(faults.handled, board, faults.ground):
            return Step(outcome="handed-over", why=taken)
        if still_protected(faults.handled, board, now_ns):  # a breaker on the other side of a loop tripped only now
            return Step(to=Phase.PROTECTION)
        if board.gathering(now_ns):
            return STAY
        why = self.why_alive() or self._awaited(now_ns)
        if not why:
            return Step(to=Phase.PLANNING)
        return STAY if patient else Step(outcome="not-dead", why=why)

    def why_alive(self) -> str:
        """Say why a line must not be taken for dead; nothing where all are proven."""
        closing_in = [case for case in self.faults.handled if case.breaker and not (case.live or case.enclosed)]
        return why_not_dead(closing_in, self.faults.board, self.voltages, by_meters=self.settings.by_meters)

    def _awaited(self, now_ns: int) -> str:
        """Name the meters that may speak yet."""
        opened = [case.cleared_ns for case in self.faults.handled if not case.enclosed]
        since_ns = max(opened, default=0)
        if not opened or now_ns - since_ns >= round(self.settings.hearing * NANOSECONDS):
            return ""
        missing = self.voltages.missing(since_ns)
        return f"waiting for {', '.join(missing[:5])}" if missing else ""
