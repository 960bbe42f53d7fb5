"""
A one-line diagram: a network document, its layout, and what is shown upon it, as a canvas.

Where it stands: the way into this room. ``tresma network draw`` writes the canvas by `svg` or `raster`; whoever has a
fault, a switching sequence or voltages to show passes an `Overlay`.

Rules:

- Colours of lines tell their voltage, broad pale bands the areas; an overlay's colours go before those of voltages.
- Names are placed the most important first; where there is no room, a name is left out rather than drawn upon another.
  Everything carries its name and data as a title, which SVG viewers show under the pointer.
"""

from enum import StrEnum

from algorithms.api.network_document import NetworkDocument
from device_catalog.network_diagram.attachments import draw_attachments
from device_catalog.network_diagram.canvas import Canvas
from device_catalog.network_diagram.conductors import draw_areas, draw_lines, draw_nodes, draw_on_lines, draw_stubs
from device_catalog.network_diagram.layout import Structure
from device_catalog.network_diagram.layout_map import geographic, has_positions
from device_catalog.network_diagram.layout_tree import tree
from device_catalog.network_diagram.legend import draw_legend, draw_title
from device_catalog.network_diagram.marks import draw_marks
from device_catalog.network_diagram.names import write_names
from device_catalog.network_diagram.overlay import Overlay
from device_catalog.network_diagram.picture import Picture

TREE_UP_TO = 150
"""Above so many nodes a network is drawn where it is, if that is known."""


class Arrangement(StrEnum):
    """How a network is laid out."""

    AUTO = "auto"
    TREE = "tree"
    MAP = "map"


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
    picture = Picture(structure, layout, overlay)
    for room in (
        draw_areas,
        draw_lines,
        draw_stubs,
        draw_nodes,
        draw_on_lines,
        draw_attachments,
        draw_marks,
        write_names,
    ):
        room(picture)
    draw_title(picture.canvas, document, overlay)
    draw_legend(picture)
    return picture.canvas
