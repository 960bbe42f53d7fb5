"""A canvas as SVG: small, self-contained, and nothing in it that a browser would run."""

from collections.abc import Iterator
from html import escape

from algorithms.api.network_schema import unwritable
from device_catalog.network_diagram.canvas import Canvas, Circle, Point, Polyline, Shape, Style, Text

FONT = "DejaVu Sans, Verdana, Arial, sans-serif"


def as_svg(canvas: Canvas) -> str:
    """Write a canvas."""
    width, height = _number(canvas.width), _number(canvas.height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="{FONT}" role="img">\n<title>{_words(canvas.title)}</title>\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
    )
    return head + "\n".join(_element(shape) for shape in canvas.shapes()) + "\n</svg>\n"


def _element(shape: Shape) -> str:
    if isinstance(shape, Text):
        return _text(shape)
    title = f"<title>{_words(shape.title)}</title>" if shape.title else ""
    if isinstance(shape, Circle):
        x, y = (_number(value) for value in shape.centre)
        words = f'circle cx="{x}" cy="{y}" r="{_number(shape.radius)}" {_style(shape.style)}'
        return f"<{words}>{title}</circle>" if title else f"<{words}/>"
    words = f'path d="{_path(shape)}" {_style(shape.style)}'
    return f"<{words}>{title}</path>" if title else f"<{words}/>"


def _path(shape: Polyline) -> str:
    return "M" + "L".join(_pairs(shape.points)) + ("Z" if shape.closed else "")


def _pairs(points: tuple[Point, ...]) -> Iterator[str]:
    for x, y in points:
        yield f"{_number(x)} {_number(y)}"


def _style(style: Style) -> str:
    words = [f'fill="{style.fill or "none"}"']
    if style.stroke:
        words.append(f'stroke="{style.stroke}" stroke-width="{_number(style.width)}"')
        words.append('stroke-linecap="round" stroke-linejoin="round"')
    if style.dash:
        words.append(f'stroke-dasharray="{" ".join(_number(length) for length in style.dash)}"')
    if style.opacity < 1:
        words.append(f'opacity="{_number(style.opacity)}"')
    return " ".join(words)


def _text(shape: Text) -> str:
    x, y = (_number(value) for value in shape.at)
    words = [f'x="{x}" y="{y}" font-size="{_number(shape.size)}" fill="{shape.colour}"']
    if shape.anchor != "start":
        words.append(f'text-anchor="{shape.anchor}"')
    if shape.bold:
        words.append('font-weight="bold"')
    if shape.halo:
        words.append(f'stroke="#ffffff" stroke-width="{_number(shape.size / 4)}" paint-order="stroke"')
        words.append('stroke-linejoin="round"')
    return f"<text {' '.join(words)}>{_words(shape.text)}</text>"


def _words(text: str) -> str:
    """Write text so that it stays text; what XML may not have is replaced."""
    return escape(unwritable.sub("\ufffd", text))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
