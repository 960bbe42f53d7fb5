"""Panels, scales and SVG for the pictures of a recording's page; matplotlib is an extra (``plots``)."""

import importlib
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.console.replay_data import Happening, Recorded

COLOURS = {"A": "#c0392b", "B": "#1e8449", "C": "#1f5fa8", "N": "#7f7f7f", "": "#333333"}
LARGE = 10_000.0
"""From here on values are shown in kV, kA [V, A]."""
DISTURBED = frozenset({"transient", "dead", "phase-missing", "low-voltage", "out-of-range", "gap"})
"""What of a frame's quality keeps it out of the line."""


def make_panels(count: int, heights: Sequence[float], *, shared: bool = True) -> tuple[Any, list[Any]]:
    """Make a figure of `count` panels above each other, `heights` in inches; return it and its panels."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11.5, 0.4 + sum(heights)), layout="constrained")
    FigureCanvasSVG(figure)
    grid: Any = figure.subplots(count, 1, sharex=shared, squeeze=False, gridspec_kw={"height_ratios": heights})
    axes = [row[0] for row in grid]
    for one in axes:
        one.grid(visible=True, color="#dddddd", linewidth=0.5)
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
    return figure, axes


def svg_of(figure: Any, name: str) -> str:
    """Write a figure as an SVG element whose ids are no other's."""
    mpl: Any = importlib.import_module("matplotlib")
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)


def scale_of(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, str]:
    """Return the factor and the prefix of the unit that suit some values."""
    peak = float(np.nanmax(np.abs(values), initial=0.0))
    return (1e-3, "k") if peak >= LARGE else (1.0, "")


def shade(axes: Any, happenings: Sequence[Happening], span: tuple[float, float]) -> None:
    """Shade what happened within a span [s], and mark the trigger."""
    for one in happenings:
        end = span[1] if one.end is None else one.end
        if end > span[0] and one.begin < span[1]:
            axes.axvspan(max(one.begin, span[0]), min(end, span[1]), color="#f5b041", alpha=0.22, linewidth=0)
    if span[0] < 0.0 < span[1]:
        axes.axvline(0.0, color="#777777", linewidth=0.8, linestyle=":")


def add_legend(axes: Any) -> None:
    """Put the legend above the panel, where it hides nothing."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=4, frameon=False, borderaxespad=0.0)


def dress(axes: Any, recorded: Recorded, label: str) -> None:
    """Finish a panel over the whole recording: events, axis, legend."""
    shade(axes, recorded.happenings, recorded.span)
    axes.set_xlim(recorded.span)
    axes.set_ylabel(label)
    add_legend(axes)
