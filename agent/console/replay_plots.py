"""
The pictures of a recording's page as SVG: waveforms, phasors, sequences, power, frequency, harmonics.

Between `replay_page`, which collected everything, and matplotlib, an extra (``plots``). Times are seconds after the
recording's trigger; spans of voltage events are shaded, pauses of the recording are left white. A frame that its
algorithm flags as disturbed is drawn as a dot, not as part of the line.
"""

import importlib
import math
from collections.abc import Sequence
from typing import Any

from agent.console.replay_data import Recorded, Row
from agent.console.replay_figures import COLOURS, DISTURBED, add_legend, dress, make_panels, scale_of, svg_of
from agent.console.replay_waveforms import draw_differences, draw_waveforms
from agent.errors import AgentError

SEQUENCES = {"positive": "#333333", "negative": "#8e44ad", "zero": "#d68910"}
CLOSE_BEFORE, CLOSE_AFTER = 3, 6
"""What a close-up shows around the beginning of an event [cycles]."""


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
        drawn["waveforms"] = draw_waveforms(recorded, None)
        for number, begin in enumerate(recorded.moments[:3]):
            cycle = 1.0 / recorded.nominal_frequency
            span = begin - CLOSE_BEFORE * cycle, begin + CLOSE_AFTER * cycle
            drawn[f"closeup-{number + 1}"] = draw_waveforms(recorded, span)
        for name, draw in (
            ("differences", draw_differences),
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


def _phasors(recorded: Recorded) -> str:
    rows = recorded.rows
    if not rows:
        return ""
    period = recorded.frame_period
    phases = {kind: sorted({p for row in rows for p in getattr(row, kind)}) for kind in ("voltage", "current")}
    kinds = [kind for kind in ("voltage", "current") if phases[kind]]
    figure, panels = make_panels(2 * len(kinds) + 1, [1.9, 1.5] * len(kinds) + [1.7])
    for place, kind in enumerate(kinds):
        magnitude, angle = panels[2 * place], panels[2 * place + 1]
        unit = "V" if kind == "voltage" else "A"
        known = [getattr(row, kind)[p][0] for row in rows for p in getattr(row, kind)]
        factor, prefix = scale_of(known)
        for phase in phases[kind]:
            having = [row for row in rows if phase in getattr(row, kind)]
            sizes = [factor * getattr(row, kind)[phase][0] for row in having]
            _line(magnitude, having, sizes, period=period, color=COLOURS[phase], label=phase)
            turned = [_against_reference(row, kind, phase) for row in having]
            _line(angle, having, turned, period=period, color=COLOURS[phase], label=phase)
        magnitude.set_ylim(0.0, 1.08 * magnitude.get_ylim()[1])
        dress(magnitude, recorded, f"{kind} phasor [{prefix}{unit}]")
        angle.set_ylim(-190, 190)
        angle.set_yticks([-180, -90, 0, 90, 180])
        dress(angle, recorded, "angle to U+ [deg]" if phases["voltage"] else "angle [deg]")
    known = [row.sequences[name] for row in rows for name in row.sequences]
    factor, prefix = scale_of(known)
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
    dress(panels[-1], recorded, f"voltage sequences [{prefix}V]")
    panels[-1].set_xlabel("Time after the trigger [s]")
    return svg_of(figure, "phasors")


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
    figure, (above, below) = make_panels(2, [1.9, 1.5])
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
    dress(above, recorded, "frequency [Hz]")
    dress(below, recorded, "ROCOF [Hz/s]")
    below.set_xlabel("Time after the trigger [s]")
    return svg_of(figure, "frequency")


def _power(recorded: Recorded) -> str:
    rows = [row for row in recorded.rows if row.power is not None]
    if not rows:
        return ""
    figure, (axes,) = make_panels(1, [2.2])
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
    dress(axes, recorded, f"power of all phases [{prefix}W, {prefix}var]")
    axes.set_xlabel("Time after the trigger [s]")
    return svg_of(figure, "power")


def _energy(recorded: Recorded) -> str:
    if not recorded.energy:
        return ""
    figure, (axes,) = make_panels(1, [2.2])
    names = sorted({name for _, registers in recorded.energy for name in registers})
    for number, name in enumerate(names):
        points = [(at, registers[name]) for at, registers in recorded.energy if name in registers]
        if any(value for _, value in points):
            axes.plot(*zip(*points, strict=True), linewidth=1.3, color=f"C{number}", label=name, marker=".")
    dress(axes, recorded, "energy registers [J, var s]")
    axes.set_xlabel("Time after the trigger [s]")
    return svg_of(figure, "energy")


def _harmonics(recorded: Recorded) -> str:
    if not recorded.harmonics:
        return ""
    figure, panels = make_panels(len(recorded.harmonics), [2.2] * len(recorded.harmonics), shared=False)
    for axes, (kind, by_phase) in zip(panels, recorded.harmonics.items(), strict=True):
        for place, (phase, values) in enumerate(sorted(by_phase.items())):
            orders = range(2, len(values) + 1)
            shares = [100.0 * (values[order - 1] or 0.0) / (values[0] or math.inf) for order in orders]
            at = [order + 0.26 * (place - 1) for order in orders]
            axes.bar(at, shares, width=0.25, color=COLOURS[phase], label=phase)
        axes.set_ylabel(f"{kind} [% of fundamental]")
        axes.set_xlim(1.2, max(len(values) for values in by_phase.values()) + 0.8)
        add_legend(axes)
    panels[-1].set_xlabel("Order")
    return svg_of(figure, "harmonics")
