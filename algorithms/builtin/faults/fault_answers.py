"""
What passes between location and the rest: the meters' answers as readings, and events of what was found.

Where it stands: `fault_location` calls it; reconfiguration, the catalog and people read the events. Rules:

- An answer that cannot be true is left out with the reason; one that merely disagrees is judged by the location itself.
- An event of a place reaches from the beginning of the fault to its end, or as far as it was measured where it lasts:
  whoever records it needs no more.
- In the evidence of an event a place is ``branch``, ``from_node``, ``to_node`` and ``distance`` from the first;
  ``alternatives`` are places of the same form; ``trusted`` says whether it may be acted upon, ``doubts`` why not.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from algorithms.api.records import Event, Reply, Severity
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.faults.fault_samples import HeadPhasors
from algorithms.grid.faults.fault_impedance import Hypothesis
from algorithms.grid.faults.fault_location import Candidate, Location, Readings
from algorithms.grid.faults.feeder import Feeder, Meter

LOCATED, NOT_LOCATED = "fault-located", "fault-not-located"
PHASES = ("A", "B", "C")
PLAUSIBLE = (0.2, 2.0)
"""Voltages before a fault, share of nominal, that a working meter may tell [1]."""
HIGHEST = 3.0
"""Voltage in a fault, share of nominal, beyond which it is none [1]."""
EARLIER = 1e-3
"""Relative standard uncertainty of a voltage that an earlier fault's answer told [1]."""
LEAST_UNCERTAINTY, MOST_UNCERTAINTY = 1e-6, 0.2
"""Bounds of what a meter may state as the uncertainty of during over before [1]."""


def read_answers(
    asked: Sequence[tuple[Meter, Reply | None]], nominal: float, usual: Mapping[str, Mapping[str, float]] | None = None
) -> tuple[Readings, dict[str, str]]:
    """
    Make readings of answers.

    Parameters
    ----------
    asked : sequence of tuple
        Meters with what they answered; None for nothing yet.
    nominal : float
        Phase to neutral at the feeder [V].
    usual : mapping or None
        Voltages of the phases before, by device, where the feeder was dead before this fault and they are known from
        an earlier one [V].

    Returns
    -------
    readings : Readings
    missing : dict
        Devices whose answer could not be used, with the reason.
    """
    names: list[str] = []
    positions: list[int] = []
    rows: list[tuple[list[float], list[float], list[float]]] = []
    missing: dict[str, str] = {}
    for meter, reply in asked:
        if reply is None:
            missing[meter.device] = "no answer"
        elif reply.problems:
            missing[meter.device] = "; ".join(str(problem) for problem in reply.problems)[:300]
        else:
            payload = reply.payload if usual is None else _with_usual(reply.payload, usual.get(meter.device, {}))
            row = _row(payload, nominal)
            if row is None:
                missing[meter.device] = "an answer without plausible voltages"
            else:
                names.append(meter.device)
                positions.append(meter.position)
                rows.append(row)
    columns = np.array(rows, dtype=float).reshape(-1, 3, 3)
    readings = Readings(tuple(names), np.array(positions, dtype=np.intp), columns[:, 0], columns[:, 1], columns[:, 2])
    return readings, missing


def voltages_before(asked: Sequence[tuple[Meter, Reply | None]]) -> dict[str, dict[str, float]]:
    """Give what meters said of the voltages before, by device [V]."""
    found: dict[str, dict[str, float]] = {}
    for meter, reply in asked:
        before = None if reply is None else reply.payload.get("before")
        if isinstance(before, dict):
            values = {phase: _number(before.get(phase)) for phase in PHASES}
            found[meter.device] = {phase: value for phase, value in values.items() if math.isfinite(value)}
    return found


def _with_usual(payload: Mapping[str, Any], usual: Mapping[str, float]) -> dict[str, Any]:
    """Put voltages of an earlier fault before this one."""
    during, noise = payload.get("during"), payload.get("noise")
    if not (isinstance(during, dict) and isinstance(noise, dict)):
        return dict(payload)
    spread = {
        phase: math.hypot(_number(noise.get(phase)) / max(_number(during.get(phase)), 1.0), EARLIER) for phase in usual
    }
    return {**payload, "before": dict(usual), "uncertainty": spread}


def _row(payload: Mapping[str, Any], nominal: float) -> tuple[list[float], list[float], list[float]] | None:
    """Read one answer: before, during and uncertainty of A, B, C, NaN where not measured; None where implausible."""
    before, during, uncertainty = (payload.get(name) for name in ("before", "during", "uncertainty"))
    if not (isinstance(before, dict) and isinstance(during, dict) and isinstance(uncertainty, dict)):
        return None
    row: tuple[list[float], list[float], list[float]] = ([], [], [])
    for phase in PHASES:
        values = [_number(table.get(phase)) for table in (before, during, uncertainty)]
        one, other, spread = values
        low, high = (share * nominal for share in PLAUSIBLE)
        if not (low <= one <= high and 0.0 <= other <= HIGHEST * nominal and spread >= 0.0):
            values = [math.nan] * 3
        else:
            values[2] = min(max(spread, LEAST_UNCERTAINTY), MOST_UNCERTAINTY * max(one / max(other, 1.0), 1.0))
        for column, value in zip(row, values, strict=True):
            column.append(value)
    return row if any(math.isfinite(value) for value in row[0]) else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def located(
    feeder: Feeder,
    event: Event,
    measured: HeadPhasors,
    location: Location,
    *,
    heard: tuple[Readings, Mapping[str, str]],
    end_ns: int | None,
) -> Event:
    """Write the event of a located fault; `end_ns` is its end where that is known [ns UTC]."""
    if end_ns is None:
        end_ns = event.start_ns + round(measured.stop * NANOSECONDS)
    best = location.candidates[0]
    readings, missing = heard
    evidence = {
        "network": feeder.network,
        "model_revision": feeder.revision,
        "topology_revision": feeder.topology_revision,
        **_place(best),
        "type": str(location.hypothesis.kind),
        "current": best.current,
        "alternatives": [_place(candidate) for candidate in location.candidates[1:]],
        "trusted": location.trusted,
        "doubts": list(location.doubts),
        "meters": [name for name in readings.names if name not in location.suspects],
        "missing": dict(missing),
        "suspects": list(location.suspects),
        "objective": best.cost,
        "degrees_of_freedom": location.degrees_of_freedom,
        "load_factor": abs(location.load_factor),
        "frequency": measured.frequency,
        "window": [measured.begin, measured.stop],
    }
    return Event(
        LOCATED, event.terminal, event.start_ns, end_ns, Severity.CRITICAL, _phases(location.hypothesis), evidence
    )


def not_located(feeder: Feeder, event: Event, reason: str, end_ns: int | None = None) -> Event:
    """Write the event of a fault that could not be located; `end_ns` is its end where that is known [ns UTC]."""
    evidence = {"network": feeder.network, "trusted": False, "reason": reason}
    end_ns = event.start_ns if end_ns is None else end_ns
    return Event(NOT_LOCATED, event.terminal, event.start_ns, end_ns, Severity.CRITICAL, event.phases, evidence)


def differs(one: Location, other: Location) -> bool:
    """Tell whether another answer is worth a second event: other places, other trust, or a clearly better distance."""
    if [place.section for place in one.candidates] != [place.section for place in other.candidates]:
        return True
    if one.trusted != other.trusted:
        return True
    first, second = one.candidates[0], other.candidates[0]
    return (
        abs(first.distance - second.distance) > 0.5 * first.uncertainty or second.uncertainty < 0.7 * first.uncertainty
    )


def _phases(hypothesis: Hypothesis) -> tuple[str, ...]:
    return tuple(PHASES[phase] for phase in sorted(hypothesis.phases))


def _place(candidate: Candidate) -> dict[str, Any]:
    return {
        "branch": candidate.section,
        "from_node": candidate.from_node,
        "to_node": candidate.to_node,
        "distance": candidate.distance,
        "distance_uncertainty": candidate.uncertainty,
        "distance_from_head": candidate.from_head,
        "fault_resistance": candidate.resistance,
    }
