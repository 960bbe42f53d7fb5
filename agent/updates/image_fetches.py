"""
Having an image brought to the card: its manifest verified and agreed upon, then its payload, as far as there is room.

Where it stands: asked by `images`; each step is a process of its own (`image_fetch`, `image_payload`). What is on its
way stands in one folder, named by the manifest's digest; anything else there is of an image nobody asks for any more.
Rules: what the DSO signed must be what the catalog chose; nothing is downloaded where room for what the meter measures
would be lost; what was loaded before a cut is not loaded again.
"""

import asyncio
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.clock import synchronisation
from agent.config import AgentConfig
from agent.errors import TrustError
from agent.identity.tls import anchors_of
from agent.trust.decisions import Reading
from agent.updates.fetch_messages import FetchAnswer
from agent.updates.fetches import disagreement
from agent.updates.image_journal import ImageChoice
from agent.updates.image_messages import (
    MANIFEST,
    OFFER,
    PAYLOAD,
    ImageQuestion,
    PayloadAnswer,
    PayloadQuestion,
)
from algorithms.api.errors import shortened
from device_catalog.contract.documents import PackageReference
from device_catalog.contract.images import ImageError, ImageManifest, read_manifest

ROOM = 64 * 1024 * 1024
"""So much stays free on the card beside a payload [bytes]."""
LONGEST_MANIFEST = 300.0
LONGEST_PAYLOAD = 24 * 3600.0
"""Most that one attempt may take [s]."""

Answer = TypeVar("Answer", bound=msgspec.Struct)


class ImageFetches:
    """
    Brings images to the card.

    Parameters
    ----------
    config : AgentConfig
    """

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._folder = config.state_dir / "images"

    def folder(self, chosen: ImageChoice) -> Path:
        """Say where an image is while it is on its way."""
        return self._folder / chosen.sha256[:16]

    def files(self, chosen: ImageChoice) -> tuple[Path, Path]:
        """Name the offer and the payload of an image that was brought."""
        return self.folder(chosen) / OFFER, self.folder(chosen) / PAYLOAD

    async def manifest(self, chosen: ImageChoice, package: PackageReference, least: int) -> ImageManifest:
        """
        Have a manifest verified, by documents as fresh as the catalog has them.

        Parameters
        ----------
        chosen : ImageChoice
        package : PackageReference
            What the catalog chose.
        least : int
            The lowest release that is taken.

        Raises
        ------
        TrustError
        """
        config = self._config
        if not config.root:
            raise TrustError("expected a root of trust to judge images by, found none; set root_file to the DSO's")
        question = ImageQuestion(
            name=chosen.name,
            version=chosen.version,
            state=str(config.state_dir),
            folder=str(self.folder(chosen)),
            root=config.root,
            repository=config.catalog,
            clock=Reading(time.time(), synchronisation().synchronised),
            least=least,
            ca=anchors_of(config),
        )
        found = await _ask("agent.updates.image_fetch", question, FetchAnswer, LONGEST_MANIFEST)
        problem = found.refusal or disagreement(chosen.name, chosen.version, package, found)
        if problem:
            raise TrustError(problem, passing=found.passing)
        try:
            return read_manifest((self.folder(chosen) / MANIFEST).read_bytes())
        except (OSError, ImageError) as error:
            raise TrustError(f"expected the manifest on the card, found: {error}", passing=True) from error

    async def payload(self, chosen: ImageChoice, manifest: ImageManifest, rate: float) -> None:
        """
        Have a payload downloaded, or the rest of one.

        Raises
        ------
        TrustError
        """
        _, path = self.files(chosen)
        missing = manifest.payload_length - (path.stat().st_size if path.exists() else 0)
        free = await asyncio.to_thread(_free, self._folder)
        if missing + ROOM > free:
            raise TrustError(
                f"expected {(missing + ROOM) / 1e6:.0f} MB free on the card for the image, found {free / 1e6:.0f} MB; "
                "make room, such as with a smaller budget of recordings",
                passing=True,
            )
        question = PayloadQuestion(
            repository=self._config.catalog,
            manifest=str(self.folder(chosen) / MANIFEST),
            path=str(path),
            rate=rate,
            ca=anchors_of(self._config),
        )
        found = await _ask("agent.updates.image_payload", question, PayloadAnswer, LONGEST_PAYLOAD)
        if found.refusal:
            raise TrustError(found.refusal, passing=found.passing)

    def share(self, chosen: ImageChoice, manifest: ImageManifest) -> float:
        """Say how much of a payload is there [1]."""
        with suppress(OSError):
            return min(1.0, self.files(chosen)[1].stat().st_size / manifest.payload_length)
        return 0.0

    def clear(self, chosen: ImageChoice | None) -> None:
        """Take away what is of no use any more; what cannot be taken away now goes another time."""
        with suppress(OSError):
            for path in self._folder.iterdir():
                if chosen is None or path != self.folder(chosen):
                    shutil.rmtree(path, ignore_errors=True)


def _free(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


async def _ask(module: str, question: msgspec.Struct, kind: type[Answer], longest: float) -> Answer:
    """
    Have a question answered by a process of its own, which goes when the one who asked does.

    Raises
    ------
    TrustError
        When there is no answer.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(longest):
            said, words = await process.communicate(msgspec.json.encode(question))
    except TimeoutError as error:
        raise TrustError("expected the repository to answer in time, found it slower", passing=True) from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        return msgspec.json.decode(said, type=kind)
    except msgspec.DecodeError as error:
        lines = words.decode(errors="replace").strip().splitlines() or [f"status {process.returncode}"]
        if "No module named 'tuf'" in lines[-1]:
            raise TrustError("expected the library tuf, found none; install python3-tuf or tresma[trust]") from error
        found = shortened(lines[-1], 200)
        raise TrustError(f"expected an answer of the verifying process, found: {found}", passing=True) from error
