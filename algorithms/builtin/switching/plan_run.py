"""
The middle of it: a plan carried out order by order, and what became of each. Pure.

Where it stands: `fault_handling` gives it a plan and the lease, calls it in the phase SWITCHING, and brings what the
switches say; `restoration_steps` has written the plan as stages, `switching_sequence` gives the orders. Rules:

- A switch that does not do as it is told is not counted on, and there is another plan, a few times.
- It is over only when all switches stand where the plan has them.
- What was done, and what was not, is remembered over all plans until it is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from algorithms.api.network_operation import SwitchState
from algorithms.api.records import Record
from algorithms.api.switching import SwitchReport, tags_of
from algorithms.builtin.switching.fault_case import FaultCase
from algorithms.builtin.switching.handling_step import Phase, Step
from algorithms.builtin.switching.reconfiguration_settings import HandlingSettings
from algorithms.builtin.switching.restoration_plan import Planned
from algorithms.builtin.switching.restoration_steps import stages_of
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.switching_sequence import Lease, Progress, SwitchingSequence
from algorithms.grid.switching.restoration import Restoration

REPLANS = 4
"""Plans made anew at most after a switch did not do as it was told."""


@dataclass(slots=True)
class PlanRun:
    """
    The plan of the moment and its orders.

    Attributes
    ----------
    planned : Planned or None
        The last plan.
    sequence : SwitchingSequence or None
        The orders under way.
    """

    board: SwitchBoard
    settings: HandlingSettings
    planned: Planned | None = None
    sequence: SwitchingSequence | None = None
    _done: list[tuple[str, str, int]] = field(default_factory=list)
    _failed: dict[str, str] = field(default_factory=dict)
    _replans: int = 0

    @property
    def plan(self) -> Restoration | None:
        """The plan itself."""
        return None if self.planned is None else self.planned.plan

    @property
    def done(self) -> list[tuple[str, str, int]]:
        """Switch, verb and when it was confirmed [ns UTC], of all plans since it was last told."""
        return [*self._done, *(self.sequence.done if self.sequence is not None else ())]

    @property
    def failed(self) -> dict[str, str]:
        """Switches that did not do as they were told, with what they did."""
        return {**self.board.bad, **self._failed}

    def done_by(self, verb: str) -> list[str]:
        """Name the switches that were told so and did it, the last one last."""
        return [switch for switch, what, _ in self.done if what == verb]

    def closed_since(self) -> list[int]:
        """Tell when switches were closed by plans before this one [ns UTC]."""
        return [at for _, verb, at in self._done if verb == "close"]

    def is_out_of_date(self, tags: Sequence[str], now_ns: int) -> bool:
        """Tell whether somebody switched since it was planned, or a switch of the plan cannot be counted on."""
        planned, rows = self.planned, self.board.model.switches.rows
        if planned is None or (self.board.closed() != planned.made_for).any():
            return True
        plan, fit = planned.plan, self.board.operable(now_ns, tags)
        return not all(fit[rows[name]] for name in (*plan.locked, *plan.to_open, *plan.to_close))

    def begin(self, cases: Sequence[FaultCase], lease: Lease) -> None:
        """Make ready to give the orders of the plan."""
        if self.planned is None:
            raise RuntimeError("a plan expected before its orders, found none")
        settings = self.settings
        stages = stages_of(
            self.planned.plan, self.board, self.planned.locks, settle=settings.settle, response=settings.response
        )
        self.sequence = SwitchingSequence(cases[0].id, lease, stages, purpose=cases[0].id)

    def hear(self, name: str, report: SwitchReport, now_ns: int) -> None:
        """Take what a switch says."""
        if self.sequence is not None:
            self.sequence.hear(name, report, now_ns)

    def advance(self, cases: Sequence[FaultCase], now_ns: int) -> Step:
        """Give the orders that are due, and see how far they are [ns UTC]."""
        sequence = self.sequence
        if sequence is None:
            raise RuntimeError("a sequence expected while switching, found none")
        given: tuple[Record, ...] = tuple(sequence.advance(now_ns))
        if sequence.progress is Progress.RUNNING:
            return Step(given)
        self.collect(cases)
        if sequence.progress is Progress.DONE:
            if not self.is_undone():
                return Step(given, outcome="restored")
            return self._again("switches do not stay where they were put").after(list(given))
        if sequence.starved:
            return Step(given, outcome="lease-lost", why="the right to switch this network was not renewed")
        self.board.bad |= sequence.failed
        return self._again("too many switches did not do as they were told").after(list(given))

    def _again(self, why: str) -> Step:
        """Judge everything anew, a few times."""
        self._replans += 1
        return Step(outcome="failed", why=why) if self._replans > REPLANS else Step(to=Phase.PROTECTION)

    def is_undone(self) -> bool:
        """Tell whether switches stand otherwise than they were put, as by an order nobody waited for any more."""
        return self.plan is not None and bool((self.board.closed() != self.plan.closed).any())

    def unlocked_by_others(self, name: str, report: SwitchReport) -> bool:
        """Tell whether a switch that it opened and locked around a fault is so no longer."""
        ours = self.plan is not None and name in self.plan.locked and name in self.done_by("open")
        return ours and (report.state is SwitchState.CLOSED or not report.tag)

    def collect(self, cases: Sequence[FaultCase]) -> None:
        """Give no more orders; remember what was done, and which faults are enclosed by it."""
        sequence, covered = self.sequence, {} if self.planned is None else self.planned.covered
        if sequence is None:
            return
        self.sequence = None
        self._done += sequence.done
        self._failed |= sequence.failed
        if sequence.at >= 1 or sequence.progress is Progress.DONE or sequence.stages[0].name != "isolate":
            for case in cases:  # the stage that encloses them was confirmed
                case.enclosed |= covered.get(case.id) == (case.branches, case.nodes)

    def abandon(self, cases: Sequence[FaultCase]) -> None:
        """Give up the orders that are not given yet, and wait for none."""
        if self.sequence is not None:
            self.sequence.abandon()
            self.collect(cases)

    def locked_for(self, name: str) -> set[str]:
        """Name the cases for which a switch was to be locked, or is by its own word."""
        report, locks = self.board.report(name), {} if self.planned is None else self.planned.locks
        return locks.get(name, set()) | (tags_of(report.tag) if report is not None else set())

    def forget(self) -> None:
        """Begin anew: what was done has been told."""
        self._done, self._failed, self._replans = [], {}, 0
        self.board.bad.clear()

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        self._done = [(name, verb, at + by_ns) for name, verb, at in self._done]
        if self.sequence is not None:
            self.sequence.shift(by_ns)
