"""
The first phase: the protection's own sequence comes first, and nothing moves before it has given up. Pure.

Where it stands: `fault_handling` calls it in the phase PROTECTION. A fault leaves this phase when every breaker that
feeds it has locked out; it has passed when its breaker stands closed for so long that its relay has begun anew. A
breaker that a person has taken over ends everything.
"""

from algorithms.api.network_operation import SwitchState
from algorithms.builtin.switching.fault_case import FaultCase
from algorithms.builtin.switching.handling_step import STAY, Phase, Step
from algorithms.builtin.switching.known_faults import KnownFaults
from algorithms.builtin.switching.restoration_checks import still_protected, taken_over


def wait_for_protection(faults: KnownFaults, now_ns: int, *, patient: bool) -> Step:
    """
    Look whether the protection of all faults has ended its sequence.

    Parameters
    ----------
    faults : KnownFaults
    now_ns : int
        [ns UTC]
    patient : bool
        Whether it may be waited for still.
    """
    board = faults.board
    faults.note_enclosed()
    if taken := taken_over(faults.handled, board, faults.ground):
        return Step(outcome="handed-over", why=taken)
    open_to_all = [case for case in faults.handled if not (case.live or case.enclosed)]
    passed = [case for case in open_to_all if case.passed(board.model.protections, now_ns)]
    if passed:
        return _let_pass(faults, passed)
    waiting = still_protected(faults.handled, board, now_ns)
    if not waiting:
        return Step(to=Phase.PROOF)
    if patient:
        return STAY
    reports = {case.id: board.report(case.breaker) for case in waiting}
    passed = [
        case for case in waiting if (report := reports[case.id]) is not None and report.state is SwitchState.CLOSED
    ]
    if passed:
        return _let_pass(faults, passed)
    names = ", ".join(case.breaker or "no breaker known" for case in waiting)
    return Step(outcome="no-lockout", why=f"the protection did not end its sequence: {names}")


def _let_pass(faults: KnownFaults, passed: list[FaultCase]) -> Step:
    faults.cases = [case for case in faults.cases if case not in passed]
    if not faults.cases:
        why = "the breaker stands closed: the fault has passed"
        return Step(outcome="passed", why=why, gone=tuple(passed))
    return Step(to=Phase.PROTECTION)
