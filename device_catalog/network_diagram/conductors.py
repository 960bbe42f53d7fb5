"""
What conducts: bands of areas, lines by their voltage, ends of ties, busbars and nodes, transformers and switches.

Where it stands: the first that `diagram` draws; everything else goes upon it.
"""

import itertools

from algorithms.api.network_equipment import Branch, Transformer
from algorithms.api.network_operation import Area, Level, Switch
from device_catalog.network_diagram import symbols
from device_catalog.network_diagram.canvas import Circle, Point, Style
from device_catalog.network_diagram.layout import length, middle, part
from device_catalog.network_diagram.picture import DEAD, Picture
from device_catalog.network_diagram.words import describe, short
from device_catalog.network_files.reach import Edge

_grey = "#e9eef5"
_pale = ("#f9d9a8", "#bfe3c6", "#c9d7f2", "#f3c6d3", "#e3d3ee", "#f5e79b", "#bfe6e6", "#e6d5c3")


def draw_areas(picture: Picture) -> None:
    """Colour areas by broad bands below everything."""
    owner: dict[str, Area] = {}
    for level in (Level.LV, Level.CONCENTRATOR, Level.MV):
        for number, area in enumerate(one for one in picture.document.areas if one.level == level):
            if level == Level.MV:
                colour = _grey
            elif level == Level.LV:
                colour = _pale[number % len(_pale)]
            else:  # never the first, which the only low-voltage area of a network has
                colour = _pale[1 + number % (len(_pale) - 1)]
            picture.colours[area.id] = colour
            owner |= dict.fromkeys(area.nodes, area)
    order = {Level.CONCENTRATOR: 2, Level.LV: 1, Level.MV: 0}
    broad = 30.0 * picture.layout.scale
    for edge in picture.edges:
        path = picture.layout.paths.get(edge.id)
        areas = [owner[end] for end in (edge.from_node, edge.to_node) if end in owner]
        if path is None or not areas:
            continue
        lowest = max(areas, key=lambda area: order[area.level])
        style = Style(
            stroke=picture.colours[lowest.id], width=broad * (0.8 if lowest.level == Level.CONCENTRATOR else 1)
        )
        picture.canvas.line(path, style, layer=-2 + order[lowest.level])
    for node, area in owner.items():
        if node in picture.layout.places:
            circle = Circle(picture.layout.places[node], broad / 2, Style(stroke="", fill=picture.colours[area.id]))
            picture.canvas.add(circle, layer=-2 + order[area.level])
            bar = picture.layout.bars.get(node)
            if bar:
                picture.canvas.line(
                    bar, Style(stroke=picture.colours[area.id], width=broad), layer=-2 + order[area.level]
                )


def draw_lines(picture: Picture) -> None:
    """Draw everything that leads from node to node, in the colour of its voltage or of the overlay."""
    for edge in picture.edges:
        path = picture.layout.paths.get(edge.id)
        if path is None:
            continue
        dead = {edge.from_node, edge.to_node} - picture.structure.live
        dash = (5.0, 4.0) if dead and not picture.structure.is_open(edge) else ()
        title = describe(edge, picture.document)
        width = 1.8 * max(picture.layout.scale, 0.55)
        colour = picture.overlay.edge_colours.get(edge.id)
        if isinstance(edge, Transformer) and not colour:
            point, _ = middle(path)
            halves = [
                (picture.colour(end), _half(path, point, end == edge.from_node))
                for end in (edge.from_node, edge.to_node)
            ]
            for half, points in halves:
                picture.canvas.line(points, Style(stroke=half, width=width, dash=dash), layer=1, title=title)
        else:
            own = colour or (DEAD if dead else picture.colour(edge.from_node))
            style = Style(stroke=own, width=width * (1.9 if colour else 1.0), dash=dash)
            picture.canvas.line(path, style, layer=1, title=title)
        picture.labels.take_line(path)


def _half(path: tuple[Point, ...], point: Point, first: bool) -> tuple[Point, ...]:
    total, done = length(path) or 1.0, 0.0
    for one, other in itertools.pairwise(path):
        whole = length((one, other))
        if abs(length((one, point)) + length((point, other)) - whole) < 1e-6:
            done += length((one, point))
            break
        done += whole
    return part(path, 0.0, done / total) if first else part(path, done / total, 1.0)


def draw_stubs(picture: Picture) -> None:
    """Draw the ends of what is not drawn through, with the name of where they lead."""
    for stub in picture.layout.stubs:
        dead = stub.node not in picture.structure.live
        colour = DEAD if dead else picture.colour(stub.node)
        style = Style(stroke=colour, width=1.6 * max(picture.layout.scale, 0.55), dash=(4.0, 3.0))
        picture.canvas.line(stub.path, style, layer=1, title=describe(stub.edge, picture.document))
        picture.labels.take_line(stub.path)
        end = stub.path[-1]
        down = abs(end[1] - stub.path[-2][1]) > abs(end[0] - stub.path[-2][0])
        words = [f"to {short(picture.name(stub.to_node), 20)}"]
        if stub.node == stub.edge.from_node and not isinstance(stub.edge, Branch):
            picture.symbol(stub.edge, stub.path)
        elif isinstance(stub.edge, Switch):
            words.append(f"by {short(stub.edge.name or stub.edge.id)}")
        picture.labels.place(
            words,
            end,
            picture.letters * 0.85,
            gap=4,
            colour="#555555",
            sides="bra" if down else "lab",
            must=picture.small,
        )


def draw_nodes(picture: Picture) -> None:
    """Draw busbars and nodes."""
    scale = picture.layout.scale
    for node, place in picture.layout.places.items():
        colour = picture.overlay.node_colours.get(node) or picture.colour(node)
        known = node in picture.overlay.node_colours
        title = describe(picture.nodes[node], picture.document)
        bar = picture.layout.bars.get(node)
        if bar:
            style = Style(stroke=colour, width=(3.6 if picture.is_busbar(node) or known else 1.8) * scale)
            picture.canvas.line(bar, style, layer=2, title=title)
        if node in picture.structure.passing and not known:
            continue
        radius = (5.4 if known else 1.6 if node in picture.structure.between else 3.0) * scale
        picture.canvas.add(
            Circle(place, radius, Style(stroke="#ffffff", fill=colour, width=0.8 * scale), title), layer=4
        )
        picture.labels.take(symbols.box_around(place, radius))


def draw_on_lines(picture: Picture) -> None:
    """Draw transformers and switches, one for those in parallel."""
    beside = {edge.id for edges in picture.structure.parallel.values() for edge in edges}
    carrying: list[Edge] = [*picture.document.transformers, *picture.document.switches]
    for edge in carrying:
        path = picture.layout.paths.get(edge.id)
        if path is not None and edge.id not in beside:
            picture.symbol(edge, path)
