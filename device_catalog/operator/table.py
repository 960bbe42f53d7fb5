"""
A fleet drawn for a terminal: one line a meter, what is wrong in colour.

`lines` gives the same as plain text, a line a meter, for logs and pipes. Both only read a `FleetView`.
"""

import math
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from algorithms.api.records import ChannelReading, MeasurementFrame
from device_catalog.operator.fleet import FleetView, Meter
from device_catalog.operator.occurrences import Occurrence
from device_catalog.operator.subscriber import Link

STALE = 3.0
"""Age of the newest frame from which on it is shown as old [s]."""

RECORDED = 3600.0
"""Latency from which on a frame is taken for one of a recording that keeps its own times [s]."""

_letters = ("A", "B", "C")


def fleet_table(view: FleetView, now_ns: int, title: str = "") -> Table:
    """
    Draw the fleet.

    Parameters
    ----------
    view : FleetView
    now_ns : int
        [ns UTC]
    title : str
    """
    table = Table(title=title or None, title_justify="left", expand=False, pad_edge=False)
    table.add_column("meter", no_wrap=True)
    for heading in ("U A/B/C [V]", "I A/B/C [A]", "P [kW]", "Q [kvar]", "f [Hz]", "∠U [°]"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("quality")
    table.add_column("latency [ms]", justify="right", no_wrap=True)
    table.add_column("frames", justify="right", no_wrap=True)
    table.add_column("gap/dup", justify="right", no_wrap=True)
    table.add_column("presence")
    for device in sorted(view.meters):
        meter = view.meters[device]
        age = (now_ns - meter.arrived_ns) / 1e9 if meter.frame is not None else math.inf
        values = [Text(value, style="dim" if age > STALE else "") for value in _values(meter.frame)]
        quality = Text(_quality(meter, age), style="yellow" if meter.frame is None or meter.frame.quality else "green")
        accounts = f"{meter.missing}/{meter.duplicates}"
        table.add_row(
            device,
            *values,
            quality,
            _latency(meter),
            str(meter.frames),
            Text(accounts, style="bold red" if meter.missing or meter.duplicates else "green"),
            Text(presence(meter), style=_presence_style(meter)),
        )
    return table


def fleet_screen(
    view: FleetView, links: Mapping[str, Link], now_ns: int, title: str, happened: Sequence[str] = ()
) -> Group:
    """Draw the fleet, the brokers and what happened last, one below the other."""
    parts: list[RenderableType] = [fleet_table(view, now_ns, title)]
    parts.extend(Text(line, style=style) for line, style in _link_lines(links))
    if view.catalog_state:
        parts.append(Text(f"catalog: {view.catalog_state}", style="dim"))
    if view.unreadable:
        parts.append(Text(f"{view.unreadable} messages could not be read; the last: {view.last_unreadable}", "red"))
    if happened:
        parts.append(Text("what happened:", style="bold"))
        parts.extend(Text(f"  {line}") for line in happened)
    return Group(*parts)


def _link_lines(links: Mapping[str, Link]) -> list[tuple[str, str]]:
    return [
        (f"{name} broker: {link.endpoint}", "dim")
        if link.connected
        else (f"{name} broker: not connected; {link.last_error or 'connecting'}", "bold red")
        for name, link in links.items()
    ]


def lines(view: FleetView, now_ns: int) -> list[str]:
    """Say the same in plain text, a line a meter."""
    written = []
    for device in sorted(view.meters):
        meter = view.meters[device]
        age = (now_ns - meter.arrived_ns) / 1e9 if meter.frame is not None else math.inf
        voltage, current, active, reactive, frequency, angle = _values(meter.frame)
        written.append(
            f"{device}: U {voltage} V  I {current} A  P {active} kW  Q {reactive} kvar  f {frequency} Hz  "
            f"angle {angle}°  {_quality(meter, age)}  latency {_latency(meter)} ms  frames {meter.frames}  "
            f"missing {meter.missing}  duplicates {meter.duplicates}  {presence(meter)}"
        )
    return written


def occurrence_line(occurrence: Occurrence, origin_ns: int | None = None, period: float = 0.0) -> str:
    """
    Say what happened, where and when.

    Parameters
    ----------
    occurrence : Occurrence
    origin_ns : int or None
        Start of the recording that is replayed [ns UTC]; None to give the time of day.
    period : float
        Length of the recording where it is repeated [s]; 0 where it is not.
    """
    if origin_ns is None:
        seconds, rest = divmod(occurrence.start_ns, 1_000_000_000)
        hours, seconds = divmod(seconds % 86_400, 3600)
        when = f"{hours:02d}:{seconds // 60:02d}:{seconds % 60:02d}.{rest // 1_000_000:03d} UTC"
    else:
        time = (occurrence.start_ns - origin_ns) / 1e9
        turn, time = divmod(time, period) if period > 0.0 else (0.0, time)
        when = f"{time:.3f} s in the recording" + (f" (round {turn + 1:.0f})" if period > 0.0 else "")
    return f"{occurrence.device}  {when}  {occurrence.text()}"


def presence(meter: Meter) -> str:
    """Say whether a device is there: its own word, then the catalog's."""
    own = {True: "online", False: "offline (last will)", None: ""}[meter.online]
    reason = meter.availability.reason if meter.availability is not None else ""
    catalog = {True: "available", False: f"unavailable ({reason})", None: ""}[meter.available]
    return ", ".join(word for word in (own, catalog) if word) or "no word yet"


def _presence_style(meter: Meter) -> str:
    if meter.online is False or meter.available is False:
        return "bold red"
    return "green" if meter.online or meter.available else "dim"


def _values(frame: MeasurementFrame | None) -> list[str]:
    if frame is None:
        return ["-"] * 6
    total = frame.power.get("total")
    angle = next((frame.voltage[phase].angle for phase in _letters if phase in frame.voltage), None)
    return [
        _row(frame.voltage),
        _row(frame.current),
        f"{total.p / 1e3:.4g}" if total is not None else "-",
        f"{total.q / 1e3:.4g}" if total is not None else "-",
        f"{frame.frequency.value:.3f}" if frame.frequency is not None else "-",
        f"{math.degrees(angle):.1f}" if angle is not None else "-",
    ]


def _row(readings: dict[str, ChannelReading]) -> str:
    return " ".join(_short(readings[phase].magnitude) if phase in readings else "-" for phase in _letters)


def _short(value: float) -> str:
    """Write a magnitude in about five characters.

    >>> [_short(value) for value in (231.26, 4.5, 127017.3, 0.0)]
    ['231.3', '4.50', '127017', '0.00']
    """
    return f"{value:.2f}" if value < 100 else f"{value:.1f}" if value < 10_000 else f"{value:.0f}"


def _quality(meter: Meter, age: float) -> str:
    if meter.frame is None:
        return "no frame yet"
    flags = " ".join(flag.value for flag in meter.frame.quality) or "good"
    return f"{flags} ({age:.0f} s old)" if age > STALE else flags


def _latency(meter: Meter) -> str:
    statistics = meter.latency()
    if statistics is None:
        return "-"
    if abs(statistics.median) > RECORDED:
        return "recorded"
    return f"{statistics.median * 1e3:.0f} (p99 {statistics.p99 * 1e3:.0f})"
