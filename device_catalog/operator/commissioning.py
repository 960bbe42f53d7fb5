"""
``tresma devices report``: the reports of a meter's commissionings, listed, fetched and verified.

A report is verified by the signature of the record inside it, against authorities that the operator names or the
catalog tells; the paper around it proves nothing.
"""

import argparse
import io
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import msgspec
from rich.table import Table
from rich.text import Text

from algorithms.api.errors import printable, shortened
from algorithms.api.wire import NANOSECONDS, time_from_text
from device_catalog.contract.commissioning import (
    COMMISSIONING,
    COMMISSIONING_REPORT,
    COMMISSIONINGS,
    CommissioningPage,
    SignedRecord,
    digest_of,
)
from device_catalog.contract.enrolment import AUTHORITY, AuthorityDocument
from device_catalog.operator.catalog import Catalog, read
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.output import drawing, note, say, say_json
from device_catalog.operator.settings import KEYS, read_settings

MAXIMUM_FILE = 8 * 1024 * 1024
"""Longest file read [bytes]."""

EXAMPLES = """\
A meter signs the record of its commissioning; the report (PDF) is made of it and carries it. --verify tells whether the
record in a file is the meter's, and what it says; without --ca the authorities are the catalog's.

examples:
  tresma devices report m-0042                          the newest, as m-0042_commissioning_1.pdf
  tresma devices report m-0042 --list                   all there are
  tresma devices report m-0042 --number 2 -o cabinet.pdf
  tresma devices report --verify cabinet.pdf --ca anchors.pem
  tresma devices set m-0042 commissioning.reopened=2026-12-01T08:00:00Z      its page opens again
"""


class CommissioningCatalog(Catalog):
    """The part of the catalog's interface that is about commissionings."""

    def commissionings(self, device: str) -> CommissioningPage:
        """List a device's, the newest first."""
        answer, _ = self._exchange("GET", COMMISSIONINGS.replace("{device}", quote(device, safe="")))
        return read(answer, CommissioningPage)

    def record(self, device: str, number: str) -> SignedRecord:
        """Fetch a record as it came."""
        answer, _ = self._exchange("GET", _path(COMMISSIONING, device, number))
        return read(answer, SignedRecord)

    def report(self, device: str, number: str) -> bytes:
        """Fetch a report."""
        answer, _ = self._exchange("GET", _path(COMMISSIONING_REPORT, device, number))
        return answer

    def anchors(self) -> str:
        """Fetch the authorities."""
        answer, _ = self._exchange("GET", AUTHORITY)
        return read(answer, AuthorityDocument).anchors


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", add: Callable[..., argparse.ArgumentParser]
) -> None:
    """
    Add ``devices report``.

    Parameters
    ----------
    commands : argparse action
    add : callable
        Adds one command to some commands: takes these, its name, what it does, and examples.
    """
    parser = add(commands, "report", "fetch or verify the report of a meter's commissioning", EXAMPLES)
    parser.add_argument("device", metavar="ID", nargs="?")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="list the reports of this meter")
    what.add_argument("--number", type=_number, metavar="N", help="this one (default: the newest)")
    what.add_argument("--verify", metavar="FILE", help="verify the report, or record, in a file")
    parser.add_argument("--record", action="store_true", help="the signed record (JSON) instead of the PDF")
    parser.add_argument("--output", "-o", metavar="FILE", help="where to write it (default: named after the meter)")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    if options.verify:
        _verify(options)
        return
    if not options.device:
        raise UsageError("which meter? Give its name, or --verify FILE")
    with _open(options) as catalog:
        if options.list:
            _show_list(options, catalog)
        else:
            _fetch(options, catalog)


def _show_list(options: argparse.Namespace, catalog: CommissioningCatalog) -> None:
    items = catalog.commissionings(options.device).items
    if options.json:
        for item in items:
            say_json(item)
        return
    table = Table(pad_edge=False, box=None)
    for heading in ("number", "made (UTC)", "answer", "place", "installer", "remarks"):
        table.add_column(heading, no_wrap=heading != "remarks")
    for item in items:
        record = item.record
        made = record.made[:19].replace("T", " ")
        words = (record.place, record.installer, record.note)  # as somebody typed them: not markup of ours
        table.add_row(str(item.number), made, record.answer.value, *(Text(printable(one)) for one in words))
    if items:
        drawing().print(table)
    note(f"{len(items)} commissioning{'' if len(items) == 1 else 's'}")


def _fetch(options: argparse.Namespace, catalog: CommissioningCatalog) -> None:
    number = str(options.number or "newest")
    if options.record:
        content = msgspec.json.encode(catalog.record(options.device, number))
    else:
        content = catalog.report(options.device, number)
    ending = "json" if options.record else "pdf"
    name = "newest" if number == "newest" else number
    if number == "newest":
        items = catalog.commissionings(options.device).items
        name = str(items[0].number) if items else name
    target = Path(options.output or f"{options.device}_commissioning_{name}.{ending}")
    _keep(target, content)
    if options.json:
        say_json({"device": options.device, "number": name, "file": str(target)})
    else:
        say(str(target))


def _verify(options: argparse.Namespace) -> None:
    """Verify what is in a file, and say what it says."""
    try:
        from device_catalog.authority.signed_record import verify  # noqa: PLC0415 - what is missing is told
    except ModuleNotFoundError as error:
        raise OperatorError(f"expected the library {error.name}, found none; pip install 'tresma[operator]'") from error
    signed = _signed(Path(options.verify))
    anchors, told_by = _anchors(options)
    try:
        verified = verify(signed, anchors)
        made = datetime.fromtimestamp(time_from_text(verified.record.made) / NANOSECONDS, UTC)
    except ValueError as error:
        raise OperatorError(f"{options.verify}: {error}") from error
    record, digest = verified.record, digest_of(signed.record)
    if not verified.not_before <= made <= verified.not_after:
        wanted = f"{verified.not_before:%Y-%m-%d} to {verified.not_after:%Y-%m-%d}"
        raise OperatorError(
            f"{options.verify}: expected a record made while its certificate counts ({wanted}), found one of "
            f"{made:%Y-%m-%d}"
        )
    if options.json:
        facts = {"device": verified.device, "sha256": digest, "certificate": verified.fingerprint.hex()}
        say_json({"verified": True, "authorities": told_by, **facts, "record": msgspec.to_builtins(record)})
        return
    say(f"signed by {verified.device}, whose certificate is of {told_by}")
    say(f"  made       {made:%Y-%m-%d %H:%M:%S} UTC{'' if record.synchronised else ', by a clock that ran free'}")
    for name, text in (("place", record.place), ("installer", record.installer), ("remarks", record.note)):
        say(f"  {name:<10} {printable(text) or 'none'}")
    say(f"  answer     {record.answer.value}")
    for line in record.verdicts:
        if line.verdict != "ok":
            say(f"  {line.verdict:<10} {printable(line.item)}: {printable(line.found)}")
    say(f"  sha256     {digest}")


def _anchors(options: argparse.Namespace) -> tuple[str, str]:
    if options.ca:
        return _read(Path(options.ca)).decode("ascii", "replace"), options.ca
    with _open(options) as catalog:
        return catalog.anchors(), f"the authorities of {catalog.base}"


def _signed(path: Path) -> SignedRecord:
    """Read the signed record that a file is, or carries."""
    content = _read(path)
    if content.startswith(b"%PDF"):
        content = _attached(path, content)
    try:
        return msgspec.json.decode(content, type=SignedRecord)
    except (msgspec.DecodeError, RecursionError) as error:
        raise OperatorError(
            f"{path}: expected a commissioning report or its record, found {shortened(str(error), 120)}"
        ) from error


def _attached(path: Path, content: bytes) -> bytes:
    try:
        from pypdf import PdfReader  # noqa: PLC0415 - only for this
        from pypdf.errors import PyPdfError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise OperatorError(
            "expected the library pypdf, found none; pip install 'tresma[operator]', or verify the record "
            "(tresma devices report ID --record)"
        ) from error
    try:
        files = PdfReader(io.BytesIO(content)).attachments
        return files["commissioning.json"][0]
    except (PyPdfError, KeyError, IndexError, ValueError, RecursionError, OSError) as error:
        raise OperatorError(f"{path}: expected a report with its record attached, found none") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path}: expected a file that can be read, found: {error.strerror}") from error
    if len(content) > MAXIMUM_FILE:
        raise UsageError(f"{path}: expected at most {MAXIMUM_FILE} bytes, found more")
    return content


def _keep(target: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        number, temporary = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(number, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except OSError as error:
        raise OperatorError(f"{target}: expected a file that can be written, found: {error.strerror}") from error


def _open(options: argparse.Namespace) -> CommissioningCatalog:
    return CommissioningCatalog(read_settings({name: getattr(options, name, None) for name in KEYS}))


def _path(path: str, device: str, number: str) -> str:
    return path.replace("{device}", quote(device, safe="")).replace("{number}", quote(number, safe=""))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
        raise argparse.ArgumentTypeError(f"expected a number from 1, found {text}")
    return int(text)
