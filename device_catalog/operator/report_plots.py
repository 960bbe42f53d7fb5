"""
The pictures of a report as SVG: what the week looked like, against the limits.

Drawn with matplotlib, an extra (``plots``), for `report_page`, which puts the text of each picture into its page. The
ITIC curve is that of the Information Technology Industry Council (2000): what equipment should bear.
"""

import importlib
import io
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

from device_catalog.operator import report_limits as limits
from device_catalog.operator.errors import OperatorError
from device_catalog.operator.report_data import NANOSECONDS, Collected, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"A": "#c0392b", "B": "#1e8449", "C": "#1f5fa8"}
_limit: dict[str, Any] = {"color": "#333333", "linewidth": 0.9, "linestyle": "--"}
Reading = Callable[[Interval], float | None]
_kinds = {
    "voltage-dip": ("v", "#c0392b", "dip"),
    "voltage-swell": ("^", "#d68910", "swell"),
    "interruption": ("x", "#111111", "interruption"),
}


def pictures(week: Collected, begin_ns: int, end_ns: int) -> dict[str, str]:
    """
    Draw everything there is something of.

    Returns
    -------
    dict
        SVG elements by name: ``voltage``, ``frequency``, ``flicker``, ``distortion``, ``harmonics``, ``events``.

    Raises
    ------
    OperatorError
        When matplotlib is not installed.
    """
    try:
        mpl: Any = importlib.import_module("matplotlib")  # an extra
    except ImportError as error:
        raise OperatorError("a report needs matplotlib for its pictures; install tresma[plots]") from error
    drawn: dict[str, str] = {}
    ten = sorted(week.ten.values(), key=lambda one: one.time_ns)
    phases = limits.phases_of(ten)
    span = _moment(begin_ns), _moment(end_ns)
    makers: dict[str, Callable[[Any], bool]] = {
        "voltage": lambda axes: _voltage(axes, ten, phases),
        "frequency": lambda axes: _frequency(axes, ten),
        "flicker": lambda axes: _flicker(axes, week, ten, phases),
        "distortion": lambda axes: _distortion(axes, ten, phases),
    }
    with mpl.rc_context({"svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}):
        for name, make in makers.items():
            figure, axes = _figure((11, 2.6))
            if make(axes):
                axes.set_xlim(span)
                _dates(axes)
                drawn[name] = _svg(figure, name)
        figure, axes = _figure((11, 2.8))
        if _harmonics(axes, limits.usable(ten), phases):
            drawn["harmonics"] = _svg(figure, "harmonics")
        figure, axes = _figure((11, 4.2))
        if _events(axes, week):
            drawn["events"] = _svg(figure, "events")
    return drawn


def _figure(size: tuple[float, float]) -> "tuple[Figure, Axes]":
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    axes.grid(visible=True, color="#dddddd", linewidth=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _svg(figure: "Figure", name: str) -> str:
    """Write a figure as an SVG element whose ids are no other's."""
    mpl: Any = importlib.import_module("matplotlib")
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)


def _moment(time_ns: int) -> float:
    """Return a time as matplotlib counts it [days since 1970]."""
    return time_ns / (86_400 * NANOSECONDS)


def _dates(axes: "Axes") -> None:
    dates: Any = importlib.import_module("matplotlib.dates")
    locator = dates.AutoDateLocator(maxticks=10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))


def _of(phase: str, name: str, scale: float = 1.0) -> Reading:
    """Return what reads a value of a phase."""

    def read(one: Interval) -> float | None:
        told = one.voltage.get(phase)
        value = None if told is None else getattr(told, name)
        return None if value is None else scale * value

    return read


def _unbalance(one: Interval) -> float | None:
    return None if one.unbalance is None else 100.0 * one.unbalance["u2"]


def _series(ten: Sequence[Interval], read: Reading) -> tuple[list[float], list[float]]:
    """Return times and values, with NaN where an interval is missing, so that the line breaks there."""
    times: list[float] = []
    values: list[float] = []
    before = None
    for one in ten:
        if before is not None and one.time_ns - before.time_ns > 1.5 * one.duration * NANOSECONDS:
            times.append(_moment(before.time_ns + NANOSECONDS))
            values.append(math.nan)
        value = read(one)
        times.append(_moment(one.time_ns - round(0.5 * one.duration * NANOSECONDS)))
        values.append(math.nan if value is None else value)
        before = one
    return times, values


def _voltage(axes: "Axes", ten: Sequence[Interval], phases: Sequence[str]) -> bool:
    if not phases:
        return False
    declared = ten[0].declared_voltage
    low, high = 0.9 * declared, 1.1 * declared
    for phase in phases:
        times, values = _series(ten, _of(phase, "rms"))
        axes.plot(times, values, color=COLOURS.get(phase, "#555555"), linewidth=1.0, label=phase)
    flagged = [one for one in ten if one.flagged and not set(one.flagged) <= {"gap"}]
    for one in flagged:
        axes.axvspan(_moment(one.begin_ns), _moment(one.time_ns), color="#f5b041", alpha=0.35, linewidth=0)
    for bound in (low, high):
        axes.axhline(bound, **_limit)
    axes.set_ylabel("10-min RMS [V]")
    axes.set_ylim(min(low - 0.02 * declared, axes.get_ylim()[0]), max(high + 0.02 * declared, axes.get_ylim()[1]))
    axes.legend(loc="upper right", ncols=3, framealpha=0.9)
    return True


def _frequency(axes: "Axes", ten: Sequence[Interval]) -> bool:
    times: list[float] = []
    values: list[float] = []
    for one, after in zip(ten, [*ten[1:], None], strict=True):
        for number, value in enumerate(one.frequency_10s):
            times.append(_moment(one.begin_ns + (10 * number + 5) * NANOSECONDS))
            values.append(math.nan if value is None else value)
        if after is None or after.begin_ns > one.time_ns:
            times.append(_moment(one.time_ns))
            values.append(math.nan)
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return False
    if len(values) > 6000:  # as many as a picture can show: the extremes of each few
        times, values = _extremes(times, values, len(values) // 3000)
    axes.plot(times, values, color="#444444", linewidth=0.6)
    nominal = ten[0].nominal_frequency
    reach = max(0.1, 1.3 * max(abs(value - nominal) for value in known))
    axes.set_ylim(nominal - reach, nominal + reach)
    for bound in (0.99 * nominal, 1.01 * nominal):
        if abs(bound - nominal) < reach:
            axes.axhline(bound, **_limit)
    axes.set_ylabel("10-s frequency [Hz]")
    return True


def _extremes(times: list[float], values: list[float], step: int) -> tuple[list[float], list[float]]:
    kept_times: list[float] = []
    kept: list[float] = []
    for first in range(0, len(values), step):
        part = range(first, min(first + step, len(values)))
        known = [k for k in part if not math.isnan(values[k])]
        chosen = {min(known, key=values.__getitem__), max(known, key=values.__getitem__)} if known else set()
        chosen.update(k for k in part if math.isnan(values[k]))
        kept_times += [times[k] for k in sorted(chosen)]
        kept += [values[k] for k in sorted(chosen)]
    return kept_times, kept


def _flicker(axes: "Axes", week: Collected, ten: Sequence[Interval], phases: Sequence[str]) -> bool:
    two = sorted(week.two.values(), key=lambda one: one.time_ns)
    some = False
    for phase in phases:
        colour = COLOURS.get(phase, "#555555")
        short = _series(ten, _of(phase, "pst"))
        if not all(map(math.isnan, short[1])):
            axes.plot(*short, color=colour, linewidth=0.6, alpha=0.6, label=f"Pst {phase}")
            some = True
        times = [_moment(one.time_ns) for one in two]
        read = _of(phase, "plt")
        values = [math.nan if (value := read(one)) is None else value for one in two]
        if not all(map(math.isnan, values)):
            axes.plot(times, values, color=colour, linewidth=1.6, drawstyle="steps-pre", label=f"Plt {phase}")
            some = True
    if some:
        axes.axhline(limits.FLICKER_LIMIT, **_limit)
        axes.set_ylim(bottom=0.0)
        axes.set_ylabel("Flicker severity [1]")
        axes.legend(loc="upper right", ncols=6, framealpha=0.9)
    return some


def _distortion(axes: "Axes", ten: Sequence[Interval], phases: Sequence[str]) -> bool:
    some = False
    for phase in phases:
        times, values = _series(ten, _of(phase, "distortion", 100.0))
        if not all(map(math.isnan, values)):
            axes.plot(times, values, color=COLOURS.get(phase, "#555555"), linewidth=1.0, label=f"THD {phase}")
            some = True
    times, values = _series(ten, _unbalance)
    if not all(map(math.isnan, values)):
        axes.plot(times, values, color="#7d3c98", linewidth=1.0, label="u2")
        axes.axhline(100 * limits.UNBALANCE_LIMIT, color="#7d3c98", linewidth=0.9, linestyle="--")
        some = True
    if some:
        axes.axhline(100 * limits.DISTORTION_LIMIT, **_limit)
        axes.set_ylim(bottom=0.0)
        axes.set_ylabel("THD, unbalance [%]")
        axes.legend(loc="upper right", ncols=4, framealpha=0.9)
    return some


def _harmonics(axes: "Axes", ten: Sequence[Interval], phases: Sequence[str]) -> bool:
    orders = [h for h in sorted(limits.HARMONIC_LIMITS) if any(limits.harmonic_shares(ten, p, h) for p in phases)]
    if not orders:
        return False
    for place, phase in enumerate(phases):
        heights = []
        for order in orders:
            shares = limits.harmonic_shares(ten, phase, order)
            heights.append(100 * limits.percentile(shares, 0.95) if shares else 0.0)
        at = [k + 0.25 * (place - 0.5 * (len(phases) - 1)) for k in range(len(orders))]
        axes.bar(at, heights, width=0.24, color=COLOURS.get(phase, "#555555"), label=phase)
    for k, order in enumerate(orders):
        bound = 100 * limits.HARMONIC_LIMITS[order]
        axes.hlines(bound, k - 0.42, k + 0.42, color="#111111", linewidth=1.4, label="limit" if k == 0 else "_")
    axes.set_xticks(range(len(orders)), [str(order) for order in orders])
    axes.set_xlabel("Order")
    axes.set_ylabel("95 % of 10-min values [% of U1]")
    axes.legend(loc="upper right", ncols=4, framealpha=0.9)
    return True


def _events(axes: "Axes", week: Collected) -> bool:
    shown = [one for one in week.happenings.values() if one.kind in _kinds]
    if not shown:
        return False
    for kind, (marker, colour, label) in _kinds.items():
        own = [one for one in shown if one.kind == kind]
        if own:
            across = [max(one.duration, 1e-3) for one in own]
            axes.scatter(across, [100 * one.voltage for one in own], marker=marker, color=colour, label=label, zorder=3)
    longest = max(100.0, *(2 * one.duration for one in shown))
    axes.plot([1e-3, 3e-3, 3e-3, 0.5, 0.5, longest], [200, 140, 120, 120, 110, 110], color="#666666", linewidth=1.0)
    axes.plot([0.02, 0.02, 0.5, 0.5, 10, 10, longest], [0, 70, 70, 80, 80, 90, 90], color="#666666", linewidth=1.0)
    axes.set_xscale("log")
    axes.set_xlim(1e-3, longest)
    axes.set_ylim(0, max(150.0, *(110 * one.voltage for one in shown)))
    axes.set_xlabel("Duration [s]")
    axes.set_ylabel("Voltage [% of declared]")
    axes.legend(loc="lower left", framealpha=0.9)
    axes.annotate("ITIC curve", (0.08, 122), fontsize=8, color="#666666")
    return True
