"""
State estimators that tresma's is measured against: power-grid-model and pandapower, on the same network and readings.

Where it stands: `tests/benchmarks/state_estimation.py` runs them in turns with our own. power-grid-model takes voltages
of all three phases of a node, with one sigma for them; its power sensors stand at the loads. pandapower knows the
positive sequence alone, so it gets the balanced problem: a third of each node's power on each phase.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.grid.estimation.measurement import Measurement
from tests.support.network_engines import power_grid_model_input

_LEAST = 0.01
"""Sigma of the power of a phase that has no load, relative to the least of the others [1]."""


class PowerGridModelEstimator:
    """
    power-grid-model's iterative linear estimator, prepared.

    Parameters
    ----------
    model : NetworkModel
    measurements : sequence of Measurement
        |V| of all three phases of nodes; P and Q of phases of loads.
    """

    def __init__(self, model: NetworkModel, measurements: Sequence[Measurement], tolerance: float) -> None:
        from power_grid_model import ComponentType, DatasetType, initialize_array

        self.kinds, self.tolerance, self.model = ComponentType, tolerance, model
        self.data = power_grid_model_input(model)
        sigma = np.array([one.uncertainty for one in measurements])
        self._find(measurements)
        first = 2_000_000
        loads = self.data[ComponentType.asym_load]["id"]
        voltage = initialize_array(DatasetType.input, ComponentType.asym_voltage_sensor, len(self.nodes))
        voltage["id"] = first + np.arange(len(self.nodes))
        voltage["measured_object"] = self.nodes
        voltage["u_sigma"] = np.sqrt((sigma[self.at_node] ** 2).mean(axis=1))
        power = initialize_array(DatasetType.input, ComponentType.asym_power_sensor, len(model.loads))
        power["id"] = first + len(self.nodes) + np.arange(len(model.loads))
        power["measured_object"], power["measured_terminal_type"] = loads, 4
        for name, at in (("p_sigma", self.at_p), ("q_sigma", self.at_q)):
            power[name] = np.where(at >= 0, sigma[at], _LEAST * sigma[at[at >= 0]].min())
        self.updates = {}
        for kind, rows in ((ComponentType.asym_voltage_sensor, voltage), (ComponentType.asym_power_sensor, power)):
            self.data[kind] = rows
            update = initialize_array(DatasetType.update, kind, len(rows))
            update["id"] = rows["id"]
            self.updates[kind] = update
        self.engine: Any = None

    def _find(self, measurements: Sequence[Measurement]) -> None:
        voltages: dict[str, list[int]] = {}
        self.at_p, self.at_q = (np.full((len(self.model.loads), 3), -1) for _ in range(2))
        for index, one in enumerate(measurements):
            column = "ABC".index(one.phases)
            if one.quantity == "voltage":
                voltages.setdefault(one.place, [-1, -1, -1])[column] = index
            else:
                table = self.at_p if one.quantity == "p" else self.at_q
                table[self.model.loads.rows[one.place], column] = index
        self.nodes = np.array([self.model.nodes.rows[name] for name in voltages])
        self.at_node = np.array(list(voltages.values()))
        if (self.at_node < 0).any():
            raise ValueError("a voltage of one phase")

    def readings(self, values: Any) -> dict[Any, Any]:
        """Give the update that holds one scan."""
        voltage, power = (update.copy() for update in self.updates.values())
        voltage["u_measured"] = values[self.at_node]
        power["p_measured"] = np.where(self.at_p >= 0, values[self.at_p], 0.0)
        power["q_measured"] = np.where(self.at_q >= 0, values[self.at_q], 0.0)
        return dict(zip(self.updates, (voltage, power), strict=True))

    def prepare(self, update: dict[Any, Any]) -> None:
        """Build the engine's model with one scan in it."""
        from power_grid_model import PowerGridModel

        for kind, rows in update.items():
            for name in rows.dtype.names:
                if name.endswith("_measured") and name != "u_angle_measured":
                    self.data[kind][name] = rows[name]
        self.engine = PowerGridModel(self.data, system_frequency=self.model.frequency)

    def scan(self, update: dict[Any, Any]) -> Any:
        """Take over one scan and calculate."""
        self.engine.update(update_data=update)
        return self.calculate()

    def calculate(self) -> Any:
        """Calculate with what was taken over; voltages of nodes alone are asked for."""
        return self.engine.calculate_state_estimation(
            symmetric=False,
            calculation_method="iterative_linear",
            error_tolerance=self.tolerance,
            max_iterations=100,
            threading=-1,
            output_component_types=[self.kinds.node],
        )

    def magnitudes(self, update: dict[Any, Any]) -> Any:
        """Give |V| of all nodes, shape (n_nodes, 3) [V]."""
        return self.scan(update)[self.kinds.node]["u"]


class PandapowerEstimator:
    """pandapower's weighted least squares for the balanced problem, prepared."""

    def __init__(self, model: NetworkModel) -> None:
        import pandapower

        self.net = net = pandapower.create_empty_network(f_hz=model.frequency, sn_mva=1.0)
        buses = [pandapower.create_bus(net, vn_kv=float(base) / 1e3) for base in model.nodes.base_voltage]
        base = float(model.nodes.base_voltage[model.sources.node[0]])
        voltage = abs(model.sources.voltage[0]) * math.sqrt(3) / base
        pandapower.create_ext_grid(net, buses[model.sources.node[0]], vm_pu=voltage)
        turn = np.exp(2j * np.pi / 3)
        sequence = np.array([1, turn**2, turn])
        for row in range(len(model.branches)):
            z, y = (
                matrix[row, :3, :3] @ sequence @ sequence.conj() / 3 for matrix in (model.branches.z, model.branches.y)
            )
            pandapower.create_line_from_parameters(
                net, buses[model.branches.from_node[row]], buses[model.branches.to_node[row]], length_km=1.0,
                r_ohm_per_km=z.real, x_ohm_per_km=z.imag, max_i_ka=1.0,
                c_nf_per_km=y.imag / (2 * math.pi * model.frequency) * 1e9,
            )  # fmt: skip
        table = model.transformers
        for row in range(len(table)):
            base_impedance = table.rated_voltage[row, 0] ** 2 / table.rated_power[row]
            high, low = table.rated_voltage[row] / 1e3
            pandapower.create_transformer_from_parameters(
                net, buses[table.from_node[row]], buses[table.to_node[row]], sn_mva=table.rated_power[row] / 1e6,
                vn_hv_kv=high, vn_lv_kv=low, vk_percent=100 * abs(table.z[row]) / base_impedance,
                vkr_percent=100 * table.z[row].real / base_impedance, pfe_kw=0.0, i0_percent=0.0,
            )  # fmt: skip
        power = model.loads.p.sum(axis=1) + 1j * model.loads.q.sum(axis=1)
        for row, node in enumerate(model.loads.node):
            pandapower.create_load(net, buses[node], p_mw=power[row].real / 1e6, q_mvar=power[row].imag / 1e6)
        pandapower.runpp(net, tolerance_mva=1e-9, numba=False)
        self._meters(np.unique(model.loads.node), model)

    def _meters(self, nodes: Any, model: NetworkModel) -> None:
        import pandapower

        net, result = self.net, self.net.res_bus
        sources = set(model.sources.node.tolist())
        metered = sorted({*nodes.tolist(), *sources, *model.transformers.to_node.tolist()})
        for node in metered:
            vm = result.vm_pu[node]
            pandapower.create_measurement(net, "v", "bus", vm, 0.01 * vm, element=node)
        for node in range(len(model.nodes)):
            if node in sources:
                continue
            if node in nodes:
                p, q = result.p_mw[node], result.q_mvar[node]
                pandapower.create_measurement(net, "p", "bus", p, max(0.01 * abs(p), 1e-7), element=node)
                pandapower.create_measurement(net, "q", "bus", q, max(0.02 * abs(q), 1e-7), element=node)
        self.truth = result.vm_pu.to_numpy().copy()
        self.values = net.measurement.value.to_numpy().copy()
        self.sigma = net.measurement.std_dev.to_numpy().copy()

    def scan(self, rng: np.random.Generator) -> bool:
        """Estimate noisy readings from a flat start; tell whether it succeeded."""
        from pandapower.estimation import estimate

        self.net.measurement["value"] = self.values + rng.standard_normal(len(self.sigma)) * self.sigma
        found = estimate(
            self.net, algorithm="wls", init="flat", tolerance=1e-6, maximum_iterations=50, zero_injection="no_inj_bus"
        )
        return bool(found["success"] if isinstance(found, dict) else found)

    def error(self) -> float:
        """Give the largest error of |V| of the last scan, relative to nominal [1]."""
        return float(np.nanmax(np.abs(self.net.res_bus_est.vm_pu.to_numpy()[: len(self.truth)] - self.truth)))
