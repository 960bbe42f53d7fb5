"""
Which conductors of a network are one electrical point, which are at earth, which are fed, and what voltages refer to.

Where it stands: the first step of `admittance`. A *point* is a set of conductors at nodes that closed switches join, or
the star point of a transformer whose node has no neutral conductor. Points are the unknowns of every kernel.

Rules:

- `EARTH` stands for what is at earth potential without impedance: neutrals and star points grounded solidly. As it is
  -1, an array of voltages with a zero appended can be indexed with points directly.
- A point is fed when anything that conducts, transformers included, connects it with a source. What is not fed has no
  voltage to solve for and carries the number `EARTH` too: a dead network.
- Where a part of the network has no path to earth at all, its voltages to earth are undefined. One voltage is then
  chosen as reference and stated; no current flows through it, so no other result depends on the choice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Integers, Truths
from algorithms.grid.primitives import star_points

EARTH = -1
"""Number of what is at earth potential, or dead."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """
    The voltage chosen where a part of the network has no path to earth.

    Attributes
    ----------
    points : tuple of int
        One point held at earth potential, or three whose mean is (no zero-sequence voltage).
    node : int
        Row of the node it is at.
    kind : str
        ``neutral``, ``phase`` or ``zero-sequence``.
    """

    points: tuple[int, ...]
    node: int
    kind: str


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """
    The points of a network as its switches stand.

    Attributes
    ----------
    count : int
        Number of points that are fed and not at earth.
    at_node : numpy.ndarray
        Point of each conductor, or `EARTH`, shape (n_nodes, 4).
    at_transformer : numpy.ndarray
        Point of each terminal, star points included, shape (n_transformers, 8).
    at_source : numpy.ndarray
        Points of A, B, C and the star point, shape (n_sources, 4).
    energised : numpy.ndarray
        Whether a conductor is there and fed; a neutral at earth is where a phase is, shape (n_nodes, 4), bool.
    node : numpy.ndarray
        A node that each point is at, shape (count,).
    conductor : numpy.ndarray
        The conductor there, 0 to 3 for A, B, C, N, shape (count,).
    star_impedance : list of tuple
        Point and impedance to earth [ohm] of each neutral or star point grounded through one.
    """

    count: int
    at_node: Integers
    at_transformer: Integers
    at_source: Integers
    energised: Truths
    node: Integers
    conductor: Integers
    star_impedance: tuple[tuple[int, complex], ...]


def find_points(model: NetworkModel) -> Points:
    """Join conductors by closed switches, star points and solid groundings, and leave out what no source feeds."""
    nodes, transformers = model.nodes, model.transformers
    n_nodes, n_transformers = len(nodes), len(transformers)
    earth = 4 * n_nodes + 2 * n_transformers
    number = np.arange(4 * n_nodes).reshape(-1, 4)
    stars = 4 * n_nodes + np.arange(2 * n_transformers).reshape(-1, 2)
    ends = np.stack([transformers.from_node, transformers.to_node], axis=-1)
    has_neutral = nodes.conductors[:, 3]
    star_at_node = has_neutral[ends]
    stars = np.where(star_at_node, number[ends, 3], stars)
    terminals = np.concatenate([number[ends][:, :, :3], stars[:, :, np.newaxis]], axis=2).reshape(-1, 8)

    groundings = [
        *((int(number[row, 3]), complex(nodes.grounding_impedance[row])) for row in np.flatnonzero(nodes.grounded)),
        *(
            (int(stars[row, end]), complex(transformers.grounding_impedance[row, end]))
            for row, end in zip(*np.nonzero(transformers.grounded), strict=True)
        ),
    ]
    solid = [point for point, impedance in groundings if impedance == 0]
    connected = star_points(transformers)
    to_earth = _to_earth(model) & ~star_at_node & ~transformers.grounded
    at_once = np.append(solid, stars[to_earth]).astype(np.intp)
    earthed = np.stack([at_once, np.full(len(at_once), earth)], axis=1)
    joined = components(earth + 1, np.concatenate([_through_switches(model, number), earthed]))
    source_points = number[model.sources.node].copy()
    source_points[~has_neutral[model.sources.node], 3] = earth
    links = np.concatenate([_through_equipment(model, number, terminals, connected), _pairs(source_points)])
    at_earth = int(joined[earth])
    starts = joined[source_points].ravel()
    part = _parts(joined, links, at_earth)
    fed = _fed(part, starts, at_earth)
    fed = _fed(part, np.concatenate([starts, _neutrals(model, joined[number], fed)]), at_earth)

    used = np.zeros(earth + 1, dtype=bool)
    used[joined[:earth]] = True
    used[at_earth] = False
    kept = np.flatnonzero(used & fed)
    kept = kept[_present(model, joined, kept, stars[connected])]
    renumbered = np.full(earth + 1, EARTH, dtype=np.intp)
    renumbered[kept] = np.arange(len(kept))
    point = renumbered[joined]
    at_node = np.where(nodes.conductors, point[number], EARTH)
    node, conductor = _places(len(kept), at_node, point[stars], ends)
    live = at_node != EARTH
    live |= nodes.conductors & (joined[number] == at_earth) & live[:, :3].any(axis=1, keepdims=True)
    return Points(
        count=len(kept),
        at_node=at_node,
        at_transformer=point[terminals],
        at_source=point[source_points],
        energised=live,
        node=node,
        conductor=conductor,
        star_impedance=tuple(
            (int(point[star]), impedance) for star, impedance in groundings if impedance != 0 and point[star] != EARTH
        ),
    )


def find_references(model: NetworkModel, points: Points) -> tuple[Reference, ...]:
    """Choose what voltages refer to in every part of the network that has no path to earth."""
    n = points.count
    if not n:
        return ()
    number = points.at_node
    there = model.branches.conductors
    links = np.concatenate(
        [
            np.stack([number[model.branches.from_node][there], number[model.branches.to_node][there]], axis=-1),
            _pairs(points.at_transformer[:, :4]),
            _pairs(points.at_transformer[:, 4:]),
            _pairs(points.at_source),
        ]
    )
    inside = (links >= 0).all(axis=1)
    part = components(n, links[inside])
    earthed = np.zeros(n + 1, dtype=bool)
    earthed[part[[point for point, _ in points.star_impedance]]] = True
    for touching in _touching_earth(model, points):
        earthed[part[touching[touching != EARTH]]] = True
    return tuple(_reference(model, points, part, name) for name in np.unique(part) if not earthed[name])


def _touching_earth(model: NetworkModel, points: Points) -> Iterator[Integers]:
    """Give the points that some equipment connects to earth, by a conductor, a winding or a capacitance."""
    branches, at = model.branches, points.at_node
    ends = (branches.from_node, branches.to_node)
    charged = np.zeros(branches.conductors.shape, dtype=bool)
    if branches.y.any():
        largest = np.abs(branches.y).max(axis=2, initial=0.0)
        charged = (np.abs(branches.y.sum(axis=2)) > 1e-12 * largest) & (largest > 0)
    for one, other in (ends, ends[::-1]):
        earthed = branches.conductors & points.energised[other] & (at[other] == EARTH)
        yield at[one][earthed | charged]
    stars = star_points(model.transformers)
    for end in (0, 1):
        terminals = points.at_transformer[:, 4 * end : 4 * end + 4]
        yield terminals[stars[:, end] & (terminals[:, 3] == EARTH)]
    yield points.at_source[model.sources.has_zero_sequence & (points.at_source[:, 3] == EARTH)]


def _to_earth(model: NetworkModel) -> Truths:
    """Tell which ends of transformers return through earth because they have one phase and no neutral to go to."""
    transformers = model.transformers
    single = [group.startswith("I") for group in transformers.vector_group]
    alone = np.array(single, dtype=bool) & (np.count_nonzero(transformers.conductors, axis=1) == 1)
    return np.repeat(alone[:, np.newaxis], 2, axis=1)


def _reference(model: NetworkModel, points: Points, part: Integers, name: int) -> Reference:
    inside = np.append(part == name, False)  # and the entry of EARTH
    conductor = points.conductor
    neutral = np.flatnonzero(inside[:-1] & (conductor == 3))
    preferred = [*points.at_source[:, 3], *points.at_transformer[:, [3, 7]].ravel(), *neutral]
    for point in preferred:
        if inside[point] and conductor[point] == 3:
            return Reference((int(point),), int(points.node[point]), "neutral")
    for node in (*model.sources.node, *model.transformers.to_node, *model.transformers.from_node):
        three = points.at_node[node, :3]
        if inside[three].all():
            return Reference(tuple(int(point) for point in three), int(node), "zero-sequence")
    point = int(np.flatnonzero(inside)[0])
    return Reference((point,), int(points.node[point]), "phase")


def components(count: int, links: Integers) -> Integers:
    """
    Give each of `count` the lowest number it hangs together with.

    All links join at once, the lowest of each hanging together so far under the lower one, as often as it takes: of
    many links, a few times.
    """
    lowest = np.arange(count)
    one, other = links.T
    while True:
        first, second = lowest[one], lowest[other]
        if (first == second).all():
            return lowest
        np.minimum.at(lowest, np.maximum(first, second), np.minimum(first, second))
        onward = lowest[lowest]
        while (onward != lowest).any():
            lowest, onward = onward, onward[onward]


def _pairs(rows: Integers) -> Integers:
    """Link the first of each row with the others, shape (k, 2)."""
    first = np.broadcast_to(rows[:, :1], (len(rows), rows.shape[1] - 1))
    return np.stack([first, rows[:, 1:]], axis=-1).reshape(-1, 2)


def _through_switches(model: NetworkModel, number: Integers) -> Integers:
    switches = model.switches
    moved = switches.conductors & switches.closed[:, np.newaxis]
    return np.stack([number[switches.from_node][moved], number[switches.to_node][moved]], axis=1)


def _through_equipment(model: NetworkModel, number: Integers, terminals: Integers, stars: Truths) -> Integers:
    branches, transformers = model.branches, model.transformers
    there = branches.conductors
    along = np.stack([number[branches.from_node][there], number[branches.to_node][there]], axis=-1)
    connected = np.concatenate([transformers.conductors, transformers.conductors], axis=1)
    connected[:, [3, 7]] = stars
    first = terminals[np.arange(len(terminals)), np.argmax(connected, axis=1)]
    windings = np.stack(
        [np.broadcast_to(first[:, np.newaxis], terminals.shape)[connected], terminals[connected]], axis=-1
    )
    return np.concatenate([along, windings])


def _parts(joined: Integers, links: Integers, earth: int) -> Integers:
    """Give what hangs together otherwise than through earth the same number, by representatives."""
    pairs = joined[links]
    return components(len(joined), pairs[(pairs != earth).all(axis=1)])


def _fed(part: Integers, starts: Integers, earth: int) -> Truths:
    """Tell what hangs together with a source."""
    reached = np.zeros(len(part), dtype=bool)
    reached[part[starts[starts != earth]]] = True
    fed: Truths = reached[part]
    fed[earth] = False
    return fed


def _neutrals(model: NetworkModel, joined: Integers, fed: Truths) -> Integers:
    """Give the neutrals of branches whose phases are fed, which earth alone may connect with a source."""
    branches = model.branches
    ends = np.stack([joined[branches.from_node], joined[branches.to_node]], axis=1)
    carries = (fed[ends[:, 0, :3]] & branches.conductors[:, :3]).any(axis=1) & branches.conductors[:, 3]
    neutrals: Integers = ends[carries][:, :, 3].ravel()
    return neutrals


def _present(model: NetworkModel, joined: Integers, kept: Integers, stars: Integers) -> Truths:
    """Leave out conductors that no node has, and star points that are not brought out."""
    there = np.zeros(len(joined), dtype=bool)
    there[joined[np.flatnonzero(model.nodes.conductors.ravel())]] = True
    there[joined[stars]] = True
    present: Truths = there[kept]
    return present


def _places(count: int, at_node: Integers, stars: Integers, ends: Integers) -> tuple[Integers, Integers]:
    """Give a node and a conductor for each point, the first of those joined."""
    node, conductor = np.zeros(count, dtype=np.intp), np.full(count, 3, dtype=np.intp)
    outside = stars != EARTH
    node[stars[outside]] = ends[outside]
    rows, columns = np.nonzero(at_node != EARTH)
    points = at_node[rows, columns]
    node[points[::-1]], conductor[points[::-1]] = rows[::-1], columns[::-1]
    return node, conductor
