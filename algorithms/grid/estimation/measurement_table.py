"""
A list of measurements in columns: what each is at, by number; and everything wrong with such a list.

Where it stands: `least_squares` makes and judges it once for a metering; `observation` and `beforehand` read it, so
that what many meters tell is worked through at once.

Rules:

- Where a name stands for equipment of several kinds, the first of `KINDS` is meant; voltages are at nodes.
- Every fault of a list of measurements is found at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from operator import attrgetter

import numpy as np

from algorithms.api.errors import Problem
from algorithms.api.network import NetworkModel
from algorithms.api.network_equipment import Connection
from algorithms.api.network_tables import Floats, Integers, Table, Truths
from algorithms.grid.estimation.measurement import ALL, PAIRS, PHASES, POWERS, VOLTAGES, Measurement, Quantity

NONE = -1
KINDS = ("load", "generator", "branch", "transformer", "source", "node")
QUANTITIES = tuple(Quantity)
LEADS = (*PHASES, *PAIRS, ALL)
"""What the phases of a measurement may be; the first three are one phase, the next three a pair."""
_columns = attrgetter("quantity", "place", "phases", "uncertainty", "end")


@dataclass(frozen=True, slots=True, eq=False)
class MeasurementTable:
    """
    Measurements in columns of shape (m,).

    Attributes
    ----------
    quantity : numpy.ndarray
        Place in `QUANTITIES`.
    kind, row : numpy.ndarray
        Place in `KINDS` of the equipment it is at, and its row there; `NONE` where there is none of its name.
    leads : numpy.ndarray
        Place in `LEADS`, `NONE` for anything else.
    uncertainty : numpy.ndarray
        In the unit of the quantity.
    end : numpy.ndarray
        0 or 1, of a branch or transformer; `NONE` for anything else.
    """

    quantity: Integers
    kind: Integers
    row: Integers
    leads: Integers
    uncertainty: Floats
    end: Integers

    def of(self, *quantities: Quantity) -> Truths:
        """Tell which are of one of these quantities, shape (m,)."""
        return np.array([each in quantities for each in QUANTITIES])[self.quantity]


def tabulate(model: NetworkModel, measurements: Sequence[Measurement]) -> MeasurementTable:
    """Put measurements of a network in columns, whatever is wrong with them."""
    columns = list(zip(*map(_columns, measurements), strict=True)) or [()] * 5
    quantities, places, phases, uncertainty, end = columns
    numbers = {each: number for number, each in enumerate(QUANTITIES)}
    quantity = np.array([numbers[each] for each in quantities], dtype=np.intp)
    voltage = np.array([each in VOLTAGES for each in QUANTITIES])[quantity]
    kind, row = np.full((2, len(places)), NONE, dtype=np.intp)
    for kinds, wanted in ((KINDS[-1:], voltage), (KINDS, ~voltage)):
        left = np.flatnonzero(wanted)
        for each in kinds:
            rows = _table(model, each).rows
            found = np.array([rows.get(places[index], NONE) for index in left.tolist()], dtype=np.intp)
            kind[left[found != NONE]], row[left] = KINDS.index(each), found
            left = left[found == NONE]
            if not len(left):
                break
    letters = {name: number for number, name in enumerate(LEADS)}
    leads = np.array([letters.get(name, NONE) for name in phases], dtype=np.intp)
    ends = np.array([each if each in (0, 1) else NONE for each in end], dtype=np.intp)
    return MeasurementTable(quantity, kind, row, leads, np.array(uncertainty, dtype=float), ends)


def check_measurements(
    model: NetworkModel, measurements: Sequence[Measurement], table: MeasurementTable
) -> list[Problem]:
    """Find everything wrong with a list of measurements of a network."""
    plain = _plain(model, table)
    if plain.all() and len({measurement.id for measurement in measurements}) == len(measurements):
        return []
    problems: list[Problem] = []
    seen: set[str] = set()
    conductors = {kind: _conductors(model, kind) for kind in KINDS[2:]}
    for index, measurement in enumerate(measurements):
        if plain[index] and measurement.id not in seen:
            seen.add(measurement.id)
            continue
        where = f"measurements[{measurement.id or index}]"
        if measurement.id in seen:
            problems.append(Problem(where, "a name of its own", "one used twice"))
        seen.add(measurement.id)
        at = KINDS[table.kind[index]], int(table.row[index])  # no row, no kind, whichever is named
        problems += _of_one(model, measurement, where, at, conductors)
    return problems


def _plain(model: NetworkModel, table: MeasurementTable) -> Truths:
    """Tell which are of one phase and right: these need no closer look, and are nearly all, shape (m,)."""
    plain: Truths = (table.leads >= 0) & (table.leads < len(PHASES)) & ((table.end == 0) | (table.end == 1))
    plain &= (table.row != NONE) & (table.uncertainty > 0.0) & (table.uncertainty < inf)
    for number, kind in enumerate(KINDS):
        at = np.flatnonzero(plain & (table.kind == number))
        if len(at):
            plain[at] = _phases(model, kind)[table.row[at], table.leads[at]]
    return plain


def _phases(model: NetworkModel, kind: str) -> Truths:
    """Tell which phases equipment of a kind has; none for what stands between phases, shape (n, 3)."""
    if kind not in ("load", "generator"):
        return np.asarray(_conductors(model, kind)[:, :3])
    table = model.loads if kind == "load" else model.generators
    wye = np.array([each != Connection.DELTA for each in table.connection], dtype=bool)
    return np.asarray(table.connected & wye[:, np.newaxis])


def _of_one(
    model: NetworkModel, measurement: Measurement, where: str, at: tuple[str, int], conductors: dict[str, Truths]
) -> Iterator[Problem]:
    kind, row = at
    if not (isfinite(measurement.uncertainty) and measurement.uncertainty > 0):
        yield Problem(f"{where}.uncertainty", "more than 0", f"{measurement.uncertainty}", "state its standard value")
    voltage = measurement.quantity in VOLTAGES
    allowed = LEADS[:6] if voltage else LEADS
    if measurement.phases not in allowed or (measurement.phases == ALL and measurement.quantity not in POWERS):
        yield Problem(f"{where}.phases", f"one of {', '.join(allowed)}", measurement.phases)
        return
    if row == NONE:
        expected = "a node" if voltage else "a load, generator, branch, transformer, source or node"
        yield Problem(f"{where}.place", f"{expected} of the network", measurement.place)
        return
    if measurement.end not in (0, 1):
        yield Problem(f"{where}.end", "0 or 1", str(measurement.end))
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
    elif not _has(conductors[kind][row].tolist(), measurement):
        yield Problem(f"{where}.phases", f"phases that {measurement.place} has", measurement.phases)


def _table(model: NetworkModel, kind: str) -> Table:
    tables: dict[str, Table] = {
        "load": model.loads,
        "generator": model.generators,
        "branch": model.branches,
        "transformer": model.transformers,
        "source": model.sources,
        "node": model.nodes,
    }
    return tables[kind]


def _conductors(model: NetworkModel, kind: str) -> Truths:
    """Tell which conductors branches, transformers, sources or nodes have, shape (n, 4)."""
    if kind in ("branch", "transformer"):
        return (model.branches if kind == "branch" else model.transformers).conductors
    return model.nodes.conductors[model.sources.node if kind == "source" else slice(None)]


def _has(conductors: list[bool], measurement: Measurement) -> bool:
    there = [conductors[ALL.index(letter)] for letter in measurement.phases]
    return any(there) if measurement.phases == ALL else all(there)
