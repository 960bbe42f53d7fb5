"""
What stands around a diagram: its title above, and below what its symbols and colours mean, as far as they occur.

Where it stands: `diagram` calls both last, when the size of the network is known; the legend makes the picture higher.
"""

from collections.abc import Callable, Iterator, Mapping

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_operation import Level, SwitchKind
from device_catalog.network_diagram import symbols
from device_catalog.network_diagram.canvas import Canvas, Circle, Point, Style, Text, text_width
from device_catalog.network_diagram.overlay import Overlay
from device_catalog.network_diagram.picture import DEAD, Picture, voltage_colour
from device_catalog.network_diagram.words import short

NAMED_AREAS = 8
"""Up to so many areas of a level are named one by one."""

SIZE = 11.0
"""Of the letters [px]."""

_row = 30.0
_symbol = 46.0

Entry = tuple[Callable[[Canvas, Point], object], str]


def draw_title(canvas: Canvas, document: NetworkDocument, overlay: Overlay) -> None:
    """Write the network's name, its revision and the caption."""
    canvas.add(Text((24, 32), short(canvas.title, 70), 18, bold=True), layer=9)
    line = f"{document.network}, revision {document.revision}, {len(document.nodes)} nodes"
    canvas.add(Text((24, 50), line, 11, "#666666"), layer=9)
    if overlay.caption:
        canvas.add(Text((24, 68), overlay.caption, 12.5, "#333333"), layer=9)


def draw_legend(picture: Picture) -> None:
    """Say what occurs in the picture, in as many rows as it takes."""
    canvas, left_out = picture.canvas, picture.labels.left_out
    top = canvas.height + 16
    x, y = 24.0, top + 18
    canvas.line([(24, top - 8), (canvas.width - 24, top - 8)], Style(stroke="#cccccc", width=0.8), layer=9)
    for sign, words in _entries(picture):
        wide = _symbol + text_width(words, SIZE) + 14
        if x + wide > canvas.width - 12 and x > 24:
            x, y = 24.0, y + _row
        sign(canvas, (x + _symbol / 2 - 4, y))
        canvas.add(Text((x + _symbol, y + 4), words, SIZE, halo=False), layer=9)
        x += wide
    if left_out:
        y += _row - 6
        names = "1 name is" if left_out == 1 else f"{left_out} names are"
        words = f"{names} left out for want of room; an SVG tells all under the pointer"
        canvas.add(Text((24, y), words, 10, "#777777", halo=False), layer=9)
    canvas.height = y + 24


def _entries(picture: Picture) -> Iterator[Entry]:
    document, structure = picture.document, picture.structure
    for colour, words in picture.overlay.legend:
        yield _dot(colour), words
    for voltage in sorted({node.base_voltage for node in document.nodes}, reverse=True):
        words = f"{voltage / 1e3:g} kV" if voltage >= 1e3 else f"{voltage:g} V"
        yield _stroke(voltage_colour(voltage)), words
    if len(structure.live) < len(document.nodes):
        yield _stroke(DEAD, (5.0, 4.0)), "dead"
    if picture.layout.stubs:
        yield _stroke("#444444", (4.0, 3.0)), "leads elsewhere"
    for kind in SwitchKind:
        of_kind = [one for one in document.switches if one.kind == kind]
        for is_open in (False, True):
            if any(structure.is_open(one) == is_open for one in of_kind):
                yield _switch(kind, is_open=is_open), f"{kind}{', open' if is_open else ''}"
    yield from _hanging(document)
    yield from _areas(document, picture.colours)


def _hanging(document: NetworkDocument) -> Iterator[Entry]:
    if any(_is_plain(one) for one in document.loads):
        yield _load, "load"
    if any(not _is_plain(one) for one in document.loads):
        yield _capacitor, "capacitor"
    if any(not one.storage for one in document.generators):
        yield _generator("G"), "generator"
    if any(one.storage for one in document.generators):
        yield _generator("S"), "storage"
    if document.terminals:
        yield _meter, "measured"


def _areas(document: NetworkDocument, areas: Mapping[str, str]) -> Iterator[Entry]:
    for level in Level:
        found = [area for area in document.areas if area.level == level]
        if len(found) > NAMED_AREAS:
            yield _bands([areas[area.id] for area in found[:3]]), f"{len(found)} {level} areas"
        else:
            for area in found:
                yield _bands([areas[area.id]]), f"{level}: {short(area.name or area.id, 24)}"


def _is_plain(load: object) -> bool:
    p, q, exponent = (getattr(load, name) for name in ("p", "q", "p_exponent"))
    return not (exponent == 2 and not any(p.values()) and sum(q.values()) < 0)


def _dot(colour: str) -> Callable[[Canvas, Point], object]:
    return lambda canvas, at: canvas.add(Circle(at, 6, Style(stroke="", fill=colour)), layer=9)


def _stroke(colour: str, dash: tuple[float, ...] = ()) -> Callable[[Canvas, Point], object]:
    style = Style(stroke=colour, width=2.2, dash=dash)
    return lambda canvas, at: canvas.line([(at[0] - 15, at[1]), (at[0] + 15, at[1])], style, layer=9)


def _bands(colours: list[str]) -> Callable[[Canvas, Point], object]:
    def sign(canvas: Canvas, at: Point) -> None:
        wide = 30.0 / len(colours)
        for number, colour in enumerate(colours):
            left = at[0] - 15 + number * wide
            corners = [(left, at[1] - 8), (left + wide, at[1] - 8), (left + wide, at[1] + 8), (left, at[1] + 8)]
            canvas.area(corners, Style(stroke="", fill=colour), layer=9)

    return sign


def _switch(kind: SwitchKind, *, is_open: bool) -> Callable[[Canvas, Point], object]:
    def sign(canvas: Canvas, at: Point) -> None:
        canvas.line([(at[0] - 18, at[1]), (at[0] + 18, at[1])], Style(width=1.6), layer=1)
        symbols.switch(canvas, at, (1.0, 0.0), 0.9, kind=kind, is_open=is_open, title="")

    return sign


def _load(canvas: Canvas, at: Point) -> None:
    symbols.load(canvas, (at[0], at[1] - 11), (0.0, 1.0), 0.9, title="")


def _capacitor(canvas: Canvas, at: Point) -> None:
    symbols.capacitor(canvas, (at[0], at[1] - 11), (0.0, 1.0), 0.9, title="")


def _meter(canvas: Canvas, at: Point) -> None:
    symbols.meter(canvas, at, 1.2, "")


def _generator(letter: str) -> Callable[[Canvas, Point], object]:
    return lambda canvas, at: symbols.generator(canvas, (at[0] - 14, at[1]), (1.0, 0.0), 0.8, letter=letter, title="")
