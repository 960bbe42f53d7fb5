"""
A canvas as PNG or PDF, by matplotlib, which other pictures of tresma need as well (extra `plots`).

Where it stands: beside `svg`; ``tresma network draw`` takes it for files that end in .png or .pdf.
"""

from io import BytesIO
from typing import Any

from device_catalog.network_diagram.canvas import Canvas, Circle, Polyline, Style, Text

LARGEST = 12_000.0
"""Pixels of a PNG's longer side."""

_dots = 72.0


def as_raster(canvas: Canvas, kind: str, scale: float = 2.0) -> bytes:
    """
    Write a canvas.

    Parameters
    ----------
    canvas : Canvas
    kind : str
        ``png`` or ``pdf``.
    scale : float
        Pixels of a PNG for one of the canvas; less where the picture would become too large.

    Raises
    ------
    ImportError
        When matplotlib is missing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional
    from matplotlib.figure import Figure  # noqa: PLC0415 - optional

    scale = min(scale, LARGEST / max(canvas.width, canvas.height))
    figure = Figure(figsize=(canvas.width / _dots, canvas.height / _dots), dpi=_dots * scale, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, canvas.width)
    axes.set_ylim(canvas.height, 0.0)
    axes.axis("off")
    for order, shape in enumerate(canvas.shapes()):
        if isinstance(shape, Text):
            _text(axes, shape, order)
        elif isinstance(shape, Circle):
            _circle(axes, shape, order)
        else:
            _polyline(axes, shape, order)
    target = BytesIO()
    figure.savefig(target, format=kind, dpi=_dots * scale, metadata={"Title": canvas.title} if kind == "pdf" else None)
    return target.getvalue()


def _look(style: Style) -> dict[str, Any]:
    look: dict[str, Any] = {"linewidth": style.width if style.stroke else 0.0, "alpha": style.opacity}
    if style.dash and style.stroke:
        look["linestyle"] = (0, tuple(length / style.width for length in style.dash))
    return look


def _polyline(axes: Any, shape: Polyline, order: int) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - optional
    from matplotlib.patches import Polygon  # noqa: PLC0415 - optional

    look = _look(shape.style)
    if shape.closed:
        fill = shape.style.fill or "none"
        edge = shape.style.stroke or "none"
        patch = Polygon(
            shape.points, closed=True, facecolor=fill, edgecolor=edge, zorder=order, joinstyle="round", **look
        )
        axes.add_patch(patch)
        return
    x, y = zip(*shape.points, strict=True)
    axes.add_line(
        Line2D(
            x,
            y,
            color=shape.style.stroke,
            zorder=order,
            solid_capstyle="round",
            solid_joinstyle="round",
            dash_capstyle="round",
            **look,
        )
    )


def _circle(axes: Any, shape: Circle, order: int) -> None:
    from matplotlib.patches import Circle as Patch  # noqa: PLC0415 - optional

    fill, edge = shape.style.fill or "none", shape.style.stroke or "none"
    axes.add_patch(
        Patch(shape.centre, shape.radius, facecolor=fill, edgecolor=edge, zorder=order, **_look(shape.style))
    )


def _text(axes: Any, shape: Text, order: int) -> None:
    from matplotlib.patheffects import Normal, Stroke  # noqa: PLC0415 - optional

    effects = [Stroke(linewidth=shape.size / 4, foreground="white"), Normal()] if shape.halo else None
    axes.text(
        *shape.at,
        shape.text.replace("$", r"\$"),
        fontsize=shape.size,
        color=shape.colour,
        ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor],
        va="baseline",
        fontweight="bold" if shape.bold else "normal",
        zorder=order,
        path_effects=effects,
    )
