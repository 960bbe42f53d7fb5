"""
Waveforms of a recording as they are: whole, close up, their RMS, and what differs from one cycle to the next.

Beside `replay_plots`, which draws what the algorithms said of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.console.replay_data import Recorded
from agent.console.replay_figures import COLOURS, DISTURBED, add_legend, dress, make_panels, scale_of, shade, svg_of
from algorithms.api.samples import Quantity


def draw_waveforms(recorded: Recorded, span: tuple[float, float] | None) -> str:
    """Draw voltages and currents over a span [s], or over the whole recording with their RMS below."""
    kinds = [kind for kind in Quantity if any(channel.quantity is kind for channel in recorded.channels)]
    whole = span is None
    figure, panels = make_panels((2 if whole else 1) * len(kinds), [2.5] * len(kinds) + [1.8] * (len(kinds) * whole))
    shown = recorded.span if span is None else span
    for axes, kind in zip(panels, kinds, strict=False):
        rows = [row for row, channel in enumerate(recorded.channels) if channel.quantity is kind]
        factor, prefix = scale_of(np.concatenate([values[rows].ravel() for _, values in recorded.stretches]))
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
        shade(axes, recorded.happenings, shown)
        axes.set_ylabel(f"{kind.value} [{prefix}{'V' if kind is Quantity.VOLTAGE else 'A'}]")
        axes.set_xlim(shown)
        add_legend(axes)
        if whole:
            _one_cycle_rms(panels[len(kinds) + kinds.index(kind)], recorded, rows, kind)
    panels[-1].set_xlabel("Time after the trigger [s]")
    return svg_of(figure, "waveforms" if whole else f"closeup{shown[0]:.6f}")


def _one_cycle_rms(axes: Any, recorded: Recorded, rows: Sequence[int], kind: Quantity) -> None:
    """Draw the RMS of the cycle around each sample, at nominal frequency: for the eye, not for a verdict."""
    factor, prefix = scale_of(np.concatenate([values[rows].ravel() for _, values in recorded.stretches]))
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
    dress(axes, recorded, f"{kind.value}, one-cycle RMS [{prefix}{unit}]")


def draw_differences(recorded: Recorded) -> str:
    """Draw what differs from the cycle before, which shows transients that no RMS does."""
    found = [row.frequency for row in recorded.rows if row.frequency is not None and not DISTURBED & set(row.quality)]
    period = 1.0 / (float(np.median(found)) if found else recorded.nominal_frequency)
    kinds = [kind for kind in Quantity if any(channel.quantity is kind for channel in recorded.channels)]
    figure, panels = make_panels(len(kinds), [1.8] * len(kinds))
    some = False
    for axes, kind in zip(panels, kinds, strict=True):
        rows = [row for row, channel in enumerate(recorded.channels) if channel.quantity is kind]
        factor, prefix = scale_of(np.concatenate([values[rows].ravel() for _, values in recorded.stretches]))
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
        dress(axes, recorded, f"{kind.value} [{unit}]")
    panels[-1].set_xlabel("Time after the trigger [s]")
    return svg_of(figure, "differences") if some else ""


def _against_before(times: NDArray[np.float64], values: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    """Return how much samples differ from those a period before, from the first that have such on."""
    later = times >= times[0] + period
    difference: NDArray[np.float64] = values[later] - np.interp(times[later] - period, times, values)
    return difference
