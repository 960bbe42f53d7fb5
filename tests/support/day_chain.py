"""
Estimation of `day_grid` in three levels, chained as agents would: concentrators, low voltage, medium voltage.

Where it stands: `benchmarks/se_day.py` runs it over a day. Each area is cut out of the network as the catalog cuts
it, and has an `Estimator` of its own. What goes up is what a `GridState` carries: |V| at the head, P and Q into the
area by phase, each with its own standard uncertainty and nothing of how they hang together; below a winding without
zero sequence, |V| between phases, and the sums of P and Q besides.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_area import Areas, below_id
from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_reader import parse
from algorithms.grid.estimation.beforehand import Anchor
from algorithms.grid.estimation.estimate import Estimate
from algorithms.grid.estimation.least_squares import Estimator
from algorithms.grid.estimation.measurement import PAIRS, PHASES, Measurement, Quantity
from tests.support.day_grid import CABINETS, CUSTOMERS, SUBSTATIONS, day_document, day_of_demand
from tests.support.exact_circuit import Circuit
from tests.support.exact_rows import measured
from tests.support.metering import Accuracy, at_customers, expected_power, flows_at, truths, voltages_at

UNBALANCE = {"c": 0.03, "lv": 0.01, "mv": 0.01}
"""Of the sources above, as the three plug-ins assume by default [1]."""
LEAST_POWER = 20.0
"""Uncertainty of a household's power is relative to no less than this [W, var]."""


class Area:
    """One area with its estimator; readings are looked up by the id of their measurement."""

    def __init__(self, name: str, document: NetworkDocument, meters: list[Measurement]) -> None:
        self.name, self.level = name, name.split("-", maxsplit=1)[0]
        self.model: NetworkModel = parse(document)
        own = document.areas[0]
        self.head, self.blocked = own.head, self.level == "lv"
        self.measurements = [*meters, *(m for one in document.areas[1:] for m in self._below(one.id, one.head))]
        unbalance = UNBALANCE[self.level]
        anchor = Anchor(negative_sequence=unbalance, zero_sequence=unbalance)
        self.estimator = Estimator(self.model, self.measurements, anchor=anchor)
        self.at_head = self.model.nodes.rows[self.head]
        self.source = self.model.sources.ids[0]

    def _below(self, name: str, head: str) -> list[Measurement]:
        medium = self.level == "mv"
        usual = float(np.abs(expected_power(self.model)).max())
        load = below_id(name)
        found = [
            Measurement(f"{name}.voltage.{key}", Quantity.VOLTAGE, head, key, 1.0)
            for key in (PAIRS if medium else PHASES)
        ]
        for quantity in (Quantity.P, Quantity.Q):
            keys = (*PHASES, "ABC") if medium else PHASES
            found += [Measurement(f"{name}.{quantity}.{key}", quantity, load, key, 0.01 * usual) for key in keys]
        return found

    def estimate(self, readings: dict[str, tuple[float, float]], prior: Any = None, u_prior: Any = None) -> Estimate:
        nothing = (np.nan, 1.0)
        table = np.array([readings.get(one.id, nothing) for one in self.measurements])
        values, uncertainty = np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
        return self.estimator.estimate(values, uncertainty, prior=prior, u_prior=u_prior)

    def equivalent(self, found: Estimate) -> dict[str, tuple[float, float]]:
        """Give what goes up."""
        told = {}
        flow = found.flow(self.source)
        if self.blocked:
            across, u, _ = found.line_voltages(np.array([self.at_head]))
            for key, value, sigma in zip(PAIRS, across[0], u[0], strict=True):
                told[f"{self.name}.voltage.{key}"] = (abs(value), float(sigma))
            told[f"{self.name}.p.ABC"] = (-float(flow.p.sum()), flow.u_total[0])
            told[f"{self.name}.q.ABC"] = (-float(flow.q.sum()), flow.u_total[1])
        else:
            for column, key in enumerate(PHASES):
                size = float(np.abs(found.phase_voltages[self.at_head, column]))
                told[f"{self.name}.voltage.{key}"] = (size, float(found.u_magnitude[self.at_head, column]))
        for column, key in enumerate(flow.phases):
            told[f"{self.name}.p.{key}"] = (-float(flow.p[column]), float(flow.u_p[column]))
            told[f"{self.name}.q.{key}"] = (-float(flow.q[column]), float(flow.u_q[column]))
        return told


@dataclass
class Tally:
    """Errors of one level, gathered."""

    voltage: list[Any] = field(default_factory=list)
    inside: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, quantity: str, error: Any, sigma: Any) -> None:
        self.inside.setdefault(quantity, []).append(np.abs(error) <= 2 * sigma + 1e-9)

    def share(self, quantity: str) -> float:
        """Give how many of the truths lay within two standard uncertainties [%]."""
        return 100 * float(np.mean(np.concatenate([one.ravel() for one in self.inside[quantity]])))

    @property
    def largest(self) -> float:
        """Give the largest error of |V| [%]."""
        return max(float(np.abs(one).max()) for one in self.voltage)

    @property
    def rms(self) -> float:
        """Give the RMS error of |V| [%]."""
        return float(np.sqrt(np.mean(np.concatenate([one.ravel() for one in self.voltage]) ** 2)))


class Day:
    """The grid, its true day, and its areas."""

    def __init__(self, minutes: Any, seed: int = 1) -> None:
        self.minutes = np.asarray(minutes)
        document = msgspec.convert(day_document(seed), NetworkDocument)
        self.model = parse(document)
        demand = day_of_demand(self.model, seed)
        self.demand, self.power = demand, demand[self.minutes]
        self.voltages = truths(self.model, self.power)
        self.circuit = Circuit(self.model)
        cut = Areas(document)
        self.areas = {
            one.id: Area(one.id, cut.cut(one.id), self._meters(one.id, cut.cut(one.id))) for one in document.areas
        }
        self._read()

    def _meters(self, name: str, part: NetworkDocument) -> list[Measurement]:
        """Want customers' meters at concentrators, the busbar's |V| below, the primary's and plants' meters above."""
        model = parse(part)
        below = {below_id(area.id) for area in part.areas[1:]}
        wanted = at_customers(model, without=below)
        if name.startswith("lv"):
            wanted += voltages_at(model, f"s{name[3:]}-bus")
        if name == "mv":
            wanted += [*voltages_at(model, "primary"), *flows_at(model, "grid")]
        return [Measurement(f"{p}.{q}.{k}", q, p, k, 1.0, end) for q, p, k, end in wanted]

    def _read(self) -> None:
        """Read every meter without error, and every flow that is compared, for all minutes."""
        meters = {one.id: one for area in self.areas.values() for one in area.measurements if one.place in self._places}
        flows = []
        for number in range(1, SUBSTATIONS + 1):
            flows += _flow(f"transformer-{number}", 0) + _flow(f"transformer-{number}", 1)
            for cabinet in range(1, CABINETS + 1):
                for line in self._services(number, cabinet):
                    flows += _flow(line, 0)
        flows += [one for name in self.areas["mv"].model.branches.ids for one in _flow(name, 0)]
        flows += _flow("grid", 0)
        everything = [*meters.values(), *flows]
        table = measured(self.circuit, everything, self.voltages, self.power)
        self.true = {one.id: table[:, column] for column, one in enumerate(everything)}
        self.meter_ids = list(meters)

    @property
    def _places(self) -> set[str]:
        tables = (self.model.nodes, self.model.loads, self.model.generators, self.model.sources)
        return {name for table in tables for name in table.ids}

    def _services(self, number: int, cabinet: int) -> list[str]:
        cabinet_id = f"c{number}-{cabinet}"
        return [f"{cabinet_id}-{cabinet_id}-{customer}" for customer in range(1, CUSTOMERS + 1)]

    def into(self, name: str, quantity: str, phase: str, step: int) -> float:
        """Give the true power that an area draws at its head [W, var]."""
        parts = name.split("-")
        if parts[0] == "lv":
            return float(self.true[f"transformer-{parts[1]}.{quantity}.{phase}.0"][step])
        lines = self._services(int(parts[1]), int(parts[2]))
        return float(sum(self.true[f"{line}.{quantity}.{phase}.0"][step] for line in lines))

    def sigma(self, accuracy: Accuracy) -> dict[str, Any]:
        """Give the standard uncertainty of every reading of every meter."""
        found = {}
        kinds = {one.id: one for area in self.areas.values() for one in area.measurements}
        for name in self.meter_ids:
            found[name] = accuracy.standard(kinds[name].quantity, self.true[name], LEAST_POWER)
        return found


def _flow(name: str, end: int) -> list[Measurement]:
    return [
        Measurement(f"{name}.{quantity}.{phase}.{end}", quantity, name, phase, 1.0, end)
        for quantity in (Quantity.P, Quantity.Q, Quantity.CURRENT)
        for phase in PHASES
    ]
