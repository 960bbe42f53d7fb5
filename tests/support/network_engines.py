"""
The same network for independent engines: power-grid-model and OpenDSS, from the model the kernels work on.

power-grid-model has three-phase nodes without a neutral conductor and loads from phase to earth; what it has no model
for raises `ValueError`, so that nothing is compared that is not the same.
"""

import math
from typing import Any

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_equipment import Connection
from algorithms.api.network_tables import Injections

_windings = {"Y": 0, "YN": 1, "D": 2, "Z": 3, "ZN": 4}
_load_types = {0.0: 0, 2.0: 1, 1.0: 2}


def power_grid_model_input(model: NetworkModel) -> dict[str, Any]:
    """Give the arrays that power-grid-model calculates with; ids are those of `power_grid_model_ids`."""
    from power_grid_model import ComponentType, DatasetType, initialize_array

    def table(kind: Any, size: int) -> Any:
        return initialize_array(DatasetType.input, kind, size)

    number = iter(range(len(model.nodes), 1_000_000))
    omega = 2 * math.pi * model.frequency
    data: dict[str, Any] = {}
    nodes = table(ComponentType.node, len(model.nodes))
    nodes["id"], nodes["u_rated"] = np.arange(len(model.nodes)), model.nodes.base_voltage
    data[ComponentType.node] = nodes

    sources = table(ComponentType.source, len(model.sources))
    base = model.nodes.base_voltage[model.sources.node]
    sources["id"] = [next(number) for _ in range(len(sources))]
    sources["node"], sources["status"] = model.sources.node, 1
    sources["u_ref"] = np.abs(model.sources.voltage) * math.sqrt(3) / base
    sources["u_ref_angle"] = np.angle(model.sources.voltage)
    sources["sk"] = base**2 / np.abs(model.sources.z1)
    sources["rx_ratio"] = model.sources.z1.real / model.sources.z1.imag
    ratios = model.sources.z0 / model.sources.z1
    if not model.sources.has_zero_sequence.all() or np.abs(ratios.imag).max() > 1e-9:
        raise ValueError("a source whose z0 is no multiple of z1")
    sources["z01_ratio"] = ratios.real
    data[ComponentType.source] = sources

    lines = table(ComponentType.asym_line, len(model.branches))
    lines["id"] = [next(number) for _ in range(len(lines))]
    lines["from_node"], lines["to_node"] = model.branches.from_node, model.branches.to_node
    lines["from_status"] = lines["to_status"] = 1
    if not (model.branches.conductors == [True, True, True, False]).all():
        raise ValueError("a line of other conductors than ABC")
    for i, j in ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)):
        name = "abc"[i] + "abc"[j]
        lines[f"r_{name}"], lines[f"x_{name}"] = model.branches.z[:, i, j].real, model.branches.z[:, i, j].imag
        lines[f"c_{name}"] = model.branches.y[:, i, j].imag / omega
    data[ComponentType.asym_line] = lines

    links = table(ComponentType.link, len(model.switches))
    links["id"] = [next(number) for _ in range(len(links))]
    links["from_node"], links["to_node"] = model.switches.from_node, model.switches.to_node
    links["from_status"] = links["to_status"] = model.switches.closed
    data[ComponentType.link] = links

    data[ComponentType.transformer] = _transformers(model, table(ComponentType.transformer, len(model.transformers)))
    data[ComponentType.transformer]["id"] = [next(number) for _ in range(len(model.transformers))]
    data[ComponentType.asym_load] = _injections(model.loads, table(ComponentType.asym_load, len(model.loads)), 1.0)
    data[ComponentType.asym_load]["id"] = [next(number) for _ in range(len(model.loads))]
    if len(model.generators):
        generators = table(ComponentType.asym_gen, len(model.generators))
        data[ComponentType.asym_gen] = _injections(model.generators, generators, -1.0)
        data[ComponentType.asym_gen]["id"] = [next(number) for _ in range(len(model.generators))]
    return data


def _transformers(model: NetworkModel, rows: Any) -> Any:
    table = model.transformers
    rows["from_node"], rows["to_node"] = table.from_node, table.to_node
    rows["from_status"] = rows["to_status"] = 1
    rows["u1"], rows["u2"] = table.rated_voltage.T
    rows["sn"] = table.rated_power
    rows["uk"] = np.abs(table.z) * table.rated_power / table.rated_voltage[:, 0] ** 2
    rows["pk"] = table.z.real * table.rated_power**2 / table.rated_voltage[:, 0] ** 2
    rows["i0"] = rows["p0"] = 0.0
    rows["tap_side"] = rows["tap_pos"] = rows["tap_min"] = rows["tap_max"] = rows["tap_nom"] = 0
    rows["tap_size"] = 0.0
    for row, group in enumerate(table.vector_group):
        letters = group.rstrip("0123456789")
        split = next(index for index, letter in enumerate(letters) if letter.islower())
        rows["winding_from"][row] = _windings[letters[:split]]
        rows["winding_to"][row] = _windings[letters[split:].upper()]
        rows["clock"][row] = int(group[len(letters) :])
        tap = table.tap[row]
        if tap is not None:
            rows["tap_side"][row], rows["tap_pos"][row], rows["tap_nom"][row] = tap.end, tap.position, tap.neutral
            rows["tap_min"][row], rows["tap_max"][row] = tap.lowest, tap.highest
            rows["tap_size"][row] = tap.step * table.rated_voltage[row, tap.end]
        for end, side in enumerate(("from", "to")):
            rows[f"r_grounding_{side}"][row] = table.grounding_impedance[row, end].real
            rows[f"x_grounding_{side}"][row] = table.grounding_impedance[row, end].imag
    return rows


def _injections(table: Injections, rows: Any, sign: float) -> Any:
    """Write loads, or generators, whose powers count the other way there."""
    if any(connection != Connection.WYE for connection in table.connection):
        raise ValueError("a load between phases")
    rows["node"], rows["status"] = table.node, 1
    rows["type"] = [_load_types[float(exponent)] for exponent in table.exponents[:, 0]]
    rows["p_specified"], rows["q_specified"] = sign * table.p, sign * table.q
    return rows


def solved_by_power_grid_model(model: NetworkModel) -> Any:
    """Give voltages to earth of phases A, B, C of all nodes, shape (n, 3) [V]."""
    from power_grid_model import ComponentType, PowerGridModel

    engine = PowerGridModel(power_grid_model_input(model), system_frequency=model.frequency)
    result = engine.calculate_power_flow(symmetric=False, error_tolerance=1e-12, max_iterations=50)
    nodes = result[ComponentType.node]
    return nodes["u"] * np.exp(1j * nodes["u_angle"])
