"""
Breakers that protection opened for good and that no known fault explains: somebody is told, or a feeder stays dark.

Where it stands: the reconfiguration plug-in asks it at every step. A fault's word may be lost, as when the
reconfigurator is killed between that word and its next checkpoint; that a breaker stands open is reported again and
again. Nothing is switched by that alone, since nobody knows where the fault is. Pure.
"""

from algorithms.api.network_operation import SwitchKind, SwitchState
from algorithms.api.records import Event, Record, Severity
from algorithms.api.switching import Cause
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.switch_board import SwitchBoard

UNTOLD = 30.0
"""The word of a fault may come so long after its breaker gave up [s]."""


class UntoldTrips:
    """
    Which breakers of a network stand open without a known fault.

    Parameters
    ----------
    board : SwitchBoard
    """

    def __init__(self, board: SwitchBoard) -> None:
        self._board = board
        self._since_ns: dict[str, int] = {}
        self._told: set[str] = set()

    def look(self, known: set[str], now_ns: int) -> list[Record]:
        """Tell, once, of each breaker but those in `known` that has stood open for a while [ns UTC]."""
        switches = self._board.model.switches
        given: list[Record] = []
        for name, kind in zip(switches.ids, switches.kind, strict=True):
            if kind not in (SwitchKind.BREAKER, SwitchKind.RECLOSER):
                continue
            report = self._board.report(name)
            given_up = report is not None and report.state is SwitchState.OPEN and not report.reclosing
            if report is None or not given_up or report.cause is not Cause.PROTECTION:
                self._since_ns.pop(name, None)
                self._told.discard(name)
                continue
            if name in known:
                self._told.add(name)  # also when it is repaired and not yet closed again
            start_ns = self._since_ns.setdefault(name, now_ns)
            if name not in self._told and now_ns - start_ns > round(UNTOLD * NANOSECONDS):
                self._told.add(name)
                given.append(self._event(name, start_ns, now_ns))
        return given

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        self._since_ns = {name: at + by_ns for name, at in self._since_ns.items()}

    def _event(self, name: str, start_ns: int, now_ns: int) -> Event:
        evidence = {
            "network": self._board.model.network,
            "outcome": "no-case",
            "reason": f"{name} was opened by its protection and nothing was heard of a fault since: where is it?",
            "position": "as the protection left it: nothing was switched",
            "steps": [],
        }
        return Event("restoration", name, start_ns, now_ns, Severity.CRITICAL, (), evidence)
