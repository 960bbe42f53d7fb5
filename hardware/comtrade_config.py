"""
Reading the configuration of a COMTRADE recording: its text (CFG) to `Configuration`; `comtrade_text` writes it.

Pure: text in, value out. Tolerant where recorders differ without harm (empty skews, odd revision years, two-digit
years, both orders of day and month, CR, LF and SUB, encodings), strict where a number would be guessed. Whatever is
wrong gives one `RecordingError` that names the file, the line, what was expected and what was found. A declared count
is only ever compared with what is really there.
"""

import re
from datetime import UTC, datetime

from algorithms.api.errors import shortened
from algorithms.api.samples import NANOSECONDS
from hardware.comtrade_model import (
    DATA_FORMATS,
    AnalogChannel,
    Configuration,
    DataFormat,
    DeclaredRate,
    DigitalChannel,
)
from hardware.errors import RecordingError

MAXIMUM_CONFIGURATION = 8 * 1024 * 1024
"""Longest configuration read [bytes]."""
MINIMUM_RATE, MAXIMUM_RATE = 1e-3, 1e9
"""Sampling rates believed [Hz]."""
LARGEST_NUMBER = 1e30
"""Largest number believed; products of several stay finite."""
LARGEST_BOUND = 1e39
"""Largest minimum or maximum of a channel believed: some are the ends of a float32."""

_epoch = datetime(1970, 1, 1, tzinfo=UTC)
_line_end = re.compile("\r\n|\r|\n")
_chinese = re.compile(rb"(?:[\x00-\x7f]|[\xa1-\xf7][\xa1-\xfe])*")
_count = re.compile(r"\d{1,9}")
_date = re.compile(r"(\d{1,4})[/-](\d{1,2})[/-](\d{1,4})")
_time = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.:](\d{1,12}))?")


def decode_text(data: bytes) -> str:
    """
    Read bytes of unstated encoding: UTF-8, UTF-16 with its mark, Chinese GBK, else Latin-1, which never fails.

    >>> decode_text("220kV母线".encode("gbk")), decode_text("Süd".encode("latin-1"))
    ('220kV母线', 'Süd')
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("gb18030" if _chinese.fullmatch(data) else "latin-1", errors="replace")


class _Lines:
    """Takes a text line by line, and tells what is wrong with one."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines = [line.strip(" \t\x00\x1a") for line in _line_end.split(text.rstrip("\r\n \t\x00\x1a"))]
        self.position = 0

    def wrong(self, expected: str, found: object) -> RecordingError:
        return RecordingError(f"{self.name}, line {self.position}: expected {expected}, found {shortened(found)}")

    def take(self, what: str) -> list[str]:
        """Return the fields of the next line."""
        self.position += 1
        if self.position > len(self.lines):
            raise self.wrong(what, "the end of the file")
        return [part.strip() for part in self.lines[self.position - 1].split(",")]

    def take_optional(self) -> list[str]:
        if self.position >= len(self.lines):
            return [""]
        return self.take("")

    def number(self, text: str, what: str, default: float | None = None, *, largest: float = LARGEST_NUMBER) -> float:
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            raise self.wrong(what, text or "nothing") from None
        if not abs(value) <= largest or "_" in text:
            raise self.wrong(f"{what}, finite and up to {largest:g}", text)
        return value

    def count(self, text: str, what: str) -> int:
        if not text.isascii() or not _count.fullmatch(text):
            raise self.wrong(what, text or "nothing")
        return int(text)


def parse_configuration(text: str, name: str) -> Configuration:
    """
    Read a configuration.

    Parameters
    ----------
    text : str
    name : str
        Of the file, for messages.

    Raises
    ------
    RecordingError
    """
    lines = _Lines(text, name)
    station, device, revision = _heading(lines)
    n_analog, n_digital = _counts(lines)
    analog = tuple(_analog(lines, number, n_analog) for number in range(1, n_analog + 1))
    digital = tuple(_digital(lines, number, n_digital) for number in range(1, n_digital + 1))
    frequency = lines.number(lines.take("the line frequency [Hz]")[0], "the line frequency [Hz]", 0.0)
    if frequency < 0:
        raise lines.wrong("a line frequency of 0 or more [Hz]", frequency)
    rates = _rates(lines)
    start_ns, start_digits = _clock_face(lines, "the time of the first sample", revision)
    trigger_ns, trigger_digits = _clock_face(lines, "the time of the trigger", revision)
    data_format = _data_format(lines)
    multiplier = lines.number(lines.take_optional()[0], "a time multiplier", 1.0)
    if not 0 < multiplier <= 1e9:
        raise lines.wrong("a time multiplier above 0 and up to 1e9", multiplier)
    time_code, local_code = (*lines.take_optional(), "")[:2]
    time_quality, leap = (*lines.take_optional(), "")[:2]
    return Configuration(
        station=station,
        device=device,
        revision=revision,
        analog=analog,
        digital=digital,
        frequency=frequency,
        rates=rates,
        start_ns=start_ns,
        trigger_ns=trigger_ns,
        data_format=data_format,
        time_multiplier=multiplier,
        nanoseconds=revision == 2013 and max(start_digits, trigger_digits) > 6,
        time_code=time_code,
        local_code=local_code,
        time_quality=time_quality,
        leap=leap,
    )


def _heading(lines: _Lines) -> tuple[str, str, int]:
    station, device, revision, *_ = (*lines.take("station, device and revision year"), "", "")
    if not revision:
        if not device and station[:1] in ("", "\x7f", "{", "<"):
            raise lines.wrong("station, device and revision year", station or "nothing")
        return station, device, 1991
    year = lines.count(revision, "a revision year such as 1999 (or none, for 1991)")
    if not 1990 <= year <= 2100:
        raise lines.wrong("a revision year such as 1999 (or none, for 1991)", revision)
    return station, device, 1991 if year < 1997 else 1999 if year < 2013 else 2013


def _counts(lines: _Lines) -> tuple[int, int]:
    expected = "the numbers of channels, such as 8,6A,2D"
    fields = [part for part in lines.take(expected) if part]
    if len(fields) != 3 or fields[1][-1:].upper() != "A" or fields[2][-1:].upper() != "D":
        raise lines.wrong(expected, ",".join(fields) or "nothing")
    total, n_analog, n_digital = (lines.count(text.strip("AaDd "), expected) for text in fields)
    if total != n_analog + n_digital:
        raise lines.wrong(f"a total of {n_analog} + {n_digital} = {n_analog + n_digital} channels", total)
    if total == 0:
        raise lines.wrong("at least one channel", "none")
    left = len(lines.lines) - lines.position
    if total > left:
        raise lines.wrong(f"at most as many channels as there are lines left ({left})", f"{total} channels")
    return n_analog, n_digital


def _analog(lines: _Lines, number: int, n_analog: int) -> AnalogChannel:
    what = f"analog channel {number} of {n_analog}"
    fields = lines.take(what)
    while len(fields) > 10 and not fields[-1]:
        fields.pop()
    if not 6 <= len(fields) <= 13:
        raise lines.wrong(f"{what} in 10 or 13 fields", f"{len(fields)} fields: {','.join(fields)}")
    _same_number(lines, fields[0], number, what)
    name, phase, component, unit, a, b, skew, minimum, maximum, primary, secondary, side = (
        *fields[1:],
        *("",) * (13 - len(fields)),
    )
    low = lines.number(minimum, f"the minimum of {what}", -99999.0, largest=LARGEST_BOUND)
    high = lines.number(maximum, f"the maximum of {what}", 99998.0, largest=LARGEST_BOUND)
    if side.upper() not in ("P", "S", ""):
        raise lines.wrong(f"P (primary) or S (secondary) at the end of {what}", side)
    return AnalogChannel(
        name=name,
        phase=phase,
        component=component,
        unit=unit,
        a=lines.number(a, f"the factor a of {what}"),
        b=lines.number(b, f"the offset b of {what}", 0.0),
        skew=lines.number(skew, f"the skew of {what} [us]", 0.0) / 1e6,
        minimum=low,
        maximum=high,
        primary=lines.number(primary, f"the primary rating of {what}") if primary else None,
        secondary=lines.number(secondary, f"the secondary rating of {what}") if secondary else None,
        is_primary=side.upper() != "S",
    )


def _digital(lines: _Lines, number: int, n_digital: int) -> DigitalChannel:
    what = f"digital channel {number} of {n_digital}"
    fields = lines.take(what)
    while len(fields) > 3 and not fields[-1]:
        fields.pop()
    if not 2 <= len(fields) <= 5:
        raise lines.wrong(f"{what} in 3 or 5 fields", f"{len(fields)} fields: {','.join(fields)}")
    _same_number(lines, fields[0], number, what)
    # Three fields are number, name and normal state (1991); more are the later layout, whose last may be empty.
    if len(fields) <= 3:
        name, phase, component, normal = fields[1], "", "", (*fields[2:], "")[0]
    else:
        name, phase, component, normal = (*fields[1:], "")[:4]
    if normal not in ("", "0", "1"):
        raise lines.wrong(f"0 or 1 as the normal state of {what}", normal)
    return DigitalChannel(name, phase, component, int(normal or 0))


def _same_number(lines: _Lines, text: str, number: int, what: str) -> None:
    # Counting from 0, or anew after the analog channels, does no harm; text in its place means the count was wrong.
    if lines.count(text, f"the number of {what}") > 10**6:
        raise lines.wrong(f"{number} as the number of {what}", text)


def _rates(lines: _Lines) -> tuple[DeclaredRate, ...]:
    n_rates = lines.count(lines.take("the number of sampling rates")[0], "the number of sampling rates")
    left = len(lines.lines) - lines.position
    if n_rates > left:
        raise lines.wrong(f"at most as many sampling rates as there are lines left ({left})", n_rates)
    rates: list[DeclaredRate] = []
    last_before = 0
    for _ in range(max(n_rates, 1)):
        expected = "a sampling rate [Hz] and the number of its last sample"
        fields = lines.take(expected)
        rate = lines.number(fields[0], expected)
        last = lines.count((*fields, "")[1], expected)
        if not MINIMUM_RATE <= rate <= MAXIMUM_RATE and (n_rates > 0 or rate != 0):
            raise lines.wrong(f"a sampling rate from {MINIMUM_RATE:g} to {MAXIMUM_RATE:g} [Hz]", fields[0])
        # Some recorders fill the table up with lines that repeat the last one.
        if n_rates > 0 and (last < last_before or last == 0):
            raise lines.wrong(f"a last sample after number {last_before}", last)
        rates.append(DeclaredRate(rate, last))
        last_before = last
    return tuple(rates)


def _data_format(lines: _Lines) -> DataFormat:
    expected = f"one of {', '.join(DATA_FORMATS)}"
    text = lines.take(expected)[0].upper()
    for data_format in DATA_FORMATS:
        if text == data_format:
            return data_format
    raise lines.wrong(expected, text or "nothing")


def _clock_face(lines: _Lines, what: str, revision: int) -> tuple[int | None, int]:
    """Return a time [ns since 1970, as if the clock showed UTC] and how many digits its fraction has."""
    fields = (*lines.take(what), "")
    if not any(fields):
        return None, 0
    date, time = _date.fullmatch(fields[0]), _time.fullmatch(fields[1])
    expected = f"{what} as {'mm/dd/yy' if revision == 1991 else 'dd/mm/yyyy'},hh:mm:ss.ssssss"
    if date is None or time is None:
        raise lines.wrong(expected, ",".join(fields[:2]))
    first, second, third = (int(part) for part in date.groups())
    if len(date[1]) > 2:
        year, month, day = first, second, third
    elif (revision == 1991 and first <= 12) or second > 12:
        month, day, year = first, second, third
    else:
        day, month, year = first, second, third
    if year < 100:
        year += 1900 if year >= 70 else 2000
    hours, minutes, seconds = (int(part) for part in time.groups()[:3])
    fraction = time[4] or ""
    # A leap second is 60, and some recorders write midnight as 24:00:00.
    if hours > 24 or minutes > 59 or seconds > 60 or not 1970 <= year <= 2200:
        raise lines.wrong(expected, ",".join(fields[:2]))
    try:
        days = datetime(year, month, day, tzinfo=UTC) - _epoch
    except ValueError:
        raise lines.wrong(expected, ",".join(fields[:2])) from None
    whole = days.days * 86_400 + hours * 3600 + minutes * 60 + seconds
    return whole * NANOSECONDS + int(fraction[:9].ljust(9, "0")), len(fraction)
