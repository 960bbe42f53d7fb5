"""
Symbols of one-line diagrams, after IEC 60617: what a line carries, and what hangs at a node.

Where it stands: `diagram` calls these; each draws upon a canvas at a point, turned into a direction, and gives the box
it takes.
"""

import math

from algorithms.api.network_operation import SwitchKind
from device_catalog.network_diagram.canvas import Canvas, Circle, Point, Style, Text
from device_catalog.network_diagram.labels import Box

INK = "#222222"
OPEN = "#c0392b"
METER = "#0b7a75"
GREEN = "#1e8449"
WHITE = "#ffffff"


class Frame:
    """
    A place and a direction: ``frame(along, across)`` gives points of the canvas.

    Parameters
    ----------
    at, direction : tuple
    scale : float
    """

    def __init__(self, at: Point, direction: Point, scale: float) -> None:
        self._at, self._direction, self._scale = at, direction, scale

    def __call__(self, along: float, across: float = 0.0) -> Point:
        """Give the point so far along and across."""
        (x, y), (dx, dy), scale = self._at, self._direction, self._scale
        return x + scale * (along * dx - across * dy), y + scale * (along * dy + across * dx)


def box_around(at: Point, half: float) -> Box:
    """Give the square around a point."""
    return at[0] - half, at[1] - half, at[0] + half, at[1] + half


def transformer(
    canvas: Canvas, at: Point, direction: Point, scale: float, *, group: str, colours: tuple[str, str], title: str
) -> Box:
    """Draw two circles with the connection of each winding in it, the higher voltage against the direction."""
    frame = Frame(at, direction, scale)
    canvas.line([frame(-20), frame(20)], Style(stroke=WHITE, width=3.0 * scale), layer=3)
    letters = _windings(group)
    for place, letter, colour in zip((-8.0, 8.0), letters, colours, strict=True):
        style = Style(stroke=colour, fill=WHITE, width=1.6 * scale)
        canvas.add(Circle(frame(place), 12 * scale, style, title), layer=3)
        _winding(canvas, frame(place * 1.3), scale, letter, colour)
    for place, colour in ((-8.0, colours[0]), (8.0, colours[1])):
        canvas.add(Circle(frame(place), 12 * scale, Style(stroke=colour, width=1.6 * scale)), layer=3)
    return box_around(at, 21 * scale)


def _windings(group: str) -> tuple[str, str]:
    letters = group.rstrip("0123456789")
    split = next((place for place, letter in enumerate(letters) if letter.islower()), len(letters))
    return (letters[:split] or "I")[0], (letters[split:] or "I")[0].upper()


def _winding(canvas: Canvas, at: Point, scale: float, letter: str, colour: str) -> None:
    frame = Frame(at, (1.0, 0.0), scale)
    style = Style(stroke=colour, width=1.2 * scale)
    if letter == "D":
        canvas.area([frame(0, -4.5), frame(4.3, 3.2), frame(-4.3, 3.2)], style, layer=4)
    elif letter == "Y":
        for along, across in ((0.0, 5.0), (-4.2, -3.4), (4.2, -3.4)):
            canvas.line([frame(0, 0), frame(along, across)], style, layer=4)
    elif letter == "Z":
        canvas.line([frame(-4, -4), frame(1, -4), frame(-1, 4), frame(4, 4)], style, layer=4)
    else:
        canvas.line([frame(0, -4), frame(0, 4)], style, layer=4)


def switch(
    canvas: Canvas, at: Point, direction: Point, scale: float, *, kind: SwitchKind, is_open: bool, title: str
) -> Box:
    """Draw a contact, open or closed, with what tells its kind."""
    frame = Frame(at, direction, scale)
    colour = OPEN if is_open else INK
    style = Style(stroke=colour, width=1.8 * scale)
    canvas.line([frame(-11), frame(11)], Style(stroke=WHITE, width=5.0 * scale), layer=3)
    if kind in (SwitchKind.RECLOSER, SwitchKind.SECTIONALISER, SwitchKind.FUSE):
        half = 4.5 if kind == SwitchKind.FUSE else 8.0
        corners = [frame(-9, -half), frame(9, -half), frame(9, half), frame(-9, half)]
        fill = WHITE if is_open or kind == SwitchKind.FUSE else "#e8eef4"
        canvas.area(corners, Style(stroke=colour, fill=fill, width=1.6 * scale), layer=3, title=title)
        if kind == SwitchKind.FUSE:
            canvas.line([frame(-11), frame(-4 if is_open else 11)], style, layer=3)
        else:
            letter = "R" if kind == SwitchKind.RECLOSER else "S"
            x, y = frame(0)
            text = Text((x, y + 4.2 * scale), letter, 11.5 * scale, colour, "middle", bold=True, halo=False)
            canvas.add(text, layer=4)
        return box_around(at, 12 * scale)
    blade = frame(9 * math.cos(0.6) - 1, -11 * math.sin(0.6)) if is_open else frame(10)
    canvas.line([frame(-10), blade], style, layer=3, title=title)
    canvas.add(Circle(frame(-10), 1.8 * scale, Style(stroke="", fill=colour)), layer=3)
    if kind == SwitchKind.BREAKER:
        for sign in (-1, 1):
            canvas.line([frame(6, 4 * sign), frame(14, -4 * sign)], style, layer=3)
    else:
        canvas.line([frame(10, -5), frame(10, 5)], style, layer=3)
        if kind == SwitchKind.LOAD_BREAK_SWITCH:
            canvas.add(Circle(frame(7.2), 2.8 * scale, Style(stroke=colour, fill=WHITE, width=1.2 * scale)), layer=3)
    return box_around(at, 13 * scale)


def load(canvas: Canvas, at: Point, direction: Point, scale: float, *, title: str) -> Box:
    """Draw an arrow away from a node."""
    frame = Frame(at, direction, scale)
    canvas.line([at, frame(17)], Style(stroke=INK, width=1.2 * scale), layer=3)
    tip = [frame(16, -4.5), frame(16, 4.5), frame(25, 0)]
    canvas.area(tip, Style(stroke=INK, fill=INK, width=1.0 * scale), layer=3, title=title)
    return box_around(frame(17), 9 * scale)


def capacitor(canvas: Canvas, at: Point, direction: Point, scale: float, *, title: str) -> Box:
    """Draw two plates."""
    frame = Frame(at, direction, scale)
    style = Style(stroke=INK, width=1.8 * scale)
    canvas.line([at, frame(12)], Style(stroke=INK, width=1.2 * scale), layer=3)
    for place in (12, 16):
        canvas.line([frame(place, -7), frame(place, 7)], style, layer=3, title=title)
    canvas.line([frame(16), frame(22)], Style(stroke=INK, width=1.2 * scale), layer=3)
    canvas.line([frame(22, -4), frame(22, 4)], Style(stroke=INK, width=1.2 * scale), layer=3)
    return box_around(frame(14), 10 * scale)


def generator(canvas: Canvas, at: Point, direction: Point, scale: float, *, letter: str, title: str) -> Box:
    """Draw a circle with a letter."""
    frame = Frame(at, direction, scale)
    canvas.line([at, frame(12)], Style(stroke=GREEN, width=1.2 * scale), layer=3)
    canvas.add(Circle(frame(21), 9 * scale, Style(stroke=GREEN, fill=WHITE, width=1.5 * scale), title), layer=3)
    x, y = frame(21)
    canvas.add(Text((x, y + 4 * scale), letter, 11 * scale, GREEN, "middle", bold=True, halo=False), layer=4)
    return box_around(frame(20), 12 * scale)


def source(canvas: Canvas, at: Point, direction: Point, scale: float, *, colour: str, title: str) -> Box:
    """Draw the network beyond: a hatched square."""
    frame = Frame(at, direction, scale)
    canvas.line([at, frame(16)], Style(stroke=colour, width=1.8 * scale), layer=3)
    style = Style(stroke=colour, fill=WHITE, width=1.6 * scale)
    corners = [frame(16, -12), frame(40, -12), frame(40, 12), frame(16, 12)]
    canvas.area(corners, style, layer=3, title=title)
    hatch = Style(stroke=colour, width=0.8 * scale)
    for step in (8.0, 16.0, 24.0):
        canvas.line([frame(16 + step, -12), frame(16, -12 + step)], hatch, layer=3)
        canvas.line([frame(40, 12 - step), frame(40 - step, 12)], hatch, layer=3)
        canvas.line([frame(40 - step, -12), frame(40, -12 + step)], hatch, layer=3)
        canvas.line([frame(16, 12 - step), frame(16 + step, 12)], hatch, layer=3)
    return box_around(frame(27), 17 * scale)


def meter(canvas: Canvas, at: Point, scale: float, title: str) -> Box:
    """Draw the badge of a measured place."""
    canvas.add(Circle(at, 4.2 * scale, Style(stroke=WHITE, fill=METER, width=1.0 * scale), title), layer=5)
    return box_around(at, 5 * scale)


def bolt(canvas: Canvas, at: Point, scale: float, title: str) -> Box:
    """Draw a fault."""
    frame = Frame(at, (1.0, 0.0), max(scale, 0.8))
    shape = [(2, -14), (-7, 2), (-1, 2), (-4, 14), (8, -3), (1, -3), (6, -14)]
    style = Style(stroke=WHITE, fill="#d4141e", width=1.4)
    canvas.area([frame(x, y) for x, y in shape], style, layer=7, title=title)
    return box_around(at, 14 * max(scale, 0.8))


def step(canvas: Canvas, at: Point, scale: float, text: str, title: str) -> Box:
    """Draw the number of a step."""
    size = max(scale, 0.8)
    canvas.add(Circle(at, 10 * size, Style(stroke=WHITE, fill="#6c3483", width=1.6), title), layer=7)
    letters = Text((at[0], at[1] + 4.2 * size), text, 11.5 * size, WHITE, "middle", bold=True, halo=False)
    canvas.add(letters, layer=8)
    return box_around(at, 11 * size)


def flag(canvas: Canvas, at: Point, scale: float, title: str) -> Box:
    """Draw a flag for a note."""
    frame = Frame(at, (1.0, 0.0), max(scale, 0.8))
    canvas.line([frame(0), frame(0, -16)], Style(stroke="#b9770e", width=1.6), layer=7)
    canvas.area([frame(0, -16), frame(11, -12), frame(0, -8)], Style(stroke="#b9770e", fill="#f5b041"), 7, title)
    return box_around(frame(4, -8), 9)
