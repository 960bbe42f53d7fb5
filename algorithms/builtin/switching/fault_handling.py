"""
From a located fault to service restored: waits for the protection, proves the line dead, isolates, restores. Pure.

Where it stands: the core of the reconfiguration plug-in on a fault. `fault_case` and `restoration_checks` say when a
line may be touched, `grid.restoration` what to do, `restoration_steps` how that is written, `switching_sequence` does
it; the plug-in brings reports, frames and the lease, and sends what this gives back.

The phases, each left only for the next or for the end::

    PROTECTION -> PROOF -> PLANNING -> LEASE -> SWITCHING (-> BACK) -> SETTLED

Rules:

- Several faults are one case to plan for: all their places are enclosed, each switch locked for those it encloses. One
  that nothing can be waited for is set aside, and told, where it would hold up others. A new one, or a switch that
  moved by itself, lets what is under way finish, then everything is judged anew from the first phase.
- A switch that does not do as it is told is not counted on, and there is another plan, a few times.
- People come first. A breaker that somebody opened or locked ends it; a switch that somebody opened since is not
  closed, and what that made dead stays dead. It is over only when all switches stand where the plan has them.
- Whatever ends it early, the position it ends in is safe, and said: what was opened stays open and locked, nothing
  more is closed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from algorithms.api.errors import NetworkError
from algorithms.api.network_operation import SwitchState
from algorithms.api.network_tables import Truths
from algorithms.api.records import Record
from algorithms.api.switching import OPEN, Cause, SwitchReport, tags_of
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.fault_case import MARGIN, FaultCase
from algorithms.builtin.switching.positions_before import NAMED, PositionsBefore
from algorithms.builtin.switching.reconfiguration_settings import HandlingSettings
from algorithms.builtin.switching.restoration_checks import (
    is_enclosed,
    objection,
    still_dark,
    still_protected,
    taken_over,
    why_not_dead,
)
from algorithms.builtin.switching.restoration_steps import (
    ending,
    locks_of,
    proposal_of,
    stages_of,
    unlocked,
    with_locks,
)
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.switching_sequence import Lease, Progress, Stage, SwitchingSequence, opening
from algorithms.builtin.switching.voltage_watch import VoltageWatch
from algorithms.grid.switching.restoration import DEAD_BEFORE, FAULTED, Restoration, restore
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import Demand, TreeFlow

SAME = 60.0
"""Faults behind one breaker within this are one, told again with each reclosing [s]."""
NAMES = 16
"""Names of one fault that are remembered beside the first."""
CHANCES = {
    "not-dead": "it is tried once more when meters say that the line is dead",
    "no-lease": "it is tried once more after a while",
}
"""What may end otherwise a second time, and when it is tried."""
LOOK = 10.0
"""Between two looks whether it would [s]."""
MOST_CASES = 32
"""Faults of one network that are not repaired; no more are taken up."""
REPLANS = 4
"""Plans made anew at most after a switch did not do as it was told."""


class Phase(StrEnum):
    """How far the handling is."""

    IDLE = "idle"
    PROTECTION = "protection"
    PROOF = "proof"
    PLANNING = "planning"
    LEASE = "lease"
    SWITCHING = "switching"
    BACK = "back"
    SETTLED = "settled"


@dataclass(slots=True)
class FaultHandling:
    """
    Handling of all faults of one network.

    Attributes
    ----------
    ground : PositionsBefore
        What stood where before the faults.
    lease : Lease or None
        Set by the plug-in while it is held.
    wants_lease : bool
        Whether it should be.
    """

    board: SwitchBoard
    voltages: VoltageWatch
    settings: HandlingSettings
    demand: Callable[[], Demand | None]
    ground: PositionsBefore
    phase: Phase = Phase.IDLE
    cases: list[FaultCase] = field(default_factory=list)
    lease: Lease | None = None
    refusal: str = ""
    _well: bool = False
    _since_ns: int = 0
    _again: bool = False
    _replans: int = 0
    _plan: Restoration | None = None
    _locks: dict[str, set[str]] = field(default_factory=dict)
    _planned_for: Truths | None = None
    _covered: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    _sequence: SwitchingSequence | None = None
    _done: list[tuple[str, str, int]] = field(default_factory=list)
    _failed: dict[str, str] = field(default_factory=dict)
    _why: str = ""
    _chance: str = ""
    _tried: bool = False
    _looked_ns: int = 0
    _back: tuple[str, str, str] = "", "", ""

    @property
    def wants_lease(self) -> bool:
        """Whether the right to switch is needed now."""
        return self.phase in (Phase.LEASE, Phase.SWITCHING, Phase.BACK)

    @property
    def tags(self) -> tuple[str, ...]:
        """Under which switches are locked by this."""
        return tuple(case.id for case in self.cases)

    def accounted_for(self) -> set[str]:
        """Name the breakers that stand open for a fault that is known: one that trips later does so for another."""
        return set[str]().union(*(case.left_open if case.settled else case.cleared_by for case in self.cases))

    @property
    def handled(self) -> list[FaultCase]:
        """Those of the faults that are not set aside."""
        return [case for case in self.cases if not case.aside]

    # ---- what happens

    def take(self, case: FaultCase, now_ns: int, before: Truths | None = None) -> None:
        """
        Take a fault; a later word on the same one counts, as long as nothing was switched, and else adds places.

        Parameters
        ----------
        case : FaultCase
        now_ns : int
            [ns UTC]
        before : numpy.ndarray or None
            Where switches stood before, shape (n_switches,), bool; None for as they stand.
        """
        for known in self._same(case)[:1]:
            if case.id != known.id:
                known.also = (*(name for name in known.also if name != case.id), case.id)[-NAMES:]
            branches, nodes, trusted = case.branches, case.nodes, case.trusted
            added = known.id != case.id or known.enclosed or self._done_so_far() or self.phase is Phase.SWITCHING
            if added:
                branches = tuple(dict.fromkeys((*known.branches, *branches)))
                nodes = tuple(dict.fromkeys((*known.nodes, *nodes)))
                trusted = known.trusted or trusted  # all places of both are enclosed, so what one is sure of is
            told_again = (branches, nodes, trusted) == (known.branches, known.nodes, known.trusted)
            if told_again and abs(known.start_ns - case.start_ns) < SAME * NANOSECONDS:
                return
            known.branches, known.nodes, known.trusted, known.enclosed = branches, nodes, trusted, False
            if known.settled and known.closed_ns is not None:
                known.start_ns, known.closed_ns = max(known.start_ns, case.start_ns), None  # it has come back
            if case.breaker not in ("", known.breaker) and (known.settled or not added or known.opened_ns is None):
                known.breaker, known.opened_ns, known.closed_ns = case.breaker, None, None
                if (said := self.board.report(case.breaker)) is not None:
                    known.watch(said, now_ns)
            known.told, known.aside, self._tried = False, "", False
            break
        else:
            report = self.board.report(case.breaker)
            if report is not None:
                case.watch(report, now_ns)
            if not self.cases or (self.phase is Phase.SETTLED and self._well):
                self.ground.begin(before)
            self.cases.append(case)
            self._tried = False
        self._restart(now_ns)

    def _same(self, case: FaultCase) -> list[FaultCase]:
        """Give the known cases that a word may be about, the likeliest first: by its id, breaker and time, or place."""
        places = set(case.branches), set(case.nodes)
        soon = [one for one in self.cases if abs(one.start_ns - case.start_ns) < SAME * NANOSECONDS]
        return [
            *(one for one in self.cases if case.id in (one.id, *one.also)),
            *(one for one in soon if one.breaker == case.breaker),
            *(one for one in self.cases if (set(one.branches), set(one.nodes)) == places and one.live == case.live),
        ]

    def full(self, case: FaultCase) -> bool:
        """Tell whether no more cases are taken, and this is another one."""
        return len(self.cases) >= MOST_CASES and not self._same(case)

    def moved(self, name: str, before: SwitchReport | None, report: SwitchReport, now_ns: int) -> list[Record]:
        """Take what a switch says; give what it brings to an end."""
        moved, taken = self.ground.note(name, before, report, self.cases)
        ours = self.ground.ours(report, self.cases)
        self._again |= taken and self.phase is Phase.SWITCHING and not ours
        self._watch(name, report, now_ns)
        if self._sequence is not None:
            self._sequence.hear(name, report, now_ns)
        if self.phase is Phase.SETTLED and self._well and moved and ours and self._is_undone():
            self._restart(now_ns)
        if self.phase is not Phase.SWITCHING or before is None or self._plan is None:
            return []
        closed = [switch for switch, verb, _ in self._done_so_far() if verb == "close"]
        if moved and report.state is SwitchState.OPEN and report.cause is Cause.PROTECTION:
            if closed:
                return self._tripped_again(name, closed[-1], now_ns)
            self._again = True
        opened = {switch for switch, verb, _ in self._done_so_far() if verb == "open"}
        if name in opened and name in self._plan.locked and (report.state is SwitchState.CLOSED or not report.tag):
            return self._end("disturbed", f"{name} was locked open and is no longer", now_ns)
        self._again |= moved and not ours
        return []

    def _watch(self, name: str, report: SwitchReport, now_ns: int) -> None:
        """Let each fault note what a breaker says."""
        for case in self.cases:
            if case.breaker == name:
                case.watch(report, now_ns)
                if case.aside and report.state is SwitchState.OPEN and report.cause is Cause.PROTECTION:
                    case.aside, case.told = "", False
                    self._restart(now_ns)
            if report.state is SwitchState.CLOSED:
                case.left_open = tuple(left for left in case.left_open if left != name)

    def _is_undone(self) -> bool:
        """Tell whether switches stand otherwise than they were put, as by an order nobody waited for any more."""
        return self._plan is not None and bool((self.board.closed() != self._plan.closed).any())

    def _tripped_again(self, name: str, last: str, now_ns: int) -> list[Record]:
        """Stop; where another feeder now trips for the fault, part it from that again."""
        why = f"{name} tripped after {last} was closed: the fault is elsewhere too, or a switch is not where it says"
        if self._sequence is not None:
            self._sequence.abandon()
            self._collect(self._sequence)
        self._back = name, last, why
        if name == last:
            return self._leave_back("", now_ns)
        self._enter(Phase.BACK, now_ns)
        return []

    def _open_again(self, now_ns: int) -> list[Record]:
        """Open what was closed last, once the breaker that tripped for it has given up; it is dead by then."""
        name, last, _ = self._back
        report, waited_ns = self.board.report(name), now_ns - self._since_ns
        if self._sequence is None:
            relays = [one for one in self.board.model.protections if one.switch == name]
            cycle = sum(sum(one.dead_times) + one.delay * (1 + len(one.dead_times)) for one in relays) + MARGIN
            late = waited_ns > round(cycle * NANOSECONDS)
            held = waited_ns > round((cycle + sum(one.reclaim_time for one in relays)) * NANOSECONDS)
            stands_open = report is not None and report.state is SwitchState.OPEN and not report.reclosing
            if self.lease is None or self.lease.until_ns <= now_ns:
                return self._leave_back(f"; {last} stays closed, as the right to switch ended", now_ns)
            if not (stands_open and report is not None and (report.lockout or late)):
                return self._leave_back(f"; {last} stays closed, as {name} did not give up", now_ns) if held else []
            wait = float(self.board.model.switches.operating_time[self.board.model.switches.rows[last]])
            wish = opening(last, wait + self.settings.response)
            self._sequence = SwitchingSequence(self.cases[0].id[:NAMED], self.lease, [Stage("back", (wish,))])
        given: list[Record] = list(self._sequence.advance(now_ns))
        match self._sequence.progress:
            case Progress.RUNNING:
                return given
            case Progress.DONE:
                said = f"; {last} was opened again; close {name} once it is known where the fault is"
            case _:
                said = f"; {last} was to be opened again and was not: a person must see to it"
        return [*given, *self._leave_back(said, now_ns)]

    def _leave_back(self, said: str, now_ns: int) -> list[Record]:
        """End after a trip, or begin anew where another word has come meanwhile."""
        name, _, why = self._back
        again = self._again and bool(said)
        ended = self._end("tripped-again", why + said, now_ns)
        for case in self.cases:
            case.enclosed = False
            case.left_open = tuple(dict.fromkeys((*case.left_open, name)))
        if again:
            self._restart(now_ns)
        return ended

    def repaired(self, name: str, now_ns: int) -> list[Record]:
        """
        Forget a case that is repaired, or all where `name` is empty; its locks are for a person to take off.

        What is not settled ends with that, and is told; what is left is judged anew.
        """
        gone = [case for case in self.cases if name in ("", case.id, *case.also)]
        kept = [case for case in self.cases if case not in gone]
        if not gone:
            return []
        given: list[Record] = []
        if any(not case.settled for case in gone):
            given = self._end("handed-over", "it was said to be repaired before this was over", now_ns, gone=gone)
        self.cases = kept
        if not kept:
            self._plan = None
            self.ground.end()
            self._enter(Phase.IDLE, now_ns)
        elif given or any(not case.settled for case in kept):
            self._restart(now_ns)
        return given

    def remembered(self) -> Truths | None:
        """Tell where switches stood before the first of the faults that are not repaired; None for none."""
        return self.ground.closed

    def resume(self, cases: list[FaultCase], before: Truths | None, kept_open: Iterable[str] = ()) -> None:
        """Take up faults after a restart: everything is judged anew."""
        if cases:
            self.cases, self.ground.closed, self.ground.kept_open = cases, before, set(kept_open)
            for case in cases:
                case.opened_ns = None
                case.breakers.clear()
            self.phase = Phase.SETTLED if all(case.settled for case in cases) else Phase.PROTECTION

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        for case in self.cases:
            case.shift(by_ns)
        self._since_ns += by_ns if self._since_ns else 0
        self._looked_ns += by_ns
        self._done = [(name, verb, at + by_ns) for name, verb, at in self._done]
        if self._sequence is not None:
            self._sequence.shift(by_ns)

    def advance(self, now_ns: int) -> list[Record]:
        """Do what can be done now."""
        given: list[Record] = []
        self._since_ns = self._since_ns or now_ns
        steps = {
            Phase.PROTECTION: self._wait_for_protection,
            Phase.PROOF: self._prove_dead,
            Phase.PLANNING: self._make_plan,
            Phase.LEASE: self._wait_for_lease,
            Phase.SWITCHING: self._switch,
            Phase.BACK: self._open_again,
            Phase.SETTLED: self._look_again,
        }
        for _ in range(4 * len(steps)):
            phase = self.phase
            step = steps.get(phase)
            if step is None:
                break
            given += step(now_ns)
            if self.phase is phase:
                break
        return given

    # ---- the phases

    def _restart(self, now_ns: int) -> None:
        for case in self.cases:
            case.settled = False
        if self.phase in (Phase.SWITCHING, Phase.BACK):
            self._again = True
        else:
            self._enter(Phase.PROTECTION, now_ns)

    def _enter(self, phase: Phase, now_ns: int) -> None:
        self.phase, self._since_ns, self._why = phase, now_ns, ""

    def _impatient(self, now_ns: int) -> bool:
        return now_ns - self._since_ns > round(self.settings.patience * NANOSECONDS)

    def _set_aside(self, now_ns: int) -> list[Record]:
        """Leave faults out for which nothing can be waited for, where others are held up by them; tell of each."""
        if not self.handled:  # only such are left: they are waited for, as they hold up nobody
            for case in self.cases:
                case.aside = ""
        delays = {protection.switch: protection.delay for protection in self.board.model.protections}
        found: dict[str, str] = {}
        for case in self.handled:
            waited = now_ns - self._since_ns > round((delays.get(case.breaker, 0.0) + MARGIN) * NANOSECONDS)
            if not (case.live or case.enclosed) and (why := case.idle(self.board.report(case.breaker), waited=waited)):
                found[case.id] = why
        if len(found) == len(self.handled):
            return []
        given: list[Record] = []
        for case in self.handled:
            if why := found.get(case.id, ""):
                case.aside, case.told = why, True
                given.append(self._told("set-aside", why, [case], None, now_ns))
        return given

    def _wait_for_protection(self, now_ns: int) -> list[Record]:
        protections = self.board.model.protections
        given = self._set_aside(now_ns)
        for case in self.handled:
            case.enclosed = case.enclosed or is_enclosed(self.board, case)
        if taken := taken_over(self.handled, self.board, self.ground):
            return [*given, *self._end("handed-over", taken, now_ns)]
        passed = [
            case for case in self.handled if not (case.live or case.enclosed) and case.passed(protections, now_ns)
        ]
        if passed:
            return [*given, *self._let_pass(passed, now_ns)]
        waiting = still_protected(self.handled, self.board, now_ns)
        if not waiting:
            self._enter(Phase.PROOF, now_ns)
            return given
        if given or not self._impatient(now_ns):
            return given
        passed = [
            case
            for case in waiting
            if (report := self.board.report(case.breaker)) is not None and report.state is SwitchState.CLOSED
        ]
        if passed:
            return self._let_pass(passed, now_ns)
        names = ", ".join(case.breaker or "no breaker known" for case in waiting)
        return self._end("no-lockout", f"the protection did not end its sequence: {names}", now_ns)

    def _let_pass(self, passed: list[FaultCase], now_ns: int) -> list[Record]:
        self.cases = [case for case in self.cases if case not in passed]
        if not self.cases:
            return self._end("passed", "the breaker stands closed: the fault has passed", now_ns, gone=passed)
        self._enter(Phase.PROTECTION, now_ns)
        return []

    def _prove_dead(self, now_ns: int) -> list[Record]:
        if taken := taken_over(self.handled, self.board, self.ground):
            return self._end("handed-over", taken, now_ns)
        if still_protected(self.handled, self.board, now_ns):  # a breaker on the other side of a loop tripped only now
            self._enter(Phase.PROTECTION, now_ns)
            return []
        if self.board.gathering(now_ns):
            return []
        why = ""
        opened = [case.cleared_ns for case in self.handled if not case.enclosed]
        since_ns = max(opened, default=0)
        if opened and now_ns - since_ns < round(self.settings.hearing * NANOSECONDS):
            missing = self.voltages.missing(since_ns)
            if missing:
                why = f"waiting for {', '.join(missing[:5])}"
        why = self._why_alive() or why
        if not why:
            self._enter(Phase.PLANNING, now_ns)
            return []
        self._why = why
        return self._end("not-dead", why, now_ns) if self._impatient(now_ns) else []

    def _why_alive(self) -> str:
        closing_in = [case for case in self.handled if case.breaker and not (case.live or case.enclosed)]
        return why_not_dead(closing_in, self.board, self.voltages, by_meters=self.settings.by_meters)

    def _look_again(self, now_ns: int) -> list[Record]:
        """Begin anew, once, where what ended it has changed."""
        if not self._chance or now_ns - self._looked_ns < round(LOOK * NANOSECONDS):
            return []
        self._looked_ns = now_ns
        changed = self._impatient(now_ns) if self._chance == "no-lease" else not self._why_alive()
        if changed:
            self._chance, self._tried = "", True
            self._restart(now_ns)
        return []

    def _make_plan(self, now_ns: int) -> list[Record]:
        self._again = False
        try:
            network = SwitchedNetwork(self.board.now(), self.board.operable(now_ns, self.tags))
        except NetworkError as error:  # with a switch that moves or is silent, perhaps only for a moment
            why = f"no radial position can be reached by the switches that are heard: {error.problems[0]}"
            return self._end("no-plan", why, now_ns) if self._impatient(now_ns) else []
        flow = TreeFlow(network, self.demand())
        branches = tuple(dict.fromkeys(name for case in self.handled for name in case.branches))
        nodes = tuple(dict.fromkeys(name for case in self.handled for name in case.nodes))
        settings = self.settings
        kept = tuple(sorted(self.ground.kept_open))
        plan = restore(
            flow,
            branches,
            self.ground.before(self.cases),
            settings.limits,
            nodes=nodes,
            pickup=settings.pickup,
            kept_open=kept,
        )
        self._locks = locks_of(network, self.handled)
        plan = with_locks(plan, self.board, self._locks)
        self._plan, self._planned_for = plan, self.board.closed()
        self._covered = {case.id: (case.branches, case.nodes) for case in self.handled}
        times = [case.opened_ns or case.start_ns for case in self.handled]
        times += [at for _, verb, at in self._done if verb == "close"]
        against = objection(flow, plan, self.handled, self.voltages, max(times, default=0))
        given: list[Record] = [proposal_of(plan, self.board, against, now_ns, settings.patience)]
        if against or not settings.closed_loop:
            return [*given, *self._end("proposed", against or "the settings say to propose only", now_ns)]
        if not (plan.isolate or plan.to_close or unlocked(plan, self.board, self._locks)):
            return [*given, *self._end("nothing-to-do", "nothing can be brought back by switching", now_ns)]
        self._enter(Phase.LEASE, now_ns)
        return given

    def _wait_for_lease(self, now_ns: int) -> list[Record]:
        if self.lease is None or self.lease.until_ns <= now_ns:
            if self._impatient(now_ns):
                return self._end("no-lease", f"the network could not be had: {self.refusal or 'no answer'}", now_ns)
            return []
        if self._plan is None or (self.board.closed() != self._planned_for).any() or not self._obeyed(now_ns):
            self._enter(Phase.PROTECTION, now_ns)  # somebody switched, or a switch failed, while it was waited for
            return []
        name = self.cases[0].id[:NAMED]
        settings = self.settings
        stages = stages_of(self._plan, self.board, self._locks, settle=settings.settle, response=settings.response)
        self._sequence = SwitchingSequence(name, self.lease, stages)
        self._enter(Phase.SWITCHING, now_ns)
        return []

    def _obeyed(self, now_ns: int) -> bool:
        """Tell whether every switch of the plan can be counted on."""
        plan, rows = self._plan, self.board.model.switches.rows
        if plan is None:
            return False
        fit = self.board.operable(now_ns, self.tags)
        return all(fit[rows[name]] for name in (*plan.locked, *plan.to_open, *plan.to_close))

    def _switch(self, now_ns: int) -> list[Record]:
        sequence = self._sequence
        if sequence is None:
            raise RuntimeError("a sequence expected while switching, found none")
        if self._again and not sequence.waits:
            sequence.abandon()
            self._collect(sequence)
            self._enter(Phase.PROTECTION, now_ns)
            return []
        if self.lease is None or self.lease.until_ns <= now_ns:
            return self._end("lease-lost", f"the right to switch ended: {self.refusal or 'not renewed'}", now_ns)
        given: list[Record] = list(sequence.advance(now_ns))
        if sequence.progress is Progress.DONE:
            self._collect(sequence)
            if self._plan is None or (self.board.closed() == self._plan.closed).all():
                return [*given, *self._end("restored", "", now_ns)]
            return [*given, *self._try_again("switches do not stay where they were put", now_ns)]
        if sequence.progress is Progress.FAILED:
            starved = sequence.starved
            self._collect(sequence)
            if starved:
                return [*given, *self._end("lease-lost", "the right to switch this network was not renewed", now_ns)]
            self.board.bad |= sequence.failed
            given += self._try_again("too many switches did not do as they were told", now_ns)
        return given

    def _try_again(self, why: str, now_ns: int) -> list[Record]:
        """Judge everything anew, a few times."""
        self._replans += 1
        if self._replans > REPLANS:
            return self._end("failed", why, now_ns)
        self._enter(Phase.PROTECTION, now_ns)
        return []

    # ---- the end

    def _done_so_far(self) -> list[tuple[str, str, int]]:
        return [*self._done, *(self._sequence.done if self._sequence is not None else ())]

    def _collect(self, sequence: SwitchingSequence) -> None:
        self._done += sequence.done
        self._failed |= sequence.failed
        if sequence.at >= 1 or sequence.progress is Progress.DONE or sequence.stages[0].name != "isolate":
            for case in self.cases:  # the stage that encloses them was confirmed
                case.enclosed |= self._covered.get(case.id) == (case.branches, case.nodes)
        self._sequence = None

    def _locked_for(self, name: str) -> set[str]:
        """Name the cases for which a switch was to be locked, or is by its own word."""
        report = self.board.report(name)
        return self._locks.get(name, set()) | (tags_of(report.tag) if report is not None else set())

    def _end(self, outcome: str, why: str, now_ns: int, gone: list[FaultCase] | None = None) -> list[Record]:
        if self._sequence is not None:
            self._sequence.abandon()
            self._collect(self._sequence)
        self._chance = outcome if outcome in CHANCES and not (gone or self._tried) else ""
        if outcome in CHANCES:
            why += f"; {CHANCES[outcome]}" if self._chance else "; a person must see to it"
        else:
            self._tried = False
        told = self._told(outcome, why, gone, self._plan, now_ns)
        self._well = outcome == "restored"
        self.cases = [case for case in self.cases if not (case.aside and case.breaker)]  # told; it never opened
        if not self.cases:
            self.ground.end()
        for case in self.cases:
            case.settled = case.told = True
            reports = {breaker: self.board.report(breaker) for breaker in sorted(case.cleared_by)}
            case.left_open = tuple(
                breaker for breaker, said in reports.items() if said is None or said.state is not SwitchState.CLOSED
            )
        self._enter(Phase.SETTLED if self.cases else Phase.IDLE, now_ns)
        self._done, self._failed, self._replans, self._again = [], {}, 0, False
        self.board.bad.clear()
        return [told]

    def _told(
        self, outcome: str, why: str, about: list[FaultCase] | None, plan: Restoration | None, now_ns: int
    ) -> Record:
        """Write how it ended for some faults, or for all of which that is news."""
        known = {case.id for case in self.cases}
        steps = [
            (name, verb, at, sorted(known & self._locked_for(name)) if verb == OPEN else [])
            for name, verb, at in self._done
        ]
        touched = {case for *_, cases in steps for case in cases}
        cases = about or [case for case in self.cases if not case.told or case.id in touched] or self.cases
        before = self.ground.before(self.cases)
        in_the_dark = still_dark(self.board, before, plan.unserved if plan is not None else {})
        planned = plan if outcome == "proposed" else None
        return ending(
            outcome,
            why,
            cases,
            plan,
            self.board,
            done=steps,
            failed={**self.board.bad, **self._failed},
            dark=(planned.unserved, planned.unserved_customers) if planned is not None else in_the_dark,
            healthy=[name for name, reason in in_the_dark[0].items() if reason not in (FAULTED, DEAD_BEFORE)],
            now_ns=now_ns,
        )
