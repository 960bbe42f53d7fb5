"""
The pictures of a recording's page as SVG: waveforms, phasors, sequences, power, frequency, harmonics.

Between `replay_page`, which collected everything, and matplotlib, an extra (``plots``). Times are seconds after the
recording's trigger; spans of voltage events are shaded, pauses of the recording are left white. A frame that its
algorithm flags as disturbed is drawn as a dot, not as part of the line.
"""

import importlib
import io
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError
from agent.replay_data import Happening, Recorded, Row
from algorithms.api.samples import Quantity

COLOURS = {"A": "#c0392b", "B": "#1e8449", "C": "#1f5fa8", "N": "#7f7f7f", "": "#333333"}
SEQUENCES = {"positive": "#333333", "negative": "#8e44ad", "zero": "#d68910"}
LARGE = 10_000.0
"""From here on values are shown in kV, kA, MW [V, A, kW]."""
CLOSE_BEFORE, CLOSE_AFTER = 3, 6
"""What a close-up shows around the beginning of an event [cycles]."""
DISTURBED = frozenset({"transient", "dead", "phase-missing", "low-voltage", "out-of-range", "gap"})


def pictures(recorded: Recorded) -> dict[str, str]:
    """
    Draw everything there is something of.

    Returns
    -------
    dict
        SVG elements by name, in the order of the page.

    Raises
    ------
    AgentError
        When matplotlib is not installed.
    """
    try:
        mpl: Any = importlib.import_module("matplotlib")
    except ImportError as error:
        raise AgentError("a page needs matplotlib for its pictures; install tresma[plots]") from error
    drawn: dict[str, str] = {}
    with mpl.rc_context({"svg.fonttype": "none", "font.size": 9, "path.simplify_threshold": 0.3}):
        drawn["waveforms"] = _waveforms(recorded, None)
        for number, begin in enumerate(recorded.moments[:3]):
            cycle = 1.0 / recorded.nominal_frequency
            span = begin - CLOSE_BEFORE * cycle, begin + CLOSE_AFTER * cycle
            drawn[f"closeup-{number + 1}"] = _waveforms(recorded, span)
        for name, draw in (
            ("differences", _differences),
            ("phasors", _phasors),
            ("frequency", _frequency),
            ("power", _power),
            ("energy", _energy),
            ("harmonics", _harmonics),
        ):
            svg = draw(recorded)
            if svg:
                drawn[name] = svg
    return drawn


def _panels(count: int, heights: Sequence[float], *, shared: bool = True) -> tuple[Any, list[Any]]:
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


def _svg(figure: Any, name: str) -> str:
    """Write a figure as an SVG element whose ids are no other's."""
    mpl: Any = importlib.import_module("matplotlib")
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)


def _scale(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, str]:
    peak = float(np.nanmax(np.abs(values), initial=0.0))
    return (1e-3, "k") if peak >= LARGE else (1.0, "")


def _shade(axes: Any, happenings: Sequence[Happening], span: tuple[float, float]) -> None:
    for one in happenings:
        end = span[1] if one.end is None else one.end
        if end > span[0] and one.begin < span[1]:
            axes.axvspan(max(one.begin, span[0]), min(end, span[1]), color="#f5b041", alpha=0.22, linewidth=0)
    if span[0] < 0.0 < span[1]:
        axes.axvline(0.0, color="#777777", linewidth=0.8, linestyle=":")


def _waveforms(recorded: Recorded, span: tuple[float, float] | None) -> str:
    kinds = [kind for kind in Quantity if any(channel.quantity is kind for channel in recorded.channels)]
    whole = span is None
    figure, panels = _panels((2 if whole else 1) * len(kinds), [2.5] * len(kinds) + [1.8] * (len(kinds) * whole))
    shown = recorded.span if span is None else span
    for axes, kind in zip(panels, kinds, strict=False):
        rows = [row for row, channel in enumerate(recorded.channels) if channel.quantity is kind]
        factor, prefix = _scale(np.concatenate([values[rows].ravel() for _, values in recorded.stretches]))
        for row in rows:
            phase = recorded.channels[row].phase.value
            label = f"{'U' if kind is Quantity.VOLTAGE else 'I'} {phase}"
            for times, values in recorded.stretches:
                inside = (times >= shown[0]) & (times <= shown[1])
                if inside.any():
                    width = 0.5 if whole else 1.0
                    axes.plot(
                        times[inside], factor * values[row, inside], color=COLOURS[phase], linewidth=width, label=label
                    )
                    label = "_"
        _shade(axes, recorded.happenings, shown)
        axes.set_ylabel(f"{kind.value} [{prefix}{'V' if kind is Quantity.VOLTAGE else 'A'}]")
        axes.set_xlim(shown)
        _legend(axes)
        if whole:
            _one_cycle_rms(panels[len(kinds) + kinds.index(kind)], recorded, rows, kind)
    panels[-1].set_xlabel("Time after the trigger [s]")
    return _svg(figure, "waveforms" if whole else f"closeup{shown[0]:.6f}")


def _one_cycle_rms(axes: Any, recorded: Recorded, rows: Sequence[int], kind: Quantity) -> None:
    """Draw the RMS of the cycle around each sample, at nominal frequency: for the eye, not for a verdict."""
    factor, prefix = _scale(np.concatenate([values[rows].ravel() for _, values in recorded.stretches]))
    for row in rows:
        phase = recorded.channels[row].phase.value
        label = phase
        for times, values in recorded.stretches:
            cycle = round(1.0 / (recorded.nominal_frequency * (times[1] - times[0]))) if times.size > 1 else 0
            if 0 < cycle < times.size:
                total = np.cumsum(np.square(np.nan_to_num(values[row])))
                rms = np.sqrt((total[cycle:] - total[:-cycle]) / cycle)
                middle = times[cycle // 2 : cycle // 2 + rms.size]
                axes.plot(middle, factor * rms, color=COLOURS[phase], linewidth=1.1, label=label)
                label = "_"
    axes.set_ylim(0.0, 1.08 * axes.get_ylim()[1])
    unit = "V" if kind is Quantity.VOLTAGE else "A"
    _dress(axes, recorded, f"{kind.value}, one-cycle RMS [{prefix}{unit}]")


def _differences(recorded: Recorded) -> str:
    """Draw what differs from the cycle before, which shows transients that no RMS does."""
    found = [row.frequency for row in recorded.rows if row.frequency is not None and not DISTURBED & set(row.quality)]
    period = 1.0 / (float(np.median(found)) if found else recorded.nominal_frequency)
    kinds = [kind for kind in Quantity if any(channel.quantity is kind for channel in recorded.channels)]
    figure, panels = _panels(len(kinds), [1.8] * len(kinds))
    some = False
    for axes, kind in zip(panels, kinds, strict=True):
        rows = [row for row, channel in enumerate(recorded.channels) if channel.quantity is kind]
        factor, prefix = _scale(np.concatenate([values[rows].ravel() for _, values in recorded.stretches]))
        unit = prefix + ("V" if kind is Quantity.VOLTAGE else "A")
        for row in rows:
            parts = [
                (times[times >= times[0] + period], factor * _against_before(times, values[row], period))
                for times, values in recorded.stretches
                if times[-1] > times[0] + period
            ]
            if parts:
                some = True
                peaks = [(float(np.nanmax(np.abs(part), initial=0.0)), k) for k, (_, part) in enumerate(parts)]
                largest, where = max(peaks)
                when = parts[where][0][int(np.nanargmax(np.abs(parts[where][1])))]
                phase = recorded.channels[row].phase.value
                label = f"{phase}: {largest:.4g} {unit} at {when:.4f} s"
                for times, part in parts:
                    axes.plot(times, part, color=COLOURS[phase], linewidth=0.7, label=label)
                    label = "_"
        _dress(axes, recorded, f"{kind.value} [{unit}]")
    panels[-1].set_xlabel("Time after the trigger [s]")
    return _svg(figure, "differences") if some else ""


def _against_before(times: NDArray[np.float64], values: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    """Return how much samples differ from those a period before, from the first that have such on."""
    later = times >= times[0] + period
    difference: NDArray[np.float64] = values[later] - np.interp(times[later] - period, times, values)
    return difference


def _legend(axes: Any) -> None:
    """Put the legend above the panel, where it hides nothing."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=4, frameon=False, borderaxespad=0.0)


def _line(axes: Any, rows: Sequence[Row], values: Sequence[float], *, period: float, **style: Any) -> None:
    """Draw undisturbed frames as a line broken at pauses, disturbed ones as dots."""
    times, line, dots = [], [], []
    before = None
    for row, value in zip(rows, values, strict=True):
        if before is not None and row.time - before > 1.6 * period:
            times.append(before)
            line.append(math.nan)
            dots.append(math.nan)
        disturbed = bool(DISTURBED & set(row.quality))
        times.append(row.time)
        line.append(math.nan if disturbed else value)
        dots.append(value if disturbed else math.nan)
        before = row.time
    single = sum(not math.isnan(value) for value in line) < 3
    axes.plot(times, line, linewidth=1.3, marker="o" if single else None, markersize=3, **style)
    axes.plot(times, dots, linestyle="none", marker=".", markersize=3.5, color=style["color"], alpha=0.5)


def _dress(axes: Any, recorded: Recorded, label: str) -> None:
    _shade(axes, recorded.happenings, recorded.span)
    axes.set_xlim(recorded.span)
    axes.set_ylabel(label)
    _legend(axes)


def _phasors(recorded: Recorded) -> str:
    rows = recorded.rows
    if not rows:
        return ""
    period = recorded.frame_period
    phases = {kind: sorted({p for row in rows for p in getattr(row, kind)}) for kind in ("voltage", "current")}
    kinds = [kind for kind in ("voltage", "current") if phases[kind]]
    figure, panels = _panels(2 * len(kinds) + 1, [1.9, 1.5] * len(kinds) + [1.7])
    for place, kind in enumerate(kinds):
        magnitude, angle = panels[2 * place], panels[2 * place + 1]
        unit = "V" if kind == "voltage" else "A"
        known = [getattr(row, kind)[p][0] for row in rows for p in getattr(row, kind)]
        factor, prefix = _scale(known)
        for phase in phases[kind]:
            having = [row for row in rows if phase in getattr(row, kind)]
            sizes = [factor * getattr(row, kind)[phase][0] for row in having]
            _line(magnitude, having, sizes, period=period, color=COLOURS[phase], label=phase)
            turned = [_against_reference(row, kind, phase) for row in having]
            _line(angle, having, turned, period=period, color=COLOURS[phase], label=phase)
        magnitude.set_ylim(0.0, 1.08 * magnitude.get_ylim()[1])
        _dress(magnitude, recorded, f"{kind} phasor [{prefix}{unit}]")
        angle.set_ylim(-190, 190)
        angle.set_yticks([-180, -90, 0, 90, 180])
        _dress(angle, recorded, "angle to U+ [deg]" if phases["voltage"] else "angle [deg]")
    known = [row.sequences[name] for row in rows for name in row.sequences]
    factor, prefix = _scale(known)
    for name, colour in SEQUENCES.items():
        having = [row for row in rows if name in row.sequences]
        _line(
            panels[-1],
            having,
            [factor * row.sequences[name] for row in having],
            period=period,
            color=colour,
            label=name,
        )
    panels[-1].set_ylim(0.0, 1.08 * panels[-1].get_ylim()[1])
    _dress(panels[-1], recorded, f"voltage sequences [{prefix}V]")
    panels[-1].set_xlabel("Time after the trigger [s]")
    return _svg(figure, "phasors")


def _against_reference(row: Row, kind: str, phase: str) -> float:
    """Return the angle of a phasor against the positive-sequence voltage, or its own without one [deg]."""
    angle = getattr(row, kind)[phase][1]
    if angle is None:
        return math.nan
    turned: float = math.degrees(angle - (row.reference or 0.0))
    return (turned + 180.0) % 360.0 - 180.0


def _frequency(recorded: Recorded) -> str:
    rows = [row for row in recorded.rows if row.frequency is not None]
    if not rows:
        return ""
    figure, (above, below) = _panels(2, [1.9, 1.5])
    period = recorded.frame_period
    calm = [row for row in rows if not DISTURBED & set(row.quality)] or rows
    _line(above, rows, [row.frequency or 0.0 for row in rows], period=period, color="#333333")
    rates = [row for row in rows if row.rocof is not None]
    _line(below, rates, [row.rocof or 0.0 for row in rates], period=period, color="#333333")
    for axes, values, least in (
        (above, [row.frequency or 0.0 for row in calm], 0.05),
        (below, [row.rocof or 0.0 for row in calm if row.rocof is not None], 0.5),
    ):
        if values:
            middle, reach = 0.5 * (max(values) + min(values)), max(least, 0.8 * (max(values) - min(values)))
            axes.set_ylim(middle - reach, middle + reach)
    _dress(above, recorded, "frequency [Hz]")
    _dress(below, recorded, "ROCOF [Hz/s]")
    below.set_xlabel("Time after the trigger [s]")
    return _svg(figure, "frequency")


def _power(recorded: Recorded) -> str:
    rows = [row for row in recorded.rows if row.power is not None]
    if not rows:
        return ""
    figure, (axes,) = _panels(1, [2.2])
    values = [part for row in rows for part in (row.power or ())]
    peak = max(map(abs, values))
    factor, prefix = (1e-6, "M") if peak >= 1e6 else (1e-3, "k") if peak >= 1e4 else (1.0, "")
    for place, (label, colour) in enumerate((("P", "#1f5fa8"), ("Q", "#d68910"))):
        _line(
            axes,
            rows,
            [factor * (row.power or (0.0, 0.0))[place] for row in rows],
            period=recorded.frame_period,
            color=colour,
            label=label,
        )
    _dress(axes, recorded, f"power of all phases [{prefix}W, {prefix}var]")
    axes.set_xlabel("Time after the trigger [s]")
    return _svg(figure, "power")


def _energy(recorded: Recorded) -> str:
    if not recorded.energy:
        return ""
    figure, (axes,) = _panels(1, [2.2])
    names = sorted({name for _, registers in recorded.energy for name in registers})
    for number, name in enumerate(names):
        points = [(at, registers[name]) for at, registers in recorded.energy if name in registers]
        if any(value for _, value in points):
            axes.plot(*zip(*points, strict=True), linewidth=1.3, color=f"C{number}", label=name, marker=".")
    _dress(axes, recorded, "energy registers [J, var s]")
    axes.set_xlabel("Time after the trigger [s]")
    return _svg(figure, "energy")


def _harmonics(recorded: Recorded) -> str:
    if not recorded.harmonics:
        return ""
    figure, panels = _panels(len(recorded.harmonics), [2.2] * len(recorded.harmonics), shared=False)
    for axes, (kind, by_phase) in zip(panels, recorded.harmonics.items(), strict=True):
        for place, (phase, values) in enumerate(sorted(by_phase.items())):
            orders = range(2, len(values) + 1)
            shares = [100.0 * (values[order - 1] or 0.0) / (values[0] or math.inf) for order in orders]
            at = [order + 0.26 * (place - 1) for order in orders]
            axes.bar(at, shares, width=0.25, color=COLOURS[phase], label=phase)
        axes.set_ylabel(f"{kind} [% of fundamental]")
        axes.set_xlim(1.2, max(len(values) for values in by_phase.values()) + 0.8)
        _legend(axes)
    panels[-1].set_xlabel("Order")
    return _svg(figure, "harmonics")
