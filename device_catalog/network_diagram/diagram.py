"""
A one-line diagram: a network document, its layout, and what is shown upon it, as a canvas.

Where it stands: the way into this room. ``tresma network draw`` writes the canvas by `svg` or `raster`; whoever has a
fault, a switching sequence or voltages to show passes an `Overlay`.

Rules:

- Colours of lines tell their voltage, broad pale bands the areas; an overlay's colours go before those of voltages.
- Names are placed the most important first; where there is no room, a name is left out rather than drawn upon another.
  Everything carries its name and data as a title, which SVG viewers show under the pointer.
"""

import itertools
from collections import defaultdict
from enum import StrEnum

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Branch, Load, Transformer
from algorithms.api.network_operation import Area, Level, Switch
from device_catalog.network_diagram import symbols
from device_catalog.network_diagram.canvas import Canvas, Circle, Point, Style
from device_catalog.network_diagram.labels import Labels
from device_catalog.network_diagram.layout import Layout, Structure, along, length, middle, part
from device_catalog.network_diagram.layout_map import geographic, has_positions
from device_catalog.network_diagram.layout_tree import tree
from device_catalog.network_diagram.legend import draw_legend, draw_title
from device_catalog.network_diagram.overlay import Mark, MarkKind, Overlay
from device_catalog.network_diagram.words import describe, length_words, power_words, short
from device_catalog.network_files.reach import Edge

ROOM_FOR_LINES = 60
"""Up to so many nodes, lines are named too."""

TREE_UP_TO = 150
"""Above so many nodes a network is drawn where it is, if that is known."""

DEAD = "#9a9a9a"
_levels = ((45e3, "#7b241c"), (1e3, "#1f4e79"), (0.0, "#222222"))
_pale = ("#f9d9a8", "#bfe3c6", "#c9d7f2", "#f3c6d3", "#e3d3ee", "#f5e79b", "#bfe6e6", "#e6d5c3")


class Arrangement(StrEnum):
    """How a network is laid out."""

    AUTO = "auto"
    TREE = "tree"
    MAP = "map"


def voltage_colour(voltage: float) -> str:
    """Give the colour of lines at a nominal voltage [V]."""
    return next(colour for above, colour in _levels if voltage > above)


def draw(
    document: NetworkDocument, overlay: Overlay | None = None, arrangement: Arrangement = Arrangement.AUTO
) -> Canvas:
    """
    Draw a network.

    Parameters
    ----------
    document : NetworkDocument
        Without problems.
    overlay : Overlay
    arrangement : Arrangement
        ``auto`` takes the tree, or the map for large networks whose positions are known.

    Returns
    -------
    Canvas

    Raises
    ------
    ValueError
        When a map is asked for, and positions are not known.
    """
    overlay = overlay or Overlay()
    structure = Structure(document, overlay.switches)
    placed = has_positions(structure)
    if arrangement == Arrangement.MAP and not placed:
        raise ValueError("a map needs the position of every node, and not all are known: draw a tree")
    large = len(document.nodes) - len(structure.passing) > TREE_UP_TO
    wanted = arrangement == Arrangement.MAP or (arrangement == Arrangement.AUTO and large and placed)
    layout = geographic(structure) if wanted else tree(structure)
    return _Diagram(structure, layout, overlay).canvas


class _Diagram:
    """One picture."""

    def __init__(self, structure: Structure, layout: Layout, overlay: Overlay) -> None:
        self.document, self.structure = structure.document, structure
        self.layout, self.overlay = layout, overlay
        title = self.document.name or self.document.network
        self.canvas = Canvas(max(layout.width, 560.0), layout.height, title)
        self.labels = Labels(self.canvas)
        self.nodes = {node.id: node for node in self.document.nodes}
        self.small = len(self.document.nodes) <= ROOM_FOR_LINES
        self.letters = 12.0 if self.small else max(7.5, 12.0 * layout.scale)
        self.edges: list[Edge] = [*self.document.branches, *self.document.transformers, *self.document.switches]
        self._areas()
        self._lines()
        self._stubs()
        self._bars_and_nodes()
        self._on_lines()
        self._powers: list[tuple[str, Point, str]] = []
        self._at_nodes()
        self._marks()
        for words, at, sides in self._powers:
            self.labels.place([words], at, self.letters * 0.85, gap=5, colour="#555555", sides=sides)
        self._names()
        draw_title(self.canvas, self.document, overlay)
        draw_legend(self.canvas, self.structure, overlay, self.colours, voltage_colour, left_out=self.labels.left_out)

    def _areas(self) -> None:
        """Colour areas by broad bands below everything."""
        self.colours: dict[str, str] = {}
        owner: dict[str, Area] = {}
        for level in (Level.LV, Level.CONCENTRATOR, Level.MV):
            for number, area in enumerate(one for one in self.document.areas if one.level == level):
                shift = {Level.LV: 0, Level.CONCENTRATOR: 1, Level.MV: 2}[level]
                self.colours[area.id] = _pale[(number + shift) % len(_pale)] if level != Level.MV else "#e9eef5"
                owner |= dict.fromkeys(area.nodes, area)
        order = {Level.CONCENTRATOR: 2, Level.LV: 1, Level.MV: 0}
        broad = 30.0 * self.layout.scale
        for edge in self.edges:
            path = self.layout.paths.get(edge.id)
            areas = [owner[end] for end in (edge.from_node, edge.to_node) if end in owner]
            if path is None or not areas:
                continue
            lowest = max(areas, key=lambda area: order[area.level])
            style = Style(
                stroke=self.colours[lowest.id], width=broad * (0.8 if lowest.level == Level.CONCENTRATOR else 1)
            )
            self.canvas.line(path, style, layer=-2 + order[lowest.level])
        for node, area in owner.items():
            if node in self.layout.places:
                circle = Circle(self.layout.places[node], broad / 2, Style(stroke="", fill=self.colours[area.id]))
                self.canvas.add(circle, layer=-2 + order[area.level])
                bar = self.layout.bars.get(node)
                if bar:
                    self.canvas.line(
                        bar, Style(stroke=self.colours[area.id], width=broad), layer=-2 + order[area.level]
                    )

    def _colour(self, node: str) -> str:
        return voltage_colour(self.nodes[node].base_voltage) if node in self.structure.live else DEAD

    def _lines(self) -> None:
        for edge in self.edges:
            path = self.layout.paths.get(edge.id)
            if path is None:
                continue
            dead = {edge.from_node, edge.to_node} - self.structure.live
            dash = (5.0, 4.0) if dead and not self.structure.is_open(edge) else ()
            title = describe(edge, self.document)
            width = 1.8 * max(self.layout.scale, 0.55)
            colour = self.overlay.edge_colours.get(edge.id)
            if isinstance(edge, Transformer) and not colour:
                point, _ = middle(path)
                halves = [
                    (self._colour(end), self._half(path, point, end == edge.from_node))
                    for end in (edge.from_node, edge.to_node)
                ]
                for half, points in halves:
                    self.canvas.line(points, Style(stroke=half, width=width, dash=dash), layer=1, title=title)
            else:
                own = colour or (DEAD if dead else self._colour(edge.from_node))
                style = Style(stroke=own, width=width * (1.9 if colour else 1.0), dash=dash)
                self.canvas.line(path, style, layer=1, title=title)
            self.labels.take_line(path)

    @staticmethod
    def _half(path: tuple[Point, ...], point: Point, first: bool) -> tuple[Point, ...]:
        total, done = length(path) or 1.0, 0.0
        for one, other in itertools.pairwise(path):
            whole = length((one, other))
            if abs(length((one, point)) + length((point, other)) - whole) < 1e-6:
                done += length((one, point))
                break
            done += whole
        return part(path, 0.0, done / total) if first else part(path, done / total, 1.0)

    def _stubs(self) -> None:
        """Draw the ends of what is not drawn through, with the name of where they lead."""
        for stub in self.layout.stubs:
            dead = stub.node not in self.structure.live
            colour = DEAD if dead else self._colour(stub.node)
            style = Style(stroke=colour, width=1.6 * max(self.layout.scale, 0.55), dash=(4.0, 3.0))
            self.canvas.line(stub.path, style, layer=1, title=describe(stub.edge, self.document))
            self.labels.take_line(stub.path)
            end = stub.path[-1]
            down = abs(end[1] - stub.path[-2][1]) > abs(end[0] - stub.path[-2][0])
            words = [f"to {short(self._name(stub.to_node), 20)}"]
            if stub.node == stub.edge.from_node and not isinstance(stub.edge, Branch):
                self._symbol(stub.edge, stub.path)
            elif isinstance(stub.edge, Switch):
                words.append(f"by {short(stub.edge.name or stub.edge.id)}")
            self.labels.place(
                words,
                end,
                self.letters * 0.85,
                gap=4,
                colour="#555555",
                sides="bra" if down else "lab",
                must=self.small,
            )

    def _bars_and_nodes(self) -> None:
        scale = self.layout.scale
        for node, place in self.layout.places.items():
            colour = self.overlay.node_colours.get(node) or self._colour(node)
            known = node in self.overlay.node_colours
            title = describe(self.nodes[node], self.document)
            bar = self.layout.bars.get(node)
            if bar:
                style = Style(stroke=colour, width=(3.6 if self._is_busbar(node) or known else 1.8) * scale)
                self.canvas.line(bar, style, layer=2, title=title)
            if node in self.structure.passing and not known:
                continue
            radius = (5.4 if known else 1.6 if node in self.structure.between else 3.0) * scale
            self.canvas.add(
                Circle(place, radius, Style(stroke="#ffffff", fill=colour, width=0.8 * scale), title), layer=4
            )
            self.labels.take(symbols.box_around(place, radius))

    def _is_busbar(self, node: str) -> bool:
        """Tell whether several feeders leave from here: at a source, or below a transformer."""
        way = self.structure.parents.get(node)
        return len(self.structure.children[node]) > 2 or way is None or isinstance(way[1], Transformer)

    def _on_lines(self) -> None:
        """Draw transformers and switches, one for those in parallel."""
        beside = {edge.id for edges in self.structure.parallel.values() for edge in edges}
        carrying: list[Edge] = [*self.document.transformers, *self.document.switches]
        for edge in carrying:
            path = self.layout.paths.get(edge.id)
            if path is not None and edge.id not in beside:
                self._symbol(edge, path)

    def _symbol(self, edge: Edge, path: tuple[Point, ...]) -> None:
        at, direction = middle(path)
        title = describe(edge, self.document)
        room = length(path)
        if isinstance(edge, Transformer):
            scale = min(self.layout.scale, room / 44.0)
            colours = (
                (self.overlay.edge_colours[edge.id],) * 2
                if edge.id in self.overlay.edge_colours
                else (self._colour(edge.from_node), self._colour(edge.to_node))
            )
            box = symbols.transformer(
                self.canvas, at, direction, scale, group=edge.vector_group, colours=colours, title=title
            )
        elif isinstance(edge, Switch):
            scale = min(self.layout.scale, room / 28.0)
            is_open = self.structure.is_open(edge)
            box = symbols.switch(self.canvas, at, direction, scale, kind=edge.kind, is_open=is_open, title=title)
        else:
            return
        self.labels.take(box)

    def _at_nodes(self) -> None:
        """Draw sources, loads, generators and meters."""
        scale = self.layout.scale
        metered: defaultdict[str, list[str]] = defaultdict(list)
        for terminal in self.document.terminals:
            metered[terminal.equipment or terminal.node].append(terminal.id)
        for source in self.document.sources:
            place, colour = self.layout.places[source.node], self._colour(source.node)
            x, y = self.layout.hanging.get(source.node, (0.0, -1.0))
            direction = (0.0, -1.0) if x <= 0 and abs(x) > abs(y) else (x, y)
            box = symbols.source(self.canvas, place, direction, scale, colour=colour, title=source.name or source.id)
            self.labels.take(box)
            words = [short(source.name or source.id, 24)]
            self.labels.place(words, _middle_of(box), self.letters, gap=20 * scale, must=True, bold=True)
        hung: defaultdict[str, list[Load]] = defaultdict(list)
        for load in (*self.document.loads, *self.document.generators):
            hung[load.node].append(load)
        for node, loads in hung.items():
            self._hang(node, loads, metered)
        for edge in self.edges:
            path = self.layout.paths.get(edge.id)
            if path is not None and edge.id in metered:
                at_start = any(
                    one.node == edge.from_node for one in self.document.terminals if one.equipment == edge.id
                )
                share = min(0.3, 9 * scale / (length(path) or 1.0))
                at = along(path, share if at_start else 1 - share)
                self.labels.take(symbols.meter(self.canvas, at, scale, f"measured: {', '.join(metered[edge.id])}"))
        for node in self.nodes:
            if node in metered and node in self.layout.places:
                x, y = self.layout.places[node]
                at = x - 7 * scale, y - 7 * scale
                self.labels.take(symbols.meter(self.canvas, at, scale, f"measured: {', '.join(metered[node])}"))

    def _hang(self, node: str, loads: list[Load], metered: dict[str, list[str]]) -> None:
        """Draw what hangs on a node: one symbol of each kind."""
        place, direction = self.layout.places[node], self.layout.hanging[node]
        scale = self.layout.scale
        kinds: dict[str, list[Load]] = {}
        for load in loads:
            kinds.setdefault(_kind(load), []).append(load)
        for number, (kind, ones) in enumerate(sorted(kinds.items(), reverse=True)):
            turned = direction if number == 0 else _turned(direction, number)
            title = "; ".join(describe(one, self.document) for one in ones)
            if kind == "load":
                box = symbols.load(self.canvas, place, turned, scale, title=title)
            elif kind == "capacitor":
                box = symbols.capacitor(self.canvas, place, turned, scale, title=title)
            else:
                box = symbols.generator(self.canvas, place, turned, scale, letter=kind, title=title)
            self.labels.take(box)
            badge = place[0] + 8 * scale * turned[0], place[1] + 8 * scale * turned[1]
            if any(one.id in metered for one in ones):
                self.labels.take(symbols.meter(self.canvas, badge, scale, "measured"))
            if self.small:
                end = place[0] + 25 * scale * turned[0], place[1] + 25 * scale * turned[1]
                self._powers.append((power_words(ones), end, _sides(turned)))

    def _marks(self) -> None:
        for mark in self.overlay.marks:
            at, path = self._place_of(mark)
            if at is None:
                continue
            title = mark.text or mark.kind
            if path is not None and mark.extent and mark.distance is not None:
                branch = next(one for one in self.document.branches if one.id == mark.element)
                shares = [(mark.distance + side * mark.extent) / branch.length for side in (-1, 1)]
                reach = part(path, max(shares[0], 0.0), min(shares[1], 1.0))
                self.canvas.line(reach, Style(stroke="#d4141e", width=9.0, opacity=0.35), layer=5)
            if mark.kind == MarkKind.STEP:
                box = symbols.step(self.canvas, at, self.layout.scale, mark.text[:3], title)
            elif mark.kind == MarkKind.FAULT:
                box = symbols.bolt(self.canvas, at, self.layout.scale, title)
            else:
                box = symbols.flag(self.canvas, at, self.layout.scale, title)
            self.labels.take(box)
            if mark.text and mark.kind != MarkKind.STEP:
                self.labels.place(
                    [mark.text], at, max(self.letters, 11.0), gap=17, colour="#a01018", bold=True, must=True
                )

    def _place_of(self, mark: Mark) -> tuple[Point | None, tuple[Point, ...] | None]:
        if mark.element in self.layout.places:
            return self.layout.places[mark.element], None
        path = self.layout.paths.get(mark.element)
        if path is None:
            stub = next((stub for stub in self.layout.stubs if stub.edge.id == mark.element), None)
            path = stub.path if stub else None
        if path is None:
            return None, None
        branch = next((one for one in self.document.branches if one.id == mark.element), None)
        if mark.kind == MarkKind.STEP and branch is None:
            return self._beside(*middle(path)), path
        share = mark.distance / branch.length if branch and mark.distance is not None else 0.5
        return along(path, share), path

    def _beside(self, at: Point, direction: Point) -> Point:
        """Give a free place beside a symbol, which must be seen."""
        (x, y), (dx, dy) = at, direction
        away = 24 * max(self.layout.scale, 0.8)
        places = [(x - dy * away, y + dx * away), (x + dy * away, y - dx * away)]
        free = [place for place in places if self.labels.free(symbols.box_around(place, away / 2))]
        return (free or places)[0]

    def _names(self) -> None:
        """Write names, the most important first."""
        size = self.letters
        for one in self.document.transformers:
            path = self.layout.paths.get(one.id)
            beside = self.structure.parallel.get(one.id, [])
            if path is None or any(one in others for others in self.structure.parallel.values()):
                continue
            count = f"{1 + len(beside)} x " if beside else ""
            words = [count + short(one.name or one.id, 20), *self._transformer_words(one)]
            self.labels.place(words, middle(path)[0], size, gap=22 * self.layout.scale, bold=True, must=self.small)
        for switch in self.document.switches:
            path = self.layout.paths.get(switch.id) or next(
                (s.path for s in self.layout.stubs if s.edge is switch and s.node == switch.from_node), None
            )
            if path is None:
                continue
            is_open = self.structure.is_open(switch)
            if is_open or self.small:
                colour = symbols.OPEN if is_open else "#222222"
                words = [short(switch.name or switch.id)]
                self.labels.place(
                    words, middle(path)[0], size * 0.9, gap=14 * self.layout.scale, colour=colour, must=is_open
                )
        self._area_names()
        important = {*self.overlay.node_notes, *self.overlay.node_colours}
        served = {one.node for one in (*self.document.loads, *self.document.generators)}
        order = sorted(
            self.layout.places, key=lambda node: (node not in important, not self._is_busbar(node), node not in served)
        )
        for node in order:
            if (node in self.structure.passing or node in self.structure.between) and node not in important:
                continue
            words = [short(self._name(node))]
            if node in self.overlay.node_notes:
                words.append(self.overlay.node_notes[node])
            self.labels.place(
                words, self.layout.places[node], size, gap=5.0 * self.layout.scale + 1, bold=self._is_busbar(node)
            )
        if self.small:
            self._line_names()

    def _transformer_words(self, one: Transformer) -> list[str]:
        high, low = (voltage / 1e3 for voltage in one.rated_voltage)
        words = [f"{one.vector_group}, {power_words([], one.rated_power)}"]
        if self.small:
            words.append(f"{high:g}/{low:g} kV")
            if one.tap is not None:
                words.append(f"tap {one.tap.position:+d}{' (regulates)' if one.tap.regulates else ''}")
        return words

    def _area_names(self) -> None:
        for area in self.document.areas:
            lower = [node for node in area.nodes if node in self.layout.places and node not in self.structure.passing]
            if (area.level == Level.CONCENTRATOR and not self.small) or not lower:
                continue
            first = min(lower, key=lambda node: (self.layout.places[node][1], self.layout.places[node][0]))
            words = [short(area.name or area.id, 22)]
            self.labels.place(
                words,
                self.layout.places[first],
                self.letters,
                gap=18 * self.layout.scale,
                colour="#7d5a00",
                sides="lrab",
            )

    def _line_names(self) -> None:
        for branch in self.document.branches:
            path = self.layout.paths.get(branch.id)
            if path is not None:
                at, _ = middle(path)
                words = [length_words(branch.length), short(self._type_of(branch), 16)]
                kept = [word for word in words if word]
                self.labels.place(kept, at, self.letters * 0.75, gap=4, colour="#6b6b6b", sides="rl")

    def _type_of(self, branch: Branch) -> str:
        found = next((one for one in self.document.line_types if one.id == branch.line_type), None)
        return (found.name or found.id) if found else ""

    def _name(self, node: str) -> str:
        return self.nodes[node].name or node


def _kind(load: Load) -> str:
    if isinstance(load, Load) and type(load) is Load:
        bank = load.p_exponent == 2 and not any(load.p.values()) and sum(load.q.values()) < 0
        return "capacitor" if bank else "load"
    return "S" if getattr(load, "storage", False) else "G"


def _turned(direction: Point, number: int) -> Point:
    x, y = direction
    return (-y, x) if number == 1 else (y, -x)


def _sides(direction: Point) -> str:
    """Give the sides where there is room for a word, for something that points so."""
    x, y = direction
    if abs(x) > abs(y):
        return "rab" if x > 0 else "lab"
    return "brl" if y > 0 else "arl"


def _middle_of(box: tuple[float, float, float, float]) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
