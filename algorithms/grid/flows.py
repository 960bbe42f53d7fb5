"""
Currents and powers of equipment that follow from voltages.

Where it stands: behind `powerflow` and every estimator, which find voltages. The same primitive matrices are used as in
the equations that were solved (`primitives`), so at every node the currents add up to nothing.

Rules:

- Currents and powers are positive from the node into the equipment (CIM); what a source feeds is below 0.
- Columns are A, B, C, N; at a transformer, N is its star point.
- What is dead or absent carries 0.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes
from algorithms.grid.admittance import Admittance
from algorithms.grid.primitives import source_voltages


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """
    Currents into equipment.

    Attributes
    ----------
    branches, transformers : numpy.ndarray
        At both ends, shape (n, 2, 4) [A].
    sources : numpy.ndarray
        Shape (n, 4) [A].
    """

    branches: Complexes
    transformers: Complexes
    sources: Complexes


def flows(model: NetworkModel, admittance: Admittance, voltages: Complexes) -> Flows:
    """
    Give the currents into branches, transformers and sources.

    Parameters
    ----------
    model : NetworkModel
    admittance : Admittance
        Of the same model.
    voltages : numpy.ndarray
        Of nodes to earth, shape (n_nodes, 4) [V].

    Raises
    ------
    ValueError
        When there is not one voltage for each conductor of each node.
    """
    if voltages.shape != (len(model.nodes), 4):
        raise ValueError(f"voltages of shape {(len(model.nodes), 4)} expected, found {voltages.shape}")
    branches, sources = model.branches, model.sources
    at_branch = np.concatenate([voltages[branches.from_node], voltages[branches.to_node]], axis=1)
    at_branch *= np.tile(branches.conductors, (1, 2))
    at_points = np.zeros(admittance.points.count + 1, dtype=complex)
    at_points[admittance.points.at_node.ravel()] = voltages.ravel()
    at_points[-1] = 0.0
    at_points = _with_stars(admittance, at_points)
    at_transformer = at_points[admittance.points.at_transformer]
    behind = np.concatenate([source_voltages(sources), np.zeros((len(sources), 1))], axis=1)
    at_source = at_points[admittance.points.at_source] - behind
    return Flows(
        branches=np.einsum("nij,nj->ni", admittance.branches, at_branch).reshape(-1, 2, 4),
        transformers=np.einsum("nij,nj->ni", admittance.transformers, at_transformer).reshape(-1, 2, 4),
        sources=np.einsum("nij,nj->ni", admittance.sources, at_source),
    )


def _with_stars(admittance: Admittance, at_points: Complexes) -> Complexes:
    """Add voltages of star points that are at no node; no current leaves the network at them but into equipment."""
    points = admittance.points
    inside = np.ones(points.count, dtype=bool)
    inside[points.at_node[points.at_node >= 0]] = False
    stars = np.flatnonzero(inside)
    if not len(stars):
        return at_points
    others = np.flatnonzero(~inside)
    rows = admittance.matrix[stars, :]
    known = rows[:, others] @ at_points[others]
    found = at_points.copy()
    found[stars] = np.linalg.solve(rows[:, stars].toarray(), -known)
    return found


def losses(flow: Complexes, model: NetworkModel, voltages: Complexes) -> float:
    """
    Give the active power that branches turn to heat [W].

    Parameters
    ----------
    flow : numpy.ndarray
        `Flows.branches`.
    """
    ends = np.stack([voltages[model.branches.from_node], voltages[model.branches.to_node]], axis=1)
    return float(np.sum((ends * flow.conj()).real))
