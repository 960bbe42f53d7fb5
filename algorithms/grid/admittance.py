r"""
The nodal admittance of a network in phase quantities: what sources drive through what conducts.

Where it stands: built from a `NetworkModel` as its switches stand; power flow, state estimation and fault location
solve with it. With the points of `points` as unknowns it states

.. math:: Y V = J + I

where V are voltages to earth [V], J what the sources feed into shorted terminals [A], and I what everything else
injects [A], loads with a minus.

Rules:

- All of Y comes from `primitives`; nothing is reduced, so every neutral that is not at earth keeps its voltage.
- Loads and generators are not in Y, whatever their exponents.
- SI units.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import CONDUCTORS, Complexes, Floats, Integers
from algorithms.grid.points import EARTH, Points, Reference, find_points, find_references
from algorithms.grid.primitives import branch_primitives, source_primitives, source_voltages, transformer_primitives


@dataclass(frozen=True, slots=True, eq=False)
class Admittance:
    """
    The admittance of a network, and how to read voltages and currents of its equipment.

    Attributes
    ----------
    points : Points
    matrix : scipy.sparse.csc_array
        Y, shape (k, k) [S].
    driven : numpy.ndarray
        J, shape (k,) [A].
    nominal : numpy.ndarray
        Nominal voltage phase to neutral at each point, shape (k,) [V].
    references : tuple of Reference
        What voltages refer to in parts without a path to earth.
    anchors : scipy.sparse.csc_array
        The share of Y that holds the references, shape (k, k) [S]; its currents are 0 in every true solution.
    branches, transformers, sources : numpy.ndarray
        Primitive admittances, shapes (n, 8, 8), (n, 8, 8) and (n, 4, 4) [S].
    """

    points: Points
    matrix: csc_array
    driven: Complexes
    nominal: Floats
    references: tuple[Reference, ...]
    anchors: csc_array
    branches: Complexes
    transformers: Complexes
    sources: Complexes


def nodal_admittance(model: NetworkModel) -> Admittance:
    """
    Join everything that is fed to one admittance matrix.

    Raises
    ------
    NetworkError
        When a transformer's phases do not suit its vector group.
    """
    points = find_points(model)
    references = find_references(model, points)
    branches = branch_primitives(model.branches)
    return join(model, points, references, terminals_of_branches(model, points), branches)


def join(
    model: NetworkModel,
    points: Points,
    references: tuple[Reference, ...],
    at_branch: Integers,
    branches: Complexes,
) -> Admittance:
    """
    Join what conducts.

    Parameters
    ----------
    model : NetworkModel
    points : Points
    references : tuple of Reference
    at_branch : numpy.ndarray
        Points of A, B, C, N at both ends of each branch, shape (n, 8).
    branches : numpy.ndarray
        Their primitive admittances, shape (n, 8, 8) [S].

    Raises
    ------
    NetworkError
        When a transformer's phases do not suit its vector group.
    """
    transformers, sources = transformer_primitives(model), source_primitives(model.sources)
    entries = [
        _entries(at_branch, branches),
        _entries(points.at_transformer, transformers),
        _entries(points.at_source, sources),
        _star_entries(points),
    ]
    matrix = _joined(points.count, entries)
    anchors = _anchors(points.count, references, matrix)
    behind = np.concatenate([source_voltages(model.sources), np.zeros((len(model.sources), 1))], axis=1)
    shorted = np.einsum("nij,nj->ni", sources, behind)
    driven = np.zeros(points.count, dtype=complex)
    fed = points.at_source != EARTH
    np.add.at(driven, points.at_source[fed], shorted[fed])
    return Admittance(
        points=points,
        matrix=csc_array(matrix + anchors) if references else matrix,
        driven=driven,
        nominal=model.nodes.nominal_voltage[points.node],
        references=references,
        anchors=anchors,
        branches=branches,
        transformers=transformers,
        sources=sources,
    )


def terminals_of_branches(model: NetworkModel, points: Points) -> Integers:
    """Give the points of A, B, C, N at both ends, `EARTH` also for conductors a branch lacks, shape (n, 8)."""
    there = model.branches.conductors
    ends = (model.branches.from_node, model.branches.to_node)
    return np.concatenate([np.where(there, points.at_node[end], EARTH) for end in ends], axis=1)


def describe(model: NetworkModel, reference: Reference) -> str:
    """Say what voltages refer to, for people."""
    node = model.nodes.ids[reference.node]
    if reference.kind == "zero-sequence":
        return f"no zero-sequence voltage at node {node}"
    return f"{reference.kind} of node {node} at earth potential"


def name_of(model: NetworkModel, points: Points, point: int) -> str:
    """Name a point by node and conductor, such as ``l1.A``."""
    return f"{model.nodes.ids[points.node[point]]}.{CONDUCTORS[points.conductor[point]]}"


_Entries = tuple[Integers, Integers, Complexes]


def _entries(terminals: Integers, primitives: Complexes) -> _Entries:
    rows = np.broadcast_to(terminals[:, :, np.newaxis], primitives.shape)
    columns = np.broadcast_to(terminals[:, np.newaxis, :], primitives.shape)
    kept = (rows != EARTH) & (columns != EARTH) & (primitives != 0)
    return rows[kept], columns[kept], primitives[kept]


def _star_entries(points: Points) -> _Entries:
    at = np.array([point for point, _ in points.star_impedance], dtype=np.intp)
    return at, at, np.array([1.0 / impedance for _, impedance in points.star_impedance], dtype=complex)


def _joined(count: int, entries: list[_Entries]) -> csc_array:
    rows, columns, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return csc_array((values, (rows, columns)), shape=(count, count))


def _anchors(count: int, references: tuple[Reference, ...], matrix: csc_array) -> csc_array:
    """Hold references by an admittance as large as that of what is there; no current flows through it."""
    if not references:
        return csc_array((count, count), dtype=complex)
    size = np.abs(matrix.diagonal())
    entries = [(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0, dtype=complex))]
    for reference in references:
        at = np.array(reference.points)
        pairs = np.meshgrid(at, at, indexing="ij")
        value = (float(size[at].max()) or 1.0) / len(at) ** 2
        entries.append((pairs[0].ravel(), pairs[1].ravel(), np.full(len(at) ** 2, value, dtype=complex)))
    return _joined(count, entries)
