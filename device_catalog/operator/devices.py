"""
``tresma devices ...``: register, list, show, change and remove devices, against the catalog's REST API.

Every command is a function of the parsed options and an open `Catalog`; it writes its answer and raises
`OperatorError` where it cannot.
"""

import argparse
import os
import stat
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml
from rich.table import Table
from rich.text import Text

from device_catalog.contract import paths
from device_catalog.contract.register import DeviceSummary
from device_catalog.contract.reports import Refusal
from device_catalog.contract.troubles import problems_of
from device_catalog.operator.catalog import Catalog
from device_catalog.operator.edits import apply_edits, completed, difference_lines, parse_document
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.output import drawing, note, printable, say, say_json


def add(options: argparse.Namespace, catalog: Catalog) -> None:
    """Register a device, and print what it must be told: a few lines of YAML with its credential, this once."""
    document: dict[str, Any] = {
        "device": options.device,
        "kind": options.kind,
        "tenant": options.tenant,
        "description": options.description,
        "configuration": _wanted(options, {}),
    }
    target = new_file(options.output) if options.output else None
    registered = catalog.register(document)
    _warn_of_place(catalog, registered.device)
    lines = {"device": registered.device, "catalog": catalog.base, "credential": registered.credential}
    text = yaml.safe_dump(lines, sort_keys=False)
    if target is not None:
        write_secret(target, text)
    if options.json:
        shown = {key: value for key, value in lines.items() if target is None or key != "credential"}
        say_json({**shown, "revision": registered.revision, "file": str(target or "")})
        return
    if target is not None:
        told = f"what its agent must be told is in {target}"
        say(f"{registered.device} is registered (revision {registered.revision}); {told}")
        return
    note(
        f"{registered.device} is registered (revision {registered.revision}). Put these lines into a file on the device"
    )
    note("that only its agent can read, and start it with: tresma-agent run --config FILE")
    note("The credential is shown this once and kept nowhere.")
    say(text.rstrip())


def show_list(options: argparse.Namespace, catalog: Catalog) -> None:
    """List the devices that fit the filters."""
    filters = {name: getattr(options, name) for name in ("tenant", "kind", "network", "area", "algorithm")}
    query = {name: value for name, value in filters.items() if value}
    if options.available is not None:
        query["available"] = "true" if options.available else "false"
    found = (device for device in catalog.devices(query) if _fits(device, options))
    if options.json:
        for device in found:
            say_json(device)
        return
    table = Table(pad_edge=False, box=None)
    for heading in (
        "device",
        "kind",
        "presence",
        "last seen",
        "applied",
        "desired",
        "algorithms",
        "where",
        "description",
    ):
        table.add_column(heading, no_wrap=heading != "description")
    now = datetime.now(tz=UTC)
    count = 0
    for device in found:
        count += 1
        presence, style = _presence(device)
        behind = device.applied_revision != device.revision
        table.add_row(
            device.device,
            str(device.kind),
            Text(presence, style=style),
            _ago(device.last_seen, now),
            Text(str(device.applied_revision), style="yellow" if behind else ""),
            str(device.revision),
            " ".join(device.algorithms),
            "/".join(part for part in (device.network, device.area, device.terminal) if part),
            printable(device.description),
        )
    if count:
        drawing().print(table)
    note(f"{count} device{'' if count == 1 else 's'}")


def show(options: argparse.Namespace, catalog: Catalog) -> None:
    """Show what a device should do, what it does, and what is wrong."""
    detail = catalog.device(options.device)
    if options.json:
        say_json(detail)
        return
    summary = detail.summary
    presence, _ = _presence(summary)
    say(f"{summary.device}  {summary.kind}  {presence}, last seen {_ago(summary.last_seen, datetime.now(tz=UTC))}")
    if summary.description:
        say(summary.description)
    say()
    say(f"desired (revision {detail.desired.revision}, issued {detail.desired.issued:%Y-%m-%d %H:%M:%S} UTC)")
    say(
        _indented(
            yaml.safe_dump(msgspec.to_builtins(detail.desired.configuration), sort_keys=False, allow_unicode=True)
        )
    )
    say()
    if detail.reported is None:
        say("reported: nothing yet")
    else:
        say(f"reported (applied revision {detail.reported.applied_revision}, boot {detail.reported.boot})")
        say(_indented(yaml.safe_dump(msgspec.to_builtins(detail.reported), sort_keys=False, allow_unicode=True)))
    say()
    misplaced = catalog.place_problem(detail.desired.configuration.topology)
    problems = [*problems_of(detail), *([misplaced] if misplaced else [])]
    say(f"problems: {len(problems) or 'none'}")
    for problem in problems:
        say(f"  - {problem}")


def change(options: argparse.Namespace, catalog: Catalog) -> None:
    """Change a device's configuration, showing what changes."""
    before, tag = catalog.configuration(options.device)
    after = _wanted(options, before)
    changes = difference_lines(completed(before), completed(after))
    if not changes:
        if options.json:
            say_json({"device": options.device, "changes": [], "revision": paths.revision_of(tag)})
        else:
            say(f"{options.device}: nothing changes (revision {paths.revision_of(tag)})")
        return
    if not options.json:
        for line in changes:
            say(line)
    if options.dry_run:
        if options.json:
            say_json({"device": options.device, "changes": changes, "revision": None})
        else:
            say("nothing was changed (--dry-run)")
        return
    began = time.monotonic()
    revision = catalog.configure(options.device, after, tag)
    _warn_of_place(catalog, options.device)
    applied = _wait(options, catalog, revision) if options.wait else None
    if options.json:
        say_json({"device": options.device, "changes": changes, "revision": revision, "applied": applied})
        return
    say(f"{options.device} should now do revision {revision}")
    if applied:
        say(f"it does, after {time.monotonic() - began:.1f} s")


def remove(options: argparse.Namespace, catalog: Catalog) -> None:
    """Take devices out of the catalog."""
    if not options.yes:
        if not sys.stdin.isatty():
            raise UsageError("removing cannot be undone; say --yes where nobody can be asked")
        names = ", ".join(options.device)
        note(f"Remove {names}? Their credentials become worthless, and they stop being configured. [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise OperatorError("nothing was removed")
    for device in options.device:
        _, tag = catalog.configuration(device)
        catalog.remove(device, tag)
        if not options.json:
            say(f"{device} is removed")
    if options.json:
        say_json({"removed": options.device})


def _warn_of_place(catalog: Catalog, device: str) -> None:
    """Warn of a network or an area that nobody has: it may come later, or be misspelt."""
    try:
        problem = catalog.place_problem(catalog.device(device).desired.configuration.topology)
    except OperatorError as error:  # what was asked for is done
        problem = f"whether its part of a network is there cannot be told: {error}"
    if problem:
        note(f"warning: {problem}")


def _wanted(options: argparse.Namespace, before: dict[str, Any]) -> dict[str, Any]:
    document = before
    if options.file:
        try:
            text = sys.stdin.buffer.read(2**20 + 1) if options.file == "-" else Path(options.file).read_bytes()
        except OSError as error:
            raise UsageError(f"{options.file}: expected a file that can be read, found: {error.strerror}") from error
        document = parse_document(text, options.file)
    return apply_edits(document, options.edits)


def _wait(options: argparse.Namespace, catalog: Catalog, revision: int) -> bool:
    """Wait until the device has applied `revision`; a refusal or the end of the patience is an error."""
    deadline = time.monotonic() + options.wait
    while time.monotonic() < deadline:
        reported = catalog.device(options.device).reported
        if reported is not None and reported.applied_revision >= revision:
            return True
        refused: Refusal | None = reported.refused if reported is not None else None
        if refused is not None and refused.revision == revision:
            raise OperatorError(f"{options.device} refused revision {revision}", refused.problems)
        time.sleep(min(0.25, max(0.0, deadline - time.monotonic())))
    raise OperatorError(
        f"{options.device} has not applied revision {revision} within {options.wait:g} s; it may be away, or poll less "
        "often (poll.interval)"
    )


def _fits(device: DeviceSummary, options: argparse.Namespace) -> bool:
    """Tell whether a device fits; a catalog that knows a filter has applied it already."""
    return (
        (not options.kind or device.kind == options.kind)
        and (not options.tenant or device.tenant == options.tenant)
        and (not options.network or device.network == options.network)
        and (not options.area or device.area == options.area)
        and (not options.algorithm or options.algorithm in device.algorithms)
        and (options.available is None or device.available is options.available)
        and (not options.behind or device.applied_revision != device.revision)
    )


def _presence(device: DeviceSummary) -> tuple[str, str]:
    if device.available is None:
        return "not judged yet", "dim"
    return ("available", "green") if device.available else ("unavailable", "bold red")


def _ago(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "never"
    seconds = max(0.0, (now - moment).total_seconds())
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())


def new_file(path: str) -> Path:
    """Make sure, before anything is registered, that the file can be made and replaces none."""
    target = Path(path)
    if target.exists():
        raise UsageError(f"{path} exists already; name a new file, so that no other device's credential is lost")
    if not target.parent.is_dir():
        raise UsageError(f"{path}: expected an existing folder, found none called {target.parent}")
    return target


def write_secret(target: Path, text: str) -> None:
    """Write a file that nobody else may read; where that fails, the text is shown, since it is not to be had again."""
    try:
        number = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        note(f"{target} cannot be written ({error.strerror}); the lines follow here instead, this once:")
        say(text.rstrip())
