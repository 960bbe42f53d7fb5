"""
What switches make of a network: zones that only they can part or join, and the tree that a position of them leaves.

Where it stands: reconfiguration and restoration ask it which positions are radial and what hangs below what;
`tree_flow` solves along its trees. It is prepared once for a network; a position of the switches then costs one walk.

Rules:

- *Edges* are branches, then switches, in the order of their tables. Transformers part the network: it is fed where a
  source stands or where a transformer leads down to it, and what is below a transformer is a load of the node above.
- Only parts with a switch that is operated from afar count, or all where there is none: a ring of low voltage without
  switches is nobody's business here.
- A switch that may not be operated is part of the network: joined where it is closed, nothing where it is open.
- Nodes of a tree are numbered so that everything below a node follows it directly (as in `radial`).
- Two feeding points that are joined close a loop, as any other way round does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.api.errors import NetworkError, Problem
from algorithms.api.network import NetworkModel
from algorithms.api.network_operation import Operation, SwitchKind
from algorithms.api.network_tables import Floats, Integers, Truths
from algorithms.grid.switching.feeding import feeding_points, root_of, scope_of

LARGE = 1500
"""Of a network of more zones nobody wants all positions: they are not even counted."""
NOTHING = -1
"""Position of what is not fed, edge above a root."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """
    What is fed in one position of the switches.

    Attributes
    ----------
    order : numpy.ndarray
        Nodes that are fed, parents before children and each subtree together, shape (k,).
    end : numpy.ndarray
        Position behind the last node of the subtree that starts at each position, shape (k,).
    edge : numpy.ndarray
        Edge above each position, `NOTHING` for roots, shape (k,).
    parent : list of int
        Position of the parent of each position, `NOTHING` for roots.
    root : numpy.ndarray
        Which feeding point each position hangs on, shape (k,).
    entering, leaving : numpy.ndarray
        Places of each position in a walk around the trees, shape (k,).
    position : list of int
        Position of each node, `NOTHING` for what is dead.
    loops : tuple of int
        Edges that are closed and close a loop; none where the network is radial.
    """

    order: Integers
    end: Integers
    edge: Integers
    parent: list[int]
    root: Integers
    entering: Integers
    leaving: Integers
    position: list[int]
    loops: tuple[int, ...]

    def way(self, node: int) -> list[int]:
        """Give the positions from `node` up to its root."""
        at = self.position[node]
        found = []
        while at != NOTHING:
            found.append(at)
            at = self.parent[at]
        return found


class SwitchedNetwork:
    """
    A network whose switches move.

    Parameters
    ----------
    model : NetworkModel
        As its switches stand now.
    operable : numpy.ndarray or None
        Which switches may be moved, shape (n_switches,), bool; None for all that are operated remotely and are no fuse.

    Attributes
    ----------
    model : NetworkModel
    operable : numpy.ndarray
        Shape (n_switches,), bool.
    roots : list of int
        Nodes where the parts that count are fed.
    feeding : list of tuple
        What feeds each of them: ``source`` or ``transformer``, and its row.
    every_root, every_feeding : list
        The same of all parts.
    counted : numpy.ndarray
        Whether a node is in a part that counts, shape (n_nodes,), bool.
    standing_for : numpy.ndarray
        The node that stands for each: itself where it counts, else the one above the transformer that feeds it, shape
        (n_nodes,).
    zone : numpy.ndarray
        Number of the zone of each node, shape (n_nodes,): what hangs together without a switch that may be moved.
    zones : int
        How many there are.

    Raises
    ------
    NetworkError
        When what no switch can open has a loop, or joins two feeding points.
    """

    def __init__(self, model: NetworkModel, operable: Truths | None = None) -> None:
        switches = model.switches
        if operable is None:
            operable = np.array(
                [
                    operation == Operation.REMOTE and kind != SwitchKind.FUSE
                    for operation, kind in zip(switches.operation, switches.kind, strict=True)
                ],
                dtype=bool,
            )
        if operable.shape != (len(switches),):
            raise ValueError(f"one truth for each of {len(switches)} switches expected, found {operable.shape}")
        self.model = model
        self.operable = operable
        self.every_root, self.every_feeding = feeding_points(model)
        self.counted, self.standing_for = scope_of(model, operable, self.every_feeding)
        self.branches = len(model.branches)
        self.ends = list(
            zip(
                [*model.branches.from_node.tolist(), *switches.from_node.tolist()],
                [*model.branches.to_node.tolist(), *switches.to_node.tolist()],
                strict=True,
            )
        )
        kept = [number for number, node in enumerate(self.every_root) if self.counted[node]]
        self.roots = [self.every_root[number] for number in kept]
        self.feeding = [self.every_feeding[number] for number in kept]
        self._neighbours: list[list[tuple[int, int]]] = [[] for _ in range(len(model.nodes))]
        for edge, (one, other) in enumerate(self.ends):
            self._neighbours[one].append((other, edge))
            self._neighbours[other].append((one, edge))
        self.zone, self.zones, self._fed_zones = self._find_zones()
        self._trees: float | None = None
        self._zone_list: list[int] = self.zone.tolist()

    def closed_edges(self, closed: Truths) -> list[bool]:
        """Tell of each edge whether it conducts, the switches standing as `closed` says."""
        standing: list[bool] = closed.tolist()
        return [True] * self.branches + standing

    def tree(self, closed: Truths) -> Tree:
        """Walk through what is fed, the switches standing as `closed` says, shape (n_switches,)."""
        conducts = self.closed_edges(closed)
        neighbours = self._neighbours
        position = [NOTHING] * len(neighbours)
        order: list[int] = []
        above: list[int] = []
        parent: list[int] = []
        end: list[int] = []
        entering: list[int] = []
        leaving: list[int] = []
        root: list[int] = []
        loops: set[int] = set()
        place = 0
        for number, start in enumerate(self.roots):
            if position[start] != NOTHING:
                loops.add(above[position[start]])
                continue
            stack = [(start, NOTHING, NOTHING)]
            while stack:
                node, higher, edge = stack.pop()
                if node < 0:
                    leaving[~node] = place
                    end[~node] = len(order)
                    place += 1
                    continue
                if position[node] != NOTHING:
                    loops.add(edge)
                    continue
                here = len(order)
                position[node] = here
                order.append(node)
                parent.append(higher)
                above.append(edge)
                root.append(number)
                entering.append(place)
                place += 1
                leaving.append(0)
                end.append(0)
                stack.append((~here, NOTHING, NOTHING))
                for other, way in neighbours[node]:
                    if conducts[way] and way != edge:
                        if position[other] == NOTHING:
                            stack.append((other, here, way))
                        else:
                            loops.add(way)
        return Tree(
            order=np.array(order, dtype=np.intp),
            end=np.array(end, dtype=np.intp),
            edge=np.array(above, dtype=np.intp),
            parent=parent,
            root=np.array(root, dtype=np.intp),
            entering=np.array(entering, dtype=np.intp),
            leaving=np.array(leaving, dtype=np.intp),
            position=position,
            loops=tuple(sorted(loops)),
        )

    def hanging_together(self, nodes: Sequence[int], closed: Truths) -> list[int]:
        """Give the nodes that are joined with any of these, fed or not, the switches standing as `closed` says."""
        conducts = self.closed_edges(closed)
        seen, ahead = set(nodes), list(nodes)
        while ahead:
            for other, edge in self._neighbours[ahead.pop()]:
                if conducts[edge] and other not in seen:
                    seen.add(other)
                    ahead.append(other)
        return sorted(seen)

    def spanning(self, preference: Sequence[int]) -> Truths:
        """
        Close switches in the order of `preference` wherever that closes no loop (Kruskal), and open the others.

        Parameters
        ----------
        preference : sequence of int
            Rows of switches that may be moved; those left out stay open.

        Returns
        -------
        numpy.ndarray
            Where each switch stands then, shape (n_switches,), bool.
        """
        first = list(range(self.zones + 1))
        for fed in self._fed_zones:
            first[fed] = self.zones
        closed = self.model.switches.closed & ~self.operable
        zone = self._zone_list
        for row in preference:
            one, other = self.ends[self.branches + row]
            a, b = root_of(first, zone[one]), root_of(first, zone[other])
            if a != b:
                first[a] = b
                closed[row] = True
        return closed

    def count_trees(self) -> float:
        """Give the number of radial positions that feed everything which can be fed (Kirchhoff's theorem)."""
        if self._trees is None:
            self._trees = self._count_trees()
        return self._trees

    def _count_trees(self) -> float:
        if self.zones > LARGE:
            return math.inf
        joined = np.arange(self.zones)
        joined[list(self._fed_zones)] = self.zones
        laplacian: Floats = np.zeros((self.zones + 1, self.zones + 1))
        for row in np.flatnonzero(self.operable).tolist():
            one, other = (int(joined[self.zone[node]]) for node in self.ends[self.branches + row])
            if one != other:
                laplacian[[one, other], [one, other]] += 1.0
                laplacian[[one, other], [other, one]] -= 1.0
        reach = self._reachable(laplacian)
        if not len(reach):
            return 1.0
        sign, logarithm = np.linalg.slogdet(laplacian[np.ix_(reach, reach)])
        return float(np.exp(logarithm)) if sign > 0 else 1.0

    def _reachable(self, laplacian: Floats) -> list[int]:
        """Give the zones beside the fed ones that can be fed at all."""
        seen, ahead = {self.zones}, [self.zones]
        while ahead:
            for zone in np.flatnonzero(laplacian[ahead.pop()] < 0).tolist():
                if zone not in seen:
                    seen.add(zone)
                    ahead.append(zone)
        return sorted(seen - {self.zones})

    def _find_zones(self) -> tuple[Integers, int, tuple[int, ...]]:
        model = self.model
        first = list(range(len(model.nodes)))
        problems = []
        names = [*model.branches.ids, *model.switches.ids]
        tables = ["branches"] * self.branches + ["switches"] * len(model.switches)
        fixed = [True] * self.branches + (model.switches.closed & ~self.operable).tolist()
        remedy = "make a switch of the loop operable, or describe it as one branch"
        for edge in np.flatnonzero(fixed).tolist():
            a, b = (root_of(first, node) for node in self.ends[edge])
            if a == b and self.counted[self.ends[edge][0]]:
                where = f"{tables[edge]}[{names[edge]}]"
                problems.append(Problem(where, "no loop that no switch can open", "one it closes", remedy))
            first[a] = b
        label = [root_of(first, node) for node in range(len(first))]
        _, zone = np.unique(label, return_inverse=True)
        fed: dict[int, int] = {}
        for node in self.roots:
            number = int(zone[node])
            if number in fed and fed[number] != node:
                found = f"one with {model.nodes.ids[fed[number]]} that no switch can open"
                problems.append(Problem(f"nodes[{model.nodes.ids[node]}]", "a feeding point of its own", found, remedy))
            fed[number] = node
        if problems:
            raise NetworkError(problems)
        return zone.astype(np.intp), int(zone.max(initial=-1)) + 1, tuple(fed)
