"""
``tresma flash``: memory cards for meters, one or a tray of them.

Here the command line is read, people are asked, and the answer is written; everything else is `flashing`'s.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from device_catalog.contract.card import Card
from device_catalog.contract.card_rules import is_here
from device_catalog.contract.enrolment import Token
from device_catalog.operator.access import AccessCatalog, duration, promised
from device_catalog.operator.errors import Answered, OperatorError, UsageError
from device_catalog.operator.flashing import targets
from device_catalog.operator.flashing.cards import DONE, EARLIER, REFUSED, WOULD, Cards, Orders, Result, rounds
from device_catalog.operator.flashing.image import Image
from device_catalog.operator.flashing.progress import Reporter
from device_catalog.operator.flashing.tray import Line, Memory, read_list
from device_catalog.operator.output import drawing, note, printable, say, say_json
from device_catalog.operator.settings import KEYS, Settings, read_settings

_EXAMPLES = """\
What happens to a card: its partition table is cleared, the image is written and read back, and only then the card is
made bootable; one that was interrupted does not boot, and is simply written again. On its FAT partition the folder
tresma tells the meter who it is (card.yaml, with a token that works once), and how it reaches the catalog
(network.yaml). Disks that are mounted, built in, read-only or too small are refused. Beside the image, IMAGE.sha256 is
compared where it is there. Needs mtools.

one card:
  tresma flash meter.img.zst /dev/sdb --device m-0042 --place "Main Street 7, cabinet 3"
  tresma flash meter.img.zst /dev/sdb --device m-0042 --network site.yaml --expires 60d
  tresma flash meter.img.zst /dev/sdb --card card.yaml                the catalog is not asked
  tresma flash meter.img.zst card.img --device m-0042                 a file instead of a card
  tresma flash meter.img.zst /dev/sdb --device m-0042 --dry-run       may it be written?

a tray of cards, with a table of device,target,place[,network,card,tenant,pin]:
  tresma flash meter.img.zst --batch tray.csv --labels labels
  device,target,place
  m-0042,/dev/sdb,"Main Street 7, cabinet 3"
  m-0043,/dev/sdc,Main Street 9
  m-0044,/dev/sdb,Mill Lane 1                                         the next card in the same reader

What is done stands in tray.csv.done; the same command again does the rest (--again does all). A card that was just
written and is still in the reader is known by what is on it, and left alone.

card.yaml, as it stands in the folder tresma and as --card takes it (label, page and what follows may be left out):
  schema: card/1
  device: m-0042
  catalog: https://catalog.example.org:8080
  token: ...                                                        # `tresma devices enrol m-0042` prints one
  label: "Main Street 7, cabinet 3"
  page: {pin: "48151623", interfaces: [eth0], port: 80}
  tenant: default
  least_policy: 3                                                   # only with a token made with --root or --trust
  host_name: tresma-m-0042

network.yaml (Ethernet by DHCP where there is none):
  schema: network/1
  ethernet: {method: static, address: 192.0.2.10/24, gateway: 192.0.2.1, dns: [192.0.2.53]}
  wifi: {ssid: Cabinet, psk: "pass phrase", country: DE}
  lte: {apn: internet.example, pin: "0123"}
  time_servers: [ntp.example.org]
"""

AddCommand = Callable[..., argparse.ArgumentParser]


def add_commands(subjects: Any, command: AddCommand) -> None:
    """Add the command."""
    parser = command(subjects, "flash", "write memory cards for meters, and print their labels", _EXAMPLES)
    parser.add_argument("image", metavar="IMAGE", type=Path, help="meter.img, .img.zst or .img.xz")
    parser.add_argument("target", metavar="TARGET", nargs="?", help="a disk such as /dev/sdb, or a file")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--device", metavar="ID", help="the meter; the catalog is asked for a token for it")
    who.add_argument(
        "--card", metavar="FILE", help="card.yaml, written before; network.yaml and catalog-ca.pem beside it"
    )
    who.add_argument("--bare", action="store_true", help="the image alone, for no meter in particular")
    who.add_argument("--batch", metavar="LIST.csv", type=Path, help="many cards")
    parser.add_argument("--place", metavar="TEXT", default="", help="where the meter belongs, for its label")
    parser.add_argument("--network", metavar="FILE", type=Path, help="network.yaml: how meters reach the catalog")
    parser.add_argument("--card-catalog", metavar="URL", default="", help="the catalog's address as meters reach it")
    parser.add_argument(
        "--card-ca", metavar="FILE", type=Path, help="authorities for the card, beside the token's (PEM)"
    )
    parser.add_argument("--pin", metavar="DIGITS", default="", help="of the commissioning page (made and printed)")
    parser.add_argument(
        "--page-interface", metavar="NAME", action="append", default=[], dest="page_interfaces",
        help="where the page answers on every address, such as eth0; elsewhere on link-local ones only; repeatable",
    )  # fmt: skip
    parser.add_argument("--expires", type=duration, default=30 * 86_400.0, metavar="TIME", help="of the token (30d)")
    parser.add_argument("--root", metavar="FILE", help="the DSO's root of trust, instead of the catalog's")
    parser.add_argument("--trust", metavar="FOLDER", type=Path, help="the DSO's signed repository: its root and policy")
    parser.add_argument(
        "--policy", metavar="N", type=int, default=0, help="least revision of the DSO's policy believed"
    )
    parser.add_argument("--key", metavar="HEX", default="", help="key that must have signed IMAGE.sha256 (IMAGE.sig)")
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument("--labels", metavar="FOLDER", type=Path, default=Path("labels"), help="for the labels (labels)")
    labels.add_argument("--no-label", action="store_true", help="write none")
    parser.add_argument("--allow-fixed", action="store_true", help="disks that cannot be taken out as well")
    parser.add_argument("--overwrite", action="store_true", help="files with something in them as well")
    parser.add_argument("--again", action="store_true", help="with --batch: what is done already as well")
    parser.add_argument("--jobs", metavar="N", type=int, default=4, help="cards at the same time (4)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="look at everything, write nothing, ask for no token")
    parser.set_defaults(command=_flash)


def _flash(options: argparse.Namespace) -> None:
    lines = _lines(options)
    orders = Orders(
        None if options.no_label else options.labels,
        options.network,
        options.card_ca,
        options.allow_fixed,
        options.overwrite,
        options.dry_run,
        options.bare,
        tuple(options.page_interfaces),
        _address(options, lines),
    )
    with Reporter() as reporter:
        image = Image(options.image, options.key, lambda *told: reporter.tell(options.image.name, *told))
        reporter.end(options.image.name)
    if not image.published:
        note(f"warning: there is no {options.image.name}.sha256 beside the image; nobody says that it is whole")
    memory = Memory(options.batch.with_name(options.batch.name + ".done")) if options.batch else None
    with image:
        results = _write(options, image, orders, lines, memory)
    _answer(options, image, results)


def _address(options: argparse.Namespace, lines: list[Line]) -> str:
    """Tell which address of the catalog will stand on cards that it is asked for; empty where none is asked for."""
    if options.bare or all(line.card for line in lines):
        return ""
    address: str = options.card_catalog or _settings(options).catalog
    if not options.card_catalog and is_here(address):
        raise UsageError(
            f"expected an address by which meters reach the catalog, found {address}, which would be each meter "
            "itself; say --card-catalog https://catalog.example.org"
        )
    return address


def _lines(options: argparse.Namespace) -> list[Line]:
    if options.batch is not None:
        if options.target:
            raise UsageError("the targets of a batch stand in its list; leave TARGET out")
        return read_list(options.batch)
    if not options.target:
        raise UsageError("which card? Name a disk such as /dev/sdb (`lsblk` lists them), or a file")
    line = Line(0, options.device or "", options.target, options.place, "", options.card or "", "", options.pin)
    return [line]


def _write(
    options: argparse.Namespace, image: Image, orders: Orders, lines: list[Line], memory: Memory | None
) -> list[Result]:
    results: dict[int, Result] = {}
    for line in lines:
        entry = memory.done(line.device, image.digest) if memory is not None and not options.again else None
        if entry is not None:
            results[line.number] = Result(line.number, line.device, line.target, EARLIER)
    due = [line for line in lines if line.number not in results]
    _confirm(options, due, image, orders)
    catalog = None if options.bare or all(line.card for line in due) or options.dry_run else _catalog(options)

    promise = promised(options)

    def ask(device: str) -> Card:
        if catalog is None:
            raise UsageError("which meter? Give --device ID, --card FILE or --bare")
        return _invited(catalog, device, options, promise)

    try:
        for number, batch in enumerate(rounds(due)):
            if number and not _exchanged(options, batch):
                results |= {line.number: _later(line) for line in batch}
                continue
            with Reporter() as reporter:
                cards = Cards(image, orders, ask, reporter, memory)
                results |= {result.line: result for result in cards.side_by_side(batch, options.jobs)}
    finally:
        if catalog is not None:
            catalog.__exit__()
    return [results[line.number] for line in lines]


def _confirm(options: argparse.Namespace, lines: list[Line], image: Image, orders: Orders) -> None:
    """Ask before anything on a disk is lost; what is refused anyway is not asked about."""
    if options.yes or options.dry_run:
        return
    paths = [Path(path) for path in sorted({line.target for line in lines})]
    disks = [targets.look(path) for path in paths if path.is_block_device()]
    named = ", ".join(
        f"{disk.path} ({disk.name}, {disk.size / 1e9:.1f} GB)"
        for disk in disks
        if not targets.objections(disk, image.size, allow_fixed=orders.allow_fixed)
    )
    if not named:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"everything on {named} would be lost; say --yes where nobody can be asked")
    note(f"Everything on {named} will be lost. Write? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise OperatorError("nothing was written")


def _exchanged(options: argparse.Namespace, lines: list[Line]) -> bool:
    """Have the cards changed, where there is somebody who can; tell whether they were."""
    if options.dry_run:
        return True
    if not sys.stdin.isatty() or not all(Path(line.target).is_block_device() for line in lines):
        return False
    before = {line.target: targets.look(Path(line.target)).identity for line in lines}
    note("Change the cards, then press Enter (Ctrl-C ends; what is done stays done):")
    for line in lines:
        note(f"  {line.target}  for {line.device}")
    sys.stdin.readline()
    same = [target for target, identity in before.items() if _is_the_same(target, identity)]
    if same:
        note(f"warning: {', '.join(same)} still holds the card that was written just now; it is left alone")
    return not same


def _is_the_same(target: str, identity: str) -> bool:
    """Tell whether a reader surely holds the same medium: only newer kernels number them."""
    return " " in identity and targets.look(Path(target)).identity == identity


def _later(line: Line) -> Result:
    reason = f"the card in {line.target} was just written for another meter; put in the next one and run this again"
    return Result(line.number, line.device, line.target, REFUSED, reason)


def _catalog(options: argparse.Namespace) -> AccessCatalog:
    return AccessCatalog(_settings(options))


def _settings(options: argparse.Namespace) -> Settings:
    return read_settings({name: getattr(options, name, None) for name in KEYS})


def _invited(catalog: AccessCatalog, device: str, options: argparse.Namespace, promise: tuple[str, int]) -> Card:
    """Have a token made; see `promised` for what it promises besides what the catalog gives."""
    root, least = promise
    given = catalog.enrol(device, options.expires)
    token = Token(given.device, given.secret, given.anchors, root or given.root, least)
    return Card(device, options.card_catalog or catalog.base, token.text(), least_policy=least)


def _answer(options: argparse.Namespace, image: Image, results: list[Result]) -> None:
    bad = [result for result in results if not result.is_good]
    if options.json:
        say_json({"image": {"size": image.size, "sha256": image.digest}, "results": results})
        if bad:
            raise Answered("not all cards were written")
        return
    if options.batch is None:
        (result,) = results
        if bad:
            raise OperatorError(f"{result.target}: {result.reason}")
        told = "may be written; nothing was" if result.outcome == WOULD else "is written and read back"
        whose = f" for {result.device}" if result.device else ""
        say(f"{result.target}{whose} {told}" + (f" ({result.seconds:.0f} s)" if result.outcome == DONE else ""))
        for file in result.labels:
            say(f"label: {file}")
        if result.reason:
            note(f"warning: {result.reason}")
        return
    _show(results)
    if bad:
        raise OperatorError(f"{len(bad)} of {len(results)} cards are not written; run the same again for these alone")


def _show(results: list[Result]) -> None:
    styles = {DONE: "green", WOULD: "green", EARLIER: "dim", REFUSED: "yellow"}
    table = Table(pad_edge=False, box=None)
    for heading in ("line", "device", "target", "outcome", "s", "reason"):
        table.add_column(heading, no_wrap=heading != "reason", justify="right" if heading in {"line", "s"} else "left")
    for one in results:
        outcome = Text(one.outcome, style=styles.get(one.outcome, "bold red"))
        seconds = f"{one.seconds:.0f}" if one.outcome == DONE else ""
        table.add_row(
            str(one.line), one.device, Text(printable(one.target)), outcome, seconds, Text(printable(one.reason))
        )
    drawing().print(table)
