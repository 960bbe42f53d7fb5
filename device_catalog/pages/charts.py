"""
Draws steps of time as lines with their least and greatest values, as SVG text (pure).

A step that is missing breaks the line: what was not measured is not drawn.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

WIDTH, HEIGHT = 430, 180
LEFT, RIGHT, TOP, BOTTOM = 50, 8, 10, 24
NARROWEST = 1e-9


class Reading(NamedTuple):
    """A step: when it begins [s], mean, least and greatest."""

    time: float
    mean: float
    least: float
    greatest: float


class Line(NamedTuple):
    """One line: its phase (which gives the colour), its name, and its steps in order."""

    phase: str
    name: str
    readings: Sequence[Reading]


class Span(NamedTuple):
    """The time that is drawn: its ends [s UTC], and the length of a step [s]."""

    first: float
    last: float
    step: float


def chart(lines: Sequence[Line], span: Span, unit: str, title: str) -> Markup:
    """
    Draw lines over one time.

    Parameters
    ----------
    lines : sequence of Line
    span : Span
    unit : str
        Of the values.
    title : str
        For those who cannot see it.
    """
    first, last, step = span
    values = [value for line in lines for one in line.readings for value in (one.least, one.greatest)]
    low, high = _bounds(min(values), max(values))
    across = (WIDTH - LEFT - RIGHT) / max(last - first, NARROWEST)
    up = (HEIGHT - TOP - BOTTOM) / (high - low)

    def place(time: float, value: float) -> str:
        return f"{LEFT + (time - first) * across:.1f},{HEIGHT - BOTTOM - (value - low) * up:.1f}"

    parts = []
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        height = HEIGHT - BOTTOM - (value - low) * up
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{height:.1f}" x2="{WIDTH - RIGHT}" y2="{height:.1f}"/>')
        parts.append(
            f'<text class="faint" x="{LEFT - 6}" y="{height + 4:.1f}" text-anchor="end" font-size="12">'
            f"{_short(value, high - low)}</text>"
        )
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        time = first + share * (last - first)
        parts.append(
            f'<text class="faint" x="{LEFT + (time - first) * across:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}" '
            f'font-size="12">{_clock(time)}</text>'
        )
    for line in lines:
        for run in _runs(line.readings, step):
            half = step / 2
            edges = [place(one.time + half, one.greatest) for one in run]
            edges += [place(one.time + half, one.least) for one in reversed(run)]
            parts.append(f'<polygon class="area {line.phase}" points="{" ".join(edges)}"/>')
            points = " ".join(place(one.time + half, one.mean) for one in run)
            if len(run) == 1:
                x, y = points.split(",")
                parts.append(f'<line class="line {line.phase}" x1="{float(x) - 2:.1f}" y1="{y}" x2="{x}" y2="{y}"/>')
            else:
                parts.append(f'<polyline class="line {line.phase}" points="{points}"/>')
    for number, line in enumerate(lines):
        parts.append(
            f'<text class="{line.phase}" x="{WIDTH - RIGHT - 4 - 28 * (len(lines) - 1 - number)}" y="{TOP + 12}" '
            f'text-anchor="end" font-size="12">{escape(line.name)}</text>'
        )
    parts.append(f'<text class="faint" x="{LEFT + 4}" y="{TOP + 12}" font-size="12">{escape(unit)}</text>')
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")  # noqa: S704 - numbers, fixed words, and texts that are escaped


def _runs(readings: Sequence[Reading], step: float) -> list[list[Reading]]:
    runs: list[list[Reading]] = []
    for one in readings:
        if runs and one.time - runs[-1][-1].time < 1.5 * step:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _bounds(low: float, high: float) -> tuple[float, float]:
    room = max(0.08 * (high - low), 1e-3 * max(abs(low), abs(high)), NARROWEST)
    return low - room, high + room


def _short(value: float, width: float) -> str:
    digits = 0 if width > 20 else 1 if width > 2 else 2 if width > 0.2 else 3
    return f"{value:.{digits}f}"


def _clock(time: float) -> str:
    minutes = int(time // 60)
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"
