"""
``tresma recordings ...``: list recordings of events, fetch their files through the catalog, draw them.

Every command is a function of the parsed options; it writes its answer and raises `OperatorError` where it cannot.
A recording is called ``DEVICE/ID``. What draws a file is found by the entry-point group ``tresma.plots``: the reader
of recordings belongs to another room, which this one knows nothing of.
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec
from rich.table import Table
from rich.text import Text

from device_catalog.contract import paths
from device_catalog.contract.recordings import RecordingEntry, RecordingPage
from device_catalog.contract.register import ProblemDocument
from device_catalog.contract.topics import is_identifier
from device_catalog.operator.catalog import MAXIMUM_PAGES, Catalog, read
from device_catalog.operator.errors import CatalogAway, OperatorError, UsageError
from device_catalog.operator.output import drawing, note, printable, say, say_json

PLOTS = "tresma.plots"
"""Entry-point group of what draws files."""

LOOK = 0.5
"""How often the catalog is asked how far a file has come [s]."""

Answer = TypeVar("Answer")

_PAGE = 100
_picture_endings = (".png", ".svg", ".pdf")


class RecordingsCatalog(Catalog):
    """The part of the catalog that is about recordings."""

    def recordings(self, device: str = "") -> Iterator[RecordingEntry]:
        """Go through recordings, the newest first."""
        query = {"limit": str(_PAGE), **({"device": device} if device else {})}
        for _ in range(MAXIMUM_PAGES):
            answer, _ = self._exchange("GET", paths.RECORDINGS, query=query)
            page = read(answer, RecordingPage)
            yield from page.items
            if not page.next:
                return
            query["cursor"] = page.next

    def recording(self, device: str, name: str) -> RecordingEntry:
        """Return what is known of one."""
        return read(self._exchange("GET", _path(paths.RECORDING, name), device)[0], RecordingEntry)

    def request(self, device: str, name: str) -> RecordingEntry:
        """Ask the device for the file."""
        return read(self._exchange("PUT", _path(paths.RECORDING_REQUEST, name), device)[0], RecordingEntry)

    def recording_file(self, device: str, name: str) -> bytes:
        """Return the file."""
        return self._exchange("GET", _path(paths.RECORDING_FILE, name), device)[0]

    def _refused(self, status: int, answer: bytes, device: str) -> OperatorError:
        try:
            unknown = msgspec.json.decode(answer, type=ProblemDocument).type == "/problems/recording-unknown"
        except msgspec.MsgspecError:
            unknown = False
        if not unknown:
            return super()._refused(status, answer, device)
        message = (
            f"the catalog knows no such recording of {device}; `tresma recordings list {device}` shows those it does"
        )
        return OperatorError(message, (), status)


def show_list(options: argparse.Namespace, catalog: RecordingsCatalog) -> None:
    """List recordings, the newest first."""
    table = Table(pad_edge=False, box=None)
    headings = ("recording", "kind", "severity", "trigger [UTC]", "duration [s]", "size [kB]", "where", "lacks")
    for heading in headings:
        table.add_column(heading, no_wrap=True, justify="right" if "[s]" in heading or "[kB]" in heading else "left")
    count = 0
    for entry in catalog.recordings(options.device or ""):
        if count >= options.limit:
            note(f"the newest {count}; --limit shows more")
            break
        count += 1
        if options.json:
            say_json(entry)
            continue
        info = entry.info
        style = {"critical": "bold red", "warning": "yellow"}.get(str(info.severity), "")
        table.add_row(
            f"{info.device}/{info.id}",
            printable(info.kind),
            Text(str(info.severity), style=style),
            info.trigger[:23].replace("T", " "),
            f"{info.duration:.2f}",
            f"{info.bytes / 1e3:.0f}",
            _where(entry),
            " ".join(info.lacks),
        )
    if options.json:
        return
    if count:
        drawing().print(table)
    note(f"{count} recording{'' if count == 1 else 's'}")


def fetch(options: argparse.Namespace, catalog: RecordingsCatalog) -> None:
    """Fetch files, asking the devices for those that the catalog does not have."""
    folder = Path(options.output or ".")
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected an existing folder, found none")
    wanted = [_reference(text) for text in options.recording]
    for device, name in wanted:  # all are asked for before the first is waited for
        if catalog.recording(device, name).state in ("on-device", "gone"):
            catalog.request(device, name)
    for device, name in wanted:
        target, entry = _fetched(catalog, device, name, options.wait, folder)
        if options.json:
            say_json({"recording": f"{device}/{name}", "file": str(target), "sha256": entry.info.sha256})
        else:
            say(str(target))


def plot(options: argparse.Namespace, open_catalog: Callable[[], RecordingsCatalog]) -> None:
    """Draw a file, or a recording that is fetched first."""
    source = Path(options.recording)
    target = Path(options.output) if options.output else None
    if target is not None and target.suffix.lower() not in _picture_endings:
        raise UsageError(f"{target}: expected a picture that ends in {', '.join(_picture_endings)}")
    if source.suffix.lower() in (".cff", ".cfg") or source.exists():
        _draw(_drawer(), source, target or source.with_suffix(".png"))
        _say_drawn(options, target or source.with_suffix(".png"))
        return
    device, name = _reference(options.recording)
    with open_catalog() as catalog:
        picture_of(catalog, device, name, target or Path(f"{device}_{name}.png"), options.wait)
    _say_drawn(options, target or Path(f"{device}_{name}.png"))


def picture_of(catalog: RecordingsCatalog, device: str, name: str, target: Path, patience: float) -> None:
    """
    Draw a recording that is fetched first.

    Parameters
    ----------
    catalog : RecordingsCatalog
    device, name : str
    target : pathlib.Path
    patience : float
        How long the device may take to hand it over [s].
    """
    draw = _drawer()
    with tempfile.TemporaryDirectory() as folder:
        if catalog.recording(device, name).state in ("on-device", "gone"):
            catalog.request(device, name)
        source, _ = _fetched(catalog, device, name, patience, Path(folder))
        _draw(draw, source, target)


def _draw(draw: Callable[[Path, Path], None], source: Path, target: Path) -> None:
    try:
        draw(source, target)
    except ImportError as error:
        raise OperatorError(
            f"expected matplotlib, which draws, found: {error}; pip install 'tresma[plots]', or apt install "
            "python3-matplotlib"
        ) from error
    except OSError as error:
        raise OperatorError(f"{target}: expected a picture that can be written, found: {error.strerror}") from error
    except Exception as error:
        # What draws is found by name, and its errors are its own: their message is what helps.
        raise OperatorError(f"{source.name} cannot be drawn: {error}") from error


def _say_drawn(options: argparse.Namespace, target: Path) -> None:
    if options.json:
        say_json({"recording": options.recording, "file": str(target)})
    else:
        say(str(target))


def _drawer() -> Callable[[Path, Path], None]:
    found = [entry for entry in entry_points(group=PLOTS) if entry.name == "recording"]
    if not found:
        raise OperatorError("expected something installed that draws recordings, found none; install tresma anew")
    try:
        draw: Callable[[Path, Path], None] = found[0].load()
    except ImportError as error:
        raise OperatorError(f"expected numpy, which reading a recording needs, found: {error}; install it") from error
    return draw


def _fetched(
    catalog: RecordingsCatalog, device: str, name: str, patience: float, folder: Path
) -> tuple[Path, RecordingEntry]:
    """Wait until the catalog has a file, and write it."""
    entry = _arrived(catalog, device, name, patience)
    data = _patiently(lambda: catalog.recording_file(device, name), time.monotonic() + patience)
    return _keep(folder, device, name, entry, data), entry


def _patiently(ask: Callable[[], Answer], deadline: float) -> Answer:
    """Ask again while the catalog is away for a moment, which must not cost what has been waited for; say so once."""
    told = False
    while True:
        try:
            return ask()
        except CatalogAway as error:
            if time.monotonic() > deadline:
                raise
            if not told:
                note(f"{error}; asking again")
            told = True
        time.sleep(LOOK)


def _arrived(catalog: RecordingsCatalog, device: str, name: str, patience: float) -> RecordingEntry:
    """Wait until the catalog has a file, saying how far it has come."""
    deadline = time.monotonic() + patience
    shown = -1
    while True:
        entry = _patiently(lambda: catalog.recording(device, name), deadline)
        if entry.state == "here":
            return entry
        if entry.state != "requested":
            raise OperatorError(f"expected a recording that the device still has, found {device}/{name} gone from it")
        if entry.received != shown:
            shown = entry.received
            share = 100.0 * shown / max(entry.info.bytes, 1)
            note(f"{device}/{name}: {shown / 1e3:.0f} of {entry.info.bytes / 1e3:.0f} kB ({share:.0f} %)")
        if time.monotonic() > deadline:
            raise OperatorError(
                f"{device}/{name} has not come within {patience:g} s; the device may be away, or poll less often. The "
                "catalog goes on waiting for it: fetch it again later"
            )
        time.sleep(LOOK)


def _keep(folder: Path, device: str, name: str, entry: RecordingEntry, data: bytes) -> Path:
    """Write a file and its label, each whole or not at all; named as it was asked for, whatever the answer says."""
    found = hashlib.sha256(data).hexdigest()
    if found != entry.info.sha256:
        raise OperatorError(f"expected content with the digest {entry.info.sha256}, found {found}; fetch it again")
    target = folder / f"{device}_{name}.cff"
    label = msgspec.json.format(msgspec.json.encode(entry.info)) + b"\n"
    for path, content in ((target, data), (target.with_suffix(".json"), label)):
        try:
            number, temporary = tempfile.mkstemp(dir=folder)
            with os.fdopen(number, "wb") as file:
                file.write(content)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except OSError as error:
            raise OperatorError(f"{path}: expected a file that can be written, found: {error.strerror}") from error
    return target


def _reference(text: str) -> tuple[str, str]:
    device, _, name = text.partition("/")
    if not (is_identifier(device) and is_identifier(name)):
        raise UsageError(
            f"expected a recording as DEVICE/ID (`tresma recordings list` shows them), or a .cff or .cfg file, found "
            f"{text}"
        )
    return device, name


def _where(entry: RecordingEntry) -> Text:
    if entry.state == "requested":
        return Text(f"coming ({100 * entry.received / max(entry.info.bytes, 1):.0f} %)", style="yellow")
    return Text({"here": "catalog", "on-device": "device"}.get(entry.state, entry.state), style="")


def _path(path: str, name: str) -> str:
    return path.replace("{recording}", quote(name, safe=""))
