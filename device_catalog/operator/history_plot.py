"""
Draws pages of history: one panel for each quantity, a line for each of its fields, with what is around its mean.

Drawn with matplotlib, an extra (``plots``). Of steps, the band is from the least to the greatest value; of records, two
standard uncertainties to either side. Where nothing was measured the line breaks.
"""

import importlib
import io
import math
from collections.abc import Sequence
from datetime import UTC
from itertools import pairwise
from typing import Any, NamedTuple

from algorithms.api.wire import time_from_text
from device_catalog.contract.history import HistoryPage
from device_catalog.history.fields import uncertainty_of, values_of
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.report_plots import COLOURS

ENDINGS = ("svg", "png", "pdf")
MAXIMUM_LINES = 24
GAP = 2.5
"""A line breaks where two records are this many times as far apart as they mostly are [1]."""

_DAY_NS = 86_400 * 1_000_000_000


class Point(NamedTuple):
    """A value at a time [d since 1970], and the band around it."""

    time: float
    value: float
    low: float
    high: float


def picture(pages: Sequence[HistoryPage], device: str, ending: str) -> bytes:
    """
    Draw.

    Raises
    ------
    OperatorError
        When there is nothing to draw, or matplotlib is not installed.
    """
    if ending not in ENDINGS:
        raise UsageError(f"expected a picture that ends in {', '.join(ENDINGS)}, found {ending or 'no ending'}")
    lines = lines_of(pages)
    if not lines:
        raise OperatorError(
            f"nothing of {device} to draw in this time; `tresma history list {device}` shows what is kept"
        )
    if len(lines) > MAXIMUM_LINES:
        raise OperatorError(
            f"expected at most {MAXIMUM_LINES} fields to draw, found {len(lines)}; name some by --fields"
        )
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
        dates: Any = importlib.import_module("matplotlib.dates")
    except ImportError as error:
        raise OperatorError("drawing needs matplotlib; install tresma[plots], or take --csv") from error
    panels: dict[str, list[str]] = {}
    for name in lines:
        panels.setdefault(quantity_of(name), []).append(name)
    figure = figures.Figure(figsize=(10, 1.0 + 2.1 * len(panels)), layout="constrained")
    for axes, (quantity, names) in zip(
        figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0], panels.items(), strict=True
    ):
        for name in names:
            _draw(axes, name, lines[name])
        axes.set_ylabel(quantity, fontsize=8)
        axes.grid(visible=True, color="#dddddd", linewidth=0.5)
        axes.legend(loc="upper right", fontsize=7, ncols=min(4, len(names)))
        locator = dates.AutoDateLocator(maxticks=10)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
    figure.suptitle(f"{device} (UTC)", fontsize=10)
    out = io.BytesIO()
    figure.savefig(out, format=ending, dpi=120)
    return out.getvalue()


def quantity_of(name: str) -> str:
    """
    Name the panel of a field.

    >>> quantity_of("voltage.A.rms"), quantity_of("power.total.p"), quantity_of("frequency")
    ('voltage rms', 'power p', 'frequency')
    """
    parts = name.split(".")
    return parts[0] if len(parts) == 1 else f"{parts[0]} {parts[-1]}"


def lines_of(pages: Sequence[HistoryPage]) -> dict[str, list[Point]]:
    """Gather the points of each field, in order of time."""
    lines: dict[str, list[Point]] = {}
    for page in pages:
        for step in page.steps:
            time = (time_from_text(step.time) + page.step * 500_000_000) / _DAY_NS
            for name, one in step.values.items():
                lines.setdefault(_called(name, step.name), []).append(Point(time, one.mean, one.minimum, one.maximum))
        for record in page.records:
            time = time_from_text(record.time) / _DAY_NS
            values = record.values if record.record is None else values_of(record.record)
            for name, value in values.items():
                if not name.rpartition(".")[2].startswith("u_"):
                    spread = 2.0 * values.get(uncertainty_of(name), 0.0)
                    lines.setdefault(_called(name, record.name), []).append(
                        Point(time, value, value - spread, value + spread)
                    )
    return lines


def _called(field: str, name: str) -> str:
    return f"{field} of {name}" if name else field


def _draw(axes: Any, name: str, points: Sequence[Point]) -> None:
    steps = sorted(b.time - a.time for a, b in pairwise(points))
    usual = steps[len(steps) // 2] if steps else 0.0
    drawn: list[Point] = []
    for point in points:
        if drawn and point.time - drawn[-1].time > GAP * usual:
            drawn.append(Point(drawn[-1].time, math.nan, math.nan, math.nan))
        drawn.append(point)
    phase = next((part for part in name.split(".") if part in COLOURS), "")
    (line,) = axes.plot(
        [point.time for point in drawn],
        [point.value for point in drawn],
        color=COLOURS.get(phase),
        linewidth=1.1,
        label=name,
    )
    columns = [[point[place] for point in drawn] for place in (0, 2, 3)]
    axes.fill_between(*columns, color=line.get_color(), alpha=0.18, linewidth=0)
