"""
A network as a tree from the top down, as one-line diagrams are drawn: the longest way straight, laterals to the right.

Where it stands: one of the two layouts of `layout`. Rows are counted from the source; a lateral takes the nearest
column where it, and what leads to it, crosses nothing. What closes a loop, or could, is not drawn through: both its
ends say where it leads. In large networks a lateral that does not branch goes on to the right, and a way is drawn
longer where that lets a small lateral end before the next begins: the picture grows down rather than wide.
"""

from device_catalog.network_diagram.canvas import Point
from device_catalog.network_diagram.layout import Layout, Structure, Stub, length, rank
from device_catalog.network_files.reach import Edge

_sizes = ((40, 136.0, 31.0, 1.0), (150, 100.0, 27.0, 0.9), (400, 54.0, 19.0, 0.62), (10**9, 34.0, 15.0, 0.5))
"""Up to so many nodes: width of a column, height of a row [px], scale of symbols."""

MARGIN = (110.0, 116.0)
"""Left of and above the network [px]."""

ROOM_FOR_TIES = 80.0
"""More room to the left where ends of ties are named there [px]."""

LARGE = 150
"""Above so many nodes room is saved."""

HIGHEST = 9
"""Rows for which a way is drawn longer to let a lateral end."""

_Way = tuple[list[str], list[Edge], str]
"""What is passed, by what, and the node at the end."""


def tree(structure: Structure) -> Layout:
    """Lay a network out as a tree."""
    kept = [node for node in structure.parents if node not in structure.passing]
    column, row, scale = next((w, h, s) for most, w, h, s in _sizes if len(kept) <= most)
    return _Tree(structure, column, row, scale).layout


class _Tree:
    def __init__(self, structure: Structure, column: float, row: float, scale: float) -> None:
        self.structure = structure
        self.layout = Layout(scale=scale)
        self._column, self._row = column, row
        self._cells: dict[tuple[int, int], str] = {}
        self._at: dict[str, tuple[int, int]] = {}
        self._served = {one.node for one in (*structure.document.loads, *structure.document.generators)}
        self._tied = {end for tie in structure.ties for end in (tie.from_node, tie.to_node)}
        self._ways = {node: self._ways_of(node) for node in structure.parents if node not in structure.passing}
        for node in structure.passing:
            if not structure.children[node]:
                self._ways.setdefault(node, [])
        self._large = len(self._ways) > LARGE
        self._left = MARGIN[0] + (ROOM_FOR_TIES if structure.ties else 0.0)
        self._depth: dict[str, int] = {}
        self._steps: dict[str, int] = {}
        for node in reversed(list(structure.parents)):
            if node in self._ways:
                self._measure(node)
        first = 0
        for node, way in structure.parents.items():
            if way is None:
                first = max((column for column, _ in self._at.values()), default=-1) + 1
                self._chain(node, max(first, 0), 0)
        self._draw()

    def _ways_of(self, node: str) -> list[_Way]:
        """Give what leads on from a node, passing those that are no more than a bend."""
        ways = []
        for child, edge in self.structure.children[node]:
            passed, by, at = [], [edge], child
            while at in self.structure.passing and len(self.structure.children[at]) == 1:
                passed.append(at)
                following, edge_on = self.structure.children[at][0]
                by.append(edge_on)
                at = following
            ways.append((passed, by, at))
        return ways

    def _measure(self, node: str) -> None:
        """Put the longest way on from a node last, and find the rows to its end."""
        ways = sorted(self._ways[node], key=self._rows)
        self._ways[node] = ways
        if not ways:
            self._depth[node] = 0
            return
        step = rank(ways[-1][1][0])
        if self._large:
            ends = [self._rows(way) + self._tail(way[2]) for way in ways[:-1] if not self._flat(ways, way)]
            step = max([step, *(end + 1 for end in ends if end < HIGHEST)])
        self._steps[node] = step
        self._depth[node] = step + self._depth[ways[-1][2]]

    def _rows(self, way: _Way) -> int:
        return self._depth[way[2]] + rank(way[1][0])

    def _flat(self, ways: list[_Way], way: _Way) -> bool:
        """Tell whether a lateral may go on to the right: the only one of its node, and one that does not branch."""
        if not self._large or len(ways) != 2 or way[2] in self._tied:
            return False
        node = way[2]
        while self._ways[node]:
            if len(self._ways[node]) > 1 or node in self._tied:
                return False
            node = self._ways[node][0][2]
        return True

    def _chain(self, start: str, column: int, row: int) -> None:
        """Place a node and the longest way on from it, then its laterals, the lowest first."""
        nodes, laterals = [(start, row)], []
        while True:
            node, at = nodes[-1]
            ways = self._ways[node]
            if not ways:
                break
            laterals += [(node, at, way) for way in ways[:-1]]
            nodes.append((ways[-1][2], at + self._steps[node]))
        for node, at in nodes:
            self._at[node] = column, at
        for cell in range(row, nodes[-1][1] + self._tail(nodes[-1][0]) + 1):
            self._cells[column, cell] = nodes[-1][0] if cell > nodes[-1][1] else start
        for node, at in nodes:
            self._cells[column, at] = node
        for node, at, way in sorted(laterals, key=lambda one: -one[1]):
            self._lateral(node, column, at, way)

    def _tail(self, node: str) -> int:
        """Give the rows that hang below the end of a way."""
        return 2 if node in self._served or node in self._tied else 1

    def _lateral(self, node: str, column: int, row: int, way: _Way) -> None:
        if self._flat(self._ways[node], way) and self._to_the_right(column, row, way):
            return
        start = row + rank(way[1][0])
        end, there = start + self._depth[way[2]] + 2, column + 1
        while not (
            all(self._cells.get((between, row), node) == node for between in range(column + 1, there + 1))
            and all((there, cell) not in self._cells for cell in range(row + 1, end + 1))
        ):
            there += 1
        for between in range(column + 1, there + 1):
            self._cells[between, row] = node
        for cell in range(row + 1, start):
            self._cells[there, cell] = way[2]
        self._chain(way[2], there, start)

    def _to_the_right(self, column: int, row: int, way: _Way) -> bool:
        """Place a lateral that does not branch in its node's own row, where there is room."""
        nodes = [way[2]]
        while self._ways[nodes[-1]]:
            nodes.append(self._ways[nodes[-1]][0][2])
        places = [(column + number, row) for number in range(1, len(nodes) + 1)]
        if any(place in self._cells or (place[0], row + 1) in self._cells for place in places):
            return False
        for name, place in zip(nodes, places, strict=True):
            self._at[name] = place
            self._cells[place] = self._cells[place[0], row + 1] = name
        return True

    def _point(self, place: tuple[int, int]) -> Point:
        return self._left + place[0] * self._column, MARGIN[1] + place[1] * self._row

    def _draw(self) -> None:
        layout = self.layout
        for node, place in self._at.items():
            layout.places[node] = self._point(place)
        reach: dict[str, float] = {}
        for node, place in self._at.items():
            x, y = self._point(place)
            for passed, by, end in self._ways.get(node, []):
                there = layout.places[end]
                bend = (there[0], y)
                path = ((x, y), there) if abs(there[0] - x) < 1 else ((x, y), bend, there)
                if there[1] != y:
                    reach[node] = max(reach.get(node, x), there[0])
                self._along(path, [node, *passed, end], by)
        for node, right in reach.items():
            x, y = layout.places[node]
            if right > x:
                layout.bars[node] = (x, y), (right, y)
        for node in self._at:
            leaf, way = not self._ways.get(node), self.structure.parents[node]
            flat = way is not None and layout.places[way[0]][1] == layout.places[node][1]
            down = (leaf and node not in self._tied) or flat
            layout.hanging[node] = (0.0, 1.0) if down else (-1.0, 0.0)
        self._stubs()
        columns = max(column for column, _ in self._cells) + 1
        rows = max(row for _, row in self._cells) + 1
        layout.width = self._left + columns * self._column + 20
        layout.height = MARGIN[1] + rows * self._row - 4

    def _along(self, path: tuple[Point, ...], nodes: list[str], by: list[Edge]) -> None:
        """Put the nodes that are passed evenly on the last straight piece, and share the path out."""
        start, end = path[-2], path[-1]
        for number, node in enumerate(nodes[1:-1], start=1):
            share = number / len(by)
            self.layout.places[node] = start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
            self.layout.hanging[node] = (-1.0, 0.0)
        for number, edge in enumerate(by):
            points = [self.layout.places[nodes[number]], self.layout.places[nodes[number + 1]]]
            if number == 0 and len(path) > 2:
                points.insert(1, path[1])
            if edge.from_node != nodes[number]:
                points.reverse()
            self.layout.paths[edge.id] = tuple(points)
            for beside in self.structure.parallel.get(edge.id, []):
                self.layout.paths[beside.id] = tuple(points if beside.from_node == edge.from_node else points[::-1])

    def _stubs(self) -> None:
        """Draw ends of ties: downward at the end of a way, to the left elsewhere, below a load."""
        counted: dict[str, int] = {}
        for tie in self.structure.ties:
            for node, other in ((tie.from_node, tie.to_node), (tie.to_node, tie.from_node)):
                if node not in self.layout.places:
                    continue
                x, y = self.layout.places[node]
                number = counted[node] = counted.get(node, 0) + 1
                size = 40.0 * self.layout.scale
                if not self._ways.get(node) and number == 1:
                    path: tuple[Point, ...] = ((x, y), (x, y + size))
                else:
                    down = 17 * self.layout.scale * (number + bool(node in self._served) - 1)
                    bend = ((x - min(down, 12.0), y + down),) if down else ()
                    path = ((x, y), *bend, (x - size - 8, y + down))
                self.layout.stubs.append(Stub(tie, node, path, other))
        assert all(length(stub.path) > 0 for stub in self.layout.stubs)  # noqa: S101 - what is drawn has a length
