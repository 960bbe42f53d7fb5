"""
A tray of cards: the list of what is to be written where, and the memory of what is done.

The list is a table (CSV) as a spreadsheet saves it, with commas or semicolons. What is done stands in a file beside it,
a line a card, so that a tray that was interrupted goes on where it ended, and a reader that takes one card at a time
goes through the whole list.
"""

import csv
import difflib
import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.rules import IDENTIFIER, Problems
from device_catalog.contract.topics import is_identifier
from device_catalog.operator.errors import OperatorError, UsageError

COLUMNS = ("device", "target", "place", "network", "card", "tenant", "pin")
MOST = 10_000
"""Lines of a list."""
MAXIMUM_LENGTH = 4 * 1024 * 1024
"""Longest list read [bytes]."""


class Line(NamedTuple):
    """
    One card.

    Attributes
    ----------
    number : int
        Of the line in the list.
    device : str
    target : str
        Disk or file.
    place : str
        For the label.
    network, card : str
        Files; empty for those of the command line, and for a token asked of the catalog.
    tenant, pin : str
        Empty for the default, and for one that is made.
    """

    number: int
    device: str
    target: str
    place: str = ""
    network: str = ""
    card: str = ""
    tenant: str = ""
    pin: str = ""


def read_list(path: Path) -> list[Line]:
    """
    Read a list.

    Returns
    -------
    list of Line
        Files are named as seen from the list's own folder; targets as seen from the present one.

    Raises
    ------
    UsageError
        With everything that is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_LENGTH + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: expected a list of cards, found: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected a text, found another encoding; save it as CSV UTF-8") from error
    if len(content) > MAXIMUM_LENGTH:
        raise UsageError(f"{path}: expected at most {MAXIMUM_LENGTH} bytes, found more")
    first = text.splitlines()[0] if text.strip() else ""
    rows = csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",")
    try:
        numbered = [(rows.line_num, [cell.strip() for cell in row]) for row in rows]
    except csv.Error as error:
        raise UsageError(f"{path}: expected a table (CSV), found something else: {error}") from error
    lines, problems = _lines([pair for pair in numbered if any(pair[1])], path)
    if problems:
        raise UsageError(f"{path}: the list cannot be used; nothing was written", problems)
    return lines


def _lines(rows: list[tuple[int, list[str]]], path: Path) -> tuple[list[Line], list[Problem]]:
    rules = Problems()
    if not rows:
        rules.expect(False, str(path), f"a line of names: {', '.join(COLUMNS[:3])}", "an empty file")
        return [], rules.found
    header = [name.lower() for name in rows[0][1]]
    for name in header:
        near = difflib.get_close_matches(name, COLUMNS, n=1)
        remedy = f"did you mean {near[0]}?" if near else "take the column out"
        rules.expect(
            name in COLUMNS, f"line {rows[0][0]}", f"columns {', '.join(COLUMNS)}", name or "one without a name", remedy
        )
    rules.unique(header, f"line {rows[0][0]}", "column")
    for name in ("device", "target"):
        rules.expect(name in header, f"line {rows[0][0]}", f"a column {name}", "none")
    rules.expect(1 < len(rows) <= MOST + 1, str(path), f"from 1 to {MOST} cards", f"{len(rows) - 1}")
    if rules.found:
        return [], rules.found
    lines: list[Line] = []
    devices: dict[str, int] = {}
    for number, cells in rows[1:]:
        where = f"line {number}"
        if not rules.expect(len(cells) <= len(header), where, f"{len(header)} cells", f"{len(cells)}"):
            continue
        line = Line(number, **{"device": "", "target": "", **dict(zip(header, cells, strict=False))})
        named = rules.expect(is_identifier(line.device), f"{where}: device", IDENTIFIER, line.device or "nothing")
        rules.expect(bool(line.target), f"{where}: target", "a disk such as /dev/sdb, or a file", "nothing")
        if named and line.device in devices:
            remedy = "two meters with one identity would lock each other out"
            found = f"{line.device} in line {devices[line.device]} too"
            rules.expect(False, f"{where}: device", "each meter once", found, remedy)
        devices.setdefault(line.device, number)
        folder = path.parent
        network, card = (str(folder / name) if name else "" for name in (line.network, line.card))
        lines.append(line._replace(network=network, card=card))
    return lines, rules.found


class Entry(msgspec.Struct, frozen=True):
    """One card that is done: for which meter, with which image (SHA-256), where, and when."""

    device: str
    image: str
    target: str
    time: datetime


class Memory:
    """
    What of a list is done, kept beside it.

    Parameters
    ----------
    path : pathlib.Path
        Of the file; made with the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._done: dict[tuple[str, str], Entry] = {}
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise OperatorError(f"{path}: expected what is done already, found: {error.strerror}") from error
        for line in content.splitlines():
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except msgspec.MsgspecError:
                continue  # the power failed while it was written: that card is written once more
            self._done[entry.device, entry.image] = entry

    def done(self, device: str, image: str) -> Entry | None:
        """Find the entry of a meter's card with an image; None where it is not done."""
        return self._done.get((device, image))

    def newest(self, device: str) -> Entry | None:
        """Find the newest entry of a meter's card, with whatever image; None where there is none."""
        entries = [entry for entry in self._done.values() if entry.device == device]
        return max(entries, key=lambda entry: entry.time, default=None)

    def add(self, device: str, image: str, target: str) -> None:
        """Note a card that is done; durable when this returns."""
        entry = Entry(device, image, target, datetime.now(tz=UTC))
        try:
            with self.path.open("ab") as file:
                if file.tell() and not self._ends_whole():
                    file.write(b"\n")
                file.write(msgspec.json.encode(entry) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            found = shortened(error.strerror or str(error))
            raise OperatorError(f"{self.path}: {device} is done, and that cannot be noted: {found}") from error
        self._done[device, image] = entry

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
