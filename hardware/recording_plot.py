"""
A recording as a picture: waveforms and RMS of its voltages and currents, events marked, gaps shown.

For people: between `comtrade`, which reads the file, and `tresma recordings plot`, which finds this room by the
entry-point group ``tresma.plots``. Works on any COMTRADE recording, of other makers' recorders too. RMS is that of one
cycle, refreshed each half cycle (Urms(1/2), IEC 61000-4-30, 5.4.1); where a sample of the cycle is missing there is
none. matplotlib is an extra (``plots``).
"""

import os
import tempfile
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import NANOSECONDS, Quantity
from hardware.comtrade import read_recording
from hardware.comtrade_model import AnalogChannel, Configuration, Recording
from hardware.comtrade_times import Segment, segments
from hardware.errors import RecordingError
from hardware.recorded_channels import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CHANNELS = 8
"""Channels of one quantity drawn into one diagram."""

LARGE = 10_000.0
"""From here on values are shown in kV or kA [V or A]."""

CLOSE = (-2.0, 8.0)
"""What the close-up shows around the trigger [cycles]."""

MOST_MARKS = 16
"""Digital channels up to which each is marked by itself."""

LEAST_PER_CYCLE = 8
"""Samples a cycle below which no RMS is worked out."""

_LONGEST_NAME = 24
_colours = {"A": "#c0392b", "B": "#1e8449", "C": "#1f5fa8", "N": "#7f7f7f"}
_others = ("#8e44ad", "#d68910", "#148f77", "#5d6d7e", "#a04000", "#2e4053")


def plot_recording(source: Path, target: Path) -> None:
    """
    Draw a recording.

    Parameters
    ----------
    source : Path
        A ``.cff`` file, or a ``.cfg`` with its ``.dat`` beside it.
    target : Path
        The picture; its ending says the format. Written whole or not at all.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    SourceError
        When the recording cannot be read.
    RecordingError
        When it has no voltages or currents.
    OSError
        When the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    recording = read_recording(source)
    config = recording.config
    rows = [(quantity, channels) for quantity in Quantity if (channels := _channels_of(config, quantity))]
    if not rows:
        raise RecordingError(f"{source.name}: expected channels in V or A (or kV, kA …), found none")
    parts = segments(recording, source.name)
    times = _times(config, parts)
    zoomed = times[-1] - times[0] > 2 * (CLOSE[1] - CLOSE[0]) / _frequency(config)
    figure = Figure(figsize=(13, 1.6 + 4.0 * len(rows)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        2 * len(rows),
        2 if zoomed else 1,
        sharex="col",
        squeeze=False,
        gridspec_kw={"width_ratios": [2, 1] if zoomed else [1], "height_ratios": [1.3, 1.0] * len(rows)},
    )
    for index, (quantity, channels) in enumerate(rows):
        values = recording.values(channels) * np.array([_factor(config.analog[row]) for row in channels])[:, None]
        large = bool(np.nanmax(np.abs(values), initial=0.0) >= LARGE)
        values /= 1e3 if large else 1.0
        rms_times, rms = _rms(times, values, parts, _frequency(config))
        for column in range(grid.shape[1]):
            wave, effective = grid[2 * index][column], grid[2 * index + 1][column]
            for place, row in enumerate(channels):
                colour, channel = _colour(config.analog[row], place), config.analog[row]
                wave.plot(times, values[place], color=colour, linewidth=0.7, label=_words(channel.name))
                effective.plot(rms_times, rms[place], color=colour, linewidth=1.2, label=_words(channel.name))
            _dress(wave, recording, times, values)
            _dress(effective, recording, times, values)
            if column == 0:
                unit = ("k" if large else "") + ("V" if quantity is Quantity.VOLTAGE else "A")
                wave.set_ylabel(f"{quantity.capitalize()} [{unit}]")
                effective.set_ylabel(f"RMS, one cycle [{unit}]")
                highest = float(np.nanmax(rms, initial=0.0))
                effective.set_ylim(0.0, 1.1 * highest if highest > 0.0 else 1.0)
                wave.legend(loc="upper right", ncols=min(len(channels), 4), fontsize="small", framealpha=0.8)
            else:
                effective.set_ylim(grid[2 * index + 1][0].get_ylim())
                wave.set_ylim(grid[2 * index][0].get_ylim())
                wave.tick_params(labelleft=False)
                effective.tick_params(labelleft=False)
    for column in range(grid.shape[1]):
        grid[-1][column].set_xlabel("Time from the trigger [s]")
    grid[0][0].set_xlim(times[0], times[-1])
    if zoomed:
        cycle = 1.0 / _frequency(config)
        grid[0][1].xaxis.set_major_locator(MaxNLocator(5))
        grid[0][1].set_xlim(max(CLOSE[0] * cycle, times[0]), min(CLOSE[1] * cycle, times[-1]))
    figure.suptitle("\n".join(_title(recording, source)), fontsize="medium")
    _save(figure, target)


def _times(config: Configuration, parts: Sequence[Segment]) -> NDArray[np.float64]:
    """Return the time of each sample after the trigger [s], shape (n_samples,)."""
    start, trigger = config.start_ns, config.trigger_ns
    lead = (trigger - start) / NANOSECONDS if start is not None and trigger is not None else 0.0
    times: NDArray[np.float64] = np.concatenate([part.start + np.arange(part.count) / part.rate for part in parts])
    return times - lead


def _frequency(config: Configuration) -> float:
    return config.frequency or 50.0


def _channels_of(config: Configuration, quantity: Quantity) -> list[int]:
    units = [quantity_of(channel.unit) for channel in config.analog]
    return [row for row, unit in enumerate(units) if unit is not None and unit[0] is quantity][:MOST_CHANNELS]


def _factor(channel: AnalogChannel) -> float:
    """Return what turns a channel's unit into V or A."""
    unit = quantity_of(channel.unit)
    return unit[1] if unit is not None else 1.0


def _colour(channel: AnalogChannel, place: int) -> str:
    return _colours.get(channel.phase.strip().upper()[:1], _others[place % len(_others)])


def _rms(
    times: NDArray[np.float64], values: NDArray[np.float64], parts: Sequence[Segment], frequency: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the times at which cycles end [s], and the RMS of each cycle, shape (n_channels, n_cycles)."""
    ends_of: list[NDArray[np.float64]] = []
    rms_of: list[NDArray[np.float64]] = []
    for part in parts:
        cycle = round(part.rate / frequency)
        ends = np.arange(cycle, part.count + 1, max(1, cycle // 2))
        if cycle < LEAST_PER_CYCLE or not len(ends):
            continue
        own = values[:, part.first : part.first + part.count]
        zero = np.zeros((len(own), 1))
        squares = np.concatenate([zero, np.cumsum(np.nan_to_num(own) ** 2, axis=1)], axis=1)
        gone = np.concatenate([zero, np.cumsum(np.isnan(own), axis=1)], axis=1)
        rms = np.sqrt(np.maximum(squares[:, ends] - squares[:, ends - cycle], 0.0) / cycle)
        rms[gone[:, ends] > gone[:, ends - cycle]] = np.nan
        # Between two stretches nothing is known: the line is interrupted there.
        ends_of.append(np.append(times[part.first + ends - 1], np.nan))
        rms_of.append(np.concatenate([rms, np.full((len(own), 1), np.nan)], axis=1))
    if not ends_of:
        return np.empty(0), np.empty((len(values), 0))
    return np.concatenate(ends_of), np.concatenate(rms_of, axis=1)


def _dress(axes: "Axes", recording: Recording, times: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    """Mark trigger, events and gaps."""
    axes.axvline(0.0, color="#444444", linewidth=0.9, linestyle="--")
    for marked in _marks(recording):
        for begin, end in _spans(marked):
            axes.axvspan(times[begin], times[end - 1], color="#f5b041", alpha=0.18, linewidth=0)
    gone = np.asarray(np.isnan(values).any(axis=0))
    for begin, end in _spans(gone):
        axes.axvspan(times[begin], times[end - 1], facecolor="none", edgecolor="#909090", hatch="///", linewidth=0)
    axes.grid(visible=True, color="#dddddd", linewidth=0.5)
    axes.margins(x=0)


def _marks(recording: Recording) -> list[NDArray[np.bool_]]:
    """Tell when something was on; of many digital channels only whether any that ever changes was."""
    digital = recording.config.digital
    marks = [np.asarray(recording.digital(index) != channel.normal) for index, channel in enumerate(digital)]
    if len(marks) <= MOST_MARKS:
        return marks
    changing = [marked for marked in marks if not marked.all()]
    return [np.asarray(np.any(changing, axis=0))] if changing else []


def _spans(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """
    Return where marks begin and end.

    >>> _spans(np.array([False, True, True, False, True]))
    [(1, 3), (4, 5)]
    """
    steps = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in zip(steps[::2], steps[1::2], strict=True)]


def _title(recording: Recording, source: Path) -> list[str]:
    config = recording.config
    moment = ""
    if config.trigger_ns is not None:
        seconds, rest = divmod(config.trigger_ns, NANOSECONDS)
        face = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        zone = "UTC" if config.time_code.strip() == "0" else "recorder's clock"
        moment = f"trigger {face:%Y-%m-%d %H:%M:%S}.{rest // 1000:06d} ({zone})"
    on = [
        channel.name
        for index, channel in enumerate(config.digital)
        if (recording.digital(index) != channel.normal).any()
    ]
    events = on[:4] if len(config.digital) <= MOST_MARKS else []
    bound = config.time_uncertainty
    clock = f"clock within {bound:g} s" if np.isfinite(bound) else ""
    rate = f"{config.rates[0].rate:g} Hz" if config.rates and config.rates[0].rate else ""
    first = [part for part in (f"{config.station} / {config.device}", ", ".join(events)) if part.strip(" /")]
    second = [part for part in (moment, rate, clock, source.name) if part]
    return [_words("   ".join(first), 120), _words("   ".join(second), 160)]


def _words(text: str, longest: int = _LONGEST_NAME) -> str:
    """Write a text from a file as nothing but text: a dollar would begin a formula, an underscore hide a label."""
    text = text.strip()
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return text.replace("$", r"\$").lstrip("_")


def _save(figure: Any, target: Path) -> None:
    """Write the picture whole or not at all."""
    descriptor, name = tempfile.mkstemp(suffix=target.suffix or ".png", dir=target.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        with warnings.catch_warnings():
            # Names in a script that the font lacks are drawn as boxes; nobody is helped by a warning for each sign.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(temporary)
        temporary.chmod(0o644)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
