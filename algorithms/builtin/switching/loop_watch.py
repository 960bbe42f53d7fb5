"""
Loops that stand in a network that is meant to be radial, by the switches' own word: told, whoever closed them. Pure.

Where it stands: `loss_watch` asks it at every step, and before it takes back what it closed. Rule: a switch operated
from afar that has said nothing since the start closes no loop that is told: what the topology has of it may be old.
"""

from algorithms.api.network_operation import Operation
from algorithms.api.network_tables import Truths
from algorithms.api.records import Event, Record, Severity
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.grid.switching.switched import SwitchedNetwork

MESHED = 10.0
"""A loop that stands for so long is told [s]."""


class LoopWatch:
    """
    The watch over loops.

    Parameters
    ----------
    board : SwitchBoard
    """

    def __init__(self, board: SwitchBoard) -> None:
        self._board = board
        self._judged: Truths | None = None
        self._loop = ""
        self._since_ns: int | None = None
        switches = board.model.switches
        self._unheard = [row for row, kind in enumerate(switches.operation) if kind == Operation.REMOTE]

    def closed_by(self, *also: str) -> list[str]:
        """Name what closes loops, were those in `also` closed too."""
        closed = self._board.surely_closed()
        closed[[self._board.model.switches.rows[name] for name in also]] = True
        return self._closing(closed)

    def _closing(self, closed: Truths) -> list[str]:
        model = self._board.model
        ids = [*model.branches.ids, *model.switches.ids]
        return [ids[edge] for edge in SwitchedNetwork(model).tree(closed).loops]

    def look(self, now_ns: int) -> list[Record]:
        """Tell of a loop, once, that has stood for a while [ns UTC]."""
        closed, ids = self._board.surely_closed(), self._board.model.switches.ids
        self._unheard = [row for row in self._unheard if self._board.report(ids[row]) is None]
        closed[self._unheard] = False
        if self._judged is None or (closed != self._judged).any():
            self._judged, loop = closed, ", ".join(self._closing(closed)[:20])
            if bool(loop) != bool(self._loop):
                self._since_ns = now_ns if loop else None
            self._loop = loop
        if self._since_ns is None or now_ns - self._since_ns < round(MESHED * NANOSECONDS):
            return []
        started, self._since_ns = self._since_ns, None
        evidence = {
            "network": self._board.model.network,
            "outcome": "meshed",
            "reason": f"a loop is closed, which {self._loop} can open",
            "position": "a loop stands: one of its switches is to be opened",
            "steps": [],
        }
        return [Event("reconfiguration", self._board.model.network, started, now_ns, Severity.CRITICAL, (), evidence)]

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        self._since_ns = None if self._since_ns is None else self._since_ns + by_ns
