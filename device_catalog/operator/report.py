"""
``tresma report``: a week of voltage quality of one device against EN 50160, as one HTML page.

Reads files (or standard input) of messages, one JSON object a line; asks nobody. The work is in `report_data`,
`report_limits`, `report_plots` and `report_page`.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.output import note, say_json
from device_catalog.operator.report_data import NANOSECONDS, WEEK, Collected, collect, newest_week, within
from device_catalog.operator.report_limits import coverage, judge
from device_catalog.operator.report_page import page
from device_catalog.operator.report_plots import pictures

_EXAMPLES = """\
The messages are those of the algorithm power_quality. With --json the verdicts are written instead of the page.

examples:
  tresma watch --json --all >> messages.jsonl
  tresma report messages.jsonl -o m-0042.html --device m-0042
  tresma report november.jsonl december.jsonl --begin 2026-11-30
  tresma-agent replay week.cff --set power_quality.dip=0.9 | tresma report - -o week.html
"""


def add_commands(
    subjects: "argparse._SubParsersAction[argparse.ArgumentParser]", add: "Callable[..., argparse.ArgumentParser]"
) -> None:
    """
    Add ``report``.

    Parameters
    ----------
    subjects : argparse action
    add : callable
        Adds one command to some commands: takes these, its name, what it does, and examples.
    """
    parser = add(subjects, "report", "judge a week of voltage quality by EN 50160, as a page", _EXAMPLES)
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="messages, one JSON object a line; - for standard input"
    )
    parser.add_argument("--output", "-o", metavar="FILE", default="report.html", help="the page (default report.html)")
    parser.add_argument("--device", metavar="ID", help="needed where there are messages of several")
    parser.add_argument("--begin", type=_day, metavar="DATE", help="first day, UTC; default: the newest seven days")
    parser.set_defaults(command=report)


def report(options: argparse.Namespace) -> None:
    """Write the report of a week."""
    found, unreadable = collect(_lines(options.files))
    collected = _device(found, options.device)
    begin_ns, end_ns = newest_week(collected) if options.begin is None else (options.begin, options.begin + WEEK)
    week = within(collected, begin_ns, end_ns)
    if not week.ten:
        raise OperatorError(f"no ten minutes of {collected.device} in the week asked for; give another --begin")
    verdicts = judge(week)
    if options.json:
        whole, partly, absent = coverage(week, begin_ns, end_ns)
        say_json(
            {
                "device": week.device,
                "begin": _time(begin_ns),
                "end": _time(end_ns),
                "intervals": {"whole": whole, "flagged": partly, "absent": absent},
                "criteria": [
                    {"name": v.name, "limit": v.limit, "found": v.found, "met": v.met, "counted": v.counted}
                    for v in verdicts
                ],
                "unreadable": unreadable,
            }
        )
        return
    text = page(week, begin_ns, end_ns, pictures(week, begin_ns, end_ns), unreadable)
    _write(Path(options.output), text)
    missed = [verdict.name for verdict in verdicts if verdict.met is False]
    note(
        f"{options.output}: {len(week.ten)} x 10 min; "
        + (f"not met: {', '.join(missed)}" if missed else "nothing missed")
    )


def _lines(names: list[str]) -> Iterator[bytes]:
    for name in names:
        if name == "-":
            yield from sys.stdin.buffer
            continue
        try:
            with Path(name).open("rb") as file:
                yield from file
        except OSError as error:
            raise UsageError(f"{name} cannot be read: {error.strerror or error}") from error


def _device(found: dict[str, Collected], wanted: str | None) -> Collected:
    measured = {name: collected for name, collected in found.items() if collected.ten}
    if not measured:
        raise OperatorError("no ten minutes of voltage quality in there; is power_quality assigned, and for how long?")
    if wanted is None and len(measured) > 1:
        raise UsageError(f"messages of {len(measured)} devices; which one? --device {' | '.join(sorted(measured)[:5])}")
    name = wanted if wanted is not None else next(iter(measured))
    if name not in measured:
        raise OperatorError(f"no ten minutes of {name} in there, but of {', '.join(sorted(measured)[:5])}")
    return measured[name]


def _day(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a date such as 2026-11-30, found {text}") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * NANOSECONDS


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // NANOSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write(path: Path, text: str) -> None:
    """Write the page whole or not at all."""
    try:
        descriptor, name = tempfile.mkstemp(suffix=".html", dir=path.absolute().parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror or error}") from error
