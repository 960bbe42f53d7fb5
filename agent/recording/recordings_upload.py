"""
Recordings on their way to the catalog: it is told of each, and is handed those it asks for.

Where it stands: between `recorder`, which knows what is on the disk, and the catalog's REST interface. What the
catalog asks for stands in the desired document, so a wish needs nobody's memory and may be repeated.

Rules:

- Nothing runs while there is nothing to say. Requests block, so they run in a thread that lives as long.
- Files go in parts, at most `upload_rate` on average, and go on where they broke off: the catalog says where.
- A file whose content is not what its label says is thrown away, and the catalog told that it is gone.
- Failures back off with jitter, up to `LONGEST_WAIT`.
"""

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.catalog import CatalogClient
from agent.config import AgentConfig
from agent.errors import CatalogError
from agent.recording.recorder import EventRecorder
from agent.recording.recordings import Kept
from agent.request_thread import RequestThread
from device_catalog.contract import paths
from device_catalog.contract.recordings import PART, Received, RecordingInfo

log = logging.getLogger(__name__)

FIRST_WAIT = 2.0
LONGEST_WAIT = 300.0
"""Waits after a failure [s]."""

_CONFLICT = 409
_REFUSED = 422
_ATTEMPTS = 3

Answer = TypeVar("Answer")


class RecordingsClient(CatalogClient):
    """
    The part of the catalog's interface that is about a device's own recordings; every call blocks.

    Parameters
    ----------
    config : AgentConfig
    """

    def tell(self, info: RecordingInfo) -> None:
        """Say that there is a recording."""
        headers = {"Content-Type": "application/json"}
        self._exchange("PUT", self._path(paths.RECORDING, info.id), headers=headers, body=msgspec.json.encode(info))

    def gone(self, name: str) -> None:
        """Say that there is no such recording any more."""
        self._exchange("DELETE", self._path(paths.RECORDING, name))

    def hand_over(self, name: str, offset: int, part: bytes) -> Received:
        """Send a part of a file; return where to go on."""
        headers = {"Content-Type": "application/octet-stream", paths.OFFSET_HEADER: str(offset)}
        _, answer, _ = self._exchange("PATCH", self._path(paths.RECORDING_FILE, name), headers=headers, body=part)
        try:
            return msgspec.json.decode(answer, type=Received)
        except msgspec.MsgspecError as error:
            raise CatalogError(f"expected the catalog to say where to go on, found {error}") from error

    def _path(self, path: str, name: str) -> str:
        return path.format(device=self._device, recording=name)


class Handover:
    """
    Tells and hands over.

    Parameters
    ----------
    config : AgentConfig
    recorder : EventRecorder
    """

    def __init__(self, config: AgentConfig, recorder: EventRecorder) -> None:
        self._config = config
        self._recorder = recorder
        self._random = random.Random()
        self._wanted: tuple[str, ...] = ()
        self._settled: set[str] = set()
        self._refusals: dict[str, int] = {}
        self._dropped: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        recorder.on_change = self._changed

    def want(self, names: tuple[str, ...]) -> None:
        """Hand over these recordings, and no others any more."""
        if names != self._wanted:
            self._settled.clear()
            self._refusals.clear()
        self._wanted = names
        self._wake()

    async def close(self) -> None:
        """End; what was not said is said by the next start."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _changed(self, dropped: tuple[str, ...]) -> None:
        self._dropped.update(dict.fromkeys(dropped))
        self._wake()

    def _wake(self) -> None:
        if self._task is None and not self._closing and self._recorder.is_open and self._is_work():
            self._task = asyncio.get_running_loop().create_task(self._work(), name="recordings")

    def _is_work(self) -> bool:
        return bool(self._dropped or self._untold() or self._next_wanted())

    def _untold(self) -> Kept | None:
        return next((kept for kept in self._recorder.kept.values() if not kept.told), None)

    def _next_wanted(self) -> str | None:
        return next((name for name in self._wanted if name not in self._settled), None)

    async def _work(self) -> None:
        """Do all there is to do, then end."""
        client = RecordingsClient(self._config)
        requests = RequestThread("recordings")
        call = _Call(requests)
        failures = 0
        try:
            while self._is_work():
                try:
                    await self._step(client, call)
                    failures = 0
                except CatalogError as error:
                    failures += 1
                    if failures in (1, 10) or failures % 100 == 0:
                        log.warning("recordings wait for the catalog: %s", error)
                    wait = min(FIRST_WAIT * 2.0 ** min(failures - 1, 20), LONGEST_WAIT)
                    await asyncio.sleep(max(wait * (0.5 + self._random.random() / 2), error.retry_after or 0.0))
        finally:
            self._task = None
            requests.close()
            client.close()

    async def _step(self, client: RecordingsClient, call: "_Call") -> None:
        """Say one thing, or hand over one recording."""
        untold, wanted = self._untold(), self._next_wanted()
        if untold is not None:
            try:
                await call(client.tell, untold.info)
            except CatalogError as error:
                if error.status != _REFUSED:
                    raise
                log.error("the catalog does not take the label of recording %s: %s", untold.info.id, error)
            self._mark(untold.info.id, told=True)
        elif self._dropped:
            name = next(iter(self._dropped))
            await call(client.gone, name)
            self._dropped.pop(name, None)
            self._settled.add(name)
        elif wanted is not None:
            kept = self._recorder.kept.get(wanted)
            if kept is None or await call(_damaged, self._recorder.samples(wanted), kept.info):
                if kept is not None:
                    log.error("recording %s is damaged, and is thrown away", wanted)
                    await self._recorder.remove(wanted)
                await call(client.gone, wanted)
                self._settled.add(wanted)
            else:
                await self._hand_over(kept.info, client, call)

    async def _hand_over(self, info: RecordingInfo, client: RecordingsClient, call: "_Call") -> None:
        path, loop = self._recorder.samples(info.id), asyncio.get_running_loop()
        received = Received(0)
        try:
            while not received.complete and info.id in self._wanted:
                began = loop.time()
                part = await call(_part, path, received.received)
                received = await call(client.hand_over, info.id, received.received, part)
                if not received.complete:
                    await asyncio.sleep(max(0.0, len(part) / self._recorder.upload_rate - (loop.time() - began)))
        except CatalogError as error:
            if error.status == _REFUSED:
                self._refusals[info.id] = self._refusals.get(info.id, 0) + 1
            if error.status != _CONFLICT and self._refusals.get(info.id, 0) < _ATTEMPTS:
                raise
            log.error("recording %s is not handed over: %s", info.id, error)
        except FileNotFoundError:  # dropped to make room meanwhile
            return
        self._settled.add(info.id)
        if received.complete:
            self._mark(info.id, handed_over=True)

    def _mark(self, name: str, **what: bool) -> None:
        kept = self._recorder.kept.get(name)
        if kept is not None:
            self._recorder.mark(msgspec.structs.replace(kept, **what))


class _Call:
    """Runs what blocks in a thread."""

    def __init__(self, requests: RequestThread) -> None:
        self._requests = requests

    async def __call__(self, function: Callable[..., Answer], *arguments: object) -> Answer:
        return await self._requests.run(lambda: function(*arguments))


def _damaged(path: Path, info: RecordingInfo) -> bool:
    """Tell whether a file is not what its label says."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() != info.sha256
    except OSError:
        return True


def _part(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PART)
