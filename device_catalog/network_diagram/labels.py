"""
Names that do not overlap: each goes to the best free place around what it names, or is left out.

Where it stands: `diagram` keeps a `Labels` for a picture: first everything drawn is entered as taken, then names are
placed, the most important first.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable

from device_catalog.network_diagram.canvas import Canvas, Point, Text, text_width

Box = tuple[float, float, float, float]
"""Left, top, right, bottom [px]."""

CELL = 40.0
"""Side of the squares by which boxes are found again [px]."""

SPACING = 6.0
"""Distance of the boxes that stand for a line [px]."""


class Labels:
    """What is taken on a canvas."""

    def __init__(self, canvas: Canvas) -> None:
        self.left_out = 0
        self._canvas = canvas
        self._cells: defaultdict[tuple[int, int], list[Box]] = defaultdict(list)

    def take(self, box: Box) -> None:
        """Enter a box as taken."""
        for cell in _cells(box):
            self._cells[cell].append(box)

    def take_line(self, points: Iterable[Point], width: float = 2.0) -> None:
        """Enter a line as taken."""
        points = list(points)
        for (x1, y1), (x2, y2) in itertools.pairwise(points):
            if abs(x1 - x2) < 0.5 or abs(y1 - y2) < 0.5:
                self.take((min(x1, x2) - width, min(y1, y2) - width, max(x1, x2) + width, max(y1, y2) + width))
                continue
            steps = max(1, int(max(abs(x2 - x1), abs(y2 - y1)) / SPACING))
            for step in range(steps + 1):
                x, y = x1 + (x2 - x1) * step / steps, y1 + (y2 - y1) * step / steps
                self.take((x - width, y - width, x + width, y + width))

    def free(self, box: Box) -> bool:
        """Tell whether a box touches nothing and lies on the canvas."""
        if box[0] < 0 or box[1] < 0 or box[2] > self._canvas.width or box[3] > self._canvas.height:
            return False
        return not any(_touch(box, other) for cell in _cells(box) for other in self._cells[cell])

    def place(
        self,
        lines: list[str],
        at: Point,
        size: float,
        *,
        gap: float = 7.0,
        colour: str = "#222222",
        bold: bool = False,
        must: bool = False,
        sides: str = "rlab",
    ) -> bool:
        """
        Write a name beside a point where there is room.

        Parameters
        ----------
        lines : list of str
        at : tuple
            What it names.
        size : float
            Of the letters [px].
        gap : float
            Distance from the point [px].
        must : bool
            Whether it is written even where it overlaps.
        sides : str
            What is tried, in this order: right, left, above, below of the point, and the corners between.

        Returns
        -------
        bool
            Whether it was written.
        """
        width = max(text_width(line, size) for line in lines)
        height = size * 1.2 * len(lines)
        places = list(_places(at, width, height, gap, sides))
        chosen = next((one for one in places if self.free(one[0])), places[0] if must else None)
        if chosen is None:
            self.left_out += 1
            return False
        box, anchor = chosen
        self.take(box)
        x = {"start": box[0], "middle": (box[0] + box[2]) / 2, "end": box[2]}[anchor]
        for number, line in enumerate(lines):
            y = box[1] + size * (0.95 + 1.2 * number)
            self._canvas.add(Text((x, y), line, size, colour, anchor, bold and number == 0), layer=6)
        return True


def _places(at: Point, width: float, height: float, gap: float, sides: str) -> Iterable[tuple[Box, str]]:
    x, y = at
    corners = {
        "r": ((x + gap, y - height / 2), "start"),
        "l": ((x - gap - width, y - height / 2), "end"),
        "a": ((x - width / 2, y - gap - height), "middle"),
        "b": ((x - width / 2, y + gap), "middle"),
    }
    diagonal = {
        "r": [((x + gap, y - gap - height * 0.8), "start"), ((x + gap, y + gap * 0.6), "start")],
        "l": [((x - gap - width, y - gap - height * 0.8), "end"), ((x - gap - width, y + gap * 0.6), "end")],
    }
    for side in sides:
        for (left, top), anchor in (corners[side], *diagonal.get(side, [])):
            yield (left, top, left + width, top + height), anchor


def _cells(box: Box) -> Iterable[tuple[int, int]]:
    for column in range(int(box[0] // CELL), int(box[2] // CELL) + 1):
        for row in range(int(box[1] // CELL), int(box[3] // CELL) + 1):
            yield column, row


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
