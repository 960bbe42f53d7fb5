"""
``tresma network put|get|list|switch|topology``: networks in the catalog, and where their switches stand.

Every change names the revision it was made from, so that two operators cannot overwrite each other unseen, and tells
which devices were informed. A document whose own revision is not above the one in force gets the next, which is said.
"""

import argparse
import difflib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from algorithms.api.errors import Problem, shortened
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_operation import SwitchState
from device_catalog.contract import paths
from device_catalog.contract.networks import (
    AreaDocument,
    NetworkPage,
    NetworkStored,
    NetworkSummary,
    RevisionEntry,
    RevisionPage,
)
from device_catalog.contract.register import ProblemDocument
from device_catalog.contract.topics import is_identifier
from device_catalog.operator.catalog import MAXIMUM_PAGES, Catalog, read
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.network_check import read_bytes, right_document
from device_catalog.operator.output import drawing, note, printable, say, say_json
from device_catalog.operator.settings import KEYS, read_settings

_PAGE = 100

_PUT = """\
The document is checked here and by the catalog, which keeps every revision. Only devices whose part it changes are
told; they ask for it at once, and those that are away with their next poll.

examples:
  tresma network put lv.json
  tresma network import european-lv | tresma network put -
"""

_GET = """\
examples:
  tresma network get lv-feeder > lv.json
  tresma network get lv-feeder --revision 3 -o before.json
  tresma network get lv-feeder --area lv-1 | tresma network check -       what the agent of an area is given
"""

_LIST = """\
examples:
  tresma network list
  tresma network list lv-feeder                  its revisions
  tresma network list lv-feeder --switches       revisions of where its switches stood
"""

_SWITCH = """\
Says where switches stand; nothing is operated by it. The catalog refuses what would close a loop in a radial area.

examples:
  tresma network switch lv-feeder tie-3=closed s-12=open
  tresma network switch lv-feeder --normal s-12=open              all as they stand normally, but for one
"""

_TOPOLOGY = """\
examples:
  tresma network topology lv-feeder
  tresma network topology lv-feeder --file states.json            put a whole document of states
"""


class NetworkCatalog(Catalog):
    """The part of the catalog that is about networks."""

    def networks(self) -> Iterator[NetworkSummary]:
        """Go through the networks."""
        query = {"limit": str(_PAGE)}
        for _ in range(MAXIMUM_PAGES):
            answer, _ = self._exchange("GET", paths.NETWORKS, query=query)
            page = read(answer, NetworkPage)
            yield from page.items
            if not page.next:
                return
            query["cursor"] = page.next

    def revisions(self, network: str, *, of_states: bool) -> Iterator[RevisionEntry]:
        """Go through the revisions of a network, or of its switch states, the newest first."""
        query = {"limit": str(_PAGE)}
        path = paths.TOPOLOGY_REVISIONS if of_states else paths.NETWORK_REVISIONS
        for _ in range(MAXIMUM_PAGES):
            answer, _ = self._exchange("GET", _path(path, network), query=query)
            page = read(answer, RevisionPage)
            yield from page.items
            if not page.next:
                return
            query["cursor"] = page.next

    def document(self, network: str, revision: int = 0) -> tuple[bytes, str]:
        """Return a network, the newest revision or another, and its entity tag."""
        path = _path(paths.NETWORK_REVISION if revision else paths.NETWORK, network, revision=str(revision))
        return self._exchange("GET", path)

    def area(self, network: str, area: str) -> bytes:
        """Return the part of a network that the agent of an area is given."""
        return self._exchange("GET", _path(paths.NETWORK_AREA, network, area=area))[0]

    def states(self, network: str) -> tuple[SwitchStates, str]:
        """Return where the switches stand, and the entity tag."""
        answer, tag = self._exchange("GET", _path(paths.TOPOLOGY, network))
        return read(answer, SwitchStates), tag

    def put(self, document: NetworkDocument, tag: str) -> NetworkStored:
        """Keep a revision of a network, made from the one that `tag` names."""
        path = _path(paths.NETWORK, document.network)
        return read(self._exchange("PUT", path, body=document, headers={"If-Match": tag})[0], NetworkStored)

    def put_states(self, network: str, states: Any, tag: str) -> NetworkStored:
        """Say where the switches stand, changed from what `tag` names."""
        path = _path(paths.TOPOLOGY, network)
        return read(self._exchange("PUT", path, body=states, headers={"If-Match": tag})[0], NetworkStored)

    def _refused(self, status: int, answer: bytes, device: str) -> OperatorError:
        if status not in (404, 412):
            return super()._refused(status, answer, device)
        try:
            detail = msgspec.json.decode(answer, type=ProblemDocument).detail
        except msgspec.MsgspecError:
            detail = shortened(answer[:200].decode(errors="replace"))
        return OperatorError(f"the catalog says: {detail}", (), status)


def add_verbs(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    remote: Callable[..., argparse.ArgumentParser],
    _local: Callable[..., argparse.ArgumentParser],
) -> None:
    """Add ``put``, ``get``, ``list``, ``switch`` and ``topology``."""
    putting = remote(commands, "put", "put a network into the catalog, and tell those it concerns", _PUT)
    putting.add_argument("file", metavar="FILE", help="a network document (- for standard input)")
    putting.set_defaults(command=_with_catalog(put))

    getting = remote(commands, "get", "write a network, or an agent's part of it, as the catalog has it", _GET)
    getting.add_argument("network", metavar="NETWORK", type=_identifier)
    which = getting.add_mutually_exclusive_group()
    which.add_argument("--revision", type=_number, default=0, metavar="N", help="another one than the newest")
    which.add_argument("--area", type=_identifier, metavar="AREA", help="only what its agent is given")
    getting.add_argument("--output", "-o", metavar="FILE", help="write it there instead of printing it")
    getting.set_defaults(command=_with_catalog(get))

    listing = remote(commands, "list", "list networks, or the revisions of one", _LIST)
    listing.add_argument("network", metavar="NETWORK", nargs="?", type=_identifier)
    listing.add_argument("--switches", action="store_true", help="revisions of its switch states")
    listing.set_defaults(command=_with_catalog(show_list))

    switching = remote(commands, "switch", "say where switches of a network stand", _SWITCH)
    switching.add_argument("network", metavar="NETWORK", type=_identifier)
    switching.add_argument("edits", metavar="SWITCH=open|closed", nargs="*")
    switching.add_argument("--normal", action="store_true", help="begin with all as they stand normally")
    switching.add_argument("--dry-run", action="store_true", help="only show what would change")
    switching.set_defaults(command=_with_catalog(switch))

    standing = remote(commands, "topology", "show, or put as a whole, where the switches of a network stand", _TOPOLOGY)
    standing.add_argument("network", metavar="NETWORK", type=_identifier)
    standing.add_argument("--file", "-f", metavar="FILE", help="switch states in JSON (- for standard input)")
    standing.set_defaults(command=_with_catalog(topology))


def put(options: argparse.Namespace, catalog: NetworkCatalog) -> None:
    """Put a network into the catalog."""
    document = right_document(options.file, as_json=options.json)
    try:
        known, tag = catalog.document(document.network)
        before = read(known, NetworkDocument)
    except OperatorError as error:
        if error.status != 404:
            raise
        tag, before = '"0"', None
    if before is not None and msgspec.structs.replace(before, revision=0) == msgspec.structs.replace(
        document, revision=0
    ):
        _tell(options, NetworkStored(before.network, before.revision, 0), f"{before.network}: nothing has changed")
        return
    if before is not None and document.revision <= before.revision:
        note(f"revision {document.revision} becomes {before.revision + 1}: {before.revision} is in force")
        document = msgspec.structs.replace(document, revision=before.revision + 1)
    stored = catalog.put(document, tag)
    _tell(options, stored, f"{stored.network}: revision {stored.revision} is in force")


def get(options: argparse.Namespace, catalog: NetworkCatalog) -> None:
    """Write a network or a part of it."""
    if options.area:
        part = read(catalog.area(options.network, options.area), AreaDocument)
        text = msgspec.json.encode(part if options.json else part.document)
    else:
        text = catalog.document(options.network, options.revision)[0]
    text = msgspec.json.format(text, indent=0 if options.json else 2)
    if options.output is None:
        say(text.decode())
        return
    try:
        Path(options.output).write_bytes(text + b"\n")
    except OSError as error:
        raise UsageError(f"{options.output}: expected a file that can be written, found: {error.strerror}") from error
    note(f"{options.output} is written")


def show_list(options: argparse.Namespace, catalog: NetworkCatalog) -> None:
    """List networks, or the revisions of one."""
    if options.network is None:
        networks = list(catalog.networks())
        if options.json:
            say_json(networks)
            return
        columns: tuple[str, ...] = ("network", "name", "revision", "switches", "stored", "by")
        rows: list[tuple[str, ...]] = [
            (one.network, one.name, str(one.revision), str(one.topology_revision), _moment(one.stored), one.author)
            for one in networks
        ]
    else:
        revisions = list(catalog.revisions(options.network, of_states=options.switches))
        if options.json:
            say_json(revisions)
            return
        columns = ("revision", "stored", "by", "bytes")
        rows = [(str(one.revision), _moment(one.stored), one.author, str(one.size)) for one in revisions]
    if not rows:
        note("none yet" if options.network is None else "none yet: all switches stand normally")
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    drawing(soft_wrap=True, highlight=False).print(table)


def switch(options: argparse.Namespace, catalog: NetworkCatalog) -> None:
    """Say where some switches stand."""
    if not options.edits and not options.normal:
        raise UsageError("which switch? Give SWITCH=open or SWITCH=closed")
    before, tag = catalog.states(options.network)
    states = dict(before.states)
    if options.normal:
        document = read(catalog.document(options.network)[0], NetworkDocument)
        states = {one.id: one.normal for one in document.switches}
    states |= _edits(options.edits, states)
    changes = {name: state for name, state in states.items() if state != before.states.get(name)}
    if not options.json:
        for name, state in changes.items():
            say(f"~ {name}: {before.states.get(name, 'new')} -> {state}")
    if options.dry_run or not changes:
        if not changes:
            note("nothing has changed: they stand like that already")
        return
    wanted = SwitchStates(options.network, before.revision + 1, states)
    stored = catalog.put_states(options.network, wanted, tag)
    _tell(options, stored, f"{stored.network}: switch states of revision {stored.topology_revision} are in force")


def topology(options: argparse.Namespace, catalog: NetworkCatalog) -> None:
    """Show where switches stand, or put a whole document of that."""
    before, tag = catalog.states(options.network)
    if options.file is not None:
        try:
            wanted = msgspec.json.decode(read_bytes(options.file))
        except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too deep
            raise UsageError(f"{options.file}: expected JSON, found: {shortened(str(error), 200)}") from error
        stored = catalog.put_states(options.network, wanted, tag)
        _tell(options, stored, f"{stored.network}: switch states of revision {stored.topology_revision} are in force")
        return
    if options.json:
        say_json(before)
        return
    say(f"{before.network}: switch states of revision {before.revision}")
    for name, state in sorted(before.states.items()):
        say(f"  {state.value:<6}  {name}")


def _edits(edits: list[str], states: dict[str, SwitchState]) -> dict[str, SwitchState]:
    wanted, problems = {}, []
    for edit in edits:
        name, _, state = edit.partition("=")
        if name not in states:
            near = difflib.get_close_matches(name, states, n=1)
            remedy = f"did you mean {near[0]}?" if near else "`tresma network topology` lists them"
            problems.append(Problem(name, "a switch of the network", "an unknown one", remedy))
        elif state not in tuple(SwitchState):
            problems.append(Problem(name, "open or closed", state or "nothing"))
        else:
            wanted[name] = SwitchState(state)
    if problems:
        raise UsageError("these switches cannot be set", problems)
    return wanted


def _tell(options: argparse.Namespace, stored: NetworkStored, sentence: str) -> None:
    if options.json:
        say_json(stored)
        return
    say(sentence)
    if stored.informed:
        many = "one device is" if len(stored.informed) == 1 else f"{len(stored.informed)} devices are"
        say(f"{many} told: {shortened(', '.join(stored.informed), 300)}")
    if stored.without_area:
        names = shortened(", ".join(stored.without_area), 300)
        note(f"these devices belong to areas that {stored.network} has not, and get no part of it: {names}")


def _with_catalog(call: Callable[[argparse.Namespace, NetworkCatalog], None]) -> Callable[[argparse.Namespace], None]:
    def command(options: argparse.Namespace) -> None:
        said = {name: getattr(options, name, None) for name in KEYS}
        with NetworkCatalog(read_settings(said)) as catalog:
            call(options, catalog)

    return command


def _path(path: str, network: str, **parts: str) -> str:
    return path.format(network=network, **parts)


def _moment(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _identifier(text: str) -> str:
    if not is_identifier(text):
        raise argparse.ArgumentTypeError(f"expected letters, digits, _ and - (at most 64), found {shortened(text)}")
    return text


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**62):
        raise argparse.ArgumentTypeError(f"expected the number of a revision, found {shortened(text)}")
    return int(text)
