"""
After a trip in the middle of restoring: what was closed last is opened again, once the relay that tripped has given up.

Where it stands: `fault_handling` makes one when a breaker trips after a closing, and calls it in the phase BACK. The
fault is then elsewhere too, or a switch is not where it says: nothing more is closed. The relay's own sequence comes
first here as well; what parts the fault from the other feeder is opened dead. Pure.
"""

from dataclasses import dataclass

from algorithms.api.network_operation import SwitchState
from algorithms.api.records import Record
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.fault_case import MARGIN
from algorithms.builtin.switching.plan_run import PlanRun
from algorithms.builtin.switching.switching_sequence import Lease, Progress, Stage, SwitchingSequence, opening


@dataclass(frozen=True, slots=True)
class AfterTrip:
    """
    A trip while service was restored.

    Attributes
    ----------
    breaker : str
        Which tripped.
    closed_last : str
        What had been closed last.
    """

    breaker: str
    closed_last: str

    @property
    def why(self) -> str:
        """What is told of it."""
        return (
            f"{self.breaker} tripped after {self.closed_last} was closed: "
            "the fault is elsewhere too, or a switch is not where it says"
        )

    @property
    def is_dead(self) -> bool:
        """Whether nothing is to be opened again: what tripped is what was closed."""
        return self.breaker == self.closed_last

    def advance(
        self, run: PlanRun, case: str, lease: Lease | None, since_ns: int, now_ns: int
    ) -> tuple[list[Record], str]:
        """
        Open what was closed last, once the breaker has given up.

        Parameters
        ----------
        run : PlanRun
            Takes the orders.
        case : str
            After which they are named.
        lease : Lease or None
        since_ns, now_ns : int
            Of the trip, and now [ns UTC].

        Returns
        -------
        given : list of Record
        said : str
            What is told at the end of it; empty while it goes on.
        """
        if run.sequence is None:
            if lease is None or lease.until_ns <= now_ns:
                return [], f"; {self.closed_last} stays closed, as the right to switch ended"
            given_up, hopeless = self._given_up(run, now_ns - since_ns)
            if not given_up:
                said = f"; {self.closed_last} stays closed, as {self.breaker} did not give up"
                return [], said if hopeless else ""
            switches = run.board.model.switches
            patience = float(switches.operating_time[switches.rows[self.closed_last]]) + run.settings.response
            stage = Stage("back", (opening(self.closed_last, patience),))
            run.sequence = SwitchingSequence(case, lease, [stage], purpose=case)
        given: list[Record] = list(run.sequence.advance(now_ns))
        match run.sequence.progress:
            case Progress.RUNNING:
                return given, ""
            case Progress.DONE:
                said = (
                    f"; {self.closed_last} was opened again; close {self.breaker} once it is known where the fault is"
                )
            case _:
                said = f"; {self.closed_last} was to be opened again and was not: a person must see to it"
        return given, said

    def _given_up(self, run: PlanRun, waited_ns: int) -> tuple[bool, bool]:
        """Tell whether the breaker stands open for good, and whether it need not be waited for any more."""
        report = run.board.report(self.breaker)
        relays = [one for one in run.board.model.protections if one.switch == self.breaker]
        cycle = sum(sum(one.dead_times) + one.delay * (1 + len(one.dead_times)) for one in relays) + MARGIN
        late = waited_ns > round(cycle * NANOSECONDS)
        hopeless = waited_ns > round((cycle + sum(one.reclaim_time for one in relays)) * NANOSECONDS)
        stands_open = report is not None and report.state is SwitchState.OPEN and not report.reclosing
        return stands_open and report is not None and (report.lockout or late), hopeless
