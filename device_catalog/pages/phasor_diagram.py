"""
Draws voltages and currents of a frame as arrows on a circle, as SVG text (pure).

The longest voltage reaches the rim, the longest current two thirds of it, so that both can be told apart whatever their
units; angle 0 points right and angles grow anti-clockwise, relative to phase A's voltage. Nothing in it needs a script
or an inline style.
"""

import math
from collections.abc import Iterator, Mapping

from markupsafe import Markup, escape

from algorithms.api.readings import Phasor
from algorithms.api.records import MeasurementFrame

SIZE = 300
RADIUS = 112.0
CURRENT = 0.62
"""Length of the longest current in the circle's radii [1]."""
HEAD = 9.0

_order = ("A", "B", "C", "N")


def phasor_diagram(frame: MeasurementFrame) -> Markup:
    """Draw a frame; an empty circle where no phase has an angle."""
    reference = _reference(frame)
    parts = [*_circle()]
    for readings, length, dashed in ((frame.current, CURRENT, True), (frame.voltage, 1.0, False)):
        parts += _arrows(readings, length, reference, dashed=dashed)
    told = ", ".join(
        f"{phase} {reading.magnitude:.1f} V" + ("" if reading.angle is None else f" at {_degrees(reading, reference)}°")
        for phase, reading in frame.voltage.items()
    )
    head = f'<svg viewBox="0 0 {SIZE} {SIZE}" role="img" aria-label="Phasors: {escape(told)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")  # noqa: S704 - numbers, fixed words, and texts that are escaped


def relative_degrees(reading: Phasor, frame: MeasurementFrame) -> float | None:
    """Give an angle against that of phase A's voltage, within (-180, 180] [°]."""
    return None if reading.angle is None else _degrees(reading, _reference(frame))


def _reference(frame: MeasurementFrame) -> float:
    first = frame.voltage.get("A")
    return first.angle if first is not None and first.angle is not None else 0.0


def _degrees(reading: Phasor, reference: float) -> float:
    return round(math.degrees(math.remainder((reading.angle or 0.0) - reference, math.tau)), 1) + 0.0


def _circle() -> Iterator[str]:
    middle = SIZE / 2
    for share in (0.5, 1.0):
        yield f'<circle class="grid" cx="{middle}" cy="{middle}" r="{RADIUS * share:.0f}"/>'
    for turn in range(0, 360, 30):
        x, y = _point(math.radians(turn), RADIUS)
        inner = _point(math.radians(turn), RADIUS * (0.0 if turn % 90 == 0 else 0.94))
        yield f'<line class="grid" x1="{inner[0]:.1f}" y1="{inner[1]:.1f}" x2="{x:.1f}" y2="{y:.1f}"/>'


def _arrows(readings: Mapping[str, Phasor], length: float, reference: float, *, dashed: bool) -> Iterator[str]:
    longest = max((reading.magnitude for reading in readings.values()), default=0.0)
    if longest <= 0.0:
        return
    for phase in _order:
        reading = readings.get(phase)
        if reading is None or reading.angle is None or not math.isfinite(reading.magnitude):
            continue
        angle = reading.angle - reference
        reach = RADIUS * length * reading.magnitude / longest
        if reach < HEAD:
            continue
        x, y = _point(angle, reach - HEAD)
        dash = ' stroke-dasharray="5 3"' if dashed else ""
        middle, width = SIZE / 2, 2 if dashed else 3
        ends = f'x1="{middle}" y1="{middle}" x2="{x:.1f}" y2="{y:.1f}"'
        yield f'<line class="{phase}" {ends} stroke-width="{width}"{dash}/>'
        corners = [_point(angle, reach), *(_beside(angle, reach - HEAD, side) for side in (-4.0, 4.0))]
        points = " ".join(f"{corner[0]:.1f},{corner[1]:.1f}" for corner in corners)
        yield f'<polygon class="{phase}" points="{points}"/>'
        label = _point(angle, reach + (13.0 if not dashed else 11.0))
        word = f"{'I' if dashed else 'U'}{phase.lower()}"
        yield (
            f'<text class="{phase}" x="{label[0]:.1f}" y="{label[1] + 4:.1f}" text-anchor="middle" '
            f'font-size="{12 if not dashed else 11}">{word}</text>'
        )


def _point(angle: float, distance: float) -> tuple[float, float]:
    return SIZE / 2 + distance * math.cos(angle), SIZE / 2 - distance * math.sin(angle)


def _beside(angle: float, distance: float, side: float) -> tuple[float, float]:
    x, y = _point(angle, distance)
    return x + side * math.sin(angle), y + side * math.cos(angle)
