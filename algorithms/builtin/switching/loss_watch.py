"""
Watches whether another position of the switches would serve better, for long enough to be worth it. Pure.

Where it stands: the core of the reconfiguration plug-in while there is no fault. `grid.reconfiguration` says where to
end, `grid.switching_order` how to get there; the plug-in brings grid states and the lease, and sends what this gives.

Rules:

- A gain counts once it has lasted; a state that does not show it starts the time anew. After a change there is rest.
- Loops are closed only where `switching_order` allows it. Otherwise customers are interrupted, which is counted in
  customer-seconds, and done only where the settings allow so much.
- An exchange that fails half-way is undone: the network is left radial and everybody supplied, or that is said.
- Before each step all switches must stand where the plan has them, and obey. Otherwise somebody else is at work: what
  is half done is taken back where it closed a loop, and the position is judged anew.
- A loop that stands is told, whoever closed it: the network is meant to be radial.
- A fault ends it at once. An exchange that closed a loop then is left to the protection.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from algorithms.api.errors import NetworkError
from algorithms.api.network_tables import Truths
from algorithms.api.records import Record
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.loop_watch import LoopWatch
from algorithms.builtin.switching.loss_words import exchange_ending, exchange_proposal, relative_gain
from algorithms.builtin.switching.reconfiguration_settings import LossSettings
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.switching_sequence import Lease, Progress, Stage, SwitchingSequence, closing, opening
from algorithms.grid.switching.reconfiguration import Reconfiguration, reconfigure
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.switching_order import Move, moves
from algorithms.grid.switching.tree_flow import Demand, TreeFlow

OTHERS = "others"
LOSS_ORDERS = ("loss-", "undo-")
"""What orders given for it begin with."""


class LossPhase(StrEnum):
    """How far it is."""

    WATCHING = "watching"
    LEASE = "lease"
    SWITCHING = "switching"
    UNDOING = "undoing"


@dataclass(slots=True)
class LossWatch:
    """The watch over one network."""

    board: SwitchBoard
    settings: LossSettings
    phase: LossPhase = LossPhase.WATCHING
    lease: Lease | None = None
    refusal: str = ""
    _looked_ns: int | None = None
    _gaining_ns: int | None = None
    changed_ns: int | None = None
    _proposed: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    _since_ns: int = 0
    _made: tuple[Move, ...] = ()
    _planned: Truths | None = None
    _sequence: SwitchingSequence | None = None
    _undone: str = ""
    _count: int = 0
    _steps: list[tuple[str, str, int]] = field(default_factory=list)
    _loops: LoopWatch = field(init=False)

    def __post_init__(self) -> None:
        self._loops = LoopWatch(self.board)

    @property
    def wants_lease(self) -> bool:
        """Whether the right to switch is needed now."""
        return self.phase is not LossPhase.WATCHING

    def before_exchange(self) -> Truths | None:
        """Tell where switches stood before the exchange under way, shape (n_switches,); None where there is none."""
        if self._planned is None or self.phase not in (LossPhase.SWITCHING, LossPhase.UNDOING):
            return None
        closed, rows = self._planned.copy(), self.board.model.switches.rows
        done = self._steps if self.phase is LossPhase.UNDOING or self._sequence is None else self._sequence.done
        whole = done[: len(done) // 2 * 2]
        for name, verb, _ in whole:
            closed[rows[name]] = verb == "close"
        return closed

    def look(self, demand: Demand, now_ns: int) -> list[Record]:
        """Judge the present position by what is drawn now [ns UTC]."""
        settings = self.settings
        if self.phase is not LossPhase.WATCHING or self._within(self._looked_ns, settings.interval, now_ns):
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
        if self.phase is LossPhase.LEASE:
            if self._disturbed(0, now_ns):
                return [*given, *self._end("superseded", "switches moved or were locked meanwhile", now_ns)]
            if self.lease is not None and self.lease.until_ns > now_ns:
                self._count += 1
                self._sequence = SwitchingSequence(f"{LOSS_ORDERS[0]}{self._count}", self.lease, self._stages())
                self.phase = LossPhase.SWITCHING
            elif not self._within(self._since_ns, self.settings.patience, now_ns):
                return [*given, *self._end("no-lease", self.refusal or "no answer", now_ns)]
        while (sequence := self._sequence) is not None:
            between = self.phase is LossPhase.SWITCHING and not sequence.waits and not sequence.failed
            if between and self._disturbed(sequence.at + 1, now_ns):
                sequence.abandon()
                sequence.failed[OTHERS] = "moved or locked switches meanwhile"
            if sequence.progress is Progress.RUNNING:
                given += sequence.advance(now_ns)
            if sequence.progress is Progress.RUNNING:
                break
            given += self._after(sequence, now_ns)
        return given

    def _after(self, sequence: SwitchingSequence, now_ns: int) -> list[Record]:
        """Take back what failed half-way, or end."""
        self._steps += sequence.done
        undoing = self.phase is LossPhase.UNDOING
        if sequence.progress is Progress.DONE:
            return self._end("undone" if undoing else "changed", self._undone, now_ns)
        why = "; ".join(f"{name} {what}" for name, what in sequence.failed.items())
        stages = [] if undoing else self._undoing(sequence)
        if not stages:
            return self._end("half-way" if undoing else "failed", f"{self._undone}; {why}".strip("; "), now_ns)
        self._undone = why
        self._sequence = SwitchingSequence(f"{LOSS_ORDERS[1]}{self._count}", sequence.lease, stages)
        self.phase = LossPhase.UNDOING
        return []

    def hear(self, name: str, report: Any, now_ns: int) -> None:
        """Take what a switch says."""
        if self._sequence is not None:
            self._sequence.hear(name, report, now_ns)

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""

        def moved(at_ns: int | None) -> int | None:
            return None if at_ns is None else at_ns + by_ns

        self._looked_ns, self._gaining_ns = moved(self._looked_ns), moved(self._gaining_ns)
        self.changed_ns = moved(self.changed_ns)
        self._loops.shift(by_ns)
        self._since_ns += by_ns
        self._steps = [(name, verb, at + by_ns) for name, verb, at in self._steps]
        if self._sequence is not None:
            self._sequence.shift(by_ns)

    def interrupt(self, now_ns: int, why: str = "a fault came in between") -> list[Record]:
        """End at once."""
        self._gaining_ns = self._proposed = None
        if self.phase is LossPhase.WATCHING:
            return []
        half = self.phase is LossPhase.UNDOING
        if self._sequence is not None:
            half |= self._sequence.waits or bool(len(self._sequence.done) % 2)
            self._sequence.abandon()
            self._steps += self._sequence.done
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
            self._made, self._since_ns, self.refusal = made, now_ns, ""
            self._planned = self.board.closed()
            self.phase = LossPhase.LEASE
        return [proposal]

    def _stages(self) -> list[Stage]:
        stages = []
        for move in self._made:
            close = Stage("close", (closing(move.close, self._patience(move.close)),))
            opened = Stage("open", (opening(move.open, self._patience(move.open)),))
            stages += [close, opened] if move.make_before_break else [opened, close]
        return stages

    def _undoing(self, sequence: SwitchingSequence) -> list[Stage]:
        """Take back the first half of an exchange that failed after it, or in it where nobody knows how it ended."""
        if sequence.at < 0:
            return []
        move = self._made[sequence.at // 2]
        first = move.close if move.make_before_break else move.open
        moved = any(name == first for name, _, _ in sequence.done)
        if OTHERS in sequence.failed:  # `at` is the last step that was done
            again = () if move.make_before_break else (move.open,)
            if sequence.at % 2 or bool(self._loops.closed_by(*again)) is not move.make_before_break:
                return []
        elif not moved and first not in sequence.unanswered:
            return []
        if move.make_before_break:
            return [Stage("open", (opening(move.close, self._patience(move.close)),))]
        return [Stage("close", (closing(move.open, self._patience(move.open)),))]

    def _disturbed(self, steps: int, now_ns: int) -> bool:
        """Tell whether switches do not stand as planned after so many steps, or those still to move do not obey."""
        if self._planned is None:
            return True
        expected, rows = self._planned.copy(), self.board.model.switches.rows
        verbs = [(wish.switch, stage.name) for stage in self._stages() for wish in stage.wishes]
        for name, verb in verbs[:steps]:
            expected[rows[name]] = verb == "close"
        fit = self.board.operable(now_ns)
        begins = verbs if not steps else verbs[steps : steps + 2]
        begins = [] if steps % 2 else begins  # what has begun is better ended than left
        return bool((self.board.closed() != expected).any()) or not all(fit[rows[name]] for name, _ in begins)

    def _patience(self, name: str) -> float:
        switches = self.board.model.switches
        return float(switches.operating_time[switches.rows[name]]) + self.settings.response

    def _end(self, outcome: str, why: str, now_ns: int, *, half: bool = False) -> list[Record]:
        told = exchange_ending(
            outcome, why, self.board.model.network, self._steps, half=half, times=(self._since_ns, now_ns)
        )
        if self._steps:
            self.changed_ns = now_ns
        self.phase, self._sequence, self._made, self._steps = LossPhase.WATCHING, None, (), []
        self._gaining_ns, self._proposed, self._undone = None, None, ""
        return [told]
