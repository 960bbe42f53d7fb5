"""
Where everything of a network goes in a picture.

Where it stands: `layout_tree` and `layout_map` fill in a `Layout`, which `diagram` draws. `Structure` is what both
start from: the network as its switches stand, a tree from its sources outward and what closes or could close loops.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Branch, Transformer
from algorithms.api.network_operation import Switch, SwitchState
from device_catalog.network_diagram.canvas import Point
from device_catalog.network_files.reach import Edge, edges, neighbours, reached

MANY = 60
"""Above so many nodes those that only join two lines are no more than a bend."""


@dataclass(slots=True)
class Stub:
    """
    The end of something that is not drawn through: it leads to a node elsewhere in the picture.

    Attributes
    ----------
    edge : Branch, Transformer or Switch
    node : str
        Where it is drawn.
    path : tuple of tuple
        From the node outward.
    to_node : str
    """

    edge: Edge
    node: str
    path: tuple[Point, ...]
    to_node: str


@dataclass(slots=True)
class Layout:
    """
    Where everything goes.

    Attributes
    ----------
    width, height : float
        [px]
    scale : float
        Of symbols; 1 where there is room.
    places : dict
        By node.
    paths : dict
        By id of branch, transformer or switch, from its `from_node`; those in parallel share a path.
    stubs : list of Stub
    hanging : dict
        By node, the direction in which loads hang.
    bars : dict
        By node, both ends of its busbar.
    """

    width: float = 0.0
    height: float = 0.0
    scale: float = 1.0
    places: dict[str, Point] = field(default_factory=dict)
    paths: dict[str, tuple[Point, ...]] = field(default_factory=dict)
    stubs: list[Stub] = field(default_factory=list)
    hanging: dict[str, Point] = field(default_factory=dict)
    bars: dict[str, tuple[Point, Point]] = field(default_factory=dict)


class Structure:
    """
    A network as its switches stand.

    Parameters
    ----------
    document : NetworkDocument
    switches : mapping
        Where switches stand now; normally where they are not in it.

    Attributes
    ----------
    parents : dict
        By node, in the order met from the sources, from where and by what it is reached; None for a source's.
    children : dict
        The other way round.
    live : set of str
        Nodes that a source feeds.
    parallel : dict
        By id of what is in the tree, what else joins the same nodes.
    ties : list
        What is neither.
    passing : set of str
        Nodes that only join two lines, where a picture of many nodes need not show them.
    between : set of str
        Nodes that only join a switch and one thing more, and whose names say nothing new.
    """

    def __init__(self, document: NetworkDocument, switches: Mapping[str, SwitchState]) -> None:
        self.document = document
        self._switches = switches
        everything = edges(document)
        closed = [edge for edge in everything if not self.is_open(edge)]
        around = neighbours(document, closed)
        self.parents = reached(around, dict.fromkeys(source.node for source in document.sources))
        self.live = set(self.parents)
        self._beyond(around, [edge for edge in everything if self.is_open(edge)])
        self.children: defaultdict[str, list[tuple[str, Edge]]] = defaultdict(list)
        for node, way in self.parents.items():
            if way:
                self.children[way[0]].append((node, way[1]))
        self.parallel, self.ties = self._rest(everything)
        joining = self._joining(everything)
        held = {one.node for one in (*document.loads, *document.generators)}
        held |= {one.node for one in document.sources} | {one.node for one in document.terminals}
        two = {node for node, around in joining.items() if node not in held and len(around) == 2}
        lines = {node for node in two if all(isinstance(edge, Branch) for edge in joining[node])}
        self.passing = lines if len(document.nodes) > MANY else set()
        self.between = {node for node in two if any(isinstance(edge, Switch) for edge in joining[node])}

    def is_open(self, edge: Edge) -> bool:
        """Tell whether something is a switch that stands open."""
        return isinstance(edge, Switch) and self._switches.get(edge.id, edge.normal) == SwitchState.OPEN

    def _beyond(self, around: dict[str, list[tuple[str, Edge]]], opened: list[Edge]) -> None:
        """Go on through open switches to what is dead, and from anywhere to what nothing leads to."""
        found = True
        while found:
            found = False
            for edge in opened:
                for one, other in ((edge.from_node, edge.to_node), (edge.to_node, edge.from_node)):
                    if one in self.parents and other not in self.parents:
                        self._extend(around, other, (one, edge))
                        found = True
        for node in self.document.nodes:
            if node.id not in self.parents:
                self._extend(around, node.id, None)

    def _extend(self, around: dict[str, list[tuple[str, Edge]]], start: str, way: tuple[str, Edge] | None) -> None:
        for node, reached_by in reached(around, [start]).items():
            if node not in self.parents:
                self.parents[node] = reached_by
        self.parents[start] = way

    def _rest(self, everything: list[Edge]) -> tuple[dict[str, list[Edge]], list[Edge]]:
        of_tree = {frozenset((node, way[0])): way[1] for node, way in self.parents.items() if way}
        used = {edge.id for edge in of_tree.values()}
        parallel: defaultdict[str, list[Edge]] = defaultdict(list)
        ties = []
        for edge in everything:
            if edge.id in used:
                continue
            beside = of_tree.get(frozenset((edge.from_node, edge.to_node)))
            if beside and type(beside) is type(edge) and self.is_open(beside) == self.is_open(edge):
                parallel[beside.id].append(edge)
            else:
                ties.append(edge)
        return dict(parallel), ties

    @staticmethod
    def _joining(everything: list[Edge]) -> dict[str, list[Edge]]:
        joining: defaultdict[str, list[Edge]] = defaultdict(list)
        for edge in everything:
            joining[edge.from_node].append(edge)
            joining[edge.to_node].append(edge)
        return joining


def middle(path: tuple[Point, ...]) -> tuple[Point, Point]:
    """
    Give the middle of a straight piece of a path, and its direction.

    It is the upright piece where a path has one corner, since in a tree the other may be part of a busbar; the longest
    elsewhere.
    """
    pieces = [piece for piece in itertools.pairwise(path) if piece[0] != piece[1]] or [(path[0], path[-1])]
    upright = [piece for piece in pieces if len(pieces) == 2 and abs(piece[0][0] - piece[1][0]) < 0.5]
    start, end = max(upright or pieces, key=lambda piece: length((piece[0], piece[1])))
    size = length((start, end)) or 1.0
    direction = (end[0] - start[0]) / size, (end[1] - start[1]) / size
    return ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), direction


def length(path: tuple[Point, ...]) -> float:
    """Give the length of a path [px]."""
    total = 0.0
    for (x1, y1), (x2, y2) in itertools.pairwise(path):
        total += ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    return total


def along(path: tuple[Point, ...], share: float) -> Point:
    """Give the point at a share of a path's length, from 0 to 1."""
    left = min(max(share, 0.0), 1.0) * length(path)
    for (x1, y1), (x2, y2) in itertools.pairwise(path):
        piece = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        if left <= piece and piece > 0:
            return x1 + (x2 - x1) * left / piece, y1 + (y2 - y1) * left / piece
        left -= piece
    return path[-1]


def part(path: tuple[Point, ...], first: float, last: float) -> tuple[Point, ...]:
    """Give the piece of a path between two shares of its length."""
    total, done = length(path) or 1.0, 0.0
    inner = []
    for one, other in itertools.pairwise(path):
        done += length((one, other))
        if first < done / total < last:
            inner.append(other)
    return (along(path, first), *inner, along(path, last))


def rank(edge: Edge) -> int:
    """Give how much room something takes: rows of a tree."""
    return 3 if isinstance(edge, Transformer) else 2
