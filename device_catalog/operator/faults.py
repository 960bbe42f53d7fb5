"""
``tresma faults list|show|plot|repaired``: the faults that the catalog remembers.

Every command is a function of the parsed options; it writes its answer and raises `OperatorError` where it cannot.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from rich.table import Table

from algorithms.api.network_document import NetworkDocument
from device_catalog.contract import paths
from device_catalog.contract.faults import FaultChange, FaultDetail, FaultPage, FaultSummary
from device_catalog.network_files.writing import write_file
from device_catalog.operator import recordings
from device_catalog.operator.argument_types import count_up_to, seconds
from device_catalog.operator.catalog import MAXIMUM_PAGES, read
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.fault_repair import add_arguments, ask, handlers_of, locked_for, tell
from device_catalog.operator.fault_story import lines_of, picture, place_of, sort_of
from device_catalog.operator.network_draw import ENDINGS, written
from device_catalog.operator.network_store import NetworkCatalog
from device_catalog.operator.output import drawing, note, printable, say, say_json
from device_catalog.operator.recordings import RecordingsCatalog
from device_catalog.operator.settings import KEYS, Settings, read_settings

_PAGE = 100

_LIST = """\
examples:
  tresma faults list
  tresma faults list --network mv-north --limit 10
  tresma faults list --open                                  those nobody has said to be repaired
"""

_PLOT = """\
Two pictures: the network with the place, the switching steps and the timeline; and the waveforms of the meter at the
feeder's head, where it recorded the fault. The second is fetched from the meter if it has to be.

examples:
  tresma faults plot mv-north-head-1795262442117
  tresma faults plot mv-north-head-1795262442117 -o fault.png --wait 10
"""

_REPAIRED = """\
What you say is kept with the fault, with your name and the time, and told to whoever handled the fault by switching:
it forgets the case and goes on with its other work. No switch moves: those that are locked for the fault stay locked
until somebody unlocks them.

examples:
  tresma faults repaired mv-north-head-1795262442117 --note "joint at 212 m replaced"
  tresma faults repaired mv-north-head-1795262442117 --undo
  tresma network operate mv-north s-12=unlocked s-12=closed
"""


class FaultsCatalog(RecordingsCatalog, NetworkCatalog):
    """The part of the catalog that is about faults, with their recordings and networks."""

    def faults(self, network: str = "") -> Iterator[FaultSummary]:
        """Go through faults, the newest first."""
        query = {"limit": str(_PAGE), **({"network": network} if network else {})}
        for _ in range(MAXIMUM_PAGES):
            page = read(self._exchange("GET", paths.FAULTS, query=query)[0], FaultPage)
            yield from page.items
            if not page.next:
                return
            query["cursor"] = page.next

    def fault(self, name: str) -> FaultDetail:
        """Return all that is known of one."""
        return self._of("GET", name)[0]

    def change_fault(self, name: str, change: FaultChange) -> FaultDetail:
        """Say something of one, as it is known now."""
        tag = self._of("GET", name)[1]
        return self._of("PATCH", name, body=change, headers={"If-Match": tag})[0]

    def _of(
        self, method: str, name: str, *, body: FaultChange | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[FaultDetail, str]:
        try:
            answer, tag = self._exchange(method, paths.FAULT.format(fault=name), body=body, headers=headers)
            return read(answer, FaultDetail), tag
        except OperatorError as error:
            if error.status != 404:
                raise
            message = f"the catalog knows no fault {name}; `tresma faults list` shows those it does"
            raise OperatorError(message, (), 404) from error


def add_commands(
    subjects: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add: Callable[..., argparse.ArgumentParser],
    exit_text: str,
) -> None:
    """
    Add ``faults ...``.

    Parameters
    ----------
    subjects : argparse action
    add : callable
        Adds one command: to some commands, its name, what it does, and examples.
    exit_text : str
        What the exit status means.
    """
    subject = subjects.add_parser("faults", help="list, show, draw and end faults of the network", epilog=exit_text)
    commands = subject.add_subparsers(required=True, metavar="list|show|plot|repaired")
    listing = add(commands, "list", "list faults, the newest first", _LIST)
    listing.add_argument("--network", metavar="NAME", help="only those of this network")
    listing.add_argument("--open", action="store_true", help="only those nobody has said to be repaired")
    listing.add_argument(
        "--limit", type=count_up_to(999_999), default=50, metavar="N", help="at most so many (default 50)"
    )
    listing.set_defaults(command=_with_catalog(show_list))
    showing = add(commands, "show", "what is known of a fault: place, evidence, restoration, timeline", "")
    showing.add_argument("fault", metavar="FAULT")
    showing.set_defaults(command=_with_catalog(show))
    plotting = add(commands, "plot", "draw a fault: network, place, steps, timeline, waveforms", _PLOT)
    plotting.add_argument("fault", metavar="FAULT")
    plotting.add_argument("--output", "-o", metavar="PICTURE", help="a .svg, .png or .pdf file (default: FAULT.svg)")
    plotting.add_argument(
        "--wait", type=seconds, default=120.0, metavar="S", help="wait for the recording at most S (default 120)"
    )
    plotting.set_defaults(command=_with_catalog(plot))
    repairing = add(commands, "repaired", "say that a fault is repaired; no switch moves", _REPAIRED)
    repairing.add_argument("fault", metavar="FAULT")
    add_arguments(repairing)
    repairing.set_defaults(command=_with_catalog(repaired))


def show_list(options: argparse.Namespace, catalog: FaultsCatalog) -> None:
    """List faults, the newest first."""
    table = Table(pad_edge=False, box=None)
    columns = "fault", "began [UTC]", "type", "place ± 2 u", "outcome", "after [min]", "customers back/dark", "repaired"
    for heading in columns:
        table.add_column(heading, no_wrap=True, justify="right" if "[min]" in heading else "left")
    count = 0
    for one in catalog.faults(options.network or ""):
        if options.open and one.repaired:
            continue
        if count >= options.limit:
            note(f"the newest {count}; --limit shows more")
            break
        count += 1
        if options.json:
            say_json(one)
            continue
        table.add_row(
            one.id,
            one.start[:19].replace("T", " "),
            printable(sort_of(one)),
            printable(place_of(one)) + (f" (or {one.alternatives} more)" if one.alternatives else ""),
            printable(one.outcome or "none yet"),
            "" if one.minutes is None else f"{one.minutes:.2f}",
            f"{one.restored_customers}/{one.unserved_customers}" if one.outcome else "",
            one.repaired[:16].replace("T", " ") or "no",
        )
    if options.json:
        return
    if count:
        drawing().print(table)
    note(f"{count} fault{'' if count == 1 else 's'}")


def show(options: argparse.Namespace, catalog: FaultsCatalog) -> None:
    """Say everything that is known of a fault."""
    detail = catalog.fault(options.fault)
    if options.json:
        say_json(detail)
        return
    for line in lines_of(detail):
        say(line)


def plot(options: argparse.Namespace, catalog: FaultsCatalog) -> None:
    """Draw a fault, and its waveforms where the head recorded them."""
    target = Path(options.output or f"{options.fault}.svg")
    if target.suffix.lower() not in ENDINGS:
        raise UsageError(f"{target}: expected a picture that ends in {', '.join(ENDINGS)}")
    detail = catalog.fault(options.fault)
    canvas = picture(detail, _network(catalog, detail))
    try:
        write_file(target, written(canvas, target.suffix.lower()))
    except OSError as error:
        raise OperatorError(f"{target}: expected a picture that can be written, found: {error.strerror}") from error
    files = [target]
    own = [entry for entry in detail.recordings if entry.info.device == detail.summary.device and entry.state != "gone"]
    if own:
        info = own[0].info
        files.append(target.with_name(f"{target.stem}_waveforms{target.suffix}"))
        recordings.picture_of(catalog, info.device, info.id, files[-1], options.wait)
    else:
        note(f"no recording of {detail.summary.device} holds the fault; its waveforms are not drawn")
    if options.json:
        say_json({"fault": options.fault, "files": [str(file) for file in files]})
    else:
        for file in files:
            say(str(file))


def repaired(options: argparse.Namespace, catalog: FaultsCatalog) -> None:
    """Say that a fault is repaired, or that it is not; whoever handled it is told."""
    detail = catalog.fault(options.fault)
    if not (options.undo or options.yes or options.json):
        ask(detail)
    changed = catalog.change_fault(options.fault, FaultChange(not options.undo, options.note))
    if not options.undo and handlers_of(changed):
        tell(changed, catalog, options, _settings(options))
    if options.json:
        say_json(changed)
        return
    summary = changed.summary
    said = f"repaired, {summary.repaired[:19]}Z by {summary.repaired_by}" if summary.repaired else "not repaired"
    say(f"{summary.id}: {said}")
    locked = locked_for(changed)
    if locked and not options.undo:
        note(f"may still be locked: {', '.join(locked)}; `tresma network operate {summary.network} SWITCH=unlocked`")


def _network(catalog: FaultsCatalog, detail: FaultDetail) -> NetworkDocument:
    """Return the network as it was when the fault was located, or as it is now."""
    revisions = [word.evidence.get("model_revision") for word in detail.news]
    stated = next((one for one in revisions if isinstance(one, int) and one > 0), 0)
    try:
        document, _ = catalog.document(detail.summary.network, stated)
    except OperatorError as error:
        if error.status != 404:
            raise
        document, _ = catalog.document(detail.summary.network)
    return msgspec.json.decode(document, type=NetworkDocument)


def _with_catalog(
    call: Callable[[argparse.Namespace, FaultsCatalog], None],
) -> Callable[[argparse.Namespace], None]:
    def command(options: argparse.Namespace) -> None:
        with FaultsCatalog(_settings(options)) as catalog:
            call(options, catalog)

    return command


def _settings(options: argparse.Namespace) -> Settings:
    return read_settings({name: getattr(options, name, None) for name in KEYS})
