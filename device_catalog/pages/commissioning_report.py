"""
The commissioning report as a PDF: two pages of paper made from a signed record, which travels inside as an attachment.

Made by a process of its own (``python -m``): the library takes 45 MB that the catalog would keep, and seconds of a lock
that its polls need.

What counts is the record with its signature; paper can be made by anybody. The report therefore says so, names the
record's digest and the certificate, and carries the record: ``tresma devices report --verify FILE`` needs nothing else
but the authorities. The same record makes the same paper: its date is that of its arrival.
"""

import logging
import math
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
from fpdf import FPDF
from fpdf.enums import XPos, YPos

from algorithms.api.readings import ChannelReading
from device_catalog.contract.commissioning import (
    MAXIMUM_SIGNED,
    Answer,
    CommissioningEntry,
    CommissioningRecord,
    SignedRecord,
)

ATTACHMENT = "commissioning.json"
"""Name of the record in the PDF."""

FONTS = (Path("/usr/share/fonts/truetype/dejavu"), Path("/usr/share/fonts/dejavu-sans-fonts"))
"""Where fonts with more than Western European letters are looked for."""

Colour = tuple[int, int, int]
INK: Colour = (20, 27, 38)
SOFT: Colour = (82, 94, 112)
LINE: Colour = (212, 218, 227)
WHITE: Colour = (255, 255, 255)
_phases: Mapping[str, Colour] = {"A": (164, 80, 15), "B": (29, 40, 54), "C": (109, 120, 136), "N": (26, 86, 176)}
_answers: Mapping[Answer, tuple[str, Colour]] = {
    Answer.PASSED: ("This meter works", (20, 112, 63)),
    Answer.INCOMPLETE: ("Nothing is wrong, not everything could be judged", (138, 86, 0)),
    Answer.FAILED: ("This meter does not work properly", (179, 32, 42)),
}
_verdicts: Mapping[str, Colour] = {
    "ok": (20, 112, 63),
    "warning": (138, 86, 0),
    "not judged": (138, 86, 0),
    "failed": (179, 32, 42),
}
_names = {"A": "L1", "B": "L2", "C": "L3", "N": "N", "total": "all"}

_LEFT, _WIDE = 18.0, 174.0
_BOTTOM = 22.0
_columns = (12.0, 24.0, 18.0, 24.0, 18.0, 18.0)
"""Of the table of readings [mm]."""


class Order(msgspec.Struct, frozen=True):
    """What a report is made of; see `report`."""

    signed: SignedRecord
    entry: CommissioningEntry


def main() -> int:
    """Make the report of the order on standard input; the PDF goes to standard output."""
    order = msgspec.json.decode(sys.stdin.buffer.read(4 * MAXIMUM_SIGNED), type=Order)
    sys.stdout.buffer.write(report(order.signed, order.entry))
    return 0


def report(signed: SignedRecord, entry: CommissioningEntry) -> bytes:
    """
    Make the report of a record.

    Parameters
    ----------
    signed : SignedRecord
        As it came; goes inside.
    entry : CommissioningEntry
        The same record, read, and how it is kept.

    Returns
    -------
    bytes
        PDF.
    """
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of each table of a font
    record = entry.record
    paper = _Paper(f"{record.device}, commissioning {entry.number}, {entry.sha256[:16]}")
    paper.set_title(f"Commissioning of {record.device}")
    paper.set_creation_date(entry.received)
    paper.set_lang("en")
    paper.embed_file(bytes=msgspec.json.encode(signed), basename=ATTACHMENT, desc="The signed record", compress=True)
    paper.add_page()
    _head(paper, record)
    _facts(paper, entry)
    _readings(paper, record)
    _judged(paper, record)
    _signature(paper, entry)
    return bytes(paper.output())


class _Paper(FPDF):
    """A4 with a foot on each page, in a font that has the letters of installers' names where there is one."""

    def __init__(self, foot: str) -> None:
        super().__init__(format="A4")
        self._foot = foot
        self.c_margin = 0.0
        self.set_margins(_LEFT, 16.0)
        self.set_auto_page_break(auto=True, margin=_BOTTOM)
        self.family = "Helvetica"
        for folder in FONTS:
            regular, bold = folder / "DejaVuSans.ttf", folder / "DejaVuSans-Bold.ttf"
            if regular.is_file() and bold.is_file():
                self.add_font("DejaVu", "", regular)
                self.add_font("DejaVu", "B", bold)
                self.family = "DejaVu"
                break

    def footer(self) -> None:
        """Write what every page has below."""
        self.set_y(-15)
        self.write_in(8, SOFT)
        self.cell(0, 5, self.shown(self._foot))
        self.set_x(_LEFT)
        self.cell(0, 5, f"page {self.page_no()}", align="R")

    def write_in(self, size: float, colour: Colour = INK, *, bold: bool = False) -> None:
        """Write in this size and colour from now on."""
        self.set_font(self.family, "B" if bold else "", size)
        self.set_text_color(*colour)

    def shown(self, text: str) -> str:
        """Replace letters that the font does not have."""
        return text if self.family != "Helvetica" else text.encode("latin-1", "replace").decode("latin-1")

    def line_of(self, text: str, height: float = 5.0) -> None:
        """Write one line."""
        self.cell(0, height, self.shown(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def heading(self, text: str) -> None:
        """Begin a part; not at the foot of a page."""
        if self.get_y() > self.h - _BOTTOM - 25:
            self.add_page()
        self.ln(4)
        self.write_in(12, bold=True)
        self.line_of(text, 7)
        self.ln(0.5)

    def rule(self) -> None:
        """Draw a line over the width."""
        self.set_draw_color(*LINE)
        self.set_line_width(0.2)
        self.line(_LEFT, self.get_y(), _LEFT + _WIDE, self.get_y())


def _head(paper: _Paper, record: CommissioningRecord) -> None:
    paper.write_in(10, SOFT)
    paper.line_of("tresma, commissioning report")
    paper.write_in(20, bold=True)
    paper.line_of(record.device, 10)
    words, colour = _answers[record.answer]
    paper.ln(2)
    paper.set_fill_color(*colour)
    top = paper.get_y()
    paper.rect(_LEFT, top, _WIDE, 16, style="F", round_corners=True, corner_radius=3)
    paper.set_xy(_LEFT + 6, top)
    paper.write_in(16, WHITE, bold=True)
    paper.cell(_WIDE - 12, 16, paper.shown(words), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _facts(paper: _Paper, entry: CommissioningEntry) -> None:
    record = entry.record
    clock = "follows UTC" if record.synchronised else "not compared with UTC"
    within = "" if record.time_uncertainty is None else f", standard uncertainty {_seconds(record.time_uncertainty)}"
    facts = [
        ("Place", record.place),
        ("Installer", record.installer),
        ("Remarks", record.note or "none"),
        ("Made", f"{_time(record.made)} UTC by the meter's clock ({clock}{within})"),
        ("Received", f"{entry.received:%Y-%m-%d %H:%M:%S} UTC by the catalog, as number {entry.number}"),
        ("Terminal", record.terminal),
        ("Board", record.source or "none"),
        ("Settings", f"revision {record.applied_revision}, start {record.boot} of the meter"),
    ]
    paper.ln(4)
    for name, text in facts:
        _row(paper, name, text)


def _row(paper: _Paper, name: str, text: str) -> None:
    paper.write_in(9.5, SOFT)
    paper.cell(26, 5.4, paper.shown(name))
    paper.write_in(9.5)
    paper.multi_cell(_WIDE - 26, 5.4, paper.shown(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")


def _readings(paper: _Paper, record: CommissioningRecord) -> None:
    if not record.voltage and not record.current:
        return
    paper.heading("Readings")
    top = paper.get_y()
    _diagram(paper, record, _LEFT + 27, top + 30)
    left = _LEFT + 60
    titles = ("", "voltage [V]", "angle [deg]", "current [A]", "angle [deg]", "power [W]")
    paper.set_xy(left, top + 3)
    paper.write_in(8, SOFT)
    for title, width in zip(titles, _columns, strict=True):
        paper.cell(width, 5, title, align="R" if title else "L")
    y = top + 9
    for phase in ("A", "B", "C", "N"):
        if phase not in record.voltage and phase not in record.current:
            continue
        _phase_row(paper, record, phase, left, y)
        y += 11
    total = record.power.get("total")
    paper.set_xy(left, y + 1)
    paper.write_in(8.5)
    said = [] if total is None else [f"All phases: {_with(total.p, total.u_p)} W, {_with(total.q, total.u_q)} var"]
    if record.frequency is not None:
        said.append(f"frequency {_with(record.frequency.value, record.frequency.uncertainty)} Hz")
    paper.multi_cell(_WIDE - 60, 4.6, paper.shown("; ".join(said)), align="L")
    paper.set_x(left)
    paper.write_in(7.5, SOFT)
    window = f" Over {1e3 * record.window:.0f} ms." if record.window else ""
    note = f"True RMS; ± one standard uncertainty; angles against the voltage of L1.{window}"
    paper.multi_cell(_WIDE - 60, 4.2, paper.shown(note), align="L")
    paper.set_xy(_LEFT, max(paper.get_y(), top + 62))


def _phase_row(paper: _Paper, record: CommissioningRecord, phase: str, left: float, y: float) -> None:
    voltage, current, power = record.voltage.get(phase), record.current.get(phase), record.power.get(phase)
    paper.set_draw_color(*LINE)
    paper.line(left, y - 0.5, _LEFT + _WIDE, y - 0.5)
    first, second = [_names[phase]], [""]
    for reading in (voltage, current):
        first.append("" if reading is None else _rounded(reading.rms, reading.u_rms))
        second.append("" if reading is None else f"± {reading.u_rms:.2g}")
        degrees, spread = _angle(record, reading)
        first.append(degrees)
        second.append(spread)
    first.append("" if power is None else _rounded(power.p, power.u_p))
    second.append("" if power is None else f"± {power.u_p:.2g}")
    for texts, size, colour, at in ((first, 9.5, INK, y), (second, 7.5, SOFT, y + 5)):
        paper.set_xy(left, at)
        for index, (text, width) in enumerate(zip(texts, _columns, strict=True)):
            paper.write_in(size, _phases[phase] if not index else colour, bold=not index)
            paper.cell(width, 4.6, paper.shown(text), align="R" if index else "L")


def _angle(record: CommissioningRecord, reading: ChannelReading | None) -> tuple[str, str]:
    reference = record.voltage.get("A")
    if reading is None or reading.angle is None or reference is None or reference.angle is None:
        return "", ""
    degrees = math.degrees(math.remainder(reading.angle - reference.angle, math.tau)) + 0.0
    spread = "" if reading.u_angle is None else f"± {math.degrees(reading.u_angle):.2g}"
    return _rounded(degrees, max(math.degrees(reading.u_angle or 0.0), 0.05)), spread


def _diagram(paper: _Paper, record: CommissioningRecord, x: float, y: float) -> None:
    radius = 25.0
    paper.set_draw_color(*LINE)
    paper.set_line_width(0.25)
    for share in (0.5, 1.0):
        paper.circle(x, y, radius * share)
    paper.line(x - radius, y, x + radius, y)
    paper.line(x, y - radius, x, y + radius)
    reference = record.voltage.get("A")
    zero = reference.angle if reference is not None and reference.angle is not None else 0.0
    for readings, letter, length, width in ((record.current, "I", 0.64, 0.5), (record.voltage, "U", 1.0, 0.9)):
        longest = max((one.magnitude for one in readings.values()), default=0.0)
        for phase, one in readings.items():
            if one.angle is None or longest <= 0 or one.magnitude < 0.08 * longest or phase not in _phases:
                continue
            angle, reach = one.angle - zero, radius * length * one.magnitude / longest
            _arrow(paper, (x, y), angle, reach, (_phases[phase], width, letter == "I"))
            paper.write_in(7, _phases[phase], bold=True)
            tip = x - (reach + 3.2) * math.sin(angle), y - (reach + 3.2) * math.cos(angle)
            paper.set_xy(tip[0] - 4, tip[1] - 2)
            paper.cell(8, 4, f"{letter}{_names[phase].removeprefix('L')}", align="C")


def _arrow(
    paper: _Paper, start: tuple[float, float], angle: float, reach: float, style: tuple[Colour, float, bool]
) -> None:
    colour, width, dashed = style
    across, up = -math.sin(angle), -math.cos(angle)
    neck = start[0] + (reach - 2.4) * across, start[1] + (reach - 2.4) * up
    tip = start[0] + reach * across, start[1] + reach * up
    paper.set_draw_color(*colour)
    paper.set_fill_color(*colour)
    paper.set_line_width(width)
    if dashed:
        paper.set_dash_pattern(1.4, 1.0)
    paper.line(*start, *neck)
    paper.set_dash_pattern()
    paper.set_line_width(0.1)
    sides = [(neck[0] + side * up, neck[1] - side * across) for side in (1.1, -1.1)]
    paper.polygon([tip, *sides], style="F")


def _judged(paper: _Paper, record: CommissioningRecord) -> None:
    paper.heading("What was looked at")
    for line in record.verdicts:
        if paper.get_y() > paper.h - _BOTTOM - 12:
            paper.add_page()
        paper.rule()
        paper.ln(0.8)
        y = paper.get_y()
        paper.write_in(8.5, _verdicts.get(line.verdict, INK), bold=True)
        paper.cell(24, 4.8, paper.shown("in order" if line.verdict == "ok" else line.verdict))
        paper.write_in(9)
        paper.multi_cell(40, 4.8, paper.shown(line.item), new_x=XPos.RIGHT, new_y=YPos.TOP, align="L")
        paper.set_xy(_LEFT + 64, y)
        remedy = f". {line.remedy[0].upper()}{line.remedy[1:]}." if line.remedy and line.verdict != "ok" else ""
        paper.multi_cell(
            _WIDE - 64, 4.8, paper.shown(f"{line.found}{remedy}"), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L"
        )
        paper.ln(0.6)


def _signature(paper: _Paper, entry: CommissioningEntry) -> None:
    record = entry.record
    paper.heading("What it was made with")
    for text in record.channels:
        _row(paper, "Channel", text)
    _row(paper, "Software", ", ".join(f"{name} {version}" for name, version in record.software.items()))
    paper.heading("Signature")
    for name, digest in (("Record", entry.sha256), ("Certificate", entry.certificate)):
        paper.write_in(9.5, SOFT)
        paper.cell(26, 5.4, name)
        paper.write_in(8.5)
        paper.line_of(f"SHA-256 {digest}", 5.4)
    paper.ln(1.5)
    paper.write_in(8.5, SOFT)
    said = (
        f"The meter signed the record that this paper was made of; it is attached to this file ({ATTACHMENT}). Paper "
        "proves nothing by itself: tresma devices report --verify FILE tells whether the record is the meter's, and "
        "what it says."
    )
    paper.multi_cell(_WIDE, 4.6, paper.shown(said), align="L")


def _with(value: float, uncertainty: float) -> str:
    return f"{_rounded(value, uncertainty)} ± {uncertainty:.2g}"


def _rounded(value: float, uncertainty: float) -> str:
    """Write a value to the second digit of its uncertainty, and at most six decimals."""
    if not (uncertainty > 0 and math.isfinite(uncertainty)):
        return f"{value:.6g}"
    decimals = 1 - math.floor(math.log10(uncertainty))
    return f"{value:.{min(max(decimals, 0), 6)}f}"


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _seconds(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2g} {unit}"
    return f"{seconds * 1e9:.2g} ns"


if __name__ == "__main__":
    sys.exit(main())
