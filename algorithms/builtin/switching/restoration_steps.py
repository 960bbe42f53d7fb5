"""
A plan of restoration as others read it: stages of orders, and a proposal. Pure.

Where it stands: `restoration_plan` and `plan_run` decide what and when; here is only how it is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from algorithms.api.grid_records import Proposal, SwitchStep
from algorithms.api.network_tables import Truths
from algorithms.api.readings import Estimate
from algorithms.api.switching import joined_tags, tags_of
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.fault_case import FaultCase
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.switching_sequence import Stage, closing, opening
from algorithms.grid.switching.enclosing import enclosing, faulted_zones
from algorithms.grid.switching.fault_search import Trial
from algorithms.grid.switching.restoration import Restoration
from algorithms.grid.switching.switched import SwitchedNetwork

RELAY_MARGIN = 0.2
"""A trip is known so long after it, from the closing that brought it about [s]."""
TOLD = 200
"""Nodes that stay dark which are named in one record at most."""


def locks_of(network: SwitchedNetwork, cases: Sequence[FaultCase]) -> dict[str, set[str]]:
    """Name the switches around each of several faults, with the ids of the cases for which each is to be locked."""
    names, locks = network.model.switches.ids, dict[str, set[str]]()
    for case in cases:
        for row in enclosing(network, faulted_zones(network, case.branches, case.nodes)):
            locks.setdefault(names[row], set()).add(case.id)
    return locks


def with_locks(plan: Restoration, board: SwitchBoard, locks: Mapping[str, set[str]]) -> Restoration:
    """Add what parts two faults from each other: when one is repaired, the other is still enclosed."""
    between = [name for name in locks if name not in plan.locked]
    if not between:
        return plan
    rows, closed = board.model.switches.rows, plan.closed.copy()
    closed[[rows[name] for name in between]] = False
    standing = board.closed()
    opened = [name for name in between if standing[rows[name]]]
    return replace(plan, isolate=(*plan.isolate, *opened), locked=(*plan.locked, *between), closed=closed)


def slowest_relay(board: SwitchBoard, name: str, closed: Truths) -> float:
    """
    Tell how long the protection of what a switch is fed by may take to open, the switches standing so [s].

    Parameters
    ----------
    board : SwitchBoard
    name : str
        The switch.
    closed : numpy.ndarray
        Where all stand, shape (n_switches,), bool.
    """
    model = board.model
    row, network = model.switches.rows[name], SwitchedNetwork(model, np.ones(len(model.switches), dtype=bool))
    tree = network.tree(closed)
    on_the_way = {row}
    for node in (int(model.switches.from_node[row]), int(model.switches.to_node[row])):
        on_the_way |= {int(tree.edge[place]) - network.branches for place in tree.way(node)}
    times = [
        protection.delay + float(model.switches.operating_time[model.switches.rows[protection.switch]])
        for protection in model.protections
        if model.switches.rows[protection.switch] in on_the_way
    ]
    return max(times, default=0.0)


def unlocked(plan: Restoration, board: SwitchBoard, locks: Mapping[str, set[str]]) -> list[str]:
    """Name the switches around faults that are not locked yet for each fault that they enclose."""
    reports = {name: board.report(name) for name in plan.locked}
    return [
        name for name, report in reports.items() if report is None or not locks.get(name, set()) <= tags_of(report.tag)
    ]


def stages_of(
    plan: Restoration, board: SwitchBoard, locks: Mapping[str, set[str]], *, settle: float, response: float
) -> list[Stage]:
    """
    Write a plan as orders.

    Parameters
    ----------
    plan : Restoration
    board : SwitchBoard
    locks : mapping
        For which cases each switch is to be locked; what locks it already stays.
    settle : float
        After each closing the protection is watched for so long at least [s], and until the slowest relay between
        there and what feeds it would have tripped.
    response : float
        A switch answers within its operating time and this [s].
    """
    switches = board.model.switches

    def patience(name: str) -> float:
        return float(switches.operating_time[switches.rows[name]]) + response

    def tag(name: str) -> str:
        report = board.report(name)
        present = tags_of(report.tag) if report is not None else set()
        return joined_tags(present | locks.get(name, set()))

    def watch(name: str) -> float:
        return max(settle, slowest_relay(board, name, plan.closed) + RELAY_MARGIN)

    loose = unlocked(plan, board, locks)
    around = [name for name in plan.locked if name in plan.isolate or name in loose]
    stages = [
        Stage("isolate", tuple(opening(name, patience(name), tag(name)) for name in around)),
        Stage("part", tuple(opening(name, patience(name)) for name in plan.to_open)),
        *(Stage("restore", (closing(name, patience(name)),), watch(name)) for name in plan.to_close),
    ]
    return [stage for stage in stages if stage.wishes]


def proposal_of(plan: Restoration, board: SwitchBoard, against: str, now_ns: int, life: float) -> Proposal:
    """Write a plan as a proposal that is worth something for `life` [s]."""
    steps = [
        *(SwitchStep(name, "open", "the line is dead") for name in plan.isolate),
        *(SwitchStep(name, "open", "all around the fault are open and locked") for name in plan.to_open),
        *(SwitchStep(name, "closed", "all before are confirmed") for name in plan.to_close),
    ]
    return Proposal(
        kind="restoration",
        network=board.model.network,
        topology_revision=board.model.topology_revision,
        time_ns=now_ns,
        expires_ns=now_ns + round(life * NANOSECONDS),
        steps=tuple(steps),
        gain={"customers": Estimate(float(plan.restored_customers), 0.0)},
        checks={
            "radial": True,
            "limits": plan.within_limits,
            "what was drawn has a solution": not plan.assumed,
            "every way was looked at": plan.complete,
            "may be switched without a person": not against,
        },
        unserved=dict(list(plan.unserved.items())[:TOLD]),
    )


def search_of(trials: Sequence[Trial], board: SwitchBoard, breaker: str, now_ns: int, life: float) -> Proposal:
    """Write the search for an earth fault on a feeder as a proposal: a person goes along it, and closes again."""
    steps = []
    for trial in trials:
        when = "first"
        if trial.after:
            when = f"{trial.after} was opened and the fault {'went with it' if trial.gone else 'stayed'}"
        steps.append(SwitchStep(trial.switch, "open", f"{when}; {trial.customers} customers, {trial.current:.0f} A"))
    return Proposal(
        kind="earth-fault-search",
        network=board.model.network,
        topology_revision=board.model.topology_revision,
        time_ns=now_ns,
        expires_ns=now_ns + round(life * NANOSECONDS),
        steps=tuple(steps),
        checks={
            "may be switched without a person": False,
            f"feeder of {breaker or 'an unknown breaker'}": bool(breaker),
        },
    )
