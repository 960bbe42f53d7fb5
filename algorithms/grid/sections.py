r"""
What lies between transformers of a radial network, written as impedances for the sweep.

Where it stands: `sweep` iterates with what `lay_out` prepares here. A *section* is what hangs together without a
transformer; it is fed by a source or by a transformer, its root. Its level counts the transformers above it.

Rules:

- Each reason why a network does not suit a sweep is found and told; `current_injection` solves those networks.
- Neutrals are at earth at both ends of every line of a section (their impedance then belongs to the phases, by Kron's
  reduction), or they are a fourth conductor which touches earth at the root at most.
- Where zero-sequence current cannot flow, the zero-sequence voltage of the root is 0, as `points` chooses it.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.errors import Problem
from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Integers
from algorithms.grid.elements import Elements
from algorithms.grid.points import EARTH, Points
from algorithms.grid.primitives import VECTOR_GROUP, phase_matrices, star_points, turns
from algorithms.grid.radial import NOTHING, EdgeKind, Forest


@dataclass(frozen=True, slots=True, eq=False)
class Sections:
    """
    A radial network in the order of its forest.

    Attributes
    ----------
    level : numpy.ndarray
        Transformers above each position, shape (k,).
    drop : numpy.ndarray
        Series impedance to the parent, 0 for switches and roots of sections, shape (k, c, c) [ohm].
    shunt : numpy.ndarray
        Admittance to earth at each position, shape (k, c, c) [S].
    roots : numpy.ndarray
        Positions of the roots fed by sources, shape (s,).
    root_impedance : numpy.ndarray
        Shape (s, c, c) [ohm].
    fed : numpy.ndarray
        Positions of the roots fed by transformers, shape (t,).
    feeding : numpy.ndarray
        Positions of their parents, shape (t,).
    lowering : numpy.ndarray
        From voltages above to voltages below without load; its conjugate transpose takes currents up, shape
        (t, c, c) [1].
    fed_impedance : numpy.ndarray
        Seen from below, shape (t, c, c) [ohm].
    without_return : numpy.ndarray
        Positions of roots through which no zero-sequence current can flow, shape (r,).
    """

    level: Integers
    drop: Complexes
    shunt: Complexes
    roots: Integers
    root_impedance: Complexes
    fed: Integers
    feeding: Integers
    lowering: Complexes
    fed_impedance: Complexes
    without_return: Integers


def judge(model: NetworkModel, points: Points, forest: Forest, elements: Elements) -> list[Problem]:
    """Find everything that keeps a network from being solved by a sweep."""
    problems = [
        Problem("network", "no loops", f"a loop of {', '.join(loop.members[:6])}", "solve by current injection")
        for loop in forest.loops
    ]
    if problems:
        return problems
    problems += _judge_transformers(model, points, forest)
    problems += _judge_neutrals(model, points, forest)
    problems += _judge_earth(model, points, forest, elements)
    return problems


def _judge_transformers(model: NetworkModel, points: Points, forest: Forest) -> list[Problem]:
    problems = []
    stars = star_points(model.transformers)
    grounded = {point for point, _ in points.star_impedance}
    for node in forest.order[forest.kind[forest.order] == EdgeKind.TRANSFORMER].tolist():
        row = int(forest.row[node])
        where, group = f"transformers[{model.transformers.ids[row]}]", model.transformers.vector_group[row]
        if not forest.downward[node]:
            problems.append(Problem(where, "feeding from the higher voltage", "feeding from the lower"))
        if not VECTOR_GROUP.fullmatch(group):
            problems.append(Problem(where, "three phases", group))
        elif stars[row, 0]:
            star = points.at_transformer[row, 3]
            if (
                not group.startswith("YNyn")
                or model.transformers.y0[row] != 0
                or (star != EARTH and (star not in grounded or model.nodes.conductors[forest.parent[node], 3]))
            ):
                problems.append(Problem(where, "no zero-sequence current from above but through it", group))
        if stars[row, 1] and not model.nodes.conductors[node, 3]:
            star = points.at_transformer[row, 7]
            if star != EARTH and star not in grounded:
                problems.append(
                    Problem(where, "a star point that is grounded or leads to a neutral", "one that floats")
                )
    return problems


def _judge_neutrals(model: NetworkModel, points: Points, forest: Forest) -> list[Problem]:
    problems = []
    floating = model.nodes.conductors[:, 3] & (points.at_node[:, 3] != EARTH)
    grounded = np.isin(points.at_node[:, 3], [point for point, _ in points.star_impedance]) | model.nodes.grounded
    names, branch, at_root = model.nodes.ids, int(EdgeKind.BRANCH), (NOTHING, int(EdgeKind.TRANSFORMER))
    for kind, table in ((EdgeKind.BRANCH, model.branches), (EdgeKind.SWITCH, model.switches)):
        below = forest.order[forest.kind[forest.order] == kind]
        carried = table.conductors[forest.row[below]]
        needed = points.energised[below].copy()
        needed[:, 3] = floating[below]
        problems += [
            Problem(f"nodes[{names[node]}]", "all its conductors fed by one way", "more than one")
            for node in below[(needed & ~carried).any(axis=1)]
        ]
    if not floating.any():
        return problems
    earthed = model.nodes.conductors[:, 3] & ~floating
    for node in forest.order.tolist():
        kind, above = forest.kind[node], forest.parent[node]
        if kind in at_root:
            continue
        where, expected = (
            f"nodes[{names[node]}].grounding",
            "a neutral at earth all the way to the root, or at the root only",
        )
        if (earthed[node] and not earthed[above]) or (floating[node] and grounded[node] and kind == branch):
            problems.append(Problem(where, expected, "grounded here"))
        earthed[node] &= earthed[above]
    return problems


def _judge_earth(model: NetworkModel, points: Points, forest: Forest, elements: Elements) -> list[Problem]:
    """Find what flows to earth where the sweep has no way back from earth to the root."""
    root = np.arange(len(model.nodes))
    below_root = ~np.isin(forest.kind, [NOTHING, EdgeKind.TRANSFORMER])
    for node in forest.order[below_root[forest.order]].tolist():
        root[node] = root[forest.parent[node]]
    closed = points.at_node[:, 3] != EARTH
    has_way = np.zeros(len(model.nodes), dtype=bool)
    has_way[model.sources.node[forest.source]] = model.sources.has_zero_sequence[forest.source]
    fed = forest.order[forest.kind[forest.order] == EdgeKind.TRANSFORMER]
    has_way[fed] = star_points(model.transformers)[forest.row[fed], 1]
    branches, problems = model.branches, []
    charged = (np.abs(branches.y.sum(axis=2)) > 1e-12 * np.abs(branches.y).max(axis=(1, 2))[:, np.newaxis]).any(axis=1)
    for row in np.flatnonzero(charged & points.energised[branches.from_node].any(axis=1)):
        at = root[branches.from_node[row]]
        if closed[at] or not has_way[at]:
            problems.append(Problem(f"branches[{branches.ids[row]}]", "no charging current to earth here", "some"))
    earthed = np.unique(points.node[elements.first[elements.second == EARTH]])
    problems += [
        Problem(f"nodes[{model.nodes.ids[node]}]", "loads that return by the neutral", "by earth")
        for node in earthed[closed[root[earthed]]]
    ]
    return problems


def lay_out(model: NetworkModel, points: Points, forest: Forest, conductors: int) -> Sections:
    """Write a network that was judged right as impedances, with 3 or 4 conductors."""
    order = forest.order
    position = np.full(len(model.nodes), NOTHING, dtype=np.intp)
    position[order] = np.arange(len(order))
    kind, row = forest.kind[order], forest.row[order]
    parent = np.where(forest.parent[order] != NOTHING, position[forest.parent[order]], NOTHING)
    level = (kind == EdgeKind.TRANSFORMER).astype(np.intp)
    for place, above in enumerate(parent.tolist()):
        if above != NOTHING:
            level[place] += level[above]
    drop = np.zeros((len(order), 4, 4), dtype=complex)
    lines = np.flatnonzero(kind == EdgeKind.BRANCH)
    drop[lines] = _series(model, points, row[lines])
    shunt = np.zeros_like(drop)
    for ends in (model.branches.from_node, model.branches.to_node):
        there = position[ends] != NOTHING
        np.add.at(shunt, position[ends][there], model.branches.y[there] / 2)
    shunt[:, :, 3][points.at_node[order, 3] == EARTH] = 0.0
    fed = np.flatnonzero(kind == EdgeKind.TRANSFORMER)
    lowering, impedance, magnetising = _transformers(model, points, row[fed])
    np.add.at(shunt, parent[fed], _wide(magnetising))
    z1 = model.sources.z1[forest.source]
    z0 = np.where(model.sources.has_zero_sequence, model.sources.z0, 0.0)[forest.source]
    closed_sources = position[model.sources.node[forest.source]][~model.sources.has_zero_sequence[forest.source]]
    closed_fed = fed[~star_points(model.transformers)[row[fed], 1]]
    cut = (slice(None), slice(conductors), slice(conductors))
    return Sections(
        level=level,
        drop=np.ascontiguousarray(drop[cut]),
        shunt=np.ascontiguousarray(shunt[cut]),
        roots=np.flatnonzero(parent == NOTHING),
        root_impedance=_wide(phase_matrices(z0, z1, z1))[cut],
        fed=fed,
        feeding=parent[fed],
        lowering=_wide(lowering)[cut],
        fed_impedance=_wide(impedance)[cut],
        without_return=np.concatenate([closed_sources, closed_fed]),
    )


def _wide(matrices: Complexes) -> Complexes:
    wide = np.zeros((len(matrices), 4, 4), dtype=complex)
    wide[:, :3, :3] = matrices
    return wide


def _series(model: NetworkModel, points: Points, rows: Integers) -> Complexes:
    """Give series impedances; where the neutral is at earth at both ends, its share in those of the phases."""
    branches = model.branches
    series = branches.z[rows].copy()
    ends = (branches.from_node[rows], branches.to_node[rows])
    earthed = (
        branches.conductors[rows, 3] & (points.at_node[ends[0], 3] == EARTH) & (points.at_node[ends[1], 3] == EARTH)
    )
    own = series[earthed, 3, 3]
    crossing = series[earthed, :3, 3]
    series[earthed, :3, :3] -= crossing[:, :, np.newaxis] * crossing[:, np.newaxis, :] / own[:, np.newaxis, np.newaxis]
    series[earthed, 3, :] = series[earthed, :, 3] = 0.0
    return series


def _transformers(model: NetworkModel, points: Points, rows: Integers) -> tuple[Complexes, Complexes, Complexes]:
    """Give voltages below of those above, impedances seen from below, and the magnetising admittance above."""
    table = model.transformers
    scale = turns(table)[rows, 0] ** 2
    ratio, z, z0 = table.ratio[rows], table.z[rows] * scale, table.z0[rows] * scale
    to_earth = dict(points.star_impedance)
    lowering, impedance = (np.zeros((3, len(rows)), dtype=complex) for _ in range(2))
    for column, row in enumerate(rows):
        match = VECTOR_GROUP.fullmatch(table.vector_group[row])
        if match is None:
            raise ValueError(f"a three-phase vector group expected, found {table.vector_group[row]}")
        high, low, clock = match[1], match[2], int(match[3])
        turn = np.exp(1j * np.pi / 6 * clock)
        lowering[1:, column] = 1.0 / (ratio[column] * np.array([turn, np.conj(turn)]))
        through = high == "YN" and low == "yn"
        stars = [3.0 * to_earth.get(int(points.at_transformer[row, end]), 0.0) for end in (3, 7)]
        if model.nodes.conductors[table.to_node[row], 3]:
            stars[1] = 0.0
        if through:
            lowering[0, column] = (-1.0 if clock in (2, 6, 10) else 1.0) / ratio[column]
            impedance[0, column] = z0[column] + stars[0] + stars[1] * ratio[column] ** 2
        elif low == "zn" or (low == "yn" and high == "D"):
            impedance[0, column] = z0[column] + stars[1] * ratio[column] ** 2
        elif low == "yn" and table.y0[row] != 0:
            impedance[0, column] = scale[column] / table.y0[row] + stars[1] * ratio[column] ** 2
    impedance[1:] = z
    magnetising = table.y[rows] / scale
    return (
        phase_matrices(*lowering),
        phase_matrices(*(impedance / ratio**2)),
        phase_matrices(0.0 * magnetising, magnetising, magnetising),
    )
