"""
A change of open points as others read it: what it gains, the proposal, and the event that tells how it ended. Pure.

Where it stands: `loss_watch` decides when; here is only how it is written.
"""

from collections.abc import Sequence

from algorithms.api.grid_records import Proposal, SwitchStep
from algorithms.api.network import NetworkModel
from algorithms.api.readings import Estimate
from algorithms.api.records import Event, Severity
from algorithms.api.wire import NANOSECONDS, time_text
from algorithms.builtin.switching.reconfiguration_settings import LossSettings
from algorithms.grid.switching.reconfiguration import Figures, Objective, Reconfiguration
from algorithms.grid.switching.switching_order import Move

Done = tuple[str, str, int]
"""Switch, verb and when it was confirmed [ns UTC]."""

_kinds = {
    Objective.LOSSES: "loss-reduction",
    Objective.VOLTAGE: "voltage-support",
    Objective.GENERATION: "local-generation",
}


def exchange_proposal(
    found: Reconfiguration,
    ordered: Sequence[Move] | None,
    settings: LossSettings,
    model: NetworkModel,
    *,
    gain: float,
    cost: float,
    now_ns: int,
) -> Proposal:
    """
    Write another position as a proposal.

    Parameters
    ----------
    found : Reconfiguration
    ordered : sequence of Move or None
        The exchanges that lead there; None where none keep the limits on the way.
    settings : LossSettings
    model : NetworkModel
    gain : float
        Relative improvement [1].
    cost : float
        Customer-seconds without supply [s].
    now_ns : int
        [ns UTC]
    """
    made = tuple(ordered or ())
    steps: list[SwitchStep] = []
    for move in made:
        close = SwitchStep(move.close, "closed", f"the loop would carry {move.closed_onto:.0f} A")
        opened = SwitchStep(move.open, "open", move.reason or f"breaks {move.broken:.0f} A")
        steps += [close, opened] if move.make_before_break else [opened, close]
    return Proposal(
        kind=_kinds[settings.objective],
        network=model.network,
        topology_revision=model.topology_revision,
        time_ns=now_ns,
        expires_ns=now_ns + round(max(settings.interval, 60.0) * NANOSECONDS),
        steps=tuple(steps),
        gain={
            "relative": Estimate(gain, 0.0),
            "losses": Estimate(found.before.losses - found.after.losses, 0.0),
            "deviation": Estimate(found.before.deviation - found.after.deviation, 0.0),
            "exported": Estimate(found.before.exported - found.after.exported, 0.0),
            "customer-seconds": Estimate(-cost, 0.0),
        },
        checks={
            "radial": True,
            "limits": not found.broken,
            "limits on the way": ordered is not None,
            "no loop that must not be closed": bool(made) and all(move.make_before_break for move in made),
            "interruption": ordered is not None and cost <= settings.interruption,
            "every position was tried": found.exact,
        },
    )


def exchange_ending(
    outcome: str, why: str, network: str, done: Sequence[Done], *, half: bool, times: tuple[int, int]
) -> Event:
    """
    Write how a change ended.

    Parameters
    ----------
    outcome, why, network : str
    done : sequence of tuple
        Switch, verb and when it was confirmed [ns UTC].
    half : bool
        Whether an exchange was under way when it was interrupted.
    times : tuple of int
        When it began and ended [ns UTC].
    """
    interrupted = "an exchange is half done: what is done about the fault counts with that"
    position = {
        "changed": "as proposed",
        "undone": "the exchange that failed was taken back; those before it stay",
        "failed": "the exchanges before the one that failed stay",
        "half-way": "an exchange is half done: look at the steps",
        "interrupted": interrupted if half else "as it stood then",
        "no-lease": "nothing was switched",
        "superseded": "nothing was switched",
    }[outcome]
    evidence = {
        "network": network,
        "outcome": outcome,
        "reason": why,
        "position": position,
        "steps": [{"switch": name, "verb": verb, "time": time_text(at)} for name, verb, at in done],
    }
    severity = Severity.NOTICE if outcome == "changed" else Severity.WARNING
    severity = Severity.CRITICAL if outcome == "half-way" else severity
    return Event("reconfiguration", network, *times, severity, (), evidence)


def relative_gain(found: Reconfiguration, objective: Objective) -> float:
    """Give the improvement of what a position is to serve, relative to the present; 1 where it mends a broken limit."""
    if found.before.excess > 1e-6 and found.after.excess < 0.5 * found.before.excess:
        return 1.0
    if found.after.excess > found.before.excess + 1e-9:
        return 0.0
    before, after = _value(found.before, objective), _value(found.after, objective)
    return 1.0 - after / before if before > 0.0 else 0.0


def _value(figures: Figures, objective: Objective) -> float:
    match objective:
        case Objective.LOSSES:
            return figures.losses
        case Objective.VOLTAGE:
            return figures.deviation
        case Objective.GENERATION:
            return figures.exported
