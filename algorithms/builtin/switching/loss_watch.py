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
from algorithms.api.grid_records import Proposal, SwitchStep
from algorithms.api.network_tables import Truths
from algorithms.api.readings import Estimate
from algorithms.api.records import Event, Record, Severity
from algorithms.api.wire import NANOSECONDS, time_text
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.switching_sequence import Lease, Progress, Stage, SwitchingSequence, closing, opening
from algorithms.grid.switching.limits import Limits
from algorithms.grid.switching.reconfiguration import Effort, Figures, Objective, Reconfiguration, reconfigure
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.switching_order import Move, moves
from algorithms.grid.switching.tree_flow import Demand, TreeFlow

OTHERS = "others"
LOSS_ORDERS = ("loss-", "undo-")
"""What orders given for it begin with."""
MESHED = 10.0
"""A loop that stands for so long is told [s]."""


class LossPhase(StrEnum):
    """How far it is."""

    WATCHING = "watching"
    LEASE = "lease"
    SWITCHING = "switching"
    UNDOING = "undoing"


@dataclass(frozen=True, slots=True)
class LossSettings:
    """
    When another position is worth it.

    Attributes
    ----------
    closed_loop : bool
    objective : Objective
    effort : Effort
    limits : Limits
    gain : float
        Least relative improvement [1].
    hold : float
        For which it must have lasted [s].
    interval : float
        Grid states are looked at no more often than this [s].
    rest : float
        After a change nothing is changed for so long [s].
    interruption : float
        Customer-seconds without supply that one change may cost [s].
    response : float
        A switch answers within its operating time and this [s].
    patience : float
        For a lease [s].
    """

    closed_loop: bool
    objective: Objective
    effort: Effort
    limits: Limits
    gain: float
    hold: float
    interval: float
    rest: float
    interruption: float
    response: float
    patience: float


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
    _judged: Truths | None = None
    _loop: str = ""
    _loop_ns: int | None = None
    _sequence: SwitchingSequence | None = None
    _undone: str = ""
    _count: int = 0
    _steps: list[tuple[str, str, int]] = field(default_factory=list)

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
        given = self._tell_loop(now_ns)
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
        self.changed_ns, self._loop_ns = moved(self.changed_ns), moved(self._loop_ns)
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
        steps: list[SwitchStep] = []
        for move in made:
            close = SwitchStep(move.close, "closed", f"the loop would carry {move.closed_onto:.0f} A")
            opened = SwitchStep(move.open, "open", move.reason or f"breaks {move.broken:.0f} A")
            steps += [close, opened] if move.make_before_break else [opened, close]
        proposal = Proposal(
            kind=_kinds[self.settings.objective],
            network=self.board.model.network,
            topology_revision=self.board.model.topology_revision,
            time_ns=now_ns,
            expires_ns=now_ns + round(max(self.settings.interval, 60.0) * NANOSECONDS),
            steps=tuple(steps),
            gain={
                "relative": Estimate(gain, 0.0),
                "losses": Estimate(found.before.losses - found.after.losses, 0.0),
                "deviation": Estimate(found.before.deviation - found.after.deviation, 0.0),
                "exported": Estimate(found.before.exported - found.after.exported, 0.0),
                "customer-seconds": Estimate(-cost, 0.0),
            },
            checks={
                "radial": True,
                "limits": not found.broken,
                "limits on the way": ordered is not None,
                "no loop that must not be closed": bool(made) and all(move.make_before_break for move in made),
                "interruption": allowed,
                "every position was tried": found.exact,
            },
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
            if sequence.at % 2 or bool(self._loops(*again)) is not move.make_before_break:
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

    def _loops(self, *also: str) -> list[str]:
        """Name what closes loops by the switches' own word, were those in `also` closed too."""
        model, closed = self.board.model, self.board.surely_closed()
        closed[[model.switches.rows[name] for name in also]] = True
        ids = [*model.branches.ids, *model.switches.ids]
        return [ids[edge] for edge in SwitchedNetwork(model).tree(closed).loops]

    def _tell_loop(self, now_ns: int) -> list[Record]:
        """Tell of a loop, once, that has stood for a while."""
        closed = self.board.surely_closed()
        if self._judged is None or (closed != self._judged).any():
            self._judged, loop = closed, ", ".join(self._loops()[:20])
            if bool(loop) != bool(self._loop):
                self._loop_ns = now_ns if loop else None
            self._loop = loop
        if self._loop_ns is None or self._within(self._loop_ns, MESHED, now_ns):
            return []
        started, self._loop_ns = self._loop_ns, None
        evidence = {
            "network": self.board.model.network,
            "outcome": "meshed",
            "reason": f"a loop is closed, which {self._loop} can open",
            "position": "a loop stands: one of its switches is to be opened",
            "steps": [],
        }
        return [Event("reconfiguration", self.board.model.network, started, now_ns, Severity.CRITICAL, (), evidence)]

    def _patience(self, name: str) -> float:
        switches = self.board.model.switches
        return float(switches.operating_time[switches.rows[name]]) + self.settings.response

    def _end(self, outcome: str, why: str, now_ns: int, *, half: bool = False) -> list[Record]:
        well = outcome == "changed"
        position = {
            "changed": "as proposed",
            "undone": "the exchange that failed was taken back; those before it stay",
            "failed": "the exchanges before the one that failed stay",
            "half-way": "an exchange is half done: look at the steps",
            "interrupted": "an exchange is half done: what is done about the fault counts with that"
            if half
            else "as it stood then",
            "no-lease": "nothing was switched",
            "superseded": "nothing was switched",
        }[outcome]
        evidence = {
            "network": self.board.model.network,
            "outcome": outcome,
            "reason": why,
            "position": position,
            "steps": [{"switch": name, "verb": verb, "time": time_text(at)} for name, verb, at in self._steps],
        }
        started = self._since_ns
        if self._steps:
            self.changed_ns = now_ns
        self.phase, self._sequence, self._made, self._steps = LossPhase.WATCHING, None, (), []
        self._gaining_ns, self._proposed, self._undone = None, None, ""
        severity = Severity.NOTICE if well else Severity.WARNING
        severity = Severity.CRITICAL if outcome == "half-way" else severity
        return [Event("reconfiguration", self.board.model.network, started, now_ns, severity, (), evidence)]


_kinds = {
    Objective.LOSSES: "loss-reduction",
    Objective.VOLTAGE: "voltage-support",
    Objective.GENERATION: "local-generation",
}


def relative_gain(found: Reconfiguration, objective: Objective) -> float:
    """Give the improvement of what a position is to serve, relative to the present; 1 where it mends a broken limit."""
    if found.before.excess > 1e-6 and found.after.excess < 0.5 * found.before.excess:
        return 1.0
    if found.after.excess > found.before.excess + 1e-9:
        return 0.0
    before, after = _value(found.before, objective), _value(found.after, objective)
    return 1.0 - after / before if before > 0.0 else 0.0


def _value(figures: Figures, objective: Objective) -> float:
    match objective:
        case Objective.LOSSES:
            return figures.losses
        case Objective.VOLTAGE:
            return figures.deviation
        case Objective.GENERATION:
            return figures.exported
