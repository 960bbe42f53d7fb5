"""
How the handling of faults ended, as people are told: what was done, what stands, who is dark and why. Pure.

Where it stands: `fault_handling` asks for it wherever it ends, well or early. Rules:

- Whatever ends it early, the position it ends in is safe, and said: what was opened stays open and locked, nothing more
  is closed.
- Each step and each ending names the faults it belongs to: somebody may be told of one of them alone.
- What is dark is told by the switches' own word, whatever was planned.
"""

from collections.abc import Sequence
from typing import Any

from algorithms.api.records import Event, Severity
from algorithms.api.switching import OPEN
from algorithms.api.wire import time_text
from algorithms.builtin.switching.fault_case import FaultCase
from algorithms.builtin.switching.known_faults import KnownFaults
from algorithms.builtin.switching.plan_run import PlanRun
from algorithms.builtin.switching.restoration_checks import still_dark
from algorithms.builtin.switching.restoration_steps import TOLD
from algorithms.grid.switching.restoration import DEAD_BEFORE, FAULTED

UNTOUCHED = "as the protection left it: nothing was switched"
ENCLOSED = "the fault is enclosed and locked; what was brought back stays so, the rest stays dark"
TRIPPED = "what was opened stays open and locked; nothing more is closed, and what tripped stays dark"
HALF_OPEN = "what was opened stays open and locked; nothing was closed"
WELL = ("restored", "proposed", "passed", "nothing-to-do")
"""Endings that need nobody."""


def ending(
    outcome: str, why: str, faults: KnownFaults, run: PlanRun, now_ns: int, *, about: Sequence[FaultCase], planned: bool
) -> Event:
    """
    Write how the handling of faults ended.

    Parameters
    ----------
    outcome : str
        ``restored``, ``proposed``, ``passed``, ``nothing-to-do``, ``handed-over``, ``set-aside``; anything else went
        wrong. What was restored without anything being closed, while healthy nodes stay dark, is told as ``isolated``.
    why : str
    faults : KnownFaults
    run : PlanRun
        What was done, and the last plan.
    now_ns : int
        [ns UTC]
    about : sequence of FaultCase
        Those that this is said of; none for all of which that is news: not those that were told before and not touched
        since.
    planned : bool
        Whether the last plan has to do with it.
    """
    board, plan = faults.board, run.plan if planned else None
    known = set(faults.tags)
    done = [
        (name, verb, at, sorted(known & run.locked_for(name)) if verb == OPEN else []) for name, verb, at in run.done
    ]
    touched = {case for *_, locked in done for case in locked}
    cases = about or [case for case in faults.cases if not case.told or case.id in touched] or faults.cases
    dark, customers = still_dark(board, faults.ground.before(faults.cases), plan.unserved if plan is not None else {})
    healthy = [name for name, reason in dark.items() if reason not in (FAULTED, DEAD_BEFORE)]
    if outcome == "proposed" and plan is not None:  # what would stay dark
        dark, customers = plan.unserved, plan.unserved_customers
    closed = any(verb == "close" for _, verb, *_ in done)
    if outcome == "restored" and healthy and not closed:
        outcome = "isolated"
    evidence: dict[str, Any] = {
        "network": board.model.network,
        "cases": [case.id for case in cases],
        "outcome": outcome,
        "reason": why,
        "position": _position(outcome, opened=bool(done), closed=closed),
        "also": {name: case.id for case in cases for name in case.also},
        "steps": [
            {"switch": name, "verb": verb, "time": time_text(at), "cases": locked} for name, verb, at, locked in done
        ],
        "failed": run.failed,
        "silent": board.silent(now_ns)[:50],
        "unserved": dict(list(dark.items())[:TOLD]),
        "unserved_customers": customers,
        "restored_customers": plan.restored_customers if plan is not None and outcome == "restored" else 0,
    }
    well = outcome in WELL
    severity = Severity.NOTICE if well else Severity.CRITICAL
    if outcome in ("handed-over", "set-aside") or (well and healthy):
        severity = Severity.WARNING
    started = min((case.start_ns for case in cases), default=now_ns)
    breaker = next((case.breaker for case in cases if case.breaker), "")
    return Event("restoration", breaker, started, now_ns, severity, (), evidence)


def _position(outcome: str, *, opened: bool, closed: bool) -> str:
    """Say where the network was left."""
    match outcome:
        case "restored":
            return "restored"
        case "tripped-again":
            return TRIPPED
        case _ if closed:
            return ENCLOSED
        case _:
            return HALF_OPEN if opened else UNTOUCHED
