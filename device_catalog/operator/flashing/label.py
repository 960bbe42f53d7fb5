"""
The label on a meter's box, as a picture and as a page: who it is, where it belongs, how to reach it, and a QR code.

The code leads to the meter's page in the catalog, which asks for a login; nothing secret is in it. The PIN opens the
commissioning page of a meter that one stands before. 70 by 36 mm, a common size on sheets of labels.
"""

import importlib.util
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from device_catalog.contract.card import Card
from device_catalog.operator.errors import OperatorError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 70.0, 36.0
"""[mm]"""
DOTS = 300
"""Of the picture [1/inch]."""

_INCH = 25.4
_POINT = 72 / _INCH
"""Points in a millimetre."""
_CODE = 30.0
"""Edge of the QR code with its quiet zone [mm]."""
_QUIET = 4
"""Modules around the code, ISO/IEC 18004, 9.1."""


def address(card: Card) -> str:
    """
    Give what the QR code says: the address of the meter's page in the catalog.

    >>> address(Card("m-0042", "https://catalog.example.org"))
    'https://catalog.example.org/fleet/m-0042'
    """
    return f"{card.catalog.rstrip('/')}/fleet/{quote(card.device, safe='')}"


def write(card: Card, folder: Path) -> tuple[Path, Path]:
    """
    Write a label as DEVICE.png and DEVICE.pdf.

    Returns
    -------
    tuple of pathlib.Path

    Raises
    ------
    OperatorError
        When they cannot be written.
    """
    figure = _draw(card)
    picture, page = folder / f"{card.device}.png", folder / f"{card.device}.pdf"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # a PIN stands on labels
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a script that the font lacks: the id is there
            figure.savefig(picture, dpi=DOTS)
            figure.savefig(page, metadata={"CreationDate": None, "Title": f"Label of {card.device}"})
        for file in (picture, page):
            file.chmod(0o600)
    except OSError as error:
        raise OperatorError(f"the label of {card.device} cannot be written to {folder}: {error.strerror}") from error
    return picture, page


def require() -> None:
    """
    Make sure, before a card is written for it, that a label can be drawn.

    Raises
    ------
    UsageError
    """
    for name in ("segno", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"a label needs the library {name}; pip install 'tresma[flash]', or say --no-label")


def _draw(card: Card) -> "Figure":
    require()
    import segno  # noqa: PLC0415 - only where a label is drawn
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(WIDTH / _INCH, HEIGHT / _INCH), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    axes.set_axis_off()
    code = segno.make(address(card), error="m", micro=False)
    _modules(axes, [list(row) for row in code.matrix])
    _words(axes, card)
    return figure


def _modules(axes: Any, rows: list[list[int]]) -> None:
    from matplotlib.collections import PatchCollection  # noqa: PLC0415
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    dot = _INCH / DOTS
    edge = int(_CODE / dot / (len(rows) + 2 * _QUIET)) * dot  # whole dots: all modules are of one size
    left = round((1.0 + (_CODE - len(rows) * edge) / 2) / dot) * dot
    top = round((HEIGHT - len(rows) * edge) / 2 / dot) * dot
    dark = []
    for line, row in enumerate(rows):
        column = 0
        while column < len(row):
            end = column
            while end < len(row) and row[end]:
                end += 1
            if end > column:  # modules side by side are one piece: no hairlines between them
                dark.append(Rectangle((left + column * edge, top + line * edge), (end - column) * edge, edge))
            column = max(end, column + 1)
    axes.add_collection(PatchCollection(dark, facecolor="black", edgecolor="none", antialiased=False))


def _words(axes: Any, card: Card) -> None:
    left = _CODE + 2.5
    room = WIDTH - left - 2.0
    say = _writer(axes, left, room)
    say(card.device, 7.0, 5.2, "bold")
    place = textwrap.wrap(card.label, 26, max_lines=3, placeholder=" ...")
    for index, line in enumerate(place):
        say(line, 12.0 + 3.6 * index, 2.9, "normal")
    say(f"{card.host}.local", 25.0, 2.7, "normal")
    if card.page.pin:
        half = (len(card.page.pin) + 1) // 2
        say(f"PIN {card.page.pin[:half]} {card.page.pin[half:]}", 29.2, 3.3, "bold")
    say(urlsplit(card.catalog).hostname or "", 33.2, 2.3, "normal")


def _writer(axes: Any, left: float, room: float) -> Callable[[str, float, float, str], None]:
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415
    from matplotlib.textpath import TextPath  # noqa: PLC0415

    def say(text: str, baseline: float, height: float, weight: str) -> None:
        """Write a line, smaller where it would not fit; heights are those of capitals and below [mm]."""
        if not text:
            return
        font = FontProperties(family="DejaVu Sans", weight=weight)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            width = TextPath((0, 0), text, size=height, prop=font).get_extents().width
        size = height * min(1.0, 0.95 * room / max(width, 1e-6))  # hinting widens small letters
        axes.text(
            left, baseline, text, fontsize=size * _POINT, fontproperties=font, va="baseline", ha="left",
            parse_math=False,
        )  # fmt: skip

    return say
