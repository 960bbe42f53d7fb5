"""
Meters upon a network whose true state another engine found: what they would tell without error, and noisy draws of it.

Where it stands: judges of the estimator start here. Truth is power-grid-model's, or OpenDSS's where there are neutrals
or loads between phases; readings follow from the truth by `exact_circuit`. Nothing comes from `algorithms.grid` but the
form of a measurement.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.grid.estimation.measurement import Measurement, Quantity
from tests.support.exact_circuit import Circuit
from tests.support.exact_rows import measured
from tests.support.network_engines import power_grid_model_input
from tests.support.opendss import solved_by_opendss


@dataclass(frozen=True)
class Truth:
    """Voltages to earth, shape (n_nodes, 4) [V], and powers drawn, shape (n_loads + n_generators, 3) [VA]."""

    voltages: Any
    power: Any


def expected_power(model: NetworkModel) -> Any:
    """Give what loads, then generators, are expected to draw, shape (n_loads + n_generators, 3) [VA]."""
    return np.concatenate([table.p + 1j * table.q for table in (model.loads, model.generators)])


def with_power(model: NetworkModel, power: Any) -> NetworkModel:
    """Give the model with other loads and generators."""
    split = len(model.loads)
    return replace(
        model,
        loads=replace(model.loads, p=power[:split].real, q=power[:split].imag),
        generators=replace(model.generators, p=power[split:].real, q=power[split:].imag),
    )


def truths(model: NetworkModel, powers: Any, *, tolerance: float = 1e-9) -> Any:
    """
    Give voltages for many demands by power-grid-model, loads of constant power, shape (s, n_nodes, 4) [V].

    Parameters
    ----------
    model : NetworkModel
        Without neutral conductors and loads between phases.
    powers : numpy.ndarray
        Shape (s, n_loads + n_generators, 3) [VA].
    tolerance : float
        Of a voltage, relative to nominal [1].
    """
    from power_grid_model import ComponentType, DatasetType, PowerGridModel, initialize_array

    data = power_grid_model_input(model)
    engine = PowerGridModel(data, system_frequency=model.frequency)
    split = len(model.loads)
    update = {}
    for kind, part, sign in (
        (ComponentType.asym_load, powers[:, :split], 1.0),
        (ComponentType.asym_gen, powers[:, split:], -1.0),
    ):
        if part.shape[1]:
            update[kind] = initialize_array(DatasetType.update, kind, part.shape[:2])
            update[kind]["id"] = data[kind]["id"]
            update[kind]["p_specified"], update[kind]["q_specified"] = sign * part.real, sign * part.imag
    result = engine.calculate_power_flow(
        symmetric=False,
        error_tolerance=tolerance,
        max_iterations=100,
        update_data=update or None,
        threading=-1,
        output_component_types=[ComponentType.node],
    )[ComponentType.node]
    voltages = np.zeros((len(powers), len(model.nodes), 4), dtype=complex)
    voltages[:, :, :3] = result["u"] * np.exp(1j * result["u_angle"])
    return voltages


def find_truth(model: NetworkModel, power: Any = None) -> Truth:
    """Give the state of a network, by power-grid-model where it can, by OpenDSS otherwise; powers as they are drawn."""
    power = expected_power(model) if power is None else power
    neutral = model.nodes.conductors[:, 3].any() or not (model.branches.conductors[:, :3]).all()
    pairs = any(kind == "delta" for table in (model.loads, model.generators) for kind in table.connection)
    steady = with_power(model, power)
    steady = replace(
        steady,
        loads=replace(steady.loads, exponents=np.zeros((len(model.loads), 2))),
        generators=replace(steady.generators, exponents=np.zeros((len(model.generators), 2))),
    )
    voltages = solved_by_opendss(steady) if neutral or pairs else truths(steady, power[np.newaxis])[0]
    return Truth(voltages, power)


@dataclass(frozen=True)
class Accuracy:
    """
    Of meters, relative to the reading [1], with a floor.

    Attributes
    ----------
    voltage, p, q, current : float
    angle : float
        [rad]
    limit : bool
        Whether these are limits of error, uniformly distributed (standard uncertainty: limit / sqrt 3), not standard
        uncertainties.
    fixed : bool
        Whether the error of each meter stays the same over all draws, not drawn anew for each reading.
    least : float
        Readings of power and current count as at least this share of the largest of their kind [1].
    """

    voltage: float = 0.01
    p: float = 0.01
    q: float = 0.02
    current: float = 0.01
    angle: float = 1e-3
    limit: bool = False
    fixed: bool = False
    least: float = 0.01

    def standard(self, quantity: Quantity, values: Any, floor: Any = 0.0) -> Any:
        """Give standard uncertainties of readings of one kind."""
        share = 1 / math.sqrt(3) if self.limit else 1.0
        if quantity == Quantity.VOLTAGE:
            return share * self.voltage * np.abs(values)
        if quantity in {Quantity.VOLTAGE_ANGLE, Quantity.CURRENT_ANGLE}:
            return np.full(len(values), share * self.angle)
        relative = {Quantity.P: self.p, Quantity.Q: self.q, Quantity.CURRENT: self.current}[quantity]
        return share * relative * np.maximum(np.abs(values), floor)

    def errors(self, rng: np.random.Generator, sigma: Any, count: int) -> Any:
        """Draw errors, shape (count, m)."""
        size = (1 if self.fixed else count, len(sigma))
        drawn = rng.uniform(-math.sqrt(3), math.sqrt(3), size) if self.limit else rng.standard_normal(size)
        return np.broadcast_to(drawn * sigma, (count, len(sigma)))


Wanted = tuple[Quantity, str, str, int]
"""Quantity, place, phases, end."""


@dataclass(frozen=True)
class Metering:
    """
    Meters on a truth.

    Attributes
    ----------
    measurements : tuple of Measurement
    values, sigma : numpy.ndarray
        Without error, and standard uncertainty, shape (m,).
    prior, u_prior : numpy.ndarray
        Truth, and standard uncertainty of what is known of loads beforehand (sigma_P + j sigma_Q).
    """

    measurements: tuple[Measurement, ...]
    values: Any
    sigma: Any
    truth: Truth
    prior: Any
    u_prior: Any
    accuracy: Accuracy

    def draw(self, rng: np.random.Generator, count: int) -> Any:
        """Give noisy readings, shape (count, m)."""
        return self.values + self.accuracy.errors(rng, self.sigma, count)

    def draw_priors(self, rng: np.random.Generator, count: int) -> Any:
        """Give what is expected of loads, as uncertain as stated, shape (count, n, 3) [VA]."""
        shape = (count, *self.prior.shape)
        u_p, u_q = (np.where(np.isfinite(u), u, 0.0) for u in (self.u_prior.real, self.u_prior.imag))
        return self.prior + rng.standard_normal(shape) * u_p + 1j * rng.standard_normal(shape) * u_q

    def rows(self, *places: str) -> list[int]:
        """Give the measurements at some places."""
        return [index for index, one in enumerate(self.measurements) if one.place in places]


def metered(
    model: NetworkModel,
    truth: Truth,
    wanted: Sequence[Wanted],
    accuracy: Accuracy = Accuracy(),
    *,
    prior_share: float = 0.5,
) -> Metering:
    """
    Put meters where they are wanted.

    What is expected of loads has a standard uncertainty of `prior_share` of their true apparent power, and no less than
    a tenth of the mean one.
    """
    forms = [Measurement(_name(*one), one[0], one[1], one[2], 1.0, one[3]) for one in dict.fromkeys(wanted)]
    values = measured(Circuit(model), forms, truth.voltages, truth.power)
    sigma = np.zeros(len(forms))
    apparent = np.abs(truth.power)
    typical = float(apparent[apparent > 0].mean()) if apparent.any() else 1.0
    kinds = np.array([one.quantity for one in forms], dtype=object)
    for quantity in set(kinds):
        at = kinds == quantity
        floor = accuracy.least * ((np.abs(values[at]).max() or 1.0) if quantity == Quantity.CURRENT else typical * 10)
        sigma[at] = accuracy.standard(quantity, values[at], floor)
    forms = [replace(one, uncertainty=float(s)) for one, s in zip(forms, sigma, strict=True)]
    size = prior_share * np.maximum(apparent, 0.1 * typical)
    connected = np.concatenate([model.loads.connected, model.generators.connected])
    u_prior = np.where(connected, size + 1j * size, 0.0)
    return Metering(tuple(forms), values, sigma, truth, truth.power, u_prior, accuracy)


def _name(quantity: Quantity, place: str, phases: str, end: int) -> str:
    return f"{place}.{quantity}.{phases}" + (f".{end}" if end else "")


def at_customers(
    model: NetworkModel,
    *,
    without: Iterable[str] = (),
    voltage: bool = True,
    powers: bool = True,
    all_phases: bool = False,
) -> list[Wanted]:
    """
    Want |V|, P and Q where loads and generators are, phase by phase.

    Parameters
    ----------
    without : iterable of str
        Loads and generators without a meter.
    all_phases : bool
        Voltages of all phases of the node, also where the load has one.
    """
    wanted: dict[Wanted, None] = {}
    skipped = set(without)
    for table in (model.loads, model.generators):
        for row, name in enumerate(table.ids):
            if name in skipped:
                continue
            delta = table.connection[row] == "delta"
            node = model.nodes.ids[table.node[row]]
            for column in np.flatnonzero(table.connected[row]):
                letters = "ABC"[column] + ("ABC"[(column + 1) % 3] if delta else "")
                if voltage:
                    wanted[Quantity.VOLTAGE, node, letters, 0] = None
                if powers:
                    wanted[Quantity.P, name, letters, 0] = wanted[Quantity.Q, name, letters, 0] = None
            if voltage and all_phases:
                wanted.update(dict.fromkeys(voltages_at(model, node)))
    return list(wanted)


def voltages_at(model: NetworkModel, *nodes: str) -> list[Wanted]:
    """Want |V| of all phases of nodes."""
    return [
        (Quantity.VOLTAGE, node, "ABC"[c], 0)
        for node in nodes
        for c in np.flatnonzero(model.nodes.conductors[model.nodes.rows[node], :3])
    ]


def flows_at(
    model: NetworkModel, place: str, end: int = 0, quantities: Sequence[Quantity] = (Quantity.P, Quantity.Q)
) -> list[Wanted]:
    """Want P and Q, or others, of all phases at one end of a branch or transformer, or at a source."""
    conductors = np.array([True, True, True])
    for table in (model.branches, model.transformers):
        if place in table.rows:
            conductors = table.conductors[table.rows[place], :3]
    return [(quantity, place, "ABC"[c], end) for c in np.flatnonzero(conductors) for quantity in quantities]


def plain_transformers(model: NetworkModel) -> NetworkModel:
    """Give the model with transformers as power-grid-model gets them here: one impedance for all sequences, no iron."""
    table = model.transformers
    nothing = np.zeros(len(table), dtype=complex)
    return replace(model, transformers=replace(table, z0=table.z, y=nothing, y0=nothing))


def unbalanced_truths(
    model: NetworkModel, power: Any, rng: np.random.Generator, count: int, *, share: float = 0.01
) -> Any:
    """
    Give voltages for one demand and sources of random unbalance, by power-grid-model, shape (count, n_nodes, 4) [V].

    A second load at the source's node, beyond what the model knows of, makes the voltage behind the source's impedance
    unbalanced: negative and zero sequence with a standard deviation of `share`, real and imaginary part each.
    """
    nodes = model.sources.node
    size = np.abs(model.sources.voltage)
    parts = rng.standard_normal((4, count, len(nodes))) * share * size
    negative, zero = parts[0] + 1j * parts[1], parts[2] + 1j * parts[3]
    turn = np.exp(2j * np.pi / 3)
    currents = -(negative / model.sources.z1)[..., np.newaxis] * np.array([1, turn, turn**2])
    currents = currents - (zero / model.sources.z0)[..., np.newaxis]
    emfs = model.sources.voltage[:, np.newaxis] * np.array([1, turn**2, turn])
    extra = emfs * currents.conj()
    table, n = model.loads, len(nodes)

    def more(column: Any, value: Any) -> Any:
        return np.concatenate([column, np.full((n, *column.shape[1:]), value, dtype=column.dtype)])

    loads = type(table)(
        ids=(*table.ids, *(f"beyond-{name}" for name in model.sources.ids)),
        node=np.concatenate([table.node, nodes]),
        connection=(*table.connection, *(["wye"] * n)),
        connected=more(table.connected, value=True),
        p=more(table.p, 0.0),
        q=more(table.q, 0.0),
        u_p=more(table.u_p, 0.0),
        u_q=more(table.u_q, 0.0),
        exponents=more(table.exponents, 0.0),
        rated_power=more(table.rated_power, math.inf),
        storage=more(table.storage, value=False),
        profile=(*table.profile, *([""] * n)),
    )
    split = len(table)
    powers = np.broadcast_to(power, (count, *power.shape))
    powers = np.concatenate([powers[:, :split], extra, powers[:, split:]], axis=1)
    return truths(replace(model, loads=loads), powers)
