"""
Requests for support: made by people, answered by devices, ended by themselves.

What is wanted stands in the device's desired document (`wishes`), as a wish for a recording does, so a device that is
away gets it with its next poll and nothing has to be remembered. One bundle and one log tail are open for a device
at a time. A bundle comes in parts, goes on where it broke off, is believed by its digest, and is kept for `KEPT_DAYS`;
lines of a tail come by the grid broker (`hear`), only while one is open. Who asked and why, who fetched it, and who
ended it stands in the device's history and in the audit trail.
"""

from collections.abc import Sequence

import msgspec

from algorithms.api.errors import Problem, WireError, printable, shortened
from device_catalog.contract.recordings import Received
from device_catalog.contract.support import (
    MOST_LINES,
    BundleLabel,
    LogLevel,
    LogLine,
    LogLines,
    SupportEntry,
    SupportKind,
    SupportPage,
    SupportWanted,
    ends_of,
    problems_of_label,
    problems_of_wanted,
)
from device_catalog.documents import moment
from device_catalog.errors import Conflict, Refused, SupportUnknown
from device_catalog.fleet.fleet import NANOSECONDS, Fleet
from device_catalog.storage.recording_files import RecordingFiles
from device_catalog.storage.recordings import Key
from device_catalog.storage.support import WAITING, SupportRow, SupportStore
from device_catalog.storage.threads import StorageThreads
from device_catalog.storage.uploads import Uploads
from device_catalog.support.lines import read_lines
from device_catalog.support.wishes import Wishes, name_of, number_of

KEPT_DAYS = 30.0
"""How long a bundle, and the lines of a tail, are kept [d]."""
BUDGET = 2 * 2**30
"""Room for bundles [bytes]; the oldest goes first."""
MAXIMUM_PAGE = 1000
LINES_PAGE = 1000
LINES_SHOWN = 200
LATE_NS = 120 * NANOSECONDS
"""Lines may come so much after the end of their tail: a broker was away [ns]."""
MISSING = 50
"""Of what a device says is not in a bundle, so many entries are kept."""

_DAY = 86_400 * NANOSECONDS
_LAST = 2**31 - 1  # no request has a larger number
_AT_ONCE = 100


class SupportRequests:
    """
    The requests of a fleet.

    Parameters
    ----------
    store : SupportStore
    files : RecordingFiles
        Where bundles are kept.
    fleet : Fleet
    threads : StorageThreads
    """

    def __init__(self, store: SupportStore, files: RecordingFiles, fleet: Fleet, threads: StorageThreads) -> None:
        self._store = store
        self._files = files
        self._fleet = fleet
        self._threads = threads
        self._uploads = Uploads(files, "catalog-support", "bundles")
        self._wishes = Wishes(store, fleet, threads)

    def load(self) -> None:
        """Read what is wanted; once, after the register, before anybody is served."""
        waiting = self._store.waiting()
        self._files.clear({Key(row.device, name_of(row)) for row in waiting})
        self._wishes.load({row.device for row in waiting})

    def follow(self, devices: Sequence[str] | None) -> None:
        """Take over what another catalog wants of some devices, or of all; called while writing."""
        self._wishes.follow(devices)

    def close(self) -> None:
        """Finish what was begun."""
        self._uploads.close()

    # ------------------------------------------------------------------ the operator

    async def ask(self, device: str, wanted: SupportWanted, author: str) -> SupportEntry:
        """
        Ask a device for help with itself.

        Raises
        ------
        DeviceUnknown
        Refused
        Conflict
            When the same is asked of it already.
        """
        self._fleet.known(device)
        problems = problems_of_wanted(wanted)
        if problems:
            raise Refused(problems)
        return await self._entry(await self._threads.write(self._ask, device, wanted, author))

    def _ask(self, device: str, wanted: SupportWanted, author: str) -> SupportRow:
        now_ns = self._fleet.wall()
        for row in self._store.waiting(device):
            if row.kind == wanted.kind and row.until_ns > now_ns:
                expected = f"one {row.kind} of {device} at a time"
                found = f"{name_of(row)}, asked for by {row.author}"
                raise Conflict(f"expected {expected}, found {found}; wait for it, or end it first")
        asked = moment(now_ns)
        until_ns = now_ns + round((ends_of(wanted, asked) - asked).total_seconds() * NANOSECONDS)
        level = wanted.level.value if wanted.kind is SupportKind.LOGS else ""
        state = "open" if wanted.kind is SupportKind.LOGS else "asked"
        row = SupportRow(0, device, wanted.kind.value, level, author, wanted.reason, now_ns, until_ns, state, "", 0, "")
        row = row._replace(number=self._store.add(row))
        self._wishes.changed(device)
        return row

    async def one(self, device: str, request: str) -> SupportEntry:
        """
        Give what is known of a request.

        Raises
        ------
        SupportUnknown
        """
        return await self._entry(await self._known(device, request))

    async def page(self, device: str, cursor: str, limit: int, tenant: str = "") -> SupportPage:
        """
        Give part of the list, newest first.

        Parameters
        ----------
        device : str
            Only its; all where it is empty.
        cursor : str
            Of the part before; empty for the first.
        limit : int
        tenant : str
            Only its devices'; all where it is empty.

        Raises
        ------
        Refused
            When the cursor is none.
        """
        below = _LAST if not cursor else number_of(cursor)
        if below is None:
            raise Refused([Problem("query.cursor", "a cursor that a list ended with", shortened(cursor))])
        rows = await self._threads.read(self._store.page, device, below, limit + 1, tenant)
        items = [await self._entry(row) for row in rows[:limit]]
        return SupportPage(tuple(items), name_of(rows[limit - 1]) if len(rows) > limit else "")

    async def end(self, device: str, request: str, author: str) -> None:
        """
        End a request: a tail stops, a bundle is asked for no more, one that is here is dropped.

        Raises
        ------
        SupportUnknown
        """
        row = await self._known(device, request)
        await self._threads.write(self._end, row.number, author)

    def _end(self, number: int, author: str) -> None:
        row = self._store.find(number)
        if row is None or row.state in ("ended", "failed"):
            return
        self._over(row, "ended")
        self._store.note(row.device, self._fleet.wall(), author, "support-ended", name_of(row))

    async def file(self, device: str, request: str, author: str) -> tuple[bytes, str]:
        """
        Give a bundle and its digest; who takes it is written down before.

        Raises
        ------
        SupportUnknown
            When it is not here.
        """
        row = await self._known(device, request)
        data = await self._uploads.read(row.sha256) if row.state == "here" else None
        if data is None:
            found = f"{request} without its file; ask anew" if row.state == "here" else f"{request} {row.state}"
            raise SupportUnknown(f"expected a bundle that is here, found {found}; list those there are")
        now_ns = self._fleet.wall()
        await self._threads.write(self._store.note, device, now_ns, author, "support-fetched", request)
        return data, row.sha256

    async def lines(self, device: str, request: str, after: int) -> LogLines:
        """
        Give lines of a log tail behind one.

        Raises
        ------
        SupportUnknown
        """
        row = await self._known(device, request)
        lines = await self._threads.read(self._store.lines, row.number, after, LINES_PAGE)
        more = len(lines) == LINES_PAGE or (row.state == "open" and self._fleet.wall() < row.until_ns + LATE_NS)
        return LogLines(tuple(lines), more)

    async def newest_lines(self, device: str, request: str) -> tuple[LogLine, ...]:
        """Give the newest lines of a log tail, oldest first."""
        row = await self._known(device, request)
        return tuple(await self._threads.read(self._store.newest_lines, row.number, LINES_SHOWN))

    # ------------------------------------------------------------------ the device

    async def told(self, device: str, request: str, label: BundleLabel) -> Received:
        """
        Take a device's word on the bundle that it made; return where to go on.

        Raises
        ------
        SupportUnknown
        Conflict
            When nobody waits for it.
        Refused
        """
        row = await self._awaited(device, request)
        problems = problems_of_label(label)
        if problems:
            raise Refused(problems)
        if label.failed:
            await self._threads.write(self._failed, row.number, label)
            return Received(0, complete=True)
        if label.sha256 != row.sha256:
            await self._uploads.abandon(Key(device, request))
            if not await self._threads.write(self._coming, row.number, label):
                await self._awaited(device, request)
        return Received(await self._uploads.received(Key(device, request)))

    def _failed(self, number: int, label: BundleLabel) -> None:
        row = self._store.find(number)
        if row is not None and self._store.change(number, WAITING, label=_text(label)):
            self._over(row, "failed")

    def _coming(self, number: int, label: BundleLabel) -> bool:
        """Note what comes, unless somebody has ended the request meanwhile."""
        fields = {"label": _text(label), "size": label.bytes, "sha256": label.sha256, "state": "coming"}
        return self._store.change(number, WAITING, **fields)

    async def take(self, device: str, request: str, offset: int, data: bytes) -> Received:
        """
        Take a part of a bundle.

        Raises
        ------
        SupportUnknown
        Conflict
        Refused
            When the part is too long, or the whole is not what was told of.
        """
        row = await self._awaited(device, request)
        key = Key(device, request)
        if row.state != "coming":
            raise Conflict(f"expected the label of {request} first, found a part of it")
        received = await self._uploads.take(key, offset, data, row.size, row.sha256)
        if received < row.size:
            return Received(received)
        if not await self._threads.write(self._arrived, row):
            await self._awaited(device, request)
        return Received(row.size, complete=True)

    def _arrived(self, row: SupportRow) -> bool:
        """Note that a bundle is here; one whose request was ended on its way is thrown away."""
        until_ns = self._fleet.wall() + round(KEPT_DAYS * _DAY)
        is_wanted = self._store.change(row.number, ("coming",), state="here", until_ns=until_ns)
        if is_wanted:
            self._wishes.changed(row.device)
        elif not self._store.uses(row.sha256):
            self._files.remove(row.sha256)
        return is_wanted

    async def hear(self, topic: str, payload: bytes) -> None:
        """Take lines of a log tail; what nobody asked for is left alone."""
        try:
            told = read_lines(topic, payload)
        except WireError:
            return
        number = number_of(told.request)
        if number is None or told.device not in self._fleet.devices:
            return
        row = await self._threads.read(self._store.find, number)
        if row is None or row.device != told.device or row.kind != SupportKind.LOGS:
            return
        if self._fleet.wall() > row.until_ns + LATE_NS:
            return
        if told.lines:
            await self._threads.write(self._store.keep_lines, number, told.lines, MOST_LINES)
        if told.ended and row.state == "open":
            await self._threads.write(self._told_all, number)

    def _told_all(self, number: int) -> None:
        row = self._store.find(number)
        if row is not None and row.state == "open":
            self._over(row, "ended")

    # ------------------------------------------------------------------ time

    async def tidy(self) -> None:
        """End what has lasted its time, drop what was kept for its time or has no room."""
        await self._threads.write(self._tidy)

    def _tidy(self) -> None:
        now_ns = self._fleet.wall()
        for row in self._store.over(now_ns, _AT_ONCE):
            self._over(row, "failed" if row.kind == SupportKind.BUNDLE and row.state != "here" else "ended")
        stored = self._store.stored()
        for row in self._store.oldest_stored(_AT_ONCE):
            if stored <= BUDGET:
                break
            stored -= row.size
            self._over(row, "ended")
        self._store.forget(now_ns - round(KEPT_DAYS * _DAY))

    async def forget_device(self, device: str) -> None:
        """Remove everything about a device that was removed: the name's next owner is another."""
        await self._threads.write(self._forget_device, device)

    def _forget_device(self, device: str) -> None:
        for row in self._store.forget_device(device):
            self._files.abandon(Key(device, name_of(row)))
            if row.sha256 and not self._store.uses(row.sha256):
                self._files.remove(row.sha256)
        self._wishes.changed(device)

    # ------------------------------------------------------------------ helpers

    def _over(self, row: SupportRow, state: str) -> None:
        """Note that nothing more comes of a request, and throw away what came; called while writing."""
        now_ns = self._fleet.wall()
        self._store.change(row.number, state=state, until_ns=min(row.until_ns, now_ns))
        if row.kind == SupportKind.BUNDLE:
            self._files.abandon(Key(row.device, name_of(row)))
            if row.sha256 and not self._store.uses(row.sha256):  # also one that had just arrived when the power failed
                self._files.remove(row.sha256)
        self._wishes.changed(row.device)

    async def _known(self, device: str, request: str) -> SupportRow:
        number = number_of(request)
        row = None if number is None else await self._threads.read(self._store.find, number)
        if row is None or row.device != device:
            found = f"none of {shortened(device, 64)} called {shortened(request, 64)}"
            raise SupportUnknown(f"expected a request for support, found {found}; list those there are")
        return row

    async def _awaited(self, device: str, request: str) -> SupportRow:
        row = await self._known(device, request)
        if row.kind != SupportKind.BUNDLE or row.state not in WAITING or row.until_ns <= self._fleet.wall():
            raise Conflict(f"expected a bundle that is waited for, found {request} {row.state}; throw it away")
        return row

    async def _entry(self, row: SupportRow) -> SupportEntry:
        label = msgspec.json.decode(row.label, type=BundleLabel) if row.label else BundleLabel(0, "")
        received = row.size if row.state == "here" else 0
        if row.state == "coming":
            received = await self._uploads.received(Key(row.device, name_of(row)))
        if row.kind == SupportKind.LOGS:
            received = await self._threads.read(self._store.count_lines, row.number)
        over = row.state in WAITING and row.until_ns <= self._fleet.wall()
        failed = label.failed
        if not failed and row.kind == SupportKind.BUNDLE and (row.state == "failed" or over):
            failed = "expected the device to hand it over in time, found it away, or slower"
        return SupportEntry(
            request=name_of(row),
            device=row.device,
            kind=SupportKind(row.kind),
            author=row.author,
            reason=row.reason,
            asked=moment(row.asked_ns),
            until=moment(row.until_ns),
            state="ended" if over and not failed else "failed" if over else row.state,
            received=received,
            bytes=row.size,
            sha256=row.sha256,
            level=LogLevel(row.level) if row.level else None,
            missing=label.missing,
            failed=failed,
        )


def _text(label: BundleLabel) -> str:
    missing = {shortened(name, 100): shortened(why, 300) for name, why in list(label.missing.items())[:MISSING]}
    kept = BundleLabel(label.bytes, label.sha256, missing, printable(label.failed)[:500])
    return msgspec.json.encode(kept).decode()
