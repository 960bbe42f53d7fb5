"""
Recordings of events: which there are, asking a device for one, taking it in, handing it out, dropping the old.

A device tells of every recording (`tell`). Its file comes only when somebody asked for it (`request`): the wish stands
in the device's desired document until the file is here or the device says that it is gone, so that it needs nobody's
memory, and a poll costs nothing more. Files come in parts, go on where they broke off, and are believed by their
digest. Old files go by age and budget, what was taken in first goes first.
"""

from collections.abc import Sequence

import msgspec

from algorithms.api.errors import shortened
from algorithms.api.wire import time_from_text
from device_catalog.contract.recordings import (
    MAXIMUM_WANTED,
    Received,
    RecordingEntry,
    RecordingInfo,
    RecordingPage,
    problems_of,
)
from device_catalog.documents import moment
from device_catalog.errors import Conflict, RecordingUnknown, Refused
from device_catalog.fleet.fleet import NANOSECONDS, Fleet
from device_catalog.grid.cursors import no_cursor, time_and_name
from device_catalog.storage.recording_files import RecordingFiles
from device_catalog.storage.recordings import Key, RecordingStore, Row
from device_catalog.storage.threads import StorageThreads
from device_catalog.storage.uploads import Uploads

MAXIMUM_KNOWN = 2000
"""Recordings of one device that are listed; beyond that the oldest that nobody asked for are forgotten."""

MAXIMUM_PAGE = 1000

MOST_AROUND = 50
"""Recordings of one occurrence that are named at most."""

_DAY = 86_400 * NANOSECONDS
_LONGEST = 600 * NANOSECONDS  # a recording lasts no longer
_DROPPED_AT_ONCE = 100


class Recordings:
    """
    The recordings of a fleet.

    Parameters
    ----------
    store : RecordingStore
    files : RecordingFiles
    fleet : Fleet
    threads : StorageThreads
    budget : int
        Room for files [bytes].
    days : float
        How long files are kept [d].
    """

    def __init__(  # noqa: PLR0917 - the parts it is made of
        self,
        store: RecordingStore,
        files: RecordingFiles,
        fleet: Fleet,
        threads: StorageThreads,
        budget: int,
        days: float,
    ) -> None:
        self._store = store
        self._files = files
        self._fleet = fleet
        self._threads = threads
        self._budget = budget
        self._age_ns = round(days * _DAY)
        self._uploads = Uploads(files, "catalog-files", "recordings")

    def load(self) -> None:
        """Read what is asked for; once, after the register, before anybody is served."""
        for device in self._store.unregistered():  # a removal that power failed in
            self._drop(device)
        requested = self._store.requested()
        self._files.clear({Key(device, name) for device, names in requested.items() for name in names})
        for device, names in requested.items():
            self._fleet.want(device, names[:MAXIMUM_WANTED], notify=False)

    def follow(self, devices: Sequence[str] | None) -> None:
        """Take over what another catalog asks some devices for, or all of them; called while writing."""
        if devices is None:
            devices = list({*self._fleet.wanted, *self._store.requested()})
        for device in devices:
            wanted = self._store.requested_of(device)[:MAXIMUM_WANTED]
            self._threads.in_loop(lambda name=device, now=wanted: self._fleet.want(name, now, notify=False))

    def close(self) -> None:
        """Finish what was begun."""
        self._uploads.close()

    # ------------------------------------------------------------------ the device

    async def tell(self, device: str, name: str, info: RecordingInfo) -> None:
        """
        Take a device's word that it has a recording; saying it twice changes nothing.

        Raises
        ------
        DeviceUnknown
        Refused
            With every problem of what it says.
        """
        self._fleet.known(device)
        problems = problems_of(info, device, name)
        if problems:
            raise Refused(problems)
        await self._threads.write(self._tell, info)

    def _tell(self, info: RecordingInfo) -> None:
        key = Key(info.device, info.id)
        document = msgspec.json.encode(info).decode()
        before = self._store.find(key)
        if before is not None and before.document == document and before.on_device:
            return
        same = before is not None and before.sha256 == info.sha256
        row = Row(
            *key,
            start_ns=time_from_text(info.start),
            told_ns=before.told_ns if before is not None and same else self._fleet.wall(),
            document=document,
            size=info.bytes,
            sha256=info.sha256,
            on_device=True,
            requested=before is not None and before.requested,
            arrived_ns=before.arrived_ns if before is not None and same else None,
        )
        self._store.write(row, MAXIMUM_KNOWN)

    async def gone(self, device: str, name: str) -> None:
        """Take a device's word that it has a recording no more; whatever it was asked for is settled by that."""
        await self._threads.write(self._gone, Key(device, name))

    def _gone(self, key: Key) -> None:
        row = self._store.find(key)
        if row is not None and (row.on_device or row.requested):
            self._store.write(row._replace(on_device=False, requested=False), MAXIMUM_KNOWN)
        self._files.abandon(key)
        self._wanted_changed(key.device)

    async def take(self, device: str, name: str, offset: int, data: bytes) -> Received:
        """
        Take a part of a file that was asked for.

        Parameters
        ----------
        device, name : str
        offset : int
            Where the part belongs; one that belongs elsewhere than where the file has got to is left alone.
        data : bytes

        Returns
        -------
        Received
            Where to go on.

        Raises
        ------
        RecordingUnknown
        Conflict
            When nobody asked for it.
        Refused
            When the part is too long, or the whole file is not what was told of.
        """
        key = Key(device, name)
        row = await self._known(key)
        if row.arrived_ns is not None:
            return Received(row.size, complete=True)
        if not row.requested:
            raise Conflict(f"expected a recording that was asked for, found {device}/{name}; keep it until it is")
        received = await self._uploads.take(key, offset, data, row.size, row.sha256)
        if received < row.size:
            return Received(received)
        await self._threads.write(self._arrived, key)
        return Received(row.size, complete=True)

    def _arrived(self, key: Key) -> None:
        row = self._store.find(key)
        if row is not None:
            self._store.write(row._replace(requested=False, arrived_ns=self._fleet.wall()), MAXIMUM_KNOWN)
        self._wanted_changed(key.device)

    # ------------------------------------------------------------------ the operator

    async def request(self, device: str, name: str) -> RecordingEntry:
        """
        Ask a device for a recording; asking twice changes nothing.

        Raises
        ------
        DeviceUnknown
        RecordingUnknown
        Conflict
            When the device has it no more, or is asked for too much already.
        """
        row = await self._known(Key(device, name))
        if row.arrived_ns is None and not row.requested:
            self._fleet.known(device)
            row = await self._threads.write(self._request, row.key)
        return await self._entry(row)

    def _request(self, key: Key) -> Row:
        row = self._store.find(key)
        if row is None or not row.on_device:
            raise Conflict(f"expected a recording that the device still has, found {'/'.join(key)} gone from it")
        if len(self._store.requested_of(key.device)) >= MAXIMUM_WANTED:
            expected = f"at most {MAXIMUM_WANTED} recordings asked of {key.device} at once"
            raise Conflict(f"expected {expected}, found as many; wait for those")
        row = row._replace(requested=True)
        self._store.write(row, MAXIMUM_KNOWN)
        self._wanted_changed(key.device)
        return row

    async def one(self, device: str, name: str) -> RecordingEntry:
        """
        Give what is known of a recording.

        Raises
        ------
        RecordingUnknown
        """
        return await self._entry(await self._known(Key(device, name)))

    async def page(self, device: str, cursor: str, limit: int, tenant: str = "") -> RecordingPage:
        """
        Give part of the list, newest first.

        Parameters
        ----------
        device : str
            Only its; all where it is empty.
        cursor : str
            Of the part before; empty for the first.
        limit : int
            1 to `MAXIMUM_PAGE`.
        tenant : str
            Only its devices'; all where it is empty.

        Raises
        ------
        Refused
            When the cursor is none.
        """
        after = _read_cursor(cursor)
        rows = await self._threads.read(self._store.page, device, after, limit + 1, tenant)
        items = [await self._entry(row) for row in rows[:limit]]
        last = rows[limit - 1] if len(rows) > limit else None
        return RecordingPage(tuple(items), "" if last is None else f"{last.start_ns}.{last.device}.{last.recording}")

    async def around(self, devices: Sequence[str], first_ns: int, last_ns: int) -> tuple[RecordingEntry, ...]:
        """
        Give the recordings of some devices that hold any of a time, oldest first.

        Parameters
        ----------
        devices : sequence of str
        first_ns, last_ns : int
            [ns UTC]
        """
        earliest = first_ns - _LONGEST
        rows = await self._threads.read(self._store.between, devices, earliest, last_ns, MOST_AROUND)
        entries = [(row.start_ns, await self._entry(row)) for row in reversed(rows)]
        return tuple(entry for start, entry in entries if start + round(entry.info.duration * NANOSECONDS) >= first_ns)

    async def file(self, device: str, name: str) -> tuple[bytes, str]:
        """
        Give a recording's file and its digest.

        Raises
        ------
        RecordingUnknown
            When it is not here.
        """
        row = await self._known(Key(device, name))
        data = await self._uploads.read(row.sha256) if row.arrived_ns is not None else None
        if data is None:
            found = f"{device}/{name} is not here yet; ask for it (PUT …/request)"
            raise RecordingUnknown(f"expected a recording whose file is here, found that {found}")
        return data, row.sha256

    async def forget(self, device: str, name: str) -> None:
        """
        Remove a recording from the catalog, with its file; the device keeps its own.

        Raises
        ------
        RecordingUnknown
        """
        await self._known(Key(device, name))
        await self._threads.write(self._forget, Key(device, name))

    def _forget(self, key: Key) -> None:
        row = self._store.find(key)
        self._store.forget(key)
        self._files.abandon(key)
        if row is not None and not self._store.uses(row.sha256):
            self._files.remove(row.sha256)
        self._wanted_changed(key.device)

    async def forget_device(self, device: str) -> None:
        """Remove all recordings of a device that was removed, with their files: the name's next owner is another."""
        await self._threads.write(self._forget_device, device)

    def _forget_device(self, device: str) -> None:
        self._drop(device)
        self._wanted_changed(device)

    def _drop(self, device: str) -> None:
        for row in self._store.forget_device(device):
            self._files.abandon(row.key)
            if not self._store.uses(row.sha256):
                self._files.remove(row.sha256)

    async def tidy(self) -> int:
        """Drop files beyond age and budget; return how many."""
        return await self._threads.write(self._tidy)

    def _tidy(self) -> int:
        stored, dropped = self._store.stored(), 0
        for row in self._store.oldest_stored(_DROPPED_AT_ONCE):
            old = row.arrived_ns is not None and self._fleet.wall() - row.arrived_ns > self._age_ns
            if not old and stored <= self._budget:
                break
            self._store.write(row._replace(arrived_ns=None), MAXIMUM_KNOWN)
            if not self._store.uses(row.sha256):
                self._files.remove(row.sha256)
            stored -= row.size
            dropped += 1
        return dropped

    # ------------------------------------------------------------------ helpers

    async def _known(self, key: Key) -> Row:
        row = await self._threads.read(self._store.find, key)
        if row is None:
            found = shortened("/".join(key), 140)
            raise RecordingUnknown(f"expected a recording, found none called {found}; list those there are")
        return row

    async def _entry(self, row: Row) -> RecordingEntry:
        received = row.size if row.arrived_ns is not None else 0
        if row.requested:
            received = await self._uploads.received(row.key)
        info = msgspec.json.decode(row.document, type=RecordingInfo)
        return RecordingEntry(info, _state(row), received, moment(row.told_ns))

    def _wanted_changed(self, device: str) -> None:
        """Let the device know what it is asked for; called while writing."""
        self._threads.in_loop(self._fleet.want, device, self._store.requested_of(device))


def _state(row: Row) -> str:
    if row.arrived_ns is not None:
        return "here"
    if row.requested:
        return "requested"
    return "on-device" if row.on_device else "gone"


def _read_cursor(cursor: str) -> tuple[int, str, str] | None:
    if not cursor:
        return None
    start_ns, rest = time_and_name(cursor)
    device, _, recording = rest.partition(".")
    if not device or not recording:
        raise no_cursor(cursor)
    return start_ns, device, recording
