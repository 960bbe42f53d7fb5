"""
The trees of a network: in what order its nodes hang below their sources, and which loops keep it from being radial.

Where it stands: `sweep` solves along these trees; reconfiguration asks which switch closes which loop. It looks at what
conducts between nodes (branches, transformers, closed switches), not at impedances.

Rules:

- One tree for each source whose part of the network no earlier source feeds; a second source in the same part closes a
  loop through earth, and is named as one.
- Nodes are numbered so that everything below a node follows it directly: a subtree is one slice of the order.
- Lines side by side on different phases are told apart from loops by the phases they share.
"""

from collections import defaultdict
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Integers, Truths

NOTHING = -1
"""Row of what is not there: the parent of a root, the edge above it."""


class EdgeKind(IntEnum):
    """What connects a node with its parent."""

    BRANCH = 0
    TRANSFORMER = 1
    SWITCH = 2


@dataclass(frozen=True, slots=True)
class Loop:
    """
    What connects nodes twice.

    Attributes
    ----------
    members : tuple of str
        Ids of branches, transformers and switches around it, or of what is between two sources, and these.
    phases : str
        Phases that all members carry; empty where they only run side by side.
    """

    members: tuple[str, ...]
    phases: str


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """
    All trees of a network.

    Attributes
    ----------
    order : numpy.ndarray
        Nodes that are fed, parents before children and each subtree together, shape (k,).
    end : numpy.ndarray
        Position behind the last node of the subtree that starts at each position, shape (k,).
    parent : numpy.ndarray
        Row of the parent of each node, `NOTHING` for roots and what is dead, shape (n,).
    kind, row : numpy.ndarray
        What connects each node with its parent, and its row in that table, shape (n,).
    downward : numpy.ndarray
        Whether the parent is the `from_node` of that, shape (n,), bool.
    source : numpy.ndarray
        Rows of the sources at the roots, in the order of the roots.
    loops : tuple of Loop
        None for a radial network.
    """

    order: Integers
    end: Integers
    parent: Integers
    kind: Integers
    row: Integers
    downward: Truths
    source: Integers
    loops: tuple[Loop, ...]


_Step = tuple[int, EdgeKind, int, bool]


def grow(model: NetworkModel) -> Forest:
    """
    Walk through a network from its sources.

    Returns
    -------
    Forest
        Where there are loops, it spans the network and leaves out the edges that close them.
    """
    count = len(model.nodes)
    neighbours = _neighbours(model)
    parent, kind, row = (np.full(count, NOTHING, dtype=np.intp) for _ in range(3))
    downward = np.zeros(count, dtype=bool)
    position = np.full(count, NOTHING, dtype=np.intp)
    order: list[int] = []
    sources: list[int] = []
    root_source: dict[int, int] = {}
    closing: dict[tuple[int, int], tuple[int, int]] = {}
    second: list[tuple[int, int]] = []
    for source, root in enumerate(model.sources.node.tolist()):
        if position[root] != NOTHING:
            second.append((source, root))
            continue
        sources.append(source)
        root_source[root] = source
        stack: list[tuple[int, int, _Step | None]] = [(root, NOTHING, None)]
        while stack:
            node, above, step = stack.pop()
            if position[node] != NOTHING:
                if step is not None:
                    closing.setdefault((int(step[1]), step[2]), (above, node))
                continue
            position[node] = len(order)
            order.append(node)
            if step is not None:
                parent[node], kind[node], row[node], downward[node] = above, step[1], step[2], step[3]
            stack += [(onward[0], node, onward) for onward in neighbours[node]]
    end = np.arange(1, len(order) + 1)
    for place in range(len(order) - 1, -1, -1):
        above = int(parent[order[place]])
        if above != NOTHING:
            end[position[above]] = max(end[position[above]], end[place])
    walk = _Walk(model, parent, kind, row)
    tree = {(int(kind[node]), int(row[node])) for node in order}
    loops = [walk.loop(edge, *ends) for edge, ends in closing.items() if edge not in tree]
    loops += [walk.between(source, node, root_source) for source, node in second]
    return Forest(
        order=np.array(order, dtype=np.intp),
        end=end.astype(np.intp),
        parent=parent,
        kind=kind,
        row=row,
        downward=downward,
        source=np.array(sources, dtype=np.intp),
        loops=tuple(loops),
    )


def _neighbours(model: NetworkModel) -> dict[int, list[_Step]]:
    neighbours: dict[int, list[_Step]] = defaultdict(list)
    tables = (
        (EdgeKind.BRANCH, model.branches.from_node, model.branches.to_node, range(len(model.branches))),
        (
            EdgeKind.TRANSFORMER,
            model.transformers.from_node,
            model.transformers.to_node,
            range(len(model.transformers)),
        ),
        (
            EdgeKind.SWITCH,
            model.switches.from_node,
            model.switches.to_node,
            np.flatnonzero(model.switches.closed).tolist(),
        ),
    )
    for kind, starts, ends, rows in tables:
        for row in rows:
            one, other = int(starts[row]), int(ends[row])
            neighbours[one].append((other, kind, row, True))
            neighbours[other].append((one, kind, row, False))
    return neighbours


class _Walk:
    """Ways up the trees."""

    def __init__(self, model: NetworkModel, parent: Integers, kind: Integers, row: Integers) -> None:
        self.model, self.parent, self.kind, self.row = model, parent, kind, row
        self.tables = (model.branches, model.transformers, model.switches)

    def way(self, node: int) -> list[int]:
        nodes = [node]
        while self.parent[nodes[-1]] != NOTHING:
            nodes.append(int(self.parent[nodes[-1]]))
        return nodes

    def loop(self, edge: tuple[int, int], one: int, other: int) -> Loop:
        return self._loop([edge, *self._path(one, other)], ())

    def between(self, source: int, node: int, root_source: dict[int, int]) -> Loop:
        way = self.way(node)
        first = self.model.sources.ids[root_source[way[-1]]]
        return self._loop(self._path(node, way[-1]), (first, self.model.sources.ids[source]))

    def _path(self, one: int, other: int) -> list[tuple[int, int]]:
        """Give the edges between two nodes of one tree."""
        up, down = self.way(one), self.way(other)
        while up and down and up[-1] == down[-1]:
            up.pop()
            down.pop()
        return [(int(self.kind[node]), int(self.row[node])) for node in (*up, *reversed(down))]

    def _loop(self, edges: list[tuple[int, int]], sources: tuple[str, ...]) -> Loop:
        shared = np.ones(3, dtype=bool)
        for kind, row in edges:
            if kind != EdgeKind.TRANSFORMER:  # a transformer's phases of one side belong to several of the other
                shared &= self.tables[kind].conductors[row, :3]
        phases = "".join(name for name, there in zip("ABC", shared, strict=True) if there)
        return Loop((*sources, *(self.tables[kind].ids[row] for kind, row in edges)), phases)
