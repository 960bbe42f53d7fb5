"""
The third phase: one plan for all faults, from where the switches stand and which of them obey. Pure.

Where it stands: `fault_handling` calls it in the phase PLANNING; `grid.switching.restoration` finds what to open and
close, and `plan_run` carries it out. Here it is decided whether it may be, and for which faults each switch is locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from algorithms.api.errors import NetworkError
from algorithms.api.grid_records import Proposal
from algorithms.api.network_tables import Truths
from algorithms.builtin.switching.known_faults import KnownFaults
from algorithms.builtin.switching.reconfiguration_settings import HandlingSettings
from algorithms.builtin.switching.restoration_checks import objection
from algorithms.builtin.switching.restoration_steps import locks_of, proposal_of, unlocked, with_locks
from algorithms.builtin.switching.voltage_watch import VoltageWatch
from algorithms.grid.switching.restoration import Restoration, restore
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import Demand, TreeFlow


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """
    A plan, and all that was known when it was made.

    Attributes
    ----------
    plan : Restoration
    locks : dict
        Switches around faults, with the cases for which each is to be locked.
    made_for : numpy.ndarray
        Where switches stood, shape (n_switches,), bool.
    covered : dict
        Branches and nodes of each case that are enclosed by it.
    proposal : Proposal
    against : str
        What forbids to switch without a person.
    idle : bool
        Whether there is nothing to do.
    """

    plan: Restoration
    locks: dict[str, set[str]]
    made_for: Truths
    covered: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    proposal: Proposal
    against: str
    idle: bool


def make_plan(
    faults: KnownFaults,
    voltages: VoltageWatch,
    settings: HandlingSettings,
    *,
    demand: Demand | None,
    closed_since: Sequence[int],
    now_ns: int,
) -> Planned | str:
    """
    Plan for all faults that are handled.

    Parameters
    ----------
    faults : KnownFaults
    voltages : VoltageWatch
    settings : HandlingSettings
    demand : Demand or None
        What was drawn before the faults; None for what the model expects.
    closed_since : sequence of int
        When switches were closed for these faults [ns UTC]: what meters saw before tells nothing of now.
    now_ns : int
        [ns UTC]

    Returns
    -------
    Planned, or str
        Why none can be made now, with a switch that moves or is silent, perhaps only for a moment.
    """
    board, cases = faults.board, faults.handled
    try:
        network = SwitchedNetwork(board.now(), board.operable(now_ns, faults.tags))
    except NetworkError as error:
        return f"no radial position can be reached by the switches that are heard: {error.problems[0]}"
    flow = TreeFlow(network, demand)
    plan = restore(
        flow,
        tuple(dict.fromkeys(name for case in cases for name in case.branches)),
        faults.ground.before(faults.cases),
        settings.limits,
        nodes=tuple(dict.fromkeys(name for case in cases for name in case.nodes)),
        pickup=settings.pickup,
        kept_open=tuple(sorted(faults.ground.kept_open)),
    )
    locks = locks_of(network, cases)
    plan = with_locks(plan, board, locks)
    times = [case.opened_ns or case.start_ns for case in cases]
    against = objection(flow, plan, cases, voltages, max([*times, *closed_since], default=0))
    return Planned(
        plan=plan,
        locks=locks,
        made_for=board.closed(),
        covered={case.id: (case.branches, case.nodes) for case in cases},
        proposal=proposal_of(plan, board, against, now_ns, settings.patience),
        against=against,
        idle=not (plan.isolate or plan.to_close or unlocked(plan, board, locks)),
    )
