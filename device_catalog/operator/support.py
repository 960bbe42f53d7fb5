"""
``tresma support ...``: ask a meter for a bundle or for its log, see who asked for what, fetch what came.

Every command is a function of the parsed options; it writes its answer and raises `OperatorError` where it cannot. A
request is called ``METER/s-17``; a meter's name alone means its newest bundle.
"""

import argparse
import hashlib
import io
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.table import Table
from rich.text import Text

from device_catalog.contract.register import ProblemDocument
from device_catalog.contract.support import (
    DEVICE_SUPPORT,
    SUPPORT,
    SUPPORT_FILE,
    SUPPORT_LINES,
    SUPPORT_REQUEST,
    BundleManifest,
    LogLevel,
    LogLines,
    SupportEntry,
    SupportKind,
    SupportPage,
    SupportWanted,
)
from device_catalog.contract.topics import is_identifier
from device_catalog.operator.catalog import MAXIMUM_PAGES, Catalog, read
from device_catalog.operator.errors import CatalogAway, OperatorError, UsageError
from device_catalog.operator.output import drawing, note, printable, say, say_json

LOOK = 0.5
"""How often the catalog is asked while something is waited for [s]."""
FOLLOWED = 1.0
"""How often new lines are asked for [s]."""

UNPACKED = 64 * 1024 * 1024
"""A bundle that holds more is not looked into [bytes]."""

_PAGE = 100
_colours = {LogLevel.ERROR: "bold red", LogLevel.WARNING: "yellow", LogLevel.INFO: ""}
_tones = {"here": "green", "open": "green", "failed": "red", "asked": "yellow", "coming": "yellow"}


class SupportCatalog(Catalog):
    """The part of the catalog that is about support."""

    def ask(self, device: str, wanted: SupportWanted) -> SupportEntry:
        """Ask a device for something."""
        return read(self._exchange("POST", DEVICE_SUPPORT, device, body=wanted)[0], SupportEntry)

    def requests(self, device: str = "") -> Iterator[SupportEntry]:
        """Go through requests, the newest first."""
        query = {"limit": str(_PAGE), **({"device": device} if device else {})}
        for _ in range(MAXIMUM_PAGES):
            page = read(self._exchange("GET", SUPPORT, query=query)[0], SupportPage)
            yield from page.items
            if not page.next:
                return
            query["cursor"] = page.next

    def request(self, device: str, name: str) -> SupportEntry:
        """Return what became of a request."""
        return read(self._exchange("GET", _path(SUPPORT_REQUEST, name), device)[0], SupportEntry)

    def end(self, device: str, name: str) -> None:
        """End a request."""
        self._exchange("DELETE", _path(SUPPORT_REQUEST, name), device)

    def bundle(self, device: str, name: str) -> bytes:
        """Fetch a bundle."""
        return self._exchange("GET", _path(SUPPORT_FILE, name), device)[0]

    def lines(self, device: str, name: str, after: int) -> LogLines:
        """Return lines of a log behind one."""
        answer, _ = self._exchange("GET", _path(SUPPORT_LINES, name), device, query={"after": str(after)})
        return read(answer, LogLines)

    def _refused(self, status: int, answer: bytes, device: str) -> OperatorError:
        try:
            document = msgspec.json.decode(answer, type=ProblemDocument)
        except msgspec.MsgspecError:
            return super()._refused(status, answer, device)
        if document.type != "/problems/support-unknown":
            return super()._refused(status, answer, device)
        return OperatorError(f"{document.detail} (`tresma support list {device}`)", (), status)


def request(options: argparse.Namespace, catalog: SupportCatalog) -> None:
    """Ask a meter for a bundle; wait for it where that is wanted."""
    entry = catalog.ask(options.device, SupportWanted(SupportKind.BUNDLE, options.reason))
    if not options.wait:
        _say_entry(options, entry, f"{_full(entry)} is asked for; `tresma support get {_full(entry)} --wait 300`")
        return
    note(f"{_full(entry)} is asked for")
    _fetch(options, catalog, entry)


def get(options: argparse.Namespace, catalog: SupportCatalog) -> None:
    """Fetch a bundle."""
    device, name = _reference(options.request)
    if name:
        entry = catalog.request(device, name)
    else:
        found = next((one for one in catalog.requests(device) if one.kind is SupportKind.BUNDLE), None)
        if found is None:
            remedy = f"`tresma support request {device}` asks for one"
            raise OperatorError(f"expected a bundle of {device}, found none that was ever asked for; {remedy}")
        entry = found
    _fetch(options, catalog, entry)


def show_list(options: argparse.Namespace, catalog: SupportCatalog) -> None:
    """List requests, the newest first."""
    table = Table(pad_edge=False, box=None)
    for heading in ("request", "what", "asked [UTC]", "by", "state", "until [UTC]", "size", "why"):
        table.add_column(heading, no_wrap=heading != "why")
    count = 0
    for entry in catalog.requests(options.device or ""):
        if count >= options.limit:
            note(f"the newest {count}; --limit shows more")
            break
        count += 1
        if options.json:
            say_json(entry)
            continue
        logs = entry.kind is SupportKind.LOGS
        table.add_row(
            _full(entry),
            "log" if logs else "bundle",
            f"{entry.asked:%Y-%m-%d %H:%M:%S}",
            printable(entry.author),
            Text(entry.state, style=_tones.get(entry.state, "")),
            f"{entry.until:%Y-%m-%d %H:%M}",
            f"{entry.received} lines" if logs else f"{entry.bytes / 1e3:.0f} kB" if entry.bytes else "",
            Text(printable(entry.failed or entry.reason)),
        )
    if not options.json and count:
        drawing().print(table)
    if not options.json:
        note(f"{count} request{'' if count == 1 else 's'}")


def logs(options: argparse.Namespace, catalog: SupportCatalog) -> None:
    """Have a meter tell its log for a while; show the lines as they come, where that is wanted."""
    wanted = SupportWanted(SupportKind.LOGS, options.reason, options.seconds, LogLevel(options.level))
    entry = catalog.ask(options.device, wanted)
    until = f"until {entry.until:%H:%M:%S} UTC"
    if not options.follow:
        _say_entry(options, entry, f"{_full(entry)}: the log is told {until}; `tresma support follow {_full(entry)}`")
        return
    note(f"{_full(entry)}: the log is told {until}; Ctrl-C ends it")
    try:
        _show_lines(options, catalog, entry)
    except KeyboardInterrupt:
        catalog.end(entry.device, entry.request)
        note(f"{_full(entry)} is ended")
        raise


def follow(options: argparse.Namespace, catalog: SupportCatalog) -> None:
    """Show the lines of a log that is, or was, told."""
    device, name = _reference(options.request)
    if not name:
        found = next((one for one in catalog.requests(device) if one.kind is SupportKind.LOGS), None)
        if found is None:
            remedy = f"`tresma support logs {device} --for 10m --follow` asks for it"
            raise OperatorError(f"expected a log of {device}, found none that was ever asked for; {remedy}")
        name = found.request
    _show_lines(options, catalog, catalog.request(device, name))


def end(options: argparse.Namespace, catalog: SupportCatalog) -> None:
    """End requests."""
    for text in options.request:
        device, name = _reference(text)
        if not name:
            raise UsageError(f"expected a request as METER/s-17 (`tresma support list` shows them), found {text}")
        catalog.end(device, name)
        if options.json:
            say_json({"request": f"{device}/{name}", "state": "ended"})
        else:
            say(f"{device}/{name} is ended")


def _show_lines(options: argparse.Namespace, catalog: SupportCatalog, entry: SupportEntry) -> None:
    console = drawing(highlight=False, soft_wrap=True)
    after, away = 0, False
    while True:
        try:
            page = catalog.lines(entry.device, entry.request, after)
        except CatalogAway as error:
            if not away:
                note(f"{error}; asking again")
            away = True
            time.sleep(FOLLOWED)
            continue
        away = False
        for line in page.items:
            if options.json:
                say_json(line)
            else:
                if line.number > after + 1 and after:
                    note(f"({line.number - after - 1} lines are missing)")
                text = f"{line.time[:19].replace('T', ' ')} {line.level.value:7} {printable(line.text)}"
                console.print(Text(text, style=_colours[line.level]))
            after = line.number
        sys.stdout.flush()
        if not page.open:
            none = "" if after else "; no line came: a meter that no broker reaches hears of it with its next poll only"
            note(f"{_full(entry)} is over{none}")
            return
        if not page.items:
            time.sleep(FOLLOWED)


def _fetch(options: argparse.Namespace, catalog: SupportCatalog, entry: SupportEntry) -> None:
    """Wait until a bundle is here, fetch it and tell what is not in it."""
    deadline, shown = time.monotonic() + options.wait, -1
    while entry.state in ("asked", "coming"):
        if entry.received != shown and entry.bytes:
            shown = entry.received
            note(f"{_full(entry)}: {shown / 1e3:.0f} of {entry.bytes / 1e3:.0f} kB")
        if time.monotonic() >= deadline:
            raise OperatorError(
                f"{_full(entry)} has not come within {options.wait:g} s; the meter may be away, or poll less often. "
                f"The catalog waits for it until {entry.until:%Y-%m-%d}: fetch it again later"
            )
        time.sleep(LOOK)
        entry = catalog.request(entry.device, entry.request)
    if entry.state != "here":
        raise OperatorError(f"there is no bundle {_full(entry)}: {entry.failed or entry.state}")
    data = catalog.bundle(entry.device, entry.request)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise OperatorError(f"expected content with the digest {entry.sha256}, found another; fetch it again")
    target = _kept(Path(options.output or "."), entry, data)
    for name, why in entry.missing.items():
        note(f"not in it: {name}: {why}")
    problem = _problem_in(data)
    if problem:
        note(f"{target}: {problem}")
    if options.json:
        say_json({"file": str(target), "request": entry})
    else:
        say(str(target))


def _kept(place: Path, entry: SupportEntry, data: bytes) -> Path:
    """Write a bundle whole or not at all; into a folder under its own name, else as that file."""
    target = place / f"tresma-support-{entry.device}-{entry.request}.tar.gz" if place.is_dir() else place
    try:
        number, temporary = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(number, "wb") as file:
            file.write(data)
        Path(temporary).replace(target)
    except OSError as error:
        raise OperatorError(f"{target}: expected a file that can be written, found: {error.strerror}") from error
    return target


def _problem_in(data: bytes) -> str:
    """Say in what a bundle is not as its manifest says; empty where it is."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            contents, left = {}, UNPACKED
            for one in tar:
                left -= one.size
                if left < 0:
                    return f"expected at most {UNPACKED} bytes in it, found more; do not unpack it"
                file = tar.extractfile(one)
                contents[one.name.partition("/")[2]] = b"" if file is None else file.read()
        manifest = msgspec.json.decode(contents.pop("manifest.json"), type=BundleManifest)
    except (tarfile.TarError, OSError, EOFError, KeyError, msgspec.MsgspecError) as error:
        return f"expected an archive with a manifest, found {type(error).__name__}; treat it with care"
    stated = {one.name: one.sha256 for one in manifest.files}
    actual = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    wrong = sorted(name for name in stated.keys() | actual.keys() if stated.get(name) != actual.get(name))
    return f"expected what its manifest says, found otherwise: {', '.join(wrong[:5])}" if wrong else ""


def _say_entry(options: argparse.Namespace, entry: SupportEntry, words: str) -> None:
    if options.json:
        say_json(entry)
    else:
        say(words)


def _full(entry: SupportEntry) -> str:
    return f"{entry.device}/{entry.request}"


def _reference(text: str) -> tuple[str, str]:
    device, _, name = text.partition("/")
    if not is_identifier(device) or (name and not is_identifier(name)):
        raise UsageError(f"expected METER or METER/s-17 (`tresma support list` shows them), found {text}")
    return device, name


def _path(path: str, name: str) -> str:
    return path.replace("{support}", name)
