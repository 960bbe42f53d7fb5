"""
A fleet drawn for a terminal: one line a meter, what is wrong in colour.

`lines` gives the same as plain text, a line a meter, for logs and pipes. Both only read a `FleetView`.
"""

import math
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from algorithms.api.readings import ChannelReading
from algorithms.api.records import MeasurementFrame
from device_catalog.operator.fleet import FleetView, Meter
from device_catalog.operator.occurrences import Occurrence
from device_catalog.operator.subscriber import Link

STALE = 3.0
"""Age of the newest frame from which on it is shown as old [s]."""

RECORDED = 3600.0
"""Latency from which on a frame is taken for one of a recording that keeps its own times [s]."""

WIDE = 150
"""Columns from which on a meter fits on one line."""

_letters = ("A", "B", "C")
_wide_headings = (
    "U ABC [V]",
    "I ABC [A]",
    "P [kW]",
    "Q [kvar]",
    "f [Hz]",
    "∠U [°]",
    "latency [ms]\np50 p99",
    "frames\ngap dup",
)
_narrow_headings = (
    "U [V]\nA B C",
    "I [A]\nA B C",
    "P [kW]\nQ [kvar]",
    "f [Hz]\n∠U [°]",
    "late\n[ms]\np50\np99",
    "frames\ngap\ndup",
)


def fleet_table(view: FleetView, now_ns: int, title: str = "", width: int = WIDE) -> Table:
    """
    Draw the fleet.

    Parameters
    ----------
    view : FleetView
    now_ns : int
        [ns UTC]
    title : str
    width : int
        Of the terminal; below `WIDE`, a meter takes three short lines instead of one long one.
    """
    wide = width >= WIDE
    table = Table(title=title or None, title_justify="left", pad_edge=False, show_lines=not wide, padding=(0, 1, 0, 0))
    table.add_column("meter", no_wrap=True)
    for heading in _wide_headings if wide else _narrow_headings:
        table.add_column(Text(heading), justify="right", no_wrap=True)  # a Text, since [kW] would be taken for markup
    for heading in ("presence", "quality") if wide else ("presence\nquality",):
        table.add_column(heading)
    for device in sorted(view.meters):
        table.add_row(device, *_cells(view.meters[device], now_ns, wide=wide))
    return table


def _cells(meter: Meter, now_ns: int, *, wide: bool) -> list[Text]:
    """Draw one meter, all but its name."""
    age = _age(meter, now_ns)
    voltage, current, *rest = _values(meter.frame)
    between = " " if wide else "\n"
    if not wide:
        voltage, current = voltage.replace(" ", "\n"), current.replace(" ", "\n")
        rest = ["\n".join(rest[:2]), "\n".join(rest[2:])]
    accounts = Text(str(meter.frames))
    for count in (meter.missing, meter.duplicates):
        accounts.append(between)
        accounts.append(str(count), style="bold red" if count else "green")
    there = Text(presence(meter).replace(", ", ", " if wide else "\n"), style=_presence_style(meter))
    good = meter.frame is not None and not meter.frame.quality and age <= STALE
    quality = Text(_quality(meter, age), style="green" if good else "bold red" if age > STALE else "yellow")
    return [
        *(Text(value, style="dim" if age > STALE else "") for value in (voltage, current, *rest)),
        Text(_latency(meter).replace(" ", between)),
        accounts,
        *((there, quality) if wide else (Text("\n").join((there, quality)),)),
    ]


def fleet_screen(
    view: FleetView,
    links: Mapping[str, Link],
    now_ns: int,
    *,
    title: str = "",
    happened: Sequence[str] = (),
    width: int = WIDE,
) -> Group:
    """Draw the fleet, the brokers and what happened last, one below the other."""
    parts: list[RenderableType] = [fleet_table(view, now_ns, title, width)]
    parts.append(_links(links, view.catalog_state))
    if view.unreadable:
        parts.append(Text(f"{view.unreadable} messages could not be read; the last: {view.last_unreadable}", "red"))
    if happened:
        parts.append(Text("what happened:", style="bold"))
        parts.extend(Padding(Text(line), (0, 0, 0, 2)) for line in happened)
    return Group(*parts)


def _links(links: Mapping[str, Link], catalog_state: str) -> Text:
    """Say in a line which brokers are listened to, and what the catalog says of itself."""
    line = Text()
    for name, link in links.items():
        if link.connected:
            line.append(f"{name} {link.endpoint}  ", style="dim")
        else:
            line.append(f"{name} broker not connected: {link.last_error or 'connecting'}  ", style="bold red")
    if catalog_state:
        line.append(f"catalog {catalog_state}", style="dim" if catalog_state == "watching" else "yellow")
    return line


def lines(view: FleetView, now_ns: int) -> list[str]:
    """Say the same in plain text, a line a meter."""
    written = []
    for device in sorted(view.meters):
        meter = view.meters[device]
        voltage, current, active, reactive, frequency, angle = _values(meter.frame)
        written.append(
            f"{device}: U {voltage} V  I {current} A  P {active} kW  Q {reactive} kvar  f {frequency} Hz  "
            f"angle {angle}°  {_quality(meter, _age(meter, now_ns))}  latency p50 p99 {_latency(meter)} ms  "
            f"frames {meter.frames}  missing {meter.missing}  duplicates {meter.duplicates}  {presence(meter)}"
        )
    return written


def occurrence_line(occurrence: Occurrence, origin_ns: int | None = None, period: float = 0.0, rounds: int = 1) -> str:
    """
    Say what happened, where and when.

    Parameters
    ----------
    occurrence : Occurrence
    origin_ns : int or None
        Start of the recording that is replayed [ns UTC]; None to give the time of day.
    period : float
        Length of the recording where it is repeated [s]; 0 where it is not.
    rounds : int
        In how many rounds of the recording, one after the other, it was seen.
    """
    if origin_ns is None:
        seconds, rest = divmod(occurrence.start_ns, 1_000_000_000)
        hours, seconds = divmod(seconds % 86_400, 3600)
        when = f"{hours:02d}:{seconds // 60:02d}:{seconds % 60:02d}.{rest // 1_000_000:03d} UTC"
    else:
        time = (occurrence.start_ns - origin_ns) / 1e9
        turn, time = divmod(time, period) if period > 0.0 else (0.0, time)
        when = f"{time:.3f} s in the recording"
        if period > 0.0:
            when += f", round {turn + 1:.0f}" if rounds == 1 else f", rounds {turn + 1:.0f} to {turn + rounds:.0f}"
    return f"{occurrence.device}  {when}: {occurrence.text()}"


def presence(meter: Meter) -> str:
    """Say whether a device is there: its own word (birth or last will), then the catalog's with its reason."""
    own = {True: "online", False: "offline", None: ""}[meter.online]
    catalog = meter.availability.reason if meter.availability is not None else ""
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
        _short(total.p / 1e3) if total is not None else "-",
        _short(total.q / 1e3) if total is not None else "-",
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
    size = abs(value)
    return f"{value:.2f}" if size < 100 else f"{value:.1f}" if size < 10_000 else f"{value:.0f}"


def _age(meter: Meter, now_ns: int) -> float:
    """Tell how old the newest frame is [s]; endless without one."""
    return (now_ns - meter.arrived_ns) / 1e9 if meter.frame is not None else math.inf


def _quality(meter: Meter, age: float) -> str:
    if meter.frame is None:
        return "no frame yet"
    if age > STALE:
        return f"silent for {age:.0f} s"
    return " ".join(flag.value for flag in meter.frame.quality) or "good"


def _latency(meter: Meter) -> str:
    statistics = meter.latency()
    if statistics is None:
        return "-"
    if abs(statistics.median) > RECORDED:
        return "recorded"
    return f"{statistics.median * 1e3:.0f} {statistics.p99 * 1e3:.0f}"
