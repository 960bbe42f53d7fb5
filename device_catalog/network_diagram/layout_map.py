"""
A network where it is: nodes at their positions.

Where it stands: one of the two layouts of `layout`, for documents that have positions. Nodes that stand at one place
(on both sides of a switch, say) are drawn apart, towards what they lead to.
"""

import math
from collections import defaultdict

from device_catalog.network_diagram.canvas import Point
from device_catalog.network_diagram.layout import Layout, Structure, length
from device_catalog.network_files.reach import edges

MARGIN = (60.0, 100.0)
"""Left of and above the network [px]."""

APART = 26.0
"""Distance of nodes that stand at one place, where symbols are drawn at scale 1 [px]."""

_sizes = ((40, 150.0, 1.0), (120, 90.0, 0.85), (400, 56.0, 0.62), (10**9, 40.0, 0.5))
"""Up to so many nodes: square root of the area for each of them [px], and scale of symbols."""

LARGEST = 4200.0
"""Longer side of the network in the picture [px]."""


def has_positions(structure: Structure) -> bool:
    """Tell whether a network can be drawn where it is: every node but those beside a placed one has a position."""
    placed = [node.position for node in structure.document.nodes if node.position is not None]
    return len(placed) == len(structure.document.nodes) and len(set(placed)) > 2


def geographic(structure: Structure) -> Layout:
    """Lay a network out where it is."""
    nodes = [node for node in structure.document.nodes if node.id not in structure.passing]
    side, scale = next((s, k) for most, s, k in _sizes if len(nodes) <= most)
    layout = Layout(scale=scale)
    raw = {node.id: node.position for node in structure.document.nodes if node.position is not None}
    left, right = min(x for x, _ in raw.values()), max(x for x, _ in raw.values())
    low, high = min(y for _, y in raw.values()), max(y for _, y in raw.values())
    wide, tall = max(right - left, 1e-9), max(high - low, 1e-9)
    factor = side * math.sqrt(len(nodes)) / math.sqrt(max(wide * tall, (max(wide, tall) / 3) ** 2))
    factor = min(factor, LARGEST / max(wide, tall))
    for node, (x, y) in raw.items():
        layout.places[node] = MARGIN[0] + (x - left) * factor, MARGIN[1] + (high - y) * factor
    _apart(structure, layout)
    _ties_apart(structure, layout)
    for edge in edges(structure.document):
        layout.paths[edge.id] = layout.places[edge.from_node], layout.places[edge.to_node]
    _hanging(structure, layout)
    # What was put apart may stand a little outside.
    x0, y0 = (min(place[axis] for place in layout.places.values()) - MARGIN[axis] for axis in (0, 1))
    layout.places = {node: (x - x0, y - y0) for node, (x, y) in layout.places.items()}
    layout.paths = {name: tuple((x - x0, y - y0) for x, y in path) for name, path in layout.paths.items()}
    layout.width = max(x for x, _ in layout.places.values()) + 130
    layout.height = max(y for _, y in layout.places.values()) + 60
    return layout


def _apart(structure: Structure, layout: Layout) -> None:
    """Draw apart what stands too near for a symbol between: away from the source, towards what it leads to."""
    wanted = APART * layout.scale
    for node, way in structure.parents.items():
        if way is None or way[1].id in structure.parallel:
            continue
        above, edge = way
        near = wanted if not hasattr(edge, "line_type") else 0.0
        near = 2.0 * wanted if hasattr(edge, "vector_group") else near
        here, there = layout.places[node], layout.places[above]
        gap = length((here, there))
        if gap >= near:
            continue
        direction = _onward(structure, layout, node, above) if gap < 1.0 else None
        if direction is None:
            direction = ((here[0] - there[0]) / gap, (here[1] - there[1]) / gap) if gap > 1e-6 else (0.0, 1.0)
        if structure.parents[above] is None and gap >= 1.0:
            layout.places[above] = here[0] - near * direction[0], here[1] - near * direction[1]
        else:
            layout.places[node] = there[0] + near * direction[0], there[1] + near * direction[1]


def _ties_apart(structure: Structure, layout: Layout) -> None:
    """Draw the ends of lines that an open switch holds apart from the node it stands at."""
    wanted = APART * layout.scale
    for tie in structure.ties:
        ends = (tie.from_node, tie.to_node)
        loose = next((end for end in ends if end in structure.between), None)
        if loose is None or length(tuple(layout.places[end] for end in ends)) >= wanted:
            continue
        way = structure.parents[loose]
        direction = _towards(structure, layout, loose, way[0] if way else loose)
        x, y = layout.places[loose]
        layout.places[loose] = x + wanted * direction[0], y + wanted * direction[1]


def _towards(structure: Structure, layout: Layout, node: str, other: str) -> Point:
    """Give the direction from a node to another, or on to the first above that stands elsewhere."""
    here, way = layout.places[node], structure.parents[node]
    while length((here, layout.places[other])) < 1.0 and way is not None:
        other, way = way[0], structure.parents[way[0]]
    size = length((here, layout.places[other]))
    if size < 1.0:
        return 0.0, 1.0
    return (layout.places[other][0] - here[0]) / size, (layout.places[other][1] - here[1]) / size


def _onward(structure: Structure, layout: Layout, node: str, above: str) -> Point | None:
    """Give the direction to the first node below that stands elsewhere, or above where nothing is below."""
    here, waiting = layout.places[node], [child for child, _ in structure.children[node]]
    while waiting:
        at = waiting.pop(0)
        size = length((here, layout.places[at]))
        if size > 1.0:
            return (layout.places[at][0] - here[0]) / size, (layout.places[at][1] - here[1]) / size
        waiting += [child for child, _ in structure.children[at]]
    way = structure.parents[above]
    while way is not None:
        size = length((here, layout.places[way[0]]))
        if size > 1.0:
            x, y = layout.places[way[0]]
            return (here[0] - x) / size, (here[1] - y) / size
        way = structure.parents[way[0]]
    return None


def _hanging(structure: Structure, layout: Layout) -> None:
    """Hang loads where no line leaves: opposite to the middle of all that do."""
    around: defaultdict[str, list[float]] = defaultdict(list)
    for edge in edges(structure.document):
        for one, other in ((edge.from_node, edge.to_node), (edge.to_node, edge.from_node)):
            (x1, y1), (x2, y2) = layout.places[one], layout.places[other]
            if (x1, y1) != (x2, y2):
                around[one].append(math.atan2(y2 - y1, x2 - x1))
    for node in layout.places:
        angles = sorted(around[node]) or [-math.pi / 2]
        gaps = [
            (after - before, before)
            for before, after in zip(angles, [*angles[1:], angles[0] + 2 * math.pi], strict=True)
        ]
        widest, before = max(gaps)
        angle = before + widest / 2
        layout.hanging[node] = math.cos(angle), math.sin(angle)
