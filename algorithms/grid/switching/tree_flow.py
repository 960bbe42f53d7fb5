r"""
Quick power flow along the trees of a switched network: what a search asks of each position of the switches.

Where it stands: `reconfiguration` and `restoration` compare hundreds of positions with it; `powerflow` is the general
way, of any network and any load, and agrees with it where both apply. Every node draws constant power in its phases and
between them; lines have their three-phase series impedance.

.. math:: J_i = \sum_{j\ \text{below}\ i} I_j(V_j), \quad V_i = V_{root} - \sum_{j\ \text{on the way}} Z_j J_j

Rules:

- What is prepared holds for all positions of the switches; a position costs one walk and a few running sums.
- A transformer below is a load of the node above; one above is a voltage behind its impedance.
- Currents of a neutral are taken to return along their own line.
- SI units. Powers are positive from the node into the equipment.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from algorithms.api.network_equipment import Connection
from algorithms.api.network_tables import Complexes, Floats, Truths
from algorithms.grid.primitives import phase_matrices, source_voltages
from algorithms.grid.switching.feeding import parts_of
from algorithms.grid.switching.switched import NOTHING, SwitchedNetwork, Tree

_FOLLOWING, _BEFORE = [1, 2, 0], [2, 0, 1]
_turns = np.exp(-2j * math.pi / 3 * np.arange(3))


@dataclass(frozen=True, slots=True, eq=False)
class TreeSolution:
    """
    Voltages and currents along trees, in the order of their nodes.

    Attributes
    ----------
    tree : Tree
    voltages : numpy.ndarray
        Shape (k, 3) [V].
    drawn : numpy.ndarray
        Current each node draws, shape (k, 3) [A].
    carried : numpy.ndarray
        Current of the edge above each position, for a root what it feeds, shape (k, 3) [A].
    losses : float
        In branches [W].
    converged : bool
    """

    tree: Tree
    voltages: Complexes
    drawn: Complexes
    carried: Complexes
    losses: float
    converged: bool


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """
    What nodes draw, constant power.

    Attributes
    ----------
    wye : numpy.ndarray
        By phase, shape (n_nodes, 3) [VA].
    delta : numpy.ndarray
        Between phases AB, BC, CA, shape (n_nodes, 3) [VA].
    """

    wye: Complexes
    delta: Complexes

    def scaled(self, factor: Floats) -> "Demand":
        """Multiply what each node draws, shape (n_nodes,) [1]."""
        return Demand(self.wye * factor[:, np.newaxis], self.delta * factor[:, np.newaxis])


class TreeFlow:
    """
    The electrical side of a switched network.

    Parameters
    ----------
    network : SwitchedNetwork
    demand : Demand or None
        None for what `expected` gives.

    Attributes
    ----------
    impedance : numpy.ndarray
        Series impedance of each edge, 0 for switches, shape (n_edges, 3, 3) [ohm].
    demand : Demand
    """

    def __init__(self, network: SwitchedNetwork, demand: Demand | None = None) -> None:
        model = network.model
        self.network = network
        self.demand = expected(network) if demand is None else demand
        for power in (self.demand.wye, self.demand.delta):
            if power.shape != (len(model.nodes), 3):
                raise ValueError(f"powers of shape {(len(model.nodes), 3)} expected, found {power.shape}")
        self._wye, self._delta = bool(self.demand.wye.any()), bool(self.demand.delta.any())
        self.nominal: Floats = model.nodes.nominal_voltage
        self.impedance: Complexes = np.zeros((len(network.ends), 3, 3), dtype=complex)
        self.impedance[: network.branches] = three_phase(model.branches.z, model.branches.conductors[:, 3])
        self.resistance: Floats = np.ascontiguousarray(self.impedance.real)
        shunt = np.zeros((len(model.nodes), 3, 3), dtype=complex)
        for ends in (model.branches.from_node, model.branches.to_node):
            np.add.at(shunt, ends, model.branches.y[:, :3, :3] / 2)
        self._shunt = shunt if shunt.any() else None
        self.behind, self.root_impedance = _feeding(network)

    def solve(self, tree: Tree, *, tolerance: float = 1e-7, iterations: int = 60) -> TreeSolution:
        """
        Find the voltages in one position of the switches.

        Parameters
        ----------
        tree : Tree
        tolerance : float
            Largest change of a voltage from one iteration to the next, relative to nominal [1].
        iterations : int
            At most.
        """
        order, edge = tree.order, tree.edge
        top = edge == NOTHING
        impedance = self.impedance[edge]
        impedance[top] = self.root_impedance[tree.root[top]]
        behind = self.behind[tree.root]
        wye, delta = self.demand.wye[order], self.demand.delta[order]
        bound = (tolerance * self.nominal[order])[:, np.newaxis]
        voltages, drawn, carried = behind, np.zeros_like(behind), np.zeros_like(behind)
        converged = False
        with np.errstate(all="ignore"):
            for _ in range(iterations):
                drawn = np.conj(wye / voltages) if self._wye else np.zeros_like(behind)
                if self._delta:
                    between = np.conj(delta / (voltages - voltages[:, _FOLLOWING]))
                    drawn += between - between[:, _BEFORE]
                if self._shunt is not None:
                    drawn = drawn + np.einsum("kij,kj->ki", self._shunt[order], voltages)
                carried = below(tree, drawn)
                found = behind - along(tree, np.matmul(impedance, carried[:, :, np.newaxis])[:, :, 0])
                change = np.abs(found - voltages)
                voltages = found
                if (change <= bound).all():
                    converged = True
                    break
        inner = carried.copy()
        inner[top] = 0.0
        heat = np.matmul(self.resistance[edge], inner[:, :, np.newaxis])[:, :, 0]
        losses = float(np.vdot(inner, heat).real)
        return TreeSolution(tree, voltages, drawn, carried, losses, converged and math.isfinite(losses))


def below(tree: Tree, values: Complexes) -> Complexes:
    """Sum what is at and below each position, shape (k, ...)."""
    running = np.zeros((len(values) + 1, *values.shape[1:]), dtype=values.dtype)
    np.cumsum(values, axis=0, out=running[1:])
    total: Complexes = running[tree.end] - running[:-1]
    return total


_Values = TypeVar("_Values", Complexes, Floats)


def along(tree: Tree, values: _Values) -> _Values:
    """Sum what is on the way from the root to each position, both included, shape (k, ...)."""
    running = np.empty((2 * len(values), *values.shape[1:]), dtype=values.dtype)
    running[tree.entering] = values
    running[tree.leaving] = -values
    total: _Values = np.cumsum(running, axis=0)[tree.entering]
    return total


def three_phase(matrices: Complexes, neutral: Truths) -> Complexes:
    """Give the impedance that phases see where their neutral carries what they leave, shape (n, 3, 3) [ohm]."""
    reduced: Complexes = matrices[:, :3, :3].copy()
    crossing = matrices[neutral, :3, 3]
    reduced[neutral] += (
        matrices[neutral, 3, 3][:, np.newaxis, np.newaxis] - crossing[:, :, np.newaxis] - crossing[:, np.newaxis, :]
    )
    return reduced


def expected(network: SwitchedNetwork) -> Demand:
    """
    Give what nodes are expected to draw at nominal voltage.

    What a transformer feeds counts at the node above it, in equal parts on its phases and without its own losses.
    """
    model = network.model
    wye = np.zeros((len(model.nodes), 3), dtype=complex)
    delta = np.zeros_like(wye)
    for table in (model.loads, model.generators):
        drawn = table.p + 1j * table.q
        paired = np.array([kind == Connection.DELTA for kind in table.connection], dtype=bool)
        np.add.at(wye, table.node[~paired], drawn[~paired])
        np.add.at(delta, table.node[paired], drawn[paired])
    part = np.array(parts_of(model))
    transformers = model.transformers
    below = [row for kind, row in network.every_feeding if kind == "transformer"]
    fed = part[network.every_root].tolist()
    share = {name: fed.count(name) for name in fed}
    for row in reversed(below):  # the lowest level was found last
        inside = part == part[transformers.to_node[row]]
        total = (wye[inside].sum() + delta[inside].sum()) / share[int(part[transformers.to_node[row]])]
        phases = transformers.conductors[row, :3]
        if phases.all() and not transformers.vector_group[row].startswith(("YN", "ZN")):
            delta[transformers.from_node[row]] += total / 3.0
        else:
            wye[transformers.from_node[row], phases] += total / np.count_nonzero(phases)
    return Demand(wye, delta)


def _feeding(network: SwitchedNetwork) -> tuple[Complexes, Complexes]:
    """Give voltages behind feeding points and the impedances in front of them, shapes (r, 3) and (r, 3, 3)."""
    model = network.model
    behind = np.zeros((len(network.roots), 3), dtype=complex)
    impedance = np.zeros((len(network.roots), 3, 3), dtype=complex)
    voltages = source_voltages(model.sources)
    sources = model.sources
    z0 = np.where(sources.has_zero_sequence, sources.z0, sources.z1)
    matrices = phase_matrices(z0, sources.z1, sources.z1)
    table = model.transformers
    for number, (kind, row) in enumerate(network.feeding):
        if kind == "source":
            behind[number], impedance[number] = voltages[row], matrices[row]
        else:
            above = model.nodes.nominal_voltage[table.from_node[row]]
            behind[number] = _turns * above / table.ratio[row]
            impedance[number] = np.eye(3) * table.z[row] / table.ratio[row] ** 2
    return behind, impedance
