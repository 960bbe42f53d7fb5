"""
The points of a network numbered a second time, for judging: what is joined, what is at earth, what is dead.

Where it stands: first half of `exact_circuit`. Nothing of `algorithms.grid` is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from algorithms.api.network import NetworkModel

EARTH = -1
DEAD = -2


@dataclass(frozen=True)
class Points:
    """
    Numbers of points.

    Attributes
    ----------
    at : numpy.ndarray
        Of each conductor of each node, `EARTH` at earth potential, `DEAD` where dead or absent, shape (n, 4).
    stars : dict
        Of the star point of a transformer (row, end).
    shunts : list
        Points grounded through an impedance [ohm].
    count : int
    """

    at: Any
    stars: dict[tuple[int, int], int]
    shunts: list[tuple[int, complex]]
    count: int


class Sets:
    """Sets that are joined one by one."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, one: int) -> int:
        while self.parent[one] != one:
            self.parent[one] = one = self.parent[self.parent[one]]
        return one

    def join(self, one: int, other: int) -> None:
        self.parent[self.root(one)] = self.root(other)


def number_points(model: NetworkModel) -> Points:  # noqa: C901 - one numbering
    """Number the points: conductors of nodes, joined by closed switches, and star points left to themselves."""
    table = model.transformers
    earth = 4 * len(model.nodes)
    joined, fed = Sets(earth + 1 + 2 * len(table)), Sets(earth + 1 + 2 * len(table))
    solid = np.flatnonzero(model.nodes.grounded & (model.nodes.grounding_impedance == 0))
    for row in solid:
        joined.join(4 * int(row) + 3, earth)
    ends = np.stack([table.from_node, table.to_node])
    stars = {(row, end): earth + 1 + 2 * row + end for row in range(len(table)) for end in (0, 1)}
    for (row, end), star in stars.items():
        if model.nodes.conductors[ends[end, row], 3] and "n" in letters_of(table.vector_group[row])[end].lower():
            joined.join(star, 4 * int(ends[end, row]) + 3)
        if table.grounded[row, end] and table.grounding_impedance[row, end] == 0:
            joined.join(star, earth)
    for one, other in _closed(model):
        joined.join(one, other)
    # Phases that a source reaches are alive, and neutrals and star points beside them.
    for one, other in _carrying(model):
        fed.join(joined.root(one), joined.root(other))
    starts = {fed.root(joined.root(4 * int(node) + c)) for node in model.sources.node for c in range(3)}

    def alive(node: int) -> bool:
        phases = np.flatnonzero(model.nodes.conductors[node, :3])
        return any(fed.root(joined.root(4 * node + int(c))) in starts for c in phases)

    numbers: dict[int, int] = {}

    def number(point: int, *, live: bool) -> int:
        point = joined.root(point)
        if point == joined.root(earth):
            return EARTH
        return numbers.setdefault(point, len(numbers)) if live else DEAD

    at = np.full((len(model.nodes), 4), DEAD)
    at[~model.nodes.conductors[:, 3], 3] = EARTH
    for node, c in np.argwhere(model.nodes.conductors):
        point = 4 * int(node) + int(c)
        live = alive(int(node)) if c == 3 else fed.root(joined.root(point)) in starts
        at[node, c] = number(point, live=live)
    # A star point matters only where the winding is a star.
    star_wound = {key: "Y" in letters_of(table.vector_group[key[0]])[key[1]].upper() for key in stars}
    stars_at = {
        (row, end): number(star, live=alive(int(ends[end, row]))) if star_wound[row, end] else EARTH
        for (row, end), star in stars.items()
    }
    through = [
        (4 * int(row) + 3, model.nodes.grounding_impedance[row])
        for row in np.flatnonzero(model.nodes.grounded & (model.nodes.grounding_impedance != 0))
    ]
    through += [
        (star, table.grounding_impedance[key])
        for key, star in stars.items()
        if table.grounded[key] and table.grounding_impedance[key] != 0
    ]
    shunts = [(numbers.get(joined.root(point), DEAD), impedance) for point, impedance in through]
    return Points(at, stars_at, shunts, len(numbers))


def _closed(model: NetworkModel) -> Iterator[tuple[int, int]]:
    """Give conductors that closed switches join."""
    table = model.switches
    for row, c in np.argwhere(table.conductors & table.closed[:, np.newaxis]):
        yield 4 * int(table.from_node[row]) + int(c), 4 * int(table.to_node[row]) + int(c)


def _carrying(model: NetworkModel) -> Iterator[tuple[int, int]]:
    """Give phases that a branch or transformer connects."""
    for row, c in np.argwhere(model.branches.conductors[:, :3]):
        yield 4 * int(model.branches.from_node[row]) + int(c), 4 * int(model.branches.to_node[row]) + int(c)
    table = model.transformers
    for row in range(len(table)):
        live = np.flatnonzero(table.conductors[row, :3])
        for node in (table.from_node[row], table.to_node[row]):
            for c in live:
                yield 4 * int(table.from_node[row]) + int(live[0]), 4 * int(node) + int(c)


def letters_of(group: str) -> tuple[str, str]:
    letters = group.rstrip("0123456789")
    split = next(index for index, letter in enumerate(letters) if letter.islower())
    return letters[:split], letters[split:]


def clock_of(group: str) -> int:
    return int(group[len(group.rstrip("0123456789")) :])
