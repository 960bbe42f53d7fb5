"""
A picture as a list of simple shapes, whatever it is written as.

Where it stands: `diagram` and `symbols` draw upon a `Canvas`; `svg` and `raster` write it. Coordinates are in pixels,
x to the right and y down, as in SVG.
"""

from dataclasses import dataclass, field

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Style:
    """
    How a shape is drawn.

    Attributes
    ----------
    stroke, fill : str
        Colours such as ``#203040``; empty for none.
    width : float
        Of the line [px].
    dash : tuple of float
        Lengths of dashes and gaps [px]; empty for a whole line.
    opacity : float
        From 0 to 1.
    """

    stroke: str = "#222222"
    fill: str = ""
    width: float = 1.2
    dash: tuple[float, ...] = ()
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Polyline:
    """A line through points, or a surface where it is closed."""

    points: tuple[Point, ...]
    style: Style
    closed: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle."""

    centre: Point
    radius: float
    style: Style
    title: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """
    A word or a line of words.

    Attributes
    ----------
    at : tuple
        Left, middle or right end of its base line.
    anchor : str
        ``start``, ``middle`` or ``end``.
    halo : bool
        Whether it stands on a white edge, so that lines below do not cross it.
    """

    at: Point
    text: str
    size: float
    colour: str = "#222222"
    anchor: str = "start"
    bold: bool = False
    halo: bool = True


Shape = Polyline | Circle | Text


@dataclass(slots=True)
class Canvas:
    """
    Shapes in layers, the lowest first.

    Attributes
    ----------
    width, height : float
        [px]
    title : str
    """

    width: float
    height: float
    title: str = ""
    layers: dict[int, list[Shape]] = field(default_factory=dict)

    def add(self, shape: Shape, layer: int = 2) -> None:
        """Put a shape upon those of its layer."""
        self.layers.setdefault(layer, []).append(shape)

    def line(self, points: list[Point] | tuple[Point, ...], style: Style, layer: int = 2, title: str = "") -> None:
        """Draw a line through points."""
        self.add(Polyline(tuple(points), style, title=title), layer)

    def area(self, points: list[Point] | tuple[Point, ...], style: Style, layer: int = 2, title: str = "") -> None:
        """Draw a surface."""
        self.add(Polyline(tuple(points), style, closed=True, title=title), layer)

    def shapes(self) -> list[Shape]:
        """Give all shapes, the lowest first."""
        return [shape for layer in sorted(self.layers) for shape in self.layers[layer]]


def text_width(text: str, size: float) -> float:
    """Give about how wide a text is [px], a little more rather than less."""
    wide = sum(0.85 if letter in "MWmw@%" else 0.36 if letter in "ilj.,:;|!'()[] tfr-/" else 0.62 for letter in text)
    return wide * size
