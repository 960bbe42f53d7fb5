"""
Where switches stood before the faults, and what others have done to them since. Pure.

Where it stands: `fault_handling` asks it what was supplied before, and what must stay open. Rules: what a person opened
since stays open, and what that made dead stays dead; what this reconfigurator moved itself, also against losses, is no
person's wish; a breaker that tripped for a fault nobody told of counts as open, since nobody knows what is wrong there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from algorithms.api.network_operation import SwitchState
from algorithms.api.network_tables import Truths
from algorithms.api.switching import Cause, SwitchReport, tags_of
from algorithms.builtin.switching.fault_case import FaultCase
from algorithms.builtin.switching.switch_board import SwitchBoard


@dataclass(slots=True)
class PositionsBefore:
    """
    The positions before the faults of one network.

    Attributes
    ----------
    board : SwitchBoard
    closed : numpy.ndarray or None
        Which switches were closed, but for those that people opened since, shape (n_switches,); None without a fault.
    kept_open : set of str
        Switches that people opened since.
    tokens : list of int
        Leases this reconfigurator was given: orders under them are its own, and no others are.
    """

    board: SwitchBoard
    closed: Truths | None = None
    kept_open: set[str] = field(default_factory=set)
    tokens: list[int] = field(default_factory=list)
    _stood: dict[str, SwitchState] = field(default_factory=dict)

    def begin(self, closed: Truths | None) -> None:
        """Count from now on, or from another position; what people did before is part of that."""
        self.closed = self.snapshot() if closed is None else closed
        self.kept_open.clear()

    def end(self) -> None:
        """Forget it: there is no fault any more."""
        self.closed = None
        self.kept_open.clear()

    def before(self, cases: Sequence[FaultCase]) -> Truths:
        """Tell which switches were closed before these faults, shape (n_switches,)."""
        closed = self.snapshot() if self.closed is None else self.closed.copy()
        known = set[str]().union(*(case.cleared_by for case in cases))
        for row in self._tripped():
            closed[row] = self.board.model.switches.ids[row] in known
        return closed

    def snapshot(self) -> Truths:
        """Tell where switches stand, or stood before their protection opened them, shape (n_switches,)."""
        closed = self.board.closed()
        closed[self._tripped()] = True
        return closed

    def stood(self, name: str) -> SwitchState | None:
        """Tell where a switch last surely stood."""
        return self._stood.get(name)

    def note(
        self, name: str, before: SwitchReport | None, report: SwitchReport, cases: Sequence[FaultCase]
    ) -> tuple[bool, bool]:
        """
        Take what a switch says, and respect what others did to it.

        Returns
        -------
        moved : bool
            Whether it stands elsewhere than it last surely stood.
        taken : bool
            Whether somebody has ordered what its protection had done: it is in their hands now.
        """
        if report.state is None:
            return False, False
        stood = self._stood.get(name)
        self._stood[name] = report.state
        taken = before is not None and before.cause is not report.cause is Cause.COMMAND
        self._respect(name, None if taken else stood, report, cases)
        return report.state is not stood, taken

    def ours(self, report: SwitchReport, cases: Sequence[FaultCase]) -> bool:
        """
        Tell whether it is by an order of this reconfigurator, or for one of these faults, that a switch stands so.

        What an order was called says nothing: under a lease only who was given it gives orders, and what an order is
        for stands in it.
        """
        tags = {case.id for case in cases}
        given = report.moved_under in self.tokens or report.moved_for in tags
        return report.cause is Cause.COMMAND and (given or bool(tags & tags_of(report.tag)))

    def _respect(self, name: str, stood: SwitchState | None, report: SwitchReport, cases: Sequence[FaultCase]) -> None:
        """Leave open what somebody else opened, and dead what that made dead."""
        if report.state is SwitchState.CLOSED:
            self.kept_open.discard(name)
        if self.closed is None or report.state is not SwitchState.OPEN or stood is SwitchState.OPEN:
            return
        row = self.board.model.switches.rows[name]
        opened = stood is SwitchState.CLOSED or bool(self.closed[row])
        if opened and report.cause is Cause.COMMAND and not self.ours(report, cases):
            self.closed[row] = False
            self.kept_open.add(name)

    def _tripped(self) -> list[int]:
        reports = [self.board.report(name) for name in self.board.model.switches.ids]
        return [
            row
            for row, report in enumerate(reports)
            if report is not None and report.state is SwitchState.OPEN and report.cause is Cause.PROTECTION
        ]
