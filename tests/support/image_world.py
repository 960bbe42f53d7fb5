"""
A meter with two slots in files: its helper, its agent's part for images, restarts and power cuts, in one process.

The card is a folder. What a start finds is what stood in it; a power cut is an exception out of the call that would
have made something durable, and out of every such call after it.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.errors import SlotError, TrustError
from agent.store import Store
from agent.trust.decisions import Reading
from agent.trust.image_fetching import FetchedImage
from agent.updates.image_health import Health
from agent.updates.image_journal import ImageChoice, ImageJournal
from agent.updates.images import Images
from agent.updates.slots.desk import Desk, Surroundings
from agent.updates.slots.messages import Offer, SlotRequest, SlotStatus
from device_catalog.contract.documents import ImageSetting, PackageReference
from device_catalog.contract.images import ImageManifest, read_manifest
from tests.support.fake_workers import LoopClock
from tests.support.images import NAME, content_of, image_of
from tests.support.quick_loop import until
from tests.support.slot_files import FileSlots

LOOK = 0.5
"""How often something awaited is looked for [s]; it takes no time in a quick loop."""

WELL = Health(applied=True, sampling=True, troubled=frozenset(), catalog=True, broker=True)


class PowerCut(BaseException):
    """Nothing is done after this."""


async def at_once(function: Callable, *arguments: object) -> object:
    """Call a function here and now: a quick loop has no threads."""
    return function(*arguments)


class Brought:
    """Images on a table, in the place of a network: what was signed, and its payload."""

    def __init__(self, card: Path, table: Path) -> None:
        self._card, self._table = card / "images", table
        self.refusals: list[TrustError] = []
        self.manifests = self.payloads = 0

    def folder(self, chosen: ImageChoice) -> Path:
        return self._card / chosen.sha256[:16]

    def files(self, chosen: ImageChoice) -> tuple[Path, Path]:
        return self.folder(chosen) / "offer.json", self.folder(chosen) / "payload"

    async def manifest(self, chosen: ImageChoice, _package: PackageReference, _least: int) -> ImageManifest:
        self.manifests += 1
        if self.refusals:
            raise self.refusals.pop(0)
        data = (self._table / f"{chosen.name}-{chosen.version}.json").read_bytes()
        offer, _ = self.files(chosen)
        offer.parent.mkdir(parents=True, exist_ok=True)
        offer.write_bytes(msgspec.json.encode(Offer(data.decode(), {})))
        return read_manifest(data)

    async def payload(self, chosen: ImageChoice, _manifest: ImageManifest, _rate: float) -> None:
        self.payloads += 1
        content = (self._table / f"{chosen.name}-{chosen.version}.image").read_bytes()
        self.files(chosen)[1].write_bytes(content)

    def share(self, _chosen: ImageChoice, _manifest: ImageManifest) -> float:
        return 0.5

    def clear(self, chosen: ImageChoice | None) -> None:
        for path in self._card.glob("*"):
            if chosen is None or path != self.folder(chosen):
                shutil.rmtree(path)


class World:
    """One meter and everything around it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.table = folder / "card", folder / "table"
        self.slots = FileSlots(self.folder / "slots")
        self.well = WELL
        self.time: float | None = 1_800_000_000.0
        self.flushed = True
        self.off = False
        self.restarts = 0
        self.fetches = Brought(self.folder, self.table)
        self.references: dict[str, PackageReference] = {}

    def flash(self, version: str = "1.0.0", release: int = 1) -> None:
        self.slots.begin(content_of(version, release))
        self._mount()

    def publish(self, version: str, release: int, **fields: str) -> ImageSetting:
        """Put an image on the table; give the setting that asks for it."""
        _, data, _ = image_of(self.table, version, release, **fields)
        reference = PackageReference(release, len(data), hashlib.sha256(data).hexdigest())
        return ImageSetting(NAME, version, reference, rollout="r-1", probation=60.0)

    # ---- one start after the other

    def _mount(self) -> None:
        content = self.slots.content(self.slots.booted)
        (self.folder / "about.json").write_bytes(content.partition(b"\n")[0])

    def boot(self) -> str:
        """Start the machine; give the version that it runs."""
        self.off = False
        slot = self.slots.boot()
        self._mount()
        content = self.slots.content(slot)
        version = next(v for v in self._versions() if content.startswith(content_of(*v)))
        return version[0]

    def _versions(self) -> list[tuple[str, int]]:
        names = [read_manifest(path.read_bytes()) for path in self.table.glob("*.json")]
        return [("1.0.0", 1), *((one.version, one.release) for one in names)]

    def agent(self) -> Images:
        """Make the agent's part, as a start does."""
        return Images(
            ImageJournal(Store(self.folder / "agent"), at_once),
            slots=self,
            fetches=self.fetches,
            meter=self,
            clock=LoopClock(),
            aside=at_once,
        )

    async def run(self, setting: ImageSetting | None, done: Callable[[Images], object] = lambda _: False) -> Images:
        """Run an agent until the machine goes off or restarts, or what is awaited is so."""
        images = self.agent()
        images.want(setting)
        task = asyncio.ensure_future(images.hold())
        await until(lambda: self.off or task.done() or done(images), step=LOOK)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return images

    # ---- the helper, as its client is

    def ask(self, request: SlotRequest, files: tuple = (), tell: Callable = lambda _: None) -> SlotStatus:
        if self.off:
            raise SlotError("the machine is off", passing=True)
        surroundings = Surroundings(
            self.folder / "helper",
            self.folder / "about.json",
            self.folder / "health.json",
            lambda: b"root",
            self._restart,
            lambda: Reading(0.0, False),
            rate=1e12,
            judge=_judge,
        )
        return Desk(self.slots, surroundings).answer(request, list(files), tell)

    def close(self) -> None:
        """Nothing is under way here."""

    def _restart(self) -> None:
        self.off = True
        self.restarts += 1

    # ---- the meter, as its agent sees it

    def health(self) -> Health:
        return self.well

    def is_flushed(self) -> bool:
        return self.flushed

    def utc(self) -> float | None:
        return self.time


def _judge(offer: Offer, name: str, version: str, *, least: int, **_: object) -> FetchedImage:
    """Believe what is offered: signatures have tests of their own."""
    manifest = read_manifest(offer.manifest.encode())
    if (manifest.name, manifest.version) != (name, version) or manifest.release < least:
        raise TrustError(f"expected {name} {version}, release {least} or later")
    return FetchedImage(manifest, offer.manifest.encode(), Path())
