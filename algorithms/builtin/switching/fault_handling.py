"""
From a located fault to service restored: waits for the protection, proves the line dead, isolates, restores. Pure.

Where it stands: the core of the reconfiguration plug-in on a fault; the plug-in brings reports, frames and the lease,
and sends what this gives back. Here is only the order of things: `handling_step` draws the phases and names the room
that does the work of each, `known_faults` says whom they are about, and `restoration_end` how it ended.

Rules:

- Several faults are one case to plan for: all their places are enclosed, each switch locked for those it encloses. A
  new one, or a switch that moved by itself, lets the order under way finish, then everything is judged anew from the
  first phase.
- People come first. A breaker that somebody opened or locked ends it; a switch that somebody opened since is not
  closed, and what that made dead stays dead.
- Whatever ends it early, the position it ends in is safe, and said.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from algorithms.api.network_operation import SwitchState
from algorithms.api.network_tables import Truths
from algorithms.api.records import Record
from algorithms.api.switching import Cause, SwitchReport
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.after_trip import AfterTrip
from algorithms.builtin.switching.dead_proof import DeadProof
from algorithms.builtin.switching.fault_case import FaultCase
from algorithms.builtin.switching.handling_step import STAY, Phase, Step
from algorithms.builtin.switching.known_faults import KnownFaults
from algorithms.builtin.switching.plan_run import PlanRun
from algorithms.builtin.switching.positions_before import PositionsBefore
from algorithms.builtin.switching.protection_wait import wait_for_protection
from algorithms.builtin.switching.reconfiguration_settings import HandlingSettings
from algorithms.builtin.switching.restoration_checks import may_feed
from algorithms.builtin.switching.restoration_end import ending
from algorithms.builtin.switching.restoration_plan import make_plan
from algorithms.builtin.switching.second_chance import SecondChance
from algorithms.builtin.switching.supply_watch import SupplyWatch
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.switching_sequence import Lease
from algorithms.builtin.switching.voltage_watch import VoltageWatch
from algorithms.grid.switching.tree_flow import Demand


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
    refusal : str
        Why it is not.
    """

    board: SwitchBoard
    voltages: VoltageWatch
    settings: HandlingSettings
    demand: Callable[[], Demand | None]
    ground: PositionsBefore
    phase: Phase = Phase.IDLE
    lease: Lease | None = None
    refusal: str = ""
    known: KnownFaults = field(init=False)
    _proof: DeadProof = field(init=False)
    _run: PlanRun = field(init=False)
    _since_ns: int = 0
    _well: bool = False
    _again: bool = False
    _trip: AfterTrip | None = None
    _chance: SecondChance = field(default_factory=SecondChance)
    _supply: SupplyWatch = field(init=False)

    def __post_init__(self) -> None:
        self.known = KnownFaults(self.board, self.ground)
        self._proof = DeadProof(self.known, self.voltages, self.settings)
        self._run = PlanRun(self.board, self.settings)
        self._supply = SupplyWatch(self.board, self.voltages, self.settings.aftercare)

    @property
    def wants_lease(self) -> bool:
        """Whether the right to switch is needed now."""
        return self.phase in (Phase.LEASE, Phase.SWITCHING, Phase.BACK)

    @property
    def cases(self) -> list[FaultCase]:
        """Every fault that is not repaired."""
        return self.known.cases

    # ---- what happens

    def take(self, case: FaultCase, now_ns: int, before: Truths | None = None) -> None:
        """Take a word on a fault [ns UTC]; `before` says where switches stood then, None for as they stand."""
        switched = bool(self._run.done) or self.phase is Phase.SWITCHING
        over = self.phase is Phase.SETTLED and self._well
        if self.known.learn(case, now_ns, before, switched=switched, over=over):
            self._chance.renew()
            self._restart(now_ns)

    def moved(self, name: str, before: SwitchReport | None, report: SwitchReport, now_ns: int) -> list[Record]:
        """Take what a switch says; give what it brings to an end."""
        moved, taken = self.ground.note(name, before, report, self.cases)
        ours = self.ground.ours(report, self.cases)
        self._again |= taken and self.phase is Phase.SWITCHING and not ours
        if self.known.watch(name, report, now_ns):
            self._restart(now_ns)
        self._run.hear(name, report, now_ns)
        if self.phase is Phase.SETTLED and self._well and moved and ours and self._run.is_undone():
            self._restart(now_ns)
        if self.phase is not Phase.SWITCHING or before is None or self._run.plan is None:
            return []
        if moved and report.state is SwitchState.OPEN and report.cause is Cause.PROTECTION:
            if closed := [one for one in self._run.done_by("close") if may_feed(self.board, name, one)]:
                return self._tripped_again(AfterTrip(name, closed[-1]), now_ns)
            self._again = True  # it tripped for another fault
        if self._run.unlocked_by_others(name, report):
            return self._end("disturbed", f"{name} was locked open and is no longer", now_ns)
        self._again |= moved and not ours
        return []

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
        self.known.cases = kept
        if not kept:
            self._run.planned = None
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
            self.known.cases, self.ground.closed, self.ground.kept_open = cases, before, set(kept_open)
            for case in cases:
                case.opened_ns = None
                case.breakers.clear()
                case.reclosed.clear()
            self.phase = Phase.SETTLED if all(case.settled for case in cases) else Phase.PROTECTION

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        self.known.shift(by_ns)
        self._since_ns += by_ns if self._since_ns else 0
        self._chance.shift(by_ns)
        self._supply.shift(by_ns)
        self._run.shift(by_ns)

    # ---- the phases

    def advance(self, now_ns: int) -> list[Record]:
        """Do what can be done now."""
        given: list[Record] = []
        self._since_ns = self._since_ns or now_ns
        rooms = {
            Phase.PROTECTION: self._protection,
            Phase.PROOF: lambda now: self._proof.prove(now, patient=self._patient(now)),
            Phase.PLANNING: self._planning,
            Phase.LEASE: self._right_to_switch,
            Phase.SWITCHING: self._switching,
            Phase.BACK: self._back,
            Phase.SETTLED: self._settled,
        }
        for _ in range(4 * len(rooms)):
            phase = self.phase
            room = rooms.get(phase)
            if room is None:
                break
            step = room(now_ns)
            given += step.given
            if step.outcome:
                given += self._end(step.outcome, step.why, now_ns, gone=step.gone)
            elif step.to is not None:
                self._enter(step.to, now_ns)
            if self.phase is phase:
                break
        return given

    def _protection(self, now_ns: int) -> Step:
        aside = self.known.set_aside(now_ns - self._since_ns)
        told: list[Record] = [self._told("set-aside", case.aside, [case], now_ns, planned=False) for case in aside]
        patient = bool(aside) or self._patient(now_ns)
        return wait_for_protection(self.known, now_ns, patient=patient).after(told)

    def _planning(self, now_ns: int) -> Step:
        self._again = False
        run, settings = self._run, self.settings
        planned = make_plan(
            self.known, self.voltages, settings, demand=self.demand(), closed_since=run.closed_since(), now_ns=now_ns
        )
        if isinstance(planned, str):
            return STAY if self._patient(now_ns) else Step(outcome="no-plan", why=planned)
        run.planned = planned
        given = (planned.proposal,)
        if planned.against or not settings.closed_loop:
            return Step(given, outcome="proposed", why=planned.against or "the settings say to propose only")
        if planned.idle:
            return Step(given, outcome="nothing-to-do", why="nothing can be brought back by switching")
        return Step(given, to=Phase.LEASE)

    def _right_to_switch(self, now_ns: int) -> Step:
        lease = self._usable(now_ns)
        if lease is None:
            why = f"the network could not be had: {self.refusal or 'no answer'}"
            return STAY if self._patient(now_ns) else Step(outcome="no-lease", why=why)
        if self._run.is_out_of_date(self.known.tags, now_ns):
            return Step(to=Phase.PROTECTION)  # somebody switched, or a switch failed, while it was waited for
        self._run.begin(self.cases, lease)
        return Step(to=Phase.SWITCHING)

    def _switching(self, now_ns: int) -> Step:
        sequence = self._run.sequence
        if self._again and sequence is not None and not sequence.waits:
            self._run.abandon(self.cases)
            return Step(to=Phase.PROTECTION)
        if self._usable(now_ns) is None:
            return Step(outcome="lease-lost", why=f"the right to switch ended: {self.refusal or 'not renewed'}")
        return self._run.advance(self.cases, now_ns)

    def _back(self, now_ns: int) -> Step:
        if self._trip is None:
            raise RuntimeError("a trip expected before what was closed is opened again, found none")
        given, said = self._trip.advance(self._run, self.cases[0].id, self.lease, self._since_ns, now_ns)
        return Step((*given, *(self._leave_back(said, now_ns) if said else ())))

    def _settled(self, now_ns: int) -> Step:
        if self._chance.comes(now_ns, patient=self._patient(now_ns), alive=self._proof.why_alive):
            self._restart(now_ns)
        return Step(tuple(self._supply.look(self.cases, now_ns)))

    # ---- going on and ending

    def _usable(self, now_ns: int) -> Lease | None:
        return self.lease if self.lease is not None and self.lease.until_ns > now_ns else None

    def _patient(self, now_ns: int) -> bool:
        return now_ns - self._since_ns <= round(self.settings.patience * NANOSECONDS)

    def _enter(self, phase: Phase, now_ns: int) -> None:
        self.phase, self._since_ns = phase, now_ns

    def _restart(self, now_ns: int) -> None:
        """Judge everything anew, once what is under way is over."""
        self.known.unsettle()
        self._supply.end()
        if self.phase in (Phase.SWITCHING, Phase.BACK):
            self._again = True
        else:
            self._enter(Phase.PROTECTION, now_ns)

    def _tripped_again(self, trip: AfterTrip, now_ns: int) -> list[Record]:
        """Stop; where another feeder now trips for the fault, part it from that again."""
        self._run.abandon(self.cases)
        self._trip = trip
        if trip.is_dead:
            return self._leave_back("", now_ns)
        self._enter(Phase.BACK, now_ns)
        return []

    def _leave_back(self, said: str, now_ns: int) -> list[Record]:
        """End after a trip, or begin anew where another word has come meanwhile."""
        trip, again = self._trip, self._again and bool(said)
        if trip is None:
            return []
        ended = self._end("tripped-again", trip.why + said, now_ns)
        for case in self.cases:
            case.enclosed = False
            case.left_open = tuple(dict.fromkeys((*case.left_open, trip.breaker)))
        if again:
            self._restart(now_ns)
        return ended

    def _end(self, outcome: str, why: str, now_ns: int, gone: Sequence[FaultCase] = ()) -> list[Record]:
        self._run.abandon(self.cases)
        why += self._chance.offer(outcome, told_of_some=bool(gone))
        told = self._told(outcome, why, gone, now_ns)
        self._well = outcome == "restored"
        self._supply.begin(self._run.done_by("close") if self._well else (), now_ns)
        self.known.settle()
        self._enter(Phase.SETTLED if self.cases else Phase.IDLE, now_ns)
        self._again = False
        self._run.forget()
        return [told]

    def _told(self, outcome: str, why: str, about: Sequence[FaultCase], now_ns: int, *, planned: bool = True) -> Record:
        return ending(outcome, why, self.known, self._run, now_ns, about=about, planned=planned)
