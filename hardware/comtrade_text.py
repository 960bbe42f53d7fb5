"""
Writing the configuration of a COMTRADE recording: `Configuration` to the text (CFG) that `comtrade_config` reads.

Pure: value in, text out, in the layout of the configuration's own revision. Nothing is written that could not be read
back.
"""

import math
from datetime import UTC, datetime, timedelta

from algorithms.api.errors import shortened
from algorithms.api.samples import NANOSECONDS
from hardware.comtrade_model import Configuration

_epoch = datetime(1970, 1, 1, tzinfo=UTC)


def format_configuration(config: Configuration) -> str:
    """
    Write a configuration, lines ended by CR LF.

    Raises
    ------
    ValueError
        When a text holds a comma or a line end, or a number is not finite: nobody could read it back.
    """
    early = config.revision == 1991
    heading = [config.station, config.device] + ([] if early else [str(config.revision)])
    n_analog, n_digital = len(config.analog), len(config.digital)
    rows = [heading, [str(n_analog + n_digital), f"{n_analog}A", f"{n_digital}D"]]
    for number, channel in enumerate(config.analog, 1):
        row = [str(number), channel.name, channel.phase, channel.component, channel.unit]
        row += [_text(value) for value in (channel.a, channel.b, channel.skew * 1e6)]
        row += [_text(channel.minimum), _text(channel.maximum)]
        if not early:
            row += ["" if value is None else _text(value) for value in (channel.primary, channel.secondary)]
            row.append("P" if channel.is_primary else "S")
        rows.append(row)
    for number, state in enumerate(config.digital, 1):
        layout = [state.name] if early else [state.name, state.phase, state.component]
        rows.append([str(number), *layout, str(state.normal)])
    rows.append([_text(config.frequency)])
    rows.append([str(0 if config.rates[0].rate == 0 else len(config.rates))])
    rows += [[_text(rate.rate), str(rate.last)] for rate in config.rates]
    rows += [_clock_text(config.start_ns, config), _clock_text(config.trigger_ns, config), [config.data_format]]
    if not early:
        rows.append([_text(config.time_multiplier)])
    if config.revision == 2013:
        rows += [[config.time_code or "x", config.local_code or "x"], [config.time_quality or "F", config.leap or "0"]]
    for row in rows:
        for part in row:
            if any(mark in part for mark in ",\r\n\x1a\x00") or part != part.strip():
                raise ValueError(f"text without commas, line ends and outer blanks expected, found {shortened(part)!r}")
    return "".join(",".join(row) + "\r\n" for row in rows)


def _text(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"a finite number expected, found {value}")
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _clock_text(time_ns: int | None, config: Configuration) -> list[str]:
    if time_ns is None:
        return ["", ""]
    seconds, rest = divmod(time_ns, NANOSECONDS)
    moment = _epoch + timedelta(seconds=seconds)
    date = moment.strftime("%m/%d/%y") if config.revision == 1991 else moment.strftime("%d/%m/%Y")
    fraction = f"{rest:09d}" if config.nanoseconds else f"{rest // 1000:06d}"
    return [date, f"{moment:%H:%M:%S}.{fraction}"]
