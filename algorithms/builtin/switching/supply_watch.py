"""
What was brought back, by the meters' word: where one sees nothing although the switches say it is fed, it is told.

Where it stands: `fault_handling` notes here what was restored, and asks in the phase SETTLED. A tie that says it closed
and did not, or one into a neighbour that is dead itself, leaves customers in the dark behind switches that all stand as
planned. Nothing is switched by that: the switches' word and the meters' cannot both be true. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from algorithms.api.network_tables import Truths
from algorithms.api.records import Event, Severity
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.fault_case import FaultCase
from algorithms.builtin.switching.restoration_checks import names_of
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.voltage_watch import VoltageWatch
from algorithms.grid.switching.switched import SwitchedNetwork

SETTLING = 2.0
"""What meters see counts so long after the last closing: their clocks may be ahead [s]."""
LOOKED = 1.0
"""How often [s]."""


@dataclass(slots=True)
class SupplyWatch:
    """
    The watch over what was brought back last.

    Parameters
    ----------
    board : SwitchBoard
    voltages : VoltageWatch
    lasting : float
        For which meters are listened to, since some speak seldom [s]; 0 for not at all.
    """

    board: SwitchBoard
    voltages: VoltageWatch
    lasting: float
    _nodes: set[str] = field(default_factory=set)
    _by: tuple[str, ...] = ()
    _closed: Truths | None = None
    _since_ns: int = 0
    _looked_ns: int = 0

    def begin(self, closed: Sequence[str], now_ns: int) -> None:
        """Watch what is fed through switches that were just closed [ns UTC]."""
        network = SwitchedNetwork(self.board.model, np.ones(len(self.board.model.switches), dtype=bool))
        now = self.board.surely_closed()
        before = now.copy()
        before[[self.board.model.switches.rows[name] for name in closed]] = False
        fed = np.setdiff1d(network.tree(now).order, network.tree(before).order)
        self._nodes, self._by, self._closed = names_of(network, fed), tuple(dict.fromkeys(closed)), now
        self._since_ns = self._looked_ns = now_ns + round(SETTLING * NANOSECONDS)

    def end(self) -> None:
        """Watch nothing any more: something else has begun."""
        self._nodes = set()

    def look(self, cases: Sequence[FaultCase], now_ns: int) -> list[Event]:
        """Tell, once, of meters that see nothing of it [ns UTC]."""
        if not (self._nodes and self.lasting) or now_ns - self._looked_ns < round(LOOKED * NANOSECONDS):
            return []
        self._looked_ns = now_ns
        if self._closed is None or (self.board.surely_closed() != self._closed).any():
            self.end()  # somebody has switched, or a relay: what is fed by now is another question
            return []
        blind = self.voltages.contradicting(self._nodes, self._since_ns)
        if not blind:
            if now_ns - self._since_ns > round(self.lasting * NANOSECONDS):
                self.end()
            return []
        self.end()
        return [self._event(cases, blind, now_ns)]

    def _event(self, cases: Sequence[FaultCase], blind: list[str], now_ns: int) -> Event:
        model = self.board.model
        at = {terminal.node for terminal in model.terminals if {terminal.id, terminal.device} & set(blind)}
        evidence = {
            "network": model.network,
            "cases": [case.id for case in cases],
            "outcome": "dark",
            "reason": f"closed by their own word: {', '.join(self._by)}; no voltage at {', '.join(blind[:5])}: one of "
            "those does not stand where it says, or what it leads to is dead; a person must see to it",
            "position": "as the switches say; nothing more is switched",
            "also": {name: case.id for case in cases for name in case.also},
            "steps": [],
            "unserved": dict.fromkeys(sorted(at), "its meter sees no voltage"),
            "unserved_customers": int(sum(model.nodes.customers[model.nodes.rows[node]] for node in at)),
            "restored_customers": 0,
        }
        breaker = next((case.breaker for case in cases if case.breaker), "")
        started = min((case.start_ns for case in cases), default=now_ns)
        return Event("restoration", breaker, started, now_ns, Severity.CRITICAL, (), evidence)

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        self._since_ns += by_ns
        self._looked_ns += by_ns
