"""
Marks of an overlay: faults at their distance, numbered steps beside switches, notes.

Where it stands: drawn by `diagram` once all symbols are, so that marks keep clear of them, and before names.
"""

from device_catalog.network_diagram import symbols
from device_catalog.network_diagram.canvas import Point, Style
from device_catalog.network_diagram.layout import along, middle, part
from device_catalog.network_diagram.overlay import Mark, MarkKind
from device_catalog.network_diagram.picture import Picture


def draw_marks(picture: Picture) -> None:
    """Draw the marks of the overlay; one on something that is not in the picture is left out."""
    for mark in picture.overlay.marks:
        at, path = _place_of(picture, mark)
        if at is None:
            continue
        title = mark.text or mark.kind
        if path is not None and mark.extent and mark.distance is not None:
            branch = next(one for one in picture.document.branches if one.id == mark.element)
            shares = [(mark.distance + side * mark.extent) / branch.length for side in (-1, 1)]
            reach = part(path, max(shares[0], 0.0), min(shares[1], 1.0))
            picture.canvas.line(reach, Style(stroke="#d4141e", width=9.0, opacity=0.35), layer=5)
        if mark.kind == MarkKind.STEP:
            box = symbols.step(picture.canvas, at, picture.layout.scale, mark.text[:3], title)
        elif mark.kind == MarkKind.FAULT:
            box = symbols.bolt(picture.canvas, at, picture.layout.scale, title)
        else:
            box = symbols.flag(picture.canvas, at, picture.layout.scale, title)
        picture.labels.take(box)
        if mark.text and mark.kind != MarkKind.STEP:
            picture.labels.place(
                [mark.text], at, max(picture.letters, 11.0), gap=17, colour="#a01018", bold=True, must=True
            )


def _place_of(picture: Picture, mark: Mark) -> tuple[Point | None, tuple[Point, ...] | None]:
    if mark.element in picture.layout.places:
        return picture.layout.places[mark.element], None
    path = picture.layout.paths.get(mark.element)
    if path is None:
        stub = next((stub for stub in picture.layout.stubs if stub.edge.id == mark.element), None)
        path = stub.path if stub else None
    if path is None:
        return None, None
    branch = next((one for one in picture.document.branches if one.id == mark.element), None)
    if mark.kind == MarkKind.STEP and branch is None:
        return _beside(picture, *middle(path)), path
    share = mark.distance / branch.length if branch and mark.distance is not None else 0.5
    return along(path, share), path


def _beside(picture: Picture, at: Point, direction: Point) -> Point:
    """Give a free place beside a symbol, which must be seen."""
    (x, y), (dx, dy) = at, direction
    away = 24 * max(picture.layout.scale, 0.8)
    places = [(x - dy * away, y + dx * away), (x + dy * away, y - dx * away)]
    free = [place for place in places if picture.labels.free(symbols.box_around(place, away / 2))]
    return (free or places)[0]
