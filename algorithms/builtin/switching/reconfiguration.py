"""
The network reconfigurator: isolates faults and restores service, and moves open points where that saves losses.

Where it stands: an algorithm on an agent without a board. Grid states, located faults, switches' reports and meters'
frames come in from neighbours; proposals, commands and what became of them go out. Its two halves are `fault_handling`
and `loss_watch`, and `lease_keeping` has the right to switch; this file only brings them what they need.

Rules:

- It only proposes unless the settings say *closed loop*.
- It gives orders only under a lease of its network that every switch has confirmed, and gives it back when there is
  nothing to switch.
- A fault ends the work on losses, and as long as a fault is not reported repaired, losses are left alone.
- Its own clock alone, which ticks bring, moves time: what others say of the time may be wrong. Where that clock is set,
  every time that is waited for moves with it.
- A fault that is taken up, and what people open since, is kept at once: nobody says it again.
- What is meant is kept before the first order of an exchange is given; after a restart what is half made is taken back.
- After a restart everything else is judged anew from where the switches stand; a plan is never taken up half-way.
"""

import contextlib
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import NetworkError, Problem, SettingsError
from algorithms.api.grid_records import GridState
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import (
    Command,
    Event,
    Kind,
    MeasurementFrame,
    Record,
    Reply,
    Result,
)
from algorithms.api.samples import SampleBlock
from algorithms.api.settings import problems_of, read_settings
from algorithms.api.switching import read_report
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.fault_case import NO_SECTION, head_of, read_fault
from algorithms.builtin.switching.fault_handling import FaultHandling
from algorithms.builtin.switching.handling_step import Phase
from algorithms.builtin.switching.known_faults import MOST_CASES
from algorithms.builtin.switching.lease_keeping import LeaseKeeping
from algorithms.builtin.switching.loss_watch import LossWatch
from algorithms.builtin.switching.positions_before import PositionsBefore
from algorithms.builtin.switching.reconfiguration_memory import ReconfigurationMemory, read_memory
from algorithms.builtin.switching.reconfiguration_settings import (
    SETTINGS,
    handling_settings,
    loss_settings,
    problems_between,
)
from algorithms.builtin.switching.restoration_steps import search_of
from algorithms.builtin.switching.state_demand import demand_of
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.untold_trips import UntoldTrips
from algorithms.builtin.switching.voltage_watch import VoltageWatch
from algorithms.grid.switching.fault_search import Trial, search
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import Demand, TreeFlow

REPAIRED = "repaired"
"""Verb of the command that ends a case; its argument ``case`` names it, or is left out for all."""
SET_BACK, STALLED = 1.0, 5.0
"""A tick so much earlier or later than the one before means that the clock was set [s]."""
STATES = 16
"""Grid states remembered, to know what was drawn before a fault."""
EARLY = 1024
"""Records kept that come before the first tick."""


class Reconfiguration(Algorithm):
    """Isolation, restoration and reconfiguration of one network."""

    info: ClassVar[AlgorithmInfo] = AlgorithmInfo(
        name="reconfiguration",
        version="1.0.0",
        summary="Isolates located faults, restores what is healthy, and moves open points where that saves losses.",
        consumes=(Kind.GRID_STATE, Kind.EVENT, Kind.RESULT, Kind.FRAME, Kind.REPLY, Kind.COMMAND),
        produces=(Kind.PROPOSAL, Kind.COMMAND, Kind.EVENT, Kind.REQUEST),
        settings=SETTINGS,
        needs_network=True,
        time_budget=0.5,
        tick_interval=0.1,
        checkpoint_interval=10.0,
    )

    def start(self, context: Context, restored: bytes | None) -> None:
        """Read the settings and prepare the network; see `Algorithm.start`."""
        problems = problems_of(self.info.settings, self.settings)
        problems += problems_between(self.settings) if not problems else []
        if context.network is None:
            problems.append(Problem("network", "a network model", "none", "assign the device to a network"))
        if problems or context.network is None:
            raise SettingsError(problems)
        values = read_settings(self.info.settings, self.settings)
        model = context.network
        try:
            SwitchedNetwork(model)
        except NetworkError as error:  # it cannot be radial
            raise SettingsError(error.problems) from error
        self._device, self._area, self._model = context.device, str(values["area"]), model
        self._board = SwitchBoard(model, values["silence"])
        self._voltages = VoltageWatch(model)
        self._demands: deque[tuple[int, Demand]] = deque(maxlen=STATES)
        self._faults = FaultHandling(
            self._board, self._voltages, handling_settings(values), self._demand, PositionsBefore(self._board)
        )
        ground = self._faults.ground
        self._losses = LossWatch(self._board, loss_settings(values), lambda report: ground.ours(report, ()))
        self._untold = UntoldTrips(self._board)
        self._lost: list[Event] = []
        self._leases = LeaseKeeping(context.device, self._board, values["response"])
        ground.tokens = self._leases.tokens
        self._now_ns = 0
        self._early: deque[SampleBlock | Record] = deque(maxlen=EARLY)
        if restored is not None:
            self._restore(restored)

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        """Take what neighbours say; return proposals, commands and what became of them."""
        if not self._now_ns:  # what the time is, the first tick says
            self._early.append(record)
            return ()
        given: list[Record] = []
        match record:
            case MeasurementFrame():
                if not self._voltages.hear(record, self._now_ns) or self._faults.phase is not Phase.PROOF:
                    return ()
            case Result():
                given += self._hear(record)
            case Event():
                given += self._take(record)
            case GridState():
                given += self._look(record)
            case Reply():
                known = tuple(self._leases.tokens)
                self._leases.replied(record, self._now_ns)
                self.keep_now |= known != tuple(self._leases.tokens)  # by them it knows its own orders again
            case Command() if record.verb == REPAIRED and record.recipient == self._device:
                given += self._faults.repaired(str(record.arguments.get("case", "")), self._now_ns)
                self.keep_now = True
            case _:
                return ()
        return [*given, *self._advance()]

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Let time pass."""
        first, passed_ns = not self._now_ns, now_ns - self._now_ns
        if not first and not -SET_BACK * NANOSECONDS <= passed_ns <= STALLED * NANOSECONDS:
            self._shift(passed_ns - round(self.info.tick_interval * NANOSECONDS))
        self._now_ns = max(self._now_ns, now_ns)
        given: list[Record] = []
        if first:
            self._faults.known.begin_at(now_ns)
            self._losses.begin_at(now_ns)
            for record in self._early:
                given += self.process(record)
            self._early.clear()
        return [*given, *self._advance()]

    def checkpoint(self) -> bytes:
        """Return the faults that are not repaired and the exchange under way; everything else is judged anew."""
        before = self._faults.remembered()
        memory = ReconfigurationMemory(
            network=self._model.network,
            cases=tuple(self._faults.cases),
            before=tuple(before.tolist()) if before is not None else (),
            kept_open=tuple(sorted(self._faults.ground.kept_open)),
            asked=self._leases.asked,
            changed_ns=self._losses.changed_ns,
            tokens=tuple(self._leases.tokens),
            exchange=self._losses.remembered(),
        )
        return msgspec.msgpack.encode(memory)

    # ---- what comes in

    def _shift(self, by_ns: int) -> None:
        """Go on by a clock that was set, as though it had always stood so."""
        self._now_ns += by_ns
        for one in (self._board, self._voltages, self._faults, self._losses, self._leases, self._untold):
            one.shift(by_ns)
        self._demands = deque(((at + by_ns, demand) for at, demand in self._demands), STATES)

    def _hear(self, record: Result) -> list[Record]:
        if read_report(record) is None:
            return []
        before, report = self._board.hear(record, self._now_ns)
        if report is None:
            return []
        self._leases.hear(record.terminal, report, self._now_ns)
        self._losses.hear(record.terminal, report, self._now_ns)
        kept_open = set(self._faults.ground.kept_open)
        given = self._faults.moved(record.terminal, before, report, self._now_ns)
        self.keep_now |= self._faults.ground.kept_open != kept_open  # people's openings outlive it too
        return given

    def _take(self, event: Event) -> list[Record]:
        before = self._losses.before_exchange()
        standing = self._faults.ground.snapshot() if before is None else before
        case, problem = read_fault(event, self._model, standing, self._faults.remembered())
        if case is None and problem == NO_SECTION:
            return self._search(event)
        if case is None:
            return [self._unfit(event, problem)] if problem else []
        if self._faults.known.full(case):
            return [self._unfit(event, f"{MOST_CASES} faults are known: say which of them are repaired", "not-taken")]
        case.start_ns = min(case.start_ns, self._now_ns)
        given = self._losses.interrupt(self._now_ns)
        self._faults.take(case, self._now_ns, before)
        self.keep_now = True  # the word of a fault comes once
        return given

    def _search(self, event: Event) -> list[Record]:
        """Propose how to find the section of an earth fault of which only the feeder is known."""
        breaker = head_of(event, self._model, self._faults.ground.snapshot())
        trials: Sequence[Trial] = ()
        if breaker:
            with contextlib.suppress(NetworkError):  # no search where the switches that are heard leave a loop
                network = SwitchedNetwork(self._board.now(), self._board.operable(self._now_ns))
                trials = search(TreeFlow(network, self._newest_demand()), breaker)
        patience = self._faults.settings.patience
        return [
            search_of(trials, self._board, breaker, self._now_ns, patience),
            self._unfit(event, NO_SECTION, "section-unknown"),
        ]

    def _unfit(self, event: Event, problem: str, outcome: str = "not-understood") -> Event:
        evidence = {"network": self._model.network, "outcome": outcome, "reason": problem}
        return Event("restoration", event.terminal, event.start_ns, event.start_ns, event.severity, (), evidence)

    def _look(self, state: GridState) -> list[Record]:
        if (self._area and state.area != self._area) or not state.converged:
            return []
        demand = demand_of(state, self._model)
        self._demands.append((min(state.time_ns, self._now_ns), demand))
        if self._faults.cases or state.topology_revision != self._model.topology_revision:
            return []  # it was estimated with switches that stood otherwise
        return self._losses.look(demand, self._now_ns)

    def _newest_demand(self) -> Demand | None:
        return self._demands[-1][1] if self._demands else None

    def _demand(self) -> Demand | None:
        """Give what was drawn before the first fault, as far as it is known."""
        start = min((case.start_ns for case in self._faults.cases), default=self._now_ns)
        before = [demand for time_ns, demand in self._demands if time_ns < start]
        return before[-1] if before else None

    # ---- what is done

    def _advance(self) -> list[Record]:
        self._faults.lease = self._losses.lease = self._leases.lease
        self._faults.refusal = self._losses.refusal = self._leases.refusal
        meant = self._losses.remembered()
        given = [*self._lost, *self._faults.advance(self._now_ns), *self._losses.advance(self._now_ns)]
        self.keep_now |= self._losses.remembered() != meant  # before the orders go out, and once they are done with
        self.keep_now |= any(isinstance(one, Event) for one in given)  # what is told to be over is not begun again
        self._lost.clear()
        given += self._untold.look(self._faults.known.accounted_for(), self._now_ns)
        return [*given, *self._leases.keep(self._now_ns, wanted=self._faults.wants_lease or self._losses.wants_lease)]

    # ---- what is kept

    def _restore(self, restored: bytes) -> None:
        memory = read_memory(restored, self._model.network)
        self._leases.asked = memory.asked
        self._leases.tokens[:] = memory.tokens
        known, self._lost = memory.faults(self._model)
        # Where there are faults, what is half made counts as where it stands, as for any fault that comes in between.
        self._losses.resume(None if known else memory.exchange, memory.changed_ns)
        self._faults.resume(known, memory.positions(self._model), memory.kept(self._model))
