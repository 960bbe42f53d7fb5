"""
``tresma history list|show``: what the catalog's history keeps, as a table, JSON, CSV, Parquet or a picture.

Every command is a function of the parsed options; it writes its answer and raises `OperatorError` where it cannot. A
file appears whole or not at all.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.table import Table

from device_catalog.contract import paths
from device_catalog.contract.history import DeviceHistory, HistoryPage, HistoryStatus
from device_catalog.history.export import ParquetMissing, csv_of, parquet_of, table_of
from device_catalog.network_files.writing import write_file
from device_catalog.operator.argument_types import count_up_to
from device_catalog.operator.catalog import MAXIMUM_PAGES, Catalog, read
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.output import drawing, note, printable, say, say_json
from device_catalog.operator.settings import KEYS, read_settings

PAGE = 5000
CONTENTS = ("frames", "states", "energy", "quality", "events", "results")
SHOWN = {
    "frames": ("frequency", "voltage.A.rms", "voltage.B.rms", "voltage.C.rms", "power.total.p", "power.total.q"),
    "states": ("equivalent.p.ABC", "equivalent.q.ABC", "objective"),
}
"""Fields of the table, where none are asked for."""
COLUMNS = 8

_units = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}

_SHOW = """\
Times are RFC 3339 (2026-11-21T12:00:00Z); without --from, the last hour. --step sums up whole minutes: mean, least and
greatest value, uncertainty, count. Fields are named as `--json` shows them, or by what they begin with.

examples:
  tresma history show m-0042
  tresma history show m-0042 --last 1d --step 15min --fields voltage,power.total.p --csv > day.csv
  tresma history show m-0042 --last 1h --step 1min --fields voltage --plot voltage.svg
  tresma history show m-0042 energy --from 2026-11-01T00:00:00Z --parquet november.parquet
"""


class HistoryCatalog(Catalog):
    """The part of the catalog that is about what was measured."""

    def status(self) -> HistoryStatus:
        """Tell how the history is doing."""
        return read(self._exchange("GET", paths.KEPT)[0], HistoryStatus)

    def kept(self, device: str) -> DeviceHistory:
        """Tell what is kept of a device."""
        return read(self._asked(paths.KEPT_DEVICE.format(device=device)), DeviceHistory)

    def _asked(self, path: str, query: dict[str, str] | None = None) -> bytes:
        try:
            return self._exchange("GET", path, query=query)[0]
        except OperatorError as error:
            if error.status != 404:
                raise
            found = str(error).partition("(")[2].rpartition(")")[0] or str(error)
            raise OperatorError(f"{found}; `tresma history list` shows how the history is doing", (), 404) from error

    def pages(self, device: str, content: str, query: dict[str, str], most: int) -> Iterator[HistoryPage]:
        """Go through records or steps, the oldest first, at most so many."""
        path = paths.KEPT_RECORDS.format(device=device, content=content)
        asked, left = dict(query), most
        for _ in range(MAXIMUM_PAGES):
            asked["limit"] = str(min(PAGE, left))
            page = read(self._asked(path, asked), HistoryPage)
            yield page
            left -= len(page.records) + len(page.steps)
            if not page.next:
                return
            if left <= 0:
                note(f"the first {most}; --limit gives more")
                return
            asked["cursor"] = page.next


def add_commands(
    subjects: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add: Callable[..., argparse.ArgumentParser],
    exit_text: str,
) -> None:
    """
    Add ``history ...``.

    Parameters
    ----------
    subjects : argparse action
    add : callable
        Adds one command: to some commands, its name, what it does, and examples.
    exit_text : str
        What the exit status means.
    """
    subject = subjects.add_parser("history", help="what was measured: list, show, export, draw", epilog=exit_text)
    commands = subject.add_subparsers(required=True, metavar="list|show")
    listing = add(commands, "list", "what is kept of a device; of none, how the history is doing", "")
    listing.add_argument("device", metavar="ID", nargs="?", default="")
    listing.set_defaults(command=_with_catalog(show_list))
    showing = add(commands, "show", "what a device measured and said", _SHOW)
    showing.add_argument("device", metavar="ID")
    showing.add_argument("content", metavar="CLASS", nargs="?", default="frames", choices=CONTENTS)
    time = showing.add_argument_group("when")
    time.add_argument("--from", dest="first", metavar="TIME")
    time.add_argument("--to", dest="last", metavar="TIME", help="default: now")
    time.add_argument("--last", dest="length", type=seconds_of, metavar="TIME", help="so long before --to, such as 2h")
    showing.add_argument("--step", type=seconds_of, default=0, metavar="TIME", help="sum up, such as 1min, 15min, 1h")
    showing.add_argument("--fields", default="", metavar="A,B", help="names, or what they begin with")
    showing.add_argument("--name", default="", metavar="NAME", help="level/area of a state, schema of a result")
    showing.add_argument(
        "--limit", type=count_up_to(99_999_999), default=100_000, metavar="N", help="at most so many (100000)"
    )
    form = showing.add_mutually_exclusive_group()
    form.add_argument("--csv", nargs="?", const="-", metavar="FILE", help="write CSV, to standard output without FILE")
    form.add_argument("--parquet", metavar="FILE", help="write Parquet (needs tresma[parquet])")
    form.add_argument("--plot", metavar="PICTURE", help="draw a .svg, .png or .pdf (needs tresma[plots])")
    showing.set_defaults(command=_with_catalog(show))


def show_list(options: argparse.Namespace, catalog: HistoryCatalog) -> None:
    """Say what is kept of a device, or how the history is doing."""
    if not options.device:
        _show_status(options, catalog.status())
        return
    history = catalog.kept(options.device)
    if options.json:
        say_json(history)
        return
    table = Table(pad_edge=False, box=None)
    for heading in ("class", "from [UTC]", "to [UTC]", "records", "minutes", "bytes"):
        table.add_column(
            heading, no_wrap=True, justify="right" if heading in ("records", "minutes", "bytes") else "left"
        )
    for one in history.series:
        counts = (f"{one.records}", f"{one.minutes}", f"{one.bytes + one.minutes_bytes}")
        table.add_row(printable(f"{one.content} {one.name}".strip()), _short(one.first), _short(one.last), *counts)
    _print(table)


def show(options: argparse.Namespace, catalog: HistoryCatalog) -> None:
    """Say, write or draw what a device measured."""
    fields = options.fields
    if not fields and options.step and not (options.json or options.csv or options.parquet):
        fields = ",".join(SHOWN.get(options.content, ()))
    query = {"step": str(options.step), "fields": fields, "name": options.name, **_times(options)}
    pages = catalog.pages(
        options.device, options.content, {key: value for key, value in query.items() if value}, options.limit
    )
    if options.json:
        for page in pages:
            for item in page.steps or page.records:
                say_json(item)
    elif options.csv:
        _write(options.csv, csv_of(table_of(pages)))
    elif options.parquet:
        try:
            content = parquet_of(table_of(pages))
        except ParquetMissing as error:
            raise OperatorError(str(error)) from error
        _write(options.parquet, content)
    elif options.plot:
        from device_catalog.operator.history_plot import picture  # noqa: PLC0415 - only where something is drawn

        target = Path(options.plot)
        _write(options.plot, picture(list(pages), options.device, target.suffix.lower().removeprefix(".")))
    else:
        _show_table(list(pages), options)


def seconds_of(text: str) -> int:
    """
    Read a length of time.

    >>> seconds_of("15min"), seconds_of("2h"), seconds_of("90")
    (900, 7200, 90)
    """
    match = re.fullmatch(r"(\d{1,9})\s*([a-z]*)", text.strip())
    if match is None or (match[2] or "s") not in _units or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 15min, 2h or 7d, found {text}")
    return int(match[1]) * _units[match[2] or "s"]


def _times(options: argparse.Namespace) -> dict[str, str]:
    if options.length and options.first:
        raise UsageError("--from and --last say the same; give one of them")
    times = {"from": options.first or "", "to": options.last or ""}
    if options.length:
        try:
            end = datetime.fromisoformat(options.last) if options.last else datetime.now(UTC)
        except ValueError as error:
            raise UsageError(f"expected a time such as 2026-11-21T12:00:00Z, found {options.last}") from error
        if end.tzinfo is None:
            raise UsageError(f"expected a time with its offset, such as 2026-11-21T12:00:00Z, found {options.last}")
        times["from"] = (end - timedelta(seconds=options.length)).isoformat()
    return times


def _show_status(options: argparse.Namespace, status: HistoryStatus) -> None:
    if options.json:
        say_json(status)
        return
    if not status.kept:
        say("no history is kept; start `tresma-catalog history --data-broker mqtt://host:port` beside the catalog")
        return
    say(f"{status.bytes / 1e6:.1f} MB on the disk")
    for name, count in sorted(status.counts.items()):
        say(f"  {name}: {count}")


def _show_table(pages: list[HistoryPage], options: argparse.Namespace) -> None:
    names, rows = table_of(pages)
    shown = [name for name in names if name in ("time", "name", "records")]
    wanted = () if options.fields else SHOWN.get(options.content, ())
    others = [name for name in names if name not in (*shown, "boot", "number")]
    if options.step:
        others = [name for name in others if name.endswith((".mean", ".min", ".max"))]
    if wanted and not options.step:
        others = [name for name in others if name in wanted]
    left = len(others) - COLUMNS
    shown += others[:COLUMNS]
    if all(row[names.index("name")] == "" for row in rows) and "name" in shown:
        shown.remove("name")
    table = Table(pad_edge=False, box=None)
    for name in shown:
        table.add_column(printable(name), justify="left" if name in ("time", "name") else "right")
    places = [names.index(name) for name in shown]
    for row in rows:
        table.add_row(*(_cell(shown[place], row[number]) for place, number in enumerate(places)))
    if rows:
        _print(table)
    note(
        f"{len(rows)} {'steps' if options.step else 'records'}"
        + (f"; {left} more columns by --csv" if left > 0 else "")
    )


def _cell(name: str, value: object) -> str:
    if name == "time":
        return _short(str(value))
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def _short(time: str) -> str:
    return time[:23].replace("T", " ")


def _print(table: Table) -> None:
    drawing().print(table)


def _write(target: str, content: bytes) -> None:
    if target == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        write_file(Path(target), content)
    except OSError as error:
        raise OperatorError(f"{target}: expected a file that can be written, found: {error.strerror}") from error
    say(target)


def _with_catalog(call: Callable[[argparse.Namespace, HistoryCatalog], None]) -> Callable[[argparse.Namespace], None]:
    def command(options: argparse.Namespace) -> None:
        with HistoryCatalog(read_settings({name: getattr(options, name, None) for name in KEYS})) as catalog:
            call(options, catalog)

    return command
