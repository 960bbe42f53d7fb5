"""
Having a bundle made by a process of its own, on the card or, where that has no room, in memory.

Where it stands: asked by `desk`. On the card a bundle outlives a restart of the agent, so that its way to the catalog
goes on where it broke off; in memory there is room for a smaller one, without recordings.
"""

import asyncio
import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.errors import AgentError
from agent.support.bundle import MAXIMUM
from agent.support.making_messages import Made, Order
from algorithms.api.errors import shortened
from device_catalog.contract.support import BundleLabel

LONGEST = 180.0
"""How long making one may take, on a slow card [s]."""
SPARE = 64 * 1024 * 1024
"""The card must have this beyond a bundle; it is for what the meter measures [bytes]."""
IN_MEMORY = 6 * 1024 * 1024
"""[bytes]"""

_ending = ".tar.gz"


class MakingError(AgentError):
    """There is no bundle; the message says why."""


class Place(NamedTuple):
    """
    A finished bundle.

    Attributes
    ----------
    descriptor : int
        Open for reading.
    label : BundleLabel
    """

    descriptor: int
    label: BundleLabel

    def part(self, offset: int, length: int) -> bytes:
        """Read a part."""
        return os.pread(self.descriptor, length, offset)

    def close(self) -> None:
        """Let go of it; one in memory is gone then."""
        os.close(self.descriptor)


class Making:
    """
    Makes bundles of one meter.

    Parameters
    ----------
    folder : pathlib.Path
        Where they are until the catalog has them.
    config : pathlib.Path or None
        File with the agent's own lines.
    """

    def __init__(self, folder: Path, config: Path | None) -> None:
        self._folder = folder
        self._config = config

    async def make(self, request: str) -> Place:
        """
        Make the bundle of a request, or open the one that was made before a restart.

        Raises
        ------
        MakingError
        """
        before = self._folder / f"{request}{_ending}"
        try:
            if before.exists():
                return await asyncio.to_thread(_opened, before, {})
            on_card = _free(self._folder.parent) > SPARE + MAXIMUM
            if not on_card:
                return await self._in_memory()
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return await self._on_card(before)
        except OSError as error:
            expected = "a card that takes a bundle"
            raise MakingError(f"expected {expected}, found: {error.strerror or error}") from error

    def clear(self, keep: str = "") -> None:
        """Throw away what nobody waits for any more."""
        for path in self._folder.glob(f"*{_ending}*"):
            if path.name != f"{keep}{_ending}":
                with contextlib.suppress(OSError):
                    path.unlink()

    async def _on_card(self, target: Path) -> Place:
        temporary = target.with_name(f"{target.name}.new")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            missing = await self._run(descriptor, MAXIMUM)
            await asyncio.to_thread(os.fsync, descriptor)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return await asyncio.to_thread(_opened, target, missing)

    async def _in_memory(self) -> Place:
        descriptor = os.memfd_create("support", os.MFD_CLOEXEC)
        try:
            missing = await self._run(descriptor, IN_MEMORY)
            label = await asyncio.to_thread(_label, descriptor, missing)
        except BaseException:
            os.close(descriptor)
            raise
        return Place(descriptor, label)

    async def _run(self, descriptor: int, most: int) -> dict[str, str]:
        order = Order(str(self._config.absolute()) if self._config else "", str(self._folder.parent), most)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent.support"),
            stdin=asyncio.subprocess.PIPE,
            stdout=descriptor,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "OPENBLAS_NUM_THREADS": "1",
            },  # nobody computes there
        )
        try:
            async with asyncio.timeout(LONGEST):
                _, words = await process.communicate(msgspec.json.encode(order))
        except TimeoutError as error:
            raise MakingError(f"expected a bundle within {LONGEST:g} s, found this meter slower") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        lines = words.decode(errors="replace").strip().splitlines() or [f"exit status {process.returncode}"]
        try:
            return msgspec.json.decode(lines[-1].encode(), type=Made).missing
        except msgspec.MsgspecError as error:
            raise MakingError(f"expected a bundle, found: {shortened(lines[-1], 200)}") from error


def _opened(path: Path, missing: dict[str, str]) -> Place:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return Place(descriptor, _label(descriptor, missing))
    except OSError:
        os.close(descriptor)
        raise


def _label(descriptor: int, missing: dict[str, str]) -> BundleLabel:
    digest, length = hashlib.sha256(), 0
    while part := os.pread(descriptor, 256 * 1024, length):
        digest.update(part)
        length += len(part)
    return BundleLabel(length, digest.hexdigest(), missing)


def _free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
