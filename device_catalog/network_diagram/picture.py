"""
A picture under way: the canvas, what is known of the network and its layout, and what is taken already.

Where it stands: `diagram` makes one and hands it from room to room: `conductors`, `attachments`, `marks`, `names`.
"""

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Transformer
from algorithms.api.network_operation import Switch
from device_catalog.network_diagram import symbols
from device_catalog.network_diagram.canvas import Canvas, Point
from device_catalog.network_diagram.labels import Labels
from device_catalog.network_diagram.layout import Layout, Structure, length, middle
from device_catalog.network_diagram.overlay import Overlay
from device_catalog.network_diagram.words import describe
from device_catalog.network_files.reach import Edge

ROOM_FOR_LINES = 60
"""Up to so many nodes, lines are named too."""

DEAD = "#9a9a9a"
"""Colour of what no source feeds."""

_levels = ((45e3, "#7b241c"), (1e3, "#1f4e79"), (0.0, "#222222"))


def voltage_colour(voltage: float) -> str:
    """Give the colour of lines at a nominal voltage [V]."""
    return next(colour for above, colour in _levels if voltage > above)


class Picture:
    """
    One picture.

    Attributes
    ----------
    document : NetworkDocument
    structure : Structure
    layout : Layout
    overlay : Overlay
    canvas : Canvas
    labels : Labels
    nodes : dict
        Nodes of the document by id.
    edges : list
        Everything that joins two nodes.
    small : bool
        Whether there is room for the names of lines, and powers.
    letters : float
        Size of names [px].
    colours : dict
        Of areas, by id.
    powers : list
        Words that belong to loads and generators, where they go, and on which sides.
    """

    def __init__(self, structure: Structure, layout: Layout, overlay: Overlay) -> None:
        self.document: NetworkDocument = structure.document
        self.structure, self.layout, self.overlay = structure, layout, overlay
        title = self.document.name or self.document.network
        self.canvas = Canvas(max(layout.width, 560.0), layout.height, title)
        self.labels = Labels(self.canvas)
        self.nodes = {node.id: node for node in self.document.nodes}
        self.small = len(self.document.nodes) <= ROOM_FOR_LINES
        self.letters = 12.0 if self.small else max(7.5, 12.0 * layout.scale)
        self.edges: list[Edge] = [*self.document.branches, *self.document.transformers, *self.document.switches]
        self.colours: dict[str, str] = {}
        self.powers: list[tuple[str, Point, str]] = []

    def colour(self, node: str) -> str:
        """Give the colour of lines at a node: of its voltage, or dead."""
        return voltage_colour(self.nodes[node].base_voltage) if node in self.structure.live else DEAD

    def is_busbar(self, node: str) -> bool:
        """Tell whether several feeders leave from here: at a source, or below a transformer."""
        way = self.structure.parents.get(node)
        return len(self.structure.children[node]) > 2 or way is None or isinstance(way[1], Transformer)

    def name(self, node: str) -> str:
        """Give what people call a node."""
        return self.nodes[node].name or node

    def symbol(self, edge: Edge, path: tuple[Point, ...]) -> None:
        """Draw what a line carries: a transformer or a switch."""
        at, direction = middle(path)
        title = describe(edge, self.document)
        room = length(path)
        if isinstance(edge, Transformer):
            scale = min(self.layout.scale, room / 44.0)
            colours = (
                (self.overlay.edge_colours[edge.id],) * 2
                if edge.id in self.overlay.edge_colours
                else (self.colour(edge.from_node), self.colour(edge.to_node))
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
