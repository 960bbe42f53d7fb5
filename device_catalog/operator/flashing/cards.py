"""
One card from beginning to end, and many side by side: looked at, told who it is, written, read back, labelled, noted.

Nothing is asked of the catalog for a target that is refused. Cards in different readers are written at the same time;
those for one reader follow each other, and between them somebody has to change the card.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec

from device_catalog.contract.card import AUTHORITIES, NETWORK, Card, Page
from device_catalog.contract.card_rules import is_here
from device_catalog.operator.errors import CatalogAway, OperatorError, UsageError
from device_catalog.operator.flashing import label, targets
from device_catalog.operator.flashing.contents import Contents, Personal, contents, read_files, read_limited
from device_catalog.operator.flashing.errors import TargetRefused, WritingFailed
from device_catalog.operator.flashing.held import holder
from device_catalog.operator.flashing.image import Image
from device_catalog.operator.flashing.media import DiskMedium
from device_catalog.operator.flashing.progress import Reporter
from device_catalog.operator.flashing.targets import Disk
from device_catalog.operator.flashing.tray import Line, Memory
from device_catalog.operator.flashing.writing import write

DONE, EARLIER, WOULD, REFUSED, FAILED = "done", "done before", "would be done", "refused", "failed"

Ask = Callable[[str], Card]
"""Gives what the catalog says to a meter of that name: address and token, asked for now."""


class Result(msgspec.Struct, frozen=True):
    """
    What became of one card.

    Attributes
    ----------
    line : int
        Of the list; 0 for a card on the command line.
    device, target : str
    outcome : str
    reason : str
        Why it was not done, or what went wrong after that, in one sentence; empty for nothing.
    seconds : float
        [s]
    labels : tuple of str
        Files.
    """

    line: int
    device: str
    target: str
    outcome: str
    reason: str = ""
    seconds: float = 0.0
    labels: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether there is nothing left to do."""
        return self.outcome in (DONE, EARLIER, WOULD)


class Orders(NamedTuple):
    """
    What holds for all cards.

    Attributes
    ----------
    labels : pathlib.Path or None
        Folder; None for no labels.
    network, authorities : pathlib.Path or None
        Files that go onto cards.
    interfaces : tuple of str
        Where the commissioning page answers on every address; none for what each card says.
    catalog : str
        Address of the catalog as it will stand on the cards that it is asked for; empty where that is not known.
    """

    labels: Path | None = None
    network: Path | None = None
    authorities: Path | None = None
    allow_fixed: bool = False
    overwrite: bool = False
    dry_run: bool = False
    bare: bool = False
    interfaces: tuple[str, ...] = ()
    catalog: str = ""


class Cards:
    """
    Writes cards with one image.

    Parameters
    ----------
    image : Image
    orders : Orders
    ask : callable
        Asks the catalog; only one thread at a time does.
    reporter : Reporter
    memory : Memory, optional
        Of what is done.
    """

    def __init__(
        self, image: Image, orders: Orders, ask: Ask, reporter: Reporter, memory: Memory | None = None
    ) -> None:
        self._image, self._orders, self._ask = image, orders, ask
        self._reporter, self._memory = reporter, memory
        self._one_at_a_time = threading.Lock()
        self._away: CatalogAway | None = None
        self.stop = threading.Event()

    def objections(self, disk: Disk) -> list[str]:
        """Say everything that speaks against writing to a target."""
        found = targets.objections(
            disk, self._image.size, allow_fixed=self._orders.allow_fixed, overwrite=self._orders.overwrite
        )
        return list(found)

    def side_by_side(self, lines: Sequence[Line], jobs: int) -> list[Result]:
        """Write cards in different readers at the same time; results in the order of `lines`."""
        with ThreadPoolExecutor(max_workers=max(1, min(jobs, len(lines)))) as pool:
            try:
                return list(pool.map(self.one, lines))
            except KeyboardInterrupt:
                self.stop.set()
                raise

    def one(self, line: Line) -> Result:
        """Write one card; whatever stands in the way becomes its result."""
        began = time.monotonic()
        try:
            outcome, labels, reason = self._one(line)
        except WritingFailed as error:
            return _result(line, FAILED, str(error), began)
        except OperatorError as error:
            reasons = "; ".join([str(error), *(str(problem) for problem in error.problems)])
            return _result(line, REFUSED, reasons, began)
        finally:
            self._reporter.end(_name(line))
        return msgspec.structs.replace(_result(line, outcome, reason, began), labels=labels)

    def _one(self, line: Line) -> tuple[str, tuple[str, ...], str]:
        if self.stop.is_set():
            raise TargetRefused("interrupted before its turn")
        disk = targets.look(Path(line.target))
        if found := self.objections(disk):
            raise TargetRefused("; ".join(found))
        if self._memory is not None:
            self._refuse_done(disk, line, self._memory)
        if self._orders.labels is not None and not self._orders.bare:
            label.require()
        if self._orders.dry_run:
            return WOULD, (), _doubt(None if self._orders.bare else self._prepare(line))
        with DiskMedium(disk) as medium:
            inside = self._inside(line)
            with Personal(self._image, inside) as personal:
                write(
                    personal,
                    medium,
                    lambda what, done, all_: self._reporter.tell(_name(line), what, done, all_),
                    self.stop,
                )
        return DONE, *self._afterwards(line, inside)

    @staticmethod
    def _refuse_done(disk: Disk, line: Line, memory: Memory) -> None:
        """Leave a card alone that this tray made for another meter: nobody has changed the card in the reader."""
        other = holder(disk)
        entry = memory.newest(other) if other and other != line.device else None
        if entry is not None:
            raise TargetRefused(
                f"expected the next card in {line.target}, found the one that was written for {other} "
                f"({entry.time:%Y-%m-%d %H:%M} UTC); put in another, or take the line of {other} out of "
                f"{memory.path.name} to write this one again"
            )

    def _afterwards(self, line: Line, inside: Contents | None) -> tuple[tuple[str, ...], str]:
        """Note and label a card that is done; what goes wrong here does not undo it, and is told."""
        labels: tuple[str, ...] = ()
        reasons = [doubt] if (doubt := _doubt(inside)) else []
        with self._one_at_a_time:
            try:
                if inside is not None and self._orders.labels is not None:
                    labels = tuple(str(file) for file in label.write(inside.card, self._orders.labels))
            except OperatorError as error:
                reasons.append(f"{error}; its PIN is {inside.card.page.pin}" if inside is not None else str(error))
            try:
                if self._memory is not None:
                    self._memory.add(line.device, self._image.digest, line.target)
            except OperatorError as error:
                reasons.append(str(error))
        return labels, "; ".join(reasons)

    def _prepare(self, line: Line) -> Contents | None:
        """Judge all that is known of this card; give what somebody wrote, None where the catalog is to be asked."""
        if not line.card:
            contents(self._stand_in(line), self._network(line), self._authorities())
            return None
        network = Path(line.network) if line.network else self._orders.network
        inside = read_files(Path(line.card), network, self._orders.authorities)
        if line.device and inside.card.device != line.device:
            raise UsageError(f"{line.card}: expected a card for {line.device}, found one for {inside.card.device}")
        page = self._page(line, inside.card.page)
        card = msgspec.structs.replace(inside.card, label=line.place or inside.card.label, page=page)
        return contents(card, inside.files[NETWORK], inside.files.get(AUTHORITIES, b""))

    def _inside(self, line: Line) -> Contents | None:
        if self._orders.bare:
            return None
        inside = self._prepare(line)
        if inside is not None:
            return inside
        authorities, network = self._authorities(), self._network(line)
        return contents(self._of_line(self._asked(line.device), line), network, authorities)

    def _of_line(self, card: Card, line: Line) -> Card:
        page = self._page(line, card.page)
        return msgspec.structs.replace(card, label=line.place, tenant=line.tenant or card.tenant, page=page)

    def _page(self, line: Line, page: Page) -> Page:
        return Page(line.pin or page.pin, self._orders.interfaces or page.interfaces, page.port)

    def _stand_in(self, line: Line) -> Card:
        """Make a card that has all a real one has, so that it can be judged before the catalog is asked."""
        from device_catalog.contract.enrolment import Token, digest  # noqa: PLC0415

        token = Token(line.device, "0" * 43, digest(b""), "").text()
        return self._of_line(Card(line.device, self._orders.catalog or "https://catalog.invalid", token), line)

    def _asked(self, device: str) -> Card:
        """Ask the catalog; one that is away is not waited for once more by every card."""
        with self._one_at_a_time:
            if self._away is not None:
                raise CatalogAway(str(self._away))
            try:
                return self._ask(device)
            except CatalogAway as error:
                self._away = error
                raise

    def _network(self, line: Line) -> bytes:
        path = Path(line.network) if line.network else self._orders.network
        return read_limited(path) if path else b""

    def _authorities(self) -> bytes:
        return read_limited(self._orders.authorities) if self._orders.authorities else b""


def rounds(lines: Sequence[Line]) -> list[list[Line]]:
    """
    Group lines so that no round uses a target twice; targets that cannot be are each their own.

    >>> [[line.device for line in one] for one in rounds([Line(2, "a", "/x"), Line(3, "b", "/x"), Line(4, "c", "/y")])]
    [['a', 'c'], ['b']]
    """
    found: list[list[Line]] = []
    used: dict[str, int] = {}
    for line in lines:
        try:
            disk = targets.look(Path(line.target))
            place = disk.identity if disk.is_file else disk.identity.split()[0]
        except TargetRefused:
            place = str(Path(line.target).absolute())
        number = used.get(place, 0)
        used[place] = number + 1
        if number == len(found):
            found.append([])
        found[number].append(line)
    return found


def _name(line: Line) -> str:
    return line.device or line.target


def _result(line: Line, outcome: str, reason: str, began: float) -> Result:
    return Result(line.number, line.device, line.target, outcome, reason, round(time.monotonic() - began, 3))


def _doubt(inside: Contents | None) -> str:
    """Say what is hardly meant, though a meter can use it; empty for nothing."""
    if inside is None or not is_here(inside.card.catalog):
        return ""
    return f"on the card the catalog is at {inside.card.catalog}, which is the meter itself"
