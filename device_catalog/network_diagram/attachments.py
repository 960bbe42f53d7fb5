"""
What hangs at nodes: sources, loads, capacitors, generators, storages, and badges where something is measured.

Where it stands: drawn by `diagram` upon what conducts.
"""

from collections import defaultdict

from algorithms.api.network_equipment import Load
from device_catalog.network_diagram import symbols
from device_catalog.network_diagram.canvas import Point
from device_catalog.network_diagram.layout import along, length
from device_catalog.network_diagram.picture import Picture
from device_catalog.network_diagram.words import describe, power_words, short


def draw_attachments(picture: Picture) -> None:
    """Draw sources, loads, generators and meters."""
    scale = picture.layout.scale
    metered: defaultdict[str, list[str]] = defaultdict(list)
    for terminal in picture.document.terminals:
        metered[terminal.equipment or terminal.node].append(terminal.id)
    for source in picture.document.sources:
        place, colour = picture.layout.places[source.node], picture.colour(source.node)
        x, y = picture.layout.hanging.get(source.node, (0.0, -1.0))
        direction = (0.0, -1.0) if x <= 0 and abs(x) > abs(y) else (x, y)
        box = symbols.source(picture.canvas, place, direction, scale, colour=colour, title=source.name or source.id)
        picture.labels.take(box)
        words = [short(source.name or source.id, 24)]
        picture.labels.place(words, _middle_of(box), picture.letters, gap=20 * scale, must=True, bold=True)
    hung: defaultdict[str, list[Load]] = defaultdict(list)
    for load in (*picture.document.loads, *picture.document.generators):
        hung[load.node].append(load)
    for node, loads in hung.items():
        _hang(picture, node, loads, metered)
    for edge in picture.edges:
        path = picture.layout.paths.get(edge.id)
        if path is not None and edge.id in metered:
            at_start = any(one.node == edge.from_node for one in picture.document.terminals if one.equipment == edge.id)
            share = min(0.3, 9 * scale / (length(path) or 1.0))
            at = along(path, share if at_start else 1 - share)
            picture.labels.take(symbols.meter(picture.canvas, at, scale, f"measured: {', '.join(metered[edge.id])}"))
    for node in picture.nodes:
        if node in metered and node in picture.layout.places:
            x, y = picture.layout.places[node]
            at = x - 7 * scale, y - 7 * scale
            picture.labels.take(symbols.meter(picture.canvas, at, scale, f"measured: {', '.join(metered[node])}"))


def _hang(picture: Picture, node: str, loads: list[Load], metered: dict[str, list[str]]) -> None:
    """Draw what hangs on a node: one symbol of each kind."""
    place, direction = picture.layout.places[node], picture.layout.hanging[node]
    scale = picture.layout.scale
    kinds: dict[str, list[Load]] = {}
    for load in loads:
        kinds.setdefault(_kind(load), []).append(load)
    for number, (kind, ones) in enumerate(sorted(kinds.items(), reverse=True)):
        turned = direction if number == 0 else _turned(direction, number)
        title = "; ".join(describe(one, picture.document) for one in ones)
        if kind == "load":
            box = symbols.load(picture.canvas, place, turned, scale, title=title)
        elif kind == "capacitor":
            box = symbols.capacitor(picture.canvas, place, turned, scale, title=title)
        else:
            box = symbols.generator(picture.canvas, place, turned, scale, letter=kind, title=title)
        picture.labels.take(box)
        badge = place[0] + 8 * scale * turned[0], place[1] + 8 * scale * turned[1]
        if any(one.id in metered for one in ones):
            picture.labels.take(symbols.meter(picture.canvas, badge, scale, "measured"))
        if picture.small:
            end = place[0] + 25 * scale * turned[0], place[1] + 25 * scale * turned[1]
            picture.powers.append((power_words(ones), end, _sides(turned)))


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
