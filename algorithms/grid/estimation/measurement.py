"""
What meters tell an estimator: which quantity, where, on which phases, and how sure.

Where it stands: plug-ins turn frames of meters and states of neighbouring areas into `Measurement`; `observation`
writes them as equations; `least_squares` solves.

Rules:

- Values are SI: |V|, |I| RMS in V and A, angles in rad, P and Q in W and var, positive from the node into the
  equipment (CIM), at the equipment's own terminal.
- A phase letter means phase to neutral, or to earth where the node has no neutral; two letters mean phase to phase.
- A meter of one phase gives measurements of that phase; nothing is made up for the others.
- Every fault of a list of measurements is found at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite

import numpy as np

from algorithms.api.errors import Problem
from algorithms.api.network import NetworkModel
from algorithms.api.network_equipment import Connection
from algorithms.api.network_tables import Table


class Quantity(StrEnum):
    """What is measured."""

    VOLTAGE = "voltage"
    """Magnitude [V]."""
    VOLTAGE_ANGLE = "voltage-angle"
    """Of a synchrophasor [rad]."""
    CURRENT = "current"
    """Magnitude, into the equipment [A]."""
    CURRENT_ANGLE = "current-angle"
    """Of a synchrophasor [rad]."""
    P = "p"
    """Active power into the equipment [W]."""
    Q = "q"
    """Reactive power into the equipment [var]."""


VOLTAGES = (Quantity.VOLTAGE, Quantity.VOLTAGE_ANGLE)
POWERS = (Quantity.P, Quantity.Q)
PHASES = ("A", "B", "C")
PAIRS = ("AB", "BC", "CA")
ALL = "ABC"
_BITS = {"A": 1, "B": 2, "C": 4}
_AT_NODES = ("node",)


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    One number that a meter tells each scan.

    Attributes
    ----------
    id : str
        Names it in findings, such as ``m-17.voltage.A``; no two bear the same.
    quantity : Quantity
    place : str
        A node for voltages; for the others the equipment the current flows into (load, generator, branch,
        transformer, source), or a node for all that its loads and generators draw.
    phases : str
        ``A``, ``B``, ``C``; ``AB``, ``BC``, ``CA`` for voltages between phases and for loads between them; ``ABC``
        for the sum of powers.
    uncertainty : float
        Standard uncertainty to be expected, in the unit of the quantity.
    end : int
        0 at `from_node` of a branch or transformer, 1 at `to_node`.
    """

    id: str
    quantity: Quantity
    place: str
    phases: str
    uncertainty: float
    end: int = 0


def check_measurements(model: NetworkModel, measurements: Sequence[Measurement]) -> list[Problem]:
    """Find everything wrong with a list of measurements of a network."""
    tables = _tables(model)
    phases = {name: _phases(model, name) for name in tables}
    odd = set(_not_plain(measurements, tables, phases))
    if not odd and len({measurement.id for measurement in measurements}) == len(measurements):
        return []
    problems: list[Problem] = []
    seen: set[str] = set()
    conductors = _conductors(model)
    for index, measurement in enumerate(measurements):
        if index not in odd and measurement.id not in seen:
            seen.add(measurement.id)
            continue
        where = f"measurements[{measurement.id or index}]"
        if measurement.id in seen:
            problems.append(Problem(where, "a name of its own", "one used twice"))
        seen.add(measurement.id)
        problems += _of_one(model, measurement, where, tables, conductors)
    return problems


def _not_plain(
    measurements: Sequence[Measurement], tables: dict[str, Table], phases: dict[str, list[int]]
) -> Iterator[int]:
    """Give those that are not of one phase, or not right: all others need no closer look, and are nearly all."""
    kinds = [(tables[kind].rows, phases[kind]) for kind in tables]
    nodes, at_nodes = tables["node"].rows, phases["node"]
    for index, one in enumerate(measurements):
        there = 0
        if one.quantity is Quantity.VOLTAGE or one.quantity is Quantity.VOLTAGE_ANGLE:
            row = nodes.get(one.place)
            there = 0 if row is None else at_nodes[row]
        else:
            for rows, at in kinds:
                row = rows.get(one.place)
                if row is not None:
                    there = at[row]
                    break
        if not (there & _BITS.get(one.phases, 0) and 0.0 < one.uncertainty < inf and one.end in (0, 1)):
            yield index


def _phases(model: NetworkModel, kind: str) -> list[int]:
    """Give the phases of equipment of a kind as sums of `_BITS`; none for what stands between phases."""
    if kind in ("load", "generator"):
        table = model.loads if kind == "load" else model.generators
        wye = np.array([each != Connection.DELTA for each in table.connection], dtype=bool)
        there = table.connected & wye[:, np.newaxis]
    elif kind in ("branch", "transformer"):
        there = (model.branches if kind == "branch" else model.transformers).conductors
    else:
        there = model.nodes.conductors[model.sources.node if kind == "source" else slice(None)]
    found: list[int] = (there[:, :3] @ np.array(list(_BITS.values()))).tolist()
    return found


def _of_one(
    model: NetworkModel,
    measurement: Measurement,
    where: str,
    tables: dict[str, Table],
    conductors: dict[str, list[list[bool]]],
) -> Iterator[Problem]:
    if not (isfinite(measurement.uncertainty) and measurement.uncertainty > 0):
        yield Problem(f"{where}.uncertainty", "more than 0", f"{measurement.uncertainty}", "state its standard value")
    voltage = measurement.quantity in VOLTAGES
    allowed = (*PHASES, *PAIRS) if voltage else (*PHASES, *PAIRS, ALL)
    if measurement.phases not in allowed or (measurement.phases == ALL and measurement.quantity not in POWERS):
        yield Problem(f"{where}.phases", f"one of {', '.join(allowed)}", measurement.phases)
        return
    kinds = _AT_NODES if voltage else tuple(tables)
    kind = next((name for name in kinds if measurement.place in tables[name].rows), None)
    if kind is None:
        expected = "a node" if voltage else "a load, generator, branch, transformer, source or node"
        yield Problem(f"{where}.place", f"{expected} of the network", measurement.place)
        return
    if measurement.end not in (0, 1):
        yield Problem(f"{where}.end", "0 or 1", str(measurement.end))
    row = tables[kind].rows[measurement.place]
    if kind in ("load", "generator"):
        table = model.loads if kind == "load" else model.generators
        columns = [ALL.index(measurement.phases[0])] if measurement.phases != ALL else [0, 1, 2]
        delta = table.connection[row] == Connection.DELTA
        if measurement.phases != ALL and delta != (len(measurement.phases) == 2):
            expected = "a pair of phases, as it is connected between phases" if delta else "one phase"
            yield Problem(f"{where}.phases", expected, measurement.phases)
        elif not table.connected[row, columns].any():
            yield Problem(f"{where}.phases", f"phases that {measurement.place} has", measurement.phases)
    elif not voltage and len(measurement.phases) == 2:
        yield Problem(f"{where}.phases", "one phase, or ABC", measurement.phases, "only loads stand between phases")
    elif not _has(conductors[kind][row], measurement):
        yield Problem(f"{where}.phases", f"phases that {measurement.place} has", measurement.phases)


def _tables(model: NetworkModel) -> dict[str, Table]:
    return {
        "load": model.loads,
        "generator": model.generators,
        "branch": model.branches,
        "transformer": model.transformers,
        "source": model.sources,
        "node": model.nodes,
    }


def _conductors(model: NetworkModel) -> dict[str, list[list[bool]]]:
    return {
        "node": model.nodes.conductors.tolist(),
        "branch": model.branches.conductors.tolist(),
        "transformer": model.transformers.conductors.tolist(),
        "source": model.nodes.conductors[model.sources.node].tolist(),
    }


def _has(conductors: list[bool], measurement: Measurement) -> bool:
    there = [conductors[ALL.index(letter)] for letter in measurement.phases]
    return any(there) if measurement.phases == ALL else all(there)
