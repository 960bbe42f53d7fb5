"""
The faults of a network that are not repaired: which word is about which of them, and which are handled now. Pure.

Where it stands: `fault_handling` asks here whom a phase is about. Rules:

- A word is about a known fault by its name, by breaker and time, or by place; else it is a new fault.
- A later word counts alone as long as nothing was switched; after that its places are added, and all are enclosed.
- A fault that nothing can be waited for is set aside where it would hold up others, until its breaker opens.
"""

from dataclasses import dataclass, field

from algorithms.api.network_operation import SwitchState
from algorithms.api.network_tables import Truths
from algorithms.api.switching import Cause, SwitchReport
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.fault_case import MARGIN, FaultCase
from algorithms.builtin.switching.positions_before import PositionsBefore
from algorithms.builtin.switching.restoration_checks import is_enclosed
from algorithms.builtin.switching.switch_board import SwitchBoard

SAME = 60.0
"""Faults behind one breaker within this are one, told again with each reclosing [s]."""
NAMES = 16
"""Names of one fault that are remembered beside the first."""
MOST_CASES = 32
"""Faults of one network that are not repaired; no more are taken up."""


@dataclass(slots=True)
class KnownFaults:
    """
    The faults of one network.

    Attributes
    ----------
    board : SwitchBoard
    ground : PositionsBefore
        What stood where before them.
    cases : list of FaultCase
    """

    board: SwitchBoard
    ground: PositionsBefore
    cases: list[FaultCase] = field(default_factory=list)

    @property
    def handled(self) -> list[FaultCase]:
        """Those that are not set aside."""
        return [case for case in self.cases if not case.aside]

    @property
    def tags(self) -> tuple[str, ...]:
        """Under which switches are locked for them."""
        return tuple(case.id for case in self.cases)

    def accounted_for(self) -> set[str]:
        """Name the breakers that stand open for a fault that is known: one that trips later does so for another."""
        return set[str]().union(*(case.left_open if case.settled else case.cleared_by for case in self.cases))

    def full(self, case: FaultCase) -> bool:
        """Tell whether no more are taken, and this is another one."""
        return len(self.cases) >= MOST_CASES and not self._same(case)

    def learn(self, case: FaultCase, now_ns: int, before: Truths | None, *, switched: bool, over: bool) -> bool:
        """
        Take a word; tell whether it is news.

        Parameters
        ----------
        case : FaultCase
            The fault as this word alone has it.
        now_ns : int
            [ns UTC]
        before : numpy.ndarray or None
            Where switches stood before, shape (n_switches,), bool; None for as they stand.
        switched : bool
            Whether something was switched for the known ones since they were last settled.
        over : bool
            Whether all is restored that was: what stands now is what another fault finds.
        """
        known = next(iter(self._same(case)), None)
        if known is not None:
            return self._add(known, case, now_ns, switched=switched)
        report = self.board.report(case.breaker)
        if report is not None:
            case.watch(report, now_ns)
        if not self.cases or over:
            self.ground.begin(before)
        self.cases.append(case)
        return True

    def _same(self, case: FaultCase) -> list[FaultCase]:
        """Give the known cases that a word may be about, the likeliest first: by its id, breaker and time, or place."""
        places = set(case.branches), set(case.nodes)
        soon = [one for one in self.cases if abs(one.start_ns - case.start_ns) < SAME * NANOSECONDS]
        return [
            *(one for one in self.cases if case.id in (one.id, *one.also)),
            *(one for one in soon if one.breaker == case.breaker),
            *(one for one in self.cases if (set(one.branches), set(one.nodes)) == places and one.live == case.live),
        ]

    def _add(self, known: FaultCase, case: FaultCase, now_ns: int, *, switched: bool) -> bool:
        """Take a later word on a known fault."""
        if case.id != known.id:
            known.also = (*(name for name in known.also if name != case.id), case.id)[-NAMES:]
        branches, nodes, trusted = case.branches, case.nodes, case.trusted
        added = known.id != case.id or known.enclosed or switched
        if added:
            branches = tuple(dict.fromkeys((*known.branches, *branches)))
            nodes = tuple(dict.fromkeys((*known.nodes, *nodes)))
            trusted = known.trusted or trusted  # all places of both are enclosed, so what one is sure of is
        told_again = (branches, nodes, trusted) == (known.branches, known.nodes, known.trusted)
        if told_again and abs(known.start_ns - case.start_ns) < SAME * NANOSECONDS:
            return False
        known.branches, known.nodes, known.trusted, known.enclosed = branches, nodes, trusted, False
        if known.settled and known.closed_ns is not None:
            known.start_ns, known.closed_ns = max(known.start_ns, case.start_ns), None  # it has come back
        if case.breaker not in ("", known.breaker) and (known.settled or not added or known.opened_ns is None):
            known.breaker, known.opened_ns, known.closed_ns = case.breaker, None, None
            if (said := self.board.report(case.breaker)) is not None:
                known.watch(said, now_ns)
        known.told, known.aside = False, ""
        return True

    def watch(self, name: str, report: SwitchReport, now_ns: int) -> bool:
        """Let each fault note what a breaker says; tell whether one that was set aside is to be handled after all."""
        again = False
        for case in self.cases:
            if case.breaker == name:
                case.watch(report, now_ns)
                if case.aside and report.state is SwitchState.OPEN and report.cause is Cause.PROTECTION:
                    case.aside, case.told, again = "", False, True
            if report.state is SwitchState.CLOSED:
                case.left_open = tuple(left for left in case.left_open if left != name)
        return again

    def note_enclosed(self) -> None:
        """Note for which of them all switches around say that they are open and locked."""
        for case in self.handled:
            case.enclosed = case.enclosed or is_enclosed(self.board, case)

    def set_aside(self, waited_ns: int) -> list[FaultCase]:
        """Leave those out for which nothing can be waited for, where others are held up by them; give those."""
        if not self.handled:  # only such are left: they are waited for, as they hold up nobody
            for case in self.cases:
                case.aside = ""
        delays = {protection.switch: protection.delay for protection in self.board.model.protections}
        found: list[tuple[FaultCase, str]] = []
        for case in self.handled:
            waited = waited_ns > round((delays.get(case.breaker, 0.0) + MARGIN) * NANOSECONDS)
            if not (case.live or case.enclosed) and (why := case.idle(self.board.report(case.breaker), waited=waited)):
                found.append((case, why))
        if len(found) == len(self.handled):
            return []
        for case, why in found:
            case.aside, case.told = why, True
        return [case for case, _ in found]

    def settle(self) -> None:
        """Note that all was done that could be, and was told; leave out whom nothing ever opened for."""
        self.cases = [case for case in self.cases if not (case.aside and case.breaker)]  # told; it never opened
        if not self.cases:
            self.ground.end()
        for case in self.cases:
            case.settled = case.told = True
            reports = {breaker: self.board.report(breaker) for breaker in sorted(case.cleared_by)}
            case.left_open = tuple(
                breaker for breaker, said in reports.items() if said is None or said.state is not SwitchState.CLOSED
            )

    def unsettle(self) -> None:
        """Note that all are to be judged anew."""
        for case in self.cases:
            case.settled = False

    def begin_at(self, now_ns: int) -> None:
        """Believe no time that is remembered and has not come yet: the clock was wrong when it was noted."""
        for case in self.cases:
            case.start_ns = min(case.start_ns, now_ns)
            case.closed_ns = None if case.closed_ns is None else min(case.closed_ns, now_ns)

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        for case in self.cases:
            case.shift(by_ns)
