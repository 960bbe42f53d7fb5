"""
Watches whether another position of the switches would serve better, for long enough to be worth it. Pure.

Where it stands: the core of the reconfiguration plug-in while there is no fault. Of `grid.switching`, `reconfiguration`
says where to end and `switching_order` how to get there; `exchange_run` carries it out; the plug-in brings grid states
and the lease, and sends what this gives.

Rules:

- A gain counts once it has lasted; a state that does not show it starts the time anew. After a change there is rest.
- Loops are closed only where `switching_order` allows it. Otherwise customers are interrupted, which is counted in
  customer-seconds, and done only where the settings allow so much.
- A loop that stands is told, whoever closed it: the network is meant to be radial.
- A fault ends it at once. An exchange that closed a loop then is left to the protection.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from algorithms.api.errors import NetworkError
from algorithms.api.network_tables import Truths
from algorithms.api.records import Record
from algorithms.api.switching import SwitchReport
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.exchange_pairs import ExchangeMemory, ExchangePairs, Pair
from algorithms.builtin.switching.exchange_run import ExchangePhase, ExchangeRun
from algorithms.builtin.switching.loop_watch import LoopWatch
from algorithms.builtin.switching.loss_words import exchange_ending, exchange_proposal, relative_gain
from algorithms.builtin.switching.reconfiguration_settings import LossSettings
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.switching_sequence import Lease
from algorithms.grid.switching.reconfiguration import Reconfiguration, reconfigure
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.switching_order import moves
from algorithms.grid.switching.tree_flow import Demand, TreeFlow


@dataclass(slots=True)
class LossWatch:
    """
    The watch over one network.

    Attributes
    ----------
    ours : callable
        Tells of a report whether the switch stands so by an order of this reconfigurator.
    lease : Lease or None
        Set by the plug-in while it is held.
    changed_ns : int or None
        When switches were last moved [ns UTC].
    """

    board: SwitchBoard
    settings: LossSettings
    ours: Callable[[SwitchReport], bool]
    lease: Lease | None = None
    refusal: str = ""
    changed_ns: int | None = None
    _looked_ns: int | None = None
    _gaining_ns: int | None = None
    _proposed: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    _run: ExchangeRun | None = None
    _count: int = 0
    _loops: LoopWatch = field(init=False)

    def __post_init__(self) -> None:
        self._loops = LoopWatch(self.board)

    @property
    def wants_lease(self) -> bool:
        """Whether the right to switch is needed now."""
        return self._run is not None

    def before_exchange(self) -> Truths | None:
        """Tell where switches stood before the exchange under way, shape (n_switches,); None where there is none."""
        return None if self._run is None else self._run.before_exchange()

    # ---- what is kept

    def remembered(self) -> ExchangeMemory | None:
        """Give the exchange under way; None where nothing of one was ordered."""
        return None if self._run is None else self._run.remembered()

    def resume(self, memory: ExchangeMemory | None, changed_ns: int | None) -> None:
        """Take up what was under way at a restart, where the model still has all of it."""
        self.changed_ns = changed_ns
        switches = self.board.model.switches
        if memory is None or len(memory.planned) != len(switches):
            return
        if {name for pair in memory.pairs for name in (pair.close, pair.open)} <= set(switches.ids):
            self._run = self._made(memory.pairs, np.array(memory.planned, dtype=bool), memory.since_ns)
            self._run.phase = ExchangePhase.RESUMING

    def begin_at(self, now_ns: int) -> None:
        """Believe no time that is remembered and has not come yet: the clock was wrong when it was noted."""
        self.changed_ns = None if self.changed_ns is None else min(self.changed_ns, now_ns)
        if self._run is not None:
            self._run.since_ns = min(self._run.since_ns, now_ns)

    # ---- what happens

    def look(self, demand: Demand, now_ns: int) -> list[Record]:
        """Judge the present position by what is drawn now [ns UTC]."""
        settings = self.settings
        if self._run is not None or self._within(self._looked_ns, settings.interval, now_ns):
            return []
        self._looked_ns = now_ns
        try:
            network = SwitchedNetwork(self.board.now(), self.board.operable(now_ns))
        except NetworkError:  # switches that are silent or move leave a loop which nobody can open
            self._gaining_ns = None
            return []
        flow = TreeFlow(network, demand)
        if network.tree(network.model.switches.closed).loops:
            self._gaining_ns = None
            return []
        found = reconfigure(flow, settings.objective, settings.limits, effort=settings.effort)
        gain = relative_gain(found, settings.objective)
        if gain <= settings.gain:
            self._gaining_ns = None
            return []
        if self._gaining_ns is None:
            self._gaining_ns = now_ns
        if self._within(self._gaining_ns, settings.hold, now_ns) or self._within(
            self.changed_ns, settings.rest, now_ns
        ):
            return []
        return self._propose(flow, found, gain, now_ns)

    def advance(self, now_ns: int) -> list[Record]:
        """Do what can be done now."""
        given = self._loops.look(now_ns)
        if self._run is not None:
            sent, ended = self._run.advance(self.lease, self.refusal, now_ns)
            given += sent
            if ended is not None:
                given += self._end(*ended, now_ns)
        return given

    def hear(self, name: str, report: SwitchReport, now_ns: int) -> None:
        """Take what a switch says."""
        if self._run is not None:
            self._run.hear(name, report, now_ns)

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""

        def moved(at_ns: int | None) -> int | None:
            return None if at_ns is None else at_ns + by_ns

        self._looked_ns, self._gaining_ns = moved(self._looked_ns), moved(self._gaining_ns)
        self.changed_ns = moved(self.changed_ns)
        self._loops.shift(by_ns)
        if self._run is not None:
            self._run.shift(by_ns)

    def interrupt(self, now_ns: int, why: str = "a fault came in between") -> list[Record]:
        """End at once."""
        self._gaining_ns = self._proposed = None
        if self._run is None:
            return []
        half = self._run.is_half()
        self._run.abandon()
        return self._end("interrupted", why, now_ns, half=half)

    # ---- inside

    @staticmethod
    def _within(start_ns: int | None, seconds: float, now_ns: int) -> bool:
        return start_ns is not None and now_ns - start_ns < round(seconds * NANOSECONDS)

    def _propose(self, flow: TreeFlow, found: Reconfiguration, gain: float, now_ns: int) -> list[Record]:
        change = found.to_close, found.to_open
        if change == self._proposed and not self.settings.closed_loop:
            return []
        self._proposed = change
        ordered = moves(flow, found.closed, self.settings.limits)
        made = ordered if ordered is not None else ()
        cost = sum(move.interrupted * move.interruption for move in made)
        allowed = ordered is not None and cost <= self.settings.interruption
        proposal = exchange_proposal(
            found, ordered, self.settings, self.board.model, gain=gain, cost=cost, now_ns=now_ns
        )
        if self.settings.closed_loop and allowed and made:
            self.refusal = ""
            pairs = tuple(Pair(move.close, move.open, move.make_before_break) for move in made)
            self._run = self._made(pairs, self.board.closed(), now_ns)
        return [proposal]

    def _made(self, pairs: tuple[Pair, ...], planned: Truths, since_ns: int) -> ExchangeRun:
        self._count += 1
        moved = ExchangePairs(self.board, pairs, planned, self.settings.response)
        return ExchangeRun(self.board, self.settings, self._loops, self.ours, since_ns, str(self._count), moved)

    def _end(self, outcome: str, why: str, now_ns: int, *, half: bool = False) -> list[Record]:
        run, self._run = self._run, None
        if run is None:
            return []
        told = exchange_ending(
            outcome, why, self.board.model.network, run.steps, half=half, times=(run.since_ns, now_ns)
        )
        if run.steps or outcome == "changed":
            self.changed_ns = now_ns
        self._gaining_ns = self._proposed = None
        return [told]
