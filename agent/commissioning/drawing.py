"""
The phasor diagram and the waveforms of the page, as SVG. Pure.

Angle 0 points up, as on the instruments that installers know, and phases of a network that turns the right way follow
each other clockwise. The longest voltage reaches the rim and the longest current two thirds of it. Currents are dashed,
phases differ by their labels as well as by colour, so nothing is told by colour alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from agent.commissioning.diagnosis import NAMES, Waveform
from agent.commissioning.markup import Markup, element
from algorithms.api.readings import ChannelReading

SIZE = 320.0
RADIUS = 122.0
CURRENT = 0.64
"""Length of the longest current in radii [1]."""

HEAD = 10.0
WIDTH, HEIGHT = 360.0, 140.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 6.0, 10.0, 20.0


def phasor_diagram(voltage: Mapping[str, ChannelReading], current: Mapping[str, ChannelReading]) -> Markup:
    """Draw phasors against the first voltage that has an angle; an empty circle where there is none."""
    angles = (voltage[phase].angle for phase in "ABC" if phase in voltage)
    reference = next((angle for angle in angles if angle is not None), 0.0)
    arrows = [*_arrows(current, "I", CURRENT, reference), *_arrows(voltage, "U", 1.0, reference)]
    told = [*_told(voltage, "V", reference), *_told(current, "A", reference)]
    label = f"Phasor diagram: {'; '.join(told) or 'nothing to show'}"
    return element("svg", *_circle(), *arrows, viewBox=f"0 0 {SIZE:g} {SIZE:g}", role="img", aria_label=label)


def degrees(reading: ChannelReading, voltage: Mapping[str, ChannelReading]) -> float | None:
    """Give an angle against phase A's voltage, within (-180, 180] [deg]; None where there is none."""
    first = voltage.get("A")
    if reading.angle is None or first is None or first.angle is None:
        return None
    return math.degrees(math.remainder(reading.angle - first.angle, math.tau)) + 0.0


def waveforms(channels: Sequence[Waveform], duration: float, quantity: str) -> Markup:
    """Draw a few cycles of all voltages, or of all currents, over `duration` [s]."""
    drawn = [one for one in channels if one.quantity == quantity and one.values]
    unit = "V" if quantity == "voltage" else "A"
    peak = max((abs(value) for one in drawn for value in one.values), default=0.0)
    top = _nice(peak)
    phases = ", ".join(NAMES.get(one.phase, one.phase) for one in drawn) or "no phase"
    label = f"{quantity} of {phases}, peak {peak:.3g} {unit}"
    lines = [_line(one, top) for one in drawn]
    return element(
        "svg",
        *_frame(top, duration, unit),
        *lines,
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
        aria_label=f"Waveforms: {label}",
    )


# ---- phasors


def _told(readings: Mapping[str, ChannelReading], unit: str, reference: float) -> Iterator[str]:
    for phase, reading in readings.items():
        at = (
            ""
            if reading.angle is None
            else f" at {math.degrees(math.remainder(reading.angle - reference, math.tau)):.0f}°"
        )
        yield f"{NAMES.get(phase, phase)} {reading.magnitude:.3g} {unit}{at}"


def _circle() -> Iterator[Markup]:
    middle = SIZE / 2
    for share in (0.5, 1.0):
        yield element("circle", class_="grid", cx=middle, cy=middle, r=RADIUS * share)
    for turn in range(0, 360, 30):
        inner = 0.0 if turn % 90 == 0 else 0.94
        (x1, y1), (x2, y2) = _point(math.radians(turn), RADIUS * inner), _point(math.radians(turn), RADIUS)
        yield element("line", class_="grid", x1=x1, y1=y1, x2=x2, y2=y2)


def _arrows(readings: Mapping[str, ChannelReading], letter: str, length: float, reference: float) -> Iterator[Markup]:
    longest = max((reading.magnitude for reading in readings.values()), default=0.0)
    is_current = letter == "I"
    for phase in "ABC":
        reading = readings.get(phase)
        if reading is None or reading.angle is None or longest <= 0:
            continue
        reach = RADIUS * length * reading.magnitude / longest
        if reach < HEAD:
            continue
        angle = reading.angle - reference
        x, y = _point(angle, reach - HEAD)
        corners = [_point(angle, reach), _beside(angle, reach - HEAD, -5.0), _beside(angle, reach - HEAD, 5.0)]
        at = _point(angle, reach + 14.0)
        points = " ".join(f"{corner[0]:.1f},{corner[1]:.1f}" for corner in corners)
        yield element(
            "line",
            class_=f"{phase} {'current' if is_current else 'voltage'}",
            x1=SIZE / 2,
            y1=SIZE / 2,
            x2=round(x, 1),
            y2=round(y, 1),
        )
        yield element("polygon", class_=phase, points=points)
        name = NAMES[phase].removeprefix("L")
        yield element(
            "text",
            letter,
            element("tspan", name, dy=3.0, font_size=10.0),
            class_=phase,
            x=round(at[0], 1),
            y=round(at[1] + 5, 1),
            text_anchor="middle",
            font_size=15.0 if not is_current else 13.0,
        )


def _point(angle: float, distance: float) -> tuple[float, float]:
    return SIZE / 2 - distance * math.sin(angle), SIZE / 2 - distance * math.cos(angle)


def _beside(angle: float, distance: float, side: float) -> tuple[float, float]:
    x, y = _point(angle, distance)
    return x + side * math.cos(angle), y - side * math.sin(angle)


# ---- waveforms


def _frame(top: float, duration: float, unit: str) -> Iterator[Markup]:
    middle, right = TOP + (HEIGHT - TOP - BOTTOM) / 2, WIDTH - RIGHT
    for value in (top, 0.0, -top):
        y = middle - value / top * (HEIGHT - TOP - BOTTOM) / 2 if top else middle
        yield element("line", class_="grid", x1=LEFT, y1=round(y, 1), x2=right, y2=round(y, 1))
        text = f"{value:g}" if value <= 0 else f"{value:g} {unit}"
        yield element("text", text, class_="faint", x=LEFT - 5, y=round(y + 4, 1), text_anchor="end", font_size=12.0)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LEFT + share * (right - LEFT)
        yield element("line", class_="grid", x1=round(x, 1), y1=TOP, x2=round(x, 1), y2=HEIGHT - BOTTOM)
        anchor = "end" if share == 1.0 else "middle"
        text = f"{1e3 * share * duration:.0f} ms" if share else "0"
        yield element("text", text, class_="faint", x=round(x, 1), y=HEIGHT - 5, text_anchor=anchor, font_size=12.0)


def _line(one: Waveform, top: float) -> Markup:
    middle, half = TOP + (HEIGHT - TOP - BOTTOM) / 2, (HEIGHT - TOP - BOTTOM) / 2
    step = (WIDTH - RIGHT - LEFT) / max(1, len(one.values) - 1)
    points = (
        f"{LEFT + index * step:.1f},{middle - (value / top if top else 0.0) * half:.1f}"
        for index, value in enumerate(one.values)
    )
    return element("polyline", class_=f"wave {one.phase}", points=" ".join(points))


def _nice(peak: float) -> float:
    """Round up to 1, 2, 2.5, 4, 5 or 8 times a power of ten; 1 for nothing at all."""
    if not peak > 1e-9 or not math.isfinite(peak):
        return 1.0
    power = 10.0 ** math.floor(math.log10(peak))
    return next(factor * power for factor in (1, 2, 2.5, 4, 5, 8, 10) if factor * power >= peak * (1 - 1e-9))
