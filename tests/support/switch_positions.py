"""
Truth about positions of switches: every radial one by networkx, their losses by power-grid-model.

Neither knows anything of the kernels that are tested with them.
"""

import math
from typing import Any

import networkx as nx
import numpy as np

from algorithms.api.network import NetworkModel


def radial_positions(model: NetworkModel) -> Any:
    """Give all positions that feed every node of a network without transformers, shape (p, n_switches), bool."""
    graph = nx.Graph()
    graph.add_nodes_from(range(len(model.nodes)))
    graph.add_edges_from(zip(model.branches.from_node.tolist(), model.branches.to_node.tolist(), strict=True))
    label = {node: number for number, part in enumerate(nx.connected_components(graph)) for node in part}
    for node in model.sources.node.tolist():  # all that feeds is one
        label = {other: 0 if part == label[node] else part for other, part in label.items()}
    reduced = nx.Graph()
    reduced.add_nodes_from(label.values())
    for row, (one, other) in enumerate(zip(model.switches.from_node, model.switches.to_node, strict=True)):
        ends = label[int(one)], label[int(other)]
        if ends[0] == ends[1] or reduced.has_edge(*ends):
            raise ValueError(f"a switch without another beside it expected, found {model.switches.ids[row]}")
        reduced.add_edge(*ends, row=row)
    closed = []
    for tree in nx.SpanningTreeIterator(reduced):
        position = np.zeros(len(model.switches), dtype=bool)
        position[[row for _, _, row in tree.edges(data="row")]] = True
        closed.append(position)
    return np.array(closed)


class LossesByPowerGridModel:
    """
    Losses of a balanced network in any position of its switches, by power-grid-model.

    Parameters
    ----------
    model : NetworkModel
        Lines with a transposed impedance, loads alike in all phases.
    """

    def __init__(self, model: NetworkModel) -> None:
        from power_grid_model import ComponentType, DatasetType, PowerGridModel, initialize_array

        def table(kind: Any, size: int) -> Any:
            return initialize_array(DatasetType.input, kind, size)

        self._kinds, self._initialize, self._dataset = ComponentType, initialize_array, DatasetType
        number = iter(range(len(model.nodes), 1_000_000))
        nodes = table(ComponentType.node, len(model.nodes))
        nodes["id"], nodes["u_rated"] = np.arange(len(model.nodes)), model.nodes.base_voltage
        sources = table(ComponentType.source, len(model.sources))
        base = model.nodes.base_voltage[model.sources.node]
        sources["id"] = [next(number) for _ in range(len(sources))]
        sources["node"], sources["status"] = model.sources.node, 1
        sources["u_ref"] = np.abs(model.sources.voltage) * math.sqrt(3) / base
        sources["sk"], sources["rx_ratio"] = 1e15, 0.1
        lines = table(ComponentType.line, len(model.branches))
        lines["id"] = [next(number) for _ in range(len(lines))]
        lines["from_node"], lines["to_node"] = model.branches.from_node, model.branches.to_node
        lines["from_status"] = lines["to_status"] = 1
        positive = model.branches.z[:, 0, 0] - model.branches.z[:, 0, 1]
        lines["r1"], lines["x1"], lines["c1"], lines["tan1"] = positive.real, positive.imag, 0.0, 0.0
        links = table(ComponentType.link, len(model.switches))
        self._links = np.array([next(number) for _ in range(len(links))])
        links["id"] = self._links
        links["from_node"], links["to_node"] = model.switches.from_node, model.switches.to_node
        links["from_status"] = links["to_status"] = model.switches.closed
        injections = [model.loads, model.generators]
        loads = table(ComponentType.sym_load, sum(len(one) for one in injections))
        self._loads = np.array([next(number) for _ in range(len(loads))])
        loads["id"], loads["status"], loads["type"] = self._loads, 1, 0
        loads["node"] = np.concatenate([one.node for one in injections])
        loads["p_specified"] = np.concatenate([one.p.sum(axis=1) for one in injections])
        loads["q_specified"] = np.concatenate([one.q.sum(axis=1) for one in injections])
        data = {
            ComponentType.node: nodes,
            ComponentType.source: sources,
            ComponentType.line: lines,
            ComponentType.link: links,
            ComponentType.sym_load: loads,
        }
        self._engine = PowerGridModel(data, system_frequency=model.frequency)

    def losses(self, closed: Any, power: Any = None) -> Any:
        """
        Give the losses of many positions, shape (p,) [W].

        Parameters
        ----------
        closed : numpy.ndarray
            Shape (p, n_switches), bool.
        power : numpy.ndarray or None
            What loads, then generators, draw in all phases, shape (n,) or (p, n) [VA]; None for what the model says.
        """
        links = self._initialize(self._dataset.update, self._kinds.link, closed.shape)
        links["id"] = self._links
        links["from_status"] = links["to_status"] = closed
        update = {self._kinds.link: links}
        if power is not None:
            loads = self._initialize(self._dataset.update, self._kinds.sym_load, (len(closed), len(self._loads)))
            loads["id"] = self._loads
            loads["p_specified"], loads["q_specified"] = np.real(power), np.imag(power)
            update[self._kinds.sym_load] = loads
        result = self._engine.calculate_power_flow(
            symmetric=True,
            error_tolerance=1e-7,
            max_iterations=50,
            update_data=update,
            output_component_types={self._kinds.line: ["p_from", "p_to"]},
        )
        lines = result[self._kinds.line]
        return (lines["p_from"] + lines["p_to"]).sum(axis=1)
