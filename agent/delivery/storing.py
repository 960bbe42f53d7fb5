"""
When messages get to disk: the part of the outbox that decides it, puts commits together and takes what they did.

``Lane -> Storing -> Spool`` (in its worker thread). An urgent message is written at once, a stream message only when
its broker has not answered for a while, and while a broker is away just often enough that a power cut takes no more
than the stated time. Rules: one commit at a time; whatever fails on the disk, messages go on from memory and the disk
is tried again later; a damaged database is replaced by an empty one, and what it alone held is counted as dropped.
"""

import sqlite3
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from agent.delivery.lane import Lane
from agent.delivery.ledger import Ledger
from agent.delivery.messages import Message, OutboxLimits, Range
from agent.delivery.spool import Spool, is_damage
from agent.delivery.spool_records import Commit, Loaded, Opened
from agent.delivery.spool_thread import Clock, Submitter

HOUSEKEEPING = 5.0
"""Cursors and counts that changed alone are written at most this often [s]."""
TRIM_INTERVAL = 600.0
"""How often messages are looked for that were kept long enough [s]."""
RETRY = 5.0
"""After a failed commit, the disk is left alone for this long [s]."""


class Owner(Protocol):
    """What storing needs of the outbox."""

    def report_drops(self, now: float) -> None:
        """Publish what was dropped since the last report, if it is time to."""

    def lost(self, broker: str, ranges: list[Range]) -> None:
        """Count messages that are gone."""

    def written(self, broker: str) -> None:
        """Keep a lane within memory: what it holds may be on disk now."""

    def wake(self, broker: str) -> None:
        """Have what there is now sent."""


class _Damage(msgspec.Struct, frozen=True):
    note: str


class Storing:
    """
    Keeps what the lanes hold on disk as far as it must be.

    Parameters
    ----------
    spool : Spool
        Opened.
    opened : Opened
        What it knew then.
    worker : Submitter
    clock : Clock
    lanes : dict
        `Lane` by broker.
    ledger : Ledger
    limits : OutboxLimits
    owner : Owner
    usable : bool
        False where the disk refused already when it was opened: it is left alone for good.

    Attributes
    ----------
    problem : str
        What is wrong with storage; empty when nothing is.
    notes : list of str
        What was found at the start and since.
    commits : int
        Since the start.
    """

    def __init__(
        self, spool: Spool, opened: Opened, worker: Submitter, clock: Clock,
        *, lanes: dict[str, Lane], ledger: Ledger, limits: OutboxLimits, owner: Owner, usable: bool,
    ) -> None:  # fmt: skip
        self.notes = list(opened.notes)
        self.problem = "" if usable else opened.notes[-1]
        self.commits = 0
        self._spool, self._worker, self._clock = spool, worker, clock
        self._lanes, self._ledger, self._limits, self._owner = lanes, ledger, limits, owner
        self._usable = usable
        self._boot = opened.boot
        self._cursors = {broker: lane.cursor for broker, lane in lanes.items()}
        self._rows_to = {broker: stored.last or stored.cursor for broker, stored in opened.stored.items()}
        self._uptime_offset = opened.uptime - clock.time()
        self._slowest_commit = 0.0
        self._committing = False
        self._closed = False
        self._retry_at = self._housekept_at = float("-inf")
        self._counts_due = float("inf")
        self._trimmed_at = clock.time()
        self._timer: Any = None
        self._timer_at = float("inf")
        for lane in lanes.values():
            lane.storage_fails = not usable

    @property
    def size(self) -> int:
        """Content of the spool [bytes]."""
        return self._spool.size

    def due_after(self, lane: Lane) -> float:
        """Tell how old a message of this lane may become before it is written [s]."""
        if lane.connected:
            return self._limits.write_after
        return max(self._limits.write_after / 2, 0.9 * self._limits.loss - 2 * self._slowest_commit - 0.02)

    def settled(self, broker: str) -> None:
        """Note that a message of `broker` was answered: the disk may hold what it need not."""
        if self._cursors[broker] < self._rows_to[broker]:
            self.arm(self._housekept_at + HOUSEKEEPING)

    def count_soon(self) -> None:
        """Have it written soon that messages are gone: after a power cut, nothing else would tell of them."""
        self._counts_due = min(self._counts_due, self._clock.time() + self._limits.write_after)
        self.arm(self._counts_due)

    def arm(self, when: float) -> None:
        """Have `advance` called at `when` [s] or before."""
        if when >= self._timer_at or self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._clock.call_at(when, self._on_timer)

    def find(self, broker: str, boot: int, first: int, last: int, done: Callable[[list[Message]], None]) -> None:
        """Look for messages numbered from `first` to `last` that are on disk, and call `done` with them."""
        if not self._usable:
            done([])
            return

        def read(found: Any) -> None:
            if isinstance(found, Exception):
                self._fail(found)
                found = []
            done(found)

        self._worker.submit(lambda: self._spool.find(broker, boot, first, last), read)

    def close(self) -> None:
        """Write what is not settled yet, and end. May come twice."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._usable:
            commit, _ = self._commit(float("inf"))
            self._worker.submit(lambda: self._spool.commit(commit), lambda _: None)
        self._worker.close()
        self._spool.close()

    def advance(self) -> None:
        """Commit what must be, or wake up again when something must."""
        now = self._clock.time()
        if self._timer_at <= now:
            self._timer_at = float("inf")
        if self._closed or self._committing:
            return
        self._owner.report_drops(now)
        if not self._usable or self._committing:  # a report just put has begun a commit
            return
        if now < self._retry_at:
            self.arm(self._retry_at)
            return
        for broker, lane in self._lanes.items():
            if lane.wants_load and lane.connected:
                self.load(broker)
        due = self._due()
        if now < due:
            self.arm(due)
            return
        self._committing = True
        commit, entries = self._commit(now)
        started = time.perf_counter()

        def done(result: Any) -> None:
            self._committed(commit, entries, result, time.perf_counter() - started)

        self._worker.submit(lambda: self._try(commit), done)

    def _due(self) -> float:
        """Tell when the next commit must begin [s]."""
        due = self._counts_due
        for lane in self._lanes.values():
            if lane.unwritten_urgent():
                return float("-inf")
            oldest = lane.oldest_unwritten()
            if oldest is not None:
                due = min(due, oldest + self.due_after(lane))
        return min(due, self._housekept_at + HOUSEKEEPING) if self._housekeeping_due() else due

    def _commit(self, until: float) -> tuple[Commit, dict[str, list[Any]]]:
        """Put together what a commit must hold that is due by `until` [s]."""
        now = self._clock.time()
        messages: list[tuple[str, list[Message]]] = []
        entries: dict[str, list[Any]] = {}
        for broker, lane in self._lanes.items():
            oldest = lane.oldest_unwritten()
            due = oldest is not None and oldest + self.due_after(lane) <= until
            entries[broker] = lane.write(streams=due or not lane.connected)
            for wanted in (True, False):
                part = [entry.message for entry in entries[broker] if entry.message.urgent is wanted]
                if part:
                    messages.append((broker, sorted(part, key=lambda message: message.key)))
        cursors = {broker: lane.cursor for broker, lane in self._lanes.items() if lane.cursor != self._cursors[broker]}
        trim = None
        if self._spool.size > self._limits.disk or now - self._trimmed_at > TRIM_INTERVAL:
            self._trimmed_at = now
            trim = {
                broker: (lane.cursor, lane.loaded, lane.disk_last or lane.loaded)
                for broker, lane in self._lanes.items()
                if not lane.loading
            }
        dropped = None
        if self._ledger.changed:
            self._ledger.changed = False
            dropped = self._ledger.rows()
        self._housekept_at = now
        self._counts_due = float("inf")
        return Commit(messages, cursors, now + self._uptime_offset, dropped, trim), entries

    def _try(self, commit: Commit) -> Any:
        """Commit, in the worker; a damaged database is replaced."""
        try:
            return self._spool.commit(commit)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            return self._replace(error)

    def _replace(self, error: sqlite3.Error) -> _Damage:
        note = self._spool.replace_damaged(error)
        self._spool.keep_boot(self._boot)
        return _Damage(note)

    def _committed(self, commit: Commit, entries: dict[str, list[Any]], result: Any, duration: float) -> None:
        self._committing = False
        durable = isinstance(result, list)
        if durable:
            self.commits += 1
            self._slowest_commit = max(duration, 0.95 * self._slowest_commit)
            self.problem = ""
            self._cursors.update(commit.cursors)
            for broker, messages in commit.messages:
                self._rows_to[broker] = max(self._rows_to[broker], messages[-1].key)
            for name, item in result:
                broker = name.partition("/")[0]
                self._lanes[broker].trimmed(item.count)
                self._owner.lost(broker, [item])
        elif commit.dropped is not None:
            self._ledger.changed = True
            self._counts_due = self._clock.time()
        for broker, lane in self._lanes.items():
            lane.written(entries[broker], durable=durable)
            lane.storage_fails = not durable and not isinstance(result, _Damage)
            self._owner.written(broker)
        if isinstance(result, _Damage):
            self._damaged(result.note)
        elif not durable:
            self._fail(result)
        for broker in self._lanes:
            self._owner.wake(broker)
        self.advance()

    def load(self, broker: str) -> None:
        """Read back what `broker` needs next, without waiting for it."""
        lane = self._lanes[broker]
        if not self._usable or self._closed:
            return
        lane.loading = True
        after = lane.loaded

        def job() -> Loaded | _Damage:
            try:
                return self._spool.load(broker, after)
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                return self._replace(error)

        def done(result: Any) -> None:
            if isinstance(result, Loaded):
                if not lane.storage_fails:
                    self.problem = ""
                lane.load(result.messages, self._clock.time(), exhausted=result.exhausted)
                lane.trimmed(sum(item.count for item in result.damaged))
                self._owner.lost(broker, result.damaged)
                self._owner.wake(broker)
                return
            lane.loading = False
            if isinstance(result, _Damage):
                self._damaged(result.note)
            else:
                self._fail(result)

        self._worker.submit(job, done)

    def _fail(self, error: Exception) -> None:
        """Go on from memory, and try the disk again later."""
        self.problem = f"expected to write to {self._spool.path}, found: {error}; messages are kept in memory only"
        self._retry_at = self._clock.time() + RETRY
        self.arm(self._retry_at)

    def _damaged(self, note: str) -> None:
        """Begin again with the empty spool that replaced a damaged one."""
        self.notes = [*self.notes[-9:], note]
        for broker, lane in self._lanes.items():
            self._owner.lost(broker, lane.forget_durable(self._clock.time()))
            self._cursors[broker] = (0, 0)
        self._ledger.changed = True
        self.advance()

    def _housekeeping_due(self) -> bool:
        """Tell whether something on disk is settled that the disk does not know of, or counts changed."""
        return self._ledger.changed or any(
            self._cursors[broker] < self._rows_to[broker] and lane.cursor > self._cursors[broker]
            for broker, lane in self._lanes.items()
        )

    def _on_timer(self) -> None:
        self._timer_at = float("inf")
        self.advance()
